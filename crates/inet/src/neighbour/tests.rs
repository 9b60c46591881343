use wire::VecBuf;

use super::*;
use crate::net::{Net, NetConfig, StaticNeighbour};
use crate::testing::{C, S, config, hop, iface, ip, net};

const ONE: MacAddr = MacAddr([2, 0, 0, 0, 2, 11]);
const TWO: MacAddr = MacAddr([2, 0, 0, 0, 2, 12]);
const SOLICITED: Confirm = Confirm::Solicited { overrides: true };
const WEAK: Confirm = Confirm::Solicited { overrides: false };
const NOTICE: Confirm = Confirm::Unsolicited { overrides: true };
const WEAK_NOTICE: Confirm = Confirm::Unsolicited { overrides: false };

fn table(entries: usize, held_per_entry: usize, held: usize) -> Neighbours<VecBuf> {
    let mut table = Neighbours::new(NeighLimits { entries, held_per_entry, held }, 7);
    table.apply(&net());
    table
}

fn server(n: u8) -> NextHop {
    hop(S, &format!("10.0.2.{n}"))
}

fn packet(n: u8) -> VecBuf {
    VecBuf::new(&[n])
}

fn state(table: &Neighbours<VecBuf>, hop: &NextHop) -> Option<NeighState> {
    table.iter(0).find(|view| (view.iface, view.addr) == (hop.iface, hop.addr)).map(|view| view.state)
}

/// Everything that is due now: probes as (last byte of target, unicast), dropped packets' first bytes.
fn due(table: &mut Neighbours<VecBuf>, now_ms: u64) -> (Vec<(u8, bool)>, Vec<u8>) {
    let (mut probes, mut dropped) = (Vec::new(), Vec::new());
    while let Some(event) = table.poll(now_ms, &mut 1000) {
        match event {
            NeighEvent::Probe(Probe { target: IpAddr::V4(target), unicast, .. }) => {
                probes.push((target.octets()[3], unicast.is_some()));
            }
            NeighEvent::Probe(probe) => panic!("not asked for {probe:?}"),
            NeighEvent::Failed(packet, DropReason::NeighbourUnreachable) => dropped.push(packet.bytes()[0]),
            NeighEvent::Failed(_, reason) => panic!("not for {reason:?}"),
        }
    }
    (probes, dropped)
}

fn sent(table: &mut Neighbours<VecBuf>, hop: &NextHop) -> Vec<u8> {
    core::iter::from_fn(|| table.take_held(hop.iface, hop.addr)).map(|packet| packet.bytes()[0]).collect()
}

/// Brings a new entry into a state at 100 s.
fn in_state(start: NeighState) -> (Neighbours<VecBuf>, u64) {
    let mut table = table(8, 4, 16);
    let now_ms = 100_000;
    let hop = server(11);
    match start {
        NeighState::Incomplete => table.hold(now_ms, &hop, packet(1)).expect("room"),
        NeighState::Reachable => {
            table.learn(now_ms, S, hop.addr, ONE, SOLICITED);
        }
        NeighState::Stale => {
            table.learn(now_ms, S, hop.addr, ONE, Confirm::Asked);
        }
        NeighState::Probe => {
            table.learn(now_ms, S, hop.addr, ONE, Confirm::Asked);
            assert_eq!(table.resolve(now_ms, &hop), Resolution::Mac(ONE));
        }
        NeighState::Failed => {
            table.hold(now_ms - 3000, &hop, packet(1)).expect("room");
            for at in [now_ms - 3000, now_ms - 2000, now_ms - 1000, now_ms] {
                due(&mut table, at);
            }
        }
        NeighState::Permanent => {
            let neighbours = vec![StaticNeighbour { iface: S, addr: hop.addr, mac: ONE }];
            table.apply(&Net::build(NetConfig { neighbours, ..config() }).expect("a network"));
        }
    }
    assert_eq!(state(&table, &hop), Some(start));
    (table, now_ms)
}

/// {state, hardware address heard, how, state after, hardware address after, changed}
type Case = (NeighState, MacAddr, Confirm, NeighState, Option<MacAddr>, bool);

#[test]
fn hearing_moves_states_as_rfc_4861_says() {
    use NeighState::{Failed, Incomplete, Permanent, Probe, Reachable, Stale};
    let table: &[Case] = &[
        (Incomplete, ONE, SOLICITED, Reachable, Some(ONE), false),
        (Incomplete, ONE, WEAK, Reachable, Some(ONE), false),
        (Incomplete, ONE, NOTICE, Stale, Some(ONE), false),
        (Incomplete, ONE, WEAK_NOTICE, Stale, Some(ONE), false),
        (Incomplete, ONE, Confirm::Asked, Stale, Some(ONE), false),
        (Reachable, ONE, SOLICITED, Reachable, Some(ONE), false),
        (Reachable, TWO, SOLICITED, Reachable, Some(TWO), true),
        (Reachable, TWO, WEAK, Stale, Some(ONE), false),
        (Reachable, ONE, NOTICE, Reachable, Some(ONE), false),
        (Reachable, TWO, NOTICE, Stale, Some(TWO), true),
        (Reachable, TWO, WEAK_NOTICE, Stale, Some(ONE), false),
        (Reachable, TWO, Confirm::Asked, Stale, Some(TWO), true),
        (Stale, ONE, SOLICITED, Reachable, Some(ONE), false),
        (Stale, ONE, WEAK, Reachable, Some(ONE), false),
        (Stale, TWO, SOLICITED, Reachable, Some(TWO), true),
        (Stale, TWO, WEAK, Stale, Some(ONE), false),
        (Stale, ONE, NOTICE, Stale, Some(ONE), false),
        (Stale, TWO, NOTICE, Stale, Some(TWO), true),
        (Stale, TWO, Confirm::Asked, Stale, Some(TWO), true),
        (Probe, ONE, SOLICITED, Reachable, Some(ONE), false),
        (Probe, TWO, SOLICITED, Reachable, Some(TWO), true),
        (Probe, TWO, WEAK, Probe, Some(ONE), false),
        (Probe, ONE, Confirm::Asked, Probe, Some(ONE), false),
        (Probe, TWO, NOTICE, Stale, Some(TWO), true),
        (Failed, ONE, SOLICITED, Reachable, Some(ONE), false),
        (Failed, ONE, NOTICE, Stale, Some(ONE), false),
        (Failed, ONE, Confirm::Asked, Stale, Some(ONE), false),
        (Permanent, TWO, SOLICITED, Permanent, Some(ONE), false),
        (Permanent, TWO, NOTICE, Permanent, Some(ONE), false),
    ];
    for &(start, mac, how, after, mac_after, changed) in table {
        let (mut table, now_ms) = in_state(start);
        let hop = server(11);
        let update = table.learn(now_ms, S, hop.addr, mac, how);
        let name = format!("{} hears {mac} by {how:?}", start.name());
        assert_eq!(state(&table, &hop), Some(after), "{name}");
        assert_eq!(table.known_mac(S, hop.addr), mac_after, "{name}");
        assert_eq!(update, Update { changed, waiting: start == Incomplete }, "{name}");
    }
}

#[test]
fn only_answers_and_questions_make_entries() {
    for (how, made) in
        [(SOLICITED, true), (WEAK, true), (Confirm::Asked, true), (NOTICE, false), (WEAK_NOTICE, false)]
    {
        let mut table = table(8, 4, 16);
        table.learn(0, S, ip("10.0.2.11"), ONE, how);
        assert_eq!(table.len(), usize::from(made), "{how:?}");
    }
}

#[test]
fn resolves_asks_three_times_then_refuses_for_a_while() {
    let mut table = table(8, 4, 16);
    let hop = server(11);
    assert_eq!(table.resolve(0, &hop), Resolution::Unresolved);
    for n in 1..=3 {
        assert!(table.hold(0, &hop, packet(n)).is_ok());
    }
    // {time, probes, dropped}
    for (now_ms, probes, dropped) in [
        (0, vec![(11, false)], vec![]),
        (999, vec![], vec![]),
        (1000, vec![(11, false)], vec![]),
        (2000, vec![(11, false)], vec![]),
        (2999, vec![], vec![]),
        (3000, vec![], vec![1, 2, 3]),
    ] {
        assert_eq!(due(&mut table, now_ms), (probes, dropped), "at {now_ms}");
    }
    // Dead: packets fail at once, as many a turn as might wait; no probe.
    for now_ms in 3000..3990 {
        for n in 1..=4 {
            assert!(table.hold(now_ms, &hop, packet(n)).is_ok());
        }
        let (back, reason) = table.hold(now_ms, &hop, packet(9)).expect_err("one too many");
        assert_eq!((back.bytes(), reason), (&[9u8][..], DropReason::NeighbourUnreachable));
        assert_eq!(due(&mut table, now_ms), (vec![], vec![1, 2, 3, 4]));
    }
    assert_eq!(due(&mut table, 4000), (vec![], vec![]));
    assert_eq!(state(&table, &hop), None);
    assert!(table.hold(4001, &hop, packet(4)).is_ok());
    assert_eq!(due(&mut table, 4001), (vec![(11, false)], vec![]));
    table.learn(4002, S, hop.addr, ONE, SOLICITED);
    assert_eq!(sent(&mut table, &hop), [4]);
    assert_eq!(table.resolve(4003, &hop), Resolution::Mac(ONE));
    assert_eq!(table.held(), 0);
}

#[test]
fn a_reachable_one_is_probed_alone_when_stale_and_used() {
    let mut table = table(8, 4, 16);
    let hop = server(11);
    table.learn(0, S, hop.addr, ONE, SOLICITED);
    let stale_ms = table.next_ms().expect("a timer");
    assert!((REACHABLE_MS / 2..REACHABLE_MS * 3 / 2).contains(&stale_ms), "{stale_ms}");
    assert_eq!(table.resolve(stale_ms - 1, &hop), Resolution::Mac(ONE));
    assert_eq!(due(&mut table, stale_ms - 1), (vec![], vec![]));
    assert_eq!(due(&mut table, stale_ms), (vec![], vec![]));
    assert_eq!(state(&table, &hop), Some(NeighState::Stale));
    // Used: still sends to the last known hardware address, and asks it.
    assert_eq!(table.resolve(stale_ms + 5, &hop), Resolution::Mac(ONE));
    assert_eq!(due(&mut table, stale_ms + 5), (vec![(11, true)], vec![]));
    assert_eq!(table.resolve(stale_ms + 6, &hop), Resolution::Mac(ONE));
    assert_eq!(due(&mut table, stale_ms + 6), (vec![], vec![]));
    table.learn(stale_ms + 7, S, hop.addr, ONE, SOLICITED);
    assert_eq!(state(&table, &hop), Some(NeighState::Reachable));
    // Confirmed by an upper layer: the timer starts again.
    let before = table.next_ms();
    table.confirm(stale_ms + 10_000, S, hop.addr);
    assert!(table.next_ms() > before || table.next_ms() >= Some(stale_ms + 10_000 + REACHABLE_MS / 2));
}

#[test]
fn a_stale_one_that_died_fails_and_an_unused_one_goes() {
    let (mut table, now_ms) = in_state(NeighState::Probe);
    let hop = server(11);
    for at in [0, 1000, 2000] {
        assert_eq!(due(&mut table, now_ms + at), (vec![(11, true)], vec![]), "at {at}");
        assert_eq!(table.resolve(now_ms + at, &hop), Resolution::Mac(ONE));
    }
    due(&mut table, now_ms + 3000);
    assert_eq!(table.resolve(now_ms + 3000, &hop), Resolution::Unresolved);

    let (mut table, now_ms) = in_state(NeighState::Stale);
    due(&mut table, now_ms + STALE_UNUSED_MS - 1);
    assert_eq!(table.len(), 1);
    due(&mut table, now_ms + STALE_UNUSED_MS);
    assert!(table.is_empty());
}

#[test]
fn queues_are_bounded_and_in_order() {
    let mut table = table(8, 3, 5);
    let (a, b, c) = (server(11), server(12), server(13));
    let mut dropped = Vec::new();
    for (hop, n) in [(&a, 1), (&a, 2), (&a, 3), (&a, 4), (&b, 5), (&b, 6), (&b, 7), (&c, 8)] {
        if let Err((packet, reason)) = table.hold(0, hop, packet(n)) {
            dropped.push((packet.bytes()[0], reason));
        }
    }
    // The oldest of the neighbour's own queue goes; where it has none, the new packet.
    let full = DropReason::NeighbourQueueFull;
    assert_eq!(dropped, [(1, full), (5, full), (8, full)]);
    assert_eq!(table.held(), 5);
    assert_eq!(table.take_held(a.iface, a.addr).map(|_| ()), None, "not before it is resolved");
    table.learn(1, S, a.addr, ONE, SOLICITED);
    table.learn(1, S, b.addr, TWO, NOTICE);
    assert_eq!(sent(&mut table, &a), [2, 3, 4]);
    assert_eq!(sent(&mut table, &b), [6, 7]);
    assert_eq!(table.held(), 0);
}

#[test]
fn a_full_table_evicts_the_failed_and_the_unused_stale_only() {
    let mut table = table(3, 4, 16);
    let now_ms = 10_000;
    for n in 1..=3 {
        table.learn(now_ms, S, server(n).addr, ONE, SOLICITED);
    }
    let (_, reason) = table.hold(now_ms, &server(9), packet(9)).expect_err("full of reachable ones");
    assert_eq!(reason, DropReason::NeighbourTableFull);
    assert_eq!(table.learn(now_ms, S, server(9).addr, ONE, SOLICITED), Update::default());
    table.learn(now_ms, S, server(2).addr, TWO, NOTICE);
    assert!(table.hold(now_ms, &server(9), packet(9)).is_err(), "stale, but used just now");
    assert!(table.hold(now_ms + RETRANSMIT_MS, &server(9), packet(9)).is_ok());
    assert_eq!(state(&table, &server(2)), None);
    for at in 0..4 {
        due(&mut table, now_ms + RETRANSMIT_MS + at * RETRANSMIT_MS);
    }
    assert_eq!(state(&table, &server(9)), Some(NeighState::Failed));
    assert!(table.hold(now_ms + 4 * RETRANSMIT_MS, &server(10), packet(10)).is_ok());
    assert_eq!((state(&table, &server(9)), table.len()), (None, 3));
}

#[test]
fn a_table_that_is_always_full_never_grows() {
    // As many as fill a map of 128 buckets to its limit: removals would make it grow if it had no room to spare.
    let mut table = table(112, 1, 1);
    let room = table.index.allocation_size();
    for round in 0..20_000u32 {
        let hop = NextHop { iface: S, addr: IpAddr::V4(round.into()), mtu: 1500 };
        table.learn(u64::from(round) * RETRANSMIT_MS, S, hop.addr, ONE, Confirm::Asked);
    }
    assert_eq!(table.len(), 112);
    assert_eq!(table.index.allocation_size(), room);
}

#[test]
fn each_answer_makes_it_reachable_for_another_while() {
    let mut table = table(8, 4, 16);
    let hop = server(11);
    for now_ms in (0..10 * REACHABLE_MS).step_by(REACHABLE_MS as usize / 4) {
        table.learn(now_ms, S, hop.addr, ONE, SOLICITED);
        due(&mut table, now_ms + REACHABLE_MS / 4 - 1);
        assert_eq!(state(&table, &hop), Some(NeighState::Reachable), "at {now_ms}");
    }
}

#[test]
fn a_budget_bounds_the_work_of_a_turn() {
    let mut table = table(64, 4, 64);
    for n in 0..50 {
        assert!(table.hold(0, &server(n), packet(n)).is_ok());
    }
    let mut budget = 20;
    let mut probes = 0;
    while table.poll(0, &mut budget).is_some() {
        probes += 1;
    }
    assert_eq!((probes, budget), (20, 0));
    assert_eq!(due(&mut table, 0).0.len(), 30);
}

#[test]
fn groups_need_no_neighbour() {
    let mut table = table(2, 1, 1);
    for (addr, mac) in [
        ("255.255.255.255", [0xff; 6]),
        ("224.129.2.3", [1, 0, 0x5e, 1, 2, 3]),
        ("ff02::1:ff00:1234", [0x33, 0x33, 0xff, 0, 0x12, 0x34]),
    ] {
        assert_eq!(table.resolve(0, &hop(S, addr)), Resolution::Mac(MacAddr(mac)));
    }
}

#[test]
fn follows_interfaces_and_static_neighbours() {
    let mut table = table(8, 4, 16);
    let (on_c, on_s) = (hop(C, "192.0.2.254"), server(11));
    table.learn(0, C, on_c.addr, ONE, SOLICITED);
    table.learn(0, S, on_s.addr, TWO, SOLICITED);
    assert!(table.hold(0, &hop(C, "192.0.2.7"), packet(1)).is_ok());
    assert!(table.hold(0, &hop(S, "10.0.2.7"), packet(2)).is_ok());
    // Interface c goes: s becomes number 0.
    let s = crate::Iface { port: PortIndex(1), ..iface(0, "s", None, crate::testing::MAC_S) };
    let fixed = StaticNeighbour { iface: C, addr: ip("10.0.2.50"), mac: ONE };
    let mut addresses = config().addresses;
    addresses.retain(|address| address.iface == S);
    addresses.iter_mut().for_each(|address| address.iface = C);
    let without_c = NetConfig {
        ifaces: vec![s],
        addresses,
        routes: vec![],
        neighbours: vec![fixed],
        ..NetConfig::default()
    };
    table.apply(&Net::build(without_c.clone()).expect("a network"));
    assert_eq!(table.known_mac(C, on_s.addr), Some(TWO));
    assert_eq!(table.known_mac(C, on_c.addr), None);
    assert_eq!(table.resolve(1, &hop(C, "10.0.2.50")), Resolution::Mac(ONE));
    assert_eq!(due(&mut table, 1), (vec![(7, false)], vec![1]), "what waited on c is dropped, s goes on");
    assert_eq!(table.len(), 3);
    // The static one goes.
    table.apply(&Net::build(NetConfig { neighbours: vec![], ..without_c }).expect("a network"));
    assert_eq!(table.known_mac(C, ip("10.0.2.50")), None);
    table.flush(None);
    assert!(table.is_empty());
    assert_eq!(due(&mut table, 1).1, [2]);
}

#[test]
fn a_snapshot_with_the_same_links_leaves_the_table_alone() {
    let fixed = |n: u8, mac| StaticNeighbour { iface: S, addr: server(n).addr, mac };
    let net = |neighbours: &[StaticNeighbour]| {
        Net::build(NetConfig { neighbours: neighbours.to_vec(), ..config() }).expect("a network")
    };
    // Room for two; the steps follow each other.
    let mut table = table(2, 4, 16);
    for (name, neighbours, changed, known) in [
        ("the first", vec![fixed(1, ONE)], true, [Some(ONE), None]),
        ("the same", vec![fixed(1, ONE)], false, [Some(ONE), None]),
        ("another hardware address", vec![fixed(1, TWO)], true, [Some(TWO), None]),
        ("one that goes", vec![], true, [None, None]),
        ("none, still", vec![], false, [None, None]),
        ("too many", vec![fixed(3, ONE), fixed(4, ONE), fixed(1, ONE)], true, [None, None]),
        ("too many, tried again", vec![fixed(3, ONE), fixed(4, ONE), fixed(1, ONE)], true, [None, None]),
        ("as many as fit", vec![fixed(1, ONE), fixed(2, TWO)], true, [Some(ONE), Some(TWO)]),
        ("as many, the same", vec![fixed(1, ONE), fixed(2, TWO)], false, [Some(ONE), Some(TWO)]),
    ] {
        assert_eq!(table.apply(&net(&neighbours)), changed, "{name}");
        assert_eq!([1, 2].map(|n| table.known_mac(S, server(n).addr)), known, "{name}");
    }
}

#[test]
fn a_stopping_worker_gets_every_packet_back() {
    let mut table = table(8, 4, 16);
    for n in 1..=6 {
        assert!(table.hold(0, &server(n % 2), packet(n)).is_ok());
    }
    let drained = core::iter::from_fn(|| table.drain()).count();
    assert_eq!((drained, table.held()), (6, 0));
}

mod model {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever happens: bounds hold, and packets in = packets out + packets held.
        #[test]
        fn no_packet_is_lost(steps in prop::collection::vec((0..6u8, 0..12u8, 0..4000u64), 1..400)) {
            let mut table = table(5, 3, 7);
            let (mut taken, mut given, mut now_ms) = (0usize, 0usize, 0u64);
            for (action, n, ms) in steps {
                let hop = server(n);
                match action {
                    0 | 1 => {
                        taken += 1;
                        given += usize::from(table.hold(now_ms, &hop, packet(n)).is_err());
                    }
                    2 => {
                        let how = [SOLICITED, WEAK, NOTICE, Confirm::Asked][usize::from(n) % 4];
                        table.learn(now_ms, S, hop.addr, if ms % 2 == 0 { ONE } else { TWO }, how);
                        given += sent(&mut table, &hop).len();
                    }
                    3 => now_ms += ms,
                    4 => given += due(&mut table, now_ms).1.len(),
                    _ => {
                        table.resolve(now_ms, &hop);
                    }
                }
                prop_assert!(table.len() <= 5 && table.held() <= 7);
                prop_assert_eq!(taken, given + table.held());
                let permanent = |view: NeighbourView| view.state == NeighState::Permanent;
                prop_assert!(table.is_empty() || table.next_ms().is_some() || table.iter(now_ms).all(permanent));
            }
            given += core::iter::from_fn(|| table.drain()).count();
            prop_assert_eq!((taken, table.held()), (given, 0));
        }
    }
}
