//! Datagrams come out as they were made, whatever the order; what contradicts itself does not come out at all.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_split_and_order_gives_the_same_datagram(
        v6: bool,
        len in 24..9000usize,
        weights in prop::collection::vec(0..1500usize, 1..40),
        order in prop::collection::vec(any::<(prop::sample::Index, bool)>(), 40),
        roomy: bool,
    ) {
        let frame = udp(v6, 1, len);
        let sizes = sizes(len, &weights);
        prop_assume!(!sizes.is_empty());
        let mut left = split(&frame, &sizes);
        let largest = left.iter().map(|piece| piece.len() - 14).max().unwrap();
        let count = left.len();
        let mut bench = Bench::new(ReassemblyLimits::default());
        bench.room = if roomy { LARGE } else { SMALL };
        let mut duplicates = 0;
        for (index, twice) in order {
            if left.is_empty() {
                break;
            }
            let piece = left.swap_remove(index.index(left.len()));
            let out = bench.accept(5, &piece);
            if left.is_empty() {
                prop_assert_eq!(out, Out::Done(frame.clone()));
                continue;
            }
            prop_assert_eq!(out, Out::Held);
            if twice {
                duplicates += 1;
                prop_assert_eq!(bench.accept(6, &piece), Out::Refused(DropReason::FragmentDuplicate));
            }
        }
        let cuts = bench.cuts.expect("a datagram");
        prop_assert_eq!(usize::from(cuts.largest), largest);
        prop_assert_eq!(Cuts::from_bytes(&cuts.to_bytes()), cuts);
        prop_assert_eq!(bench.reasons, vec![DropReason::FragmentDuplicate; duplicates]);
        // In a buffer of the first fragment's own it is merged with the others, else with all.
        prop_assert!(bench.merged == count - 1 || bench.merged == count);
        prop_assert!(!roomy || bench.merged == count - 1);
        prop_assert_eq!(bench.reassembly.fragments() + bench.reassembly.datagrams(), 0);
    }

    #[test]
    fn whatever_comes_nothing_is_lost_and_all_is_bounded(
        steps in prop::collection::vec(
            (0..4u8, any::<bool>(), 0..16usize, 1..64usize, any::<bool>(), 0..3000u64),
            1..300,
        ),
    ) {
        let limits =
            ReassemblyLimits { datagrams: 3, fragments: 9, fragments_per_datagram: 4, fragments_per_sender: 5 };
        let mut bench = Bench::new(limits);
        let before = bench.reassembly.table.capacities();
        let mut now_ms = 0;
        for (client, v6, start, len, more, pass_ms) in steps {
            now_ms += pass_ms;
            bench.poll(now_ms, 2);
            let len = if start == 0 { len.max(8) } else { len };
            bench.accept(now_ms, &piece(&udp(v6, client, 512), start * 8, len, more || start == 0));
            prop_assert!(bench.reassembly.datagrams() <= 3 && bench.reassembly.fragments() <= 9);
            prop_assert!(bench.reassembly.next_ms().is_none_or(|ms| ms <= now_ms + TIMEOUT_V6_MS));
        }
        prop_assert_eq!(bench.reassembly.table.capacities(), before, "no room is taken after the start");
        bench.clear();
    }
}

/// Bytes of a fragment, and whether more follow.
type Bytes = (usize, usize, bool);

/// What a bad fragment costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    Itself,
    Datagram,
    /// Of IPv4 the datagram, of IPv6 itself.
    ByFamily,
}

#[test]
fn overlaps_and_contradictions() {
    use DropReason::{
        FragmentDuplicate as Duplicate, FragmentInvalid as Invalid, FragmentOverlap as Overlap,
    };
    let (first, second, third) = ((0, 64, true), (64, 64, true), (128, 64, false));
    let cases: &[(&str, &[Bytes], DropReason, Cost)] = &[
        ("the same again", &[first, first], Duplicate, Cost::Itself),
        ("inside one", &[first, (8, 16, true)], Duplicate, Cost::Itself),
        ("inside two that touch", &[first, second, (32, 64, true)], Duplicate, Cost::Itself),
        (
            "inside two that touch but came in the other order",
            &[second, first, (32, 64, true)],
            Overlap,
            Cost::Datagram,
        ),
        (
            "the same again of two that came in the other order",
            &[second, first, second],
            Duplicate,
            Cost::Itself,
        ),
        ("the last again", &[third, third], Duplicate, Cost::Itself),
        ("reaches into the next", &[second, (8, 64, true)], Overlap, Cost::Datagram),
        ("reaches into the one before", &[first, (56, 64, true)], Overlap, Cost::Datagram),
        ("covers one", &[second, (8, 184, false)], Overlap, Cost::Datagram),
        ("covers a gap and both its sides", &[first, third, (56, 80, true)], Overlap, Cost::Datagram),
        ("a longer one with the same start", &[first, (0, 72, true)], Overlap, Cost::Datagram),
        ("behind the end", &[third, (192, 64, true)], Invalid, Cost::ByFamily),
        ("an earlier end", &[third, (64, 8, false)], Invalid, Cost::ByFamily),
        ("a later end", &[third, (192, 8, false)], Invalid, Cost::ByFamily),
        ("an end before what is there", &[second, (64, 8, false)], Invalid, Cost::ByFamily),
    ];
    for &(name, pieces, reason, cost) in cases {
        for v6 in [false, true] {
            let goes_on = cost == Cost::Itself || cost == Cost::ByFamily && v6;
            let frame = udp(v6, 1, 256);
            let mut bench = Bench::new(ReassemblyLimits::default());
            let (last, before) = pieces.split_last().unwrap();
            for &(start, len, more) in before {
                assert_eq!(bench.accept(1, &piece(&frame, start, len, more)), Out::Held, "{name}");
            }
            let &(start, len, more) = last;
            assert_eq!(
                bench.accept(1, &piece(&frame, start, len, more)),
                Out::Refused(reason),
                "{name}, {v6}"
            );
            let dropped = if goes_on { 1 } else { pieces.len() };
            assert_eq!(bench.reasons(), vec![reason; dropped], "{name}, {v6}");
            assert_eq!(bench.reassembly.fragments(), pieces.len() - dropped, "{name}, {v6}");
            bench.clear();
        }
    }
}

#[test]
fn what_no_datagram_can_have() {
    let [v4, v6] = [false, true].map(|v6| udp(v6, 1, 256));
    let far = |frame: &[u8], len: usize| {
        let mut piece = piece(frame, 0, len, true);
        match info(frame).family {
            Family::V4 => ipv4::set_fragment(&mut piece[14..], 65_528, false),
            Family::V6 => piece[56..58].copy_from_slice(&65_528u16.to_be_bytes()),
        }
        piece
    };
    for (name, frame, bad) in [
        ("no data", &v4, piece(&v4, 64, 0, true)),
        ("no data, last", &v4, piece(&v4, 64, 0, false)),
        ("less than eight bytes and more to follow", &v4, piece(&v4, 64, 7, true)),
        ("behind 65535 bytes", &v4, far(&v4, 16)),
        ("behind 65535 bytes, by its header", &v4, far(&v4, 7)),
        ("IPv6 without data", &v6, piece(&v6, 64, 0, false)),
        ("IPv6 behind 65535 bytes", &v6, far(&v6, 16)),
    ] {
        let mut bench = Bench::new(ReassemblyLimits::default());
        assert_eq!(bench.accept(1, &piece(frame, 0, 32, true)), Out::Held, "{name}");
        assert_eq!(bench.accept(1, &bad), Out::Refused(DropReason::FragmentInvalid), "{name}");
        // Of IPv4 it costs the datagram.
        let goes_on = usize::from(info(frame).family == Family::V6);
        assert_eq!(bench.reasons(), vec![DropReason::FragmentInvalid; 2 - goes_on], "{name}");
        assert_eq!(bench.reassembly.datagrams(), goes_on, "{name}");
        bench.clear();
        assert_eq!(bench.accept(1, &bad), Out::Refused(DropReason::FragmentInvalid), "{name}, alone");
        bench.check();
    }
}

#[test]
fn misaligned_fragments_of_ipv6_go_as_they_are_and_cost_their_datagram() {
    let frame = udp(true, 1, 256);
    let mut bench = Bench::new(ReassemblyLimits::default());
    for start in [0, 64] {
        let bad = piece(&frame, start, 12, true);
        assert_eq!(bench.accept(1, &bad), Out::AsItIs, "alone");
        assert_eq!(bench.accept(1, &piece(&frame, 128, 64, true)), Out::Held);
        assert_eq!(bench.accept(1, &bad), Out::AsItIs);
        assert_eq!((bench.reasons(), bench.reassembly.fragments()), (vec![DropReason::FragmentInvalid], 0));
    }
}

#[test]
fn the_first_of_ipv6_has_its_upper_layer_header() {
    for (name, frame, header_len) in [
        ("UDP", client(true, 1).udp(1, 2).payload(&[0; 64]).build(), 8),
        ("TCP", client(true, 1).tcp(1, 2, 2).payload(&[0; 64]).build(), 20),
        ("ICMPv6", client(true, 1).echo_request(1, 2).payload(&[0; 64]).build(), 8),
    ] {
        let mut bench = Bench::new(ReassemblyLimits::default());
        let enough = usize::next_multiple_of(header_len, 8);
        assert_eq!(bench.accept(1, &piece(&frame, 0, enough, true)), Out::Held, "{name}");
        bench.clear();
        if header_len > 8 {
            let short = piece(&frame, 0, enough - 8, true);
            // What is held of its datagram waits on.
            assert_eq!(bench.accept(1, &piece(&frame, 64, 8, true)), Out::Held, "{name}");
            assert_eq!(bench.accept(1, &short), Out::Refused(DropReason::FragmentInvalid), "{name}");
            assert_eq!(bench.reassembly.fragments(), 1, "{name}");
        }
    }
    // IPv4 gathers them: whether the whole has its header is asked when it is whole.
    let frame = client(false, 1).tcp(1, 2, 2).payload(&[0; 64]).build();
    let mut bench = Bench::new(ReassemblyLimits::default());
    let pieces = split(&frame, &[8, 8, 8]);
    let out: Vec<Out> = pieces.iter().map(|piece| bench.accept(1, piece)).collect();
    assert_eq!(out.last(), Some(&Out::Done(frame)));
}

#[test]
fn a_whole_that_does_not_parse_is_dropped_with_its_reason() {
    // Its UDP length is behind its end.
    let mut frame = udp(false, 1, 256);
    frame[38..40].copy_from_slice(&400u16.to_be_bytes());
    let mut bench = Bench::new(ReassemblyLimits::default());
    let piece = |start, more| {
        let mut piece = frame[..34].to_vec();
        piece.extend_from_slice(&frame[34 + start..][..128]);
        ipv4::set_total_len(&mut piece[14..], 148);
        ipv4::set_fragment(&mut piece[14..], start, more);
        piece
    };
    assert_eq!(bench.accept(1, &piece(0, true)), Out::Held);
    assert_eq!(bench.accept(1, &piece(128, false)), Out::Refused(DropReason::BadUdpLen));
    assert_eq!(bench.reasons(), [DropReason::BadUdpLen]);
    assert_eq!((bench.merged, bench.reassembly.datagrams()), (1, 0));
}

#[test]
fn whole_packets_and_atomic_fragments_pass() {
    let mut bench = Bench::new(ReassemblyLimits::default());
    let frame = udp(true, 1, 64);
    assert_eq!(bench.accept(1, &piece(&frame, 0, 32, true)), Out::Held);
    for frame in [udp(false, 1, 64), frame.clone(), piece(&frame, 0, 64, false)] {
        assert_eq!(FragmentKey::of(&frame, &info(&frame)), None);
        assert_eq!(bench.accept(1, &frame), Out::AsItIs);
    }
    assert_eq!(bench.accept(1, &piece(&frame, 32, 32, false)), Out::Done(frame), "and touch none that wait");
}

#[test]
fn ethernet_padding_is_no_data() {
    for v6 in [false, true] {
        let frame = udp(v6, 1, 40);
        let mut bench = Bench::new(ReassemblyLimits::default());
        for (index, mut piece) in split(&frame, &[8, 16]).into_iter().rev().enumerate() {
            piece.resize(piece.len() + 30, 0xaa);
            let want = if index == 2 { Out::Done(frame.clone()) } else { Out::Held };
            assert_eq!(bench.accept(1, &piece), want);
        }
    }
}

#[test]
fn keys_tell_datagrams_apart() {
    let key = |frame: &[u8]| FragmentKey::of(frame, &info(frame)).expect("a fragment");
    let of = |frame: Frame| key(&frame.fragment(64, false).payload(&[0; 8]).build());
    for v6 in [false, true] {
        let base = of(client(v6, 1).id(1).raw(17));
        assert_eq!(base, key(&client(v6, 1).id(1).udp(1, 2).fragment(0, true).payload(&[0; 8]).build()));
        assert_ne!(base, of(client(v6, 2).id(1).raw(17)));
        assert_ne!(base, of(client(v6, 1).id(2).raw(17)));
        // Only of IPv4 the protocol is the same in all fragments.
        assert_eq!(base == of(client(v6, 1).id(1).raw(6)), v6);
    }
    let words: HashSet<_> =
        (0..50).flat_map(|n| [false, true].map(|v6| of(client(v6, n).id(1).raw(17)).words())).collect();
    assert_eq!(words.len(), 100);
}

#[test]
fn congestion_marks_are_joined() {
    // RFC 3168 section 5.3; values: 0 not capable, 1 and 2 capable, 3 congestion experienced.
    for v6 in [false, true] {
        for (name, first, second, want) in [
            ("none", 0, 0, Some(0)),
            ("the same", 2, 2, Some(2)),
            ("both ways to be capable: the first's", 1, 2, Some(1)),
            ("the second saw congestion", 2, 3, Some(3)),
            ("the first saw congestion", 3, 1, Some(3)),
            ("both saw congestion", 3, 3, Some(3)),
            ("not capable, but saw congestion", 0, 3, None),
            ("capable and not", 2, 0, None),
        ] {
            let mut bench = Bench::new(ReassemblyLimits::default());
            let frame = |ecn: u8| client(v6, 1).tos(0x28 | ecn).udp(1, 2).payload(&[7; 56]).build();
            assert_eq!(bench.accept(1, &piece(&frame(first), 0, 32, true)), Out::Held);
            let out = bench.accept(1, &piece(&frame(second), 32, 32, false));
            match want {
                Some(ecn) => assert_eq!(out, Out::Done(frame(ecn)), "{name}"),
                None => assert_eq!(out, Out::Refused(DropReason::FragmentInvalid), "{name}"),
            }
            bench.clear();
        }
    }
}

#[test]
fn dont_fragment_stays_if_the_largest_says_so() {
    let frame = |dont: bool| {
        let frame = client(false, 1).udp(1, 2).payload(&[7; 120]);
        if dont { frame.dont_fragment().build() } else { frame.build() }
    };
    for (first, second, want) in
        [(true, true, true), (true, false, true), (false, true, false), (false, false, false)]
    {
        let mut bench = Bench::new(ReassemblyLimits::default());
        assert_eq!(bench.accept(1, &piece(&frame(first), 0, 72, true)), Out::Held);
        assert_eq!(bench.accept(1, &piece(&frame(second), 72, 56, false)), Out::Done(frame(want)));
    }
}

#[test]
fn extension_headers_before_and_behind_the_fragment_header() {
    let options = [1, 4, 0, 0, 0, 0];
    let before =
        client(true, 1).extension(protocol::HOP_BY_HOP, &options).udp(1, 2).payload(&[7; 120]).build();
    let behind = client(true, 1)
        .extension(protocol::DESTINATION_OPTIONS, &options)
        .udp(1, 2)
        .payload(&[7; 120])
        .build();
    for frame in [before, behind] {
        for reversed in [false, true] {
            let mut pieces = split(&frame, &[64, 32]);
            if reversed {
                pieces.reverse();
            }
            let mut bench = Bench::new(ReassemblyLimits::default());
            let out: Vec<Out> = pieces.iter().map(|piece| bench.accept(1, piece)).collect();
            assert_eq!(out, [Out::Held, Out::Held, Out::Done(frame.clone())]);
        }
    }
}
