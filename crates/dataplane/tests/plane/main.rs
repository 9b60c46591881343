//! The data plane as a whole, with its threads, queues and rings: nothing is lost, everything is accounted for, and each
//! flow has one owner, whichever queue its packets come by.

mod fragments;
mod rig;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use inet::DropReason;
use ipvs::WorkerId;
use rig::{Rig, Shape, Side, client, isolated, service};
use wire::parse::{Parsed, parse};
use wire::testing::{Frame, verify_checksums};
use wire::{MacAddr, PacketInfo, tcp};

const FLOWS: u32 = 200;
/// Segments that each client sends after its SYN.
const ROUNDS: u32 = 5;

/// How a wire's other end chooses the receive queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// By a hash of the flow, as a NIC does, that knows nothing of owners.
    Hashed,
    /// As the owner function says: a NIC that was programmed with it.
    Owner,
    /// Anyhow, per packet.
    Random,
}

/// Chooses queues.
struct Chooser {
    spread: Spread,
    queues: u16,
    state: u64,
}

impl Chooser {
    fn queue(&mut self, rig: &Rig, frame: &[u8]) -> u16 {
        let info = info(frame);
        match self.spread {
            Spread::Hashed => {
                let (src, dst) = endpoints(frame, &info);
                (src.port() ^ dst.port() ^ (src.port() >> 5)) % self.queues
            }
            Spread::Owner => ipvs::owner(&rig.snapshot, frame, &info).expect("every frame has an owner").0,
            Spread::Random => {
                // Knuth's generator (MMIX): any that is the same each time will do.
                self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (self.state >> 33) as u16 % self.queues
            }
        }
    }
}

fn info(frame: &[u8]) -> PacketInfo {
    match parse(frame) {
        Ok(Parsed::Ip(info)) => info,
        other => panic!("{other:?}"),
    }
}

fn endpoints(frame: &[u8], info: &PacketInfo) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(info.src(frame), info.sport), SocketAddr::new(info.dst(frame), info.dport))
}

/// A segment that carries its flow and number.
fn segment(side: Side, src: SocketAddr, dst: SocketAddr, flags: u8, flow: u32, number: u32) -> Vec<u8> {
    let payload = [flow.to_be_bytes(), number.to_be_bytes()].concat();
    Frame::new(src.ip(), dst.ip())
        .mac(MacAddr([2, 0, 0, 0, 9, side as u8]), side.mac())
        .tcp(src.port(), dst.port(), flags)
        .payload(&payload)
        .build()
}

/// The flow and number that a segment carries.
fn label(frame: &[u8], info: &PacketInfo) -> (u32, u32) {
    let end = usize::from(info.end);
    let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
    (word(end - 8), word(end - 4))
}

/// What a server says to a segment.
fn answer(frame: &[u8]) -> Vec<u8> {
    let info = info(frame);
    let (src, dst) = endpoints(frame, &info);
    let (flow, number) = label(frame, &info);
    let flags = if number == 0 { tcp::SYN | tcp::ACK } else { tcp::ACK };
    segment(Side::Lan, dst, src, flags, flow, number)
}

/// Segment `number` of every flow, from its client.
fn round(number: u32) -> impl Iterator<Item = Vec<u8>> {
    let flags = if number == 0 { tcp::SYN } else { tcp::ACK };
    (0..FLOWS).map(move |flow| segment(Side::Wan, client(flow), service(flow), flags, flow, number))
}

/// Sends segments `numbers` of all flows through and their answers back; everything must come out, translated.
fn converse(rig: &mut Rig, chooser: &mut Chooser, numbers: std::ops::Range<u32>) {
    let placed = |rig: &Rig, chooser: &mut Chooser, frames: Vec<Vec<u8>>| -> Vec<(u16, Vec<u8>)> {
        frames.into_iter().map(|frame| (chooser.queue(rig, &frame), frame)).collect()
    };
    let count = (numbers.end - numbers.start) as usize * FLOWS as usize;
    let there = placed(rig, chooser, numbers.flat_map(round).collect());
    let arrived = rig.exchange(Side::Wan, &there, count);
    check_complete(&arrived, chooser.spread, |_, (src, dst)| {
        assert!(
            VIPS_AND_CLIENTS.iter().all(|prefix| !dst.ip().to_string().starts_with(prefix)),
            "{src} > {dst}"
        );
        assert_eq!(dst.port(), 8080);
    });
    let back = placed(rig, chooser, arrived.iter().map(|frame| answer(frame)).collect());
    let answered = rig.exchange(Side::Lan, &back, count);
    check_complete(&answered, chooser.spread, |flow, ends| assert_eq!(ends, (service(flow), client(flow))));
}

/// How addresses begin that no server has.
const VIPS_AND_CLIENTS: [&str; 4] = ["192.0.2.", "2001:db8:1::", "198.51.100.", "2001:db8:9::"];

/// Each segment once, intact, and in order where the wire kept a flow's packets together.
fn check_complete(frames: &[Vec<u8>], spread: Spread, check: impl Fn(u32, (SocketAddr, SocketAddr))) {
    let (mut seen, mut last) = (HashSet::new(), HashMap::new());
    for frame in frames {
        assert_eq!(verify_checksums(frame), Ok(()));
        let info = info(frame);
        let (flow, number) = label(frame, &info);
        check(flow, endpoints(frame, &info));
        assert!(seen.insert((flow, number)), "segment {number} of flow {flow} came twice");
        if let Some(before) = last.insert(flow, number)
            && spread != Spread::Random
        {
            assert!(before < number, "flow {flow}: {number} came after {before}");
        }
    }
}

/// Each flow has one connection, at its owner, which saw all packets both ways.
fn check_owners(rig: &Rig, segments: u32) {
    let mut clients = HashSet::new();
    let connections = rig.connections();
    for (worker, conn) in &connections {
        assert!(clients.insert(conn.client), "{} has two connections", conn.client);
        let masquerades = conn.virtual_addr.port() == 81;
        let slot = rig.snapshot.steering.client_slot(conn.client.ip(), conn.client.port(), masquerades);
        assert_eq!(rig.snapshot.steering.owner_of(slot), *worker, "{}", conn.client);
        assert_eq!((conn.state, conn.in_pkts, conn.out_pkts), ("ESTABLISHED", segments, segments));
    }
    assert_eq!(connections.len(), FLOWS as usize);
}

/// A whole conversation of all flows.
fn conversation(workers: u16, queues: u16, spread: Spread) {
    let rig = Rig::start(&Shape { workers, queues, ring_size: 1024 });
    let mut chooser = Chooser { spread, queues, state: 1 };
    converse(rig, &mut chooser, 0..1);
    converse(rig, &mut chooser, 1..1 + ROUNDS);
    check_owners(rig, 1 + ROUNDS);
    let owners: HashSet<WorkerId> = rig.connections().into_iter().map(|(worker, _)| worker).collect();
    assert_eq!(owners.len(), usize::from(workers), "every worker has some");
    rig.stop();
    assert_eq!(rig.story(), "drops: []");
    let crossed = rig.handed_over().0;
    assert_eq!(crossed == 0, workers == 1 || spread == Spread::Owner, "{crossed} packets crossed a ring");
}

macro_rules! conversations {
    ($($name:ident: $workers:literal workers, $queues:literal queues, $spread:ident;)*) => {
        $(
            #[test]
            fn $name() {
                isolated(stringify!($name), || conversation($workers, $queues, Spread::$spread));
            }
        )*
    };
}

conversations! {
    one_worker: 1 workers, 1 queues, Hashed;
    one_worker_polls_two_queues: 1 workers, 2 queues, Random;
    two_workers_a_queue_each: 2 workers, 2 queues, Hashed;
    two_workers_and_a_nic_that_knows_owners: 2 workers, 2 queues, Owner;
    two_workers_one_queue: 2 workers, 1 queues, Hashed;
    two_workers_random_queues: 2 workers, 2 queues, Random;
    four_workers_a_queue_each: 4 workers, 4 queues, Hashed;
    four_workers_and_a_nic_that_knows_owners: 4 workers, 4 queues, Owner;
    four_workers_one_queue: 4 workers, 1 queues, Hashed;
    four_workers_random_queues: 4 workers, 4 queues, Random;
    four_workers_three_queues: 4 workers, 3 queues, Random;
}

#[test]
fn a_new_snapshot_under_traffic_loses_nothing() {
    isolated("a_new_snapshot_under_traffic_loses_nothing", || {
        const GENERATIONS: u64 = 40;
        let rig = Rig::start(&Shape { workers: 2, queues: 2, ring_size: 1024 });
        let mut chooser = Chooser { spread: Spread::Random, queues: 2, state: 3 };
        converse(rig, &mut chooser, 0..1);
        for generation in 2..=GENERATIONS {
            // Packets are on their way while workers switch.
            let frames: Vec<_> = round(generation as u32 - 1).collect();
            for frame in &frames {
                let queue = chooser.queue(rig, frame);
                rig.inject(Side::Wan, queue, frame);
            }
            rig.plane.publish(&rig::snapshot(generation, 2)).expect("all workers switch");
            let arrived = rig.exchange(Side::Wan, &[], frames.len());
            check_complete(&arrived, chooser.spread, |_, (_, dst)| assert_eq!(dst.port(), 8080));
        }
        assert!(rig.plane.counters().iter().all(|worker| worker.generation.get() == GENERATIONS));
        assert_eq!(rig.connections().len(), FLOWS as usize);
        rig.stop();
        assert_eq!(rig.story(), "drops: []");
    });
}

#[test]
fn stopping_under_traffic_accounts_for_every_packet() {
    isolated("stopping_under_traffic_accounts_for_every_packet", || {
        let rig = Rig::start(&Shape { workers: 4, queues: 4, ring_size: 1024 });
        let mut chooser = Chooser { spread: Spread::Random, queues: 4, state: 5 };
        for frame in round(0) {
            let queue = chooser.queue(rig, &frame);
            rig.inject(Side::Wan, queue, &frame);
        }
        rig.stop();
        let counters = rig.plane.counters();
        let received: u64 = counters.iter().map(|worker| worker.rx.get()).sum();
        let generated: u64 = counters.iter().map(|worker| worker.generated.get()).sum();
        let sent: u64 = counters.iter().map(|worker| worker.tx.get()).sum();
        assert_eq!((sent, rig.story().as_str()), (received + generated, "drops: []"));
        assert_eq!(rig.sent(Side::Lan).len() as u64, received, "what was received was also sent");
        rig.plane.stop();
        let error = rig.plane.publish(&rig::snapshot(2, 4)).unwrap_err();
        assert_eq!(error.to_string(), "the workers have stopped");
    });
}

#[test]
fn what_a_full_ring_refuses_is_dropped_and_counted() {
    isolated("what_a_full_ring_refuses_is_dropped_and_counted", || {
        let rig = Rig::start(&Shape { workers: 2, queues: 1, ring_size: 4 });
        let foreign = |frame: &Vec<u8>| ipvs::owner(&rig.snapshot, frame, &info(frame)) == Some(WorkerId(1));
        let frames: Vec<_> = round(0).filter(foreign).take(32).collect();
        assert_eq!(frames.len(), 32);
        rig.inject_burst(Side::Wan, 0, &frames);
        let received = |rig: &Rig| rig.plane.counters()[0].rx.get();
        while received(rig) < 32 {
            std::thread::yield_now();
        }
        rig.stop();
        let (passed, dropped) = (rig.handed_over().0, rig.dropped(DropReason::SteerRingFull));
        assert_eq!(passed + dropped, 32, "{}", rig.story());
        assert!(passed >= 4 && dropped > 0, "{passed} passed, {dropped} dropped");
        assert_eq!(rig.sent(Side::Lan).len() as u64, passed);
    });
}

#[test]
fn a_packet_in_pieces_is_dropped_and_counted() {
    isolated("a_packet_in_pieces_is_dropped_and_counted", || {
        let rig = Rig::start(&Shape { workers: 1, queues: 1, ring_size: 64 });
        let large = segment(Side::Wan, client(0), service(0), tcp::SYN, 0, 0);
        let large = [large, vec![0; 3000]].concat();
        rig.inject(Side::Wan, 0, &large);
        let small = segment(Side::Wan, client(0), service(0), tcp::SYN, 0, 0);
        rig.exchange(Side::Wan, &[(0, small)], 1);
        rig.stop();
        assert_eq!(rig.story(), "drops: [(\"not_contiguous\", 1)]");
    });
}
