//! What lblc and lblcr remember: which server, or servers, each destination address was given to.
//!
//! As many addresses as the kernel aims at when it shrinks its table; where that many are known, the one that was not
//! asked for longest makes room. So no timer is needed, and one look costs the same whatever the table holds.

use core::net::IpAddr;

use super::hash::endpoint;
use crate::shared::Load;
use crate::{Dest, Rng};

/// Addresses that one service's table remembers at one worker [max_size].
pub(super) const CAPACITY: usize = 16_384;
/// How often the kernel looks for addresses to forget: they may last that much longer than their expiration.
pub(super) const FORGET_EVERY_MS: u64 = 30 * 60 * 1000;
const NONE: u32 = u32::MAX;

/// Whether a server has more active connections than its weight while another has less than half as many as its own
/// [is_overloaded].
pub(super) fn is_overloaded(index: usize, dests: &[Dest], load: impl Fn(usize) -> Load) -> bool {
    let is_idle = |index: usize| u64::from(load(index).active) * 2 < u64::from(dests[index].weight);
    load(index).active > dests[index].weight && (0..dests.len()).any(is_idle)
}

/// A server as it is remembered: by its endpoint, since it may go and come back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    addr: IpAddr,
    port: u16,
    /// Where it was last among the destinations.
    index: u32,
}

impl Server {
    pub(super) fn of(dests: &[Dest], index: usize) -> Self {
        Self { addr: dests[index].addr, port: dests[index].port, index: index as u32 }
    }

    /// Its index among the destinations, if it is one.
    pub(super) fn find(&mut self, dests: &[Dest]) -> Option<usize> {
        let is_it = |dest: &Dest| dest.addr == self.addr && dest.port == self.port;
        if !dests.get(self.index as usize).is_some_and(is_it) {
            self.index = dests.iter().position(is_it)? as u32;
        }
        Some(self.index as usize)
    }
}

/// Something remembered per destination address. Takes its memory when made, and as it fills.
#[derive(Clone, Debug)]
pub(super) struct Table<V> {
    /// Of the hash: clients choose the addresses.
    key: u64,
    /// The first entry of each chain.
    heads: Box<[u32]>,
    entries: Vec<Entry<V>>,
    newest: u32,
    oldest: u32,
}

#[derive(Clone, Debug)]
struct Entry<V> {
    addr: IpAddr,
    /// The next in the chain.
    next: u32,
    newer: u32,
    older: u32,
    used_ms: u64,
    value: V,
}

impl<V> Table<V> {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self {
            key: rng.next_u64(),
            heads: vec![NONE; CAPACITY].into(),
            entries: Vec::with_capacity(CAPACITY),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// What is remembered of an address that was asked for within the last `idle_ms`.
    pub(super) fn get(&mut self, addr: IpAddr, now_ms: u64, idle_ms: u64) -> Option<&mut V> {
        let at = self.find(addr)?;
        if now_ms.saturating_sub(self.entries[at as usize].used_ms) > idle_ms {
            return None;
        }
        self.touch(at, now_ms);
        Some(&mut self.entries[at as usize].value)
    }

    /// Remembers; what had to be forgotten for it.
    pub(super) fn set(&mut self, addr: IpAddr, now_ms: u64, value: V) -> Option<V> {
        if let Some(at) = self.find(addr) {
            self.touch(at, now_ms);
            return Some(core::mem::replace(&mut self.entries[at as usize].value, value));
        }
        let head = self.head(addr);
        let entry = Entry { addr, next: self.heads[head], newer: NONE, older: NONE, used_ms: now_ms, value };
        let (at, forgotten) = if self.entries.len() < CAPACITY {
            self.entries.push(entry);
            (self.entries.len() as u32 - 1, None)
        } else {
            let at = self.oldest;
            self.unchain(at);
            self.unlink(at);
            // The chain may have begun with the entry that has just left it.
            let entry = Entry { next: self.heads[head], ..entry };
            (at, Some(core::mem::replace(&mut self.entries[at as usize], entry).value))
        };
        self.heads[head] = at;
        self.link(at);
        forgotten
    }

    fn head(&self, addr: IpAddr) -> usize {
        endpoint(addr, 0, self.key) as usize % self.heads.len()
    }

    fn find(&self, addr: IpAddr) -> Option<u32> {
        let mut at = self.heads[self.head(addr)];
        while let Some(entry) = self.entries.get(at as usize) {
            if entry.addr == addr {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    /// Takes an entry out of its chain.
    fn unchain(&mut self, at: u32) {
        let Entry { addr, next, .. } = self.entries[at as usize];
        let head = self.head(addr);
        if self.heads[head] == at {
            self.heads[head] = next;
            return;
        }
        let mut before = self.heads[head];
        while let Some(entry) = self.entries.get_mut(before as usize) {
            if entry.next == at {
                entry.next = next;
                return;
            }
            before = entry.next;
        }
    }

    fn touch(&mut self, at: u32, now_ms: u64) {
        self.entries[at as usize].used_ms = now_ms;
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    /// Makes an entry that is in no order the newest.
    fn link(&mut self, at: u32) {
        let older = core::mem::replace(&mut self.newest, at);
        let entry = &mut self.entries[at as usize];
        (entry.newer, entry.older) = (NONE, older);
        match self.entries.get_mut(older as usize) {
            Some(older) => older.newer = at,
            None => self.oldest = at,
        }
    }

    /// Takes an entry out of the order.
    fn unlink(&mut self, at: u32) {
        let Entry { newer, older, .. } = self.entries[at as usize];
        match self.entries.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};

    fn addr(n: u32) -> IpAddr {
        if n.is_multiple_of(2) { IpAddr::V4(n.into()) } else { IpAddr::V6(u128::from(n).into()) }
    }

    #[test]
    fn the_address_longest_not_asked_for_makes_room() {
        let mut table = Table::new(&mut Rng::new(1));
        for n in 0..CAPACITY as u32 {
            assert_eq!(table.set(addr(n), u64::from(n), n), None);
        }
        assert_eq!(table.get(addr(0), 20_000, u64::MAX), Some(&mut 0));
        assert_eq!(table.set(addr(2), 20_001, 22), Some(2));
        let full = CAPACITY as u32;
        assert_eq!(table.set(addr(full), 20_002, full), Some(1));
        assert_eq!(table.set(addr(full + 1), 20_003, full + 1), Some(3));
        for (n, want) in [(0, Some(0)), (1, None), (2, Some(22)), (3, None), (4, Some(4)), (full, Some(full))]
        {
            assert_eq!(table.get(addr(n), 20_004, u64::MAX).copied(), want, "{n}");
        }
        assert_eq!(table.entries.capacity(), CAPACITY);
    }

    #[test]
    fn what_nobody_asks_for_is_forgotten() {
        let mut table = Table::new(&mut Rng::new(1));
        table.set(addr(1), 100, 'a');
        assert_eq!(table.get(addr(1), 150, 50), Some(&mut 'a'));
        assert_eq!(table.get(addr(1), 200, 50), Some(&mut 'a'));
        assert_eq!(table.get(addr(1), 251, 50), None);
        assert_eq!(table.set(addr(1), 251, 'b'), Some('a'));
        assert_eq!(table.get(addr(1), 260, 50), Some(&mut 'b'));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// As a map that never fills.
        #[test]
        fn remembers_like_a_map(steps in proptest::collection::vec((0_u32..60, any::<bool>()), 0..200)) {
            let mut table = Table::new(&mut Rng::new(2));
            let mut map = std::collections::HashMap::new();
            for (now, (n, write)) in (0..).zip(steps) {
                if write {
                    prop_assert_eq!(table.set(addr(n), now, now), map.insert(n, now));
                } else {
                    prop_assert_eq!(table.get(addr(n), now, u64::MAX).copied(), map.get(&n).copied());
                }
            }
        }
    }
}
