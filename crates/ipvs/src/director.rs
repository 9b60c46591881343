//! The director of one worker: what it is made of, and what happens to it outside of packets.
//!
//! Invariant: every connection in the tables is counted once on its destination (`bind` when it is made, `unbind` when
//! it goes), whatever becomes of the destination meanwhile.

use std::sync::Arc;

use conntab::{BuildError, ConnId, ConnTable, Expire};
use inet::{PathMtu, PmtuCache};

use crate::connection::{Connection, FlowKey, Tables};
use crate::{DestId, Limits, Rng, Schedulers, ServiceId, ServiceTable, Snapshot, WorkerId, WorkerShared};

/// Tunnel destinations whose path MTU a worker remembers.
const PMTU_ENTRIES: usize = 4096;
/// Connections that one look of a sweep removes at most before the rest waits for the next turn.
const SWEEP_CHUNK: usize = 32;

/// One worker's director: its connections, and the configuration that it goes by.
pub struct Director {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) core: Core,
}

/// What a director changes while it works; the steps of the pipeline are its methods.
pub(crate) struct Core {
    pub(crate) worker: WorkerId,
    pub(crate) shared: Vec<Arc<WorkerShared>>,
    pub(crate) tables: Tables,
    pub(crate) schedulers: Schedulers,
    pub(crate) pmtu: PmtuCache,
    /// A path MTU that the other workers have not been told.
    pub(crate) news: Option<PathMtu>,
    pub(crate) rng: Rng,
    /// Connections that this worker may have, both families together.
    capacity: usize,
    /// Identification of the next IPv4 packet made here.
    ip_id: u16,
    /// A search for connections whose destination is gone, if one is on.
    sweep: Option<Cursor>,
}

/// Where a walk over all connections is: IPv4 first. The default is the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// Among the IPv4 connections.
    V4(conntab::Cursor),
    /// Among the IPv6 connections.
    V6(conntab::Cursor),
}

impl Default for Cursor {
    fn default() -> Self {
        Self::V4(conntab::Cursor::default())
    }
}

impl Director {
    /// A director for `worker`, with an equal share of the connections that `limits` allow. `shared` has the counters of
    /// all workers, indexed by [`WorkerId`]; `seed` is random and secret, for it keys the connection hash.
    ///
    /// # Panics
    /// If `shared` has nothing for `worker`.
    pub fn new(
        worker: WorkerId,
        limits: &Limits,
        snapshot: Arc<Snapshot>,
        shared: Vec<Arc<WorkerShared>>,
        seed: u64,
    ) -> Result<Self, BuildError> {
        assert!(usize::from(worker.0) < shared.len(), "counters of all workers");
        let capacity = limits.connections_per_worker(shared.len() as u16) as usize;
        let mut rng = Rng::new(seed);
        let tables = Tables {
            v4: ConnTable::with_capacity(capacity, hash_key(&mut rng))?,
            v6: ConnTable::with_capacity(capacity, hash_key(&mut rng))?,
        };
        let mut schedulers = Schedulers::new(worker, limits, rng.next_u64());
        schedulers.apply(&ServiceTable::default(), &snapshot.services);
        let core = Core {
            worker,
            tables,
            schedulers,
            pmtu: PmtuCache::new(PMTU_ENTRIES),
            news: None,
            ip_id: rng.next_u64() as u16,
            rng,
            shared,
            capacity,
            sweep: None,
        };
        Ok(Self { snapshot, core })
    }

    /// Goes by another configuration from now on. Returns the old one, for its maker to free.
    pub fn apply(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        if snapshot.settings.expire_nodest_conn {
            self.core.sweep = Some(Cursor::default());
        }
        self.core.schedulers.apply(&self.snapshot.services, &snapshot.services);
        std::mem::replace(&mut self.snapshot, snapshot)
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Connections in the tables.
    pub fn connections(&self) -> usize {
        self.core.tables.len()
    }

    /// The path MTU that the last packet told, if it was new: for the other workers.
    pub fn take_path_mtu(&mut self) -> Option<PathMtu> {
        self.core.news.take()
    }

    /// Notes a path MTU that another worker was told.
    pub fn learn_path_mtu(&mut self, now_ms: u64, path: PathMtu) {
        self.core.pmtu.learn(now_ms, path.dst, path.mtu);
    }

    /// Ends the connections whose time has come, as far as `budget` goes (one each, and one for each tick of time).
    pub fn expire(&mut self, now_ms: u64, budget: usize) {
        let (tables, own) = self.core.split();
        // Apart, so that neither family can keep the other waiting.
        let share = budget.div_ceil(2);
        expire_in(&mut tables.v4, own, now_ms, share);
        expire_in(&mut tables.v6, own, now_ms, share);
        if let Some(cursor) = self.core.sweep {
            let services = &self.snapshot.services;
            self.core.sweep = self.core.sweep_where(cursor, budget, |dest| services.dest(dest).is_none());
        }
        self.core.publish_len();
    }

    /// Drops the connections in the next `budget` places of the tables. `None` when all are gone, else where to go on.
    pub fn flush(&mut self, cursor: Cursor, budget: usize) -> Option<Cursor> {
        let (tables, own) = self.core.split();
        let next = match cursor {
            Cursor::V4(at) => {
                let next = tables.v4.clear(at, budget, |_, conn| unbind(own, conn));
                Some(next.map_or(Cursor::V6(conntab::Cursor::default()), Cursor::V4))
            }
            Cursor::V6(at) => tables.v6.clear(at, budget, |_, conn| unbind(own, conn)).map(Cursor::V6),
        };
        self.core.publish_len();
        next
    }
}

impl Director {
    /// As [`Director::flush`], but only connections of one service; those whose destination was removed stay.
    pub fn flush_service(&mut self, service: ServiceId, cursor: Cursor, budget: usize) -> Option<Cursor> {
        let services = &self.snapshot.services;
        let of_service = |dest| services.dest(dest).is_some_and(|(of, _)| of.id == service);
        self.core.sweep_where(cursor, budget, of_service)
    }
}

impl Core {
    /// This worker's counters.
    pub(crate) fn own(&self) -> &WorkerShared {
        &self.shared[usize::from(self.worker.0)]
    }

    /// Whether the worker has all the connections that it may have.
    pub(crate) fn is_full(&self) -> bool {
        self.tables.len() >= self.capacity
    }

    /// The identification of a packet made here, never 0.
    pub(crate) fn next_ip_id(&mut self) -> u16 {
        self.ip_id = self.ip_id.wrapping_add(1).max(1);
        self.ip_id
    }

    /// Ends a connection at once [ip_vs_conn_expire_now].
    pub(crate) fn remove<K: FlowKey>(&mut self, id: ConnId) {
        let (tables, own) = self.split();
        if let Some(conn) = K::table_mut(tables).remove(id) {
            unbind(own, &conn);
            self.publish_len();
        }
    }

    /// The tables, and apart from them this worker's counters.
    fn split(&mut self) -> (&mut Tables, &WorkerShared) {
        (&mut self.tables, &self.shared[usize::from(self.worker.0)])
    }

    /// Tells control how many connections there are.
    pub(crate) fn publish_len(&self) {
        self.own().set_connections(self.tables.len() as u32);
    }

    /// Counts a packet from a client on everything it concerns [ip_vs_in_stats]: nothing, if the destination is gone.
    pub(crate) fn count_in(&self, snapshot: &Snapshot, dest: DestId, bytes: u64) {
        if let Some((service, _)) = snapshot.services.dest(dest) {
            let own = self.own();
            own.dest(dest).into_iter().for_each(|dest| dest.traffic.count_in(bytes));
            own.service(service.id).into_iter().for_each(|service| service.count_in(bytes));
            own.total.count_in(bytes);
        }
    }

    /// Counts a packet to a client on everything it concerns [ip_vs_out_stats]: nothing, if the destination is gone.
    pub(crate) fn count_out(&self, snapshot: &Snapshot, dest: DestId, bytes: u64) {
        if let Some((service, _)) = snapshot.services.dest(dest) {
            let own = self.own();
            own.dest(dest).into_iter().for_each(|dest| dest.traffic.count_out(bytes));
            own.service(service.id).into_iter().for_each(|service| service.count_out(bytes));
            own.total.count_out(bytes);
        }
    }

    /// Removes the connections whose destination is `wanted`, as far as `budget` goes.
    fn sweep_where(
        &mut self,
        cursor: Cursor,
        budget: usize,
        wanted: impl Fn(DestId) -> bool,
    ) -> Option<Cursor> {
        let mut at = cursor;
        for _ in 0..budget.div_ceil(SWEEP_CHUNK) {
            at = match at {
                Cursor::V4(from) => {
                    let next = self.sweep_in(from, &wanted, |core| &mut core.tables.v4);
                    next.map_or(Cursor::V6(conntab::Cursor::default()), Cursor::V4)
                }
                Cursor::V6(from) => Cursor::V6(self.sweep_in(from, &wanted, |core| &mut core.tables.v6)?),
            };
        }
        Some(at)
    }

    fn sweep_in<K: FlowKey>(
        &mut self,
        from: conntab::Cursor,
        wanted: impl Fn(DestId) -> bool,
        table: impl Fn(&mut Self) -> &mut ConnTable<Connection<K>>,
    ) -> Option<conntab::Cursor> {
        let mut found = [None; SWEEP_CHUNK];
        let mut count = 0;
        let next = table(self).scan(from, SWEEP_CHUNK, |id, conn| {
            if wanted(conn.dest) {
                found[count] = Some(id);
                count += 1;
            }
        });
        found.into_iter().flatten().for_each(|id| self.remove::<K>(id));
        next
    }
}

/// Takes a connection that goes off its destination's counts [ip_vs_unbind_dest].
fn unbind<K: FlowKey>(own: &WorkerShared, conn: &Connection<K>) {
    if let Some(dest) = own.dest(conn.dest) {
        dest.unbind(conn.is_active());
    }
}

fn expire_in<K: FlowKey>(
    table: &mut ConnTable<Connection<K>>,
    own: &WorkerShared,
    now_ms: u64,
    budget: usize,
) {
    table.expire(now_ms, budget, |_, conn| {
        unbind(own, conn);
        Expire::Remove
    });
}

fn hash_key(rng: &mut Rng) -> [u8; 32] {
    let mut key = [0; 32];
    key.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_ne_bytes()));
    key
}
