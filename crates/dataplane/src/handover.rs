//! What a packet on a ring carries with it: one word in the mbuf that says what the receiver is to do.
//!
//! Invariant: every packet that enters a ring was given its word by [`Handover::mark`], on the same thread, just before.

use inet::reassembly::Cuts;
use inet::{IfaceId, PortIndex};
use pipeline::Steered;
use wire::{NoRoom, PacketBuf};

/// Why a packet was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// It arrived on this interface, and the receiver owns its flow, or gathers its datagram.
    Steered(IfaceId, Steered),
    /// It is a complete frame for this port, on which only the receiver has a transmit queue.
    Transmit(PortIndex),
}

const TRANSMIT: u32 = 1 << 31;
const FRAGMENT: u32 = 1 << 30;
const GATHERED: u32 = 1 << 29;
const FROM_HOST: u32 = 1 << 28;

impl Handover {
    /// The word. How a gathered datagram was cut does not fit: it goes in front of the packet.
    pub(crate) fn mark<B: PacketBuf>(self, packet: &mut B) -> Result<u32, NoRoom> {
        Ok(match self {
            Handover::Steered(iface, Steered::Flow) => u32::from(iface.0),
            Handover::Steered(iface, Steered::FromHost) => FROM_HOST | u32::from(iface.0),
            Handover::Steered(iface, Steered::Fragment) => FRAGMENT | u32::from(iface.0),
            Handover::Steered(iface, Steered::Gathered(cuts)) => {
                packet.prepend(Cuts::BYTES)?;
                packet.bytes_mut()[..Cuts::BYTES].copy_from_slice(&cuts.to_bytes());
                GATHERED | u32::from(iface.0)
            }
            Handover::Transmit(port) => TRANSMIT | u32::from(port.0),
        })
    }

    /// What a word says, and what is in front of its packet, which is taken off.
    pub(crate) fn read<B: PacketBuf>(word: u32, packet: &mut B) -> Self {
        let index = (word & 0xffff) as u16;
        match word & !0xffff {
            TRANSMIT => Handover::Transmit(PortIndex(index)),
            FROM_HOST => Handover::Steered(IfaceId(index), Steered::FromHost),
            FRAGMENT => Handover::Steered(IfaceId(index), Steered::Fragment),
            GATHERED => {
                let cuts = packet.bytes().first_chunk().map(Cuts::from_bytes).unwrap_or_default();
                packet.adj(Cuts::BYTES);
                Handover::Steered(IfaceId(index), Steered::Gathered(cuts))
            }
            _ => Handover::Steered(IfaceId(index), Steered::Flow),
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::VecBuf;

    use super::*;

    #[test]
    fn a_word_says_what_was_marked() {
        let mut bytes = [0; Cuts::BYTES];
        bytes[1] = 200;
        let cuts = Cuts::from_bytes(&bytes);
        for way in [
            Handover::Steered(IfaceId(0), Steered::Flow),
            Handover::Steered(IfaceId(65535), Steered::Flow),
            Handover::Steered(IfaceId(65535), Steered::FromHost),
            Handover::Steered(IfaceId(3), Steered::Fragment),
            Handover::Steered(IfaceId(4), Steered::Gathered(cuts)),
            Handover::Transmit(PortIndex(7)),
        ] {
            let mut packet = VecBuf::new(&[1, 2, 3]);
            let word = way.mark(&mut packet).expect("headroom");
            assert_eq!(Handover::read(word, &mut packet), way);
            assert_eq!(packet.bytes(), [1, 2, 3], "{way:?}");
        }
    }
}
