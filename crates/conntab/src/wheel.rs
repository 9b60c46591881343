//! The expiry wheel: which connections to look at in which tick.
//!
//! Each wheel slot is a list of chunks, one cache line each, of connection slots. A connection is in exactly one place,
//! which `home` knows, so it can be taken out at once by moving the last of its wheel slot into its place: nothing
//! stale is left behind, and the pool of chunks, sized for a full table, cannot run out. The wheel says when to *look*;
//! whether the connection ends then is for the table to decide by the expiry in its slot, which is how lengthening
//! costs nothing here. What lies beyond the wheel's turn is armed at its end and looked at again.

use crate::prefetch::prefetch;
use crate::region::{Array, Region};
use crate::slab::NONE;

/// The length of a tick: expiries are rounded up to one.
pub const TICK_MS: u64 = 1 << TICK_SHIFT;
const TICK_SHIFT: u32 = 7;

/// Wheel slots, one a tick: a turn takes about nine minutes.
pub(crate) const TURN: u32 = 4096;
const MASK: u32 = TURN - 1;
const CHUNK: usize = 15;
/// The last tick of all, so far off (17 years) that sums with a turn do not overflow.
const LAST_TICK: u32 = u32::MAX - 2 * TURN;

/// The tick that `now_ms` is in.
#[inline(always)]
pub(crate) fn tick_now(now_ms: u64) -> u32 {
    (now_ms >> TICK_SHIFT).min(u64::from(LAST_TICK)) as u32
}

/// The first tick that is not before `at_ms`.
#[inline(always)]
pub(crate) fn tick_at(at_ms: u64) -> u32 {
    tick_now(at_ms.saturating_add(TICK_MS - 1))
}

/// When a tick begins.
pub(crate) fn tick_ms(tick: u32) -> u64 {
    u64::from(tick) << TICK_SHIFT
}

/// How many chunks `capacity` connections can need: full ones, and one that is not in each wheel slot.
pub(crate) const fn chunks_for(capacity: usize) -> usize {
    let partial = if capacity < TURN as usize { capacity } else { TURN as usize };
    capacity / CHUNK + partial
}

/// Some connection slots and the next chunk. Only the first chunk of a list has free places.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Chunk {
    slots: [u32; CHUNK],
    next: u32,
}

/// The first chunk of a wheel slot and how many of its places are used: 0 only if there is none.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    chunk: u32,
    len: u32,
}

pub(crate) struct Wheel {
    heads: Array<Head>,
    chunks: Array<Chunk>,
    /// For each connection slot, chunk × 16 + place.
    home: Array<u32>,
    free_chunk: u32,
    armed: usize,
    /// The tick whose wheel slot is being emptied; all before it are empty.
    cursor: u32,
}

impl Wheel {
    pub(crate) fn new(region: &mut Region, capacity: usize) -> Option<Wheel> {
        let heads = region.cut(TURN as usize, Head { chunk: NONE, len: 0 })?;
        let mut chunks = region.cut(chunks_for(capacity), Chunk { slots: [NONE; CHUNK], next: NONE })?;
        let mut free_chunk = NONE;
        for (at, chunk) in chunks.iter_mut().enumerate().rev() {
            chunk.next = free_chunk;
            free_chunk = at as u32;
        }
        let home = region.cut(capacity, NONE)?;
        Some(Wheel { heads, chunks, home, free_chunk, armed: 0, cursor: 0 })
    }

    /// Lets an empty wheel begin at the present, however long it stood still.
    #[inline]
    pub(crate) fn catch_up(&mut self, now: u32) {
        if self.armed == 0 {
            self.cursor = self.cursor.max(now);
        }
    }

    /// The tick that wheel slot `armed` stands for.
    #[inline(always)]
    pub(crate) fn tick_of(&self, armed: u16) -> u32 {
        self.cursor + (u32::from(armed).wrapping_sub(self.cursor) & MASK)
    }

    /// Has `slot` looked at in `tick`, or as near to it as the wheel reaches. Returns the wheel slot.
    pub(crate) fn arm(&mut self, slot: u32, tick: u32) -> u16 {
        let tick = tick.clamp(self.cursor, self.cursor + (TURN - 1));
        let at = tick & MASK;
        let mut head = self.heads[at as usize];
        if head.len as usize == CHUNK || head.chunk == NONE {
            let chunk = self.free_chunk;
            self.free_chunk = self.chunks[chunk as usize].next;
            self.chunks[chunk as usize].next = head.chunk;
            head = Head { chunk, len: 0 };
        }
        self.chunks[head.chunk as usize].slots[head.len as usize] = slot;
        self.home[slot as usize] = head.chunk << 4 | head.len;
        head.len += 1;
        self.heads[at as usize] = head;
        self.armed += 1;
        at as u16
    }

    /// Takes `slot` out of the wheel slot that `arm` returned.
    pub(crate) fn disarm(&mut self, slot: u32, armed: u16) {
        let mut head = self.heads[usize::from(armed)];
        head.len -= 1;
        let last = self.chunks[head.chunk as usize].slots[head.len as usize];
        let home = self.home[slot as usize];
        self.chunks[(home >> 4) as usize].slots[(home & 15) as usize] = last;
        self.home[last as usize] = home;
        if head.len == 0 {
            let emptied = head.chunk;
            let next = self.chunks[emptied as usize].next;
            self.chunks[emptied as usize].next = self.free_chunk;
            self.free_chunk = emptied;
            head = Head { chunk: next, len: if next == NONE { 0 } else { CHUNK as u32 } };
        }
        self.heads[usize::from(armed)] = head;
        self.armed -= 1;
    }

    /// The next connection slot to look at by tick `now`. It stays armed. Each look and each tick that passes takes
    /// one from `budget`.
    #[inline]
    pub(crate) fn due(&mut self, now: u32, budget: &mut usize) -> Option<u32> {
        self.catch_up(now);
        while self.cursor <= now && *budget > 0 {
            *budget -= 1;
            let head = self.heads[(self.cursor & MASK) as usize];
            if head.chunk != NONE {
                return Some(self.chunks[head.chunk as usize].slots[head.len as usize - 1]);
            }
            self.cursor += 1;
        }
        None
    }

    /// The connection slot that `due` will come to after `ahead` others of the same tick, for prefetching it.
    #[inline]
    pub(crate) fn upcoming(&self, ahead: usize) -> Option<u32> {
        let head = self.heads[(self.cursor & MASK) as usize];
        let chunk = self.chunks.get(head.chunk as usize)?;
        let next = self.chunks.get(chunk.next as usize);
        if head.len as usize == CHUNK
            && let Some(next) = next
        {
            prefetch(next);
        }
        match (head.len as usize).checked_sub(ahead + 1) {
            Some(place) => Some(chunk.slots[place]),
            None => next.and_then(|next| {
                next.slots.get((CHUNK + head.len as usize).checked_sub(ahead + 1)?).copied()
            }),
        }
    }
}
