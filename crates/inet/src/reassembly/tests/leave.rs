//! Cutting again: what leaves is the same datagram.

use super::*;

/// What leaves, frame by frame.
pub(super) fn leave(frame: &[u8], leaving: Leaving<'_>) -> Result<Vec<Vec<u8>>, DropReason> {
    let mut pieces = Vec::new();
    let alloc = || Some(Buf::new(0, &[], SMALL));
    let packet = Buf::new(0, frame, LARGE.max(frame.len()));
    let sent = refragment(packet, &info(frame), leaving, alloc, |piece| pieces.push(piece.bytes().to_vec()))
        .map_err(|(packet, reason)| {
            assert!(reason == DropReason::NoMbuf || packet.bytes() == frame, "untouched");
            reason
        })?;
    assert_eq!(sent, pieces.len());
    Ok(pieces)
}

fn frame_of(kind: u8, len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..len - 8).map(|at| (at * 7) as u8).collect();
    let options = [1, 4, 0, 0, 0, 0];
    let frame = client(kind > 2, 1).id(0x4242);
    let frame = match kind {
        1 => frame.ip_options(&[148, 4, 0, 0]),
        2 => frame.dont_fragment(),
        4 => frame.extension(protocol::HOP_BY_HOP, &options),
        5 => frame.extension(protocol::DESTINATION_OPTIONS, &options),
        _ => frame,
    };
    frame.udp(3000, 53).payload(&payload).build()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_leaves_is_what_came(
        kind in 0..6u8,
        len in 24..6000usize,
        weights in prop::collection::vec(0..1400usize, 1..20),
        as_came: bool,
        mtu in 576..1500u16,
    ) {
        let frame = frame_of(kind, len);
        let mut sizes = sizes(frame.len() - payload_at(&frame), &weights);
        prop_assume!(!sizes.is_empty());
        sizes[0] = sizes[0].max(16).min((frame.len() - payload_at(&frame) - 1) / 8 * 8);
        sizes.truncate(1 + (sizes[0] < 1000) as usize * 20);
        let total: usize = sizes.iter().sum();
        prop_assume!(total < frame.len() - payload_at(&frame));
        let mut bench = Bench::new(ReassemblyLimits::default());
        let pieces = split(&frame, &sizes);
        let out = pieces.iter().map(|piece| bench.accept(1, piece)).last().unwrap();
        prop_assert_eq!(out, Out::Done(frame.clone()));
        let cuts = bench.cuts.unwrap();
        let how = if as_came { Sizes::AsCame } else { Sizes::Largest };
        let v6 = kind > 2;
        let left = leave(&frame, leaving(&cuts, v6, how, mtu));
        if v6 && cuts.largest.max(1280) > mtu {
            prop_assert_eq!(left, Err(DropReason::MtuExceeded));
            return Ok(());
        }
        let left = left.expect("fragments");
        let largest = if v6 { cuts.largest.max(1280) } else { cuts.largest }.min(mtu);
        for piece in &left {
            prop_assert!(piece.len() - 14 <= usize::from(largest), "{} in {largest}", piece.len() - 14);
            prop_assert!(matches!(parse(piece), Ok(Parsed::Ip(_))));
            prop_assert!(v6 || ipv4::dont_fragment(&piece[14..]) == (kind == 2));
        }
        if left.len() == 1 {
            // Only of IPv6, and only where a whole one passes every link, or passed as a fragment: with a fragment header
            // unless it is no longer than one that came.
            prop_assert!(v6 && frame.len() - 14 <= usize::from(cuts.largest.max(1280)));
            let whole = frame.len() - 14 <= usize::from(cuts.largest);
            let want = if whole { frame.clone() } else { piece(&frame, 0, frame.len() - payload_at(&frame), false) };
            prop_assert_eq!(&left[0], &want);
            return Ok(());
        }
        if mtu >= cuts.largest {
            prop_assert!(left.len() <= pieces.len(), "{} of {}", left.len(), pieces.len());
        }
        let mut again = Bench::new(ReassemblyLimits::default());
        let out = left.iter().map(|piece| again.accept(1, piece)).last().unwrap();
        prop_assert_eq!(out, Out::Done(frame));
    }

    #[test]
    fn whatever_the_cuts_say_it_leaves_within_the_mtu(
        kind in 0..6u8,
        len in 24..3000usize,
        runs in prop::collection::vec((0..400usize, 1..4usize), 0..10),
        largest in 0..1600u16,
        other_family: bool,
        as_came: bool,
        mtu in 0..1600u16,
    ) {
        let frame = frame_of(kind, len);
        let mut cuts = Cuts::default();
        for (len, count) in runs {
            (0..count).for_each(|_| cuts.note(len, largest));
        }
        let sizes = if as_came { Sizes::AsCame } else { Sizes::Largest };
        if let Ok(left) = leave(&frame, leaving(&cuts, (kind > 2) != other_family, sizes, mtu)) {
            prop_assert!(left.iter().all(|piece| piece.len() - 14 <= usize::from(mtu)));
            let payload: usize = left.iter().map(|piece| info(piece).ip_len()).sum();
            prop_assert!(payload >= info(&frame).ip_len());
        }
    }
}

/// Sizes of a datagram's fragments without headers, all of whose IP packets are `header` bytes longer.
fn cuts_of(payloads: &[usize], header: usize) -> Cuts {
    let mut cuts = Cuts::default();
    payloads.iter().for_each(|len| cuts.note(*len, (len + header) as u16));
    cuts
}

fn leaving(cuts: &Cuts, v6: bool, sizes: Sizes, mtu: u16) -> Leaving<'_> {
    let family = if v6 { Family::V6 } else { Family::V4 };
    Leaving { cuts, family, sizes, mtu, id: 0x4242 }
}

#[test]
fn options_that_are_not_copied_stay_in_the_first() {
    // Record route (7, not copied), router alert (148, copied), one no-operation.
    let options = [7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 1];
    let frame = client(false, 1).ip_options(&options).udp(1, 2).payload(&[7; 120]).build();
    let cuts = cuts_of(&[64, 64], 32);
    let left = leave(&frame, leaving(&cuts, false, Sizes::AsCame, 1500)).unwrap();
    assert_eq!(left[0][34..46], options);
    assert_eq!(left[1][34..46], [1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 1]);
}

#[test]
fn sizes_that_change_too_often_are_forgotten() {
    let frame = udp(false, 1, 3000);
    let payloads = |left: &[Vec<u8>]| left.iter().map(|piece| piece.len() - 34).collect::<Vec<_>>();
    // Eight runs are remembered.
    let came = [400, 200, 400, 200, 400, 200, 200, 400, 600];
    let cuts = cuts_of(&came, 20);
    let left = leave(&frame, leaving(&cuts, false, Sizes::AsCame, 1500)).unwrap();
    assert_eq!(payloads(&left), came);
    let cuts = cuts_of(&[400, 200, 400, 200, 400, 200, 400, 200, 600], 20);
    let left = leave(&frame, leaving(&cuts, false, Sizes::AsCame, 1500)).unwrap();
    assert_eq!(payloads(&left), [600; 5]);
    assert_eq!(Cuts::from_bytes(&cuts.to_bytes()), cuts);
}

#[test]
fn says_when_buffers_run_out() {
    let frame = udp(false, 1, 3000);
    let cuts = cuts_of(&[1000, 1000, 1000], 20);
    let leaving = leaving(&cuts, false, Sizes::Largest, 1500);
    let (mut left, mut emitted) = (1, 0);
    let alloc = || {
        left -= 1;
        (left >= 0).then(|| Buf::new(0, &[], SMALL))
    };
    let packet = Buf::new(1, &frame, LARGE);
    let done = refragment(packet, &info(&frame), leaving, alloc, |_| emitted += 1);
    assert_eq!(
        (done.map_err(|(packet, reason)| (packet.number, reason)), emitted),
        (Err((1, DropReason::NoMbuf)), 1)
    );
}
