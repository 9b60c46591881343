//! One connection per flow over all workers, replies at its owner, nothing lost: whichever worker receives a packet.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use ipvs::{Method, NatSteering, Protocol, Rng};
use wire::testing::{Frame, info};
use wire::{Family, ether, icmp, icmpv6, tcp};

use crate::cluster::{Cluster, Sent};
use crate::frames::{from_client, from_server, inside, see, see_error};
use crate::site::{
    BY_ADDRESS, FAMILIES, LAN, LAN_MAC, METHODS, PROTOCOLS, ROUTER_MAC, SERVER_PORT, SERVERS, Site, WAN,
    WAN_MAC, client, local, server, server_mac, service_endpoint,
};

/// Which worker a packet comes to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
    /// One receiving queue.
    One,
    /// A NIC that hashes addresses and ports, the two directions apart.
    Hashed,
    /// Any, for each packet anew.
    Random,
}

const DELIVERIES: [Delivery; 3] = [Delivery::One, Delivery::Hashed, Delivery::Random];
/// Clients of each service.
const CLIENTS: u16 = 6;

struct Links {
    cluster: Cluster,
    workers: u16,
    delivery: Delivery,
    rng: Rng,
    steered: usize,
}

impl Links {
    fn new(workers: u16, nat: NatSteering, delivery: Delivery) -> Self {
        let site = Site { nat, ..Site::new(workers) };
        let cluster = Cluster::new(&site);
        Self { cluster, workers, delivery, rng: Rng::new(workers.into()), steered: 0 }
    }

    fn worker(&mut self, frame: &[u8]) -> usize {
        let number = match self.delivery {
            Delivery::One => 0,
            Delivery::Hashed => {
                let info = info(frame);
                let mut hasher = DefaultHasher::new();
                (info.src(frame), info.sport, info.dst(frame), info.dport).hash(&mut hasher);
                hasher.finish()
            }
            Delivery::Random => self.rng.next_u64() >> 7,
        };
        (number % u64::from(self.workers)) as usize
    }

    fn receive(&mut self, port: inet::PortIndex, frame: &[u8]) -> Sent {
        let worker = self.worker(frame);
        let sent = self.cluster.receive(worker, port, frame);
        self.steered += sent.steered;
        sent
    }
}

/// One client's traffic with one service.
struct Flow {
    family: Family,
    protocol: Protocol,
    method: Method,
    client: SocketAddr,
    service: SocketAddr,
    /// What the server sees as the client and as itself, and which server it is: known from the first packet.
    ends: Option<(SocketAddr, SocketAddr, u8)>,
}

impl Flow {
    fn all() -> Vec<Self> {
        let mut flows = Vec::new();
        for method in METHODS {
            for family in FAMILIES {
                for protocol in PROTOCOLS {
                    for _ in 0..CLIENTS {
                        let n = flows.len() as u16;
                        // Several connections of one client, and several clients with one port.
                        let client = SocketAddr::new(client(family, n / 3), 40_000 + n % 5);
                        let service = service_endpoint(family, method);
                        flows.push(Self { family, protocol, method, client, service, ends: None });
                    }
                }
            }
        }
        flows
    }

    fn answers_by_director(&self) -> bool {
        !self.method.input_only()
    }

    /// The client sends; the right server gets the right packet.
    fn request(&mut self, links: &mut Links, flags: u8, payload: &[u8]) {
        let frame = from_client(self.protocol, self.client, self.service, flags, payload);
        let sent = links.receive(WAN, &frame);
        let out = sent.only(LAN);
        let to = ether::dst(out);
        let number = (1..=SERVERS).find(|n| server_mac(*n) == to).expect("to a server");
        assert_eq!(ether::src(out), LAN_MAC);
        let server = server(self.family, number);
        let seen = match self.method {
            Method::Tunnel => {
                let outer = see(out);
                assert_eq!(outer.dst.ip(), server, "the tunnel's end");
                see(&inside(out))
            }
            _ => see(out),
        };
        let dst =
            if self.answers_by_director() { SocketAddr::new(server, SERVER_PORT) } else { self.service };
        assert_eq!(seen.dst, dst, "{:?}", self.method);
        assert_eq!((seen.payload.as_slice(), seen.ttl), (payload, 63));
        match self.method {
            Method::Fullnat => assert_eq!(seen.src.ip(), local(self.family)),
            _ => assert_eq!(seen.src, self.client),
        }
        let ends = (seen.src, dst, number);
        assert_eq!(*self.ends.get_or_insert(ends), ends, "as the connection's first packet");
    }

    /// The server answers; the client gets it from the service.
    fn reply(&self, links: &mut Links, flags: u8, payload: &[u8]) {
        if !self.answers_by_director() {
            return;
        }
        let (client, server, number) = self.ends.expect("a request came before");
        let frame = from_server(server_mac(number), self.protocol, server, client, flags, payload);
        let sent = links.receive(LAN, &frame);
        let out = sent.only(WAN);
        let seen = see(out);
        assert_eq!((seen.src, seen.dst), (self.service, self.client), "{:?}", self.method);
        assert_eq!((seen.payload.as_slice(), seen.ttl), (payload, 63));
        assert_eq!((ether::dst(out), ether::src(out)), (ROUTER_MAC, WAN_MAC));
    }

    /// The server's port is closed: the client hears so about its own packet.
    fn server_error(&self, links: &mut Links) {
        let (client, server, number) = self.ends.expect("a request came before");
        let request = from_server(server_mac(number), self.protocol, client, server, tcp::ACK, b"quoted");
        let (kind, code) = if self.family == Family::V4 { (3, 3) } else { (1, 4) };
        let error = Frame::new(server.ip(), client.ip())
            .mac(server_mac(number), LAN_MAC)
            .icmp(kind, code, 0)
            .quote(&request, 128)
            .build();
        let sent = links.receive(LAN, &error);
        let told = see_error(sent.only(WAN));
        assert_eq!((told.kind, told.code), (kind, code));
        assert_eq!((told.from, told.to), (self.service.ip(), self.client.ip()));
        assert_eq!(told.quoted, (self.client, self.service));
    }

    /// A router on the client's side has a small MTU: the server hears so about its own packet.
    fn client_error(&self, links: &mut Links) {
        let (client, server, _) = self.ends.expect("a request came before");
        let reply = from_client(self.protocol, self.service, self.client, tcp::ACK, b"quoted");
        let (kind, code) =
            if self.family == Family::V4 { (icmp::UNREACHABLE, 4) } else { (icmpv6::PACKET_TOO_BIG, 0) };
        let error = Frame::new(self.client.ip(), self.service.ip())
            .mac(ROUTER_MAC, WAN_MAC)
            .icmp(kind, code, 1400)
            .quote(&reply, 128)
            .build();
        let sent = links.receive(WAN, &error);
        let told = see_error(sent.only(LAN));
        assert_eq!((told.kind, told.code, told.rest), (kind, code, 1400));
        assert_eq!((told.from, told.to), (client.ip(), server.ip()));
        assert_eq!(told.quoted, (server, client));
    }
}

fn run(workers: u16, nat: NatSteering, delivery: Delivery) {
    let mut links = Links::new(workers, nat, delivery);
    let mut flows = Flow::all();
    for (from_client, from_server, payload) in [
        (tcp::SYN, tcp::SYN | tcp::ACK, &b""[..]),
        (tcp::ACK, tcp::ACK, b"GET /"),
        (tcp::ACK | tcp::PSH, tcp::ACK | tcp::PSH, b"an odd number of bytes."),
        (tcp::FIN | tcp::ACK, tcp::FIN | tcp::ACK, b""),
    ] {
        flows.iter_mut().for_each(|flow| flow.request(&mut links, from_client, payload));
        flows.iter().for_each(|flow| flow.reply(&mut links, from_server, payload));
    }
    for flow in flows.iter().filter(|flow| flow.answers_by_director()) {
        flow.server_error(&mut links);
        flow.client_error(&mut links);
    }

    let cluster = &links.cluster;
    let connections = cluster.connections();
    let name = |protocol: Option<Protocol>| protocol.map(Protocol::name);
    let seen: BTreeSet<_> =
        connections.iter().map(|(_, conn)| (name(conn.protocol), conn.client, conn.virtual_addr)).collect();
    let want: BTreeSet<_> =
        flows.iter().map(|flow| (name(Some(flow.protocol)), flow.client, flow.service)).collect();
    assert_eq!(want.len(), flows.len(), "the test's flows differ");
    assert_eq!(seen, want);
    assert_eq!(connections.len(), flows.len(), "one connection per flow over all workers");
    for (_, conn) in &connections {
        let replies = if conn.method.input_only() { 0 } else { 4 };
        assert_eq!((conn.in_pkts, conn.out_pkts), (4, replies), "{conn:?}");
    }
    let owners: BTreeSet<_> = connections.iter().map(|(worker, _)| worker).collect();
    assert_eq!(owners.len(), usize::from(workers), "each worker has a share");
    assert_eq!(links.steered > 0, workers > 1);
    assert_eq!(cluster.dropped_at_all(), 0);
    assert_eq!(cluster.sum(|counters| &counters.rx), cluster.sum(|counters| &counters.tx));
    assert_eq!(cluster.sum(|counters| &counters.to_host), 0);
}

#[test]
fn one_connection_per_flow_whoever_receives() {
    for workers in [1, 2, 4] {
        for nat in [BY_ADDRESS, NatSteering::Address { v4_prefix: 28, v6_prefix: 124 }, NatSteering::Endpoint]
        {
            DELIVERIES.into_iter().for_each(|delivery| run(workers, nat, delivery));
        }
    }
}

#[test]
fn replies_that_pass_by_are_heard_by_their_connections_owner() {
    for nat in [BY_ADDRESS, NatSteering::Endpoint] {
        let mut links = Links::new(4, nat, Delivery::Random);
        let mut flows = Flow::all();
        flows.retain(|flow| flow.method.input_only() && flow.family == Family::V6);
        for flow in &mut flows {
            flow.request(&mut links, tcp::SYN, b"");
            let (service, client) = (flow.service, flow.client);
            let flags = tcp::SYN | tcp::ACK;
            let frame = from_server(server_mac(1), flow.protocol, service, client, flags, b"direct");
            let seen = see(links.receive(LAN, &frame).only(WAN));
            assert_eq!((seen.src, seen.dst, &seen.payload[..]), (service, client, &b"direct"[..]));
        }
        for (worker, conn) in links.cluster.connections() {
            assert_eq!(conn.out_pkts, 1, "worker {worker}: {conn:?}");
        }
    }
}

#[test]
fn connections_end_at_their_time_on_every_worker() {
    let mut links = Links::new(4, BY_ADDRESS, Delivery::Random);
    let mut flows = Flow::all();
    flows.iter_mut().for_each(|flow| flow.request(&mut links, tcp::SYN, b""));
    assert_eq!(links.cluster.connections().len(), flows.len());
    // SYN_RECV lasts a minute, SYN_SENT two, INIT1 seconds, UDP five minutes.
    links.cluster.advance(130_000);
    let left = links.cluster.connections();
    assert!(left.iter().all(|(_, conn)| conn.protocol == Some(Protocol::Udp)));
    assert_eq!(left.len(), flows.len() / PROTOCOLS.len());
    links.cluster.advance(180_000);
    assert_eq!(links.cluster.connections().len(), 0);
}

#[test]
fn flushing_forgets_connections_of_all_workers() {
    let mut links = Links::new(4, BY_ADDRESS, Delivery::Hashed);
    let mut flows = Flow::all();
    flows.iter_mut().for_each(|flow| flow.request(&mut links, tcp::SYN, b""));
    assert_eq!(links.cluster.flush_connections(None), flows.len());
    assert_eq!(links.cluster.connections().len(), 0);
    // What a server still sends belongs to nothing: a FULLNAT reply ends here, a NAT reply passes as any packet does.
    let flow = flows.iter().find(|flow| flow.method == Method::Fullnat).expect("one");
    let (client, server, number) = flow.ends.expect("a request came before");
    let frame = from_server(server_mac(number), flow.protocol, server, client, tcp::ACK, b"");
    links.receive(LAN, &frame).nothing();
    assert_eq!(links.cluster.dropped(inet::DropReason::NotConnection), 1);
}
