//! The director as a host and a router: echo, errors, forwarding, MTU, what is impossible, and the host behind it.

use std::net::{IpAddr, SocketAddr};

use inet::{DropReason, PortIndex};
use ipvs::{Method, Protocol};
use wire::testing::{Frame, info, verify_checksums};
use wire::{Family, MacAddr, ether, icmp, icmpv6, ipv4, tcp};

use crate::cluster::{Bounds, Cluster};
use crate::frames::{ALL_NODES, ask, from_client, from_server, inside, see, see_error, tagged, untagged};
use crate::site::{
    FAMILIES, LAN, LAN_IFACE, LAN_MAC, METHODS, ROUTER_MAC, SERVER_PORT, Site, VLAN_HOST_MAC, VLAN_ID, WAN,
    WAN_MAC, client, lan_address, local, server, server_mac, service_endpoint, vip, vlan_address, vlan_host,
    wan_address,
};

fn from_wan(src: IpAddr, dst: IpAddr) -> Frame {
    Frame::new(src, dst).mac(ROUTER_MAC, WAN_MAC)
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn own_addresses_answer_echo() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(2));
        for own in
            [vip(family), wan_address(family), lan_address(family), vlan_address(family), local(family)]
        {
            let request =
                from_wan(client(family, 1), own).ttl(1).echo_request(77, 3).payload(b"are you there").build();
            let sent = cluster.receive(1, WAN, &request);
            let out = sent.only(WAN);
            let seen = see(out);
            assert_eq!((seen.src.ip(), seen.dst.ip(), seen.ttl), (own, client(family, 1), 64));
            let message = info(out).upper(out).to_vec();
            let reply = if family == Family::V4 { icmp::ECHO_REPLY } else { icmpv6::ECHO_REPLY };
            assert_eq!(
                (icmp::kind(&message), icmp::echo_id(&message), icmp::echo_seq(&message)),
                (reply, 77, 3)
            );
            assert_eq!(&message[icmp::HEADER_LEN..], b"are you there");
            assert_eq!((ether::src(out), ether::dst(out)), (WAN_MAC, ROUTER_MAC));
        }
        assert_eq!(cluster.dropped_at_all(), 0);
        // On the VLAN the answer is tagged.
        let request =
            Frame::new(vlan_host(family), vip(family)).mac(VLAN_HOST_MAC, LAN_MAC).echo_request(1, 1);
        let sent = cluster.receive(0, LAN, &tagged(&request.build(), VLAN_ID));
        let (vid, reply) = untagged(sent.only(LAN));
        assert_eq!((vid, see(&reply).dst.ip()), (Some(VLAN_ID), vlan_host(family)));
        // A damaged one is left to the host, which counts it.
        let damaged = from_wan(client(family, 1), vip(family)).echo_request(1, 1).bad_checksum().build();
        assert_eq!(cluster.receive(0, WAN, &damaged).only_host(WAN), damaged);
    }
}

#[test]
fn unclaimed_packets_are_forwarded() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(2));
        let frame = from_wan(client(family, 1), server(family, 1)).ttl(9).udp(7, 8).payload(b"x").build();
        let mut padded = frame.clone();
        padded.resize(frame.len() + 30, 0);
        for (name, arrived) in [("as it is", &frame), ("padded", &padded)] {
            let sent = cluster.receive(1, WAN, arrived);
            let out = sent.only(LAN);
            assert_eq!(out.len(), frame.len(), "{name}");
            let seen = see(out);
            assert_eq!((seen.src.port(), seen.dst.port(), seen.ttl, &seen.payload[..]), (7, 8, 8, &b"x"[..]));
            assert_eq!((ether::src(out), ether::dst(out)), (LAN_MAC, server_mac(1)));
        }
        let back =
            Frame::new(server(family, 1), client(family, 1)).mac(server_mac(1), LAN_MAC).raw(47).build();
        let sent = cluster.receive(0, LAN, &back);
        assert_eq!(see(sent.only(WAN)).dst.ip(), client(family, 1));
        assert_eq!(cluster.dropped_at_all(), 0);
    }
}

#[test]
fn packets_at_their_end_are_answered() {
    for family in FAMILIES {
        let from = SocketAddr::new(client(family, 1), 4000);
        let expired = if family == Family::V4 { (icmp::TIME_EXCEEDED, 0) } else { (3, 0) };
        let mut cluster = Cluster::new(&Site::new(1));
        for ttl in [0, 1] {
            let frame = from_wan(from.ip(), server(family, 1)).ttl(ttl).udp(4000, 8).build();
            let told = see_error(cluster.receive(0, WAN, &frame).only(WAN));
            assert_eq!((told.kind, told.code), expired);
            assert_eq!((told.from, told.to), (wan_address(family), from.ip()));
            assert_eq!(told.quoted, (from, SocketAddr::new(server(family, 1), 8)));
        }
        for method in METHODS {
            let service = service_endpoint(family, method);
            let frame = from_wan(from.ip(), service.ip()).ttl(1).udp(4000, service.port()).build();
            let told = see_error(cluster.receive(0, WAN, &frame).only(WAN));
            assert_eq!((told.kind, told.code), expired);
            assert_eq!((told.from, told.quoted), (vip(family), (from, service)), "{method:?}");
        }
        assert_eq!(cluster.dropped(DropReason::TtlExceeded), 6);
        assert_eq!(cluster.sum(|counters| &counters.generated), 6);
        // An error is not answered by another.
        let quoted = from_client(Protocol::Udp, SocketAddr::new(server(family, 1), 1), from, 0, b"");
        let (kind, code) = if family == Family::V4 { (3, 3) } else { (1, 4) };
        let error =
            from_wan(from.ip(), server(family, 1)).ttl(1).icmp(kind, code, 0).quote(&quoted, 64).build();
        cluster.receive(0, WAN, &error).nothing();
        assert_eq!(cluster.dropped(DropReason::TtlExceeded), 7);
    }
}

#[test]
fn no_way_is_told() {
    for family in FAMILIES {
        let mut site = Site::new(1);
        site.net.routes.clear();
        let mut cluster = Cluster::new(&site);
        let to = client(family, 1);
        let frame = Frame::new(vlan_host(family), to).mac(VLAN_HOST_MAC, LAN_MAC).udp(4, 5).build();
        let sent = cluster.receive(0, LAN, &tagged(&frame, VLAN_ID));
        let (vid, error) = untagged(sent.only(LAN));
        let told = see_error(&error);
        let unreachable = if family == Family::V4 { (3, 0) } else { (1, 0) };
        assert_eq!((vid, (told.kind, told.code)), (Some(VLAN_ID), unreachable));
        assert_eq!((told.from, told.to), (vlan_address(family), vlan_host(family)));
        assert_eq!(told.quoted.1, SocketAddr::new(to, 5));
        assert_eq!(cluster.dropped(DropReason::NoRoute), 1);
        // Nor is there a way to tell one who came from nowhere.
        cluster.receive(0, WAN, &from_wan(to, server(family, 1)).ttl(1).udp(1, 1).build()).nothing();
    }
}

/// A lan whose MTU is below that of the wan.
fn narrow() -> Site {
    let mut site = Site::new(1);
    site.net.ifaces[usize::from(LAN_IFACE.0)].mtu = 1400;
    site
}

#[test]
fn packets_that_may_be_are_fragmented() {
    let payload: Vec<u8> = (0..1472_u16).map(|byte| byte as u8).collect();
    let from = SocketAddr::new(client(Family::V4, 1), 4000);
    for (name, to, tunnel) in [
        ("passing", SocketAddr::new(server(Family::V4, 1), SERVER_PORT), false),
        ("NAT", service_endpoint(Family::V4, Method::Masquerade), false),
        ("FULLNAT", service_endpoint(Family::V4, Method::Fullnat), false),
        ("DR", service_endpoint(Family::V4, Method::DirectRouting), false),
        ("TUNNEL", service_endpoint(Family::V4, Method::Tunnel), true),
    ] {
        let mut cluster = Cluster::new(&narrow());
        let sent = cluster.receive(0, WAN, &from_client(Protocol::Udp, from, to, 0, &payload));
        let [(LAN, first), (LAN, second)] = sent.frames.as_slice() else { panic!("{name}: two pieces") };
        let mut upper = Vec::new();
        for piece in [first, second] {
            let info = info(piece);
            assert!(info.ip_len() <= 1400, "{name}");
            assert_eq!(ipv4::fragment_offset(info.ip(piece)), upper.len(), "{name}");
            upper.extend_from_slice(info.upper(piece));
        }
        assert!(
            ipv4::more_fragments(info(first).ip(first)) && !ipv4::more_fragments(info(second).ip(second))
        );
        let whole = Frame::new(info(first).src(first), info(first).dst(first)).raw(info(first).protocol);
        let whole = whole.payload(&upper).build();
        assert_eq!(verify_checksums(&whole), Ok(()), "{name}");
        let whole = if tunnel { inside(&whole) } else { whole };
        assert_eq!(see(&whole).payload, payload, "{name}");
        assert_eq!(cluster.sum(|counters| &counters.split), 1);

        cluster.leave_pool(0);
        cluster.receive(0, WAN, &from_client(Protocol::Udp, from, to, 0, &payload)).nothing();
        assert_eq!(cluster.dropped(DropReason::NoMbuf), 1, "{name}");
    }
}

#[test]
fn senders_of_packets_that_may_not_be_fragmented_hear_the_mtu() {
    for family in FAMILIES {
        let (header, too_big) = if family == Family::V4 {
            (20, (icmp::UNREACHABLE, 4))
        } else {
            (40, (icmpv6::PACKET_TOO_BIG, 0))
        };
        let payload = vec![1; 1500 - header - 8];
        let from = SocketAddr::new(client(family, 1), 4000);
        // The limit on errors is no limit here: without these, path MTU discovery stalls.
        let bounds = Bounds { icmp_per_second: 1, ..Bounds::default() };
        let mut cluster = Cluster::with_bounds(&narrow(), bounds);
        for (name, to, mtu) in [
            ("passing", SocketAddr::new(server(family, 1), SERVER_PORT), 1400),
            ("NAT", service_endpoint(family, Method::Masquerade), 1400),
            ("FULLNAT", service_endpoint(family, Method::Fullnat), 1400),
            ("DR", service_endpoint(family, Method::DirectRouting), 1400),
            ("TUNNEL", service_endpoint(family, Method::Tunnel), 1400 - header as u32),
        ] {
            let frame = from_wan(from.ip(), to.ip()).udp(from.port(), to.port()).dont_fragment();
            let told = see_error(cluster.receive(0, WAN, &frame.payload(&payload).build()).only(WAN));
            assert_eq!((told.kind, told.code, told.rest), (too_big.0, too_big.1, mtu), "{name}");
            assert_eq!(told.quoted, (from, to), "{name}");
        }
        assert_eq!(cluster.dropped(DropReason::MtuExceeded), 5);
        assert_eq!(cluster.dropped_at_all(), 5);
    }
}

#[test]
fn errors_are_limited() {
    for family in FAMILIES {
        let mut cluster =
            Cluster::with_bounds(&Site::new(1), Bounds { icmp_per_second: 2, ..Bounds::default() });
        let frame = from_wan(client(family, 1), server(family, 1)).ttl(1).udp(1, 1).build();
        let sent: usize = (0..5).map(|_| cluster.receive(0, WAN, &frame).frames.len()).sum();
        assert_eq!((sent, cluster.dropped(DropReason::IcmpRateLimited)), (2, 3));
        cluster.advance(500).nothing();
        cluster.receive(0, WAN, &frame).only(WAN);
    }
}

#[test]
fn what_cannot_be_is_dropped() {
    let mut cluster = Cluster::new(&Site::new(2));
    let good = |family| (client(family, 1), server(family, 1));
    let (client4, server4) = good(Family::V4);
    let (client6, server6) = good(Family::V6);
    for (src, dst, reason) in [
        (addr("127.0.0.1"), server4, DropReason::MartianSource),
        (addr("0.0.0.0"), server4, DropReason::MartianSource),
        (addr("224.0.0.1"), server4, DropReason::MartianSource),
        (addr("255.255.255.255"), server4, DropReason::MartianSource),
        (addr("10.0.2.255"), server4, DropReason::MartianSource),
        (vip(Family::V4), server4, DropReason::MartianSource),
        (local(Family::V4), vip(Family::V4), DropReason::MartianSource),
        (client4, addr("127.0.0.1"), DropReason::MartianDestination),
        (client4, addr("0.0.0.0"), DropReason::MartianDestination),
        (client4, addr("240.0.0.1"), DropReason::MartianDestination),
        (client4, addr("169.254.1.1"), DropReason::NotForwardable),
        (addr("169.254.1.1"), server4, DropReason::NotForwardable),
        (addr("::1"), server6, DropReason::MartianSource),
        (addr("::"), server6, DropReason::MartianSource),
        (addr("ff02::1"), server6, DropReason::MartianSource),
        (vip(Family::V6), wan_address(Family::V6), DropReason::MartianSource),
        (client6, addr("::1"), DropReason::MartianDestination),
        (client6, addr("::"), DropReason::MartianDestination),
        (client6, addr("fe80::5"), DropReason::NotForwardable),
        (addr("fe80::5"), server6, DropReason::NotForwardable),
    ] {
        let before = cluster.dropped(reason);
        let sent = cluster.receive(1, WAN, &from_wan(src, dst).udp(1, 2).build());
        assert_eq!((sent.frames.len(), sent.host.len()), (0, 0), "{src} to {dst}");
        assert_eq!(cluster.dropped(reason), before + 1, "{src} to {dst}: {}", reason.name());
    }
    // Of IPv6 an address of ours may pass, as from a real server that answers on its own; but we tell ourselves nothing.
    let from_vip = || from_wan(vip(Family::V6), server6).udp(1, 2);
    cluster.receive(1, WAN, &from_vip().build()).only(LAN);
    cluster.receive(1, WAN, &from_vip().ttl(1).build()).nothing();
    cluster.advance(5_000).nothing();
    for family in FAMILIES {
        let (src, dst) = good(family);
        let before = cluster.dropped(DropReason::NotForUsMac);
        let frame = Frame::new(src, dst).mac(ROUTER_MAC, LAN_MAC).udp(1, 2).build();
        cluster.receive(0, WAN, &frame).nothing();
        assert_eq!(cluster.dropped(DropReason::NotForUsMac), before + 1);
    }
}

#[test]
fn group_traffic_and_strange_protocols_go_to_the_host() {
    let mut cluster = Cluster::new(&Site::new(2));
    let vrrp = MacAddr([1, 0, 0x5e, 0, 0, 18]);
    let to = |mac, src: &str, dst: &str| Frame::new(addr(src), addr(dst)).mac(ROUTER_MAC, mac);
    let link_local =
        Frame::new(addr("fe80::5"), ALL_NODES.into()).mac(ROUTER_MAC, MacAddr([0x33, 0x33, 0, 0, 0, 1]));
    let mut lldp = vec![0; 60];
    ether::write(&mut lldp, &MacAddr([1, 0x80, 0xc2, 0, 0, 0xe]), &ROUTER_MAC, 0x88cc);
    for (name, frame) in [
        ("VRRP", to(vrrp, "192.0.2.254", "224.0.0.18").raw(112).payload(&[1; 20]).build()),
        ("multicast UDP", to(vrrp, "192.0.2.254", "239.0.0.1").udp(1, 80).build()),
        ("DHCP", to(MacAddr::BROADCAST, "0.0.0.0", "255.255.255.255").udp(68, 67).build()),
        ("directed broadcast", to(MacAddr::BROADCAST, "192.0.2.254", "192.0.2.255").udp(1, 2).build()),
        (
            "a service by broadcast frame",
            to(MacAddr::BROADCAST, "198.18.0.9", "192.0.2.100").udp(9, 80).build(),
        ),
        ("router advertisement", link_local.icmp(134, 0, 0).payload(&[0; 8]).build()),
        ("LLDP", lldp),
        ("SSH", from_wan(client(Family::V4, 1), wan_address(Family::V4)).tcp(1, 22, tcp::SYN).build()),
        ("BGP on the VIP", from_wan(client(Family::V6, 1), vip(Family::V6)).tcp(1, 179, tcp::SYN).build()),
        ("OSPF", from_wan(addr("192.0.2.254"), wan_address(Family::V4)).raw(89).payload(&[2; 44]).build()),
    ] {
        for worker in [0, 1] {
            assert_eq!(cluster.receive(worker, WAN, &frame).only_host(WAN), frame, "{name}");
            assert_eq!(
                cluster.receive(worker, LAN, &tagged(&lan_frame(&frame), VLAN_ID)).host.len(),
                1,
                "{name}"
            );
        }
    }
    assert_eq!(cluster.connections().len(), 0);
    assert_eq!(cluster.dropped_at_all(), 0);
    // To a FULLNAT local address nothing but replies makes sense, and the host does not have it.
    for family in FAMILIES {
        let frame =
            Frame::new(server(family, 1), local(family)).mac(server_mac(1), LAN_MAC).tcp(9, 5000, tcp::SYN);
        cluster.receive(0, LAN, &frame.build()).nothing();
    }
    assert_eq!(cluster.dropped(DropReason::NotConnection), 2);
}

/// The frame as it would come in on the lan.
fn lan_frame(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if !ether::dst(&frame).is_multicast() {
        ether::set_dst(&mut frame, &LAN_MAC);
    }
    frame
}

#[test]
fn what_is_for_a_host_without_interface_is_counted() {
    let mut cluster = Cluster::new(&Site::new(1));
    cluster.without_host(WAN);
    let frame = from_wan(client(Family::V4, 1), wan_address(Family::V4)).tcp(1, 22, tcp::SYN).build();
    cluster.receive(0, WAN, &frame).nothing();
    assert_eq!(cluster.dropped(DropReason::HostPortAbsent), 1);
    // Echo is answered all the same.
    let echo = from_wan(client(Family::V4, 1), wan_address(Family::V4)).echo_request(1, 1).build();
    cluster.receive(0, WAN, &echo).only(WAN);
}

#[test]
fn what_the_host_sends_goes_out_as_it_is() {
    let mut cluster = Cluster::new(&Site::new(2));
    let out = |src, dst| Frame::new(src, dst).mac(WAN_MAC, ROUTER_MAC);
    let mut lldp = vec![0; 60];
    ether::write(&mut lldp, &MacAddr([1, 0x80, 0xc2, 0, 0, 0xe]), &WAN_MAC, 0x88cc);
    for family in FAMILIES {
        let (own, peer) = (wan_address(family), client(family, 1));
        for (name, frame) in [
            ("SSH", out(own, peer).tcp(22, 4000, tcp::SYN | tcp::ACK).build()),
            ("UDP from the VIP", out(vip(family), peer).udp(53, 4000).build()),
            ("to a server", out(own, server(family, 1)).tcp(4000, SERVER_PORT, tcp::SYN).build()),
            ("echo", out(own, peer).echo_request(1, 2).build()),
            ("fragment", out(own, peer).udp(1, 2).fragment(0, true).build()),
            ("neighbour", ask(WAN_MAC, own, crate::site::router(family))),
            ("LLDP", lldp.clone()),
            ("nothing sound", vec![0xff; 20]),
            ("tagged", tagged(&out(own, peer).udp(1, 2).build(), 9)),
        ] {
            assert_eq!(cluster.host_sends(WAN, &frame).only(WAN), frame, "{name}");
        }
    }
    assert_eq!(cluster.sum(|counters| &counters.from_host), 18);
    assert_eq!(cluster.dropped_at_all(), 0);
    assert_eq!(cluster.connections().len(), 0);
}

#[test]
fn without_forwarding_services_still_work() {
    for family in FAMILIES {
        let mut site = Site::new(2);
        site.net.forwarding = false;
        let mut cluster = Cluster::new(&site);
        for ttl in [1, 64] {
            let frame = from_wan(client(family, 1), server(family, 1)).ttl(ttl).udp(1, 2).build();
            cluster.receive(0, WAN, &frame).nothing();
        }
        let elsewhere =
            Frame::new(server(family, 1), client(family, 1)).mac(server_mac(1), LAN_MAC).udp(1, 2);
        cluster.receive(0, LAN, &elsewhere.build()).nothing();
        assert_eq!(cluster.dropped(DropReason::ForwardingOff), 3);
        for method in [Method::Masquerade, Method::Fullnat] {
            exchange(&mut cluster, family, method);
        }
        assert_eq!(cluster.dropped_at_all(), 3);
        let frame: (PortIndex, Vec<u8>) =
            (WAN, from_wan(client(family, 1), vip(family)).echo_request(1, 1).build());
        cluster.receive(0, frame.0, &frame.1).only(WAN);
    }
}

/// A request, its reply, and the server's error about the request.
fn exchange(cluster: &mut Cluster, family: Family, method: Method) {
    let (from, service) = (SocketAddr::new(client(family, 1), 4000), service_endpoint(family, method));
    let sent = cluster.receive(0, WAN, &from_client(Protocol::Udp, from, service, 0, b"?"));
    let request = see(sent.only(LAN));
    let mac = ether::dst(sent.only(LAN));
    let reply = from_server(mac, Protocol::Udp, request.dst, request.src, 0, b"!");
    let seen = see(cluster.receive(1, LAN, &reply).only(WAN));
    assert_eq!((seen.src, seen.dst, &seen.payload[..]), (service, from, &b"!"[..]));
    let (kind, code) = if family == Family::V4 { (3, 3) } else { (1, 4) };
    let error = Frame::new(request.dst.ip(), request.src.ip()).mac(mac, LAN_MAC).icmp(kind, code, 0);
    let sent = cluster.receive(0, LAN, &error.quote(sent.only(LAN), 100).build());
    assert_eq!(see_error(sent.only(WAN)).quoted, (from, service), "{method:?}");
}

#[test]
fn a_narrow_path_to_a_tunnels_end_is_known_to_every_worker() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(4));
        let service = service_endpoint(family, Method::Tunnel);
        let (overhead, header) = if family == Family::V4 { (20, 20) } else { (40, 40) };
        let packet = |n: u16, size: usize| {
            let frame = from_wan(client(family, n), service.ip()).dont_fragment();
            frame.udp(4000, service.port()).payload(&vec![0; size - header - 8][..]).build()
        };
        let owners = |cluster: &Cluster| {
            cluster.connections().iter().map(|(worker, _)| *worker).collect::<std::collections::BTreeSet<_>>()
        };
        // Both servers, several workers.
        let mut wrapped = Vec::new();
        for n in 0..32 {
            wrapped.push(cluster.receive(0, WAN, &packet(n, 100)).only(LAN).to_vec());
        }
        assert_eq!(owners(&cluster).len(), 4);
        for n in 1..=2 {
            let to = wrapped.iter().find(|frame| ether::dst(frame) == server_mac(n)).expect("one for each");
            let (kind, code) =
                if family == Family::V4 { (icmp::UNREACHABLE, 4) } else { (icmpv6::PACKET_TOO_BIG, 0) };
            let error = Frame::new(server(family, 9), lan_address(family)).mac(server_mac(9), LAN_MAC);
            cluster.receive(3, LAN, &error.icmp(kind, code, 1400).quote(to, 120).build()).only(WAN);
        }
        for n in 0..32 {
            let sent = cluster.receive(1, WAN, &packet(n, 1401 - overhead));
            let told = see_error(sent.only(WAN));
            assert_eq!((told.to, told.rest), (client(family, n), 1400 - overhead as u32), "client {n}");
            cluster.receive(1, WAN, &packet(n, 1400 - overhead)).only(LAN);
        }
    }
}
