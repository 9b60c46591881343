//! What comes of a burst is what comes of its packets one after another: the same frames in the same order, the same counters, the same
//! connections. The packets are of all kinds that there are services for, in any order, good and bad.

use inet::{DropReason, PortIndex};
use ipvs::{Method, Protocol};
use proptest::prelude::*;
use wire::testing::{Frame, info, verify_checksums};
use wire::{Family, protocol, tcp};

use crate::cluster::{Cluster, Sent};
use crate::frames::{from_client, from_server, see};
use crate::site::{
    FAMILIES, LAN, METHODS, ROUTER_MAC, SERVER_PORT, Site, WAN, WAN_MAC, client, server, server_mac,
    service_endpoint, vip,
};

const FLAGS: [u8; 5] = [tcp::SYN, tcp::ACK, tcp::ACK | tcp::FIN, tcp::RST, tcp::SYN | tcp::ACK];

/// One packet of a burst, by what is random about it.
#[derive(Clone, Copy, Debug)]
struct Choice {
    family: bool,
    method: usize,
    udp: bool,
    client: u16,
    flags: usize,
    kind: u8,
}

fn choice() -> impl Strategy<Value = Choice> {
    let parts = (any::<bool>(), 0..METHODS.len(), any::<bool>(), 0..4_u16, 0..FLAGS.len(), 0..24_u8);
    parts.prop_map(|(family, method, udp, client, flags, kind)| Choice {
        family,
        method,
        udp,
        client,
        flags,
        kind,
    })
}

/// A request to a service; most of them plain, some with what only the hooks can tell what to do with.
fn request(choice: Choice) -> Vec<u8> {
    let family = FAMILIES[usize::from(choice.family)];
    let protocol = if choice.udp { Protocol::Udp } else { Protocol::Tcp };
    let service = service_endpoint(family, METHODS[choice.method]);
    let (from, flags) = (client(family, choice.client), FLAGS[choice.flags]);
    let plain = from_client(protocol, (from, 40_000 + choice.client).into(), service, flags, b"request");
    let frame = || Frame::new(from, service.ip()).mac(ROUTER_MAC, WAN_MAC);
    let upper = |frame: Frame| {
        if choice.udp { frame.udp(9, service.port()) } else { frame.tcp(9, service.port(), flags) }
    };
    match choice.kind {
        0 => upper(frame().ttl(1)).build(),
        1 if choice.udp => {
            frame().udp(40_000 + choice.client, service.port()).no_checksum().payload(b"x").build()
        }
        2 => upper(frame()).payload(&[1; 1460]).build(),
        3 => upper(Frame::new(vip(family), service.ip()).mac(ROUTER_MAC, WAN_MAC)).build(),
        4 => upper(Frame::new(from, server(family, 1)).mac(ROUTER_MAC, WAN_MAC)).build(),
        5 => frame().echo_request(1, 2).build(),
        6 => upper(Frame::new(from, service.ip()).mac(ROUTER_MAC, server_mac(9))).build(),
        7 => plain[..plain.len().min(38)].to_vec(),
        8 if family == Family::V4 => upper(frame().ip_options(&[1, 1, 1, 1])).build(),
        9 => upper(frame().bad_checksum()).build(),
        10 => {
            let mut padded = plain;
            padded.resize(padded.len() + 20, 0);
            padded
        }
        _ => plain,
    }
}

/// The reply to what reached a server.
fn reply(frame: &[u8], choice: Choice) -> Option<Vec<u8>> {
    let whole =
        matches!(info(frame).protocol, protocol::TCP | protocol::UDP) && verify_checksums(frame).is_ok();
    if !whole {
        return None;
    }
    let seen = see(frame);
    let of = if seen.protocol == protocol::UDP { Protocol::Udp } else { Protocol::Tcp };
    let answers = seen.dst.port() == SERVER_PORT;
    let flags = FLAGS[choice.flags];
    answers.then(|| from_server(server_mac(1), of, seen.dst, seen.src, flags, b"reply"))
}

struct Pair {
    singly: Cluster,
    bursts: Cluster,
}

impl Pair {
    fn new(workers: u16) -> Self {
        let site = Site::new(workers);
        Self { singly: Cluster::new(&site), bursts: Cluster::new(&site) }
    }

    /// Frames arrive at both; what left, which is the same.
    fn receive(&mut self, port: PortIndex, frames: &[Vec<u8>]) -> Sent {
        let mut all = Sent::default();
        for frame in frames {
            let sent = self.singly.receive_singly(0, port, frame);
            all.frames.extend(sent.frames);
            all.host.extend(sent.host);
        }
        let mut sent = self.bursts.receive_burst(0, port, frames);
        // What crosses rings arrives behind what does not, when a burst crosses together.
        if self.bursts.sum(|counters| &counters.to_ring) > 0 {
            for frames in [&mut all.frames, &mut sent.frames, &mut all.host, &mut sent.host] {
                frames.sort();
            }
        }
        assert_eq!((&sent.frames, &sent.host), (&all.frames, &all.host), "frames sent, frames to the host");
        sent
    }

    fn compare(&self) {
        assert_eq!(self.singly.connections(), self.bursts.connections());
        for &reason in DropReason::ALL {
            assert_eq!(self.singly.dropped(reason), self.bursts.dropped(reason), "{reason:?}");
        }
        assert_eq!(numbers(&self.singly), numbers(&self.bursts));
    }
}

/// Received, with bytes; bytes sent; made here; handed over; waiting.
fn numbers(cluster: &Cluster) -> [u64; 6] {
    [
        cluster.sum(|counters| &counters.rx),
        cluster.sum(|counters| &counters.rx_bytes),
        cluster.sum(|counters| &counters.tx_bytes),
        cluster.sum(|counters| &counters.generated),
        cluster.sum(|counters| &counters.to_ring),
        cluster.sum(|counters| &counters.held),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_burst_is_its_packets_one_after_another(
        workers in 1..3_u16,
        rounds in prop::collection::vec(
            (prop::collection::vec(choice(), 1..48), prop::collection::vec(choice(), 40), 0..4000_u64),
            1..5,
        ),
    ) {
        let mut pair = Pair::new(workers);
        for (requests, replies, pause_ms) in rounds {
            let requests: Vec<_> = requests.into_iter().map(request).collect();
            let sent = pair.receive(WAN, &requests);
            let reached = sent.frames.iter().filter(|(port, _)| *port == LAN);
            let replies: Vec<_> = reached.zip(replies).filter_map(|((_, frame), choice)| reply(frame, choice)).collect();
            pair.receive(LAN, &replies);
            pair.compare();
            pair.singly.advance(pause_ms);
            pair.bursts.advance(pause_ms);
            pair.compare();
        }
    }
}

#[test]
fn packets_of_one_connection_follow_its_first_in_one_burst() {
    for family in FAMILIES {
        for method in METHODS {
            let mut cluster = Cluster::new(&Site::new(1));
            let from = (client(family, 1), 40_000).into();
            let packet = |flags, payload: &[u8]| {
                from_client(Protocol::Tcp, from, service_endpoint(family, method), flags, payload)
            };
            let burst = [packet(tcp::SYN, b""), packet(tcp::ACK, b"1"), packet(tcp::ACK, b"2")];
            let sent = cluster.receive_burst(0, WAN, &burst);
            assert_eq!((sent.frames.len(), cluster.connections().len()), (3, 1), "{family:?} {method:?}");
            if method != Method::Tunnel {
                let payloads: Vec<_> = sent.frames.iter().map(|(_, frame)| see(frame).payload).collect();
                assert_eq!(payloads, [&b""[..], b"1", b"2"], "in their order");
            }
        }
    }
}

#[test]
fn a_neighbour_that_moves_is_followed_at_once() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(1));
        let from = (client(family, 1), 40_000).into();
        let packet = from_client(Protocol::Udp, from, service_endpoint(family, Method::Fullnat), 0, b"x");
        let burst = [packet.clone(), packet.clone(), packet];
        let first = cluster.receive_burst(0, WAN, &burst);
        assert_eq!(first.frames.len(), 3);
        let mut site = Site::new(1);
        let to = wire::ether::dst(&first.frames[2].1);
        let moved = wire::MacAddr([2, 7, 7, 7, 7, 7]);
        site.net.neighbours.iter_mut().filter(|one| one.mac == to).for_each(|one| one.mac = moved);
        cluster.apply(&site);
        let second = cluster.receive_burst(0, WAN, &burst);
        let macs: Vec<_> = second.frames.iter().map(|(_, frame)| wire::ether::dst(frame)).collect();
        assert_eq!(macs, [moved; 3], "{family:?}");
    }
}
