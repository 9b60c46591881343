//! FULLNAT: the destination sees a local address of ours, the client sees the virtual address.

use inet::DropReason;
use ipvs::{Cursor, Method};
use wire::testing::Frame;
use wire::{PacketInfo, icmp, icmpv6, parse_quoted, tcp};

use crate::{FAMILIES, Hosts, ends, only, packet, pair, served};
use conformance::Lab;
use conformance::lab::{LOCAL_ADDRS, LOCAL_PORTS};

/// Opens a connection; the local address and port that it got.
fn open(lab: &mut Lab, hosts: &Hosts, client_port: u16) -> (String, u16) {
    let syn = packet(hosts.client, hosts.vip).tcp(client_port, 80, tcp::SYN).build();
    let outcome = lab.send('c', &syn);
    let (info, frame) = only(&outcome, 's');
    let [local, server] = ends(&info, frame);
    assert_eq!(server, (hosts.server.to_string(), 8080));
    assert!(LOCAL_ADDRS.contains(&local.0.as_str()) && LOCAL_PORTS.contains(&local.1), "{local:?}");
    assert_eq!(info.ttl, 63);
    local
}

/// An ICMP error of this host's family, "port unreachable", that quotes `frame`.
fn unreachable(src: &str, dst: &str, quoted: &[u8]) -> Vec<u8> {
    error(packet(src, dst), src.contains(':'), quoted)
}

fn error(frame: Frame, v6: bool, quoted: &[u8]) -> Vec<u8> {
    let (kind, code) =
        if v6 { (icmpv6::UNREACHABLE, 4) } else { (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE) };
    frame.icmp(kind, code, 0).quote(quoted, 48 + 40).build()
}

fn quoted_ends(info: &PacketInfo, frame: &[u8]) -> [(String, u16); 2] {
    ends(&parse_quoted(frame, info).expect("a quotation").packet, frame)
}

#[test]
fn both_ends_change_there_and_back() {
    for hosts in &FAMILIES {
        let mut lab = served(hosts, hosts.server, "--fullnat");
        let (local, local_port) = open(&mut lab, hosts, 40_000);
        let answer = packet(hosts.server, &local).tcp(8080, local_port, tcp::SYN | tcp::ACK).build();
        let outcome = lab.send('s', &answer);
        let (info, frame) = only(&outcome, 'c');
        assert_eq!(ends(&info, frame), pair(hosts.vip, 80, hosts.client, 40_000));
        assert_eq!(info.ttl, 63, "a hop, like any other");

        let mut views = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            cursor = lab.pipeline.director().list(lab.now_ms, at, 1000, |view| views.push(view));
        }
        let [view] = views[..] else { panic!("one connection, not {views:?}") };
        assert_eq!(
            (view.method, view.state, view.in_pkts, view.out_pkts),
            (Method::Fullnat, "SYN_RECV", 1, 1)
        );
        assert_eq!(view.local.map(|addr| (addr.ip().to_string(), addr.port())), Some((local, local_port)));
        assert_eq!(view.destination.map(|addr| addr.port()), Some(8080));
    }
}

#[test]
fn udp_without_a_checksum_gets_one_in_both_directions() {
    let hosts = &FAMILIES[0];
    let mut lab = served(hosts, hosts.server, "--fullnat");
    let ask = packet(hosts.client, hosts.vip).udp(5353, 80).payload(b"odd").no_checksum().build();
    let outcome = lab.send('c', &ask);
    let (info, frame) = only(&outcome, 's');
    assert_ne!(wire::udp::checksum(info.upper(frame)), 0);
    let [(local, local_port), _] = ends(&info, frame);
    let answer = packet(hosts.server, &local).udp(8080, local_port).payload(b"odd!!").no_checksum().build();
    let outcome = lab.send('s', &answer);
    let (info, frame) = only(&outcome, 'c');
    assert_ne!(wire::udp::checksum(info.upper(frame)), 0);
    assert_eq!(ends(&info, frame), pair(hosts.vip, 80, hosts.client, 5353));
}

#[test]
fn icmp_errors_find_their_way_in_both_directions() {
    for hosts in &FAMILIES {
        let mut lab = served(hosts, hosts.server, "--fullnat");
        let (local, local_port) = open(&mut lab, hosts, 40_000);

        let reply = packet(hosts.vip, hosts.client).tcp(80, 40_000, tcp::ACK).build();
        let outcome = lab.send('c', &unreachable(hosts.client, hosts.vip, &reply));
        let (info, frame) = only(&outcome, 's');
        assert_eq!(
            ends(&info, frame),
            pair(&local, 0, hosts.server, 0),
            "from the local address to the server"
        );
        assert_eq!(quoted_ends(&info, frame), pair(hosts.server, 8080, &local, local_port));
        assert_eq!(info.ttl, 63);

        let request = packet(&local, hosts.server).tcp(local_port, 8080, tcp::ACK).build();
        for reporter in [hosts.server, hosts.router] {
            let outcome = lab.send('s', &unreachable(reporter, &local, &request));
            let (info, frame) = only(&outcome, 'c');
            assert_eq!(ends(&info, frame), pair(hosts.vip, 0, hosts.client, 0), "told by {reporter}");
            assert_eq!(quoted_ends(&info, frame), pair(hosts.client, 40_000, hosts.vip, 80));
            assert_eq!(info.ttl, 63);
        }

        for (side, from, to, quoted) in
            [('c', hosts.client, hosts.vip, &reply), ('s', hosts.server, local.as_str(), &request)]
        {
            let (kind, code) = if to.contains(':') { (1, 4) } else { (3, 3) };
            let bad = packet(from, to).icmp(kind, code, 0).quote(quoted, 88).bad_checksum().build();
            let outcome = lab.send(side, &bad);
            assert_eq!((outcome.out.len(), outcome.dropped), (0, Some(DropReason::IcmpBadChecksum)));
        }
    }
}

#[test]
fn a_reply_whose_ttl_ends_here_is_answered_from_the_local_address() {
    for hosts in &FAMILIES {
        let mut lab = served(hosts, hosts.server, "--fullnat");
        let (local, local_port) = open(&mut lab, hosts, 40_000);
        let answer = packet(hosts.server, &local).ttl(1).tcp(8080, local_port, tcp::ACK).build();
        let outcome = lab.send('s', &answer);
        assert_eq!(outcome.dropped, Some(DropReason::TtlExceeded));
        let (info, frame) = only(&outcome, 's');
        assert_eq!(ends(&info, frame), pair(&local, 0, hosts.server, 0));
        assert_eq!(quoted_ends(&info, frame), pair(hosts.server, 8080, &local, local_port));
    }
}

#[test]
fn a_reply_too_large_for_the_client_s_side_is_told_to_the_server() {
    for hosts in &FAMILIES {
        let mut lab = served(hosts, hosts.server, "--fullnat");
        lab.command("ip link set dev c mtu 1400");
        let (local, local_port) = open(&mut lab, hosts, 40_000);
        let answer = packet(hosts.server, &local).dont_fragment().tcp(8080, local_port, tcp::ACK);
        let outcome = lab.send('s', &answer.payload(&[0; 1400]).build());
        assert_eq!(outcome.dropped, Some(DropReason::MtuExceeded));
        let (info, frame) = only(&outcome, 's');
        assert_eq!(icmp::rest(info.upper(frame)), 1400, "in the low half as in the whole word");
    }
}

#[test]
fn local_endpoints_differ_until_there_are_no_more() {
    let [v4, v6] = &FAMILIES;
    for (hosts, addrs) in [(v4, 2), (v6, 1)] {
        let mut lab = served(hosts, hosts.server, "--fullnat");
        let all = addrs * LOCAL_PORTS.len();
        let mut taken: Vec<_> = (0..all).map(|nth| open(&mut lab, hosts, 40_000 + nth as u16)).collect();
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), all);
        let syn = packet(hosts.client, hosts.vip).tcp(50_000, 80, tcp::SYN).build();
        let outcome = lab.send('c', &syn);
        assert_eq!((outcome.out.len(), outcome.dropped), (0, Some(DropReason::NoLocalPort)));
        assert_eq!(lab.connection_count(), all, "a refused packet leaves nothing behind");
    }
}

#[test]
fn what_comes_to_a_local_address_without_connection_ends_here() {
    let hosts = &FAMILIES[0];
    let mut lab = served(hosts, hosts.server, "--fullnat");
    let stray = packet(hosts.server, LOCAL_ADDRS[0]).tcp(8080, 5000, tcp::ACK).build();
    let outcome = lab.send('s', &stray);
    assert_eq!((outcome.out.len(), outcome.dropped), (0, Some(DropReason::NotConnection)));
}
