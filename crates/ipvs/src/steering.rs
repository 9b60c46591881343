//! Which worker owns a packet's connection: a pure function of packet and configuration.
//!
//! A *slot* (one of 256) comes from the client, by a keyed hash of its endpoint or of its masked address; a map says
//! which worker owns a slot. Both directions of a connection, and ICMP errors about either, lead to the same slot:
//!
//! | packet | slot from |
//! | --- | --- |
//! | to a local address (FULLNAT reply) | low byte of the local port, which was chosen to be the slot |
//! | to a service | the client: its endpoint, or by the NAT rule if the service has a masquerade destination |
//! | to a service with a helper, or to another port of its address where there is no service | the client: its address, or by the NAT rule if the service has a masquerade destination |
//! | reply of a masquerade destination | the client, by the NAT rule: a reply does not name its service |
//! | reply under the service's own address, by the host or overheard | the client, as a packet to the service |
//! | ICMP error | the packet that it quotes, reversed |
//!
//! The NAT rule is one for all services. A connection keeps its owner only as long as its slot stays the same: number of
//! workers, key and NAT rule must not change while connections live, and a service without masquerade destinations
//! that gets its first one moves (unless the rule is `Endpoint`, or there is one worker).
//!
//! Fragments of a datagram meet at a worker that their addresses and identification name ([`Steering::gatherer`]); the whole
//! then goes to its owner. A fragment that is not gathered and carries no ports has no owner; it stays where it is.
//! AH and ESP go where their key exchange goes, fragments that pass as they are too.

use core::net::{IpAddr, SocketAddr};

use wire::{Family, Fragment, PacketInfo, parse_quoted, protocol};

use crate::icmp::tunnelled;
use crate::protocol::Ports;
use crate::siphash::siphash13;
use crate::{Protocol, Snapshot, WorkerId};

/// Number of slots: a slot is a byte, so that a port can carry it.
pub const SLOTS: usize = 256;

/// A share of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u8);

/// The rule for connections whose replies only name the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatSteering {
    /// By the client's address under a prefix: all connections of a client (or of its network) at one worker.
    Address {
        /// Bits of an IPv4 address that count, at most 32.
        v4_prefix: u8,
        /// Bits of an IPv6 address that count, at most 128.
        v6_prefix: u8,
    },
    /// By the client's address and port.
    Endpoint,
}

/// How connections are divided among workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering {
    workers: u16,
    key: [u8; 16],
    slot_map: Box<[WorkerId; SLOTS]>,
    by_worker: Box<[Box<[Slot]>]>,
    nat: NatSteering,
}

impl Steering {
    /// Slots in turn to `workers` workers, of which there must be 1 to 256. The key is to be random, and the same as long
    /// as connections live.
    pub fn new(workers: u16, key: [u8; 16], nat: NatSteering) -> Self {
        assert!((1..=SLOTS as u16).contains(&workers), "{workers} workers; there must be 1 to {SLOTS}");
        let slot_map = Box::new(core::array::from_fn(|slot| WorkerId(slot as u16 % workers)));
        let of =
            |worker| (0..=u8::MAX).map(Slot).filter(|slot| u16::from(slot.0) % workers == worker).collect();
        let by_worker = (0..workers).map(of).collect();
        Self { workers, key, slot_map, by_worker, nat }
    }

    /// Number of workers.
    pub fn workers(&self) -> u16 {
        self.workers
    }

    /// The rule for masquerade destinations.
    pub fn nat(&self) -> NatSteering {
        self.nat
    }

    /// The worker that owns a slot.
    pub fn owner_of(&self, slot: Slot) -> WorkerId {
        self.slot_map[usize::from(slot.0)]
    }

    /// The worker that gathers the fragments of a datagram, by what they have in common.
    pub fn gatherer(&self, datagram: &[u64; 5]) -> WorkerId {
        let mut bytes = [0; 40];
        bytes.as_chunks_mut::<8>().0.iter_mut().zip(datagram).for_each(|(to, word)| *to = word.to_be_bytes());
        self.owner_of(Slot((siphash13(&self.key, &bytes) >> 56) as u8))
    }

    /// The slots that a worker owns; none if there is no such worker.
    pub fn slots(&self, worker: WorkerId) -> &[Slot] {
        self.by_worker.get(usize::from(worker.0)).map_or(&[], |slots| slots)
    }

    /// The slot of a client's connections to a service. `masquerades` says whether the service has a masquerade
    /// destination.
    pub fn client_slot(&self, addr: IpAddr, port: u16, masquerades: bool) -> Slot {
        match self.nat {
            NatSteering::Address { v4_prefix, v6_prefix } if masquerades => {
                let masked = match addr {
                    IpAddr::V4(addr) => IpAddr::V4((addr.to_bits() & mask_v4(v4_prefix)).into()),
                    IpAddr::V6(addr) => IpAddr::V6((addr.to_bits() & mask_v6(v6_prefix)).into()),
                };
                self.hash(masked, 0)
            }
            _ => self.hash(addr, port),
        }
    }

    /// The slot of a client's connections to a service with a helper: what the helper expects comes from other ports.
    pub fn address_slot(&self, addr: IpAddr, masquerades: bool) -> Slot {
        if masquerades { self.client_slot(addr, 0, true) } else { self.hash(addr, 0) }
    }

    fn hash(&self, addr: IpAddr, port: u16) -> Slot {
        let mut bytes = [0; 18];
        let len = match addr {
            IpAddr::V4(addr) => {
                bytes[..4].copy_from_slice(&addr.octets());
                4
            }
            IpAddr::V6(addr) => {
                bytes[..16].copy_from_slice(&addr.octets());
                16
            }
        };
        bytes[len..len + 2].copy_from_slice(&port.to_be_bytes());
        Slot((siphash13(&self.key, &bytes[..len + 2]) >> 56) as u8)
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

/// The worker that owns the connection which this packet belongs to or could begin; `None` if any worker may handle
/// it. `frame` is the one that `info` was parsed from.
pub fn owner(snapshot: &Snapshot, frame: &[u8], info: &PacketInfo) -> Option<WorkerId> {
    slot(snapshot, frame, info).map(|slot| snapshot.steering.owner_of(slot))
}

/// The worker that owns, or would own, a client's connection to a service. `None`: its packets stay where they arrive.
pub(crate) fn client_owner(
    snapshot: &Snapshot,
    protocol: u8,
    client: SocketAddr,
    service: SocketAddr,
) -> Option<WorkerId> {
    let alone = (snapshot.steering.workers() == 1).then_some(WorkerId(0));
    alone.or_else(|| {
        let protocol = Protocol::from_number(protocol)?;
        let flow = Flow { protocol, src: (client.ip(), client.port()), dst: (service.ip(), service.port()) };
        Some(snapshot.steering.owner_of(flow_slot(snapshot, &flow)?))
    })
}

/// The worker that packets to a local port (FULLNAT) lead to.
pub(crate) fn local_owner(snapshot: &Snapshot, port: u16) -> WorkerId {
    snapshot.steering.owner_of(Slot(port as u8))
}

/// The slot that decides the owner.
pub fn slot(snapshot: &Snapshot, frame: &[u8], info: &PacketInfo) -> Option<Slot> {
    match (info.family, info.protocol) {
        (Family::V4, protocol::ICMP) | (Family::V6, protocol::ICMPV6) => {
            quoted_slot(snapshot, &quoted_flow(snapshot, frame, info)?)
        }
        _ => {
            let flow = Flow::of(frame, info)?;
            marked_slot(snapshot, info, &flow).or_else(|| flow_slot(snapshot, &flow))
        }
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    protocol: Protocol,
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
}

impl Flow {
    fn of(frame: &[u8], info: &PacketInfo) -> Option<Self> {
        let protocol = Protocol::of(info)?;
        if info.fragment == Fragment::Later && !protocol.goes_by_address() {
            return None;
        }
        let Ports { protocol, sport, dport } = Ports::of(info);
        let (src, dst) = ((info.src(frame), sport), (info.dst(frame), dport));
        Some(Self { protocol: Protocol::from_number(protocol)?, src, dst })
    }

    fn reversed(self) -> Self {
        Self { protocol: self.protocol, src: self.dst, dst: self.src }
    }
}

fn flow_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    local_slot(snapshot, flow)
        .or_else(|| service_slot(snapshot, flow))
        .or_else(|| overheard_slot(snapshot, flow))
        .or_else(|| reply_slot(snapshot, flow))
}

/// To a FULLNAT local address.
fn local_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    let own = snapshot.net.own(flow.dst.0)?;
    (own.role == inet::AddressRole::Local).then_some(Slot(flow.dst.1 as u8))
}

/// From a client to a service by mark. What goes to a FULLNAT local address is a reply, whatever mark it has.
fn marked_slot(snapshot: &Snapshot, info: &PacketInfo, flow: &Flow) -> Option<Slot> {
    if info.mark == 0 || local_slot(snapshot, flow).is_some() {
        return None;
    }
    let (service, masquerades) = snapshot.services.marked(info.mark, info.family)?;
    let (client, port) = flow.src;
    Some(match service.persistence {
        Some(persistence) => snapshot.steering.address_slot(persistence.mask.apply(client), masquerades),
        None => snapshot.steering.client_slot(client, port, masquerades),
    })
}

/// From a client to a service. Of a persistent one all clients that are one go to one worker, which has their template.
fn service_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    let (protocol, (addr, port)) = match flow.protocol {
        // A call goes where its control connection goes.
        Protocol::Gre => (Protocol::Tcp, (flow.dst.0, wire::pptp::PORT)),
        protocol => (protocol, flow.dst),
    };
    if let Some(masquerades) = snapshot.services.helped(protocol, addr, port) {
        return Some(snapshot.steering.address_slot(flow.src.0, masquerades));
    }
    if let Some((mask, masquerades)) = snapshot.services.persistent(protocol, addr, port) {
        return Some(snapshot.steering.address_slot(mask.apply(flow.src.0), masquerades));
    }
    let masquerades = snapshot.services.masquerades(protocol, addr, port)?;
    Some(snapshot.steering.client_slot(flow.src.0, flow.src.1, masquerades))
}

/// From a service to a client: by the host, or by a destination that answers on its own and happens to pass here.
fn overheard_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    let ours = snapshot.net.own(flow.src.0).is_some();
    ours.then(|| service_slot(snapshot, &flow.reversed())).flatten()
}

/// From a masquerade destination to a client. One that was removed still has its connections: so while there is any
/// masquerade destination, whatever passes through is taken for a reply.
fn reply_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    let passes = || snapshot.services.any_masquerade() && snapshot.net.own(flow.dst.0).is_none();
    let reply = snapshot.services.is_real_server(flow.protocol, flow.src.0, flow.src.1) || passes();
    reply.then(|| snapshot.steering.client_slot(flow.dst.0, flow.dst.1, true))
}

/// The packet that an ICMP error is about, or the one inside it if that was a tunnel's.
fn quoted_flow(snapshot: &Snapshot, frame: &[u8], info: &PacketInfo) -> Option<Flow> {
    let quoted = parse_quoted(frame, info)?;
    match tunnelled(snapshot, frame, &quoted.packet) {
        Some(inside) => Flow::of(frame, &inside),
        None => Flow::of(frame, &quoted.packet),
    }
}

/// An error about a packet goes to whom its reply goes. What the director sends to a destination without a change (DR,
/// inside a tunnel) names the service as it stands.
fn quoted_slot(snapshot: &Snapshot, quoted: &Flow) -> Option<Slot> {
    let reply = quoted.reversed();
    local_slot(snapshot, &reply)
        .or_else(|| service_slot(snapshot, &reply))
        .or_else(|| service_slot(snapshot, quoted))
        .or_else(|| reply_slot(snapshot, &reply))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Pool, Pools, allocate};
    use crate::{
        Dest, DestId, GueChecksum, LocalPool, Method, PoolId, Rng, SchedulerKind, Service, ServiceId,
        ServiceKey, ServiceTable, Settings, Timeouts, Tunnel,
    };
    use inet::{Address, AddressRole, Iface, IfaceId, Net, NetConfig, PortIndex};
    use proptest::prelude::*;
    use std::sync::Arc;
    use wire::ether::MacAddr;
    use wire::testing::Frame;
    use wire::{PacketBuf, VecBuf};

    const METHODS: [Method; 4] = [Method::Masquerade, Method::Tunnel, Method::DirectRouting, Method::Fullnat];
    const NAT_RULES: [NatSteering; 3] = [
        NatSteering::Address { v4_prefix: 32, v6_prefix: 128 },
        NatSteering::Address { v4_prefix: 24, v6_prefix: 56 },
        NatSteering::Endpoint,
    ];

    struct Sides {
        vip: IpAddr,
        server: IpAddr,
        local: IpAddr,
        own: IpAddr,
    }

    fn sides(family: Family) -> Sides {
        let parse = |v4: &str, v6: &str| if family == Family::V4 { v4 } else { v6 }.parse().unwrap();
        Sides {
            vip: parse("192.0.2.100", "2001:db8:1::100"),
            server: parse("10.0.2.11", "2001:db8:2::b"),
            local: parse("10.0.2.200", "2001:db8:2::200"),
            own: parse("10.0.2.1", "2001:db8:2::1"),
        }
    }

    fn local_pool() -> LocalPool {
        let addrs = [sides(Family::V4).local, sides(Family::V6).local].into();
        LocalPool { id: PoolId(0), name: "lan".into(), addrs, ports: 1024..=65535 }
    }

    /// For both families, TCP and UDP: port 80 with one destination of the method, at its port 8080.
    fn snapshot(methods: &[Method], nat: NatSteering, workers: u16) -> Snapshot {
        let iface = Iface {
            id: IfaceId(0),
            name: "lan".into(),
            port: PortIndex(0),
            vlan: None,
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
        };
        let mut net = NetConfig { ifaces: vec![iface], ..NetConfig::default() };
        let mut services = Vec::new();
        for family in [Family::V4, Family::V6] {
            let Sides { vip, server, local, own } = sides(family);
            for (addr, role) in
                [(vip, AddressRole::Host), (own, AddressRole::Host), (local, AddressRole::Local)]
            {
                let prefix_len = if addr.is_ipv4() { 32 } else { 128 };
                net.addresses.push(Address { iface: IfaceId(0), addr, prefix_len, role });
            }
            for (protocol, &method) in
                Protocol::BALANCED.into_iter().flat_map(|p| methods.iter().map(move |m| (p, m)))
            {
                let id = services.len() as u32;
                let dests = [Dest::new(DestId(id), server, 8080 + id as u16, method)];
                let port = 80 + METHODS.iter().position(|&m| m == method).unwrap() as u16;
                let key = ServiceKey::Address { protocol, addr: vip, port };
                services.push(Arc::new(Service {
                    pool: Some(PoolId(0)),
                    dests: dests.into(),
                    ..Service::new(ServiceId(id), key, SchedulerKind::Rr)
                }));
            }
        }
        Snapshot {
            generation: 1,
            net: Net::build(net).unwrap(),
            services: ServiceTable::build(services).unwrap(),
            pools: Pools::build(&[local_pool()]),
            steering: Steering::new(workers, [3; 16], nat),
            timeouts: Timeouts::default(),
            settings: Settings::default(),
        }
    }

    fn owner_of(snapshot: &Snapshot, slot: Option<Slot>) -> Option<WorkerId> {
        slot.map(|slot| snapshot.steering.owner_of(slot))
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|n| IpAddr::V4((0xc633_0000 | n & 0xffff).into())),
            any::<u64>().prop_map(|n| IpAddr::V6(((0x2001_0db8_000c_u128 << 80) | u128::from(n)).into())),
        ]
    }

    /// The destination's endpoint behind the service that a client's packet goes to.
    fn server_of(snapshot: &Snapshot, request: &Flow) -> (IpAddr, u16) {
        let service = snapshot.services.find(request.protocol, request.dst.0, request.dst.1).unwrap();
        (service.dests[0].addr, service.dests[0].port)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever the method, family, rule and number of workers: all that belongs to a connection has one owner.
        #[test]
        fn both_directions_and_errors_have_one_owner(
            addr in address(),
            port in 1_u16..,
            method in prop::sample::select(METHODS.to_vec()),
            together in any::<bool>(),
            protocol in prop::sample::select(Protocol::BALANCED.to_vec()),
            nat in prop::sample::select(NAT_RULES.to_vec()),
            workers in 1_u16..=64,
            seed in any::<u64>(),
        ) {
            let alone = [method];
            let snapshot = snapshot(if together { &METHODS } else { &alone }, nat, workers);
            let family = crate::model::family_of(addr);
            let vip = sides(family).vip;
            let vport = 80 + METHODS.iter().position(|&m| m == method).unwrap() as u16;
            let request = Flow { protocol, src: (addr, port), dst: (vip, vport) };
            let server = server_of(&snapshot, &request);
            let slot = flow_slot(&snapshot, &request);
            let want = owner_of(&snapshot, slot);
            prop_assert!(want.is_some_and(|worker| worker.0 < workers));

            // What the destination sees, and so answers or complains about.
            let forwarded = match method {
                _ if !method.translates() => request,
                Method::Masquerade => Flow { dst: server, ..request },
                _ => {
                    let pool = Pool::new(&local_pool());
                    let local = allocate(
                        pool.addrs(family), pool.ports(), slot.unwrap(), &snapshot.steering, want.unwrap(),
                        &mut Rng::new(seed), |_, port| seed % 3 != 0 || port as u8 != slot.unwrap().0,
                    );
                    Flow { protocol, src: local.unwrap(), dst: server }
                }
            };
            let about_request = quoted_slot(&snapshot, &forwarded);
            prop_assert_eq!(owner_of(&snapshot, about_request), want, "error about the request");
            if !method.input_only() {
                let reply = flow_slot(&snapshot, &forwarded.reversed());
                prop_assert_eq!(owner_of(&snapshot, reply), want, "reply");
                let about_reply = quoted_slot(&snapshot, &request.reversed());
                prop_assert_eq!(owner_of(&snapshot, about_reply), want, "error about the reply");
            }
        }

        /// Under the address rule a client's network stays together, for services that masquerade only.
        #[test]
        fn a_masked_network_stays_together(low in any::<[u16; 2]>(), ports in any::<[u16; 2]>()) {
            let steering = Steering::new(16, [9; 16], NAT_RULES[1]);
            let v4 = low.map(|n| IpAddr::V4((0xc633_6400 | u32::from(n & 0xff)).into()));
            let v6 = low.map(|n| IpAddr::V6(((0x2001_0db8_000c_u128 << 80) | u128::from(n)).into()));
            for addrs in [v4, v6] {
                prop_assert_eq!(
                    steering.client_slot(addrs[0], ports[0], true),
                    steering.client_slot(addrs[1], ports[1], true)
                );
            }
        }
    }

    fn owner_of_frame(snapshot: &Snapshot, frame: &[u8]) -> Option<WorkerId> {
        let Ok(wire::Parsed::Ip(info)) = wire::parse(frame) else { panic!("no IP packet: {frame:?}") };
        owner(snapshot, frame, &info)
    }

    /// What the destination gets of a request, and what it sends back, as frames.
    fn forwarded_frame(
        method: Method,
        tunnel: Tunnel,
        client: IpAddr,
        sides: &Sides,
        local_port: u16,
    ) -> (Vec<u8>, Vec<u8>) {
        let sport = if method == Method::Fullnat { local_port } else { 3000 };
        let near = if method == Method::Fullnat { sides.local } else { client };
        let dport = 8080;
        match method {
            _ if !method.translates() => {
                let request = Frame::new(client, sides.vip).tcp(3000, 80, 2).build();
                let (src, dst) = (sides.own, sides.server);
                let outer = wire::tunnel::Outer { src, dst, ttl: 63, tos: 0, dont_fragment: true, id: 0 };
                let mut wrapped = VecBuf::new(&request);
                tunnel.encap(&mut wrapped, &wire::testing::info(&request), &outer, 1).unwrap();
                let wrapped = wrapped.bytes().to_vec();
                (if method == Method::Tunnel { wrapped } else { request.clone() }, request)
            }
            _ => (
                Frame::new(near, sides.server).tcp(sport, dport, 2).build(),
                Frame::new(sides.server, near).tcp(dport, sport, 0x12).build(),
            ),
        }
    }

    #[test]
    fn frames_of_a_connection_and_errors_about_them_have_one_owner() {
        let gue = Tunnel::Gue { port: 6080, checksum: GueChecksum::None };
        let tunnels = [Tunnel::Ipip, Tunnel::Gre { checksum: false }, Tunnel::Gre { checksum: true }, gue]
            .map(|tunnel| (Method::Tunnel, tunnel));
        let others = [Method::Masquerade, Method::DirectRouting, Method::Fullnat];
        let kinds = others.map(|method| (method, Tunnel::Ipip)).into_iter().chain(tunnels);
        for ((method, tunnel), (family, client)) in kinds.flat_map(|kind| {
            [(Family::V4, "198.51.100.7"), (Family::V6, "2001:db8:c::7")].map(|client| (kind, client))
        }) {
            let name = format!("{method:?} {tunnel:?} {family:?}");
            let client: IpAddr = client.parse().unwrap();
            let (sides, error) = (sides(family), if family == Family::V4 { 3 } else { 1 });
            let mut snapshot = snapshot(&[method], NatSteering::Endpoint, 64);
            // One service on port 80 whichever the method.
            let service = Service {
                key: ServiceKey::Address { protocol: Protocol::Tcp, addr: sides.vip, port: 80 },
                dests: [Dest { port: 8080, addr: sides.server, tunnel, ..first_dest(&snapshot) }].into(),
                ..(**snapshot.services.iter().next().unwrap()).clone()
            };
            snapshot.services = ServiceTable::build(vec![Arc::new(service)]).unwrap();

            let request = Frame::new(client, sides.vip).tcp(3000, 80, 2).build();
            let want = owner_of_frame(&snapshot, &request);
            assert!(want.is_some(), "{name}");
            let local_port = 0x4000 | u16::from(snapshot.steering.client_slot(client, 3000, true).0);
            let (forwarded, reply) = forwarded_frame(method, tunnel, client, &sides, local_port);
            assert_eq!(owner_of_frame(&snapshot, &reply), want, "{name}: reply");
            let back_to = if method == Method::Fullnat { sides.local } else { sides.own };
            for max in [128, 1280] {
                let about = Frame::new(sides.server, back_to).icmp(error, 0, 0).quote(&forwarded, max);
                assert_eq!(owner_of_frame(&snapshot, &about.build()), want, "{name}: error, {max} bytes");
            }
            let answer = Frame::new(sides.vip, client).tcp(80, 3000, 0x12).build();
            let about = Frame::new(client, sides.vip).icmp(error, 0, 0).quote(&answer, 1280).build();
            assert_eq!(owner_of_frame(&snapshot, &about), want, "{name}: error about the answer");
            let echo = Frame::new(client, sides.vip).echo_request(1, 1).build();
            assert_eq!(owner_of_frame(&snapshot, &echo), None, "{name}: echo");
        }
    }

    fn first_dest(snapshot: &Snapshot) -> Dest {
        snapshot.services.iter().next().unwrap().dests[0].clone()
    }

    #[test]
    fn what_concerns_no_connection_has_no_owner() {
        let snapshot = snapshot(&[Method::Fullnat, Method::DirectRouting], NatSteering::Endpoint, 4);
        let Sides { vip, server, own, .. } = sides(Family::V4);
        let client: IpAddr = [198, 51, 100, 7].into();
        for (name, dst) in [
            ("host's own address", (own, 22)),
            ("VIP, other port", (vip, 443)),
            ("passing through", (server, 80)),
        ] {
            let flow = Flow { protocol: Protocol::Tcp, src: (client, 4000), dst };
            assert_eq!(flow_slot(&snapshot, &flow), None, "{name}");
            assert_eq!(quoted_slot(&snapshot, &flow), None, "error about {name}");
        }
    }

    #[test]
    fn replies_of_removed_destinations_still_find_their_owner() {
        let snapshot = snapshot(&[Method::Masquerade], NatSteering::Endpoint, 4);
        let client: (IpAddr, u16) = ([198, 51, 100, 7].into(), 4000);
        let gone = ([10, 0, 2, 99].into(), 8080);
        let reply = Flow { protocol: Protocol::Tcp, src: gone, dst: client };
        let want = snapshot.steering.client_slot(client.0, client.1, true);
        assert_eq!(flow_slot(&snapshot, &reply), Some(want));
    }

    #[test]
    fn clients_spread_over_slots_and_workers() {
        for workers in [1_u16, 3, 64, 256] {
            let steering = Steering::new(workers, [1; 16], NatSteering::Endpoint);
            let mut counts = vec![0; usize::from(workers)];
            for n in 0..100_000_u32 {
                let slot = steering.client_slot([198, 51, (n >> 8) as u8, n as u8].into(), n as u16, false);
                counts[usize::from(steering.owner_of(slot).0)] += 1;
            }
            let fair = 100_000 / u32::from(workers);
            assert!(
                counts.iter().all(|&count| (fair / 2..=fair * 2).contains(&count)),
                "{workers}: {counts:?}"
            );
        }
    }

    #[test]
    fn every_slot_has_one_owner_that_lists_it() {
        for workers in [1, 2, 5, 64, 256] {
            let steering = Steering::new(workers, [0; 16], NatSteering::Endpoint);
            let mut listed = 0;
            for worker in (0..workers).map(WorkerId) {
                listed += steering.slots(worker).len();
                assert!(steering.slots(worker).iter().all(|&slot| steering.owner_of(slot) == worker));
            }
            assert_eq!(listed, SLOTS);
            assert!(steering.slots(WorkerId(workers)).is_empty());
        }
    }

    #[test]
    fn prefixes_mask_as_many_bits_as_they_say() {
        for (prefix, want) in [(0, 0), (8, 0xff00_0000), (32, u32::MAX), (40, u32::MAX)] {
            assert_eq!(mask_v4(prefix), want, "/{prefix}");
        }
        for (prefix, want) in [(0, 0), (64, u128::from(u64::MAX) << 64), (128, u128::MAX), (255, u128::MAX)] {
            assert_eq!(mask_v6(prefix), want, "/{prefix}");
        }
    }
}
