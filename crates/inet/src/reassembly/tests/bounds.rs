//! Time, floods, and what is missing.

use super::*;

const TIGHT: ReassemblyLimits =
    ReassemblyLimits { datagrams: 8, fragments: 12, fragments_per_datagram: 4, fragments_per_sender: 6 };

#[test]
fn each_family_waits_its_time() {
    let mut bench = Bench::new(ReassemblyLimits::default());
    for (now_ms, v6, client, start) in [
        (1000, true, 1, 0),
        (2000, false, 1, 0),
        (2500, false, 1, 64),
        (3000, false, 2, 64),
        (4000, true, 2, 64),
    ] {
        assert_eq!(bench.accept(now_ms, &piece(&udp(v6, client, 256), start, 64, true)), Out::Held);
    }
    assert_eq!(bench.reassembly.next_ms(), Some(32_000), "from the first fragment to arrive on");
    assert_eq!(bench.poll(31_999, 10), 0);
    assert_eq!((bench.poll(32_000, 10), bench.timed_out.as_slice()), (1, &[true, false][..]));
    assert_eq!(bench.reassembly.next_ms(), Some(33_000));
    assert_eq!(bench.poll(100_000, 2), 2, "no more than the budget");
    assert_eq!(bench.timed_out, [true, false, false, true], "IPv4 of client 2, then IPv6 of client 1");
    assert_eq!((bench.poll(100_000, 2), bench.poll(100_000, 2)), (1, 0));
    assert_eq!(bench.reassembly.next_ms(), None);
    // What comes late is the first of another datagram.
    assert_eq!(bench.accept(100_000, &piece(&udp(false, 1, 256), 128, 128, false)), Out::Held);
}

#[test]
fn one_sender_gets_no_more_than_its_share() {
    for v6 in [false, true] {
        let mut bench = Bench::new(TIGHT);
        for id in 0..100 {
            let piece = client(v6, 1).id(id).udp(1, 2).fragment(0, true).payload(&[0; 64]).build();
            let want = if id < 6 { Out::Held } else { Out::Refused(DropReason::FragmentTableFull) };
            assert_eq!(bench.accept(1, &piece), want);
        }
        assert_eq!(bench.reasons(), [DropReason::FragmentTableFull; 94]);
        // Others do not notice.
        let frame = udp(v6, 2, 256);
        let out: Vec<Out> = split(&frame, &[64, 64, 64]).iter().map(|piece| bench.accept(1, piece)).collect();
        assert_eq!(out, [Out::Held, Out::Held, Out::Held, Out::Done(frame)]);
        // The share comes back with the fragments.
        bench.poll(100_000, 100);
        let frame = udp(v6, 1, 256);
        let out: Vec<Out> =
            split(&frame, &[64, 64, 64]).iter().map(|piece| bench.accept(100_000, piece)).collect();
        assert_eq!(out.last(), Some(&Out::Done(frame)));
    }
}

#[test]
fn one_ipv6_network_is_one_sender() {
    let mut bench = Bench::new(TIGHT);
    let held = (0..50)
        .map(|n| Frame::v6(&format!("2001:db8:7::{n:x}"), "2001:db8:1::100").raw(17).fragment(64, true))
        .filter(|frame| bench.accept(1, &frame.clone().payload(&[0; 8]).build()) == Out::Held)
        .count();
    assert_eq!(held, 6);
}

#[test]
fn a_flood_from_many_senders_is_bounded_and_what_arrives_is_gathered() {
    for v6 in [false, true] {
        let mut bench = Bench::new(TIGHT);
        let before = bench.reassembly.table.capacities();
        for n in 0..=200u8 {
            let flood = client(v6, n).id(9).raw(17).fragment(64, true).payload(&[0; 64]).build();
            assert_eq!(bench.accept(u64::from(n), &flood), Out::Held);
            assert!(bench.reassembly.datagrams() <= 8 && bench.reassembly.fragments() <= 12);
        }
        assert_eq!(bench.reasons(), [DropReason::FragmentTableFull; 201 - 8], "the oldest made room");
        let frame = udp(v6, 250, 256);
        let out: Vec<Out> =
            split(&frame, &[64, 64, 64]).iter().map(|piece| bench.accept(300, piece)).collect();
        assert_eq!(out, [Out::Held, Out::Held, Out::Held, Out::Done(frame)]);
        assert_eq!(bench.reassembly.table.capacities(), before);
        bench.clear();
    }
}

#[test]
fn when_fragments_run_out_the_oldest_goes_but_never_the_one_that_grows() {
    let mut bench = Bench::new(ReassemblyLimits { fragments: 5, ..TIGHT });
    let old = udp(false, 1, 256);
    assert_eq!(bench.accept(1, &piece(&old, 0, 64, true)), Out::Held);
    for n in 2..6 {
        assert_eq!(bench.accept(2, &piece(&udp(n % 2 == 0, n, 256), 0, 64, true)), Out::Held);
    }
    let out: Vec<Out> = [(64, true), (128, true), (192, false)]
        .map(|(at, more)| bench.accept(3, &piece(&old, at, 64, more)))
        .into();
    assert_eq!(out, [Out::Held, Out::Held, Out::Done(old)]);
    assert_eq!(bench.reasons(), [DropReason::FragmentTableFull; 3]);
    assert_eq!(bench.reassembly.fragments(), 1);
}

#[test]
fn a_datagram_of_too_many_fragments_is_given_up() {
    for v6 in [false, true] {
        let mut bench = Bench::new(TIGHT);
        let pieces = split(&udp(v6, 1, 256), &[8, 8, 8, 8]);
        let out: Vec<Out> = pieces.iter().map(|piece| bench.accept(1, piece)).collect();
        assert_eq!(out[3..], [Out::Held, Out::Refused(DropReason::FragmentTableFull)]);
        assert_eq!(bench.reasons(), [DropReason::FragmentTableFull; 5]);
        assert_eq!(bench.reassembly.datagrams(), 0);
    }
}

#[test]
fn without_a_buffer_the_datagram_is_dropped() {
    let frame = udp(false, 1, 4000);
    use DropReason::{DatagramTooLong, NoLargeMbuf};
    for (name, large, back, reason) in [
        ("none", 0, 3, NoLargeMbuf),
        ("one that is too small", 3000, 4, DatagramTooLong),
        ("one that does", 5000, 0, NoLargeMbuf),
    ] {
        let mut bench = Bench::new(TIGHT);
        bench.large = large;
        let out = split(&frame, &[1400, 1400]).iter().map(|piece| bench.accept(1, piece)).last().unwrap();
        match back {
            0 => assert_eq!(out, Out::Done(frame.clone()), "{name}"),
            _ => assert_eq!(out, Out::Refused(reason), "{name}"),
        }
        assert_eq!(bench.reasons()[..], vec![reason; back][..], "{name}");
        assert_eq!((bench.reassembly.datagrams(), bench.reassembly.fragments()), (0, 0), "{name}");
    }
}

#[test]
fn as_large_as_a_buffer_may_be() {
    // 65,407 bytes behind the headroom of a buffer whose length has 16 bits.
    for v6 in [false, true] {
        let header = if v6 { 54 } else { 34 };
        for (len, fits) in [(LARGE - header, true), (LARGE - header + 1, false)] {
            let frame = udp(v6, 1, len);
            let mut bench = Bench::new(ReassemblyLimits::default());
            let sizes = [1400; 46];
            let out = split(&frame, &sizes).iter().map(|piece| bench.accept(1, piece)).last().unwrap();
            assert_eq!(out, if fits { Out::Done(frame) } else { Out::Refused(DropReason::DatagramTooLong) });
            bench.clear();
        }
    }
}

#[test]
fn limits_are_raised_to_what_works() {
    let none =
        ReassemblyLimits { datagrams: 0, fragments: 0, fragments_per_datagram: 0, fragments_per_sender: 0 };
    let mut bench = Bench::new(none);
    let frame = udp(false, 1, 128);
    let out: Vec<Out> = split(&frame, &[64]).iter().map(|piece| bench.accept(1, piece)).collect();
    assert_eq!(out, [Out::Held, Out::Done(frame)]);
}
