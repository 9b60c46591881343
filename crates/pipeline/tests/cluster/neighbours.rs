//! Next hops that are asked for, answer, move or stay silent; and the director as its links' neighbour.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use inet::{Address, AddressRole, DropReason, NeighLimits, StaticNeighbour};
use ipvs::{Method, Protocol};
use wire::testing::Frame;
use wire::{Family, MacAddr, ether, tcp};

use crate::cluster::{Bounds, Cluster, Sent};
use crate::frames::{
    announce, announced, answer, answered, ask, asked, from_client, from_server, see, see_error, tagged,
    untagged,
};
use crate::site::{
    FAMILIES, LAN, LAN_IFACE, LAN_MAC, METHODS, ROUTER_MAC, SERVER_PORT, Site, VLAN_HOST_MAC, VLAN_ID,
    VLAN_IFACE, WAN, WAN_IFACE, WAN_MAC, client, lan_address, local, router, server, server_mac,
    service_endpoint, vip, vlan_address, vlan_host, wan_address,
};

/// Only the router and these servers are known.
fn site(workers: u16, servers_known: bool) -> Site {
    let mut site = Site::strange(workers);
    for family in FAMILIES {
        let (addr, mac) = (router(family), ROUTER_MAC);
        site.net.neighbours.push(StaticNeighbour { iface: WAN_IFACE, addr, mac });
        for n in 1..=2 {
            let (addr, mac) = (server(family, n), server_mac(n));
            if servers_known {
                site.net.neighbours.push(StaticNeighbour { iface: LAN_IFACE, addr, mac });
            }
        }
    }
    site
}

/// A packet that the director forwards from the wan to `to`, with this payload.
fn passing(family: Family, to: IpAddr, payload: &[u8]) -> Vec<u8> {
    Frame::new(client(family, 1), to).mac(ROUTER_MAC, WAN_MAC).udp(1, 2).payload(payload).build()
}

/// The questions among frames that were sent, which there are on this port.
fn questions(sent: &Sent, port: inet::PortIndex) -> Vec<(IpAddr, MacAddr)> {
    sent.frames.iter().filter(|(at, _)| *at == port).filter_map(|(_, frame)| asked(frame)).collect()
}

#[test]
fn packets_wait_for_the_answer_and_leave_in_order() {
    for family in FAMILIES {
        for asker in [0, 1] {
            let mut cluster = Cluster::new(&site(2, false));
            let from = SocketAddr::new(client(family, 3), 4000);
            let to = service_endpoint(family, Method::Fullnat);
            for payload in [&b"first"[..], b"second", b"third"] {
                cluster.receive(0, WAN, &from_client(Protocol::Udp, from, to, 0, payload)).nothing();
            }
            assert_eq!(cluster.sum(|counters| &counters.held), 3);
            let sent = cluster.advance(0);
            let question = sent.only(LAN);
            let (target, to_mac) = asked(question).expect("a question");
            assert!(to_mac.is_multicast(), "everyone is asked");
            // The answer comes to a worker that may not be the one that asks.
            let sent = cluster.receive(asker, LAN, &answer(question, server_mac(7)));
            let payloads: Vec<_> = sent.frames.iter().map(|(_, frame)| see(frame).payload).collect();
            assert_eq!(payloads, [&b"first"[..], b"second", b"third"]);
            for (port, frame) in &sent.frames {
                assert_eq!((*port, ether::dst(frame), ether::src(frame)), (LAN, server_mac(7), LAN_MAC));
                assert_eq!(see(frame).dst.ip(), target);
            }
            assert_eq!(cluster.sum(|counters| &counters.held), 0);
            // Both workers know it now, so nothing is asked again.
            for worker in [0, 1] {
                let known = cluster.neighbours(worker);
                let entry = known.iter().find(|known| known.addr == target).expect("known");
                assert_eq!(entry.mac, Some(server_mac(7)));
                cluster.receive(worker, WAN, &passing(family, target, b"")).only(LAN);
            }
            cluster.advance(1).nothing();
            assert_eq!(cluster.dropped_at_all(), 0);
        }
    }
}

#[test]
fn what_waits_is_bounded_for_each_and_for_all() {
    for family in FAMILIES {
        let neighbours = NeighLimits { entries: 64, held_per_entry: 4, held: 6 };
        let mut cluster = Cluster::with_bounds(
            &site(1, false),
            Bounds { neighbours, icmp_per_second: 0, ..Bounds::default() },
        );
        for number in 0..6_u8 {
            cluster.receive(0, WAN, &passing(family, server(family, 1), &[number])).nothing();
        }
        assert_eq!(cluster.dropped(DropReason::NeighbourQueueFull), 2, "the oldest made room");
        for number in 0..3_u8 {
            cluster.receive(0, WAN, &passing(family, server(family, 2), &[number])).nothing();
        }
        assert_eq!(cluster.dropped(DropReason::NeighbourQueueFull), 3);
        assert_eq!(cluster.sum(|counters| &counters.held), 6);
        cluster.receive(0, WAN, &passing(family, vlan_host(family), b"none left")).nothing();
        assert_eq!(cluster.dropped(DropReason::NeighbourQueueFull), 4);

        let asked = cluster.advance(0);
        let question = |addr| {
            let of = |frame: &Vec<u8>| asked_untagged(frame) == Some(addr);
            asked.frames.iter().map(|(_, frame)| frame).find(|frame| of(frame)).expect("a question")
        };
        let sent = cluster.receive(0, LAN, &answer(question(server(family, 1)), server_mac(1)));
        let payloads: Vec<_> = sent.frames.iter().map(|(_, frame)| see(frame).payload[0]).collect();
        assert_eq!(payloads, [2, 3, 4, 5]);
        cluster.stop();
        assert_eq!(cluster.dropped(DropReason::Shutdown), 2);
        assert_eq!(cluster.sum(|counters| &counters.held), 0);
    }
}

fn asked_untagged(frame: &[u8]) -> Option<IpAddr> {
    asked(&untagged(frame).1).map(|(addr, _)| addr)
}

#[test]
fn a_full_table_refuses_new_neighbours() {
    for family in FAMILIES {
        // Two static ones and one to be learned.
        let neighbours = NeighLimits { entries: 3, held_per_entry: 4, held: 8 };
        let mut cluster = Cluster::with_bounds(
            &site(1, false),
            Bounds { neighbours, icmp_per_second: 0, ..Bounds::default() },
        );
        cluster.receive(0, WAN, &passing(family, server(family, 1), b"")).nothing();
        cluster.receive(0, WAN, &passing(family, server(family, 2), b"")).nothing();
        assert_eq!(cluster.dropped(DropReason::NeighbourTableFull), 1);
        let sent = cluster.advance(0);
        let sent = cluster.receive(0, LAN, &answer(sent.only(LAN), server_mac(1)));
        assert_eq!(sent.frames.len(), 1, "the first one's packet");
    }
}

#[test]
fn clients_hear_of_silent_servers_about_their_own_packets() {
    for family in FAMILIES {
        for method in METHODS {
            for protocol in crate::site::PROTOCOLS {
                let mut cluster = Cluster::new(&site(2, false));
                let from = SocketAddr::new(client(family, 5), 4444);
                let service = service_endpoint(family, method);
                let request = from_client(protocol, from, service, tcp::SYN, b"");
                cluster.receive(1, WAN, &request).nothing();
                let sent = cluster.advance(10_000);
                assert_eq!(questions(&sent, LAN).len(), 3, "three questions, a second apart");
                let others: Vec<_> = sent.frames.iter().filter(|(_, frame)| asked(frame).is_none()).collect();
                let [(WAN, error)] = others.as_slice() else { panic!("{method:?}: {} others", others.len()) };
                let told = see_error(error);
                let unreachable = if family == Family::V4 { (3, 1) } else { (1, 3) };
                assert_eq!((told.kind, told.code), unreachable, "{method:?}");
                assert_eq!((told.from, told.to), (vip(family), from.ip()), "{method:?}");
                assert_eq!(told.quoted, (from, service), "{method:?}");
                assert_eq!(ether::dst(error), ROUTER_MAC);
                assert_eq!(cluster.dropped(DropReason::NeighbourUnreachable), 1);
                assert_eq!(cluster.dropped_at_all(), 1);
            }
        }
    }
}

#[test]
fn senders_of_passing_packets_hear_of_silent_hosts() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(1, false));
        let packet = passing(family, server(family, 9), b"");
        cluster.receive(0, WAN, &packet).nothing();
        let sent = cluster.advance(3_000);
        let (port, error) = sent.frames.last().expect("an error");
        let told = see_error(error);
        assert_eq!(*port, WAN);
        assert_eq!((told.from, told.to), (wan_address(family), client(family, 1)));
        // While it counts as dead, senders hear of it at once; then it is asked for again.
        cluster.receive(0, WAN, &packet).nothing();
        let sent = cluster.advance(0);
        assert_eq!(see_error(sent.only(WAN)).to, client(family, 1));
        assert_eq!(cluster.dropped(DropReason::NeighbourUnreachable), 2);
        cluster.advance(1_000).nothing();
        cluster.receive(0, WAN, &packet).nothing();
        assert_eq!(questions(&cluster.advance(0), LAN).len(), 1);
    }
}

#[test]
fn a_flood_to_a_dead_server_is_answered_at_the_limit_and_holds_nobody_up() {
    for family in FAMILIES {
        let neighbours = NeighLimits { entries: 64, held_per_entry: 4, held: 8 };
        let mut cluster = Cluster::with_bounds(
            &site(1, false),
            Bounds { neighbours, icmp_per_second: 2, ..Bounds::default() },
        );
        let flood = passing(family, server(family, 9), b"");
        cluster.receive(0, WAN, &flood).nothing();
        cluster.advance(3_000);
        for _ in 0..100 {
            cluster.receive(0, WAN, &flood).nothing();
        }
        assert_eq!(cluster.dropped(DropReason::NeighbourUnreachable), 1 + 96);
        // There is room for packets that may yet get through.
        cluster.receive(0, WAN, &passing(family, server(family, 1), b"")).nothing();
        assert_eq!(cluster.dropped(DropReason::NeighbourQueueFull), 0);
        let sent = cluster.advance(0);
        assert_eq!(questions(&sent, LAN).len(), 1);
        let errors = sent.frames.iter().filter(|(port, _)| *port == WAN).count();
        let limited = cluster.dropped(DropReason::IcmpRateLimited);
        assert!(
            (1..=2).contains(&errors) && errors as u64 + limited == 4,
            "{errors} sent, {limited} limited"
        );
    }
}

#[test]
fn servers_hear_that_their_replies_did_not_arrive() {
    for family in FAMILIES {
        for method in [Method::Masquerade, Method::Fullnat] {
            let mut site = site(1, true);
            site.net.neighbours.retain(|neighbour| neighbour.iface != WAN_IFACE);
            let mut cluster = Cluster::new(&site);
            let from = SocketAddr::new(client(family, 5), 4444);
            let service = service_endpoint(family, method);
            let sent = cluster.receive(0, WAN, &from_client(Protocol::Tcp, from, service, tcp::SYN, b""));
            let request = see(sent.only(LAN));
            let mac = ether::dst(sent.only(LAN));
            let flags = tcp::SYN | tcp::ACK;
            let reply = from_server(mac, Protocol::Tcp, request.dst, request.src, flags, b"");
            cluster.receive(0, LAN, &reply).nothing();
            let sent = cluster.advance(3_000);
            let (port, error) = sent.frames.last().expect("an error");
            assert_eq!(*port, LAN);
            let told = see_error(error);
            assert_eq!(told.to, request.dst.ip(), "{method:?}");
            assert_eq!(told.quoted, (request.dst, request.src), "{method:?}");
            assert_eq!(request.dst.port(), SERVER_PORT);
        }
    }
}

#[test]
fn a_moved_neighbour_is_followed_a_static_one_is_not() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(2, false));
        let addr = server(family, 1);
        cluster.receive(0, WAN, &passing(family, addr, b"")).nothing();
        let sent = cluster.advance(0);
        cluster.receive(0, LAN, &answer(sent.only(LAN), server_mac(1)));
        let sent = cluster.receive(1, LAN, &announce(server_mac(2), addr));
        assert_eq!(sent.frames.len(), 0, "nobody is answered");
        let sent = cluster.receive(1, WAN, &announce(MacAddr([2, 0, 0, 0, 9, 9]), router(family)));
        assert_eq!(sent.frames.len(), 0);
        for worker in [0, 1] {
            let sent = cluster.receive(worker, WAN, &passing(family, addr, b""));
            assert_eq!(ether::dst(sent.only(LAN)), server_mac(2), "worker {worker}");
            let back = Frame::new(addr, client(family, 1)).mac(server_mac(2), LAN_MAC).udp(2, 1).build();
            let sent = cluster.receive(worker, LAN, &back);
            assert_eq!(ether::dst(sent.only(WAN)), ROUTER_MAC, "worker {worker}");
        }
        // The new address was only announced, so its holder is asked alone whether it is there.
        let sent = cluster.advance(0);
        assert_eq!(questions(&sent, LAN), [(addr, server_mac(2))], "by the worker that sends to it");
        let question = &sent.frames[0].1;
        cluster.receive(0, LAN, &answer(question, server_mac(2)));
        assert_eq!(cluster.advance(2_000).frames.len(), 0, "it answered");
    }
}

#[test]
fn addresses_are_answered_for_on_their_own_interface_only() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(2, false));
        let (outer, inner) = (router(family), server(family, 1));
        let stranger = MacAddr([2, 0, 0, 0, 7, 7]);
        for (name, port, asker, target, mac) in [
            ("VIP", WAN, outer, vip(family), Some(WAN_MAC)),
            ("interface address", WAN, outer, wan_address(family), Some(WAN_MAC)),
            ("local address", LAN, inner, local(family), Some(LAN_MAC)),
            ("another interface's", LAN, inner, vip(family), None),
            ("another interface's local address", WAN, outer, local(family), None),
            ("a VLAN's", LAN, inner, vlan_address(family), None),
            ("another host's", LAN, inner, server(family, 2), None),
        ] {
            let sent = cluster.receive(1, port, &ask(stranger, asker, target));
            let got = sent.frames.first().and_then(|(_, frame)| answered(frame));
            assert_eq!(got, mac.map(|mac| (target, mac)), "{name}, {family:?}");
            assert_eq!(sent.frames.len(), usize::from(mac.is_some()), "{name}, {family:?}");
            if mac.is_some() {
                assert_eq!(sent.frames[0].0, port);
                assert_eq!(ether::dst(&sent.frames[0].1), stranger);
                assert!(sent.host.is_empty(), "{name}: what is answered needs no copy");
            }
        }
        // Who asked for us on the lan is known by that.
        cluster.receive(0, WAN, &passing(family, inner, b"")).only(LAN);
        assert_eq!(cluster.dropped_at_all(), 0);
        cluster.receive(0, WAN, &announce(stranger, vip(family))).nothing();
        assert_eq!(cluster.dropped(DropReason::DuplicateAddress), 1);
    }
}

#[test]
fn new_addresses_are_announced_once() {
    let mut site = site(2, true);
    let mut cluster = Cluster::new(&site);
    let announcements = |sent: &Sent| -> Vec<IpAddr> {
        let plain = sent.frames.iter().map(|(_, frame)| untagged(frame).1);
        plain.map(|frame| announced(&frame).expect("an announcement")).collect()
    };
    let first = announcements(&cluster.start());
    let own: BTreeSet<_> = cluster.snapshot().net.addresses().iter().map(|own| own.addr).collect();
    assert_eq!(first.iter().copied().collect::<BTreeSet<_>>(), own);
    assert_eq!(first.len(), cluster.snapshot().net.addresses().len(), "by one worker only");

    let added = FAMILIES.map(|family| match vip(family) {
        IpAddr::V4(vip) => IpAddr::V4((vip.to_bits() + 1).into()),
        IpAddr::V6(vip) => IpAddr::V6((vip.to_bits() + 1).into()),
    });
    for addr in added {
        let prefix_len = if addr.is_ipv4() { 32 } else { 128 };
        site.net.addresses.push(Address { iface: WAN_IFACE, addr, prefix_len, role: AddressRole::Host });
    }
    let sent = cluster.apply(&site);
    assert_eq!(announcements(&sent), added);
    assert!(sent.frames.iter().all(|(port, frame)| *port == WAN && ether::src(frame) == WAN_MAC));
    cluster.apply(&site).nothing();
}

#[test]
fn tags_are_taken_off_and_put_on() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(1, false));
        let host = vlan_host(family);
        // Asked for on the VLAN, answered on the VLAN.
        cluster.receive(0, WAN, &passing(family, host, b"in")).nothing();
        let sent = cluster.advance(0);
        let (vid, question) = untagged(sent.only(LAN));
        assert_eq!(vid, Some(VLAN_ID));
        let sent = cluster.receive(0, LAN, &tagged(&answer(&question, VLAN_HOST_MAC), VLAN_ID));
        let (vid, frame) = untagged(&sent.frames[0].1);
        assert_eq!((vid, ether::dst(&frame), see(&frame).dst.ip()), (Some(VLAN_ID), VLAN_HOST_MAC, host));
        assert_eq!(untagged(&sent.host[0].1).0, Some(VLAN_ID), "the host's copy of the answer");

        let from_host = |to| Frame::new(host, to).mac(VLAN_HOST_MAC, LAN_MAC).udp(5, 6).build();
        let out = from_host(client(family, 1));
        let sent = cluster.receive(0, LAN, &tagged(&out, VLAN_ID));
        let (vid, frame) = untagged(sent.only(WAN));
        assert_eq!((vid, see(&frame).src.ip()), (None, host));

        let to_us = tagged(&from_host(vlan_address(family)), VLAN_ID);
        let sent = cluster.receive(0, LAN, &to_us);
        assert_eq!(sent.only_host(LAN), to_us, "the host gets the frame as it came");

        let sent = cluster.receive(0, LAN, &tagged(&ask(VLAN_HOST_MAC, host, vlan_address(family)), VLAN_ID));
        let (vid, frame) = untagged(sent.only(LAN));
        assert_eq!((vid, answered(&frame)), (Some(VLAN_ID), Some((vlan_address(family), LAN_MAC))));

        cluster.receive(0, LAN, &tagged(&out, VLAN_ID + 1)).nothing();
        cluster.receive(0, WAN, &tagged(&out, VLAN_ID)).nothing();
        assert_eq!(cluster.dropped(DropReason::VlanUnknown), 2);
        // A tag with a priority only is of the port's own network.
        cluster.receive(0, WAN, &tagged(&passing(family, lan_address(family), b""), 0)).only_host(WAN);
    }
}

#[test]
fn a_given_neighbour_takes_what_waited_for_it() {
    for family in FAMILIES {
        let mut site = site(2, false);
        let mut cluster = Cluster::new(&site);
        let (addr, mac) = (server(family, 1), server_mac(1));
        cluster.receive(1, WAN, &passing(family, addr, b"waits")).nothing();
        site.net.neighbours.push(StaticNeighbour { iface: LAN_IFACE, addr, mac });
        let sent = cluster.apply(&site);
        assert_eq!(ether::dst(sent.only(LAN)), mac);
        assert_eq!(cluster.sum(|counters| &counters.held), 0);
    }
}

#[test]
fn what_waits_when_neighbours_are_flushed_or_go_is_accounted_for() {
    for family in FAMILIES {
        let mut site = site(2, false);
        let mut cluster = Cluster::new(&site);
        cluster.receive(0, WAN, &passing(family, server(family, 1), b"")).nothing();
        cluster.receive(0, WAN, &passing(family, vlan_host(family), b"")).nothing();
        cluster.flush_neighbours(Some(LAN_IFACE));
        cluster.check();
        let sent = cluster.advance(0);
        let errors = sent.frames.iter().filter(|(port, _)| *port == WAN).count();
        assert_eq!((errors, cluster.dropped(DropReason::NeighbourUnreachable)), (1, 1));

        site.net.ifaces.pop();
        site.net.addresses.retain(|address| address.iface != VLAN_IFACE);
        cluster.apply(&site).nothing();
        cluster.advance(0).only(WAN);
        assert_eq!(cluster.dropped(DropReason::NeighbourUnreachable), 2);
        assert_eq!(cluster.sum(|counters| &counters.held), 0);
    }
}

#[test]
fn a_question_without_a_buffer_is_asked_later() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(1, false));
        cluster.leave_pool(0);
        cluster.receive(0, WAN, &passing(family, server(family, 1), b"")).nothing();
        cluster.advance(0).nothing();
        cluster.leave_pool(1);
        let sent = cluster.advance(1_000);
        cluster.receive(0, LAN, &answer(sent.only(LAN), server_mac(1))).frames.pop().expect("released");
    }
}

#[test]
fn what_is_learned_is_no_loss_where_the_host_has_no_interface() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(1, false));
        cluster.receive(0, WAN, &passing(family, server(family, 1), b"")).nothing();
        let question = cluster.advance(0).only(LAN).to_vec();
        let sent = cluster.receive(0, LAN, &answer(&question, server_mac(1)));
        assert_eq!(sent.host.len(), 1, "the host may have asked too");
        cluster.without_host(LAN);
        cluster.receive(0, LAN, &answer(&question, server_mac(1))).nothing();
        assert_eq!(cluster.dropped_at_all(), 0);
        assert_eq!(cluster.sum(|counters| &counters.consumed), 1);
    }
}
