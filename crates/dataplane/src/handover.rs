//! What a packet on a ring carries with it: one word in the mbuf that says what the receiver is to do.
//!
//! Invariant: every packet that enters a ring was given its word by [`Handover::mark`], on the same thread, just before.

use inet::{IfaceId, PortIndex};

/// Why a packet was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It arrived on this interface, and the receiver owns its flow.
    Flow(IfaceId),
    /// It is a complete frame for this port, on which only the receiver has a transmit queue.
    Transmit(PortIndex),
}

const TRANSMIT: u32 = 1 << 31;

impl Handover {
    /// The word.
    pub(crate) fn mark(self) -> u32 {
        match self {
            Handover::Flow(iface) => u32::from(iface.0),
            Handover::Transmit(port) => TRANSMIT | u32::from(port.0),
        }
    }

    /// What a word says.
    pub(crate) fn from_mark(word: u32) -> Self {
        let index = (word & 0xffff) as u16;
        if word & TRANSMIT == 0 {
            Handover::Flow(IfaceId(index))
        } else {
            Handover::Transmit(PortIndex(index))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_marked() {
        for way in
            [Handover::Flow(IfaceId(0)), Handover::Flow(IfaceId(65535)), Handover::Transmit(PortIndex(7))]
        {
            assert_eq!(Handover::from_mark(way.mark()), way);
        }
    }
}
