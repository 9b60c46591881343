//! Datagrams in fragments: whichever worker receives which fragment, and in which order, the same leaves.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use inet::{DropReason, PortIndex, Reassembly, ReassemblyLimits, reassembly::Accepted};
use ipvs::{Method, Protocol, Rng};
use proptest::prelude::*;
use wire::testing::{Frame, fragments, info, verify_checksums};
use wire::{Family, Fragment, MacAddr, PacketBuf, VecBuf, ether, icmp, icmpv6, protocol, tcp};

use crate::cluster::{Bounds, Cluster, Sent};
use crate::frames::{from_client, from_server, inside, see, see_error};
use crate::site::{
    FAMILIES, LAN, LAN_IFACE, LAN_MAC, METHODS, ROUTER_MAC, SERVER_PORT, Site, VLAN_ID, WAN, WAN_MAC, client,
    lan_address, server, server_mac, service_endpoint, vip,
};

const TIGHT: ReassemblyLimits =
    ReassemblyLimits { datagrams: 16, fragments: 16, fragments_per_datagram: 8, fragments_per_sender: 12 };

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7) as u8).collect()
}

/// A datagram of so many bytes of UDP payload, numbered.
fn datagram(macs: (MacAddr, MacAddr), id: u32, src: SocketAddr, dst: SocketAddr, len: usize) -> Vec<u8> {
    let frame = Frame::new(src.ip(), dst.ip()).mac(macs.0, macs.1).id(id);
    frame.udp(src.port(), dst.port()).payload(&payload(len)).build()
}

/// Fragments with an identification of their own.
fn cut(frame: &[u8], id: u32, sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = fragments(frame, sizes);
    if info(frame).family == Family::V6 {
        pieces.iter_mut().for_each(|piece| piece[58..62].copy_from_slice(&id.to_be_bytes()));
    }
    pieces
}

/// What a receiver makes of frames; all must be of one datagram, or whole.
#[track_caller]
fn receiver(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut reassembly = Reassembly::new(ReassemblyLimits::default(), 1);
    for (index, frame) in frames.iter().enumerate() {
        let (packet, large) = (VecBuf::new(frame), || Some(VecBuf::large()));
        let whole = match reassembly.accept(0, LAN_IFACE, packet, &info(frame), large, drop) {
            Accepted::AsItIs(packet) => packet,
            Accepted::Done(joined) => joined.packet,
            Accepted::Held => continue,
            Accepted::Refused(reason) => panic!("{}", reason.name()),
        };
        assert_eq!(index + 1, frames.len(), "nothing is left over");
        assert_eq!(verify_checksums(whole.bytes()), Ok(()));
        return whole.bytes().to_vec();
    }
    panic!("the datagram is not whole");
}

/// The frames that left, which did so by this port.
#[track_caller]
fn left(sent: &Sent, port: PortIndex) -> Vec<Vec<u8>> {
    assert!(sent.host.is_empty() && sent.frames.iter().all(|(at, _)| *at == port));
    sent.frames.iter().map(|(_, frame)| frame.clone()).collect()
}

/// Lets pieces arrive at the workers that are named with them; what leaves, which is when the last has come.
#[track_caller]
fn arrive(cluster: &mut Cluster, port: PortIndex, pieces: &[(usize, &Vec<u8>)]) -> Sent {
    let (last, before) = pieces.split_last().expect("pieces");
    for (worker, piece) in before {
        cluster.receive(*worker, port, piece).nothing();
    }
    cluster.receive(last.0, port, last.1)
}

/// One request and, where the director translates it, one reply: what the other end receives.
fn exchange(cluster: &mut Cluster, family: Family, method: Method, plan: &Plan) -> Vec<Vec<Vec<u8>>> {
    let from = SocketAddr::new(client(family, plan.client), 4000);
    let service = service_endpoint(family, method);
    let frame = datagram((ROUTER_MAC, WAN_MAC), plan.id, from, service, plan.len);
    let pieces = cut(&frame, plan.id, &plan.sizes);
    let request = left(&arrive(cluster, WAN, &plan.places(&pieces)), LAN);
    let whole = receiver(&request);
    let seen = see(&if method == Method::Tunnel { inside(&whole) } else { whole });
    assert_eq!((seen.payload.len(), seen.ttl), (plan.len, 63));
    assert_eq!(seen.payload, payload(plan.len));
    if method.input_only() {
        return vec![request];
    }
    assert_eq!(seen.dst.port(), SERVER_PORT);
    let mac = ether::dst(&request[0]);
    let frame = datagram((mac, LAN_MAC), plan.id + 1, seen.dst, seen.src, plan.len);
    let pieces = cut(&frame, plan.id + 1, &plan.sizes);
    let reply = left(&arrive(cluster, LAN, &plan.places(&pieces)), WAN);
    let seen = see(&receiver(&reply));
    assert_eq!((seen.src, seen.dst, seen.payload), (service, from, payload(plan.len)));
    vec![request, reply]
}

/// How a datagram comes.
#[derive(Clone, Debug)]
struct Plan {
    client: u16,
    id: u32,
    len: usize,
    sizes: Vec<usize>,
    /// For each fragment where it comes in the order, and on which worker.
    order: Vec<(u32, usize)>,
}

impl Plan {
    fn places<'a>(&self, pieces: &'a [Vec<u8>]) -> Vec<(usize, &'a Vec<u8>)> {
        let mut places: Vec<_> = pieces
            .iter()
            .enumerate()
            .map(|(n, piece)| (self.order[n % self.order.len()], n, piece))
            .collect();
        places.sort();
        places.into_iter().map(|((_, worker), _, piece)| (worker, piece)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The pieces that leave are the same for each order, each way over workers, and each number of workers.
    #[test]
    fn whatever_the_order_and_the_workers_the_same_leaves(
        len in 100..9000usize,
        weights in prop::collection::vec(1..176usize, 1..12),
        orders in prop::collection::vec(prop::collection::vec((any::<u32>(), 0..4usize), 13), 3),
    ) {
        let mut sizes: Vec<usize> = weights.iter().map(|weight| weight * 8).collect();
        let mut total = 0;
        sizes.retain(|size| { total += size; total < len });
        prop_assume!(!sizes.is_empty() && len + 8 - sizes.iter().sum::<usize>() <= 1400);
        for family in FAMILIES {
            for method in METHODS {
                let mut seen: Option<Vec<Vec<Vec<u8>>>> = None;
                for (workers, order) in [1, 2, 4].into_iter().zip(&orders) {
                    let mut cluster = Cluster::new(&Site::new(workers));
                    let order = order.iter().map(|(at, on)| (*at, on % usize::from(workers))).collect();
                    let plan = Plan { client: 1, id: 77, len, sizes: sizes.clone(), order };
                    let mut out = exchange(&mut cluster, family, method, &plan);
                    prop_assert_eq!(cluster.dropped_at_all(), 0);
                    prop_assert_eq!(cluster.sum(|counters| &counters.held), 0);
                    prop_assert_eq!(cluster.connections().len(), 1);
                    out.iter_mut().flatten().for_each(|frame| forget_what_a_worker_chose(frame));
                    match &seen {
                        Some(seen) => prop_assert_eq!(seen, &out),
                        None => seen = Some(out),
                    }
                }
            }
        }
    }
}

/// Clears what differs by worker: identifications of its own, the server, the local port and so the checksum.
fn forget_what_a_worker_chose(frame: &mut [u8]) {
    let at = info(frame);
    frame[..12].fill(0);
    let ip = at.ip_mut(frame);
    match at.family {
        Family::V4 => {
            ip[4..6].fill(0);
            ip[10..20].fill(0);
        }
        Family::V6 => {
            let fragment = ip[6] == protocol::FRAGMENT;
            ip[8..40].fill(0);
            if fragment {
                ip[44..48].fill(0);
            }
        }
    }
    if at.fragment != Fragment::Later && at.protocol == protocol::UDP {
        let upper = at.upper_mut(frame);
        upper[..4].fill(0);
        upper[6..8].fill(0);
    }
}

#[test]
fn datagrams_of_one_flow_have_one_owner_and_leave_in_order() {
    for workers in [1, 2, 4] {
        let mut cluster = Cluster::new(&Site::new(workers));
        let mut rng = Rng::new(workers.into());
        for family in FAMILIES {
            for method in METHODS {
                for n in 0..24u32 {
                    let order = (0..4)
                        .map(|_| {
                            (rng.next_u64() as u32, (rng.next_u64() >> 9) as usize % usize::from(workers))
                        })
                        .collect();
                    let client = 100 + (n % 6) as u16;
                    let plan = Plan { client, id: 1000 + n * 2, len: 3000, sizes: vec![1000, 1000], order };
                    exchange(&mut cluster, family, method, &plan);
                }
            }
        }
        let connections = cluster.connections();
        let of = |family| {
            connections.iter().filter(move |(_, conn)| conn.client.is_ipv4() == (family == Family::V4))
        };
        for family in FAMILIES {
            assert_eq!(of(family).count(), METHODS.len() * 6, "one connection a client");
            let owners: BTreeSet<_> = of(family).map(|(worker, _)| worker).collect();
            assert_eq!(owners.len(), usize::from(workers), "each worker has a share");
        }
        assert!(
            connections.iter().all(|(_, conn)| conn.in_pkts == 4),
            "datagrams are counted, not fragments"
        );
        assert_eq!(cluster.dropped_at_all(), 0);
        assert!(cluster.sum(|counters| &counters.merged) > 0 && cluster.sum(|counters| &counters.split) > 0);
    }
}

#[test]
fn fragments_and_whole_packets_meet_in_one_connection() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(4));
        let (from, service) =
            (SocketAddr::new(client(family, 1), 4000), service_endpoint(family, Method::Masquerade));
        for (n, flags) in (0u32..).zip([tcp::SYN, tcp::ACK, tcp::ACK | tcp::PSH, tcp::FIN | tcp::ACK]) {
            let frame = from_client(Protocol::Tcp, from, service, flags, &payload(400));
            if n % 2 == 1 {
                cluster.receive(n as usize, WAN, &frame).only(LAN);
                continue;
            }
            let pieces = cut(&frame, n, &[24, 200]);
            let places: Vec<_> = pieces.iter().enumerate().rev().collect();
            let sent = arrive(&mut cluster, WAN, &places);
            assert_eq!(see(&receiver(&left(&sent, LAN))).payload, payload(400));
        }
        assert_eq!(cluster.connections()[0].1.in_pkts, 4);
    }
}

#[test]
fn the_largest_datagram_and_one_that_is_too_long() {
    for family in FAMILIES {
        let header = if family == Family::V4 { 20 } else { 40 };
        let most = VecBuf::LARGE_ROOM - 14 - header - 8;
        for (len, fits) in [(most, true), (most + 1, false)] {
            let mut cluster = Cluster::new(&Site::new(2));
            let service = service_endpoint(family, Method::Masquerade);
            let from = SocketAddr::new(client(family, 1), 4000);
            let frame = datagram((ROUTER_MAC, WAN_MAC), 5, from, service, len);
            let pieces = cut(&frame, 5, &[1400; 46]);
            let places: Vec<_> = pieces.iter().enumerate().map(|(n, piece)| (n % 2, piece)).collect();
            let sent = arrive(&mut cluster, WAN, &places);
            if fits {
                assert_eq!(see(&receiver(&left(&sent, LAN))).payload, payload(len));
            } else {
                sent.nothing();
                assert!(cluster.dropped(DropReason::DatagramTooLong) > 0);
            }
            assert_eq!(cluster.sum(|counters| &counters.held), 0);
        }
    }
}

#[test]
fn without_a_large_buffer_only_long_datagrams_are_lost() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(1));
        let service = service_endpoint(family, Method::Masquerade);
        let from = SocketAddr::new(client(family, 1), 4000);
        cluster.leave_large_pool(0);
        for (len, fits) in [(1000, true), (4000, false), (1200, true)] {
            let frame = datagram((ROUTER_MAC, WAN_MAC), 5, from, service, len);
            let pieces = cut(&frame, 5, &vec![800; len / 800]);
            let places: Vec<_> = pieces.iter().map(|piece| (0, piece)).collect();
            let sent = arrive(&mut cluster, WAN, &places);
            assert_eq!(!sent.frames.is_empty(), fits, "{len}");
        }
        assert_eq!(cluster.dropped(DropReason::NoLargeMbuf), 6);
        cluster.leave_large_pool(1);
        cluster.leave_pool(1);
        let frame = datagram((ROUTER_MAC, WAN_MAC), 6, from, service, 4000);
        let pieces = cut(&frame, 6, &[1200, 1200, 1200]);
        let sent = arrive(&mut cluster, WAN, &pieces.iter().map(|piece| (0, piece)).collect::<Vec<_>>());
        assert_eq!(sent.frames.len(), 1, "what had a buffer has left");
        assert_eq!(cluster.dropped(DropReason::NoMbuf), 1);
    }
}

#[test]
fn what_waits_in_vain_is_answered_and_what_waits_at_the_end_is_dropped() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(2));
        let from = SocketAddr::new(client(family, 1), 4000);
        let to = [
            service_endpoint(family, Method::Fullnat),
            SocketAddr::new(server(family, 1), 9),
            SocketAddr::new(lan_address(family), 9),
        ];
        for (n, to) in (0u32..).zip(to) {
            let frame = datagram((ROUTER_MAC, WAN_MAC), n, from, to, 2000);
            let pieces = cut(&frame, n, &[1000]);
            cluster.receive(n as usize % 2, WAN, &pieces[0]).nothing();
            // One whose first fragment is lost is not answered.
            let frame = datagram((ROUTER_MAC, WAN_MAC), n + 10, from, to, 2000);
            cluster.receive(1, WAN, &cut(&frame, n + 10, &[1000])[1]).nothing();
        }
        assert_eq!(cluster.sum(|counters| &counters.held), 6);
        cluster.advance(29_000).nothing();
        let sent = if family == Family::V4 { cluster.advance(2_000) } else { cluster.advance(32_000) };
        let kind = if family == Family::V4 { icmp::TIME_EXCEEDED } else { icmpv6::TIME_EXCEEDED };
        let told: Vec<_> = left(&sent, WAN).iter().map(Vec::as_slice).map(see_error).collect();
        assert!(told.iter().all(|error| (error.kind, error.code, error.to) == (kind, 1, from.ip())));
        let about: BTreeSet<_> = told.iter().map(|error| error.quoted).collect();
        assert_eq!(about, to.into_iter().map(|to| (from, to)).collect());
        assert_eq!(cluster.dropped(DropReason::FragmentTimeout), 6);
        assert_eq!(cluster.sum(|counters| &counters.held), 0);

        let frame = datagram((ROUTER_MAC, WAN_MAC), 30, from, to[0], 2000);
        cluster.receive(0, WAN, &cut(&frame, 30, &[1000])[0]).nothing();
        cluster.stop();
        assert_eq!(cluster.dropped(DropReason::Shutdown), 1);
        assert_eq!(cluster.sum(|counters| &counters.held), 0);
    }
}

#[test]
fn a_flood_is_bounded_and_others_do_not_notice() {
    for family in FAMILIES {
        let bounds = Bounds { reassembly: TIGHT, ..Bounds::default() };
        let mut cluster = Cluster::with_bounds(&Site::new(2), bounds);
        let service = service_endpoint(family, Method::Masquerade);
        let flood = |cluster: &mut Cluster, from: IpAddr, id: u32| {
            let frame = datagram((ROUTER_MAC, WAN_MAC), id, SocketAddr::new(from, 1), service, 2000);
            cluster.receive(id as usize % 2, WAN, &cut(&frame, id, &[1000])[id as usize % 2]).nothing();
        };
        // One sender gets its share, at each worker.
        (0..200).for_each(|id| flood(&mut cluster, client(family, 1), id));
        assert_eq!(cluster.sum(|counters| &counters.held), 24);
        assert_eq!(cluster.dropped(DropReason::FragmentTableFull), 200 - 24);
        // Many get all there is.
        (0..200).for_each(|id| flood(&mut cluster, far_client(family, id), id));
        assert_eq!(cluster.sum(|counters| &counters.held), 32);
        for n in 0..20 {
            let order = vec![(0, 0), (1, 1), (2, 0)];
            let plan =
                Plan { client: 50 + n, id: 9000 + u32::from(n), len: 2500, sizes: vec![1000, 1000], order };
            exchange(&mut cluster, family, Method::Masquerade, &plan);
            let from = SocketAddr::new(client(family, 90 + n), 4000);
            cluster.receive(1, WAN, &from_client(Protocol::Tcp, from, service, tcp::SYN, b"")).only(LAN);
        }
        let dropped = cluster.dropped_at_all();
        assert_eq!(cluster.dropped(DropReason::FragmentTableFull), dropped, "for no other reason");
        assert!(cluster.sum(|counters| &counters.held) <= 32);
        cluster.stop();
    }
}

/// Clients of different networks.
fn far_client(family: Family, n: u32) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4((0xcb00_7100 + n).into()),
        Family::V6 => IpAddr::V6(((0x2001_0db8_0077_u128 << 80) | u128::from(n) << 64 | 1).into()),
    }
}

#[test]
fn overlaps_cost_their_datagram_and_nothing_else() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(2));
        let service = service_endpoint(family, Method::Fullnat);
        let from = SocketAddr::new(client(family, 1), 4000);
        let frame = datagram((ROUTER_MAC, WAN_MAC), 5, from, service, 600);
        let pieces = cut(&frame, 5, &[200, 200]);
        let other = cut(&frame, 5, &[200, 208]);
        cluster.receive(0, WAN, &pieces[0]).nothing();
        cluster.receive(1, WAN, &pieces[0]).nothing();
        assert_eq!(cluster.dropped(DropReason::FragmentDuplicate), 1);
        cluster.receive(1, WAN, &pieces[1]).nothing();
        cluster.receive(0, WAN, &other[1]).nothing();
        assert_eq!(cluster.dropped(DropReason::FragmentOverlap), 3);
        cluster.receive(0, WAN, &pieces[2]).nothing();
        assert_eq!(cluster.connections().len(), 0);
        let again = cut(&datagram((ROUTER_MAC, WAN_MAC), 6, from, service, 600), 6, &[200, 200]);
        let sent = arrive(&mut cluster, WAN, &again.iter().map(|piece| (1, piece)).collect::<Vec<_>>());
        assert_eq!(see(&receiver(&left(&sent, LAN))).payload, payload(600));
    }
}

#[test]
fn echo_requests_in_fragments_are_answered_in_fragments_of_our_own() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(4));
        let frame = Frame::new(client(family, 1), vip(family)).mac(ROUTER_MAC, WAN_MAC).id(9);
        let frame = frame.echo_request(3, 4).payload(&payload(4000)).build();
        let pieces = cut(&frame, 9, &[1000, 1000, 1000]);
        let places: Vec<_> = pieces.iter().enumerate().rev().collect();
        let sent = left(&arrive(&mut cluster, WAN, &places), WAN);
        assert_eq!(sent.len(), 3, "as large as the MTU");
        let whole = receiver(&sent);
        let message = info(&whole).upper(&whole).to_vec();
        let reply = if family == Family::V4 { icmp::ECHO_REPLY } else { icmpv6::ECHO_REPLY };
        assert_eq!((icmp::kind(&message), &message[8..]), (reply, &payload(4000)[..]));
    }
}

#[test]
fn what_is_for_the_host_reaches_it_in_fragments_with_its_vlan() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(2));
        let from = SocketAddr::new(server(family, 1), 4000);
        let to = SocketAddr::new(crate::site::vlan_address(family), 22);
        let frame = datagram((server_mac(1), LAN_MAC), 9, from, to, 3000);
        let pieces: Vec<_> =
            cut(&frame, 9, &[1000, 1000]).iter().map(|piece| crate::frames::tagged(piece, VLAN_ID)).collect();
        let places: Vec<_> = pieces.iter().enumerate().map(|(n, piece)| (n % 2, piece)).collect();
        let sent = arrive(&mut cluster, LAN, &places);
        assert!(sent.frames.is_empty());
        let bare: Vec<_> = sent
            .host
            .iter()
            .map(|(_, frame)| {
                let (vlan, frame) = crate::frames::untagged(frame);
                assert_eq!(vlan, Some(VLAN_ID));
                frame
            })
            .collect();
        assert_eq!(see(&receiver(&bare)).payload, payload(3000));
    }
}

#[test]
fn errors_in_fragments_find_their_connection() {
    for family in FAMILIES {
        for method in [Method::Masquerade, Method::Fullnat] {
            let mut cluster = Cluster::new(&Site::new(4));
            let (from, service) =
                (SocketAddr::new(client(family, 1), 4000), service_endpoint(family, method));
            let frame = from_client(Protocol::Udp, from, service, 0, &payload(300));
            let request = cluster.receive(0, WAN, &frame).only(LAN).to_vec();
            let seen = see(&request);
            let (kind, code) = if family == Family::V4 { (3, 3) } else { (1, 4) };
            let error = Frame::new(seen.dst.ip(), seen.src.ip()).mac(server_mac(1), LAN_MAC).id(3);
            let error = error.icmp(kind, code, 0).quote(&request, 320).build();
            let pieces = cut(&error, 3, &[104, 104]);
            let places: Vec<_> = pieces.iter().enumerate().rev().collect();
            let sent = arrive(&mut cluster, LAN, &places);
            let told = see_error(&receiver(&left(&sent, WAN)));
            assert_eq!((told.from, told.quoted), (service.ip(), (from, service)), "{method:?}");
        }
    }
}

#[test]
fn neighbour_discovery_in_fragments_is_discarded() {
    let mut cluster = Cluster::new(&Site::new(2));
    let (from, to) = (server(Family::V6, 1), lan_address(Family::V6));
    let body = [&[0; 4][..], &[0; 16], &[1, 1, 2, 0, 0, 0, 2, 0x0b]].concat();
    let frame = Frame::new(from, to).mac(server_mac(1), LAN_MAC).ttl(255);
    let frame = frame.icmp(icmpv6::NEIGHBOUR_SOLICITATION, 0, 0).payload(&body[4..]).build();
    let pieces = cut(&frame, 3, &[16]);
    let sent = arrive(&mut cluster, LAN, &pieces.iter().map(|piece| (0, piece)).collect::<Vec<_>>());
    sent.nothing();
    assert_eq!(cluster.dropped(DropReason::NdInvalid), 1, "RFC 6980");
}

#[test]
fn every_truncation_and_flipped_bits_are_accounted_for() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&Site::new(2));
        let mut rng = Rng::new(11);
        let service = service_endpoint(family, Method::Masquerade);
        let mut frames = Vec::new();
        for id in 0..2u32 {
            let from = SocketAddr::new(client(family, id as u16), 4000);
            let frame = datagram((ROUTER_MAC, WAN_MAC), id, from, service, 200);
            frames.extend(cut(&frame, id, &[64, 80]));
            let frame = from_server(
                server_mac(1),
                Protocol::Udp,
                SocketAddr::new(server(family, 1), 8080),
                from,
                0,
                &payload(200),
            );
            frames.extend(cut(&frame, id + 10, &[64, 80]));
        }
        for (n, frame) in frames.iter().enumerate() {
            let port = if n % 6 < 3 { WAN } else { LAN };
            for len in 0..frame.len() {
                cluster.receive(len % 2, port, &frame[..len]);
                let mut padded = frame[..len].to_vec();
                padded.resize(len.max(60), 0);
                cluster.receive(len % 2, port, &padded);
            }
        }
        for round in 0..4000 {
            let mut frame = frames[rng.next_u64() as usize % frames.len()].clone();
            for _ in 0..=(round % 3) {
                let bit = rng.next_u64() as usize % (frame.len() * 8);
                frame[bit / 8] ^= 1 << (bit % 8);
            }
            let port = if round % 2 == 0 { WAN } else { LAN };
            cluster.receive(round % 2, port, &frame);
            if round % 100 == 0 {
                cluster.advance(1_000);
            }
        }
        cluster.advance(200_000);
        assert_eq!(cluster.sum(|counters| &counters.held), 0);
        let order = vec![(0, 0), (1, 1), (2, 0)];
        let plan = Plan { client: 77, id: 99_000, len: 2500, sizes: vec![1000, 1000], order };
        exchange(&mut cluster, family, Method::Masquerade, &plan);
        cluster.stop();
    }
}
