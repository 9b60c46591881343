//! What schedulers that hash need worked out before they can pick: made once when a service changes, in the snapshot,
//! and read by all workers.

use std::sync::Arc;

use super::{Flow, conhash, maglev, mh, sh};
use crate::{Dest, SchedulerKind, SchedulerOptions, Service};

/// What one service's scheduler goes by. Knows more than the destinations: what they were before matters to `mh`.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// By destination, its last weight that was not 0 [last_weight].
    last_weights: Arc<[u32]>,
    table: Option<Arc<HashTable>>,
}

/// Who takes which hash.
#[derive(Clone, Debug)]
enum HashTable {
    Sh(sh::Table),
    Mh(mh::Table),
    Maglev(maglev::Table),
    Conhash(conhash::Ring),
}

impl HashTable {
    fn build(service: &Service, last_weights: &[u32]) -> Option<Self> {
        let dests = &*service.dests;
        match service.scheduler {
            SchedulerKind::Sh => sh::Table::build(dests).map(Self::Sh),
            SchedulerKind::Mh => mh::Table::build(service.key.family(), dests, last_weights).map(Self::Mh),
            SchedulerKind::Maglev => {
                maglev::Table::build(dests, &service.scheduler_options).map(Self::Maglev)
            }
            SchedulerKind::Conhash => conhash::Ring::build(dests).map(Self::Conhash),
            _ => None,
        }
    }
}

impl Prepared {
    /// For a service that has just been made, or changed from `before`.
    pub(crate) fn build(service: &Service, before: Option<(&Service, &Self)>) -> Self {
        let before_of = |dest: &Dest| {
            let (before, prepared) = before?;
            let index = before.dests.iter().position(|was| was.id == dest.id)?;
            prepared.last_weights.get(index).copied()
        };
        let last_weights = mh::last_weights(&service.dests, |dest| before_of(dest).unwrap_or_default());
        let same = before.filter(|(before, prepared)| {
            prepared.last_weights == last_weights && same_table(before, service)
        });
        let table = match same {
            Some((_, prepared)) => prepared.table.clone(),
            None => HashTable::build(service, &last_weights).map(Arc::new),
        };
        Self { last_weights, table }
    }

    /// The index of the destination that the flow hashes to, if it admits connections or another may stand in.
    pub(super) fn pick(
        &self,
        flow: &Flow,
        options: &SchedulerOptions,
        len: usize,
        admits: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        match &**self.table.as_ref()? {
            HashTable::Sh(table) => table.pick(flow, options, admits),
            HashTable::Mh(table) => table.pick(flow, options, len, admits),
            HashTable::Maglev(table) => table.pick(flow, options, len, admits),
            HashTable::Conhash(ring) => ring.pick(flow, options, len, admits),
        }
    }
}

/// Whether both have the same table, if their last weights are the same.
fn same_table(a: &Service, b: &Service) -> bool {
    let key = |dest: &Dest| (dest.addr, dest.port, dest.weight);
    a.scheduler == b.scheduler
        && a.scheduler_options.table_size == b.scheduler_options.table_size
        && a.dests.iter().map(key).eq(b.dests.iter().map(key))
}
