//! Tunnels between any two families, and errors that routers on their way send.

use inet::DropReason;
use wire::parse::parse_encapsulated;
use wire::{Family, icmp, icmpv6, ipv4, ipv6, parse_quoted, protocol, tcp};

use crate::{FAMILIES, Hosts, ends, only, packet, pair, served};
use conformance::Lab;

/// The tunnel packet that `sent` becomes. Its checksums are right; UDP of a tunnel needs none over IPv6 either (RFC 6935).
fn tunnelled(lab: &mut Lab, sent: &[u8]) -> Vec<u8> {
    let outcome = lab.send('c', sent);
    let unchecked = |frame: &[u8]| {
        let info = wire::testing::info(frame);
        info.protocol == protocol::UDP && wire::udp::checksum(info.upper(frame)) == 0
    };
    match &outcome.out[..] {
        [('s', frame)] if unchecked(frame) => frame.clone(),
        _ => only(&outcome, 's').1.to_vec(),
    }
}

/// A service's connection through an IP-in-IP tunnel, open, and a packet of it wrapped.
fn opened(hosts: &Hosts, server: &str) -> (Lab, Vec<u8>) {
    opened_by("-i", hosts, server)
}

/// Other kinds of tunnel, and what they add to IP-in-IP.
const KINDS: [(&str, u32); 5] = [
    ("-i", 0),
    ("-i --tun-type gre", 4),
    ("-i --tun-type gre --tun-csum", 8),
    ("-i --tun-type gue --tun-port 6080", 12),
    ("-i --tun-type gue --tun-port 6080 --tun-csum", 12),
];

/// The same, by any kind of tunnel.
fn opened_by(kind: &str, hosts: &Hosts, server: &str) -> (Lab, Vec<u8>) {
    let mut lab = served(hosts, server, kind);
    let syn = packet(hosts.client, hosts.vip).dont_fragment().tcp(40_000, 80, tcp::SYN).build();
    let wrapped = tunnelled(&mut lab, &syn);
    (lab, wrapped)
}

/// "Too big" from a router on the tunnel's way.
fn too_big(mtu: u32, wrapped: &[u8], hosts: &Hosts) -> Vec<u8> {
    let director = if hosts.server.contains(':') { "2001:db8:2::1" } else { "10.0.2.1" };
    let (kind, code) = if hosts.server.contains(':') {
        (icmpv6::PACKET_TOO_BIG, 0)
    } else {
        (icmp::UNREACHABLE, icmp::FRAG_NEEDED)
    };
    packet(hosts.router, director).icmp(kind, code, mtu).quote(wrapped, 120).build()
}

#[test]
fn any_family_goes_in_any() {
    let [v4, v6] = &FAMILIES;
    for (inner, outer, number) in [
        (v4, v4, protocol::IPIP),
        (v6, v4, protocol::IPV6),
        (v4, v6, protocol::IPIP),
        (v6, v6, protocol::IPV6),
    ] {
        let (mut lab, wrapped) = opened(inner, outer.server);
        let info = wire::testing::info(&wrapped);
        assert_eq!((info.protocol, info.ttl), (number, 63));
        let director = if outer.server.contains(':') { "2001:db8:2::1" } else { "10.0.2.1" };
        assert_eq!(ends(&info, &wrapped), pair(director, 0, outer.server, 0));
        let inside = parse_encapsulated(&wrapped, &info).expect("the packet inside");
        assert_eq!(ends(&inside, &wrapped), pair(inner.client, 40_000, inner.vip, 80));
        assert_eq!(inside.ttl, 63);
        if info.family == Family::V4 {
            assert_eq!(ipv4::dont_fragment(info.ip(&wrapped)), inside.family == Family::V4);
        }
        // Congestion that the packet met before the tunnel is not written into the tunnel's header.
        let marked = packet(inner.client, inner.vip).tos(3).tcp(40_000, 80, tcp::ACK).build();
        let wrapped = tunnelled(&mut lab, &marked);
        let tos = match wire::testing::info(&wrapped).family {
            Family::V4 => ipv4::tos(&wrapped[14..]),
            Family::V6 => ipv6::traffic_class(&wrapped[14..]),
        };
        assert_eq!(tos, 2, "ECT(0)");
    }
}

#[test]
fn a_narrow_path_is_learned_and_told_to_the_client() {
    let cases = FAMILIES.iter().zip([20, 40]).flat_map(|case| KINDS.map(|kind| (case, kind)));
    for ((hosts, ip), (kind, shim)) in cases {
        let overhead = ip + shim;
        let (mut lab, wrapped) = opened_by(kind, hosts, hosts.server);
        let outcome = lab.send('s', &too_big(1400, &wrapped, hosts));
        let (info, frame) = only(&outcome, 'c');
        assert_eq!(ends(&info, frame), pair(hosts.vip, 0, hosts.client, 0), "{kind}");
        assert_eq!(icmp::rest(info.upper(frame)), 1400 - overhead, "{kind}");
        let quoted = parse_quoted(frame, &info).expect("a quotation").packet;
        assert_eq!(ends(&quoted, frame), pair(hosts.client, 40_000, hosts.vip, 80));

        // From now on the director says it itself, for every connection to that destination, until it forgets.
        let headers = if hosts.client.contains(':') { 60 } else { 40 };
        for (now_ms, size, want) in [
            (0, 1400 - overhead, None),
            (0, 1401 - overhead, Some(1400 - overhead)),
            (700_000, 1401 - overhead, None),
        ] {
            lab.advance_to(now_ms);
            let syn = packet(hosts.client, hosts.vip).dont_fragment().tcp(40_001, 80, tcp::SYN);
            let outcome = lab.send('c', &syn.payload(&vec![0; size as usize - headers]).build());
            let told = outcome.made.then(|| {
                let (info, frame) = only(&outcome, 'c');
                icmp::rest(info.upper(frame))
            });
            assert_eq!(told, want, "{kind}: {size} bytes at {now_ms}");
        }
    }
}

#[test]
fn a_client_that_lets_its_packets_be_fragmented_is_not_told() {
    let hosts = &FAMILIES[0];
    let mut lab = served(hosts, hosts.server, "-i");
    let wrapped = tunnelled(&mut lab, &packet(hosts.client, hosts.vip).tcp(40_000, 80, tcp::SYN).build());
    let outcome = lab.send('s', &too_big(1400, &wrapped, hosts));
    assert_eq!((outcome.out.len(), outcome.dropped), (0, Some(DropReason::MtuExceeded)));
    // But its packets are fragmented to fit.
    let large = packet(hosts.client, hosts.vip).tcp(40_000, 80, tcp::ACK).payload(&[0; 1400]).build();
    let outcome = lab.send('c', &large);
    assert_eq!(outcome.out.len(), 2);
    assert!(outcome.out.iter().all(|(_, frame)| frame.len() <= 14 + 1400));
}

/// What the receiver of IPv6 fragments puts together.
fn gathered(fragments: &[(char, Vec<u8>)]) -> Vec<u8> {
    let mut whole = fragments[0].1[..14 + ipv6::HEADER_LEN].to_vec();
    let mut id = None;
    for (index, (side, frame)) in fragments.iter().enumerate() {
        let ip = &frame[14..];
        let walked = ipv6::Extensions::walk(ip).expect("extension headers");
        let header = walked.fragment.expect("a fragment header");
        assert_eq!(*side, 's');
        assert_eq!(header.offset, whole.len() - 14 - ipv6::HEADER_LEN);
        assert_eq!(header.more, index + 1 < fragments.len());
        assert_eq!(header.id, *id.get_or_insert(header.id));
        whole[14 + 6] = header.next_header;
        whole.extend_from_slice(&ip[walked.upper..]);
    }
    let len = (whole.len() - 14 - ipv6::HEADER_LEN) as u16;
    ipv6::set_payload_len(&mut whole[14..], len);
    whole
}

#[test]
fn what_must_pass_an_ipv6_tunnel_and_is_too_large_is_fragmented_here() {
    let [v4, v6] = &FAMILIES;
    // {inner, a learned path MTU, size of the inner packet, fragments}
    for (hosts, path_mtu, size, pieces) in [
        (v4, None, 1460, 1),
        (v4, None, 1461, 2),
        (v4, None, 1500, 2),
        (v4, Some(1280), 1240, 1),
        (v4, Some(1280), 1241, 2),
        (v6, Some(1300), 1260, 1),
        (v6, Some(1300), 1261, 2),
        (v6, Some(1280), 1280, 2),
    ] {
        let name = format!("{size} bytes, path MTU {path_mtu:?}");
        let (mut lab, wrapped) = opened(hosts, v6.server);
        if let Some(mtu) = path_mtu {
            lab.send('s', &too_big(mtu, &wrapped, v6));
        }
        let headers = if hosts.client.contains(':') { 60 } else { 40 };
        let payload: Vec<u8> = (0..size - headers).map(|byte| byte as u8).collect();
        let sent = packet(hosts.client, hosts.vip).tcp(40_000, 80, tcp::ACK).payload(&payload).build();
        let outcome = lab.send('c', &sent);
        assert_eq!((outcome.out.len(), outcome.dropped, outcome.made), (pieces, None, false), "{name}");
        let most = 14 + path_mtu.unwrap_or(1500) as usize;
        assert!(outcome.out.iter().all(|(_, frame)| frame.len() <= most), "{name}");
        let whole = if pieces == 1 { outcome.out[0].1.clone() } else { gathered(&outcome.out) };
        let info = wire::testing::info(&whole);
        assert_eq!(ends(&info, &whole), pair("2001:db8:2::1", 0, v6.server, 0), "{name}");
        let inside = parse_encapsulated(&whole, &info).expect("the packet inside");
        assert_eq!(&whole[usize::from(inside.l4)..], &sent[14 + headers - 20..], "{name}");
    }
}

#[test]
fn each_fragmented_packet_has_its_own_identification() {
    let [v4, v6] = &FAMILIES;
    let (mut lab, _) = opened(v4, v6.server);
    let large = packet(v4.client, v4.vip).tcp(40_000, 80, tcp::ACK).payload(&[7; 1460]).build();
    let mut id = || {
        let outcome = lab.send('c', &large);
        ipv6::Extensions::walk(&outcome.out[0].1[14..]).ok().and_then(|walked| walked.fragment).map(|f| f.id)
    };
    let (first, second) = (id().expect("a fragment"), id().expect("a fragment"));
    assert_ne!(first, second);
}

#[test]
fn other_errors_are_told_on_as_they_are() {
    let [v4, v6] = &FAMILIES;
    let (mut lab, wrapped) = opened(v4, v4.server);
    let error = packet(v4.router, "10.0.2.1").icmp(icmp::TIME_EXCEEDED, 0, 0).quote(&wrapped, 120).build();
    let outcome = lab.send('s', &error);
    let (info, frame) = only(&outcome, 'c');
    assert_eq!((icmp::kind(info.upper(frame)), icmp::code(info.upper(frame))), (icmp::TIME_EXCEEDED, 0));
    assert_eq!(ends(&info, frame), pair(v4.vip, 0, v4.client, 0));

    // Between families: the numbers differ in meaning, the destination cannot be reached in either.
    let (mut lab, wrapped) = opened(v4, v6.server);
    let error =
        packet(v6.router, "2001:db8:2::1").icmp(icmpv6::TIME_EXCEEDED, 0, 0).quote(&wrapped, 120).build();
    let outcome = lab.send('s', &error);
    let (info, frame) = only(&outcome, 'c');
    let message = info.upper(frame);
    assert_eq!((icmp::kind(message), icmp::code(message)), (icmp::UNREACHABLE, icmp::HOST_UNREACHABLE));
}

#[test]
fn errors_about_tunnel_packets_that_are_none_of_ours_are_ignored() {
    let hosts = &FAMILIES[0];
    let (mut lab, wrapped) = opened(hosts, hosts.server);
    let mut elsewhere = wrapped.clone();
    ipv4::set_dst(&mut elsewhere[14..], [10, 0, 2, 99].into());
    let mut unknown = wrapped.clone();
    unknown[14 + 20 + 20] ^= 1;
    // Of another kind than the destination's.
    let [gre, gue] = ["-i --tun-type gre", "-i --tun-type gue --tun-port 6080"]
        .map(|kind| opened_by(kind, hosts, hosts.server).1);
    for (name, quoted) in [
        ("another tunnel end", elsewhere),
        ("no connection", unknown),
        ("another kind", gre),
        ("a port that ends no tunnel", gue),
    ] {
        let outcome = lab.send('s', &too_big(1400, &quoted, hosts));
        assert!(outcome.to_host && outcome.out.is_empty(), "{name}: {outcome:?}");
    }
    let mut bad = too_big(1400, &wrapped, hosts);
    bad[14 + 20 + 2] ^= 0xff;
    let outcome = lab.send('s', &bad);
    assert_eq!((outcome.out.len(), outcome.dropped), (0, Some(DropReason::IcmpBadChecksum)));
    // Nothing of that was learned.
    let large = packet(hosts.client, hosts.vip).dont_fragment().tcp(40_000, 80, tcp::ACK).payload(&[0; 1440]);
    assert_eq!(lab.send('c', &large.build()).out[0].1.len(), 14 + 1500);
}
