//! When connections end: writing a new expiry, and finding those whose time has come.

use crate::slab::{ConnId, Entry};
use crate::table::ConnTable;

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
        self.touch(id, at_ms).is_some()
    }

    /// [`set_expiry`](Self::set_expiry) and [`get_mut`](Self::get_mut) in one, as a packet needs them.
    #[inline]
    pub fn touch(&mut self, id: ConnId, at_ms: u64) -> Option<&mut E> {
        let expiry = self.epoch.tick_at(at_ms);
        let slot = self.slab.live_mut(id)?;
        // Most packets of a busy connection come in one tick, and change nothing here.
        if expiry != slot.link.expiry {
            slot.link.expiry = expiry;
            let armed = slot.link.armed;
            if expiry < self.wheel.tick_of(armed) {
                self.rearm(id.index, armed, expiry);
            }
        }
        Some(&mut self.slab.slot_mut(id.index).entry)
    }

    /// When a connection ends, in milliseconds. `None` if it has.
    #[inline]
    pub fn expiry(&self, id: ConnId) -> Option<u64> {
        self.slab.live(id).map(|slot| self.epoch.ms(slot.link.expiry))
    }

    /// The next connection whose time has come by `now_ms`: never before its time. It is still in the table, for the
    /// caller to remove or to give a new expiry; if neither is done it comes again a second later. `None` when there
    /// is no more or the budget is used up: each connection looked at, and each tick that passes, takes one.
    pub fn next_expired(&mut self, now_ms: u64, budget: &mut usize) -> Option<ConnId> {
        let at = self.next_due(self.epoch.tick_now(now_ms), budget)?;
        self.rearm(
            at,
            self.slab.slot(at).link.armed,
            self.epoch.tick_at(now_ms.saturating_add(FORGOTTEN_MS)),
        );
        Some(self.slab.id(at))
    }

    /// Asks `verdict` about each connection whose time has come by `now_ms`, as far as `budget` goes (as in
    /// [`next_expired`](Self::next_expired)). Returns how many were removed. `verdict` may change anything but keys. A time to keep that is not in the future
    /// counts as the next tick.
    pub fn expire(
        &mut self,
        now_ms: u64,
        mut budget: usize,
        mut verdict: impl FnMut(ConnId, &mut E) -> Expire,
    ) -> usize {
        let now = self.epoch.tick_now(now_ms);
        let mut removed = 0;
        while let Some(at) = self.next_due(now, &mut budget) {
            let id = self.slab.id(at);
            match verdict(id, &mut self.slab.slot_mut(at).entry) {
                Expire::Remove => {
                    self.remove_at(at);
                    removed += 1;
                }
                Expire::KeepUntil(at_ms) => {
                    let expiry = self.epoch.tick_at(at_ms).max(now + 1);
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
                self.wheel.prefetch_home(ahead);
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

    #[inline(never)]
    fn rearm(&mut self, at: u32, armed: u16, tick: u32) {
        self.wheel.disarm(at, armed);
        let armed = self.wheel.arm(at, tick);
        self.slab.slot_mut(at).link.armed = armed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Key4, TICK_MS};
    use std::net::Ipv4Addr;

    #[derive(Clone, Copy, Default)]
    struct Conn(Key4);

    impl Entry for Conn {
        type Key = Key4;

        fn key(&self, direction: Direction) -> Option<&Key4> {
            (direction == Direction::Original).then_some(&self.0)
        }
    }

    fn conn(at: u32) -> Conn {
        Conn(Key4::new(Ipv4Addr::from_bits(at), Ipv4Addr::LOCALHOST, 1, 2, 6))
    }

    fn table(capacity: usize) -> ConnTable<Conn> {
        ConnTable::with_capacity(capacity, [5; 32]).unwrap()
    }

    /// The time at which the only connection ends, asking each second or, where nothing can happen, less often.
    fn ends_ms(table: &mut ConnTable<Conn>, from_ms: u64, step_ms: u64) -> u64 {
        let mut now_ms = from_ms;
        while table.expire(now_ms, 100_000, |_, _| Expire::Remove) == 0 {
            now_ms += step_ms;
        }
        now_ms
    }

    #[test]
    fn no_timeout_fires_early_or_much_late() {
        const DAY_MS: u64 = 86_400_000;
        for (name, start_ms, timeout_ms) in [
            ("none", 0, 0),
            ("a millisecond", 77, 1),
            ("UDP", 1_000_000_007, 300_000),
            ("established", 12_345_678, 900_000),
            ("a turn of the wheel", 5, 4096 * TICK_MS),
            ("lblc", 1 << 40, DAY_MS),
            ("a month", 1_700_000_000_000, 31 * DAY_MS),
        ] {
            let mut table = table(1);
            table.insert(conn(1), start_ms, timeout_ms).unwrap();
            let ended = ends_ms(&mut table, start_ms, 100);
            assert!(ended >= start_ms + timeout_ms, "{name}: early, {ended}");
            assert!(ended <= start_ms + timeout_ms + 500, "{name}: late, {ended}");
        }
    }

    #[test]
    fn shortening_takes_effect_at_once_and_lengthening_too() {
        let mut table = table(1);
        let id = table.insert(conn(1), 0, 900_000).unwrap();
        assert!(table.set_expiry(id, 10_000));
        assert!(table.set_expiry(id, 20_000));
        assert_eq!(table.expiry(id), Some(20_096), "rounded up to a tick");
        assert!(table.set_expiry(id, 12_800));
        let ended = ends_ms(&mut table, 0, 50);
        assert!((12_800..=13_000).contains(&ended), "{ended}");
        assert!(!table.set_expiry(id, 50_000), "it is gone");
        assert_eq!(table.expiry(id), None);
    }

    #[test]
    fn work_is_bounded_however_many_were_lengthened() {
        let n = 200_000;
        let mut table = table(n as usize);
        let ids: Vec<ConnId> = (0..n).map(|at| table.insert(conn(at), 0, 60_000).unwrap()).collect();
        for &id in &ids {
            table.set_expiry(id, 100_000);
        }
        let (mut turns, mut budget) = (0, 0);
        while budget == 0 {
            budget = 1000;
            assert_eq!(table.next_expired(61_000, &mut budget), None, "early");
            turns += 1;
        }
        // 200 turns to move them all, and one more for the 477 ticks before and after.
        assert!((200..=202).contains(&turns), "{turns}");
        let mut removed = 0;
        for turn in 0.. {
            let asked = table.expire(100_096, 1000, |_, _| Expire::Remove);
            assert!(asked <= 1000);
            removed += asked;
            if removed == ids.len() {
                assert!(turn <= 201, "{turn}");
                break;
            }
        }
        assert!(table.is_empty());
    }

    #[test]
    fn a_short_burst_through_a_long_idle_table_is_cheap() {
        let mut table = table(10);
        let mut budget = 10;
        assert_eq!(table.next_expired(1 << 40, &mut budget), None);
        assert_eq!(budget, 10, "an empty wheel costs nothing");
        table.insert(conn(1), (1 << 40) + 5_000_000, 0).unwrap();
        assert!(table.next_expired((1 << 40) + 5_000_200, &mut budget).is_some());
    }

    #[test]
    fn one_that_is_forgotten_comes_again_and_one_that_is_kept_stays() {
        let mut table = table(2);
        let id = table.insert(conn(1), 0, 1000).unwrap();
        let mut budget = 1000;
        assert_eq!(table.next_expired(2000, &mut budget), Some(id));
        assert_eq!(table.next_expired(2000, &mut budget), None);
        assert_eq!(table.next_expired(2900, &mut budget), None);
        assert_eq!(table.next_expired(3200, &mut budget), Some(id));
        table.set_expiry(id, 5000);
        assert_eq!(table.next_expired(4900, &mut budget), None);
        assert_eq!(table.expire(5200, 1000, |_, _| Expire::KeepUntil(0)), 0);
        assert_eq!(table.expire(5200, 1000, |_, _| Expire::Remove), 0, "once a tick");
        assert_eq!(table.expire(5200 + TICK_MS, 1000, |_, _| Expire::Remove), 1);
    }
}
