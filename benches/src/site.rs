//! The director that is measured: one worker, a link to clients and one to servers, one service with three destinations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use inet::{
    Address, AddressRole, Iface, IfaceId, NeighLimits, Net, NetConfig, PortIndex, ReassemblyLimits, Route,
    StaticNeighbour,
};
use ipvs::pool::Pools;
use ipvs::{
    Dest, DestId, Director, Limits, LocalPool, NatSteering, PoolId, SchedulerKind, Service, ServiceId,
    ServiceKey, ServiceTable, Settings, Snapshot, Steering, Timeouts, WorkerId, WorkerShared,
};
use pipeline::{Counters, Pipeline, PipelineLimits};
use wire::{Family, MacAddr};

use crate::case::Case;
use crate::packet::Packet;

/// Where requests come in.
pub const WAN: PortIndex = PortIndex(0);
/// Where replies come in.
pub const LAN: PortIndex = PortIndex(1);
/// The director's hardware addresses.
pub const MACS: [MacAddr; 2] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
/// The service's port, and the servers'.
pub const PORT: u16 = 80;
/// Destinations.
pub const SERVERS: u16 = 3;
/// Local addresses: enough for ten million connections to three servers.
const LOCALS: u16 = 256;

/// An address of the servers' link: kind 0 are hosts, kind 1 local addresses.
pub fn lan(family: Family, kind: u8, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, kind, high, low)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xa, kind.into(), 0, 0, 0, number)),
    }
}

/// The virtual address.
pub fn vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100)),
    }
}

fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe)),
    }
}

fn net(family: Family) -> Net {
    let (prefix, host) = match family {
        Family::V4 => (16, 32),
        Family::V6 => (64, 128),
    };
    let iface = |id: u16| Iface {
        id: IfaceId(id),
        name: format!("net{id}").into(),
        port: PortIndex(id),
        vlan: None,
        mac: MACS[usize::from(id)],
        mtu: 1500,
    };
    let own = |iface, addr, prefix_len, role| Address { iface: IfaceId(iface), addr, prefix_len, role };
    let near = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1)),
    };
    let near_prefix = if family == Family::V4 { 24 } else { 64 };
    let mut addresses = vec![
        own(0, near, near_prefix, AddressRole::Host),
        own(0, vip(family), host, AddressRole::Host),
        own(1, lan(family, 0, 1), prefix, AddressRole::Host),
    ];
    addresses.extend((0..LOCALS).map(|n| own(1, lan(family, 1, n + 1), host, AddressRole::Local)));
    let unspecified = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let out = Route {
        prefix: (unspecified, 0),
        iface: IfaceId(0),
        gateway: Some(gateway(family)),
        source: None,
        mtu: None,
    };
    let server = |n: u16| StaticNeighbour {
        iface: IfaceId(1),
        addr: lan(family, 0, 11 + n),
        mac: MacAddr([2, 1, 0, 0, 0, n as u8]),
    };
    let mut neighbours: Vec<_> = (0..SERVERS).map(server).collect();
    neighbours.push(StaticNeighbour {
        iface: IfaceId(0),
        addr: gateway(family),
        mac: MacAddr([2, 2, 0, 0, 0, 1]),
    });
    let config = NetConfig {
        ifaces: vec![iface(0), iface(1)],
        addresses,
        routes: vec![out],
        neighbours,
        forwarding: true,
        ..NetConfig::default()
    };
    Net::build(config).expect("a valid network")
}

fn snapshot(case: &Case) -> Snapshot {
    let family = case.family;
    let locals = (0..LOCALS).map(|n| lan(family, 1, n + 1)).collect();
    let pool = LocalPool { id: PoolId(0), name: "lan".into(), addrs: locals, ports: 1024..=65_535 };
    let dest = |n: u16| Dest::new(DestId(n.into()), lan(family, 0, 11 + n), PORT, case.method);
    let key = ServiceKey::Address { protocol: case.protocol, addr: vip(family), port: PORT };
    let service = Service {
        pool: Some(PoolId(0)),
        dests: (0..SERVERS).map(dest).collect(),
        ..Service::new(ServiceId(0), key, SchedulerKind::Rr)
    };
    Snapshot {
        generation: 1,
        net: net(family),
        services: ServiceTable::build(vec![Arc::new(service)]).expect("a valid service"),
        pools: Pools::build(&[pool]),
        steering: Steering::new(1, [3; 16], NatSteering::Endpoint),
        timeouts: Timeouts::default(),
        settings: Settings::default(),
    }
}

/// A worker's pipeline for a case, with room for half as many connections again.
pub fn pipeline(case: &Case) -> Pipeline<Packet> {
    let connections = case.flows + case.flows / 2 + 1000;
    let limits = Limits { connections, side_records: 1000, services: 16, dests: 16, ..Limits::default() };
    let shared = vec![Arc::new(WorkerShared::new(&limits))];
    let director = Director::new(WorkerId(0), &limits, Arc::new(snapshot(case)), shared, 7).expect("memory");
    let limits = PipelineLimits {
        neighbours: NeighLimits { entries: 64, held_per_entry: 4, held: 8 },
        reassembly: ReassemblyLimits::default(),
        icmp_per_second: 0,
    };
    Pipeline::new(WorkerId(0), director, limits, Arc::new(Counters::default()), 7)
}
