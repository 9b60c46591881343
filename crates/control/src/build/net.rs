//! Interfaces, addresses, routes and neighbours.

use std::collections::HashMap;
use std::net::IpAddr;

use inet::{Address, AddressRole, Iface, IfaceId, NetConfig, PortIndex, Route, StaticNeighbour};
use wire::ether::MacAddr;

use super::{BuildError, Fixed};
use crate::config::check::gateway_interface;
use crate::config::{Config, route_prefix};

pub(super) fn net(config: &Config, fixed: &Fixed) -> Result<NetConfig, BuildError> {
    let ids: HashMap<&str, IfaceId> = config.interface_names().zip((0..).map(IfaceId)).collect();
    let find = |item: &dyn std::fmt::Display, name: &str| {
        let missing = || BuildError::NoInterface { item: item.to_string(), name: name.to_owned() };
        ids.get(name).copied().ok_or_else(missing)
    };
    let mut addresses = Vec::new();
    for address in &config.addresses {
        let iface = find(&format_args!("address {}", address.cidr), &address.interface)?;
        let (addr, prefix_len) = (address.cidr.address, address.cidr.prefix_len);
        addresses.push(Address { iface, addr, prefix_len, role: AddressRole::Host });
    }
    for pool in &config.pools {
        let iface = find(&format_args!("local pool {}", pool.name), &pool.interface)?;
        let of_pool = pool.addresses.iter().flat_map(|range| range.iter());
        addresses.extend(of_pool.map(|addr| Address {
            iface,
            addr,
            prefix_len: width(addr),
            role: AddressRole::Local,
        }));
    }
    let mut routes = Vec::new();
    for route in &config.routes {
        let item = format!("route {}", route.to);
        let on_link = route.via.and_then(|via| gateway_interface(config, via));
        let iface = find(&item, route.interface.as_deref().or(on_link).unwrap_or_default())?;
        let prefix = route_prefix(route.to, route.via).map(|p| (p.address, p.prefix_len));
        let prefix = prefix.ok_or_else(|| BuildError::NoInterface { item, name: String::new() })?;
        routes.push(Route { prefix, iface, gateway: route.via, source: route.source, mtu: route.mtu });
    }
    let mut neighbours = Vec::new();
    for n in &config.neighbours {
        let iface = find(&format_args!("neighbour {}", n.address), &n.interface)?;
        neighbours.push(StaticNeighbour { iface, addr: n.address, mac: MacAddr(n.mac.0) });
    }
    Ok(NetConfig {
        ifaces: ifaces(config, fixed, &ids),
        addresses,
        routes,
        neighbours,
        ..NetConfig::default()
    })
}

fn ifaces(config: &Config, fixed: &Fixed, ids: &HashMap<&str, IfaceId>) -> Vec<Iface> {
    let ports = config.ports.iter().map(|port| (port.name.as_str(), port.name.as_str(), None));
    let vlans = config.vlans.iter().map(|vlan| (vlan.name.as_str(), vlan.port.as_str(), Some(vlan.id)));
    let iface = |(name, port_name, vlan): (&str, &str, Option<u16>)| {
        let index = config.ports.iter().position(|port| port.name == port_name)?;
        let mac = fixed.macs.get(index)?;
        Some(Iface {
            id: *ids.get(name)?,
            name: name.into(),
            port: PortIndex(index as u16),
            vlan,
            mac: MacAddr(mac.0),
            mtu: config.ports[index].mtu,
        })
    };
    ports.chain(vlans).filter_map(iface).collect()
}

fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}
