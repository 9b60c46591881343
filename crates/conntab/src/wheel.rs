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
/// The last tick of an epoch, so far off (17 years) that sums with a turn do not overflow.
const LAST_TICK: u32 = u32::MAX - 2 * TURN;

/// What ticks count from: any time at which the table was empty, so that `now` may come from any clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epoch(u64);

impl Epoch {
    pub(crate) fn starting(now_ms: u64) -> Epoch {
        Epoch(now_ms)
    }

    /// The tick that `now_ms` is in.
    #[inline(always)]
    pub(crate) fn tick_now(self, now_ms: u64) -> u32 {
        (now_ms.saturating_sub(self.0) >> TICK_SHIFT).min(u64::from(LAST_TICK)) as u32
    }

    /// The first tick that is not before `at_ms`.
    #[inline(always)]
    pub(crate) fn tick_at(self, at_ms: u64) -> u32 {
        self.tick_now(at_ms.saturating_add(TICK_MS - 1))
    }

    /// When a tick begins.
    pub(crate) fn ms(self, tick: u32) -> u64 {
        self.0.saturating_add(u64::from(tick) << TICK_SHIFT)
    }
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
    /// A wheel that can grow to `capacity` connection slots and has room for none.
    pub(crate) fn new(region: &mut Region, capacity: usize) -> Option<Wheel> {
        let heads = region.cut(TURN as usize, Head { chunk: NONE, len: 0 })?;
        let chunks = region.set_aside(chunks_for(capacity))?;
        let home = region.set_aside(capacity)?;
        Some(Wheel { heads, chunks, home, free_chunk: NONE, armed: 0, cursor: 0 })
    }

    /// Makes room for `ready` connection slots.
    pub(crate) fn grow(&mut self, ready: usize) {
        self.home.grow(ready, NONE);
        let before = self.chunks.len();
        self.chunks.grow(chunks_for(self.home.len()), Chunk { slots: [NONE; CHUNK], next: NONE });
        for at in (before..self.chunks.len()).rev() {
            self.chunks[at].next = self.free_chunk;
            self.free_chunk = at as u32;
        }
    }

    /// Lets an empty wheel begin a new epoch.
    pub(crate) fn restart(&mut self) {
        debug_assert_eq!(self.armed, 0);
        self.cursor = 0;
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
            if let Some(next) = self.chunks.get(self.free_chunk as usize) {
                prefetch(next);
            }
            head = Head { chunk, len: 0 };
        }
        self.chunks[head.chunk as usize].slots[head.len as usize] = slot;
        self.home[slot as usize] = head.chunk << 4 | head.len;
        head.len += 1;
        self.heads[at as usize] = head;
        self.armed += 1;
        at as u16
    }

    /// Asks for where `slot` is noted.
    #[inline(always)]
    pub(crate) fn prefetch_home(&self, slot: u32) {
        if let Some(home) = self.home.get(slot as usize) {
            prefetch(home);
        }
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
        if self.armed == 0 {
            self.cursor = self.cursor.max(now);
            return None;
        }
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

#[cfg(test)]
impl Wheel {
    /// The armed connection slots with their wheel slots. Panics if one is not at home or a chunk is lost.
    pub(crate) fn check(&self) -> Vec<(u32, u16)> {
        let mut found = Vec::new();
        let mut chunks = 0;
        for (at, head) in self.heads.iter().enumerate() {
            assert_eq!(head.chunk == NONE, head.len == 0);
            let (mut chunk, mut len) = (head.chunk, head.len);
            while chunk != NONE {
                for place in 0..len {
                    let slot = self.chunks[chunk as usize].slots[place as usize];
                    assert_eq!(self.home[slot as usize], chunk << 4 | place);
                    found.push((slot, at as u16));
                }
                (chunk, len, chunks) = (self.chunks[chunk as usize].next, CHUNK as u32, chunks + 1);
            }
        }
        let mut free = self.free_chunk;
        while free != NONE {
            (free, chunks) = (self.chunks[free as usize].next, chunks + 1);
        }
        assert_eq!(chunks, self.chunks.len(), "every chunk is in use or free");
        assert_eq!(found.len(), self.armed);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel(capacity: usize) -> Wheel {
        let bytes = chunks_for(capacity) * 64 + TURN as usize * 8 + capacity * 4 + 256;
        let mut wheel = Wheel::new(&mut Region::allocate(bytes).unwrap(), capacity).unwrap();
        for ready in [capacity / 3, capacity] {
            wheel.grow(ready);
        }
        wheel
    }

    #[test]
    fn times_round_away_from_firing_early() {
        for start_ms in [0, 1, 1_700_000_000_001, 1 << 60] {
            let epoch = Epoch::starting(start_ms);
            for (name, after_ms, tick) in [
                ("zero", 0, 0),
                ("just after", 1, 1),
                ("a tick", TICK_MS, 1),
                ("just after a tick", TICK_MS + 1, 2),
                ("never", u64::MAX, LAST_TICK),
            ] {
                let at_ms = start_ms.saturating_add(after_ms);
                assert_eq!(epoch.tick_at(at_ms), tick, "{name}");
                assert!(epoch.ms(tick) >= at_ms.min(epoch.ms(LAST_TICK)), "{name}");
            }
            assert_eq!(epoch.tick_now(start_ms + TICK_MS - 1), 0);
            assert_eq!(epoch.tick_now(start_ms + TICK_MS), 1);
            assert_eq!(epoch.tick_now(start_ms.saturating_sub(1)), 0, "time that went back");
        }
    }

    #[test]
    fn the_worst_spread_of_a_full_table_finds_chunks() {
        for capacity in [1, 14, 15, 16, 4096, 4097, 70_000] {
            let mut wheel = wheel(capacity);
            // One in each wheel slot, so that as many chunks as can be are nearly empty; the rest in the first.
            let armed: Vec<u16> = (0..capacity as u32)
                .map(|slot| wheel.arm(slot, if slot < TURN { slot } else { 0 }))
                .collect();
            assert_eq!(wheel.check().len(), capacity);
            for (slot, &at) in armed.iter().enumerate() {
                wheel.disarm(slot as u32, at);
            }
            assert_eq!(wheel.check(), []);
        }
    }

    #[test]
    fn taking_one_out_leaves_the_others_in() {
        let mut wheel = wheel(100);
        let at: Vec<u16> = (0..100).map(|slot| wheel.arm(slot, 5)).collect();
        for slot in (0..100).step_by(3) {
            wheel.disarm(slot, at[slot as usize]);
            wheel.check();
        }
        let mut left: Vec<u32> = wheel.check().into_iter().map(|(slot, _)| slot).collect();
        left.sort();
        assert!(left.into_iter().eq((0..100).filter(|slot| slot % 3 != 0)));
    }

    #[test]
    fn ticks_before_the_cursor_and_beyond_the_turn_are_armed_at_its_ends() {
        let mut wheel = wheel(3);
        assert_eq!(wheel.due(10_000, &mut 1), None, "an empty wheel skips to the present");
        let past = wheel.arm(0, 3);
        let near = wheel.arm(1, 10_001);
        let far = wheel.arm(2, u32::MAX);
        assert_eq!([past, near, far].map(|at| wheel.tick_of(at)), [10_000, 10_001, 10_000 + TURN - 1]);
        let mut budget = 10;
        assert_eq!(wheel.due(9_999, &mut budget), None, "time that went back");
        assert_eq!((wheel.due(10_000, &mut budget), budget), (Some(0), 9));
    }

    #[test]
    fn upcoming_names_what_is_due_after_so_many() {
        let mut wheel = wheel(50);
        for slot in 0..50 {
            wheel.arm(slot, 0);
        }
        let mut left: Vec<u32> = (0..50).collect();
        while let Some(slot) = wheel.due(0, &mut 1) {
            for ahead in [0, 7, 14] {
                assert_eq!(wheel.upcoming(ahead), left.iter().rev().nth(ahead).copied());
            }
            assert_eq!(left.pop(), Some(slot));
            wheel.disarm(slot, 0);
        }
        assert_eq!(left, []);
    }
}
