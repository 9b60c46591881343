//! Locality-based least connections with replication [ip_vs_lblcr]: as lblc, but an address has a set of servers, of which
//! the one that carries least for its weight is picked. While that one is overloaded the set grows by the server
//! that wlc picks; a set that has not changed for long loses the server that carries most.

use super::locality::{CAPACITY, FORGET_EVERY_MS, Server, Table, is_overloaded};
use super::{Request, lc, sed, wlc};
use crate::shared::Load;
use crate::{Dest, Rng};

const NONE: u32 = u32::MAX;

/// The servers of each address.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    sets: Table<Set>,
    members: Members,
}

/// The servers of one address: the one that came last, and a chain of those before it.
#[derive(Clone, Debug)]
struct Set {
    last: Server,
    others: u32,
    changed_ms: u64,
}

/// All sets' chains; where there is no room a set does not grow.
#[derive(Clone, Debug)]
struct Members {
    list: Vec<Member>,
    free: u32,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    server: Server,
    next: u32,
}

impl Memory {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let members = Members { list: Vec::with_capacity(CAPACITY), free: NONE };
        Self { sets: Table::new(rng), members }
    }

    pub(super) fn pick(
        &mut self,
        request: &Request<'_>,
        dests: &[Dest],
        mut admits: impl FnMut(usize) -> bool,
        load: impl Fn(usize) -> Load,
    ) -> Option<usize> {
        let (addr, now_ms) = (request.flow.dst, request.now_ms);
        let expiration_ms = request.settings.lblcr_expiration_ms;
        let idle_ms = expiration_ms.saturating_add(FORGET_EVERY_MS);
        let Self { sets, members } = self;
        let Some(set) = sets.get(addr, now_ms, idle_ms) else {
            let index = wlc::pick(dests, admits, load)?;
            let set = Set { last: Server::of(dests, index), others: NONE, changed_ms: now_ms };
            if let Some(forgotten) = sets.set(addr, now_ms, set) {
                members.give_back(forgotten.others);
            }
            return Some(index);
        };
        let least = set.least(members, dests, &mut admits, &load);
        if set.others != NONE && now_ms.saturating_sub(set.changed_ms) > expiration_ms {
            set.shrink(members, dests, &load);
            set.changed_ms = now_ms;
        }
        if let Some(index) = least.filter(|&index| !is_overloaded(index, dests, &load)) {
            return Some(index);
        }
        let index = wlc::pick(dests, admits, load)?;
        if !set.has(members, dests, index) && members.push(set) {
            set.last = Server::of(dests, index);
            set.changed_ms = now_ms;
        }
        Some(index)
    }
}

impl Set {
    /// Calls `each` with every server, the last one first: its member, `NONE` for the last, and where it is now.
    fn walk(&mut self, members: &mut Members, dests: &[Dest], mut each: impl FnMut(u32, Option<usize>)) {
        each(NONE, self.last.find(dests));
        let mut at = self.others;
        while let Some(member) = members.list.get_mut(at as usize) {
            each(at, member.server.find(dests));
            at = member.next;
        }
    }

    /// The server that admits connections and carries least [ip_vs_dest_set_min].
    fn least(
        &mut self,
        members: &mut Members,
        dests: &[Dest],
        mut admits: impl FnMut(usize) -> bool,
        load: impl Fn(usize) -> Load,
    ) -> Option<usize> {
        let mut least = None;
        self.walk(members, dests, |_, index| {
            if let Some(index) = index.filter(|&index| admits(index)) {
                let share = (lc::overhead(load(index)), dests[index].weight);
                if least.is_none_or(|(_, least)| sed::compare(share, least).is_lt()) {
                    least = Some((index, share));
                }
            }
        });
        least.map(|(index, _)| index)
    }

    /// Loses the server that carries most [ip_vs_dest_set_max]. One that is no destination any more stays: it may come
    /// back.
    fn shrink(&mut self, members: &mut Members, dests: &[Dest], load: impl Fn(usize) -> Load) {
        let mut most = None;
        self.walk(members, dests, |at, index| {
            if let Some(index) = index.filter(|&index| dests[index].weight > 0) {
                let share = (lc::overhead(load(index)), dests[index].weight);
                if most.is_none_or(|(_, most)| sed::compare(share, most).is_gt()) {
                    most = Some((at, share));
                }
            }
        });
        if let Some((at, _)) = most {
            self.remove(members, at);
        }
    }

    fn has(&mut self, members: &mut Members, dests: &[Dest], wanted: usize) -> bool {
        let mut has = false;
        self.walk(members, dests, |_, index| has |= index == Some(wanted));
        has
    }

    /// Takes out a member of the chain, or the last server if `at` is `NONE`; there must be two servers.
    fn remove(&mut self, members: &mut Members, at: u32) {
        if at == NONE || at == self.others {
            let first = self.others;
            let Member { server, next } = members.list[first as usize];
            if at == NONE {
                self.last = server;
            }
            self.others = next;
            members.give_back_one(first);
            return;
        }
        let mut before = self.others;
        while let Some(Member { next, .. }) = members.list.get(before as usize).copied() {
            if next == at {
                members.list[before as usize].next = members.list[at as usize].next;
                members.give_back_one(at);
                return;
            }
            before = next;
        }
    }
}

impl Members {
    /// Puts the set's last server into its chain, so that another may be the last. Whether there was room.
    fn push(&mut self, set: &mut Set) -> bool {
        let member = Member { server: set.last, next: set.others };
        if let Some(free) = self.list.get_mut(self.free as usize) {
            set.others = self.free;
            self.free = core::mem::replace(free, member).next;
        } else if self.list.len() < CAPACITY {
            set.others = self.list.len() as u32;
            self.list.push(member);
        } else {
            return false;
        }
        true
    }

    fn give_back_one(&mut self, at: u32) {
        self.list[at as usize].next = core::mem::replace(&mut self.free, at);
    }

    fn give_back(&mut self, chain: u32) {
        let mut at = chain;
        while let Some(member) = self.list.get(at as usize) {
            let next = member.next;
            self.give_back_one(at);
            at = next;
        }
    }
}
