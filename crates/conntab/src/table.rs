//! The table: index, slab and wheel together.

use crate::bucket::{Bucket, Item};
use crate::hash::{EntryHashes, Hash, Hasher};
use crate::index::{Index, buckets_for};
use crate::key::Direction;
use crate::region::{LINE_BYTES, Region, array_bytes};
use crate::slab::{ConnId, Entry, Link, Peers, Slab, Slot, State};
use crate::wheel::{Chunk, Epoch, Head, TURN, Wheel, chunks_for};

/// Why a table could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A table holds at least one connection and at most 2³⁰.
    #[error("a connection table holds 1 to {max} connections, not {0}", max = Item::MAX_SLOTS)]
    Capacity(usize),
    /// The region is too small, or the process cannot have so much memory.
    #[error("the connection table needs {0} bytes of memory")]
    Memory(usize),
}

/// Why a connection was not inserted or rekeyed. The table is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// This connection has the same original key.
    #[error("a connection with this key exists")]
    Exists(ConnId),
    /// Every slot is taken.
    #[error("the connection table is full")]
    Full,
    /// Both buckets of a key are full and nothing in them can move. Not expected of a table that is filled no further
    /// than its capacity.
    #[error("the buckets of this connection's key are full")]
    BucketsFull,
}

/// Where a scan is. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(u32);

impl Cursor {
    /// The place with this number; a scan from beyond the last place finds nothing.
    pub fn at(place: usize) -> Cursor {
        Cursor(u32::try_from(place).unwrap_or(u32::MAX))
    }
}

/// Counters and gauges of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections in the table.
    pub len: usize,
    /// Index items moved to make room for another, since start.
    pub kicks: u64,
    /// Connections refused for want of a slot, since start.
    pub refused_full: u64,
    /// Connections refused for want of room in a bucket, since start.
    pub refused_buckets_full: u64,
    /// Slots never used again because their generations are used up.
    pub retired_slots: usize,
}

/// A connection table for entries of one family.
pub struct ConnTable<E> {
    pub(crate) index: Index,
    pub(crate) slab: Slab<E>,
    pub(crate) wheel: Wheel,
    /// What the ticks of the wheel and of the slots count from.
    pub(crate) epoch: Epoch,
    /// Some key was indexed in both directions since the table was last empty, so a look-up must ask for each.
    pub(crate) crossed: bool,
    refused_full: u64,
    pub(crate) refused_buckets_full: u64,
    memory_bytes: usize,
}

/// Slots that a table has ready at start, and keeps ready beyond those in use.
const READY: usize = 4096;
/// Slots that are made ready at a time: five to ten KiB of memory.
const GROW: usize = 64;

impl<E: Entry> ConnTable<E> {
    /// A table for `max_connections`, in memory of the process. `hash_key` is random, made at boot, and secret.
    pub fn with_capacity(max_connections: usize, hash_key: [u8; 32]) -> Result<ConnTable<E>, BuildError> {
        let bytes = Self::region_bytes(max_connections)?;
        let region = Region::allocate(bytes).ok_or(BuildError::Memory(bytes))?;
        Self::in_region(region, max_connections, hash_key)
    }

    /// A table for `max_connections` in a region of at least [`region_bytes`](Self::region_bytes).
    pub fn in_region(
        region: Region,
        max_connections: usize,
        hash_key: [u8; 32],
    ) -> Result<ConnTable<E>, BuildError> {
        Self::build(region, max_connections, buckets_for(max_connections), Hasher::new(&hash_key))
    }

    pub(crate) fn build(
        mut region: Region,
        max_connections: usize,
        buckets: usize,
        hasher: Hasher,
    ) -> Result<ConnTable<E>, BuildError> {
        let memory_bytes = Self::region_bytes(max_connections)?;
        let short = BuildError::Memory(memory_bytes);
        region.prefer_huge_pages(array_bytes::<Bucket>(buckets));
        let mut table = ConnTable {
            index: Index::new(&mut region, buckets, hasher).ok_or(short)?,
            slab: Slab::new(&mut region, max_connections).ok_or(short)?,
            wheel: Wheel::new(&mut region, max_connections).ok_or(short)?,
            epoch: Epoch::default(),
            crossed: false,
            refused_full: 0,
            refused_buckets_full: 0,
            memory_bytes,
        };
        table.grow(READY);
        Ok(table)
    }

    /// Makes some more slots ready if few are free. To be called once a turn, so that the first use of a piece of memory is
    /// here and not in the middle of a burst.
    #[inline]
    pub fn grow_ahead(&mut self) {
        if self.slab.free() < READY && self.slab.ready() < self.capacity() {
            self.grow(GROW);
        }
    }

    #[cold]
    fn grow(&mut self, slots: usize) {
        let ready = (self.slab.ready() + slots).min(self.capacity());
        self.slab.grow(ready);
        self.wheel.grow(ready);
    }

    /// The slot that the next connection gets.
    #[inline]
    fn next_free(&mut self) -> Option<u32> {
        if self.slab.free() == 0 && self.slab.ready() < self.capacity() {
            self.grow(GROW);
        }
        self.slab.next_free()
    }

    /// How much memory a table for `max_connections` takes, whatever the region's alignment.
    pub fn region_bytes(max_connections: usize) -> Result<usize, BuildError> {
        if !(1..=Item::MAX_SLOTS).contains(&max_connections) {
            return Err(BuildError::Capacity(max_connections));
        }
        Ok(LINE_BYTES
            + array_bytes::<Bucket>(buckets_for(max_connections))
            + array_bytes::<Slot<E>>(max_connections)
            + array_bytes::<Peers>(max_connections)
            + array_bytes::<u32>(max_connections) * 2
            + array_bytes::<Head>(TURN as usize)
            + array_bytes::<Chunk>(chunks_for(max_connections)))
    }

    /// The memory that a full table takes, all in: slots, both index items of each, timers, free list. It is set aside at
    /// start; but for the index it is touched only as connections need it.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Connections in the table.
    #[inline]
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    /// Connections that the table was made for. Also the bound of [`ConnId::index`].
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slab.capacity()
    }

    /// Counters and gauges.
    pub fn stats(&self) -> Stats {
        Stats {
            len: self.len(),
            kicks: self.index.kicks,
            refused_full: self.refused_full,
            refused_buckets_full: self.refused_buckets_full,
            retired_slots: self.slab.retired,
        }
    }

    /// The connection that a packet with this key belongs to, and the packet's direction. Where the key is one
    /// connection's reply and another's original the reply wins, as IPVS asks for replies first.
    #[inline]
    pub fn lookup(&self, key: &E::Key) -> Option<(ConnId, Direction)> {
        self.lookup_hashed(key, self.hash(key))
    }

    /// [`lookup`](Self::lookup) with the key's hash at hand.
    #[inline]
    pub fn lookup_hashed(&self, key: &E::Key, hash: Hash) -> Option<(ConnId, Direction)> {
        if self.crossed {
            let reply = self.find_in(key, hash, Direction::Reply);
            return reply.map(|at| (self.slab.id(at), Direction::Reply)).or_else(|| {
                Some((self.slab.id(self.find_in(key, hash, Direction::Original)?), Direction::Original))
            });
        }
        let item = self.index.find(hash, |item| self.slab.has_key(item, key))?;
        Some((self.slab.id(item.slot()), item.direction()))
    }

    /// The connection that has this key in this direction.
    #[inline]
    pub fn lookup_in(&self, key: &E::Key, direction: Direction) -> Option<ConnId> {
        self.find_in(key, self.hash(key), direction).map(|at| self.slab.id(at))
    }

    fn find_in(&self, key: &E::Key, hash: Hash, direction: Direction) -> Option<u32> {
        self.index
            .find(hash, |item| item.direction() == direction && self.slab.has_key(item, key))
            .map(Item::slot)
    }

    /// A connection, if it is still there.
    #[inline]
    pub fn get(&self, id: ConnId) -> Option<&E> {
        self.slab.live(id).map(|slot| &slot.entry)
    }

    /// A connection, to change anything but its keys: those change by [`rekey`](Self::rekey). A key that is changed
    /// here is lost to look-ups, and its index item with it.
    #[inline]
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut E> {
        self.slab.live_mut(id).map(|slot| &mut slot.entry)
    }

    /// Adds a connection that ends at `now_ms + timeout_ms` unless that is moved. A reply key that another connection
    /// has is accepted: the newest answers.
    #[inline]
    pub fn insert(&mut self, entry: E, now_ms: u64, timeout_ms: u64) -> Result<ConnId, InsertError> {
        let hashes = self.hash_entry(&entry);
        self.insert_hashed(entry, hashes, now_ms, timeout_ms)
    }

    /// [`insert`](Self::insert) with the hashes of the entry's keys at hand, as
    /// [`prefetch_insert`](Self::prefetch_insert) gives them.
    pub fn insert_hashed(
        &mut self,
        entry: E,
        hashes: EntryHashes,
        now_ms: u64,
        timeout_ms: u64,
    ) -> Result<ConnId, InsertError> {
        let Some(at) = self.next_free() else {
            // An existing connection is the more useful answer, and does not need the slot.
            let holder =
                entry.key(Direction::Original).and_then(|key| self.lookup_in(key, Direction::Original));
            self.refused_full += u64::from(holder.is_none());
            return Err(holder.map_or(InsertError::Full, InsertError::Exists));
        };
        if self.is_empty() {
            self.crossed = false;
            self.epoch = Epoch::starting(now_ms);
            self.wheel.restart();
        }
        let (state, holder) = self.place_entry(at, &entry, hashes)?;
        let expiry = self.epoch.tick_at(now_ms.saturating_add(timeout_ms));
        let armed = self.wheel.arm(at, expiry);
        let generation = self.slab.slot(at).link.generation;
        self.slab.occupy(at, entry, Link { expiry, generation, armed, state });
        if let Some(holder) = holder {
            self.join_peers(at, holder, hashes.of(Direction::Reply));
        }
        Ok(ConnId { index: at, generation })
    }

    /// Takes a connection out. `None` if it is gone already.
    pub fn remove(&mut self, id: ConnId) -> Option<E> {
        let at = self.slab.live_index(id)?;
        Some(self.remove_at(at))
    }

    pub(crate) fn remove_at(&mut self, at: u32) -> E {
        self.unplace_entry(at);
        self.wheel.disarm(at, self.slab.slot(at).link.armed);
        self.slab.release(at)
    }

    /// Shows the connections in the next `budget` slots to `visit`. `None` when all slots have been seen, else where to
    /// go on. What is inserted or removed between two calls may or may not be seen; what stays is seen once.
    pub fn scan(&self, from: Cursor, budget: usize, mut visit: impl FnMut(ConnId, &E)) -> Option<Cursor> {
        let (slots, next) = self.slice(from, budget);
        for at in slots {
            let slot = self.slab.slot(at);
            if slot.link.state.has(State::LIVE) {
                visit(self.slab.id(at), &slot.entry);
            }
        }
        next
    }

    /// Removes the connections in the next `budget` slots, showing each to `visit`. `None` when all slots have been
    /// emptied, else where to go on.
    pub fn clear(
        &mut self,
        from: Cursor,
        budget: usize,
        mut visit: impl FnMut(ConnId, &E),
    ) -> Option<Cursor> {
        let (slots, next) = self.slice(from, budget);
        for at in slots {
            if self.slab.slot(at).link.state.has(State::LIVE) {
                let id = self.slab.id(at);
                visit(id, &self.remove_at(at));
            }
        }
        next
    }

    /// The next `budget` slots, at least one, and what comes after them.
    fn slice(&self, Cursor(from): Cursor, budget: usize) -> (std::ops::Range<u32>, Option<Cursor>) {
        let end = (from as usize).saturating_add(budget.max(1)).min(self.capacity()) as u32;
        // The slots that are not ready yet are places all the same, and empty.
        let ready = self.slab.ready() as u32;
        (from.min(ready)..end.min(ready), ((end as usize) < self.capacity()).then_some(Cursor(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expire, Key4, Key6};
    use std::mem::MaybeUninit;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// As large as an entry of one line may be.
    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct Conn4 {
        keys: [Key4; 2],
        other: [u32; 5],
    }

    /// As large as an entry of two lines may be.
    #[derive(Clone, Copy, Default, Debug, PartialEq)]
    struct Conn6 {
        keys: [Key6; 2],
        other: [u32; 9],
    }

    impl Entry for Conn4 {
        type Key = Key4;

        fn key(&self, direction: Direction) -> Option<&Key4> {
            Some(&self.keys[direction as usize])
        }
    }

    impl Entry for Conn6 {
        type Key = Key6;

        fn key(&self, direction: Direction) -> Option<&Key6> {
            Some(&self.keys[direction as usize])
        }
    }

    fn conn4(at: u32) -> Conn4 {
        let (client, service) = (Ipv4Addr::from_bits(0x0a00_0000 + at), Ipv4Addr::new(192, 0, 2, 1));
        let keys = [Key4::new(client, service, 1, 80, 6), Key4::new(service, client, 8080, 1, 6)];
        Conn4 { keys, other: [at; 5] }
    }

    fn conn6(at: u32) -> Conn6 {
        let (client, service) = (Ipv6Addr::from_bits(1 << 126 | u128::from(at)), Ipv6Addr::LOCALHOST);
        let keys = [Key6::new(client, service, 1, 80, 6), Key6::new(service, client, 8080, 1, 6)];
        Conn6 { keys, other: [at; 9] }
    }

    #[test]
    fn a_connection_takes_no_more_memory_than_promised() {
        for capacity in [100_000, 1_000_000, 10_000_000, 100_000_000] {
            let v4 = ConnTable::<Conn4>::region_bytes(capacity).unwrap();
            assert!(v4 <= 104 * capacity, "IPv4: {} bytes a connection of {capacity}", v4 / capacity);
            let v6 = ConnTable::<Conn6>::region_bytes(capacity).unwrap();
            assert!(v6 <= 176 * capacity, "IPv6: {} bytes a connection of {capacity}", v6 / capacity);
        }
    }

    /// Fills a table to the brim, finds all, is refused more, empties it by expiry.
    fn fill_and_empty<E: Entry + PartialEq + std::fmt::Debug>(capacity: u32, conn: impl Fn(u32) -> E) {
        let mut table = ConnTable::<E>::with_capacity(capacity as usize, [9; 32]).unwrap();
        let ids: Vec<ConnId> = (0..capacity).map(|at| table.insert(conn(at), 0, 1000).unwrap()).collect();
        assert_eq!((table.len(), table.capacity()), (capacity as usize, capacity as usize));
        for at in 0..10 {
            assert_eq!(table.insert(conn(capacity + at), 0, 1), Err(InsertError::Full));
        }
        assert_eq!(table.insert(conn(0), 0, 1), Err(InsertError::Exists(ids[0])), "not for want of a slot");
        assert_eq!((table.stats().refused_full, table.stats().refused_buckets_full), (10, 0));
        for (at, &id) in ids.iter().enumerate() {
            let entry = conn(at as u32);
            assert_eq!(table.get(id), Some(&entry));
            for direction in Direction::BOTH {
                assert_eq!(table.lookup(entry.key(direction).unwrap()), Some((id, direction)));
            }
        }
        assert_eq!(table.expire(1500, usize::MAX, |_, _| Expire::Remove), capacity as usize);
        assert!(ids.iter().all(|&id| table.get(id).is_none()));
        assert!((0..capacity).all(|at| table.lookup(conn(at).key(Direction::Reply).unwrap()).is_none()));
        assert!(table.insert(conn(0), 2000, 1).is_ok(), "there is room again");
    }

    #[test]
    fn a_table_takes_what_it_was_made_for_in_both_families() {
        for capacity in [1, 2, 40, 1000, 50_000] {
            fill_and_empty(capacity, conn4);
            fill_and_empty(capacity, conn6);
        }
    }

    #[test]
    fn a_callers_region_serves_at_any_alignment_if_it_is_large_enough() {
        let bytes = ConnTable::<Conn6>::region_bytes(100).unwrap();
        for offset in [0, 1, 63] {
            let memory: &'static mut [MaybeUninit<u8>] =
                Box::leak(vec![MaybeUninit::uninit(); bytes + 63].into());
            let region = Region::from_static(&mut memory[offset..offset + bytes]);
            let mut table = ConnTable::in_region(region, 100, [1; 32]).unwrap();
            assert_eq!(table.memory_bytes(), bytes);
            let id = table.insert(conn6(1), 0, 1).unwrap();
            assert_eq!(table.get(id), Some(&conn6(1)));
        }
        let small = Region::from_static(Box::leak(vec![MaybeUninit::uninit(); bytes / 2].into()));
        let refused = ConnTable::<Conn6>::in_region(small, 100, [1; 32]);
        assert_eq!(refused.err(), Some(BuildError::Memory(bytes)));
    }

    #[test]
    fn capacities_that_no_table_has_are_refused() {
        for capacity in [0, (1 << 30) + 1, usize::MAX] {
            let refused = ConnTable::<Conn4>::with_capacity(capacity, [0; 32]);
            assert_eq!(refused.err(), Some(BuildError::Capacity(capacity)));
        }
    }

    #[test]
    fn a_table_grows_ahead_of_its_connections_and_has_all_its_places_from_the_start() {
        let capacity = 4 * READY;
        let mut table = ConnTable::<Conn4>::with_capacity(capacity, [3; 32]).unwrap();
        let seen = |table: &ConnTable<Conn4>| {
            let (mut seen, mut slices, mut from) = (0, 0, Some(Cursor::default()));
            while let Some(cursor) = from {
                from = table.scan(cursor, 100, |_, _| seen += 1);
                slices += 1;
            }
            assert_eq!(slices, capacity.div_ceil(100), "places that are not ready count as empty ones");
            assert_eq!(table.scan(Cursor::at(capacity - 1), 1, |_, _| {}), None);
            seen
        };
        assert_eq!((table.slab.ready(), seen(&table)), (READY, 0));
        for at in 0..capacity {
            table.insert(conn4(at as u32), 0, 1000).unwrap();
            table.grow_ahead();
            let (ready, used) = (table.slab.ready(), at + 1);
            assert!(
                ((used + READY).min(capacity)..used + READY + GROW).contains(&ready),
                "{ready} for {used}"
            );
            if at % 1000 == 0 {
                assert_eq!(seen(&table), at + 1);
            }
        }
        assert_eq!(table.expire(2000, usize::MAX, |_, _| Expire::Remove), capacity);
        table.grow_ahead();
        assert_eq!((table.slab.ready(), table.slab.free()), (capacity, capacity));
    }

    #[test]
    fn many_with_one_reply_key_fill_no_bucket() {
        let mut table = ConnTable::<Conn4>::with_capacity(2000, [2; 32]).unwrap();
        let shared = |at| Conn4 { keys: [conn4(at).keys[0], conn4(0).keys[1]], other: [at; 5] };
        let ids: Vec<ConnId> = (0..2000).map(|at| table.insert(shared(at), 0, 1).unwrap()).collect();
        assert_eq!(table.stats().refused_buckets_full, 0);
        for &id in ids.iter().rev() {
            assert_eq!(table.lookup(&conn4(0).keys[1]), Some((id, Direction::Reply)));
            table.remove(id);
        }
        assert_eq!(table.lookup(&conn4(0).keys[1]), None);
    }
}
