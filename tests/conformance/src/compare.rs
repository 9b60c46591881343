//! Comparisons: of frames byte for byte, of connections, of listings. Each says what was wanted and what came, or nothing.

use wire::{Family, Fragment, PacketInfo, Parsed, icmp, ipv4, ipv6, parse, protocol, tcp, testing};

use crate::Outcome;
use crate::lab::Block;
use crate::mask::{fragment_id, is_echo_reply, mask, without_new_fragment_id};
use crate::trace::Frame;

/// What was recorded, and what came instead.
pub(crate) type Pair = (String, String);

/// Seconds left may differ by so many.
const SECONDS: u64 = 2;

/// What came of a frame.
///
/// Linux's recording shows what its own stack answered to a packet that no service claimed. In rvs such a packet goes
/// to the host, so the answer has to be the one that a host gives: a reset, an unreachable, or nothing where hosts are
/// silent.
pub(crate) fn outcome(asked: &Frame, want: &[Frame], got: &Outcome) -> Option<Pair> {
    if got.to_host && got.out.is_empty() {
        return (!is_hosts_answer(asked, want)).then(|| (show(want, false), "to the host".into()));
    }
    let arrived = fragment_id(&asked.bytes);
    let masked = |side: char, bytes: &[u8]| Frame { side, bytes: without_new_fragment_id(bytes, arrived) };
    let want: Vec<Frame> = want.iter().map(|frame| masked(frame.side, &frame.bytes)).collect();
    let out: Vec<Frame> = got.out.iter().map(|(side, bytes)| masked(*side, bytes)).collect();
    let dropped = got.dropped.map_or_else(String::new, |reason| format!("dropped: {reason:?}"));
    let made = got.made || out.iter().any(|frame| is_echo_reply(&frame.bytes));
    frames(&want, &out, made).map(|(want, got)| (want, [got, dropped].join(" ").trim().to_owned()))
}

/// How frames that left differ from those that left Linux, for who sees only frames: which of them the director made, and may
/// thus have another id than Linux's, is not known.
pub fn difference(want: &[Frame], got: &[Frame]) -> Option<Pair> {
    frames(want, got, false).and_then(|_| frames(want, got, true))
}

/// Whether what left Linux is what a host's own stack answers to a packet for itself, which may be nothing.
pub fn is_hosts_answer(asked: &Frame, want: &[Frame]) -> bool {
    // On the link for synchronisation nobody tells Linux where an answer would have to go.
    let answer = if asked.side == 'm' { Answer::Silence } else { Answer::to(&asked.bytes) };
    match want {
        [] => answer == Answer::Silence,
        [frame] => frame.side == asked.side && answer.is(&asked.bytes, &frame.bytes),
        _ => false,
    }
}

/// Frames, in order at each link; between links there is none.
pub(crate) fn frames(want: &[Frame], got: &[Frame], made: bool) -> Option<Pair> {
    let masked = |frames: &[Frame]| -> Vec<(char, Vec<u8>)> {
        let mut masked: Vec<_> = frames.iter().map(|frame| (frame.side, mask(&frame.bytes, made))).collect();
        masked.sort_by_key(|(side, _)| *side);
        masked
    };
    (masked(want) != masked(got)).then(|| (show(want, made), show(got, made)))
}

/// Frames that left by themselves while time passed. Linux's timers that fall due together end in any order, so ICMP errors are
/// compared in none.
pub(crate) fn frames_of_timers(want: &[Frame], got: &[Frame]) -> Option<Pair> {
    let sorted = |frames: &[Frame]| {
        let mut frames = frames.to_vec();
        frames.sort_by_cached_key(|frame| is_icmp(&frame.bytes).then(|| mask(&frame.bytes, true)));
        frames
    };
    frames(&sorted(want), &sorted(got), true)
}

fn is_icmp(frame: &[u8]) -> bool {
    let protocol = match parse(frame) {
        Ok(Parsed::Ip(info)) => info.protocol,
        _ => return false,
    };
    matches!(protocol, protocol::ICMP | protocol::ICMPV6)
}

/// Rows of connections, and seconds left. One that has none left may have gone: Linux's timers may be late.
pub(crate) fn connections(want: &[(String, u64)], got: &[(String, u64)]) -> Option<Pair> {
    let there = |row: &&(String, u64)| row.1 > 0 || got.iter().any(|got| got.0 == row.0);
    let want: Vec<(String, u64)> = want.iter().filter(there).cloned().collect();
    let same = want.len() == got.len()
        && want.iter().zip(got).all(|(want, got)| want.0 == got.0 && want.1.abs_diff(got.1) <= SECONDS);
    let rows = |rows: &[(String, u64)], other: &[(String, u64)]| {
        let alone = |row: &&(String, u64)| {
            !other.iter().any(|other| other.0 == row.0 && other.1.abs_diff(row.1) <= SECONDS)
        };
        let rows: Vec<String> = rows.iter().filter(alone).map(|(row, s)| format!("{row} {s}")).collect();
        rows.join("; ")
    };
    (!same).then(|| (rows(&want, got), rows(got, &want)))
}

/// Services and destinations in any order, as ipvsadm sorts them.
pub(crate) fn blocks(mut want: Vec<Block>, mut got: Vec<Block>) -> Option<Pair> {
    for blocks in [&mut want, &mut got] {
        blocks.iter_mut().for_each(|(_, dests)| dests.sort());
        blocks.sort();
    }
    in_order(&want, &got)
}

/// Services and destinations in the order that is given.
pub(crate) fn in_order(want: &[Block], got: &[Block]) -> Option<Pair> {
    let rows = |blocks: &[Block], other: &[Block]| {
        let alone = blocks.iter().filter(|block| !other.contains(block));
        alone.map(|(service, dests)| format!("{service} {}", dests.join(" "))).collect::<Vec<_>>().join("; ")
    };
    let whole = |blocks: &[Block]| blocks.iter().map(|(row, _)| row.as_str()).collect::<Vec<_>>().join("; ");
    (want != got).then(|| match (rows(want, got), rows(got, want)) {
        (alone, other) if alone.is_empty() && other.is_empty() => (whole(want), whole(got)),
        alone => alone,
    })
}

fn show(frames: &[Frame], made: bool) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let shown: Vec<String> =
        frames.iter().map(|frame| format!("{} {}", frame.side, hex(&mask(&frame.bytes, made)))).collect();
    if shown.is_empty() { "nothing".into() } else { shown.join(", ") }
}

/// What a host without listeners answers to a packet for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Reset,
    /// Type and code of ICMP or ICMPv6.
    Icmp(u8, u8),
    Silence,
}

impl Answer {
    fn to(frame: &[u8]) -> Self {
        let Ok(Parsed::Ip(info)) = parse(frame) else { return Self::Silence };
        // Nobody answers to a group.
        if info.dst(frame).is_multicast() {
            return Self::Silence;
        }
        let intact = testing::verify_checksums(frame).is_ok() && header_is_intact(&info, frame);
        let v4 = info.family == Family::V4;
        let unaligned = !v4
            && info.fragment != Fragment::No
            && info.ip(frame).get(43).is_some_and(|flags| flags & 1 != 0)
            && !info.upper_len().is_multiple_of(8);
        match info.protocol {
            // It knows no AH, whatever that protects.
            _ if !v4 && ipv6::next_header(info.ip(frame)) == protocol::AH => Self::Icmp(4, 1),
            // RFC 8200 section 4.5.
            _ if unaligned => Self::Icmp(4, 0),
            _ if !intact => Self::Silence,
            protocol::TCP if info.tcp_flags & tcp::RST != 0 => Self::Silence,
            protocol::TCP => Self::Reset,
            protocol::UDP if v4 => Self::Icmp(3, 3),
            protocol::UDP => Self::Icmp(1, 4),
            protocol::ICMP | protocol::ICMPV6 => Self::Silence,
            _ if v4 => Self::Icmp(3, 2),
            _ => Self::Icmp(4, 1),
        }
    }

    /// Whether a frame is this answer.
    fn is(self, asked: &[u8], answer: &[u8]) -> bool {
        let (Ok(Parsed::Ip(to)), Ok(Parsed::Ip(info))) = (parse(asked), parse(answer)) else { return false };
        let swapped = info.src(answer) == to.dst(asked) && info.dst(answer) == to.src(asked);
        let upper = info.upper(answer);
        swapped
            && match self {
                Self::Reset => info.protocol == protocol::TCP && info.tcp_flags & tcp::RST != 0,
                Self::Icmp(kind, code) => {
                    matches!(info.protocol, protocol::ICMP | protocol::ICMPV6)
                        && (icmp::kind(upper), icmp::code(upper)) == (kind, code)
                }
                Self::Silence => false,
            }
    }
}

fn header_is_intact(info: &PacketInfo, frame: &[u8]) -> bool {
    info.family == Family::V6 || ipv4::verify_checksum(info.ip(frame))
}

#[cfg(test)]
mod tests {
    use wire::testing::Frame as Packet;

    use super::*;

    const V4: [&str; 2] = ["198.51.100.1", "192.0.2.100"];
    const V6: [&str; 2] = ["2001:db8:c::1", "2001:db8:1::100"];

    fn packet([src, dst]: [&str; 2]) -> Packet {
        Packet::new(src.parse().expect("an address"), dst.parse().expect("an address"))
    }

    #[test]
    fn hosts_answer_what_they_answer() {
        let damaged = packet(V4).tcp(1000, 80, tcp::ACK).bad_checksum().build();
        let table = [
            ("an acknowledgement", packet(V4).tcp(1000, 80, tcp::ACK).build(), Answer::Reset),
            ("a reset", packet(V4).tcp(1000, 80, tcp::RST).build(), Answer::Silence),
            ("damaged", damaged, Answer::Silence),
            ("UDP", packet(V4).udp(1000, 53).payload(&[1]).build(), Answer::Icmp(3, 3)),
            ("UDP over IPv6", packet(V6).udp(1000, 53).payload(&[1]).build(), Answer::Icmp(1, 4)),
            ("AH over IPv6", packet(V6).extension(51, &[0; 22]).tcp(1, 2, 0).build(), Answer::Icmp(4, 1)),
            ("an echo", packet(V4).echo_request(1, 1).build(), Answer::Silence),
        ];
        for (name, frame, want) in table {
            assert_eq!(Answer::to(&frame), want, "{name}");
        }
    }

    #[test]
    fn a_packet_for_the_host_wants_the_hosts_answer() {
        let asked = Frame { side: 'c', bytes: packet(V4).tcp(1000, 80, tcp::ACK).build() };
        let reset =
            |side, ends: [&str; 2], flags| Frame { side, bytes: packet(ends).tcp(80, 1000, flags).build() };
        let back = [V4[1], V4[0]];
        let got = Outcome { out: vec![], to_host: true, made: false, dropped: None };
        let table = [
            ("a reset", vec![reset('c', back, tcp::RST)], true),
            ("nothing", vec![], false),
            ("no reset", vec![reset('c', back, tcp::ACK)], false),
            ("a reset to somebody else", vec![reset('c', V4, tcp::RST)], false),
            ("a reset elsewhere", vec![reset('s', back, tcp::RST)], false),
            ("two", vec![reset('c', back, tcp::RST), reset('c', back, tcp::RST)], false),
        ];
        for (name, want, same) in table {
            assert_eq!(outcome(&asked, &want, &got).is_none(), same, "{name}");
        }
    }

    #[test]
    fn seconds_may_differ_by_two_and_rows_by_nothing() {
        let rows = |rows: &[(&str, u64)]| -> Vec<(String, u64)> {
            rows.iter().map(|(row, seconds)| ((*row).into(), *seconds)).collect()
        };
        let want = rows(&[("a", 10), ("b", 60)]);
        for (name, got, same) in [
            ("two seconds", rows(&[("a", 12), ("b", 58)]), true),
            ("three seconds", rows(&[("a", 13), ("b", 60)]), false),
            ("a row less", rows(&[("a", 10)]), false),
            ("another row", rows(&[("a", 10), ("c", 60)]), false),
        ] {
            assert_eq!(connections(&want, &got).is_none(), same, "{name}");
        }
        let ending = rows(&[("a", 0), ("b", 60)]);
        assert!(connections(&ending, &rows(&[("b", 60)])).is_none(), "its time had come");
        assert!(connections(&rows(&[("b", 60)]), &ending).is_some(), "gone where it was recorded");
    }
}
