//! Addresses, routes, neighbours and local pools: what they name and where they must not meet.

use std::collections::HashMap;
use std::net::IpAddr;

use api::Cidr;
use inet::is_link_local;

use super::{Checker, is_usable};
use crate::config::model::{Config, POOL_ADDRESSES_MAX, POOLS_MAX, Pool, route_prefix};
use crate::config::place::{IssueKind, Place};

/// RFC 8200 section 5.
const IPV6_MTU_MIN: u16 = 1280;

impl<'c> Checker<'c> {
    pub(super) fn addresses(&mut self) {
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

    pub(super) fn routes(&mut self) {
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

    pub(super) fn neighbours(&mut self) {
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

    pub(super) fn pools(&mut self) {
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
}

/// The interface whose longest prefix holds `via`.
pub fn gateway_interface(config: &Config, via: IpAddr) -> Option<&str> {
    let on_link = config.addresses.iter().filter(|a| a.cidr.contains(via));
    on_link.max_by_key(|a| a.cidr.prefix_len).map(|a| a.interface.as_str())
}

/// The local pool that has the address.
pub(super) fn pool_with(config: &Config, address: IpAddr) -> Option<&Pool> {
    config.pools.iter().find(|pool| pool.addresses.iter().any(|r| (r.first..=r.last).contains(&address)))
}
