//! Stable ids for services and destinations.
//!
//! Workers keep counters and connections by id, so that an id means the same thing until nobody uses it any more.
//! What is removed goes to the trash with its id: if it is added again it resumes it, as the kernel takes a
//! destination out of its trash, and connections that it still has count for it again. An id leaves the
//! trash when every worker has switched to a snapshot without it and reports no connection that names it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::Hash;

use api::{DestKey, ServiceKey};
use ipvs::{DestId, ServiceId};

use crate::config::Config;

/// Names a destination throughout the daemon.
pub type FullDestKey = (ServiceKey, DestKey);

/// The ids of everything that is configured or still in use.
#[derive(Debug, Default)]
pub struct Ids {
    services: Slots<ServiceKey>,
    dests: Slots<FullDestKey>,
}

/// Nothing left: all ids are used or in the trash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what} can be added: limits.{what} = {limit}, and {trash} removed ones still have connections")]
pub struct IdsExhausted {
    pub what: &'static str,
    pub limit: u32,
    pub trash: usize,
}

/// What an assignment did, enough to take it back.
#[derive(Debug, Default)]
pub struct Assignment {
    added_services: Vec<ServiceKey>,
    added_dests: Vec<FullDestKey>,
    removed_services: Vec<ServiceKey>,
    removed_dests: Vec<FullDestKey>,
    /// Ids whose counters stand for something else until now.
    pub stale_services: Vec<ServiceId>,
    pub stale_dests: Vec<DestId>,
}

impl Ids {
    /// The id of a configured service.
    pub fn service(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.services.live.get(key).map(|&id| ServiceId(id))
    }

    /// The id of a configured destination.
    pub fn dest(&self, service: &ServiceKey, dest: &DestKey) -> Option<DestId> {
        self.dests.live.get(&(*service, *dest)).map(|&id| DestId(id))
    }

    /// Ids of all configured destinations.
    pub fn live_dests(&self) -> impl Iterator<Item = (&FullDestKey, DestId)> {
        self.dests.live.iter().map(|(key, &id)| (key, DestId(id)))
    }

    /// Ids of removed destinations that connections may still name.
    pub fn trashed_dests(&self) -> impl Iterator<Item = (&FullDestKey, DestId)> {
        self.dests.trash.iter().map(|(key, &id)| (key, DestId(id)))
    }

    /// Gives everything in `new` an id and puts what only `old` has into the trash. On error nothing has changed.
    pub fn assign(&mut self, old: &Config, new: &Config) -> Result<Assignment, IdsExhausted> {
        let mut done = Assignment::default();
        self.remove(old, new, &mut done);
        match self.add(new, &mut done) {
            Ok(()) => Ok(done),
            Err(full) => {
                self.undo(done);
                Err(full)
            }
        }
    }

    fn remove(&mut self, old: &Config, new: &Config, done: &mut Assignment) {
        let now: HashMap<ServiceKey, &_> = new.services.iter().map(|s| (s.spec.key(), s)).collect();
        for service in &old.services {
            let key = service.spec.key();
            let kept: HashSet<DestKey> = match now.get(&key) {
                Some(same) if std::sync::Arc::ptr_eq(same, service) => continue,
                Some(changed) => changed.dests.iter().map(|d| d.key()).collect(),
                None => {
                    self.services.discard(key);
                    done.removed_services.push(key);
                    HashSet::new()
                }
            };
            for dest in service.dests.iter().map(|d| d.key()).filter(|d| !kept.contains(d)) {
                self.dests.discard((key, dest));
                done.removed_dests.push((key, dest));
            }
        }
    }

    fn add(&mut self, new: &Config, done: &mut Assignment) -> Result<(), IdsExhausted> {
        for service in &new.services {
            let key = service.spec.key();
            let is_new = !self.services.live.contains_key(&key);
            if is_new {
                let (id, origin) = self.services.take(key, "services", new.limits.services)?;
                done.added_services.push(key);
                if origin != Origin::NeverUsed {
                    done.stale_services.push(ServiceId(id));
                }
            }
            for dest in service.dests.iter().map(|d| d.key()) {
                if self.dests.live.contains_key(&(key, dest)) {
                    continue;
                }
                let (id, origin) = self.dests.take((key, dest), "destinations", new.limits.destinations)?;
                done.added_dests.push((key, dest));
                // As in the kernel, a destination that comes back to the service that it left keeps its counters.
                if origin == Origin::Reused || (origin == Origin::Trash && is_new) {
                    done.stale_dests.push(DestId(id));
                }
            }
        }
        Ok(())
    }

    /// Takes an assignment back. Ids that workers may have seen stay in the trash until they are unused.
    pub fn undo(&mut self, done: Assignment) {
        done.added_dests.into_iter().for_each(|key| self.dests.discard(key));
        done.added_services.into_iter().for_each(|key| self.services.discard(key));
        done.removed_dests.into_iter().for_each(|key| self.dests.restore(key));
        done.removed_services.into_iter().for_each(|key| self.services.restore(key));
    }

    /// Frees trashed ids that nobody uses. Call it only while all workers use the state that the ids are for.
    pub fn reap(&mut self, mut in_use: impl FnMut(DestId) -> bool) {
        self.dests.reap(|_, id| in_use(DestId(id)));
        let named: HashSet<ServiceKey> = self.dests.trash.keys().map(|(service, _)| *service).collect();
        self.services.reap(|key, _| named.contains(key));
    }
}

/// Where an id came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    NeverUsed,
    /// It was something else's.
    Reused,
    /// It was this one's before.
    Trash,
}

#[derive(Debug)]
struct Slots<K> {
    live: HashMap<K, u32>,
    trash: HashMap<K, u32>,
    /// Lowest first, so that arrays indexed by id stay short.
    free: BinaryHeap<Reverse<u32>>,
    next: u32,
}

impl<K> Default for Slots<K> {
    fn default() -> Self {
        Slots { live: HashMap::new(), trash: HashMap::new(), free: BinaryHeap::new(), next: 0 }
    }
}

impl<K: Hash + Eq + Copy> Slots<K> {
    fn take(&mut self, key: K, what: &'static str, limit: u32) -> Result<(u32, Origin), IdsExhausted> {
        let (id, origin) = if let Some(id) = self.trash.remove(&key) {
            (id, Origin::Trash)
        } else if let Some(Reverse(id)) = self.free.pop() {
            (id, Origin::Reused)
        } else if self.next < limit {
            self.next += 1;
            (self.next - 1, Origin::NeverUsed)
        } else {
            return Err(IdsExhausted { what, limit, trash: self.trash.len() });
        };
        self.live.insert(key, id);
        Ok((id, origin))
    }

    fn discard(&mut self, key: K) {
        if let Some(id) = self.live.remove(&key) {
            self.trash.insert(key, id);
        }
    }

    fn restore(&mut self, key: K) {
        if let Some(id) = self.trash.remove(&key) {
            self.live.insert(key, id);
        }
    }

    fn reap(&mut self, mut in_use: impl FnMut(&K, u32) -> bool) {
        let free = &mut self.free;
        self.trash.retain(|key, &mut id| {
            let keep = in_use(key, id);
            if !keep {
                free.push(Reverse(id));
            }
            keep
        });
    }
}
