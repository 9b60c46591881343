//! The slab: every connection in a slot of its own, found by number, with a generation that tells one tenant of the
//! slot from the next.

use crate::bucket::Item;
use crate::prefetch::prefetch;
use crate::region::{Array, LINE_BYTES, Region};
use crate::{Direction, Key};

/// What a table stores: plain data that knows its own keys.
///
/// The table adds 12 bytes of its own and rounds up to cache lines, so an entry of up to 52 bytes (of alignment 4)
/// takes one line and one of up to 116 takes two. A key that the entry gives is indexed; one that it does not, is
/// not. The keys of a stored entry change only by [`ConnTable::rekey`](crate::ConnTable::rekey).
pub trait Entry: Copy + Default {
    /// The family's key.
    type Key: Key;

    /// The key that packets of `direction` carry, if they are to be found by it.
    fn key(&self, direction: Direction) -> Option<&Self::Key>;
}

/// A connection in a table. Once the connection is gone the id never answers again, whoever has the slot by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The slot: less than the table's capacity, for side tables.
    #[inline]
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// How many connections had the slot before.
    #[inline]
    pub fn generation(self) -> u32 {
        self.generation
    }

    /// As one word.
    #[inline]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// From [`to_bits`](Self::to_bits).
    #[inline]
    pub fn from_bits(bits: u64) -> ConnId {
        ConnId { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// What the table needs to know of a slot, beside the entry on the same line.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Link {
    /// The tick at which the connection ends, if nothing moves it.
    pub(crate) expiry: u32,
    pub(crate) generation: u32,
    /// The wheel slot that it is armed in.
    pub(crate) armed: u16,
    pub(crate) state: State,
}

/// Bits about a slot.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct State(u16);

impl State {
    pub(crate) const LIVE: State = State(1);
    /// Indexed by its original key.
    pub(crate) const ORIGINAL: State = State(2);
    /// Indexed by its reply key, or waiting behind a newer one that is.
    pub(crate) const REPLY: State = State(4);
    /// Shares its reply key with others: its neighbours are in the slab's `peers`.
    pub(crate) const SHARED: State = State(8);
    /// A newer connection has the same reply key and answers.
    pub(crate) const SHADOWED: State = State(16);

    #[inline(always)]
    pub(crate) fn indexed(direction: Direction) -> State {
        match direction {
            Direction::Original => State::ORIGINAL,
            Direction::Reply => State::REPLY,
        }
    }

    /// Whether a slot with these bits is what its key of `direction` finds.
    #[inline(always)]
    pub(crate) fn answers(self, direction: Direction) -> bool {
        let indexed = State::indexed(direction).0;
        let shadowed = State::SHADOWED.0 * direction as u16;
        self.0 & (indexed | shadowed) == indexed
    }

    #[inline(always)]
    pub(crate) fn has(self, bits: State) -> bool {
        self.0 & bits.0 == bits.0
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, bits: State) {
        self.0 |= bits.0;
    }

    #[inline(always)]
    pub(crate) fn clear(&mut self, bits: State) {
        self.0 &= !bits.0;
    }
}

/// One slot, in whole cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Slot<E> {
    pub(crate) entry: E,
    pub(crate) link: Link,
}

/// Neighbours among the connections with one reply key: a list from newest to oldest, the newest being indexed.
#[derive(Clone, Copy)]
pub(crate) struct Peers {
    pub(crate) newer: u32,
    pub(crate) older: u32,
}

impl Peers {
    pub(crate) fn is_alone(&self) -> bool {
        self.newer == NONE && self.older == NONE
    }
}

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

pub(crate) struct Slab<E> {
    slots: Array<Slot<E>>,
    pub(crate) peers: Array<Peers>,
    /// The numbers of the free slots, the next one to use last.
    free: Array<u32>,
    free_len: usize,
    capacity: usize,
    /// Slots whose generations are used up.
    pub(crate) retired: usize,
}

impl<E: Entry> Slab<E> {
    /// A slab that can grow to `capacity` slots and has none.
    pub(crate) fn new(region: &mut Region, capacity: usize) -> Option<Slab<E>> {
        let slots = region.set_aside(capacity)?;
        let peers = region.set_aside(capacity)?;
        let free = region.set_aside(capacity)?;
        Some(Slab { slots, peers, free, free_len: 0, capacity, retired: 0 })
    }

    /// Grows to `ready` slots; the new ones are free, and the lowest of them is the next to use.
    pub(crate) fn grow(&mut self, ready: usize) {
        let before = self.ready();
        self.slots.grow(ready, Slot { entry: E::default(), link: Link::default() });
        self.peers.grow(ready, Peers { newer: NONE, older: NONE });
        self.free.grow(ready, NONE);
        for at in (before..self.ready()).rev() {
            self.free[self.free_len] = at as u32;
            self.free_len += 1;
        }
    }

    /// Slots there can be.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Slots there are, in use or free.
    #[inline(always)]
    pub(crate) fn ready(&self) -> usize {
        self.slots.len()
    }

    /// Slots that are ready for a connection.
    #[inline(always)]
    pub(crate) fn free(&self) -> usize {
        self.free_len
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free_len - self.retired
    }

    #[inline(always)]
    pub(crate) fn slot(&self, at: u32) -> &Slot<E> {
        &self.slots[at as usize]
    }

    #[inline(always)]
    pub(crate) fn slot_mut(&mut self, at: u32) -> &mut Slot<E> {
        &mut self.slots[at as usize]
    }

    /// The slot of a connection that is still there.
    #[inline(always)]
    pub(crate) fn live(&self, id: ConnId) -> Option<&Slot<E>> {
        self.slots
            .get(id.index as usize)
            .filter(|slot| slot.link.generation == id.generation && slot.link.state.has(State::LIVE))
    }

    /// The number of a slot whose connection is still there.
    #[inline]
    pub(crate) fn live_index(&self, id: ConnId) -> Option<u32> {
        self.live(id).map(|_| id.index)
    }

    #[inline(always)]
    pub(crate) fn live_mut(&mut self, id: ConnId) -> Option<&mut Slot<E>> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.link.generation == id.generation && slot.link.state.has(State::LIVE))
    }

    #[inline(always)]
    pub(crate) fn id(&self, at: u32) -> ConnId {
        ConnId { index: at, generation: self.slot(at).link.generation }
    }

    /// Whether the entry in the item's slot has `key` in the item's direction.
    #[inline(always)]
    pub(crate) fn has_key(&self, item: Item, key: &E::Key) -> bool {
        self.slot(item.slot()).entry.key(item.direction()) == Some(key)
    }

    /// The slot that the next connection gets.
    #[inline]
    pub(crate) fn next_free(&self) -> Option<u32> {
        self.free_len.checked_sub(1).map(|at| self.free[at])
    }

    /// Takes the slot that `next_free` named.
    #[inline(always)]
    pub(crate) fn occupy(&mut self, at: u32, entry: E, link: Link) {
        debug_assert_eq!(self.next_free(), Some(at));
        self.free_len -= 1;
        *self.slot_mut(at) = Slot { entry, link };
    }

    /// Empties a slot. One whose generation would repeat is never used again.
    pub(crate) fn release(&mut self, at: u32) -> E {
        let slot = &mut self.slots[at as usize];
        let entry = std::mem::take(&mut slot.entry);
        slot.link.state = State::default();
        match slot.link.generation.checked_add(1) {
            Some(generation) => {
                slot.link.generation = generation;
                self.free[self.free_len] = at;
                self.free_len += 1;
            }
            None => self.retired += 1,
        }
        entry
    }

    /// Prefetches the lines of a slot; of one longer than two the first and the last.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: u32) {
        if let Some(slot) = self.slots.get(at as usize) {
            prefetch(slot);
            if size_of::<Slot<E>>() > LINE_BYTES {
                prefetch(&slot.link);
            }
        }
    }

    /// The slot that the next connection gets after `ahead` others.
    #[inline(always)]
    pub(crate) fn upcoming_free(&self, ahead: usize) -> Option<u32> {
        self.free_len.checked_sub(ahead + 1).and_then(|at| self.free.get(at).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key4;

    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct Number(u32);

    impl Entry for Number {
        type Key = Key4;

        fn key(&self, _: Direction) -> Option<&Key4> {
            None
        }
    }

    fn slab(capacity: usize) -> Slab<Number> {
        let mut slab = Slab::new(&mut Region::allocate(1 << 16).unwrap(), capacity).unwrap();
        slab.grow(capacity);
        slab
    }

    #[test]
    fn a_slab_that_grows_keeps_what_it_has_and_uses_the_new_slots_from_the_lowest() {
        let mut slab = Slab::new(&mut Region::allocate(1 << 16).unwrap(), 5).unwrap();
        assert_eq!((slab.next_free(), slab.ready(), slab.capacity()), (None, 0, 5));
        slab.grow(2);
        let ids: Vec<_> = (0..2).map(|number| take(&mut slab, number).unwrap()).collect();
        assert_eq!((take(&mut slab, 9), slab.len()), (None, 2));
        slab.grow(4);
        assert_eq!((slab.len(), slab.free(), slab.ready()), (2, 2, 4));
        assert_eq!(take(&mut slab, 2).unwrap().index(), 2);
        slab.grow(usize::MAX);
        assert_eq!((slab.free(), slab.ready()), (2, 5));
        assert!(ids.iter().zip(0..).all(|(&id, number)| slab.live(id).unwrap().entry == Number(number)));
    }

    fn take(slab: &mut Slab<Number>, number: u32) -> Option<ConnId> {
        let at = slab.next_free()?;
        let generation = slab.slot(at).link.generation;
        slab.occupy(at, Number(number), Link { generation, state: State::LIVE, ..Link::default() });
        Some(slab.id(at))
    }

    #[test]
    fn an_id_of_an_earlier_tenant_never_answers() {
        let mut slab = slab(1);
        let first = take(&mut slab, 1).unwrap();
        assert_eq!(take(&mut slab, 2), None, "full");
        assert_eq!(slab.release(first.index), Number(1));
        assert!(slab.live(first).is_none(), "a free slot");
        let second = take(&mut slab, 2).unwrap();
        assert_eq!(second.index(), first.index());
        assert!(slab.live(first).is_none() && slab.live_mut(first).is_none(), "another tenant");
        assert_eq!(slab.live(second).unwrap().entry, Number(2));
        assert!(slab.live(ConnId { index: 1, generation: 0 }).is_none(), "beyond the slab");
        assert_eq!(ConnId::from_bits(second.to_bits()), second);
    }

    #[test]
    fn a_slot_whose_generations_are_used_up_retires() {
        let mut slab = slab(2);
        let id = take(&mut slab, 1).unwrap();
        slab.slot_mut(id.index).link.generation = u32::MAX;
        let last = slab.id(id.index);
        slab.release(id.index);
        assert_eq!((slab.retired, slab.len()), (1, 0));
        assert!(slab.live(last).is_none());
        let other = take(&mut slab, 2).unwrap();
        assert_ne!(other.index, id.index);
        assert_eq!(take(&mut slab, 3), None, "the retired slot is not used again");
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn an_entry_of_52_bytes_takes_one_line_and_of_116_two() {
        assert_eq!(
            (size_of::<Link>(), size_of::<Slot<[u32; 13]>>(), size_of::<Slot<[u32; 29]>>()),
            (12, 64, 128)
        );
    }
}
