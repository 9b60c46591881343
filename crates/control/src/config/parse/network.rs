//! Ports, VLANs, addresses, routes, neighbours and local pools.

use std::net::IpAddr;

use api::{AddrRange, AddressSpec, Cidr, Mac, NeighbourSpec, PortRange, RouteSpec, RouteTarget};
use toml::de::DeValue;

use super::ADDRESS;
use crate::config::model::{Pool, Port, Vlan, WORKERS_MAX};
use crate::config::section::{Section, parse_str};

const CIDR: &str = "an address with its prefix length such as \"192.0.2.1/24\" or \"2001:db8::1/64\"";
const TARGET: &str = "\"default\" or a prefix without host bits such as \"198.51.100.0/24\"";
const RANGE: &str = "an address or a range such as \"10.0.2.200-10.0.2.203\"";
const PORTS: &str = "a range of ports from 1 to 65535 such as \"1024-65535\"";
const MAC: &str = "a unicast MAC address such as \"02:00:00:00:02:0b\"";
pub const NAME: &str = "a name of 1 to 63 letters, digits, `.`, `_`, `-`";
const TAP: &str = "an interface name of 1 to 15 letters, digits, `.`, `_`, `-`";
const INTERFACE: &str = "the name of a [[port]] or [[vlan]]";

/// A name of a port, VLAN or pool: [`NAME`].
pub fn is_name(name: &str) -> bool {
    is_plain(name, 63)
}

/// Without anything that a shell, a path or a table would mind.
fn is_plain(name: &str, max: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=max).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".."
}

pub(super) fn name(s: &mut Section<'_, '_, '_>) -> Option<String> {
    let name = s.value("name", NAME, |v| v.as_str().filter(|n| is_name(n)));
    s.require("name", name, NAME).map(Into::into)
}

fn interface(s: &mut Section<'_, '_, '_>) -> Option<String> {
    let name = s.string("interface", INTERFACE);
    s.require("interface", name, INTERFACE).map(Into::into)
}

fn unicast_mac(v: &DeValue<'_>) -> Option<Mac> {
    parse_str(v).filter(|mac: &Mac| mac.0[0] & 1 == 0 && mac.0 != [0; 6])
}

pub(super) fn port(s: &mut Section<'_, '_, '_>) -> Option<Port> {
    let name = name(s);
    let device = s.string("device", "a DPDK device");
    let device = s.require(
        "device",
        device,
        "a DPDK device such as \"net_af_packet0,iface=eth0\" or \"0000:03:00.0\"",
    );
    let mtu = s.int("mtu", 576..=9600).unwrap_or(1500);
    let exception = s.value("exception", TAP, |v| v.as_str().filter(|n| is_plain(n, 15)).map(String::from));
    let rx_queues = s.int("rx_queues", 1..=WORKERS_MAX);
    let descriptors = 64..=32_768_u16;
    let rx_descriptors = s.int("rx_descriptors", descriptors.clone()).unwrap_or(1024);
    let tx_descriptors = s.int("tx_descriptors", descriptors).unwrap_or(1024);
    let promiscuous = s.boolean("promiscuous").unwrap_or(true);
    let mac = s.value("mac", MAC, unicast_mac);
    Some(Port {
        name: name?,
        device: device?.to_owned(),
        mtu,
        exception,
        rx_queues,
        rx_descriptors,
        tx_descriptors,
        promiscuous,
        mac,
    })
}

pub(super) fn vlan(s: &mut Section<'_, '_, '_>) -> Option<Vlan> {
    let name = name(s);
    let port = s.string("port", "the name of a [[port]]");
    let port = s.require("port", port, "the name of a [[port]]");
    let id = s.int("id", 1..=4094);
    let id = s.require("id", id, "a VLAN from 1 to 4094");
    Some(Vlan { name: name?, port: port?.to_owned(), id: id? })
}

pub(super) fn address(s: &mut Section<'_, '_, '_>) -> Option<AddressSpec> {
    let interface = interface(s);
    let cidr = s.parsed::<Cidr>("cidr", CIDR);
    let cidr = s.require("cidr", cidr, CIDR);
    Some(AddressSpec { interface: interface?, cidr: cidr? })
}

pub(super) fn route(s: &mut Section<'_, '_, '_>) -> Option<RouteSpec> {
    let to = s.parsed::<RouteTarget>("to", TARGET);
    let to = s.require("to", to, TARGET);
    let via = s.parsed("via", ADDRESS);
    let interface = s.string("interface", INTERFACE).map(String::from);
    let source = s.parsed("source", ADDRESS);
    let mtu = s.int("mtu", 576..=9600);
    Some(RouteSpec { to: to?, via, interface, source, mtu })
}

pub(super) fn neighbour(s: &mut Section<'_, '_, '_>) -> Option<NeighbourSpec> {
    let interface = interface(s);
    let address = s.parsed::<IpAddr>("address", ADDRESS);
    let address = s.require("address", address, ADDRESS);
    let mac = s.value("mac", MAC, unicast_mac);
    let mac = s.require("mac", mac, MAC);
    Some(NeighbourSpec { interface: interface?, address: address?, mac: mac? })
}

pub(super) fn pool(s: &mut Section<'_, '_, '_>) -> Option<Pool> {
    let name = name(s);
    let interface = interface(s);
    let addresses = s.list("addresses", RANGE, parse_str::<AddrRange>);
    let addresses = s.require("addresses", addresses, "an array of addresses and ranges");
    let ports = s.parsed::<PortRange>("ports", PORTS).unwrap_or(Pool::DEFAULT_PORTS);
    Some(Pool { name: name?, interface: interface?, addresses: addresses?, ports })
}
