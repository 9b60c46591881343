//! What counters showed when they were last set to zero.
//!
//! Workers only ever add; "zero" is remembered here and subtracted. An id that is used for something new
//! starts at zero the same way.

use std::collections::HashMap;
use std::sync::Arc;

use api::Traffic;
use ipvs::{DestId, ServiceId, TrafficStats, WorkerShared};

/// Counters at zero time, by id; absent: zero time is the daemon's start.
#[derive(Debug, Default)]
pub struct Baselines {
    services: HashMap<ServiceId, TrafficStats>,
    dests: HashMap<DestId, TrafficStats>,
    total: TrafficStats,
}

impl Baselines {
    /// Sets these counters to zero.
    pub fn mark(&mut self, shared: &[Arc<WorkerShared>], services: &[ServiceId], dests: &[DestId]) {
        self.services.extend(services.iter().map(|&id| (id, sum_service(shared, id))));
        self.dests.extend(dests.iter().map(|&id| (id, sum_dest(shared, id))));
    }

    /// Sets the sum of all services to zero.
    pub fn mark_total(&mut self, shared: &[Arc<WorkerShared>]) {
        self.total = sum_total(shared);
    }

    pub fn service(&self, shared: &[Arc<WorkerShared>], id: ServiceId) -> Traffic {
        since(sum_service(shared, id), self.services.get(&id))
    }

    pub fn dest(&self, shared: &[Arc<WorkerShared>], id: DestId) -> Traffic {
        since(sum_dest(shared, id), self.dests.get(&id))
    }

    pub fn total(&self, shared: &[Arc<WorkerShared>]) -> Traffic {
        since(sum_total(shared), Some(&self.total))
    }
}

fn sum(parts: impl Iterator<Item = TrafficStats>) -> TrafficStats {
    parts.fold(TrafficStats::default(), |mut sum, part| {
        sum.add(&part);
        sum
    })
}

pub(crate) fn sum_service(shared: &[Arc<WorkerShared>], id: ServiceId) -> TrafficStats {
    sum(shared.iter().filter_map(|worker| worker.service(id)).map(|traffic| traffic.read()))
}

pub(crate) fn sum_dest(shared: &[Arc<WorkerShared>], id: DestId) -> TrafficStats {
    sum(shared.iter().filter_map(|worker| worker.dest(id)).map(|dest| dest.traffic.read()))
}

pub(crate) fn sum_total(shared: &[Arc<WorkerShared>]) -> TrafficStats {
    sum(shared.iter().map(|worker| worker.total.read()))
}

fn since(now: TrafficStats, zero: Option<&TrafficStats>) -> Traffic {
    let zero = zero.copied().unwrap_or_default();
    Traffic {
        connections: now.conns.wrapping_sub(zero.conns),
        packets_in: now.in_pkts.wrapping_sub(zero.in_pkts),
        packets_out: now.out_pkts.wrapping_sub(zero.out_pkts),
        bytes_in: now.in_bytes.wrapping_sub(zero.in_bytes),
        bytes_out: now.out_bytes.wrapping_sub(zero.out_bytes),
    }
}
