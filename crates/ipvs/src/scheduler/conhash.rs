//! Consistent hashing, as DPVS has it [Karger et al. 1997]: each destination has points on a ring in proportion to its
//! weight; a flow goes to the destination of the first point from its hash on. When one comes or goes, no flow of the
//! others moves, as long as the largest weight stays within the same power of two and the number of destinations on the
//! same side of 64.
//!
//! As with `maglev`, the order of adding makes no difference.

use super::maglev::first_that;
use super::{Flow, hash};
use crate::{Dest, SchedulerOptions};

/// Points of a destination of the largest weight, rounded up to a power of two: shares are true to a few percent.
const POINTS: u64 = 4096;
/// The same where destinations are many.
const POINTS_OF_MANY: u64 = 512;
const MANY: usize = 64;
/// Points to try for a flow whose destination takes no connections, before any destination will do.
const PROBES: usize = 64;

/// Points in order, and whose they are.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    points: Box<[u64]>,
    owners: Box<[u32]>,
}

impl Ring {
    /// `None` if no destination has weight.
    pub(super) fn build(dests: &[Dest]) -> Option<Self> {
        let top = u64::from(dests.iter().map(|dest| dest.weight).max()?).next_power_of_two();
        let points = if dests.len() > MANY { POINTS_OF_MANY } else { POINTS };
        let mut ring: Vec<(u64, u32)> = Vec::new();
        for (index, dest) in dests.iter().enumerate() {
            let count = (u64::from(dest.weight) * points).div_ceil(top);
            ring.extend((0..count).map(|key| (hash::endpoint(dest.addr, dest.port, key), index as u32)));
        }
        ring.sort_unstable_by_key(|&(point, index)| {
            (point, dests[index as usize].addr, dests[index as usize].port)
        });
        let (points, owners): (Vec<u64>, Vec<u32>) = ring.into_iter().unzip();
        (!points.is_empty()).then(|| Self { points: points.into(), owners: owners.into() })
    }

    pub(super) fn pick(
        &self,
        flow: &Flow,
        options: &SchedulerOptions,
        len: usize,
        admits: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let hash = hash::flow(flow, options.port);
        let (before, after) = self.owners.split_at(self.points.partition_point(|&point| point < hash));
        let owners = after.iter().chain(before).take(PROBES).map(|&index| index as usize);
        first_that(owners, hash, len, admits)
    }
}
