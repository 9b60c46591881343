//! Source hashing [ip_vs_sh]: the client's address, with the port flag its port too, names one of 256 buckets, which
//! the destinations share by weight.
//!
//! A destination of weight 0 keeps one bucket, and its clients are refused, unless the fallback flag lets them probe on.

use super::Flow;
use super::hash::{fold, multiplicative};
use crate::{Dest, SchedulerOptions};

const BITS: u32 = 8;
const BUCKETS: usize = 1 << BITS;

/// The index of the destination in each bucket.
#[derive(Clone, Debug)]
pub(super) struct Table(Box<[u32; BUCKETS]>);

impl Table {
    /// `None` without destinations.
    pub(super) fn build(dests: &[Dest]) -> Option<Self> {
        let turns = |index: usize| dests[index].weight.clamp(1, BUCKETS as u32) as usize;
        let round = (0..dests.len()).rev().flat_map(|index| core::iter::repeat_n(index as u32, turns(index)));
        let mut buckets = Box::new([0; BUCKETS]);
        buckets.iter_mut().zip(round.cycle()).for_each(|(bucket, index)| *bucket = index);
        (!dests.is_empty()).then_some(Self(buckets))
    }

    pub(super) fn pick(
        &self,
        flow: &Flow,
        options: &SchedulerOptions,
        mut admits: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let key = fold(flow.client).wrapping_add(if options.port { flow.client_port.into() } else { 0 });
        let first = multiplicative::<BITS>(key);
        let at = |offset: u32| self.0[(first + offset) as usize % BUCKETS] as usize;
        let own = at(0);
        if admits(own) {
            return Some(own);
        }
        // The walk begins as far from the client's bucket as that is from the first one, and goes once around.
        let probes = if options.fallback { BUCKETS as u32 } else { 0 };
        (0..probes).map(|offset| at(first + offset)).find(|&index| admits(index))
    }
}
