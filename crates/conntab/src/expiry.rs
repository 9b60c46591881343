//! When connections end: writing a new expiry, and finding those whose time has come.

use crate::slab::{ConnId, Entry};
use crate::table::ConnTable;
use crate::wheel::{tick_at, tick_ms, tick_now};

/// How long a connection that was handed out as expired, and that its owner did nothing about, is left alone.
const FORGOTTEN_MS: u64 = 1000;
/// How many visits ahead a connection's line is asked for, and then its buckets'.
const PREFETCH_SLOT_AHEAD: usize = 14;
const PREFETCH_BUCKETS_AHEAD: usize = 7;

/// What is to become of a connection whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    /// It goes.
    Remove,
    /// It stays, at least until this time in milliseconds.
    KeepUntil(u64),
}

impl<E: Entry> ConnTable<E> {
    /// Lets a connection end at `at_ms`, rounded up to a [`TICK_MS`](crate::TICK_MS). Later than before only writes the
    /// time into the connection's line; sooner than the wheel would look moves it there at once. `false` if the
    /// connection is gone.
    #[inline]
    pub fn set_expiry(&mut self, id: ConnId, at_ms: u64) -> bool {
        let expiry = tick_at(at_ms);
        let Some(slot) = self.slab.live_mut(id) else { return false };
        slot.link.expiry = expiry;
        let armed = slot.link.armed;
        if expiry < self.wheel.tick_of(armed) {
            self.rearm(id.index, armed, expiry);
        }
        true
    }

    /// When a connection ends, in milliseconds. `None` if it has.
    #[inline]
    pub fn expiry(&self, id: ConnId) -> Option<u64> {
        self.slab.live(id).map(|slot| tick_ms(slot.link.expiry))
    }

    /// The next connection whose time has come by `now_ms`: never before its time. It is still in the table, for the caller to remove or
    /// to give a new expiry; if neither is done it comes again a second later. `None` when there is no more or the
    /// budget is used up: each connection looked at, and each tick that passes, takes one.
    pub fn next_expired(&mut self, now_ms: u64, budget: &mut usize) -> Option<ConnId> {
        let at = self.next_due(tick_now(now_ms), budget)?;
        self.rearm(at, self.slab.slot(at).link.armed, tick_at(now_ms.saturating_add(FORGOTTEN_MS)));
        Some(self.slab.id(at))
    }

    /// Asks `verdict` about each connection whose time has come by `now_ms`, as far as `budget` goes (as in
    /// [`next_expired`](Self::next_expired)). Returns how many were removed. A time to keep that is not in the future
    /// counts as the next tick.
    pub fn expire(
        &mut self,
        now_ms: u64,
        mut budget: usize,
        mut verdict: impl FnMut(ConnId, &mut E) -> Expire,
    ) -> usize {
        let now = tick_now(now_ms);
        let mut removed = 0;
        while let Some(at) = self.next_due(now, &mut budget) {
            let id = self.slab.id(at);
            match verdict(id, &mut self.slab.slot_mut(at).entry) {
                Expire::Remove => {
                    self.remove_at(at);
                    removed += 1;
                }
                Expire::KeepUntil(at_ms) => {
                    let expiry = tick_at(at_ms).max(now + 1);
                    let link = &mut self.slab.slot_mut(at).link;
                    link.expiry = expiry;
                    let armed = link.armed;
                    self.rearm(at, armed, expiry);
                }
            }
        }
        removed
    }

    /// The next slot that is due, still armed where it is. Those that were lengthened meanwhile are armed anew.
    fn next_due(&mut self, now: u32, budget: &mut usize) -> Option<u32> {
        loop {
            let at = self.wheel.due(now, budget)?;
            if let Some(ahead) = self.wheel.upcoming(PREFETCH_SLOT_AHEAD) {
                self.slab.prefetch(ahead);
            }
            if let Some(ahead) = self.wheel.upcoming(PREFETCH_BUCKETS_AHEAD)
                && self.slab.slot(ahead).link.expiry <= now
            {
                self.prefetch_keys(&self.slab.slot(ahead).entry);
            }
            let link = &self.slab.slot(at).link;
            let (expiry, armed) = (link.expiry, link.armed);
            if expiry <= now {
                return Some(at);
            }
            self.rearm(at, armed, expiry);
        }
    }

    fn rearm(&mut self, at: u32, armed: u16, tick: u32) {
        self.wheel.disarm(at, armed);
        let armed = self.wheel.arm(at, tick);
        self.slab.slot_mut(at).link.armed = armed;
    }
}
