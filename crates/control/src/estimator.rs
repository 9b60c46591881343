//! Rates of connections, packets and bytes, as smooth as those of Linux [ip_vs_est].
//!
//! Every two seconds each rate goes a quarter of the way towards what was counted since the last time. The arithmetic is the
//! kernel's, in the same fixed point, so that the same traffic shows the same numbers: a rate that came at once is
//! within a thousandth after 48 seconds, and one that ended reads 0 a while later.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::Rates;
use ipvs::{DestId, ServiceId, TrafficStats, WorkerShared};

use crate::baseline::{sum_dest, sum_service, sum_total};

/// Between two estimations.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// Fraction bits of connections and packets a second.
const PACKET_SHIFT: u32 = 10;
/// Fraction bits of bytes a second.
const BYTE_SHIFT: u32 = 5;

/// The rates of one thing that is counted.
#[derive(Debug, Default)]
struct Estimate {
    last: TrafficStats,
    conns: Smooth<PACKET_SHIFT>,
    in_pkts: Smooth<PACKET_SHIFT>,
    out_pkts: Smooth<PACKET_SHIFT>,
    in_bytes: Smooth<BYTE_SHIFT>,
    out_bytes: Smooth<BYTE_SHIFT>,
}

/// A rate a second with `SHIFT` fraction bits.
#[derive(Debug, Default)]
struct Smooth<const SHIFT: u32>(i64);

impl<const SHIFT: u32> Smooth<SHIFT> {
    /// Two seconds later, in which `counted` more were counted.
    fn step(&mut self, counted: u64) {
        let rate = (counted as i64) << (SHIFT - 1);
        self.0 += (rate - self.0) >> 2;
    }

    /// Rounded to the nearest, half a unit down.
    fn get(&self) -> u64 {
        ((self.0 + ((1 << (SHIFT - 1)) - 1)) >> SHIFT).max(0) as u64
    }
}

impl Estimate {
    /// Nothing has been counted before `now`.
    fn from(now: TrafficStats) -> Self {
        Estimate { last: now, ..Estimate::default() }
    }

    fn step(&mut self, now: TrafficStats) {
        self.conns.step(now.conns.wrapping_sub(self.last.conns));
        self.in_pkts.step(now.in_pkts.wrapping_sub(self.last.in_pkts));
        self.out_pkts.step(now.out_pkts.wrapping_sub(self.last.out_pkts));
        self.in_bytes.step(now.in_bytes.wrapping_sub(self.last.in_bytes));
        self.out_bytes.step(now.out_bytes.wrapping_sub(self.last.out_bytes));
        self.last = now;
    }

    fn rates(&self) -> Rates {
        Rates {
            connections_per_s: self.conns.get(),
            packets_in_per_s: self.in_pkts.get(),
            packets_out_per_s: self.out_pkts.get(),
            bytes_in_per_s: self.in_bytes.get(),
            bytes_out_per_s: self.out_bytes.get(),
        }
    }
}

/// The rates of services, destinations and all together.
#[derive(Debug, Default)]
pub struct Estimator {
    services: HashMap<ServiceId, Estimate>,
    dests: HashMap<DestId, Estimate>,
    total: Estimate,
}

impl Estimator {
    /// [`INTERVAL`] has passed. What is not named is forgotten; what is new begins at what its counters show now.
    pub fn step(
        &mut self,
        shared: &[Arc<WorkerShared>],
        services: impl Iterator<Item = ServiceId>,
        dests: impl Iterator<Item = DestId>,
    ) {
        self.services = stepped(&mut self.services, services, |id| sum_service(shared, id));
        self.dests = stepped(&mut self.dests, dests, |id| sum_dest(shared, id));
        self.total.step(sum_total(shared));
    }

    /// Estimation is switched off: nothing is known of any rate, until it is switched on again.
    pub fn suspend(&mut self, shared: &[Arc<WorkerShared>]) {
        *self = Estimator { total: Estimate::from(sum_total(shared)), ..Estimator::default() };
    }

    /// Rates of these begin anew, with their counters [ip_vs_zero_estimator].
    pub fn restart(&mut self, services: &[ServiceId], dests: &[DestId]) {
        for id in services {
            self.services.remove(id);
        }
        for id in dests {
            self.dests.remove(id);
        }
    }

    /// The rates of all together begin anew.
    pub fn restart_total(&mut self, shared: &[Arc<WorkerShared>]) {
        self.total = Estimate::from(sum_total(shared));
    }

    pub fn service(&self, id: ServiceId) -> Rates {
        self.services.get(&id).map(Estimate::rates).unwrap_or_default()
    }

    pub fn dest(&self, id: DestId) -> Rates {
        self.dests.get(&id).map(Estimate::rates).unwrap_or_default()
    }

    pub fn total(&self) -> Rates {
        self.total.rates()
    }
}

fn stepped<Id: Copy + Eq + std::hash::Hash>(
    before: &mut HashMap<Id, Estimate>,
    ids: impl Iterator<Item = Id>,
    now: impl Fn(Id) -> TrafficStats,
) -> HashMap<Id, Estimate> {
    let one = |id| {
        let now = now(id);
        let mut estimate = before.remove(&id).unwrap_or_else(|| Estimate::from(now));
        estimate.step(now);
        (id, estimate)
    };
    ids.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipvs::Limits;

    /// `per_interval` more of everything, so many times.
    fn after(estimate: &mut Estimate, per_interval: u64, times: u32) -> Rates {
        for _ in 0..times {
            let add = TrafficStats {
                conns: per_interval,
                in_pkts: 2 * per_interval,
                out_pkts: 3 * per_interval,
                in_bytes: 100 * per_interval,
                out_bytes: 1000 * per_interval,
            };
            let mut now = estimate.last;
            now.add(&add);
            estimate.step(now);
        }
        estimate.rates()
    }

    #[test]
    fn a_rate_is_approached_by_quarters_and_reached() {
        let mut estimate = Estimate::default();
        assert_eq!(after(&mut estimate, 2000, 1).connections_per_s, 250);
        assert_eq!(after(&mut estimate, 2000, 1).connections_per_s, 437);
        let steady = after(&mut estimate, 2000, 60);
        let want = Rates {
            connections_per_s: 1000,
            packets_in_per_s: 2000,
            packets_out_per_s: 3000,
            bytes_in_per_s: 100_000,
            bytes_out_per_s: 1_000_000,
        };
        assert_eq!(steady, want);
        assert_eq!(after(&mut estimate, 0, 60), Rates::default(), "and forgotten when it ends");
    }

    #[test]
    fn less_than_one_a_second_shows_as_what_it_is_nearest_to() {
        let mut estimate = Estimate::default();
        assert_eq!(after(&mut estimate, 1, 40).connections_per_s, 0, "one in two seconds");
        assert_eq!(after(&mut estimate, 2, 40).connections_per_s, 1);
        assert_eq!(after(&mut estimate, 3, 40).connections_per_s, 1, "half a unit goes down");
    }

    #[test]
    fn counters_that_wrap_are_no_burst() {
        let near = TrafficStats { in_pkts: u64::MAX - 9, ..TrafficStats::default() };
        let mut estimate = Estimate::from(near);
        estimate.step(TrafficStats { in_pkts: 10, ..TrafficStats::default() });
        assert_eq!(estimate.rates().packets_in_per_s, 2, "20 in two seconds, a quarter of the way");
    }

    #[test]
    fn what_is_new_or_zeroed_begins_with_what_its_counters_show() {
        let limits = Limits { services: 2, dests: 2, ..Limits::default() };
        let shared = [Arc::new(WorkerShared::new(&limits)), Arc::new(WorkerShared::new(&limits))];
        let count = |packets: u32| {
            for worker in &shared {
                (0..packets).for_each(|_| {
                    worker.service(ServiceId(1)).unwrap().count_in(100);
                    worker.dest(DestId(0)).unwrap().traffic.count_out(50);
                    worker.total.count_in(100);
                });
            }
        };
        let mut estimator = Estimator::default();
        count(1000);
        let step = |estimator: &mut Estimator| {
            estimator.step(&shared, [ServiceId(1)].into_iter(), [DestId(0)].into_iter());
        };
        estimator.restart_total(&shared);
        step(&mut estimator);
        assert_eq!(estimator.service(ServiceId(1)), Rates::default(), "what was before does not count");
        count(40);
        step(&mut estimator);
        assert_eq!(estimator.service(ServiceId(1)).packets_in_per_s, 10, "both workers' 80, a quarter");
        assert_eq!(estimator.service(ServiceId(1)).bytes_in_per_s, 1000);
        assert_eq!(estimator.dest(DestId(0)).packets_out_per_s, 10);
        assert_eq!(estimator.total().packets_in_per_s, 10);
        estimator.restart(&[ServiceId(1)], &[]);
        assert_eq!(estimator.service(ServiceId(1)), Rates::default());
        assert_eq!(estimator.dest(DestId(0)).packets_out_per_s, 10, "only what was zeroed");
        estimator.suspend(&shared);
        count(500);
        estimator.suspend(&shared);
        step(&mut estimator);
        assert_eq!(estimator.total(), Rates::default(), "what came meanwhile is no burst");
    }
}
