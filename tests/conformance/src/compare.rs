//! Comparisons: of frames byte for byte, of connections, of listings. Each says what was wanted and what came, or nothing.

use wire::{Family, PacketInfo, Parsed, icmp, ipv4, parse, protocol, tcp, testing};

use crate::Outcome;
use crate::lab::Block;
use crate::mask::mask;
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
        let answer = Answer::to(&asked.bytes);
        let same = match want {
            [] => answer == Answer::Silence,
            [frame] => frame.side == asked.side && answer.is(&asked.bytes, &frame.bytes),
            _ => false,
        };
        return (!same).then(|| (show(want, false), "to the host".into()));
    }
    let out: Vec<Frame> =
        got.out.iter().map(|(side, bytes)| Frame { side: *side, bytes: bytes.clone() }).collect();
    let dropped = got.dropped.map_or_else(String::new, |reason| format!("dropped: {reason:?}"));
    frames(want, &out, got.made).map(|(want, got)| (want, [got, dropped].join(" ").trim().to_owned()))
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

/// Rows of connections, and seconds left.
pub(crate) fn connections(want: &[(String, u64)], got: &[(String, u64)]) -> Option<Pair> {
    let same = want.len() == got.len()
        && want.iter().zip(got).all(|(want, got)| want.0 == got.0 && want.1.abs_diff(got.1) <= SECONDS);
    let rows = |rows: &[(String, u64)], other: &[(String, u64)]| {
        let alone = |row: &&(String, u64)| {
            !other.iter().any(|other| other.0 == row.0 && other.1.abs_diff(row.1) <= SECONDS)
        };
        let rows: Vec<String> = rows.iter().filter(alone).map(|(row, s)| format!("{row} {s}")).collect();
        rows.join("; ")
    };
    (!same).then(|| (rows(want, got), rows(got, want)))
}

/// Services in any order. `sorted`: destinations in any order too, as ipvsadm sorts them.
pub(crate) fn blocks(mut want: Vec<Block>, mut got: Vec<Block>, sorted: bool) -> Option<Pair> {
    for blocks in [&mut want, &mut got] {
        if sorted {
            blocks.iter_mut().for_each(|(_, dests)| dests.sort());
        }
        blocks.sort();
    }
    let rows = |blocks: &[Block], other: &[Block]| {
        let alone = blocks.iter().filter(|block| !other.contains(block));
        alone.map(|(service, dests)| format!("{service} {}", dests.join(" "))).collect::<Vec<_>>().join("; ")
    };
    (want != got).then(|| (rows(&want, &got), rows(&got, &want)))
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
        let intact = testing::verify_checksums(frame).is_ok() && header_is_intact(&info, frame);
        let v4 = info.family == Family::V4;
        match info.protocol {
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
