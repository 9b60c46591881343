//! What no single key can tell: names that must exist, things that must not meet, limits.
//!
//! The same checks hold for a file and for a request; a file's findings get lines, a request's become its
//! refusal. Checks see [`Config`]s of any content and never panic.

mod faults;
mod mark;
mod network;
mod service;
mod sync;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use api::{Severity, Sysctl};

pub use network::gateway_interface;
pub use service::{PoolChoice, pool_of};

use super::model::{Config, INTERFACES_MAX};
use super::place::{Issue, IssueKind, Place};
use super::suggest::nearest;

/// Names of tables that are in the file but could not be read: what refers to them is not at fault.
#[derive(Debug, Default)]
pub struct Names {
    pub unreadable: HashSet<String>,
}

/// Everything that is wrong or dubious. With `base`, a configuration that has been checked, services that it
/// shares with `config` are taken as good if what they depend on is the same, and what was dubious there already is not
/// told again.
pub fn check(config: &Config, names: &Names, base: Option<&Config>) -> Vec<Issue> {
    let mut checker = Checker { config, names, issues: Vec::new() };
    // What a service's own faults depend on beside the service does not change without a restart, but for steering.
    let base = base.filter(|base| base.steering == config.steering);
    let same_network = base.is_some_and(|base| {
        base.ports == config.ports
            && base.vlans == config.vlans
            && base.addresses == config.addresses
            && base.routes == config.routes
            && base.neighbours == config.neighbours
            && base.pools == config.pools
    });
    if !same_network {
        checker.interfaces();
        checker.addresses();
        checker.routes();
        checker.neighbours();
        checker.pools();
    }
    checker.sysctls(base);
    checker.marks();
    checker.sync();
    checker.services(base, same_network);
    checker.limits();
    checker.issues
}

struct Checker<'c> {
    config: &'c Config,
    names: &'c Names,
    issues: Vec<Issue>,
}

impl<'c> Checker<'c> {
    fn error(&mut self, kind: IssueKind, place: Place, subject: String, message: String) {
        self.issues.push(Issue { severity: Severity::Error, place, subject, kind, message });
    }

    fn invalid(&mut self, place: Place, message: String) {
        self.error(IssueKind::Invalid, place, String::new(), message);
    }

    fn duplicate(&mut self, place: Place, message: String) {
        self.error(IssueKind::Exists, place, String::new(), message);
    }

    fn interface_exists(&mut self, place: Place, name: &str) {
        self.name_exists(place, "interface", name, self.config.interface_names());
    }

    fn name_exists(
        &mut self,
        place: Place,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'c str> + Clone,
    ) {
        if let Some(message) = self.unknown(what, name, known) {
            self.error(IssueKind::NotFound, place, String::new(), message);
        }
    }

    /// What to say about a name that is not `known`; nothing if it is, or if its table could not be read.
    fn unknown(
        &self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'c str> + Clone,
    ) -> Option<String> {
        if self.names.unreadable.contains(name) || known.clone().any(|k| k == name) {
            return None;
        }
        let mut message = format!("found unknown {what} \"{name}\", ");
        match nearest(name, known.clone()) {
            Some(meant) => message.push_str(&format!("did you mean \"{meant}\"?")),
            None => {
                let list: Vec<String> = known.take(8).map(|k| format!("\"{k}\"")).collect();
                let list = if list.is_empty() { "none is configured".to_owned() } else { list.join(", ") };
                message.push_str(&format!("expected one of: {list}"));
            }
        }
        Some(message)
    }

    fn interfaces(&mut self) {
        let config = self.config;
        if config.ports.is_empty() && self.names.unreadable.is_empty() {
            self.invalid(Place::table("port"), "found none, expected at least one [[port]]".to_owned());
        }
        if config.ports.len() + config.vlans.len() > INTERFACES_MAX {
            let message = format!("found more than {INTERFACES_MAX} ports and VLANs together");
            self.error(IssueKind::Limit, Place::table("vlan"), String::new(), message);
        }
        let mut names: HashMap<&str, Place> = HashMap::new();
        let mut devices: HashMap<&str, Place> = HashMap::new();
        let mut taps: HashMap<&str, Place> = HashMap::new();
        for (i, port) in config.ports.iter().enumerate() {
            let place = Place::item("port", i);
            self.unique(&mut names, &port.name, place.key("name"));
            // DPDK knows a device by its name, whatever its options.
            let device = port.device.split_once(',').map_or(port.device.as_str(), |(name, _)| name);
            self.unique(&mut devices, device, place.key("device"));
            if let Some(tap) = &port.exception {
                self.unique(&mut taps, tap, place.key("exception"));
            }
        }
        let mut ids: HashMap<(&str, u16), Place> = HashMap::new();
        for (i, vlan) in config.vlans.iter().enumerate() {
            let place = Place::item("vlan", i);
            self.unique(&mut names, &vlan.name, place.key("name"));
            self.name_exists(
                place.key("port"),
                "port",
                &vlan.port,
                config.ports.iter().map(|p| p.name.as_str()),
            );
            if let Some(first) = ids.insert((&vlan.port, vlan.id), place.key("id")) {
                let message =
                    format!("found VLAN {} of port \"{}\" twice, first at {first}", vlan.id, vlan.port);
                self.duplicate(place.key("id"), message);
            }
        }
    }

    fn unique(&mut self, seen: &mut HashMap<&'c str, Place>, name: &'c str, place: Place) {
        if let Some(first) = seen.insert(name, place) {
            self.duplicate(place, format!("found \"{name}\" twice, first at {first}"));
        }
    }

    /// Tunables that were changed to no effect.
    fn sysctls(&mut self, base: Option<&Config>) {
        let sysctls = &self.config.ipvs.sysctls;
        for &sysctl in Sysctl::ALL {
            let (value, about) = (sysctls.get(sysctl), sysctl.about());
            let Some(why) = about.without_effect.filter(|_| value != about.default) else { continue };
            if base.is_none_or(|base| base.ipvs.sysctls.get(sysctl) != value) {
                self.issues.push(Issue {
                    severity: Severity::Warning,
                    place: Place::table("ipvs").key(sysctl.name()),
                    subject: String::new(),
                    kind: IssueKind::Invalid,
                    message: format!("found {value}, which has no effect: {why}"),
                });
            }
        }
    }

    fn limits(&mut self) {
        let limits = &self.config.limits;
        let dests: usize = self.config.services.iter().map(|s| s.dests.len()).sum();
        for (key, found, limit) in [
            ("services", self.config.services.len(), limits.services),
            ("destinations", dests, limits.destinations),
        ] {
            if found > limit as usize {
                let message = format!("found {found} {key}, expected at most limits.{key} = {limit}");
                self.error(IssueKind::Limit, Place::table("limits").key(key), String::new(), message);
            }
        }
        let (of_datagram, of_sender) = (limits.fragments_per_datagram, limits.fragments_per_sender);
        for (key, found, fits, expected) in [
            (
                "fragments",
                limits.fragments,
                limits.fragments > u32::from(of_datagram),
                format!("more than limits.fragments_per_datagram = {of_datagram}"),
            ),
            (
                "fragments_per_sender",
                u32::from(of_sender),
                of_sender >= of_datagram,
                format!("at least limits.fragments_per_datagram = {of_datagram}"),
            ),
        ] {
            if !fits {
                let message = format!("found {found}, expected {expected}");
                self.error(IssueKind::Limit, Place::table("limits").key(key), String::new(), message);
            }
        }
    }
}

/// Whether a host can have the address, and on a link: an IPv4 address in the clothes of IPv6 is on none.
pub fn is_usable(address: IpAddr) -> bool {
    let is_mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    inet::is_host_addr(address) && !is_mapped
}
