//! Interfaces, addresses, routes and neighbours of the recordings.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use inet::{Address, AddressRole, Iface, IfaceId, Net, NetConfig, PortIndex, Route, StaticNeighbour};
use ipvs::{LocalPool, PoolId};
use wire::MacAddr;

use super::SIDES;

/// Addresses of the FULLNAT pool.
pub const LOCAL_ADDRS: [&str; 3] = ["10.0.2.200", "10.0.2.201", "2001:db8:2::c8"];
/// Ports of the FULLNAT pool.
pub const LOCAL_PORTS: RangeInclusive<u16> = 5000..=5003;

pub(super) fn pool() -> LocalPool {
    LocalPool {
        id: PoolId(0),
        name: "lan".into(),
        addrs: LOCAL_ADDRS.iter().map(|addr| addr.parse().expect("an address")).collect(),
        ports: LOCAL_PORTS,
    }
}

/// The hardware address of an interface.
pub(super) fn mac(iface: u16) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, iface as u8 + 1])
}

pub(super) fn net(mtu: [u16; SIDES.len()]) -> Net {
    let ifaces = SIDES.iter().zip(mtu).zip(0..).map(|((name, mtu), id)| Iface {
        id: IfaceId(id),
        name: name.to_string().into(),
        port: PortIndex(id),
        vlan: None,
        mac: mac(id),
        mtu,
    });
    let local = |addr: &&str| {
        let addr: IpAddr = addr.parse().expect("an address");
        let prefix_len = if addr.is_ipv4() { 32 } else { 128 };
        Address { iface: IfaceId(1), addr, prefix_len, role: AddressRole::Local }
    };
    let address = |iface, addr: &str, prefix_len| Address {
        iface: IfaceId(iface),
        addr: addr.parse().expect("an address"),
        prefix_len,
        role: AddressRole::Host,
    };
    let default = |any: &str, via: &str| Route {
        prefix: (any.parse().expect("an address"), 0),
        iface: IfaceId(0),
        gateway: Some(via.parse().expect("an address")),
        source: None,
        mtu: None,
    };
    let hosts = [
        address(0, "192.0.2.1", 24),
        address(0, "192.0.2.100", 32),
        address(0, "2001:db8:1::1", 64),
        address(0, "2001:db8:1::100", 128),
        address(1, "10.0.2.1", 24),
        address(1, "2001:db8:2::1", 64),
        address(2, "10.0.3.1", 24),
        address(2, "2001:db8:3::1", 64),
    ];
    Net::build(NetConfig {
        ifaces: ifaces.collect(),
        addresses: hosts.into_iter().chain(LOCAL_ADDRS.iter().map(local)).collect(),
        neighbours: neighbours(),
        routes: vec![default("0.0.0.0", "192.0.2.254"), default("::", "2001:db8:1::fe")],
        ..NetConfig::default()
    })
    .expect("a valid network")
}

/// All neighbours are static: the default gateway, and real servers by the last byte of their address.
fn neighbours() -> Vec<StaticNeighbour> {
    let neighbour = |iface, addr: String, last: [u8; 2]| StaticNeighbour {
        iface: IfaceId(iface),
        addr: addr.parse().expect("an address"),
        mac: MacAddr([2, 0, 0, 0, last[0], last[1]]),
    };
    let gateways = ["192.0.2.254", "2001:db8:1::fe"].map(|addr| neighbour(0, addr.into(), [0, 0xfe]));
    let servers = (11..=18).chain([254]).flat_map(|n: u8| {
        [format!("10.0.2.{n}"), format!("2001:db8:2::{n:x}")].map(|addr| neighbour(1, addr, [2, n]))
    });
    gateways.into_iter().chain(servers).collect()
}
