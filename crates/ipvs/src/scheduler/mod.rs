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
//! **Hashing.** Tables of schedulers that hash are worked out when a service changes, in the snapshot, for all workers alike:
//! `prepared`. Those that remember addresses, lblc and lblcr, do so per worker.
//!
//! A new scheduler is a file here, a variant of `SchedulerKind` and `Order` (or `prepared::HashTable`), and the arms that the
//! compiler then asks for.

mod change;
mod conhash;
mod dh;
mod flow;
mod fo;
mod hash;
mod lblc;
mod lblcr;
mod lc;
mod locality;
mod maglev;
mod mh;
mod nq;
mod overload;
mod ovf;
mod prepared;
mod rr;
mod sed;
mod sh;
#[cfg(test)]
mod traces;
mod twos;
mod wlc;
mod wrr;

use std::sync::Arc;

use self::change::Change;
pub use self::flow::Flow;
pub use self::maglev::{MAGLEV_TABLE_SIZES, is_maglev_table_size};
use self::overload::Overload;
pub(crate) use self::prepared::Prepared;
use crate::shared::{Load, total_load};
use crate::{Dest, Limits, Rng, SchedulerKind, Service, ServiceTable, Settings, WorkerId, WorkerShared};

/// How long a reading of the other workers' counts is used, in milliseconds.
const READING_MS: u64 = 1;

/// What asks for a destination, and what the answer goes by.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Now.
    pub now_ms: u64,
    /// The new connection.
    pub flow: Flow,
    /// The table applied last.
    pub services: &'a ServiceTable,
    /// Switches.
    pub settings: &'a Settings,
}

/// What a scheduler remembers from one pick to the next.
#[derive(Clone, Debug)]
enum Order {
    Rr(rr::Cursor),
    Wrr(wrr::Cursor),
    Lc,
    Wlc,
    Sed,
    Nq,
    Fo,
    Ovf,
    Twos,
    Dh,
    /// Nothing: what it goes by is in the snapshot.
    Prepared(SchedulerKind),
    Lblc(lblc::Memory),
    Lblcr(lblcr::Memory),
}

impl Order {
    /// As if the scheduler was given to a service that has these destinations already [init_service].
    fn new(kind: SchedulerKind, dests: &[Dest], rng: &mut Rng) -> Self {
        use SchedulerKind as Kind;
        match kind {
            Kind::Rr => Self::Rr(rr::Cursor::new(dests)),
            Kind::Wrr => Self::Wrr(wrr::Cursor::new(dests)),
            Kind::Lc => Self::Lc,
            Kind::Wlc => Self::Wlc,
            Kind::Sed => Self::Sed,
            Kind::Nq => Self::Nq,
            Kind::Fo => Self::Fo,
            Kind::Ovf => Self::Ovf,
            Kind::Twos => Self::Twos,
            Kind::Dh => Self::Dh,
            Kind::Sh | Kind::Mh | Kind::Maglev | Kind::Conhash => Self::Prepared(kind),
            Kind::Lblc => Self::Lblc(lblc::Memory::new(rng)),
            Kind::Lblcr => Self::Lblcr(lblcr::Memory::new(rng)),
        }
    }

    fn kind(&self) -> SchedulerKind {
        match self {
            Self::Rr(_) => SchedulerKind::Rr,
            Self::Wrr(_) => SchedulerKind::Wrr,
            Self::Lc => SchedulerKind::Lc,
            Self::Wlc => SchedulerKind::Wlc,
            Self::Sed => SchedulerKind::Sed,
            Self::Nq => SchedulerKind::Nq,
            Self::Fo => SchedulerKind::Fo,
            Self::Ovf => SchedulerKind::Ovf,
            Self::Twos => SchedulerKind::Twos,
            Self::Dh => SchedulerKind::Dh,
            Self::Prepared(kind) => *kind,
            Self::Lblc(_) => SchedulerKind::Lblc,
            Self::Lblcr(_) => SchedulerKind::Lblcr,
        }
    }

    /// Destinations came, went or were edited [add_dest, del_dest, upd_dest].
    fn dests_changed(&mut self, change: &Change<'_>) {
        match self {
            Self::Rr(cursor) => cursor.dests_changed(change),
            Self::Wrr(cursor) => cursor.dests_changed(change),
            _ => {}
        }
    }

    /// The index of the destination to take. `admits` is asked whether it has weight and is not overloaded.
    fn pick(
        &mut self,
        request: &Request<'_>,
        service: &Service,
        admits: impl FnMut(usize) -> bool,
        load: impl Fn(usize) -> Load,
        rng: &mut Rng,
    ) -> Option<usize> {
        let Request { flow, services, .. } = request;
        let (dests, options) = (&*service.dests, &service.scheduler_options);
        match self {
            Self::Rr(cursor) => cursor.pick(dests.len(), admits),
            Self::Wrr(cursor) => cursor.pick(dests, admits),
            Self::Lc => lc::pick(dests.len(), admits, load),
            Self::Wlc => wlc::pick(dests, admits, load),
            Self::Sed => sed::pick(dests, admits, load),
            Self::Nq => nq::pick(dests, admits, load),
            Self::Fo => fo::pick(dests, admits),
            Self::Ovf => ovf::pick(dests, admits, load),
            Self::Twos => twos::pick(dests, admits, load, rng),
            Self::Dh => dh::pick(flow, dests.len(), admits),
            Self::Prepared(_) => services.prepared(service.id)?.pick(flow, options, dests.len(), admits),
            Self::Lblc(memory) => memory.pick(request, dests, admits, load),
            Self::Lblcr(memory) => memory.pick(request, dests, admits, load),
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
    /// For schedulers that draw, and for hashes that clients must not know.
    rng: Rng,
}

impl Schedulers {
    /// Room for as many services and destinations as the limits say.
    pub fn new(worker: WorkerId, limits: &Limits, seed: u64) -> Self {
        let schedulers = (0..limits.services).map(|_| None).collect();
        Self { worker, schedulers, overload: Overload::new(limits), rng: Rng::new(seed) }
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
            None => Order::new(service.scheduler, &[], &mut self.rng),
        };
        if order.kind() == service.scheduler {
            order.dests_changed(&change);
        } else {
            order = Order::new(service.scheduler, &service.dests, &mut self.rng);
        }
        *scheduler = Some(Scheduler::new(order, service.dests.len()));
    }

    /// The index, among the service's destinations, of the one that takes a new connection; `None` if none can.
    /// `service` must be of the request's table, `shared` is all workers'.
    pub fn pick(
        &mut self,
        request: &Request<'_>,
        service: &Service,
        shared: &[Arc<WorkerShared>],
    ) -> Option<usize> {
        let scheduler = self.schedulers.get_mut(service.id.0 as usize)?.as_mut()?;
        let own = shared.get(usize::from(self.worker.0))?;
        let dests = &*service.dests;
        let alone = shared.len() == 1;
        if !alone {
            scheduler.read_others(request.now_ms, dests, self.worker, shared);
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
                overload.look(dest, load(index).total());
            }
            dest.weight > 0 && !overload.is_set(dest)
        };
        order.pick(request, service, admits, load, &mut self.rng)
    }

    /// A connection was bound to the destination, and is counted already. That one goes needs no such call.
    pub fn bound(&mut self, dest: &Dest, shared: &[Arc<WorkerShared>]) {
        if dest.upper != 0 {
            let total = total_load(shared, dest.id).total();
            self.overload.look(dest, total.saturating_sub(1));
            self.overload.look(dest, total);
        }
    }

    /// Whether the destination took no more connections, because of its upper threshold, when it was last considered
    /// [IP_VS_DEST_F_OVERLOAD].
    pub fn is_overloaded(&self, dest: &Dest) -> bool {
        self.overload.is_set(dest)
    }
}
