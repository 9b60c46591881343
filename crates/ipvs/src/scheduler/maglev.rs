//! Maglev hashing [Eisenbud et al. 2016]: a table of prime size in which each destination has taken its share of places, in
//! an order of its own; a flow's hash names a place. When a destination comes or goes, few flows of the others move.
//!
//! Beside `mh` this one hashes whole addresses, in a table as large as asked, gives shares by weight to within a place,
//! and leaves out destinations of weight 0. The order of adding makes no difference: two directors with the same destinations
//! pick alike.

use core::ops::RangeInclusive;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::{Flow, hash};
use crate::math::{is_prime, next_prime};
use crate::{Dest, SchedulerOptions};

const OFFSET_KEY: u64 = 1;
const SKIP_KEY: u64 = 2;
/// Places to try for a flow whose destination takes no connections, before any destination will do.
const PROBES: usize = 64;

/// How many places a table may have; both ends are prime.
pub const MAGLEV_TABLE_SIZES: RangeInclusive<u32> = 251..=5_000_011;

/// Whether a table may have this many places: as its orders of places ask for, it is a prime.
pub fn is_maglev_table_size(size: u32) -> bool {
    MAGLEV_TABLE_SIZES.contains(&size) && is_prime(size)
}

/// The index of the destination in each place.
#[derive(Clone, Debug)]
pub(super) struct Table(Box<[u32]>);

/// A destination's own order of places, and what it has taken.
struct Order {
    index: u32,
    weight: u64,
    next: u64,
    skip: u64,
    taken: u64,
}

impl Order {
    /// When its next place is due: heavy destinations take theirs more often.
    fn due(&self) -> u64 {
        ((self.taken + 1) << 32) / self.weight
    }
}

impl Table {
    /// `None` if no destination has weight. Takes time in the order of size times the logarithm of size.
    pub(super) fn build(dests: &[Dest], options: &SchedulerOptions) -> Option<Self> {
        let size = u64::from(next_prime(
            options.table_size.clamp(*MAGLEV_TABLE_SIZES.start(), *MAGLEV_TABLE_SIZES.end()),
        ));
        let weighty = dests.iter().enumerate().filter(|(_, dest)| dest.weight > 0);
        let mut orders: Vec<Order> = weighty
            .map(|(index, dest)| Order {
                index: index as u32,
                weight: dest.weight.into(),
                next: hash::endpoint(dest.addr, dest.port, OFFSET_KEY) % size,
                skip: hash::endpoint(dest.addr, dest.port, SKIP_KEY) % (size - 1) + 1,
                taken: 0,
            })
            .collect();
        orders.sort_by_key(|order| (dests[order.index as usize].addr, dests[order.index as usize].port));
        let mut turns: BinaryHeap<_> =
            orders.iter().enumerate().map(|(rank, order)| Reverse((order.due(), rank))).collect();
        let mut places = vec![u32::MAX; size as usize].into_boxed_slice();
        for _ in 0..size {
            let Reverse((_, rank)) = turns.pop()?;
            let order = &mut orders[rank];
            while places[order.next as usize] != u32::MAX {
                order.next = (order.next + order.skip) % size;
            }
            places[order.next as usize] = order.index;
            order.taken += 1;
            turns.push(Reverse((order.due(), rank)));
        }
        Some(Self(places))
    }

    pub(super) fn pick(
        &self,
        flow: &Flow,
        options: &SchedulerOptions,
        len: usize,
        admits: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let hash = hash::flow(flow, options.port);
        let first = (hash % self.0.len() as u64) as usize;
        let places = self.0[first..].iter().chain(&self.0[..first]);
        first_that(places.take(PROBES).map(|&index| index as usize), hash, len, admits)
    }
}

/// The first of `probes` that admits connections; if there is none, of all `len` destinations in an order by `hash`.
pub(super) fn first_that(
    probes: impl Iterator<Item = usize>,
    hash: u64,
    len: usize,
    mut admits: impl FnMut(usize) -> bool,
) -> Option<usize> {
    let start = hash.checked_rem(len as u64)? as usize;
    probes.chain(start..len).chain(0..start).find(|&index| admits(index))
}
