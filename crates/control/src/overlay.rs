//! Addresses that the host's kernel has on exception TAPs, laid over the configuration.
//!
//! They are rvs's own while they are there, but never part of the desired state: the configuration says what it says
//! whatever the host does, and wins wherever the two meet. An address that cannot be taken is left out with its reason;
//! nothing else is lost by it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use api::{AddressSpec, Cidr, Mac};
use inet::is_link_local;
use wire::ether::MacAddr;

use crate::config::Config;
use crate::config::check::gateway_interface;

/// The most addresses that are taken from the host.
pub const HOST_ADDRESSES_MAX: usize = 1024;
/// The most of them that one line of the log names.
const LOGGED_MAX: usize = 8;
/// RFC 8200 section 5.
const IPV6_MTU_MIN: u16 = 1280;

/// An address that the host's kernel has on an exception TAP, or on a VLAN device made on one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostAddress {
    /// Name of the TAP.
    pub tap: String,
    /// Of the VLAN device; none if the address is on the TAP itself.
    pub vlan: Option<u16>,
    pub cidr: Cidr,
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.cidr, self.tap)?;
        self.vlan.map_or(Ok(()), |id| write!(f, " VLAN {id}"))
    }
}

/// Why an address of the host is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("no [[vlan]] of its port has this id")]
    NoVlan,
    #[error("it is no unicast address of one host")]
    NotUnicast,
    #[error("IPv6 needs an MTU of {IPV6_MTU_MIN}, the port has {mtu}")]
    Mtu { mtu: u16 },
    #[error("it is in local pool \"{0}\"")]
    InPool(String),
    #[error("it is on interface \"{0}\" already")]
    Elsewhere(String),
    #[error("it is a static [[neighbour]] on \"{0}\"")]
    Neighbour(String),
    #[error("it is the gateway of a [[route]]")]
    Gateway,
    #[error("its prefix would hide gateway {via}, which is on \"{interface}\"")]
    HidesGateway { via: IpAddr, interface: String },
    #[error("there are {HOST_ADDRESSES_MAX} already")]
    TooMany,
}

/// What is taken of the host's addresses, on rvs's interfaces.
#[derive(Debug, Default)]
pub struct Overlay {
    taken: Vec<AddressSpec>,
    /// Link-local addresses of rvs's own, kept beside another one of the host's.
    kept: Vec<AddressSpec>,
    refused: Vec<(HostAddress, Refusal)>,
}

impl Overlay {
    /// Takes what of `wanted` can stand beside a checked `config`. `macs` are the ports', in the configuration's order.
    pub fn new(config: &Config, wanted: &[HostAddress], macs: &[Mac]) -> Overlay {
        if wanted.is_empty() {
            return Overlay::default();
        }
        let mut builder = Builder { config, macs, on: HashMap::new(), overlay: Overlay::default() };
        for address in &config.addresses {
            builder.on.entry(address.cidr.address).or_default().push(&address.interface);
        }
        for address in wanted {
            builder.add(address);
        }
        builder.keep_link_local();
        builder.overlay
    }

    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether workers see the same of both.
    pub fn is_same_for_workers(&self, other: &Overlay) -> bool {
        self.taken == other.taken && self.kept == other.kept
    }

    /// The host's addresses that are in force.
    pub fn taken(&self) -> &[AddressSpec] {
        &self.taken
    }

    /// Logs what is refused and was not before.
    pub fn report(&self, before: &Overlay) {
        for refused in self.refused.iter().filter(|refused| !before.refused.contains(refused)) {
            tracing::warn!("host address {} is not taken: {}", refused.0, refused.1);
        }
    }

    /// Logs what has come and gone.
    pub fn log_changes(&self, before: &Overlay) {
        let (come, gone) = (self.named_without(before), before.named_without(self));
        tracing::info!(come, gone, "the host's addresses have changed");
    }

    /// What only we have, in words; not all of a long list.
    fn named_without(&self, other: &Overlay) -> String {
        let ours: Vec<&AddressSpec> = self.taken.iter().filter(|a| !other.taken.contains(a)).collect();
        let shown = &ours[..ours.len().min(LOGGED_MAX)];
        let mut text: Vec<String> = shown.iter().map(|a| format!("{} on {}", a.cidr, a.interface)).collect();
        if ours.len() > shown.len() {
            text.push(format!("and {} more", ours.len() - shown.len()));
        }
        text.join(", ")
    }

    /// The configuration with the host's addresses behind its own. What routes mean stays as it was without them.
    pub fn over<'c>(&self, config: &'c Config) -> Cow<'c, Config> {
        if self.is_empty() {
            return Cow::Borrowed(config);
        }
        let mut merged = config.clone();
        for route in merged.routes.iter_mut().filter(|route| route.interface.is_none()) {
            let leads = route.via.and_then(|via| gateway_interface(config, via));
            route.interface = leads.map(str::to_owned);
        }
        merged.addresses.extend(self.kept.iter().chain(&self.taken).cloned());
        Cow::Owned(merged)
    }
}

/// An overlay in the making, and which interfaces each address is on by now.
struct Builder<'c> {
    config: &'c Config,
    macs: &'c [Mac],
    on: HashMap<IpAddr, Vec<&'c str>>,
    overlay: Overlay,
}

impl<'c> Builder<'c> {
    fn add(&mut self, address: &HostAddress) {
        let refusal = match self.interface(address) {
            None => return,
            Some(Err(refusal)) => refusal,
            Some(Ok(interface)) => match self.fault(address, interface) {
                Some(refusal) => refusal,
                None => return self.take(address, interface),
            },
        };
        self.overlay.refused.push((address.clone(), refusal));
    }

    /// The interface that a TAP or its VLAN stands for. None if the TAP is no port's.
    fn interface(&self, address: &HostAddress) -> Option<Result<&'c str, Refusal>> {
        let port = self.config.ports.iter().find(|p| p.exception.as_ref() == Some(&address.tap))?;
        let Some(id) = address.vlan else { return Some(Ok(&port.name)) };
        let vlan = self.config.vlans.iter().find(|v| v.port == port.name && v.id == id);
        Some(vlan.map(|v| v.name.as_str()).ok_or(Refusal::NoVlan))
    }

    fn take(&mut self, address: &HostAddress, interface: &'c str) {
        let addr = address.cidr.address;
        let on = self.on.entry(addr).or_default();
        if on.contains(&interface) {
            return;
        }
        // What rvs forms by itself, where it has IPv6, is the same as what the kernel forms from the same MAC.
        let has_v6 = |a: &AddressSpec| a.interface == interface && a.cidr.address.is_ipv6();
        let own = self.link_local(interface);
        if Some(addr) == own && self.config.addresses.iter().any(has_v6) {
            return;
        }
        self.on.entry(addr).or_default().push(interface);
        self.overlay.taken.push(AddressSpec { interface: interface.to_owned(), cidr: address.cidr });
    }

    fn fault(&self, address: &HostAddress, interface: &str) -> Option<Refusal> {
        let config = self.config;
        let addr = address.cidr.address;
        let on = self.on.get(&addr).map_or(&[][..], Vec::as_slice);
        if on.contains(&interface) {
            return None;
        }
        if self.overlay.taken.len() >= HOST_ADDRESSES_MAX {
            return Some(Refusal::TooMany);
        }
        if !crate::config::check::is_usable(addr) {
            return Some(Refusal::NotUnicast);
        }
        let mtu = self.port_of(interface).map_or(u16::MAX, |index| config.ports[index].mtu);
        if addr.is_ipv6() && mtu < IPV6_MTU_MIN {
            return Some(Refusal::Mtu { mtu });
        }
        if let Some(other) = on.first()
            && !is_link_local(addr)
        {
            return Some(Refusal::Elsewhere((*other).to_owned()));
        }
        let pool = |p: &&crate::config::Pool| p.addresses.iter().any(|r| (r.first..=r.last).contains(&addr));
        if let Some(pool) = config.pools.iter().find(pool) {
            return Some(Refusal::InPool(pool.name.clone()));
        }
        let neighbour = config.neighbours.iter().find(|n| n.address == addr);
        if let Some(neighbour) = neighbour.filter(|n| !is_link_local(addr) || n.interface == interface) {
            return Some(Refusal::Neighbour(neighbour.interface.clone()));
        }
        self.gateway_fault(address.cidr, interface)
    }

    /// A gateway has to stay a neighbour on its interface: neither ourselves, nor in a longer prefix of another one.
    fn gateway_fault(&self, cidr: Cidr, interface: &str) -> Option<Refusal> {
        let config = self.config;
        let is_host_prefix = cidr.prefix_len == if cidr.address.is_ipv4() { 32 } else { 128 };
        for route in &config.routes {
            let Some(via) = route.via else { continue };
            if via == cidr.address {
                return Some(Refusal::Gateway);
            }
            let leads = route.interface.as_deref().or_else(|| gateway_interface(config, via));
            let Some(leads) = leads.filter(|leads| *leads != interface) else { continue };
            let prefixes = config.addresses.iter().filter(|a| a.interface == leads && a.cidr.contains(via));
            let longest = prefixes.map(|a| a.cidr.prefix_len).max();
            let hides = cidr.contains(via) && longest.is_none_or(|longest| cidr.prefix_len > longest);
            if hides && !is_host_prefix && !is_link_local(via) {
                return Some(Refusal::HidesGateway { via, interface: leads.to_owned() });
            }
        }
        None
    }

    /// Where the host's link-local address is another one than the interface has by itself, it keeps that, too: the
    /// configuration's IPv6 does not depend on the host's.
    fn keep_link_local(&mut self) {
        for name in self.config.interface_names() {
            let of_name = |a: &&AddressSpec| a.interface == name && a.cidr.address.is_ipv6();
            let given = || self.config.addresses.iter().filter(of_name);
            let hosts = self.overlay.taken.iter().filter(of_name);
            if given().next().is_none()
                || given().any(|a| is_link_local(a.cidr.address))
                || !hosts.clone().any(|a| is_link_local(a.cidr.address))
            {
                continue;
            }
            if let Some(address) = self.link_local(name) {
                let cidr = Cidr { address, prefix_len: 64 };
                self.overlay.kept.push(AddressSpec { interface: name.to_owned(), cidr });
            }
        }
    }

    fn port_of(&self, interface: &str) -> Option<usize> {
        let vlan = self.config.vlans.iter().find(|v| v.name == interface);
        let port = vlan.map_or(interface, |v| &v.port);
        self.config.ports.iter().position(|p| p.name == port)
    }

    /// What the interface forms from its hardware address.
    fn link_local(&self, interface: &str) -> Option<IpAddr> {
        let mac = self.macs.get(self.port_of(interface)?)?;
        Some(inet::link_local(MacAddr(mac.0)).into())
    }
}

#[cfg(test)]
mod tests;
