//! A director for tests: one worker, a client's network and a server's, one service of each family.

use core::net::IpAddr;
use std::sync::Arc;

use inet::{Address, AddressRole, Iface, IfaceId, Net, NetConfig, PortIndex, Route};
use wire::ether::MacAddr;

use crate::pool::Pools;
use crate::{
    Dest, DestId, Director, Limits, LocalPool, Method, NatSteering, PoolId, Protocol, SchedulerKind, Service,
    ServiceId, ServiceKey, ServiceTable, Settings, Snapshot, Steering, Timeouts, WorkerId, WorkerShared,
};

/// Hosts of one family.
pub(crate) struct Hosts {
    pub(crate) client: IpAddr,
    pub(crate) vip: IpAddr,
    pub(crate) server: IpAddr,
    /// Local address for FULLNAT.
    pub(crate) local: IpAddr,
}

/// IPv4 and IPv6.
pub(crate) fn families() -> [Hosts; 2] {
    [
        ["198.51.100.1", "192.0.2.100", "10.0.2.11", "10.0.2.200"],
        ["2001:db8:c::1", "2001:db8:1::100", "2001:db8:2::b", "2001:db8:2::c8"],
    ]
    .map(|names| {
        let [client, vip, server, local] = names.map(|name| name.parse().expect("an address"));
        Hosts { client, vip, server, local }
    })
}

/// For each family a TCP service on port 21 with one destination of this method on the same port.
pub(crate) fn services(method: Method) -> Vec<Service> {
    let service = |(id, hosts): (usize, Hosts)| {
        let id = id as u32;
        let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: hosts.vip, port: 21 };
        let dests = [Dest::new(DestId(id), hosts.server, 21, method)].into();
        Service { pool: Some(PoolId(0)), dests, ..Service::new(ServiceId(id), key, SchedulerKind::Rr) }
    };
    families().into_iter().enumerate().map(service).collect()
}

/// A configuration with these services.
pub(crate) fn snapshot(services: Vec<Service>) -> Snapshot {
    let iface = Iface {
        id: IfaceId(0),
        name: "lan".into(),
        port: PortIndex(0),
        vlan: None,
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
    };
    let mut net = NetConfig { ifaces: vec![iface], ..NetConfig::default() };
    let mut locals = Vec::new();
    for hosts in families() {
        let prefix_len = if hosts.vip.is_ipv4() { 32 } else { 128 };
        for (addr, role) in [(hosts.vip, AddressRole::Host), (hosts.local, AddressRole::Local)] {
            net.addresses.push(Address { iface: IfaceId(0), addr, prefix_len, role });
        }
        let any: IpAddr = if hosts.vip.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        net.routes.push(Route {
            prefix: (any, 0),
            iface: IfaceId(0),
            gateway: None,
            source: None,
            mtu: None,
        });
        locals.push(hosts.local);
    }
    let pool = LocalPool { id: PoolId(0), name: "lan".into(), addrs: locals.into(), ports: 1024..=65535 };
    let services = services.into_iter().map(Arc::new).collect();
    Snapshot {
        generation: 1,
        net: Net::build(net).expect("a valid network"),
        services: ServiceTable::build(services).expect("valid services"),
        pools: Pools::build(&[pool]),
        steering: Steering::new(1, [3; 16], NatSteering::Address { v4_prefix: 32, v6_prefix: 128 }),
        timeouts: Timeouts::default(),
        settings: Settings::default(),
    }
}

/// A director that goes by `snapshot`, within these limits.
pub(crate) fn director(snapshot: Snapshot, limits: &Limits) -> Director {
    let shared = vec![Arc::new(WorkerShared::new(limits))];
    Director::new(WorkerId(0), limits, Arc::new(snapshot), shared, 1).expect("memory")
}
