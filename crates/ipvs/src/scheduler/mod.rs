//! Which destination takes a new connection [ip_vs_scheduler].
//!
//! Each worker schedules for itself: cursors are its own, kept per service and carried over when the configuration
//! changes, as the kernel carries them over. What destinations carry is seen over all workers: the worker's own counts
//! live, the others' as they were at most a millisecond ago.
//!
//! Destinations are walked from the last one added to the first, which is the order of the kernel's list. A position
//! is an index into `Service::dests` and "behind the last" stands for the list's head; walking goes down.
//!
//! **Thresholds.** A destination whose connections reach `upper` is overloaded until they fall below `lower` (or below three
//! quarters of `upper`). With one worker that is exact. With several, each counts what it last read of the others, so
//! a destination may go over its threshold by what the others give it within the same millisecond.
//!
//! A new scheduler is a file here, a variant of `SchedulerKind` and `Order`, and the arms that the compiler then asks for.

mod change;
mod lc;
mod overload;
mod rr;
#[cfg(test)]
mod traces;
mod wlc;
mod wrr;

use std::sync::Arc;

use self::change::Change;
use self::overload::Overload;
use crate::shared::{Load, total_load};
use crate::{Dest, Limits, SchedulerKind, Service, ServiceTable, WorkerId, WorkerShared};

/// How long a reading of the other workers' counts is used, in milliseconds.
const READING_MS: u64 = 1;

/// What a scheduler remembers from one pick to the next.
#[derive(Clone, Debug)]
enum Order {
    Rr(rr::Cursor),
    Wrr(wrr::Cursor),
    Lc,
    Wlc,
}

impl Order {
    /// As if the scheduler was given to a service that has these destinations already [init_service].
    fn new(kind: SchedulerKind, dests: &[Dest]) -> Self {
        match kind {
            SchedulerKind::Rr => Self::Rr(rr::Cursor::new(dests)),
            SchedulerKind::Wrr => Self::Wrr(wrr::Cursor::new(dests)),
            SchedulerKind::Lc => Self::Lc,
            SchedulerKind::Wlc => Self::Wlc,
        }
    }

    fn kind(&self) -> SchedulerKind {
        match self {
            Self::Rr(_) => SchedulerKind::Rr,
            Self::Wrr(_) => SchedulerKind::Wrr,
            Self::Lc => SchedulerKind::Lc,
            Self::Wlc => SchedulerKind::Wlc,
        }
    }

    /// Destinations came, went or were edited [add_dest, del_dest, upd_dest].
    fn dests_changed(&mut self, change: &Change<'_>) {
        match self {
            Self::Rr(cursor) => cursor.dests_changed(change),
            Self::Wrr(cursor) => cursor.dests_changed(change),
            Self::Lc | Self::Wlc => {}
        }
    }

    /// The index of the destination to take, among those that `admits` says yes to.
    fn pick(
        &mut self,
        dests: &[Dest],
        admits: impl FnMut(usize) -> bool,
        load: impl Fn(usize) -> Load,
    ) -> Option<usize> {
        match self {
            Self::Rr(cursor) => cursor.pick(dests.len(), admits),
            Self::Wrr(cursor) => cursor.pick(dests, admits),
            Self::Lc => lc::pick(dests.len(), admits, load),
            Self::Wlc => wlc::pick(dests, admits, load),
        }
    }
}

/// One service's scheduler at one worker.
#[derive(Clone, Debug)]
struct Scheduler {
    order: Order,
    /// The other workers' load by index of the destination, as last read.
    others: Box<[Load]>,
    read_at_ms: Option<u64>,
}

impl Scheduler {
    fn new(order: Order, dests: usize) -> Self {
        Self { order, others: vec![Load::default(); dests].into(), read_at_ms: None }
    }

    fn read_others(&mut self, now_ms: u64, dests: &[Dest], worker: WorkerId, shared: &[Arc<WorkerShared>]) {
        if self.read_at_ms.is_some_and(|at| now_ms < at + READING_MS) {
            return;
        }
        self.read_at_ms = Some(now_ms);
        self.others.fill(Load::default());
        for (index, counters) in shared.iter().enumerate() {
            if index == usize::from(worker.0) {
                continue;
            }
            for (sum, dest) in self.others.iter_mut().zip(dests) {
                *sum = sum.plus(counters.dest(dest.id).map_or(Load::default(), |dest| dest.load()));
            }
        }
    }
}

/// All services' schedulers at one worker.
#[derive(Debug)]
pub struct Schedulers {
    worker: WorkerId,
    /// By service id.
    schedulers: Box<[Option<Scheduler>]>,
    overload: Overload,
}

impl Schedulers {
    /// Room for as many services and destinations as the limits say.
    pub fn new(worker: WorkerId, limits: &Limits) -> Self {
        let schedulers = (0..limits.services).map(|_| None).collect();
        Self { worker, schedulers, overload: Overload::new(limits) }
    }

    /// Follows a change of the configuration. Services that both tables share keep their state untouched; work and
    /// allocation are linear in what changed. The first call is with an empty `old` table.
    pub fn apply(&mut self, old: &ServiceTable, new: &ServiceTable) {
        for service in old.iter() {
            if new.service(service.id).is_none()
                && let Some(scheduler) = self.schedulers.get_mut(service.id.0 as usize)
            {
                *scheduler = None;
            }
        }
        for service in new.iter() {
            let before = old.shared(service.id);
            if !before.is_some_and(|before| Arc::ptr_eq(before, service)) {
                self.change(before.map(|before| &**before), service);
            }
        }
    }

    fn change(&mut self, before: Option<&Service>, service: &Service) {
        let Some(scheduler) = self.schedulers.get_mut(service.id.0 as usize) else { return };
        let change = Change::between(before.map_or(&[], |before| &before.dests), &service.dests);
        self.overload.dests_changed(&change);
        let mut order = match scheduler.take() {
            Some(scheduler) => scheduler.order,
            None => Order::new(service.scheduler, &[]),
        };
        if order.kind() == service.scheduler {
            order.dests_changed(&change);
        } else {
            order = Order::new(service.scheduler, &service.dests);
        }
        *scheduler = Some(Scheduler::new(order, service.dests.len()));
    }

    /// The index, among the service's destinations, of the one that takes a new connection; `None` if none can.
    /// `service` must be of the table applied last, `shared` is all workers'.
    pub fn pick(&mut self, now_ms: u64, service: &Service, shared: &[Arc<WorkerShared>]) -> Option<usize> {
        let scheduler = self.schedulers.get_mut(service.id.0 as usize)?.as_mut()?;
        let own = shared.get(usize::from(self.worker.0))?;
        let dests = &*service.dests;
        let alone = shared.len() == 1;
        if !alone {
            scheduler.read_others(now_ms, dests, self.worker, shared);
        }
        let Scheduler { order, others, .. } = scheduler;
        let load = |index: usize| {
            let live = own.dest(dests[index].id).map_or(Load::default(), |dest| dest.load());
            live.plus(others.get(index).copied().unwrap_or_default())
        };
        let overload = &mut self.overload;
        let admits = |index: usize| {
            let dest = &dests[index];
            if dest.upper != 0 {
                let total = load(index).total();
                overload.recover(dest, total);
                if !alone {
                    overload.bound(dest, total);
                }
            }
            dest.weight > 0 && !overload.is_set(dest)
        };
        order.pick(dests, admits, load)
    }

    /// A connection was bound to the destination, and is counted already. That one goes needs no such call.
    pub fn bound(&mut self, dest: &Dest, shared: &[Arc<WorkerShared>]) {
        if dest.upper != 0 {
            self.overload.bound(dest, total_load(shared, dest.id).total());
        }
    }

    /// Whether the destination took no more connections, because of its upper threshold, when it was last considered
    /// [IP_VS_DEST_F_OVERLOAD].
    pub fn is_overloaded(&self, dest: &Dest) -> bool {
        self.overload.is_set(dest)
    }
}
