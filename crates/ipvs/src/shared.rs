//! Counters of one worker: written by it alone, read by control and, for the load of destinations, by the others.
//!
//! Every cell has a single writer, so that adding is a relaxed load and a relaxed store: no lock, no atomic
//! read-modify-write. A reader sees each cell whole, but not several cells of the same instant. Nothing is ever set
//! back to zero here; "zero" in a command means that control remembers the values and subtracts them [ip_vs_zero_stats].

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use crate::{DefenceLevel, DestId, Limits, ServiceId};

/// Connections and traffic at one moment. Bytes are those of the IP packet, headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficStats {
    /// Connections made.
    pub conns: u64,
    /// Packets from clients.
    pub in_pkts: u64,
    /// Packets to clients.
    pub out_pkts: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl TrafficStats {
    /// Adds another worker's share; wraps rather than fails.
    pub fn add(&mut self, other: &Self) {
        self.conns = self.conns.wrapping_add(other.conns);
        self.in_pkts = self.in_pkts.wrapping_add(other.in_pkts);
        self.out_pkts = self.out_pkts.wrapping_add(other.out_pkts);
        self.in_bytes = self.in_bytes.wrapping_add(other.in_bytes);
        self.out_bytes = self.out_bytes.wrapping_add(other.out_bytes);
    }
}

/// Counted connections and traffic [ip_vs_kstats].
#[derive(Debug, Default)]
pub struct Traffic {
    conns: AtomicU64,
    in_pkts: AtomicU64,
    out_pkts: AtomicU64,
    in_bytes: AtomicU64,
    out_bytes: AtomicU64,
}

impl Traffic {
    /// A connection was made [ip_vs_conn_stats]. For the owning worker only.
    pub fn count_conn(&self) {
        bump(&self.conns, 1);
    }

    /// A packet of `bytes` bytes came from a client [ip_vs_in_stats]. For the owning worker only.
    pub fn count_in(&self, bytes: u64) {
        bump(&self.in_pkts, 1);
        bump(&self.in_bytes, bytes);
    }

    /// A packet of `bytes` bytes went to a client [ip_vs_out_stats]. For the owning worker only.
    pub fn count_out(&self, bytes: u64) {
        bump(&self.out_pkts, 1);
        bump(&self.out_bytes, bytes);
    }

    /// The values now.
    pub fn read(&self) -> TrafficStats {
        TrafficStats {
            conns: self.conns.load(Relaxed),
            in_pkts: self.in_pkts.load(Relaxed),
            out_pkts: self.out_pkts.load(Relaxed),
            in_bytes: self.in_bytes.load(Relaxed),
            out_bytes: self.out_bytes.load(Relaxed),
        }
    }
}

/// What one worker has on one destination.
#[derive(Debug, Default)]
pub struct DestCounters {
    /// Connections and packets.
    pub traffic: Traffic,
    active: AtomicU32,
    inactive: AtomicU32,
    persistent: AtomicU32,
    refs: AtomicU32,
}

/// Connections on a destination, by whether their state counts as active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// In a state that counts as active [activeconns].
    pub active: u32,
    /// All others [inactconns].
    pub inactive: u32,
}

impl Load {
    /// Both kinds.
    pub fn total(self) -> u32 {
        self.active.saturating_add(self.inactive)
    }

    /// Both loads together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            active: self.active.saturating_add(other.active),
            inactive: self.inactive.saturating_add(other.inactive),
        }
    }
}

impl DestCounters {
    /// A connection was bound to the destination [ip_vs_bind_dest]. For the owning worker only.
    pub fn bind(&self, active: bool) {
        step(self.side(active), 1);
        step(&self.refs, 1);
    }

    /// A connection let go of the destination [ip_vs_unbind_dest]. For the owning worker only.
    pub fn unbind(&self, active: bool) {
        step(self.side(active), -1);
        step(&self.refs, -1);
    }

    /// A template was bound to the destination [ip_vs_bind_dest]. For the owning worker only.
    pub fn bind_template(&self) {
        step(&self.persistent, 1);
        step(&self.refs, 1);
    }

    /// A template let go of the destination [ip_vs_unbind_dest]. For the owning worker only.
    pub fn unbind_template(&self) {
        step(&self.persistent, -1);
        step(&self.refs, -1);
    }

    /// A bound connection became active, or stopped being so. For the owning worker only.
    pub fn set_active(&self, active: bool) {
        step(self.side(active), 1);
        step(self.side(!active), -1);
    }

    /// Connections now.
    pub fn load(&self) -> Load {
        Load { active: self.active.load(Relaxed), inactive: self.inactive.load(Relaxed) }
    }

    /// Templates now [persistconns]; they are no load.
    pub fn persistent(&self) -> u32 {
        self.persistent.load(Relaxed)
    }

    /// Connections and other state that name the destination: while there are any, its id is in use.
    pub fn refs(&self) -> u32 {
        self.refs.load(Relaxed)
    }

    fn side(&self, active: bool) -> &AtomicU32 {
        if active { &self.active } else { &self.inactive }
    }
}

/// Everything that one worker counts in the director.
#[derive(Debug)]
pub struct WorkerShared {
    services: Box<[Traffic]>,
    dests: Box<[DestCounters]>,
    /// All services together.
    pub total: Traffic,
    connections: AtomicU32,
    third_hosts: AtomicU64,
    defence: AtomicU64,
}

impl WorkerShared {
    /// Room for as many services and destinations as the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            services: (0..limits.services).map(|_| Traffic::default()).collect(),
            dests: (0..limits.dests).map(|_| DestCounters::default()).collect(),
            total: Traffic::default(),
            connections: AtomicU32::new(0),
            third_hosts: AtomicU64::new(0),
            defence: AtomicU64::new(0),
        }
    }

    /// One service; `None` for an id beyond the limits.
    pub fn service(&self, id: ServiceId) -> Option<&Traffic> {
        self.services.get(id.0 as usize)
    }

    /// One destination; `None` for an id beyond the limits.
    pub fn dest(&self, id: DestId) -> Option<&DestCounters> {
        self.dests.get(id.0 as usize)
    }

    /// FTP sessions in which one end named a third host for a data connection, which was not expected then.
    pub fn third_hosts(&self) -> u64 {
        self.third_hosts.load(Relaxed)
    }

    /// One end of an FTP session named a third host. For the owning worker only.
    pub fn count_third_host(&self) {
        bump(&self.third_hosts, 1);
    }

    /// Connections in this worker's table.
    pub fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    /// Which defences are on at this worker.
    pub fn defence(&self) -> DefenceLevel {
        DefenceLevel::from_bits(self.defence.load(Relaxed))
    }

    /// Says which defences are on. For the owning worker only.
    pub fn set_defence(&self, level: DefenceLevel) {
        self.defence.store(level.to_bits(), Relaxed);
    }

    /// Says how many connections are in the table. For the owning worker only.
    pub fn set_connections(&self, count: u32) {
        self.connections.store(count, Relaxed);
    }
}

/// The load of a destination over all workers.
pub fn total_load(shared: &[Arc<WorkerShared>], id: DestId) -> Load {
    shared
        .iter()
        .filter_map(|worker| worker.dest(id))
        .fold(Load::default(), |sum, dest| sum.plus(dest.load()))
}

fn bump(cell: &AtomicU64, by: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(by), Relaxed);
}

fn step(cell: &AtomicU32, by: i32) {
    cell.store(cell.load(Relaxed).saturating_add_signed(by), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_counts_each_direction_apart() {
        let traffic = Traffic::default();
        traffic.count_conn();
        traffic.count_in(60);
        traffic.count_in(40);
        traffic.count_out(1500);
        let want = TrafficStats { conns: 1, in_pkts: 2, out_pkts: 1, in_bytes: 100, out_bytes: 1500 };
        assert_eq!(traffic.read(), want);
        let mut sum = want;
        sum.add(&want);
        assert_eq!(sum, TrafficStats { conns: 2, in_pkts: 4, out_pkts: 2, in_bytes: 200, out_bytes: 3000 });
    }

    #[test]
    fn a_connection_is_counted_on_one_side_until_it_goes() {
        let dest = DestCounters::default();
        dest.bind(false);
        assert_eq!((dest.load(), dest.refs()), (Load { active: 0, inactive: 1 }, 1));
        dest.set_active(true);
        assert_eq!(dest.load(), Load { active: 1, inactive: 0 });
        dest.set_active(false);
        assert_eq!(dest.load(), Load { active: 0, inactive: 1 });
        dest.bind_template();
        assert_eq!((dest.load().total(), dest.persistent(), dest.refs()), (1, 1, 2), "a template is no load");
        dest.unbind(false);
        assert_eq!((dest.load(), dest.refs()), (Load::default(), 1));
        dest.unbind_template();
        assert_eq!((dest.persistent(), dest.refs()), (0, 0));
    }

    #[test]
    fn ids_beyond_the_limits_have_no_counters() {
        let shared = WorkerShared::new(&Limits { services: 2, dests: 3, ..Limits::default() });
        assert!(shared.service(ServiceId(1)).is_some() && shared.service(ServiceId(2)).is_none());
        assert!(shared.dest(DestId(2)).is_some() && shared.dest(DestId(3)).is_none());
    }

    #[test]
    fn loads_of_all_workers_are_summed() {
        let limits = Limits { services: 1, dests: 1, ..Limits::default() };
        let workers = [Arc::new(WorkerShared::new(&limits)), Arc::new(WorkerShared::new(&limits))];
        workers[0].dest(DestId(0)).unwrap().bind(true);
        workers[1].dest(DestId(0)).unwrap().bind(false);
        assert_eq!(total_load(&workers, DestId(0)), Load { active: 1, inactive: 1 });
        assert_eq!(total_load(&workers, DestId(9)), Load::default());
    }
}
