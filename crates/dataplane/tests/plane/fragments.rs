//! Fragments on real buffers and rings: gathered at one worker, steered whole to another, cut again where they leave.

use inet::reassembly::Accepted;
use inet::{IfaceId, Reassembly, ReassemblyLimits};
use wire::testing::fragments;
use wire::{Family, PacketBuf, VecBuf};

use super::*;

const CLIENTS: u32 = 40;
/// Bytes of a segment, its label included: with and without a large buffer.
const SIZES: [usize; 3] = [1800, 5000, 60_000];

/// A long segment in fragments, which carries its flow and number.
fn long(
    side: Side,
    (src, dst): (SocketAddr, SocketAddr),
    flow: u32,
    number: u32,
    len: usize,
) -> Vec<Vec<u8>> {
    let label = [flow.to_be_bytes(), number.to_be_bytes()].concat();
    let payload = [vec![7; len - label.len()], label].concat();
    let id = flow << 8 | number << 4 | side as u32;
    let whole = Frame::new(src.ip(), dst.ip())
        .mac(MacAddr([2, 0, 0, 0, 9, side as u8]), side.mac())
        .id(id)
        .tcp(src.port(), dst.port(), tcp::ACK)
        .payload(&payload)
        .build();
    let mut pieces = fragments(&whole, &vec![1400; len / 1400]);
    if info(&whole).family == Family::V6 {
        pieces.iter_mut().for_each(|piece| piece[58..62].copy_from_slice(&id.to_be_bytes()));
    }
    pieces
}

/// Puts the fragments of a segment into random queues, in a random order, and gathers what comes out on the other side.
fn through(rig: &mut Rig, chooser: &mut Chooser, from: Side, mut pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let to = if from == Side::Wan { Side::Lan } else { Side::Wan };
    for left in (1..=pieces.len()).rev() {
        let piece = pieces.swap_remove(usize::from(chooser.queue(rig, &pieces[0])) * 7 % left);
        rig.inject(from, chooser.queue(rig, &piece), &piece);
    }
    let mut receiver = Reassembly::new(ReassemblyLimits::default(), 1);
    let until = std::time::Instant::now() + rig::DEADLINE;
    loop {
        for frame in rig.sent(to) {
            let large = || Some(VecBuf::large());
            match receiver.accept(0, IfaceId(0), VecBuf::new(&frame), &info(&frame), large, drop) {
                Accepted::Done(whole) => return whole.packet.bytes().to_vec(),
                Accepted::AsItIs(packet) => return packet.bytes().to_vec(),
                Accepted::Held => {}
                Accepted::Refused(reason) => panic!("{}", reason.name()),
            }
        }
        assert!(std::time::Instant::now() < until, "no whole datagram came out; {}", rig.story());
        std::thread::yield_now();
    }
}

fn gathered(workers: u16, queues: u16) {
    let rig = Rig::start(&Shape { workers, queues, ring_size: 1024 });
    let mut chooser = Chooser { spread: Spread::Random, queues, state: 9 };
    for flow in 0..CLIENTS {
        for (number, len) in (1u32..).zip(SIZES) {
            if number == 1 {
                let syn = segment(Side::Wan, client(flow), service(flow), tcp::SYN, flow, 0);
                rig.exchange(Side::Wan, &[(chooser.queue(rig, &syn), syn)], 1);
            }
            let pieces = long(Side::Wan, (client(flow), service(flow)), flow, number, len);
            let there = through(rig, &mut chooser, Side::Wan, pieces);
            assert_eq!(verify_checksums(&there), Ok(()));
            let seen = info(&there);
            assert_eq!((label(&there, &seen), seen.dport), ((flow, number), 8080));
            let (src, dst) = endpoints(&there, &seen);
            let back = through(rig, &mut chooser, Side::Lan, long(Side::Lan, (dst, src), flow, number, len));
            assert_eq!(verify_checksums(&back), Ok(()));
            assert_eq!(endpoints(&back, &info(&back)), (service(flow), client(flow)));
        }
    }
    let connections = rig.connections();
    assert_eq!(connections.len(), CLIENTS as usize, "one connection a flow");
    for (_, conn) in &connections {
        assert_eq!((conn.in_pkts, conn.out_pkts), (1 + SIZES.len() as u32, SIZES.len() as u32));
    }
    // A fragment that waits when all stops is accounted for.
    let lone = long(Side::Wan, (client(0), service(0)), 0, 9, 3000).swap_remove(1);
    rig.inject(Side::Wan, 0, &lone);
    let waits = |rig: &Rig| rig.plane.counters().iter().map(|worker| worker.held.get()).sum::<u64>();
    let until = std::time::Instant::now() + rig::DEADLINE;
    while waits(rig) == 0 {
        assert!(std::time::Instant::now() < until, "the fragment is not held; {}", rig.story());
        std::thread::yield_now();
    }
    rig.stop();
    assert_eq!(rig.story(), "drops: [(\"shutdown\", 1)]");
}

#[test]
fn one_worker_gathers() {
    isolated("fragments::one_worker_gathers", || gathered(1, 1));
}

#[test]
fn two_workers_gather_for_each_other() {
    isolated("fragments::two_workers_gather_for_each_other", || gathered(2, 2));
}

#[test]
fn four_workers_gather_for_each_other() {
    isolated("fragments::four_workers_gather_for_each_other", || gathered(4, 4));
}

#[test]
fn the_only_large_buffer_comes_home_each_time() {
    isolated("fragments::the_only_large_buffer_comes_home_each_time", || {
        let shape = Shape { workers: 2, queues: 2, ring_size: 64 };
        let rig = Rig::start_with(&shape, |config| config.large_mbufs = 1);
        let mut chooser = Chooser { spread: Spread::Random, queues: 2, state: 9 };
        let syn = segment(Side::Wan, client(0), service(0), tcp::SYN, 0, 0);
        rig.exchange(Side::Wan, &[(0, syn)], 1);
        for number in 1..200 {
            through(
                rig,
                &mut chooser,
                Side::Wan,
                long(Side::Wan, (client(0), service(0)), 0, number % 15, 9000),
            );
        }
        rig.stop();
        assert_eq!(rig.story(), "drops: []");
    });
}
