//! Nothing that comes in can bring a worker down, go missing, or disturb who behaves.

use std::net::SocketAddr;

use inet::PortIndex;
use ipvs::{Method, Protocol, Rng};
use wire::testing::{Frame, info};
use wire::tunnel::ipip::{self, Outer};
use wire::{Family, PacketBuf, VecBuf, ether, ipv6, protocol, sctp, tcp};

use crate::cluster::Cluster;
use crate::frames::{announce, answer, ask, from_client, from_server, see, tagged};
use crate::site::{
    FAMILIES, LAN, LAN_MAC, METHODS, PROTOCOLS, ROUTER_MAC, Site, VLAN_HOST_MAC, VLAN_ID, WAN, WAN_MAC,
    client, lan_address, local, router, server, server_mac, service_endpoint, vip, vlan_address, vlan_host,
    wan_address,
};

/// Damaged copies of each valid frame.
const FLIPS: usize = 2_000;

/// Valid frames of all kinds, and the port that each comes in on.
fn corpus() -> Vec<(PortIndex, Vec<u8>)> {
    let mut frames = Vec::new();
    for family in FAMILIES {
        let from = SocketAddr::new(client(family, 1), 4000);
        for method in METHODS {
            let service = service_endpoint(family, method);
            for protocol in PROTOCOLS {
                for flags in [tcp::SYN, tcp::ACK] {
                    frames.push((WAN, from_client(protocol, from, service, flags, b"payload")));
                }
            }
        }
        let header = tcp::Header { sport: 4000, dport: 80, seq: 1, ack: 0, flags: tcp::SYN, window: 1 };
        let to_vip = || Frame::new(from.ip(), vip(family)).mac(ROUTER_MAC, WAN_MAC);
        let options = [2, 4, 5, 0xb4, 1, 3, 3, 7];
        frames.push((WAN, to_vip().tcp_header(header, &options).build()));
        frames.push((WAN, to_vip().echo_request(1, 2).payload(b"echo").build()));
        frames.push((WAN, to_vip().udp(4000, 80).payload(&[1; 32]).fragment(0, true).build()));
        frames.push((WAN, to_vip().raw(protocol::UDP).payload(&[1; 32]).fragment(40, false).build()));
        frames.push((WAN, to_vip().raw(132).payload(&[1; 32]).build()));
        frames.extend(associations(from, service_endpoint(family, Method::Masquerade)));
        frames.push((WAN, to_vip().raw(protocol::ESP).payload(&[1; 32]).build()));
        frames.push((WAN, to_vip().raw(protocol::AH).payload(&[17; 32]).build()));
        frames.extend(to_lan(family));
        frames.extend(errors(family));
        frames.extend(link(family));
    }
    let options = [0x94, 4, 0, 0];
    let v4 = || Frame::v4("198.18.0.1", "192.0.2.100").mac(ROUTER_MAC, WAN_MAC);
    frames.push((WAN, v4().ip_options(&options).tcp(4000, 80, tcp::SYN).build()));
    frames.push((WAN, v4().udp(4000, 80).no_checksum().payload(b"none").build()));
    let v6 = || Frame::v6("2001:db8:ffff::1", "2001:db8:1::100").mac(ROUTER_MAC, WAN_MAC);
    let padding = [1, 4, 0, 0, 0, 0];
    for numbers in [&[0_u8][..], &[60], &[0, 43, 60]] {
        let with =
            |frame: Frame| numbers.iter().fold(frame, |frame, number| frame.extension(*number, &padding));
        frames.push((WAN, with(v6()).tcp(4000, 80, tcp::SYN).build()));
        frames.push((WAN, with(v6()).udp(4000, 80).fragment(0, true).build()));
        frames.push((WAN, with(v6()).echo_request(1, 1).build()));
    }
    frames.push((WAN, {
        let mut lldp = vec![0; 60];
        ether::write(&mut lldp, &wire::MacAddr([1, 0x80, 0xc2, 0, 0, 0xe]), &ROUTER_MAC, 0x88cc);
        lldp
    }));
    frames
}

/// SCTP that opens an association and goes on with bundles.
fn associations(from: SocketAddr, service: SocketAddr) -> Vec<(PortIndex, Vec<u8>)> {
    let chunks: [&[u8]; 5] = [
        &[sctp::INIT, 0, 0, 8, 1, 2, 3, 4],
        &[sctp::COOKIE_ECHO, 0, 0, 5, 9, 0, 0, 0, sctp::DATA, 0, 0, 5, 7],
        &[sctp::COOKIE_ECHO, 0, 0, 4, sctp::ABORT, 0, 0, 4],
        &[sctp::INIT, 0, 0, 0],
        &[sctp::COOKIE_ACK, 0, 0xff, 0xff, sctp::ABORT, 0, 0, 0],
    ];
    let frame = |chunks: &[u8]| {
        let frame = Frame::new(from.ip(), service.ip()).mac(ROUTER_MAC, WAN_MAC);
        (WAN, frame.sctp(from.port(), service.port(), 1).payload(chunks).build())
    };
    chunks.into_iter().map(frame).collect()
}

/// Replies, packets that pass, and packets on the VLAN.
fn to_lan(family: Family) -> Vec<(PortIndex, Vec<u8>)> {
    let from = SocketAddr::new(server(family, 1), 8080);
    let reply = |to| from_server(server_mac(1), Protocol::Tcp, from, to, tcp::SYN | tcp::ACK, b"reply");
    let on_vlan = |to| {
        tagged(&Frame::new(vlan_host(family), to).mac(VLAN_HOST_MAC, LAN_MAC).udp(1, 2).build(), VLAN_ID)
    };
    vec![
        (LAN, reply(SocketAddr::new(client(family, 1), 4000))),
        (LAN, reply(SocketAddr::new(local(family), 5000))),
        (LAN, reply(SocketAddr::new(lan_address(family), 22))),
        (LAN, on_vlan(client(family, 1))),
        (LAN, on_vlan(vip(family))),
        (LAN, on_vlan(vlan_address(family))),
        (WAN, from_client(Protocol::Udp, from, SocketAddr::new(server(family, 2), 9), 0, &[7; 64])),
    ]
}

/// ICMP errors from both sides, and about tunnel packets.
fn errors(family: Family) -> Vec<(PortIndex, Vec<u8>)> {
    let (unreachable, exceeded, too_big) =
        if family == Family::V4 { ((3, 3), (11, 0), (3, 4)) } else { ((1, 4), (3, 0), (2, 0)) };
    let from = SocketAddr::new(client(family, 1), 4000);
    let mut frames = Vec::new();
    for (kind, code) in [unreachable, exceeded, too_big] {
        for method in METHODS {
            let service = service_endpoint(family, method);
            let quoted = from_server(LAN_MAC, Protocol::Udp, service, from, 0, b"quoted");
            let error = Frame::new(router(family), service.ip()).mac(ROUTER_MAC, WAN_MAC);
            frames.push((WAN, error.icmp(kind, code, 1400).quote(&quoted, 200).build()));
        }
        let to = SocketAddr::new(server(family, 1), 8080);
        let quoted = from_server(LAN_MAC, Protocol::Udp, from, to, 0, b"quoted");
        let error = Frame::new(to.ip(), from.ip()).mac(server_mac(1), LAN_MAC);
        frames.push((LAN, error.icmp(kind, code, 1400).quote(&quoted, 200).build()));

        let service = service_endpoint(family, Method::Tunnel);
        let mut quoted = VecBuf::new(&from_client(Protocol::Udp, from, service, 0, b"quoted"));
        let outer = Outer {
            src: lan_address(family),
            dst: server(family, 1),
            ttl: 63,
            tos: 0,
            dont_fragment: true,
            id: 7,
        };
        let inner = info(quoted.bytes());
        ipip::encap(&mut quoted, &inner, &outer).expect("headroom");
        let error = Frame::new(server(family, 1), lan_address(family)).mac(server_mac(1), LAN_MAC);
        frames.push((LAN, error.icmp(kind, code, 1400).quote(quoted.bytes(), 200).build()));
        frames.push((LAN, quoted.bytes().to_vec()));
    }
    frames
}

/// ARP and Neighbour Discovery.
fn link(family: Family) -> Vec<(PortIndex, Vec<u8>)> {
    let question = ask(LAN_MAC, lan_address(family), server(family, 9));
    vec![
        (WAN, ask(ROUTER_MAC, router(family), vip(family))),
        (LAN, ask(server_mac(1), server(family, 1), local(family))),
        (LAN, tagged(&ask(VLAN_HOST_MAC, vlan_host(family), vlan_address(family)), VLAN_ID)),
        (LAN, announce(server_mac(9), server(family, 9))),
        (LAN, answer(&question, server_mac(9))),
        (WAN, ask(ROUTER_MAC, router(family), wan_address(family))),
    ]
}

/// Connections that behave, opened before and used after everything.
struct Valid {
    clients: Vec<(Family, Protocol, Method, SocketAddr)>,
}

impl Valid {
    fn new() -> Self {
        let mut clients = Vec::new();
        for family in FAMILIES {
            for protocol in PROTOCOLS {
                for method in METHODS {
                    let from = SocketAddr::new(client(family, 500 + clients.len() as u16), 6000);
                    clients.push((family, protocol, method, from));
                }
            }
        }
        Self { clients }
    }

    fn exchange(&self, cluster: &mut Cluster, flags: u8) {
        for (family, protocol, method, from) in self.clients.iter().copied() {
            let service = service_endpoint(family, method);
            let sent = cluster.receive(0, WAN, &from_client(protocol, from, service, flags, b"?"));
            let out = sent.only(LAN);
            if method.input_only() {
                continue;
            }
            let seen = see(out);
            let flags = flags | tcp::ACK;
            let reply = from_server(ether::dst(out), protocol, seen.dst, seen.src, flags, b"!");
            let seen = see(cluster.receive(1, LAN, &reply).only(WAN));
            assert_eq!((seen.src, seen.dst, &seen.payload[..]), (service, from, &b"!"[..]));
        }
    }
}

#[test]
fn the_frames_are_valid_and_of_many_kinds() {
    let mut cluster = Cluster::new(&Site::new(2));
    let frames = corpus();
    for (port, frame) in &frames {
        cluster.receive(0, *port, frame);
    }
    let dropped: Vec<_> = inet::DropReason::ALL
        .iter()
        .filter(|reason| cluster.dropped(**reason) > 0)
        .map(|reason| reason.name())
        .collect();
    // Valid, but nothing that we can pass on: fragments of services, FULLNAT replies of nothing.
    let parse_errors = wire::ParseError::ALL.map(|error| inet::DropReason::from(error).name());
    assert!(dropped.iter().all(|name| !parse_errors.contains(name)), "{dropped:?}");
    assert!(cluster.sum(|counters| &counters.tx) as usize > frames.len() / 2);
}

#[test]
fn every_truncation_is_accounted_for() {
    let mut cluster = Cluster::new(&Site::new(2));
    let valid = Valid::new();
    valid.exchange(&mut cluster, tcp::SYN);
    for (port, frame) in corpus() {
        for len in 0..frame.len() {
            cluster.receive(len % 2, port, &frame[..len]);
            // The same with what a short Ethernet frame is padded with.
            let mut padded = frame[..len].to_vec();
            padded.resize(len.max(60), 0);
            cluster.receive(len % 2, port, &padded);
        }
    }
    cluster.advance(0);
    valid.exchange(&mut cluster, tcp::ACK);
    for reason in wire::ParseError::ALL.iter().take(1).map(|error| inet::DropReason::from(*error)) {
        assert!(cluster.dropped(reason) > 0, "{}", reason.name());
    }
}

#[test]
fn flipped_bits_are_accounted_for() {
    let mut cluster = Cluster::new(&Site::new(2));
    let valid = Valid::new();
    valid.exchange(&mut cluster, tcp::SYN);
    let mut rng = Rng::new(20);
    for (port, frame) in corpus() {
        for _ in 0..FLIPS {
            let mut damaged = frame.clone();
            for _ in 0..1 + rng.next_u64() % 4 {
                let bit = rng.next_u64() as usize % (damaged.len() * 8);
                damaged[bit / 8] ^= 1 << (bit % 8);
            }
            // Else most end at the IPv4 header checksum, and what comes after is hardly reached.
            if rng.next_u64().is_multiple_of(2) {
                mend(&mut damaged);
            }
            cluster.receive((rng.next_u64() % 2) as usize, port, &damaged);
        }
        cluster.now_ms += 1;
        cluster.advance(0);
    }
    valid.exchange(&mut cluster, tcp::ACK);
    let hit = inet::DropReason::ALL.iter().filter(|reason| cluster.dropped(**reason) > 0).count();
    assert!(hit >= 15, "{hit} kinds of drops: the damage reaches all stages");
}

/// Puts an IPv4 header checksum right, or an ICMPv6 one, where there may be one.
fn mend(frame: &mut [u8]) {
    let at = if frame.len() > 16 && ether::ethertype(frame) == ether::VLAN { 18 } else { 14 };
    match frame.get(at).map(|first| first >> 4) {
        Some(4) => wire::ipv4::fill_checksum(&mut frame[at..]),
        Some(6) if at == 14 && frame.len() > at + ipv6::HEADER_LEN => {
            if let Ok(wire::Parsed::Ip(info)) = wire::parse(frame)
                && info.protocol == protocol::ICMPV6
            {
                wire::icmpv6::fill_checksum(frame, &info);
            }
        }
        _ => {}
    }
}
