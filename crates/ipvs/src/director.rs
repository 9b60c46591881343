//! The director of one worker: what it is made of, and what happens to it outside of packets.

use std::sync::Arc;

use conntab::{BuildError, ConnTable};
use inet::{PathMtu, PmtuCache};

use crate::app::session::Sessions;
use crate::connection::Tables;
use crate::defence::{Defences, Search};
use crate::engine::calls::Calls;
use crate::side::SideTable;
use crate::sync::SyncMemory;
use crate::trace::Tracer;
use crate::{DestId, Limits, Rng, Schedulers, ServiceTable, Snapshot, WorkerId, WorkerShared};

/// Tunnel destinations whose path MTU a worker remembers.
const PMTU_ENTRIES: usize = 4096;
/// Calls (of SIP) that a worker knows.
const CALLS_MAX: usize = 262_144;
/// Places in a table beyond what is allowed: for a connection that lives for one packet.
const SPARE: usize = 1;

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
    pub(crate) side: SideTable,
    pub(crate) sessions: Sessions,
    pub(crate) calls: Calls,
    /// Connections whose client's port is not known yet.
    pub(crate) without_port: u32,
    pub(crate) schedulers: Schedulers,
    pub(crate) pmtu: PmtuCache,
    pub(crate) sync: SyncMemory,
    /// A path MTU that the other workers have not been told.
    pub(crate) news: Option<PathMtu>,
    pub(crate) rng: Rng,
    /// Connections that this worker may have, both families together.
    pub(crate) capacity: usize,
    /// Identification of the next IPv4 packet made here.
    ip_id: u16,
    /// A search for connections whose destination is gone, if one is on.
    pub(crate) sweep: Option<Cursor>,
    /// What an operator sees of packets.
    pub(crate) tracer: Tracer,
    /// What is done against floods.
    pub(crate) defences: Defences,
    /// The search for connections to drop that goes with it.
    pub(crate) search: Search,
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
            v4: ConnTable::with_capacity(capacity + SPARE, hash_key(&mut rng))?,
            v6: ConnTable::with_capacity(capacity + SPARE, hash_key(&mut rng))?,
        };
        let mut schedulers = Schedulers::new(worker, limits, rng.next_u64());
        schedulers.apply(&ServiceTable::default(), &snapshot.services);
        let side_records = limits.side_records_per_worker(shared.len() as u16) as usize;
        let [a, b] = [rng.next_u64(), rng.next_u64()].map(u64::to_ne_bytes);
        let mut call_key = [0; 16];
        call_key[..8].copy_from_slice(&a);
        call_key[8..].copy_from_slice(&b);
        let core = Core {
            worker,
            tables,
            side: SideTable::with_capacity(side_records),
            sessions: Sessions::with_capacity(side_records),
            calls: Calls::with_capacity(side_records.min(CALLS_MAX), call_key),
            without_port: 0,
            sync: SyncMemory::with_capacity(capacity + SPARE),
            schedulers,
            pmtu: PmtuCache::new(PMTU_ENTRIES),
            news: None,
            ip_id: rng.next_u64() as u16,
            rng,
            shared,
            capacity,
            sweep: None,
            defences: Defences::default(),
            tracer: Tracer::default(),
            search: Search::default(),
        };
        Ok(Self { snapshot, core })
    }

    /// Goes by another configuration from now on. Returns the old one, for its maker to free.
    pub fn apply(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        if snapshot.settings.expire_nodest_conn {
            self.core.sweep = Some(Cursor::default());
        }
        self.core.schedulers.apply(&self.snapshot.services, &snapshot.services);
        self.core.defences.settings_changed();
        std::mem::replace(&mut self.snapshot, snapshot)
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What follows packets, for those who move them.
    pub fn tracer(&mut self) -> &mut Tracer {
        &mut self.core.tracer
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
}

fn hash_key(rng: &mut Rng) -> [u8; 32] {
    let mut key = [0; 32];
    key.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_ne_bytes()));
    key
}
