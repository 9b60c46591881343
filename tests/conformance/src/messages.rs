//! Synchronisation messages of a replay, compared apart from the steps in which they left: a daemon looks once a second
//! whether a message has grown old, and when these seconds begin is chance.
//!
//! With several lanes Linux spreads connections by where they are in memory. Then lengths and entries are compared, not
//! which of them went together.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use wire::{PacketInfo, Parsed, parse, protocol};

use crate::Difference;
use crate::mask::{SYNC_PORTS, mask};
use crate::trace::Frame;

/// How far apart two messages may have left: the seconds of two daemons, and a busy recording machine.
const APART_MS: u64 = 1300;

/// What was recorded and what came.
#[derive(Default)]
pub(crate) struct Messages {
    want: Vec<Message>,
    got: Vec<Message>,
}

struct Message {
    step: usize,
    left_ms: RangeInclusive<u64>,
    frame: Vec<u8>,
}

/// Whether a frame is a synchronisation message from the director.
fn is_message(frame: &Frame) -> bool {
    let message = |info: &PacketInfo| {
        info.protocol == protocol::UDP
            && SYNC_PORTS.contains(&info.dport)
            && info.dst(&frame.bytes).is_multicast()
    };
    frame.side == 'm' && matches!(parse(&frame.bytes), Ok(Parsed::Ip(info)) if message(&info))
}

impl Messages {
    /// Takes the messages out of what was recorded at a step.
    pub(crate) fn recorded(
        &mut self,
        step: usize,
        left_ms: RangeInclusive<u64>,
        frames: &[Frame],
    ) -> Vec<Frame> {
        Self::take(&mut self.want, step, left_ms, frames)
    }

    /// Takes the messages out of what came at a step.
    pub(crate) fn came(&mut self, step: usize, left_ms: RangeInclusive<u64>, frames: &[Frame]) -> Vec<Frame> {
        Self::take(&mut self.got, step, left_ms, frames)
    }

    fn take(
        to: &mut Vec<Message>,
        step: usize,
        left_ms: RangeInclusive<u64>,
        frames: &[Frame],
    ) -> Vec<Frame> {
        let (messages, others): (Vec<Frame>, Vec<Frame>) = frames.iter().cloned().partition(is_message);
        to.extend(messages.into_iter().map(|frame| Message {
            step,
            left_ms: left_ms.clone(),
            frame: mask(&frame.bytes, true),
        }));
        others
    }

    /// Whether more was recorded than came.
    pub(crate) fn lacks(&self) -> bool {
        self.got.len() < self.want.len()
    }

    /// What differs.
    pub(crate) fn differences(&self) -> Vec<Difference> {
        let lanes: BTreeSet<u16> = self.want.iter().map(|message| payload(&message.frame).1).collect();
        if lanes.len() > 1 { self.in_lanes() } else { self.in_order() }
    }

    fn in_order(&self) -> Vec<Difference> {
        let longer = self.want.len().max(self.got.len());
        let pairs = (0..longer).map(|at| (self.want.get(at), self.got.get(at)));
        let differ = |(want, got): (Option<&Message>, Option<&Message>)| {
            let same = match (want, got) {
                (Some(want), Some(got)) => want.frame == got.frame && overlap(want, got),
                _ => false,
            };
            let step = want.or(got).map_or(0, |message| message.step);
            (!same).then(|| Difference { step, want: show(want), got: show(got) })
        };
        pairs.filter_map(differ).collect()
    }

    fn in_lanes(&self) -> Vec<Difference> {
        let about = |messages: &[Message]| {
            let mut lengths: Vec<(u16, usize)> = Vec::new();
            let mut entries: Vec<Vec<u8>> = Vec::new();
            for message in messages {
                let (payload, lane) = payload(&message.frame);
                lengths.push((lane, payload.len()));
                // Of one length in a recording, the only one that there is of such.
                entries.extend(payload.get(8..).unwrap_or_default().chunks(36).map(<[u8]>::to_vec));
            }
            lengths.sort();
            entries.sort();
            (lengths, entries)
        };
        let (want, got) = (about(&self.want), about(&self.got));
        let step = self.want.last().map_or(0, |message| message.step);
        let shown = |(lengths, entries): &(Vec<(u16, usize)>, Vec<Vec<u8>>)| {
            format!("{lengths:?} with {} entries", entries.len())
        };
        if want == got { vec![] } else { vec![Difference { step, want: shown(&want), got: shown(&got) }] }
    }
}

fn overlap(want: &Message, got: &Message) -> bool {
    *got.left_ms.start() <= want.left_ms.end() + APART_MS
        && *want.left_ms.start() <= got.left_ms.end() + APART_MS
}

/// What a message says, and its port.
fn payload(frame: &[u8]) -> (&[u8], u16) {
    match parse(frame) {
        Ok(Parsed::Ip(info)) => {
            (info.upper(frame).get(wire::udp::HEADER_LEN..).unwrap_or_default(), info.dport)
        }
        _ => (&[], 0),
    }
}

fn show(message: Option<&Message>) -> String {
    message.map_or("no message".into(), |Message { left_ms, frame, .. }| {
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("m {hex} at {}-{} ms", left_ms.start(), left_ms.end())
    })
}
