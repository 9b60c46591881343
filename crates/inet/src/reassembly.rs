//! Gathering the fragments of a datagram, so that the director sees it whole: IPv4 (RFC 791 section 3.2, RFC 815) and
//! IPv6 (RFC 8200 section 4.5).
//!
//! Fragments are held in their own buffers until the last gap closes; then the datagram becomes one packet, in the
//! first fragment's buffer if that has room, else in a large one that the caller gives. All later stages treat it as
//! any packet; only where it leaves it is cut again, by [`refragment`] with the [`Cuts`] that came with it.
//! (Forwarding the fragments themselves, re-headed, would not do: Linux emits other sizes than it got, tunnels shift
//! all boundaries, and checksums, SIP and FTP need the bytes in one piece.)
//!
//! Rules, those of Linux 6.1 unless said:
//! * A fragment whose bytes are all there, among fragments that came in order, is a duplicate: it is dropped, the
//!   datagram goes on. Any other overlap costs the whole datagram (RFC 5722, and for IPv4 alike).
//! * A fragment that no datagram can have is dropped ([`DropReason::FragmentInvalid`]): without data, behind 65,535
//!   bytes, behind the end, with another end, IPv6 without its upper-layer header. Of IPv4 it costs the datagram as
//!   well.
//! * IPv6 that is misaligned is not gathered but goes its way as it is, and costs the datagram that it says it is of.
//! * An atomic fragment (RFC 6946) is no fragment here, and touches none that are held.
//! * Values of the ECN bits that contradict each other cost the datagram (RFC 3168 section 5.3).
//! * An IPv4 datagram waits 30 s for its last fragment, one of IPv6 60 s, from its first to arrive on.
//!
//! Bounds: datagrams, fragments, fragments of one datagram, and fragments of one sender (an IPv4 address, an IPv6
//! /64), so that one that floods gets no more than its share. When all room is taken by many senders, the datagram
//! that waits longest makes room (Linux refuses the new one): fragments of one datagram arrive within milliseconds, so
//! under a flood from forged sources what still waits is not likely to be completed, and what arrives is.
//!
//! A gathered datagram is at most as long as one buffer ([`DropReason::DatagramTooLong`]). The buffer of a whole never
//! leaves: what goes out are copies, so that a few large buffers are enough, however long drivers keep what they send.
//!
//! `crates/pipeline/src/gather.rs` tells which fragments come here, on which worker, and what becomes of the whole.

mod atomic;
mod cut;
mod join;
mod piece;
mod table;
#[cfg(test)]
mod tests;

use wire::{Fragment, PacketBuf, PacketInfo};

pub use atomic::{may_be_atomic, take_header_off};
pub use cut::{Cuts, Leaving, Sizes, refragment};
pub use piece::FragmentKey;

use crate::drop::DropReason;
use crate::iface::IfaceId;
use piece::{Misfit, Piece};
use table::{DatagramId, Fit, Table};

/// How long an IPv4 datagram waits (Linux: `ipfrag_time`).
pub const TIMEOUT_V4_MS: u64 = 30_000;
/// How long an IPv6 datagram waits (RFC 8200 section 4.5).
pub const TIMEOUT_V6_MS: u64 = 60_000;

/// How much one worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReassemblyLimits {
    /// Datagrams at a time; at least 1.
    pub datagrams: usize,
    /// Fragments at a time, each with its buffer; at least one more than `fragments_per_datagram`.
    pub fragments: usize,
    /// Fragments of one datagram; at least 2.
    pub fragments_per_datagram: u16,
    /// Fragments of one sender; at least `fragments_per_datagram`.
    pub fragments_per_sender: u16,
}

impl Default for ReassemblyLimits {
    /// For one datagram: 64 KiB in the fragments of a path MTU of 576 bytes.
    fn default() -> Self {
        Self { datagrams: 1024, fragments: 1024, fragments_per_datagram: 128, fragments_per_sender: 256 }
    }
}

/// A datagram, put together.
#[derive(Debug)]
pub struct Joined<B> {
    /// The whole packet, without a fragment header.
    pub packet: B,
    /// Where its parts lie, and how large its largest fragment was.
    pub info: PacketInfo,
    /// How it was cut.
    pub cuts: Cuts,
}

/// What became of a packet.
#[derive(Debug)]
pub enum Accepted<B> {
    /// It is no fragment, or none that can be gathered: here it is.
    AsItIs(B),
    /// It waits for others.
    Held,
    /// It was the last; the datagram's other buffers were released.
    Done(Joined<B>),
    /// It, and perhaps what waited for it, was released as dropped for this reason.
    Refused(DropReason),
}

/// A buffer that is no longer needed, and why.
#[derive(Debug)]
pub enum Released<B> {
    /// Its bytes went into a joined packet.
    Merged(B),
    /// A failure.
    Dropped(B, DropReason),
    /// It waited in vain: [`DropReason::FragmentTimeout`].
    TimedOut {
        /// The fragment.
        packet: B,
        /// Where the last of its datagram's fragments had come from.
        iface: IfaceId,
        /// Whether its sender is to be told, with ICMP "fragment reassembly time exceeded" (RFC 792, RFC 4443 section
        /// 3.3): it is the first fragment of its datagram.
        time_exceeded: bool,
    },
}

/// What becomes of a fragment that has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    AsItIs,
    Drop(DropReason),
}

/// The fragments that wait at one worker.
#[derive(Debug)]
pub struct Reassembly<B> {
    table: Table<B>,
    limits: ReassemblyLimits,
}

impl<B: PacketBuf> Reassembly<B> {
    /// Takes all room that it will ever need. `seed` keys its hashes; limits below their least are raised.
    pub fn new(limits: ReassemblyLimits, seed: u64) -> Self {
        let fragments_per_datagram = limits.fragments_per_datagram.max(2);
        let limits = ReassemblyLimits {
            datagrams: limits.datagrams.max(1),
            fragments: limits.fragments.max(usize::from(fragments_per_datagram) + 1),
            fragments_per_datagram,
            fragments_per_sender: limits.fragments_per_sender.max(fragments_per_datagram),
        };
        Self { table: Table::new(limits.datagrams, limits.fragments, seed), limits }
    }

    /// Takes a packet from an interface with its `info`, fragment or not. `now_ms` never goes back. `alloc` is asked for one
    /// empty buffer, with room for the largest datagram, if the datagram does not fit the first fragment's.
    pub fn accept(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        packet: B,
        info: &PacketInfo,
        alloc: impl FnOnce() -> Option<B>,
        mut release: impl FnMut(Released<B>),
    ) -> Accepted<B> {
        if info.fragment == Fragment::No {
            return Accepted::AsItIs(packet);
        }
        let placed = match FragmentKey::of(packet.bytes(), info) {
            Some(key) => self.place(now_ms, key, packet, info, &mut release),
            None => Err((packet, Outcome::Drop(DropReason::FragmentInvalid))),
        };
        let id = match placed {
            Ok(id) => id,
            Err((packet, Outcome::AsItIs)) => return Accepted::AsItIs(packet),
            Err((packet, Outcome::Drop(reason))) => {
                release(Released::Dropped(packet, reason));
                return Accepted::Refused(reason);
            }
        };
        self.table.came_from(id, iface);
        if !self.table.get(id).is_whole() {
            return Accepted::Held;
        }
        match join::join(&mut self.table, id, alloc, &mut release) {
            Ok(joined) => {
                self.table.close(id);
                Accepted::Done(joined)
            }
            Err(reason) => {
                self.discard(id, reason, &mut release);
                Accepted::Refused(reason)
            }
        }
    }

    /// Releases what has waited too long, of at most `budget` datagrams. Returns of how many.
    pub fn poll(&mut self, now_ms: u64, budget: usize, mut release: impl FnMut(Released<B>)) -> usize {
        for done in 0..budget {
            let Some(id) = self.table.oldest(None).filter(|&id| self.table.get(id).due_ms <= now_ms) else {
                return done;
            };
            let iface = self.table.get(id).iface;
            while let Some(held) = self.table.pop_first(id) {
                let time_exceeded = held.piece.start == 0;
                release(Released::TimedOut { packet: held.packet, iface, time_exceeded });
            }
            self.table.close(id);
        }
        budget
    }

    /// When [`Reassembly::poll`] next has something to do.
    pub fn next_ms(&self) -> Option<u64> {
        self.table.oldest(None).map(|id| self.table.get(id).due_ms)
    }

    /// Releases everything, dropped for `reason`.
    pub fn clear(&mut self, reason: DropReason, mut release: impl FnMut(Released<B>)) {
        while let Some(id) = self.table.oldest(None) {
            self.discard(id, reason, &mut release);
        }
    }

    /// Fragments held, each one a buffer.
    pub fn fragments(&self) -> usize {
        self.table.fragments()
    }

    /// Datagrams that wait.
    pub fn datagrams(&self) -> usize {
        self.table.len()
    }

    /// Puts a fragment to its datagram. The packet comes back if there is no place for it.
    fn place(
        &mut self,
        now_ms: u64,
        key: FragmentKey,
        packet: B,
        info: &PacketInfo,
        release: &mut impl FnMut(Released<B>),
    ) -> Result<DatagramId, (B, Outcome)> {
        let found = self.table.find(&key);
        let piece = match Piece::read(packet.bytes(), info) {
            Ok(piece) => piece,
            Err(Misfit::Impossible) => return Err((packet, self.invalid(&key, found, release))),
            Err(Misfit::Misaligned) => {
                self.give_up(found, DropReason::FragmentInvalid, release);
                return Err((packet, Outcome::AsItIs));
            }
        };
        let behind = match found.map_or(Fit::FIRST, |id| self.table.fit(id, &piece)) {
            Fit::New(behind) => behind,
            Fit::Duplicate => return Err((packet, Outcome::Drop(DropReason::FragmentDuplicate))),
            Fit::Overlap => return Err((packet, self.give_up(found, DropReason::FragmentOverlap, release))),
            Fit::Contradiction => return Err((packet, self.invalid(&key, found, release))),
        };
        if found.is_some_and(|id| self.table.get(id).count >= self.limits.fragments_per_datagram) {
            return Err((packet, self.give_up(found, DropReason::FragmentTableFull, release)));
        }
        if self.table.share_of(&key) >= self.limits.fragments_per_sender {
            return Err((packet, Outcome::Drop(DropReason::FragmentTableFull)));
        }
        self.make_room(found, release);
        let timeout_ms = if key.src.is_ipv4() { TIMEOUT_V4_MS } else { TIMEOUT_V6_MS };
        let id = found.unwrap_or_else(|| self.table.open(key, now_ms.saturating_add(timeout_ms)));
        self.table.insert(id, behind, piece, packet);
        Ok(id)
    }

    /// Makes room for one more fragment, and for its datagram if that is new: the one that waits longest goes. A
    /// datagram can never hold all the room there is, so there is another.
    fn make_room(&mut self, of: Option<DatagramId>, release: &mut impl FnMut(Released<B>)) {
        let fits = self.table.has_room_for_fragment() && (of.is_some() || self.table.has_room_for_datagram());
        if !fits && let Some(id) = self.table.oldest(of) {
            self.discard(id, DropReason::FragmentTableFull, release);
        }
    }

    /// Refuses a fragment that no datagram can have: of IPv4 it costs the one it says it is of.
    fn invalid(
        &mut self,
        key: &FragmentKey,
        id: Option<DatagramId>,
        release: &mut impl FnMut(Released<B>),
    ) -> Outcome {
        self.give_up(id.filter(|_| key.src.is_ipv4()), DropReason::FragmentInvalid, release)
    }

    /// Gives up the datagram that a refused fragment is of, if any is held of it.
    fn give_up(
        &mut self,
        id: Option<DatagramId>,
        reason: DropReason,
        release: &mut impl FnMut(Released<B>),
    ) -> Outcome {
        if let Some(id) = id {
            self.discard(id, reason, release);
        }
        Outcome::Drop(reason)
    }

    /// Drops all fragments of a datagram.
    fn discard(&mut self, id: DatagramId, reason: DropReason, release: &mut impl FnMut(Released<B>)) {
        while let Some(held) = self.table.pop_first(id) {
            release(Released::Dropped(held.packet, reason));
        }
        self.table.close(id);
    }
}
