//! Where the tests take place: clients behind a router on the wan port, servers on the lan port and on a VLAN of it, and
//! one service for each family, protocol and forwarding method.
//!
//! ```text
//! client 198.51.100.n ── router .254 ── wan 192.0.2.1, VIP .100 [director] lan 10.0.2.1 ── servers 10.0.2.11, .12
//!                                                                          lan.100 10.0.3.1
//! ```

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use inet::{Address, AddressRole, Iface, IfaceId, Net, NetConfig, PortIndex, Route, StaticNeighbour};
use ipvs::marks::{MarkRule, Marks};
use ipvs::pool::Pools;
use ipvs::{
    Dest, DestId, LocalPool, Method, NatSteering, PoolId, Protocol, SchedulerKind, Service, ServiceId,
    ServiceKey, ServiceTable, Settings, Snapshot, Steering, Timeouts,
};
use wire::{Family, MacAddr};

pub const WAN: PortIndex = PortIndex(0);
pub const LAN: PortIndex = PortIndex(1);
pub const WAN_IFACE: IfaceId = IfaceId(0);
pub const LAN_IFACE: IfaceId = IfaceId(1);
pub const VLAN_IFACE: IfaceId = IfaceId(2);
pub const VLAN_ID: u16 = 100;

pub const WAN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub const LAN_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 1, 0xfe]);

pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
pub const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
pub const METHODS: [Method; 4] = [Method::Masquerade, Method::Fullnat, Method::DirectRouting, Method::Tunnel];
pub const BY_ADDRESS: NatSteering = NatSteering::Address { v4_prefix: 32, v6_prefix: 128 };

/// Where translated packets arrive on a server.
pub const SERVER_PORT: u16 = 8080;
/// Servers of each service.
pub const SERVERS: u8 = 2;

fn address(family: Family, v4: &str, v6: &str) -> IpAddr {
    let text = if family == Family::V4 { v4 } else { v6 };
    text.parse().expect("an address")
}

pub fn vip(family: Family) -> IpAddr {
    address(family, "192.0.2.100", "2001:db8:1::100")
}

pub fn wan_address(family: Family) -> IpAddr {
    address(family, "192.0.2.1", "2001:db8:1::1")
}

pub fn lan_address(family: Family) -> IpAddr {
    address(family, "10.0.2.1", "2001:db8:2::1")
}

pub fn vlan_address(family: Family) -> IpAddr {
    address(family, "10.0.3.1", "2001:db8:3::1")
}

pub fn router(family: Family) -> IpAddr {
    address(family, "192.0.2.254", "2001:db8:1::fe")
}

pub fn local(family: Family) -> IpAddr {
    address(family, "10.0.2.200", "2001:db8:2::200")
}

/// The `n`th server, from 1.
pub fn server(family: Family, n: u8) -> IpAddr {
    address(family, &format!("10.0.2.{}", 10 + n), &format!("2001:db8:2::{n:x}:b"))
}

pub fn server_mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 2, n])
}

/// A host behind the VLAN.
pub fn vlan_host(family: Family) -> IpAddr {
    address(family, "10.0.3.9", "2001:db8:3::9")
}

pub const VLAN_HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 3, 9]);

/// The `n`th client.
pub fn client(family: Family, n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    address(family, &format!("198.{}.{high}.{low}", 18), &format!("2001:db8:ffff::{n:x}"))
}

/// The virtual port of the services of a method.
pub fn port(method: Method) -> u16 {
    80 + METHODS.iter().position(|known| *known == method).expect("a known method") as u16
}

pub fn service_endpoint(family: Family, method: Method) -> SocketAddr {
    SocketAddr::new(vip(family), port(method))
}

/// What a director is configured with.
#[derive(Clone)]
pub struct Site {
    pub workers: u16,
    pub nat: NatSteering,
    pub net: NetConfig,
    pub services: Vec<Service>,
    pub marks: Vec<MarkRule>,
    /// Families of which there are local addresses.
    pub local_families: Vec<Family>,
    pub settings: Settings,
    pub generation: u64,
    /// Secret of the steering hash.
    pub key: [u8; 16],
}

impl Site {
    /// Everything, with neighbours known.
    pub fn new(workers: u16) -> Self {
        let mut site = Self::strange(workers);
        for family in FAMILIES {
            let mut know = |iface, addr, mac| site.net.neighbours.push(StaticNeighbour { iface, addr, mac });
            know(WAN_IFACE, router(family), ROUTER_MAC);
            (1..=SERVERS).for_each(|n| know(LAN_IFACE, server(family, n), server_mac(n)));
            know(VLAN_IFACE, vlan_host(family), VLAN_HOST_MAC);
        }
        site
    }

    /// Everything, but no neighbour is known.
    pub fn strange(workers: u16) -> Self {
        let mut site = Self {
            workers,
            nat: BY_ADDRESS,
            net: net(),
            services: Vec::new(),
            marks: Vec::new(),
            local_families: FAMILIES.to_vec(),
            settings: Settings::default(),
            generation: 1,
            key: [9; 16],
        };
        for method in METHODS {
            for family in FAMILIES {
                PROTOCOLS.into_iter().for_each(|protocol| site.add_service(family, protocol, method));
            }
        }
        site
    }

    /// Adds a service with both servers behind it.
    pub fn add_service(&mut self, family: Family, protocol: Protocol, method: Method) {
        let id = ServiceId(self.services.len() as u32);
        let translates = matches!(method, Method::Masquerade | Method::Fullnat);
        let server_port = if translates { SERVER_PORT } else { port(method) };
        let dest =
            |n: u8| Dest::new(DestId(id.0 * 16 + u32::from(n)), server(family, n), server_port, method);
        let key = ServiceKey::Address { protocol, addr: vip(family), port: port(method) };
        self.services.push(Service {
            pool: Some(PoolId(0)),
            dests: (1..=SERVERS).map(dest).collect(),
            epoch: self.generation,
            ..Service::new(id, key, SchedulerKind::Rr)
        });
    }

    /// One service, to change.
    pub fn service(&mut self, family: Family, protocol: Protocol, method: Method) -> &mut Service {
        let key = ServiceKey::Address { protocol, addr: vip(family), port: port(method) };
        self.services.iter_mut().find(|service| service.key == key).expect("a service of this kind")
    }

    /// The configuration that follows `previous`.
    pub fn snapshot(&self, previous: Option<&Snapshot>) -> Arc<Snapshot> {
        let services = self.services.iter().cloned().map(Arc::new).collect();
        let services = match previous {
            Some(previous) => ServiceTable::build_after(&previous.services, services),
            None => ServiceTable::build(services),
        };
        let pool = LocalPool {
            id: PoolId(0),
            name: "lan".into(),
            addrs: self.local_families.iter().copied().map(local).collect(),
            ports: 1024..=65535,
        };
        let marks = Marks::new(self.marks.clone());
        Arc::new(Snapshot {
            generation: self.generation,
            net: Net::build(self.net.clone()).expect("a sound network"),
            services: services.expect("services that differ").with_marks(Arc::new(marks)),
            pools: Pools::build(&[pool]),
            steering: Steering::new(self.workers, self.key, self.nat),
            timeouts: Timeouts::default(),
            settings: self.settings,
        })
    }
}

fn net() -> NetConfig {
    let iface = |id: IfaceId, name: &str, port, vlan, mac| Iface {
        id,
        name: name.into(),
        port,
        vlan,
        mac,
        mtu: 1500,
    };
    let mut net = NetConfig {
        ifaces: vec![
            iface(WAN_IFACE, "wan", WAN, None, WAN_MAC),
            iface(LAN_IFACE, "lan", LAN, None, LAN_MAC),
            iface(VLAN_IFACE, "lan.100", LAN, Some(VLAN_ID), LAN_MAC),
        ],
        ..NetConfig::default()
    };
    for family in FAMILIES {
        let (subnet, whole) = if family == Family::V4 { (24, 32) } else { (64, 128) };
        for (iface, addr, prefix_len, role) in [
            (WAN_IFACE, wan_address(family), subnet, AddressRole::Host),
            (WAN_IFACE, vip(family), whole, AddressRole::Host),
            (LAN_IFACE, lan_address(family), subnet, AddressRole::Host),
            (LAN_IFACE, local(family), whole, AddressRole::Local),
            (VLAN_IFACE, vlan_address(family), subnet, AddressRole::Host),
        ] {
            net.addresses.push(Address { iface, addr, prefix_len, role });
        }
        let any = address(family, "0.0.0.0", "::");
        let gateway = Some(router(family));
        net.routes.push(Route { prefix: (any, 0), iface: WAN_IFACE, gateway, source: None, mtu: None });
    }
    net
}
