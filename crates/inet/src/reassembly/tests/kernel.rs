//! What Linux 6.1 sent, from recordings: `frag_nat_v4`, `frag_dr_v6`, `frag_tun_v6`, and further ones with other sizes.

use wire::testing::hex;

use super::leave::leave;
use super::*;

/// The pattern that the recordings' datagrams carry.
fn pattern(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| at as u8).collect()
}

/// A recorded frame: its beginning, and how the pattern goes on.
fn recorded(beginning: &str, from: usize, len: usize) -> Vec<u8> {
    [hex(beginning), pattern(from, len)].concat()
}

/// Gathers fragments, which must be all of one datagram.
fn gather(pieces: &[Vec<u8>]) -> (Vec<u8>, Cuts) {
    let mut bench = Bench::new(ReassemblyLimits::default());
    let (last, before) = pieces.split_last().unwrap();
    for piece in before {
        assert_eq!(bench.accept(1, piece), Out::Held);
    }
    match bench.accept(1, last) {
        Out::Done(frame) => (frame, bench.cuts.unwrap()),
        other => panic!("{other:?}"),
    }
}

fn leaving(cuts: &Cuts, family: Family, sizes: Sizes) -> Leaving<'_> {
    Leaving { cuts, family, sizes, mtu: 1500, id: 1 }
}

/// Another next hop, one hop less, as direct routing forwards.
fn forward(frame: &mut [u8], to: &str) {
    frame[..12].copy_from_slice(&hex(to));
    match info(frame).family {
        Family::V4 => ipv4::decrement_ttl(&mut frame[14..]),
        Family::V6 => ipv6::decrement_hop_limit(&mut frame[14..]),
    }
}

#[test]
fn a_request_leaves_as_large_as_its_largest() {
    // frag_nat_v4, steps 6 to 9: out of order, 504 + 504 + 504 + 544 bytes.
    let pieces = [
        recorded("0200000000010200000000fe080045000234424300bd4011491fc6336402c0000264", 224, 544),
        recorded("0200000000010200000000fe08004500020c4243203f401129c5c6336402c0000264", 240, 504),
        recorded(
            "0200000000010200000000fe08004500020c4243200040112a04c6336402c00002640bb800350808f558",
            0,
            496,
        ),
        recorded("0200000000010200000000fe08004500020c4243207e40112986c6336402c0000264", 232, 504),
    ];
    let (mut frame, cuts) = gather(&pieces);
    assert_eq!(verify_checksums(&frame), Ok(()));
    forward(&mut frame, "02000000020b020000000002");
    // Masquerading, as the recording shows it: destination, its port, UDP checksum.
    ipv4::set_dst(&mut frame[14..], [10, 0, 2, 11].into());
    frame[36..38].copy_from_slice(&5353u16.to_be_bytes());
    frame[40..42].copy_from_slice(&0x96feu16.to_be_bytes());
    assert_eq!(verify_checksums(&frame), Ok(()));
    let left = leave(&frame, leaving(&cuts, Family::V4, Sizes::Largest));
    let want = [
        recorded(
            "02000000020b020000000002080045000234424320003f11e135c63364020a00020b0bb814e9080896fe",
            0,
            536,
        ),
        recorded("02000000020b020000000002080045000234424320443f11e0f1c63364020a00020b", 24, 544),
        recorded("02000000020b020000000002080045000234424320883f11e0adc63364020a00020b", 56, 544),
        recorded("02000000020b0200000000020800450001bc424300cc3f1100e2c63364020a00020b", 88, 424),
    ];
    assert_eq!(left, Ok(want.to_vec()));
}

#[test]
fn a_reply_leaves_as_it_came() {
    // frag_nat_v4, steps 14 and 15: reversed.
    let pieces = [
        recorded("02000000000202000000020b08004500041c424600804011fdca0a00020bc6336402", 248, 1032),
        recorded(
            "02000000000202000000020b080045000414424620004011de520a00020bc633640214e90bb8080896fe",
            0,
            1016,
        ),
    ];
    let (mut frame, cuts) = gather(&pieces);
    forward(&mut frame, "0200000000fe020000000001");
    ipv4::set_src(&mut frame[14..], [192, 0, 2, 100].into());
    frame[34..36].copy_from_slice(&53u16.to_be_bytes());
    frame[40..42].copy_from_slice(&0xf558u16.to_be_bytes());
    assert_eq!(verify_checksums(&frame), Ok(()));
    let left = leave(&frame, leaving(&cuts, Family::V4, Sizes::AsCame));
    let want = vec![
        recorded(
            "0200000000fe020000000001080045000414424620003f1128f9c0000264c633640200350bb80808f558",
            0,
            1016,
        ),
        recorded("0200000000fe02000000000108004500041c424600803f114871c0000264c6336402", 248, 1032),
    ];
    assert_eq!(left, Ok(want));
}

#[test]
fn ipv6_leaves_at_1280() {
    // frag_dr_v6, steps 3 and 4.
    let head = "0200000000010200000000fe86dd60000000";
    let addresses = "20010db8000c0000000000000000000120010db8000100000000000000000100";
    let pieces = [
        recorded(&format!("{head}04082c40{addresses}11000001000042420bb8003508088573"), 0, 1016),
        recorded(&format!("{head}04102c40{addresses}1100040000004242"), 248, 1032),
    ];
    let (mut frame, cuts) = gather(&pieces);
    assert_eq!(verify_checksums(&frame), Ok(()));
    forward(&mut frame, "02000000020c020000000002");
    let left = leave(&frame, Leaving { id: 0x037d_5fb3, ..leaving(&cuts, Family::V6, Sizes::Largest) });
    let head = "02000000020c02000000000286dd60000000";
    let want = vec![
        recorded(&format!("{head}04d82c3f{addresses}11000001037d5fb30bb8003508088573"), 0, 1224),
        recorded(&format!("{head}03402c3f{addresses}110004d0037d5fb3"), 200, 824),
    ];
    assert_eq!(left, Ok(want));
}

/// Sizes of what came and of what left, without headers, and where between they went.
struct Seen {
    name: &'static str,
    v6: bool,
    /// Bytes that a tunnel put in front, and its protocol.
    tunnel: Option<(usize, u8)>,
    sizes: Sizes,
    came: &'static [usize],
    left: &'static [usize],
}

#[test]
fn sizes_are_those_of_the_recordings() {
    use Sizes::{AsCame, Largest};
    let ipip = Some((20, protocol::IPIP));
    let gre = Some((24, protocol::GRE));
    let ip6 = Some((40, protocol::IPV6));
    let gre6 = Some((44, protocol::GRE));
    let seen = |name, v6, tunnel, sizes, came, left| Seen { name, v6, tunnel, sizes, came, left };
    for Seen { name, v6, tunnel, sizes, came, left } in [
        seen("two", false, None, Largest, &[1024, 1032], &[1032, 1024]),
        seen("first larger", false, None, Largest, &[1032, 1016], &[1032, 1016]),
        seen("four", false, None, Largest, &[504, 504, 504, 536], &[536, 536, 536, 440]),
        seen("tiny", false, None, Largest, &[16, 48], &[48, 16]),
        seen("tiny four", false, None, Largest, &[24, 24, 24, 48], &[48, 48, 24]),
        seen("three", false, None, Largest, &[96, 104, 100], &[104, 104, 92]),
        seen("middle smaller", false, None, Largest, &[1400, 1200, 1400], &[1400, 1400, 1200]),
        seen("reply", false, None, AsCame, &[1024, 1024], &[1024, 1024]),
        seen("reply of four", false, None, AsCame, &[504, 504, 504, 536], &[504, 504, 504, 536]),
        seen("tiny reply", false, None, AsCame, &[16, 48], &[16, 48]),
        seen("reply, middle smaller", false, None, AsCame, &[1400, 1200, 1400], &[1400, 1200, 1400]),
        seen("reply, first larger", false, None, AsCame, &[600, 16, 16], &[600, 16, 16]),
        seen("reply, last larger", false, None, AsCame, &[496, 504], &[496, 504]),
        seen("ipip", false, ipip, Largest, &[1024, 1024], &[1024, 1024, 20]),
        seen("ipip, odd rest", false, ipip, Largest, &[1032, 1016], &[1032, 1032, 4]),
        seen("ipip of four", false, ipip, Largest, &[504, 504, 504, 536], &[536, 536, 536, 460]),
        seen("ipip, tiny", false, ipip, Largest, &[16, 48], &[48, 36]),
        seen("gre", false, gre, Largest, &[1400, 1200, 1400], &[1400, 1400, 1224]),
        seen("gre, three", false, gre, Largest, &[96, 104, 100], &[104, 104, 104, 12]),
        seen("IPv6", true, None, Largest, &[1024, 1024], &[1232, 816]),
        seen("IPv6 of four", true, None, Largest, &[504, 504, 504, 536], &[1232, 816]),
        seen("IPv6, tiny", true, None, Largest, &[16, 48], &[16, 48]),
        seen("IPv6, tiny four", true, None, Largest, &[24, 24, 24, 48], &[24, 24, 24, 48]),
        seen("IPv6, no longer than its largest", true, None, Largest, &[8, 248], &[256]),
        seen("IPv6, large", true, None, Largest, &[1400, 1400], &[1400, 1400]),
        seen("IPv6, middle smaller", true, None, Largest, &[1400, 1200, 1400], &[1400, 1200, 1400]),
        seen("IPv6, middle crowded", true, None, Largest, &[1400, 600, 1400], &[1400, 1400, 600]),
        seen("IPv6, first crowded", true, None, Largest, &[1000, 1400], &[1400, 1000]),
        seen("IPv6, long and short", true, None, Largest, &[1400, 16, 1400], &[1400, 16, 1400]),
        seen("IPv6, short and crowded", true, None, Largest, &[16, 48, 600], &[664]),
        seen("IPv6, just not crowded", true, None, Largest, &[64, 64, 64], &[64, 64, 64]),
        seen("IPv6, just crowded", true, None, Largest, &[72, 72, 72], &[216]),
        seen("IPv6 below 1280", true, None, Largest, &[496, 504], &[1000]),
        seen("IPv6, just above", true, None, Largest, &[704, 696], &[1232, 168]),
        seen("IPv6 reply", true, None, AsCame, &[504, 504, 504, 536], &[1232, 816]),
        seen("IPv6 reply, tiny", true, None, AsCame, &[16, 48], &[16, 48]),
        seen("ip6ip6", true, ip6, Largest, &[1024, 1024], &[1232, 856]),
        seen("ip6ip6, tiny", true, ip6, Largest, &[16, 48], &[56, 48]),
        seen("ip6ip6, tiny four", true, ip6, Largest, &[24, 24, 24, 48], &[64, 24, 24, 48]),
        seen("ip6ip6, large", true, ip6, Largest, &[1400, 1400], &[1400, 1400, 40]),
        seen("ip6ip6, middle smaller", true, ip6, Largest, &[1400, 1200, 1400], &[1400, 1400, 1240]),
        seen("gre6", true, gre6, Largest, &[1024, 1024], &[1232, 860]),
        seen("gre6, large", true, gre6, Largest, &[1400, 1400], &[1400, 1400, 44]),
    ] {
        let (_, before) = came.split_last().unwrap();
        let frame = udp(v6, 1, came.iter().sum());
        let (frame, cuts) = gather(&split(&frame, before));
        let frame = match tunnel {
            Some((added, number)) => in_tunnel(&frame, added, number),
            None => frame,
        };
        let pieces =
            leave(&frame, leaving(&cuts, if v6 { Family::V6 } else { Family::V4 }, sizes)).expect(name);
        let header = |piece: &Vec<u8>| match (v6, piece[20] == protocol::FRAGMENT) {
            (false, _) => 34,
            (true, false) => 54,
            (true, true) => 62,
        };
        let got: Vec<usize> = pieces.iter().map(|piece| piece.len() - header(piece)).collect();
        assert_eq!(got, left, "{name}");
    }
}

#[test]
fn tunnels_of_the_other_family_know_nothing_of_fragments_or_keep_them() {
    for (v6, came, left) in [
        (false, &[1024, 1024][..], &[1448, 620][..]),
        (false, &[16, 48], &[84]),
        (false, &[504, 504, 504, 536], &[1448, 620]),
        (true, &[1024, 1024], &[1064, 1024]),
        (true, &[16, 48], &[104]),
        (true, &[504, 504, 504, 536], &[544, 504, 504, 536]),
        (true, &[1400, 1400], &[1440, 1400]),
        (true, &[496, 504], &[1040]),
    ] {
        let (_, before) = came.split_last().unwrap();
        let (frame, cuts) = gather(&split(&udp(v6, 1, came.iter().sum()), before));
        let outer =
            if v6 { Frame::v4("10.0.2.1", "10.0.2.12") } else { Frame::v6("2001:db8:2::1", "2001:db8:2::c") };
        let outer = outer.raw(if v6 { protocol::IPV6 } else { protocol::IPIP }).payload(&frame[14..]).build();
        let family = if v6 { Family::V6 } else { Family::V4 };
        let pieces = leave(&outer, leaving(&cuts, family, Sizes::Largest)).expect("fragments");
        let header = |piece: &Vec<u8>| match (v6, piece[20] == protocol::FRAGMENT) {
            (true, _) => 34,
            (false, false) => 54,
            (false, true) => 62,
        };
        let got: Vec<usize> = pieces.iter().map(|piece| piece.len() - header(piece)).collect();
        assert_eq!(got, left, "{came:?}");
    }
}

#[test]
fn bad_fragments_end_as_in_the_recordings() {
    // One step each: start, length, more to follow, and whether the datagram was sent then.
    type Step = (usize, usize, bool, bool);
    let cases: [(&str, [bool; 2], &[Step]); 7] = [
        (
            "contained",
            [true; 2],
            &[(0, 64, true, false), (64, 64, true, false), (32, 64, true, false), (128, 128, false, true)],
        ),
        (
            "overlap",
            [true; 2],
            &[(0, 64, true, false), (64, 64, true, false), (56, 80, true, false), (128, 128, false, false)],
        ),
        (
            "overlap, all again",
            [true; 2],
            &[(0, 64, true, false), (32, 64, true, false), (0, 64, true, false), (64, 192, false, true)],
        ),
        (
            "another end",
            [true, false],
            &[(128, 128, false, false), (0, 64, true, false), (64, 8, false, false), (64, 64, true, false)],
        ),
        (
            "another end",
            [false, true],
            &[(128, 128, false, false), (0, 64, true, false), (64, 8, false, false), (64, 64, true, true)],
        ),
        ("empty", [false, true], &[(0, 64, true, false), (64, 0, true, false), (64, 192, false, true)]),
        (
            "across two runs",
            [true; 2],
            &[
                (128, 64, true, false),
                (64, 64, true, false),
                (96, 64, true, false),
                (0, 64, true, false),
                (192, 64, false, false),
            ],
        ),
    ];
    for (name, families, steps) in cases {
        for v6 in [false, true].into_iter().filter(|&v6| families[usize::from(v6)]) {
            let frame = udp(v6, 1, 256);
            let mut bench = Bench::new(ReassemblyLimits::default());
            for &(start, len, more, sent) in steps {
                let out = bench.accept(1, &piece(&frame, start, len, more));
                assert_eq!(matches!(out, Out::Done(_)), sent, "{name}, {v6}, {start}+{len}");
            }
        }
    }
    // IPv4 takes what exceeds a multiple of eight as not sent.
    let frame = udp(false, 1, 256);
    let mut bench = Bench::new(ReassemblyLimits::default());
    assert_eq!(bench.accept(1, &piece(&frame, 0, 68, true)), Out::Held);
    assert_eq!(bench.accept(1, &piece(&frame, 64, 192, false)), Out::Done(frame));
}

/// The packet with a tunnel's headers of `added` bytes in front: the outer IP header, and zeros for GRE.
fn in_tunnel(frame: &[u8], added: usize, number: u8) -> Vec<u8> {
    let inside = &frame[14..];
    let v6 = info(frame).family == Family::V6;
    let header = if v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
    let payload = [vec![0; added - header], inside.to_vec()].concat();
    let outer =
        if v6 { Frame::v6("2001:db8:2::1", "2001:db8:2::c") } else { Frame::v4("10.0.2.1", "10.0.2.12") };
    outer.raw(number).payload(&payload).build()
}
