//! One direction of a TCP stream in which a helper replaced text: what its sequence numbers become for the other end, and
//! what the acknowledgements that come back mean to its sender [ip_vs_seq: init_seq, delta, previous_delta].
//!
//! The sender counts its own bytes, the receiver those that it got. Both agree up to the text that was replaced last,
//! but for what earlier replacements added; behind it they differ by its growth too. Within it there is no number of
//! one that is a number of the other: the receiver has all of the new text or nothing.
//!
//! Other than in Linux the text is kept, with its place. So a segment that is sent again, whole or cut otherwise, gets the same
//! text in the same place, and nothing depends on how the sender cuts its stream. Only the last replacement is kept, as in
//! Linux: what leads to another one acknowledges the one before.

use core::ops::Range;

use wire::sync::Shift;

/// Bytes of the longest text that a helper puts in: an IPv6 address and a port with their delimiters.
pub(crate) const TEXT_MAX: usize = 52;

/// Text of a helper, at most [`TEXT_MAX`] bytes.
#[derive(Clone, Copy)]
pub(crate) struct Text {
    bytes: [u8; TEXT_MAX],
    len: u8,
}

impl Text {
    pub(crate) const EMPTY: Self = Self { bytes: [0; TEXT_MAX], len: 0 };

    /// Its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl core::fmt::Write for Text {
    /// Fails when the text would be longer than [`TEXT_MAX`].
    fn write_str(&mut self, more: &str) -> core::fmt::Result {
        let at = usize::from(self.len);
        let room = self.bytes.get_mut(at..at + more.len()).ok_or(core::fmt::Error)?;
        room.copy_from_slice(more.as_bytes());
        self.len += more.len() as u8;
        Ok(())
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

/// Text of a segment to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// What goes, in bytes from the start of the segment's data.
    pub(crate) range: Range<usize>,
    /// What comes instead.
    pub(crate) text: Text,
}

/// What was replaced in one direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// Number of the first byte that was replaced last, as its sender counts.
    at: u32,
    /// Bytes that it replaced.
    old_len: u16,
    /// What came instead.
    text: Text,
    /// Bytes that the replacements before it added [previous_delta]; negative where they took away.
    before: i32,
    /// Bytes that a replacement at `at` added which is not known itself: another director made it.
    unseen: i32,
}

impl Default for Sequence {
    fn default() -> Self {
        Self { at: 0, old_len: 0, text: Text::EMPTY, before: 0, unseen: 0 }
    }
}

impl Sequence {
    /// Whether nothing has been replaced.
    pub(crate) fn is_plain(&self) -> bool {
        self.old_len == 0 && self.before == 0 && self.unseen == 0
    }

    /// By how much numbers are shifted, in the words of synchronisation [ip_vs_seq].
    pub(crate) fn shift(&self) -> Shift {
        Shift {
            initial: self.at,
            delta: self.after().cast_unsigned(),
            previous_delta: self.before.cast_unsigned(),
        }
    }

    /// A stream in which another director replaced text.
    pub(crate) fn shifted(shift: Shift) -> Self {
        let before = shift.previous_delta.cast_signed();
        let unseen = shift.delta.cast_signed().wrapping_sub(before);
        Self { at: shift.initial, before, unseen, ..Self::default() }
    }

    /// Bytes that all replacements added [delta].
    fn after(&self) -> i32 {
        let grown = self.text.as_bytes().len() as i32 - i32::from(self.old_len);
        self.before.wrapping_add(grown).wrapping_add(self.unseen)
    }

    /// The receiver's number for a number of the sender.
    pub(crate) fn forth(&self, seq: u32) -> u32 {
        let behind = signed(seq, self.at);
        if behind <= 0 {
            return seq.wrapping_add_signed(self.before);
        }
        let seq = if behind < i32::from(self.old_len) { self.end() } else { seq };
        seq.wrapping_add_signed(self.after())
    }

    /// The sender's number for a number of the receiver. Inside of the new text it is where the old one begins: what is
    /// acknowledged is what the receiver has for certain.
    pub(crate) fn back(&self, ack: u32) -> u32 {
        self.back_or(ack, self.at)
    }

    /// The same where a block of selectively acknowledged bytes begins: inside of the new text it is the end of the old.
    pub(crate) fn back_from(&self, edge: u32) -> u32 {
        self.back_or(edge, self.end())
    }

    fn back_or(&self, number: u32, inside: u32) -> u32 {
        let behind = signed(number, self.at.wrapping_add_signed(self.before));
        if behind <= 0 {
            number.wrapping_add_signed(self.before.wrapping_neg())
        } else if behind < self.text.as_bytes().len() as i32 {
            inside
        } else {
            number.wrapping_add_signed(self.after().wrapping_neg())
        }
    }

    /// What is to be replaced in a segment of `len` bytes that begins at `seq`, because it was when these bytes were sent first.
    pub(crate) fn again(&self, seq: u32, len: usize) -> Option<Replacement> {
        let start = signed(self.at, seq);
        let end = i64::from(start) + i64::from(self.old_len);
        let range = start.max(0) as usize..(end.max(0) as usize).min(len);
        // The new text goes with the first byte of the old one; the rest of that, alone in a segment, becomes nothing.
        let text = if start >= 0 { self.text } else { Text::EMPTY };
        (range.start < range.end).then_some(Replacement { range, text })
    }

    /// Whether a segment that begins at `seq` is behind what was replaced last: only there text may be replaced anew.
    pub(crate) fn is_news(&self, seq: u32) -> bool {
        self.is_plain() || signed(seq, self.end()) >= 0
    }

    /// Notes that in a segment which begins at `seq` a text is replaced. It must be behind what was replaced before.
    pub(crate) fn replace(&mut self, seq: u32, new: &Replacement) {
        debug_assert!(self.is_news(seq) && !new.range.is_empty());
        *self = Self {
            at: seq.wrapping_add(new.range.start as u32),
            old_len: new.range.len() as u16,
            text: new.text,
            before: if self.is_plain() { 0 } else { self.after() },
            unseen: 0,
        };
    }

    /// Number of the first byte behind what was replaced last, as its sender counts.
    fn end(&self) -> u32 {
        self.at.wrapping_add(u32::from(self.old_len))
    }
}

/// How far `number` is behind `from`; negative if it is before it (RFC 9293, 3.4).
fn signed(number: u32, from: u32) -> i32 {
    number.wrapping_sub(from) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;
    use proptest::prelude::*;

    #[test]
    fn a_director_that_takes_over_shifts_as_the_one_before() {
        let mut text = Text::EMPTY;
        text.write_str("192,0,2,100,200,13").unwrap();
        let mut first = Sequence::default();
        first.replace(5001, &Replacement { range: 27..42, text });
        first.replace(6000, &Replacement { range: 0..20, text });
        let second = Sequence::shifted(first.shift());
        assert!(!second.is_plain() && Sequence::shifted(Sequence::default().shift()).is_plain());
        for seq in [4000, 5001, 6000, 6020, 7000] {
            assert_eq!(second.forth(seq), first.forth(seq), "{seq}");
            assert_eq!(second.back(first.forth(seq)), seq, "{seq}");
        }
        assert_eq!(second.again(6000, 20), None, "what was replaced is not known");
        assert!(second.is_news(6020));
    }

    fn text(text: &str) -> Text {
        let mut made = Text::EMPTY;
        made.write_str(text).expect("short enough");
        made
    }

    fn replaced(seq: u32, range: Range<usize>, with: &str) -> Sequence {
        let mut sequence = Sequence::default();
        sequence.replace(seq, &Replacement { range, text: text(with) });
        sequence
    }

    #[test]
    fn numbers_of_the_recorded_227() {
        // Trace ftp_passive_v4: 46 bytes at 5012 become 48.
        let sequence = replaced(5012, 27..43, "192,0,2,100,200,13");
        for (name, seq, want) in [
            ("the reply itself", 5012, 5012),
            ("up to the text", 5039, 5039),
            ("inside", 5040, 5057),
            ("behind it", 5055, 5057),
            ("next reply", 5058, 5060),
            ("last", 5100, 5102),
        ] {
            assert_eq!(sequence.forth(seq), want, "{name}");
        }
        for (name, ack, want) in [
            ("before", 5012, 5012),
            ("up to the text", 5039, 5039),
            ("inside", 5050, 5039),
            ("all of it", 5060, 5058),
            ("later", 5102, 5100),
        ] {
            assert_eq!(sequence.back(ack), want, "{name}");
        }
        assert_eq!((sequence.back_from(5050), sequence.back_from(5102)), (5055, 5100));
    }

    #[test]
    fn a_segment_sent_again_is_replaced_again_however_it_is_cut() {
        let sequence = replaced(u32::MAX - 3, 2..6, "abcdefg");
        let whole = text("abcdefg");
        for (name, seq, len, want) in [
            ("the same", u32::MAX - 3, 10, Some((2..6, whole))),
            ("more before", u32::MAX - 9, 20, Some((8..12, whole))),
            ("cut in it", u32::MAX - 3, 4, Some((2..4, whole))),
            ("the rest of it", 0, 6, Some((0..2, Text::EMPTY))),
            ("only before it", u32::MAX - 3, 2, None),
            ("only behind it", 2, 8, None),
            ("nothing", u32::MAX - 1, 0, None),
        ] {
            let want = want.map(|(range, text)| Replacement { range, text });
            assert_eq!(sequence.again(seq, len), want, "{name}");
        }
    }

    #[test]
    fn nothing_replaced_changes_nothing() {
        let plain = Sequence::default();
        for number in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            assert_eq!(
                (plain.forth(number), plain.back(number), plain.back_from(number)),
                (number, number, number)
            );
            assert!(plain.is_news(number) && plain.again(number, 100).is_none());
        }
    }

    #[test]
    fn text_has_a_limit() {
        let mut long = Text::EMPTY;
        assert!(long.write_str(&"x".repeat(TEXT_MAX)).is_ok());
        assert!(long.write_str("y").is_err());
        assert_eq!(long.as_bytes().len(), TEXT_MAX);
    }

    /// A sender's stream with places where text is replaced: (bytes before, old text, new text).
    fn places() -> impl Strategy<Value = Vec<(String, String, String)>> {
        prop::collection::vec(("[a-z]{1,30}", "[0-9]{1,20}", "[A-Z]{0,40}"), 1..5)
    }

    /// Puts segments together as a receiver does.
    struct Receiver {
        first: u32,
        got: Vec<Option<u8>>,
    }

    impl Receiver {
        fn take(&mut self, seq: u32, data: &[u8]) {
            let at = signed(seq, self.first);
            assert!(at >= 0, "before the beginning");
            for (place, byte) in (at as usize..).zip(data) {
                if self.got.len() <= place {
                    self.got.resize(place + 1, None);
                }
                assert!(self.got[place].is_none_or(|had| had == *byte), "two bytes for one place");
                self.got[place] = Some(*byte);
            }
        }
    }

    fn rewritten(segment: &[u8], what: Option<&Replacement>) -> Vec<u8> {
        let Some(Replacement { range, text }) = what else { return segment.to_vec() };
        [&segment[..range.start], text.as_bytes(), &segment[range.end..]].concat()
    }

    proptest! {
        /// Each text arrives whole in a segment of its own cut; then what was sent since the last one is sent again, cut anyhow.
        #[test]
        fn the_receiver_gets_the_new_stream(
            first: u32, places in places(), cuts in prop::collection::vec(0usize..60, 0..20),
        ) {
            let mut sequence = Sequence::default();
            let mut receiver = Receiver { first, got: Vec::new() };
            let (mut sent, mut want) = (Vec::new(), Vec::new());
            for (before, old, new) in &places {
                let seq = first.wrapping_add(sent.len() as u32);
                let segment = [before.as_bytes(), old.as_bytes(), b".\r\n"].concat();
                let range = before.len()..before.len() + old.len();
                let replacement = Replacement { range, text: text(new) };
                prop_assert!(sequence.is_news(seq) && sequence.again(seq, segment.len()).is_none());
                let to = sequence.forth(seq);
                sequence.replace(seq, &replacement);
                prop_assert_eq!(sequence.forth(seq), to, "replacing moves nothing before it");
                receiver.take(to, &rewritten(&segment, Some(&replacement)));
                sent.extend(&segment);
                want.extend([before.as_bytes(), new.as_bytes(), b".\r\n"].concat());
                let end = first.wrapping_add(want.len() as u32);
                prop_assert_eq!(sequence.back(end), first.wrapping_add(sent.len() as u32));

                let (mut from, segment_start) = (sent.len() - segment.len(), sent.len() - segment.len());
                for cut in &cuts {
                    let until = (from + cut).min(sent.len());
                    let seq = first.wrapping_add(from as u32);
                    let what = sequence.again(seq, until - from);
                    receiver.take(sequence.forth(seq), &rewritten(&sent[from..until], what.as_ref()));
                    from = if until == sent.len() { segment_start } else { until };
                }
            }
            let got: Vec<u8> = receiver.got.into_iter().map(|byte| byte.expect("no hole")).collect();
            prop_assert_eq!(got, want);
        }

        /// What the receiver acknowledges is never more than what it has, and there and back is the same outside the text.
        #[test]
        fn acknowledgements_say_what_the_receiver_has(
            at: u32, old in 1usize..40, new in "[A-Z]{0,40}", before in -1000i32..1000, off in -3000i32..3000,
        ) {
            let mut sequence = replaced(at, 0..old, &new);
            sequence.before = before;
            let number = at.wrapping_add_signed(off);
            let inside = off > 0 && off < old as i32;
            let there = sequence.forth(number);
            if !inside {
                prop_assert_eq!(sequence.back(there), number);
                prop_assert_eq!(sequence.back_from(there), number);
            }
            let acknowledged = sequence.back(number);
            prop_assert!(signed(sequence.forth(acknowledged), number) <= 0);
            prop_assert!(signed(sequence.forth(sequence.back_from(number)), number) >= 0);
        }
    }
}
