//! What no single key can tell: names that must exist, things that must not meet, limits.
//!
//! The same checks hold for a file and for a request; a file's findings get lines, a request's become its
//! refusal. Checks see [`Config`]s of any content and never panic.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{Cidr, DestSpec, Method, Severity};

use super::model::{Config, INTERFACES_MAX, POOL_ADDRESSES_MAX, POOLS_MAX, Pool, Service, route_prefix};
use super::place::{Issue, IssueKind, Place};
use super::suggest::nearest;

/// Names of tables that are in the file but could not be read: what refers to them is not at fault.
#[derive(Debug, Default)]
pub struct Names {
    pub unreadable: HashSet<String>,
}

/// Everything that is wrong or dubious. With `base`, a configuration that has been checked, services that it
/// shares with `config` are taken as good if what they depend on is the same.
pub fn check(config: &Config, names: &Names, base: Option<&Config>) -> Vec<Issue> {
    let mut checker = Checker { config, names, issues: Vec::new() };
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
    checker.services(base.filter(|_| same_network));
    checker.limits();
    checker.issues
}

/// RFC 8200 section 5.
const IPV6_MTU_MIN: u16 = 1280;

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
        if self.names.unreadable.contains(name) || known.clone().any(|k| k == name) {
            return;
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
        self.error(IssueKind::NotFound, place, String::new(), message);
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
            self.unique(&mut devices, &port.device, place.key("device"));
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

    fn addresses(&mut self) {
        let mut seen: HashMap<IpAddr, Vec<&str>> = HashMap::new();
        for (i, address) in self.config.addresses.iter().enumerate() {
            let place = Place::item("address", i);
            self.interface_exists(place.key("interface"), &address.interface);
            let addr = address.cidr.address;
            if !is_usable(addr) {
                let message = format!("found {addr}, expected a unicast address that is not loopback");
                self.invalid(place.key("cidr"), message);
            }
            let mtu = self.mtu_of(&address.interface).unwrap_or(u16::MAX);
            if addr.is_ipv6() && mtu < IPV6_MTU_MIN {
                let message = format!(
                    "found {addr} on an interface with mtu = {mtu}, expected at least {IPV6_MTU_MIN} for IPv6"
                );
                self.invalid(place.key("cidr"), message);
            }
            let holders = seen.entry(addr).or_default();
            if holders.contains(&address.interface.as_str()) || !(holders.is_empty() || is_link_local(addr)) {
                let message = format!("found {addr} twice, first on \"{}\"", holders[0]);
                self.duplicate(place.key("cidr"), message);
            }
            holders.push(&address.interface);
        }
    }

    fn mtu_of(&self, interface: &str) -> Option<u16> {
        let vlan = self.config.vlans.iter().find(|v| v.name == interface);
        let port = vlan.map_or(interface, |v| &v.port);
        self.config.ports.iter().find(|p| p.name == port).map(|p| p.mtu)
    }

    fn routes(&mut self) {
        let mut seen: HashMap<Cidr, Place> = HashMap::new();
        for (i, route) in self.config.routes.iter().enumerate() {
            let place = Place::item("route", i);
            if let Some(name) = &route.interface {
                self.interface_exists(place.key("interface"), name);
            }
            let Some(prefix) = route_prefix(route.to, route.via) else {
                let message =
                    "found default without `via`, expected a gateway, or the prefix 0.0.0.0/0 or ::/0";
                self.invalid(place.key("to"), message.to_owned());
                continue;
            };
            if let Some(first) = seen.insert(prefix, place) {
                self.duplicate(
                    place.key("to"),
                    format!("found a second route to {prefix}, first at {first}"),
                );
            }
            if prefix.address.is_ipv6() && route.mtu.is_some_and(|mtu| mtu < IPV6_MTU_MIN) {
                self.invalid(place.key("mtu"), format!("found less than {IPV6_MTU_MIN}, which IPv6 needs"));
            }
            self.gateway(place, prefix, route.via, route.interface.as_deref());
            if let Some(source) = route.source {
                let ours = self.config.addresses.iter().any(|a| a.cidr.address == source);
                if !ours || source.is_ipv4() != prefix.address.is_ipv4() {
                    let message = format!("found {source}, expected an [[address]] of the route's family");
                    self.invalid(place.key("source"), message);
                }
            }
        }
    }

    /// A gateway is of the route's family, and an interface leads to it.
    fn gateway(&mut self, place: Place, prefix: Cidr, via: Option<IpAddr>, interface: Option<&str>) {
        let Some(via) = via else {
            if interface.is_none() {
                let message = "found neither `via` nor `interface`, expected at least one".to_owned();
                self.invalid(place.key("to"), message);
            }
            return;
        };
        if via.is_ipv4() != prefix.address.is_ipv4() || !is_usable(via) {
            let message = format!("found {via}, expected a unicast address of the family of {prefix}");
            self.invalid(place.key("via"), message);
        } else if self.config.addresses.iter().any(|a| a.cidr.address == via) {
            self.invalid(place.key("via"), format!("found {via}, which is an address of this host"));
        } else if !self.is_on_link(via, interface) {
            let on = interface.map_or(String::new(), |name| format!(" on \"{name}\""));
            let message = format!("found {via}, expected a gateway in the prefix of an [[address]]{on}");
            self.invalid(place.key("via"), message);
        }
    }

    /// By an address's prefix, or by a route without gateway.
    fn is_on_link(&self, via: IpAddr, interface: Option<&str>) -> bool {
        let Some(name) = interface else { return gateway_interface(self.config, via).is_some() };
        let mut routes =
            self.config.routes.iter().filter(|r| r.via.is_none() && r.interface.as_deref() == Some(name));
        is_link_local(via)
            || gateway_interface(self.config, via) == Some(name)
            || routes.any(|r| route_prefix(r.to, None).is_some_and(|prefix| prefix.contains(via)))
    }

    fn neighbours(&mut self) {
        let mut seen: HashMap<(&str, IpAddr), Place> = HashMap::new();
        for (i, neighbour) in self.config.neighbours.iter().enumerate() {
            let place = Place::item("neighbour", i);
            self.interface_exists(place.key("interface"), &neighbour.interface);
            let address = neighbour.address;
            if !is_usable(address) {
                let message = format!("found {address}, expected a unicast address that is not loopback");
                self.invalid(place.key("address"), message);
            } else if self.config.addresses.iter().any(|a| a.cidr.address == address) {
                self.invalid(
                    place.key("address"),
                    format!("found {address}, which is an address of this host"),
                );
            }
            if neighbour.mac.0[0] & 1 == 1 || neighbour.mac.0 == [0; 6] {
                self.invalid(
                    place.key("mac"),
                    format!("found {}, expected a unicast MAC address", neighbour.mac),
                );
            }
            if let Some(first) = seen.insert((&neighbour.interface, address), place) {
                self.duplicate(place.key("address"), format!("found {address} twice, first at {first}"));
            }
        }
    }

    fn pools(&mut self) {
        let config = self.config;
        let mut names: HashMap<&str, Place> = HashMap::new();
        let mut total: u128 = 0;
        for (i, pool) in config.pools.iter().enumerate() {
            let place = Place::item("local_pool", i);
            self.unique(&mut names, &pool.name, place.key("name"));
            self.interface_exists(place.key("interface"), &pool.interface);
            if pool.addresses.is_empty() {
                self.invalid(place.key("addresses"), "found none, expected at least one address".to_owned());
            }
            total = pool.addresses.iter().fold(total, |total, range| total.saturating_add(range.count()));
            for range in &pool.addresses {
                if !is_usable(range.first) || !is_usable(range.last) {
                    self.invalid(
                        place.key("addresses"),
                        format!("found {range}, expected unicast addresses"),
                    );
                }
                for address in &config.addresses {
                    let addr = address.cidr.address;
                    if (range.first..=range.last).contains(&addr) {
                        let message = format!(
                            "found {range}, which holds {addr} of [[address]] on \"{}\"",
                            address.interface
                        );
                        self.invalid(place.key("addresses"), message);
                    }
                }
            }
            let ports = usize::from(pool.ports.last.saturating_sub(pool.ports.first)) + 1;
            if ports < ipvs::steering::SLOTS {
                let message =
                    format!("found {}, expected at least {} ports", pool.ports, ipvs::steering::SLOTS);
                self.invalid(place.key("ports"), message);
            }
        }
        if total > POOL_ADDRESSES_MAX as u128 {
            let message =
                format!("found {total} addresses in local pools, expected at most {POOL_ADDRESSES_MAX}");
            self.error(IssueKind::Limit, Place::table("local_pool"), String::new(), message);
        }
        if config.pools.len() > POOLS_MAX {
            let message = format!("found {} local pools, expected at most {POOLS_MAX}", config.pools.len());
            self.error(IssueKind::Limit, Place::table("local_pool"), String::new(), message);
        }
        self.pools_apart();
    }

    fn pools_apart(&mut self) {
        let mut ranges: Vec<_> = (self.config.pools.iter().enumerate())
            .flat_map(|(i, pool)| pool.addresses.iter().map(move |range| (*range, i)))
            .collect();
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            let [(low, first), (high, second)] = [pair[0], pair[1]];
            if high.first <= low.last && high.first.is_ipv4() == low.last.is_ipv4() {
                let place = Place::item("local_pool", first.max(second)).key("addresses");
                let name = &self.config.pools[first.min(second)].name;
                self.duplicate(place, format!("found {high}, which overlaps {low} of pool \"{name}\""));
            }
        }
    }

    fn services(&mut self, base: Option<&Config>) {
        let config = self.config;
        let known: HashSet<*const Service> =
            base.map(|base| base.services.iter().map(Arc::as_ptr).collect()).unwrap_or_default();
        let own: HashSet<IpAddr> = config.addresses.iter().map(|a| a.cidr.address).collect();
        let mut seen = HashMap::with_capacity(config.services.len());
        for (i, service) in config.services.iter().enumerate() {
            let place = Place::item("service", i);
            if let Some(first) = seen.insert(service.spec.key(), place) {
                self.duplicate(
                    place,
                    format!("found service {} twice, first at {first}", service.spec.key()),
                );
            }
            if !known.contains(&Arc::as_ptr(service)) {
                self.service(i, service, &own);
            }
        }
    }

    fn service(&mut self, index: usize, service: &Service, own: &HashSet<IpAddr>) {
        let spec = &service.spec;
        let (place, subject) = (Place::item("service", index), format!("service {}", spec.key()));
        let address = spec.address;
        let invalid = IssueKind::Invalid;
        if !is_usable(address) {
            let message = format!("found {address}, expected a unicast address that is not loopback");
            self.error(invalid, place.key("address"), subject.clone(), message);
        } else if let Some(pool) = pool_with(self.config, address) {
            let message = format!("found {address}, which is an address of local pool \"{}\"", pool.name);
            self.error(invalid, place.key("address"), subject.clone(), message);
        } else if !own.contains(&address) {
            let message =
                format!("found {address}, which is no [[address]]: no packet is served until it is one");
            let severity = Severity::Warning;
            let (place, subject) = (place.key("address"), subject.clone());
            self.issues.push(Issue { severity, place, subject, kind: IssueKind::NotFound, message });
        }
        if spec.port == 0 {
            let message = "found port 0, expected 1 to 65535".to_owned();
            self.error(invalid, place.key("port"), subject.clone(), message);
        }
        if let Some(name) = &spec.local_pool {
            self.name_exists(
                place.key("local_pool"),
                "local pool",
                name,
                self.config.pools.iter().map(|p| p.name.as_str()),
            );
        }
        let mut seen = HashMap::with_capacity(service.dests.len());
        for (i, dest) in service.dests.iter().enumerate() {
            let place = Place::destination(index, i);
            if let Some(first) = seen.insert(dest.key(), place) {
                let message = format!("found destination {} twice, first at {first}", dest.key());
                self.error(IssueKind::Exists, place, subject.clone(), message);
            }
            self.destination(place, service, dest);
        }
    }

    fn destination(&mut self, place: Place, service: &Service, dest: &DestSpec) {
        let spec = &service.spec;
        for (key, message) in destination_faults(spec.address, spec.port, dest) {
            self.error(IssueKind::Invalid, place.key(key), subject_of(service, dest), message);
        }
        if dest.method != Method::Fullnat || dest.address.is_ipv4() != spec.address.is_ipv4() {
            return;
        }
        let fault = match pool_of(self.config, service) {
            PoolChoice::One(pool) if pool.has_family_of(dest.address) => return,
            PoolChoice::One(pool) => {
                let family = if dest.address.is_ipv4() { "IPv4" } else { "IPv6" };
                format!("found fullnat, but local pool \"{}\" has no {family} address", pool.name)
            }
            PoolChoice::None => "found fullnat, which needs a [[local_pool]], but there is none".to_owned(),
            PoolChoice::Many => {
                "found fullnat, expected the service to name its `local_pool`: there are several".to_owned()
            }
            PoolChoice::Unknown => return,
        };
        if self.names.unreadable.is_empty() {
            self.error(IssueKind::Invalid, place.key("method"), subject_of(service, dest), fault);
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
    }
}

fn subject_of(service: &Service, dest: &DestSpec) -> String {
    format!("destination {} of {}", dest.key(), service.spec.key())
}

/// What is wrong with a destination by itself: the key and the message.
fn destination_faults(service: IpAddr, service_port: u16, dest: &DestSpec) -> Vec<(&'static str, String)> {
    let mut faults = Vec::new();
    if !is_usable(dest.address) {
        faults.push((
            "address",
            format!("found {}, expected a unicast address that is not loopback", dest.address),
        ));
    } else if dest.address.is_ipv4() != service.is_ipv4() && dest.method != Method::Tunnel {
        let method = dest.method;
        let message =
            format!("found {} with {method}, expected the service's family: only tunnel mixes", dest.address);
        faults.push(("address", message));
    }
    if dest.port == 0 {
        faults.push(("port", "found port 0, expected 1 to 65535".to_owned()));
    } else if dest.port != service_port && matches!(dest.method, Method::Dr | Method::Tunnel) {
        let (port, method) = (dest.port, dest.method);
        faults.push((
            "port",
            format!("found {port}, expected the service's port {service_port}: {method} changes no port"),
        ));
    }
    if dest.weight > 65_535 {
        faults.push(("weight", format!("found {}, expected an integer from 0 to 65535", dest.weight)));
    }
    if dest.lower_threshold > dest.upper_threshold {
        let message = format!(
            "found {}, expected at most upper_threshold = {}",
            dest.lower_threshold, dest.upper_threshold
        );
        faults.push(("lower_threshold", message));
    }
    faults
}

/// Which pool a service's FULLNAT connections leave from.
pub enum PoolChoice<'c> {
    One(&'c Pool),
    None,
    Many,
    /// It names one that does not exist.
    Unknown,
}

pub fn pool_of<'c>(config: &'c Config, service: &Service) -> PoolChoice<'c> {
    match (&service.spec.local_pool, config.pools.as_slice()) {
        (Some(name), pools) => {
            pools.iter().find(|p| p.name == *name).map_or(PoolChoice::Unknown, PoolChoice::One)
        }
        (None, []) => PoolChoice::None,
        (None, [pool]) => PoolChoice::One(pool),
        (None, _) => PoolChoice::Many,
    }
}

/// The interface whose longest prefix holds `via`.
pub fn gateway_interface(config: &Config, via: IpAddr) -> Option<&str> {
    let on_link = config.addresses.iter().filter(|a| a.cidr.contains(via));
    on_link.max_by_key(|a| a.cidr.prefix_len).map(|a| a.interface.as_str())
}

fn pool_with(config: &Config, address: IpAddr) -> Option<&Pool> {
    config.pools.iter().find(|pool| pool.addresses.iter().any(|r| (r.first..=r.last).contains(&address)))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

/// Unicast, not loopback, not "this host".
pub fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => a.octets()[0] != 0 && a.octets()[0] < 240 && !a.is_multicast() && !a.is_loopback(),
        IpAddr::V6(a) => {
            !(a.is_unspecified() || a.is_multicast() || a.is_loopback() || a.to_ipv4_mapped().is_some())
        }
    }
}
