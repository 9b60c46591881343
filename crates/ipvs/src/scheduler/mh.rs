//! Source hashing with Maglev's table [ip_vs_mh]: the client's address, with the port flag its port too, names one of
//! 4093 places, of which each destination has taken its share in an order of its own [Eisenbud et al. 2016].
//!
//! Hashes and their keys are those of Linux, so that picks agree with it. The table follows the last weights that were
//! not 0: a destination whose weight is set to 0 keeps its places, and its clients are refused, unless the fallback
//! flag lets them probe on.

use core::net::IpAddr;
use std::sync::Arc;

use wire::Family;

use super::Flow;
use super::hash::{fold, spread};
use crate::math::gcd;
use crate::siphash::siphash13;
use crate::{Dest, SchedulerOptions};

/// Places in the table: what the kernel is built with by default [CONFIG_IP_VS_MH_TAB_INDEX=12].
const PLACES: u32 = 4093;
/// Bits of a weight, divided by all weights' common divisor, that make a difference; what is lighter counts as 1.
const WEIGHT_BITS: u32 = 6;
const OFFSET_KEY: u64 = 2_654_435_761;
const SKIP_KEY: u64 = 2_654_446_892;

/// The index of the destination in each place.
#[derive(Clone, Debug)]
pub(super) struct Table(Box<[u32]>);

/// A destination's own order of places.
struct Order {
    index: u32,
    next: u32,
    skip: u32,
    turns: u32,
}

impl Table {
    /// `weights` are the destinations' last that were not 0, by index. `None` if all are 0.
    pub(super) fn build(family: Family, dests: &[Dest], weights: &[u32]) -> Option<Self> {
        let unit = weights.iter().copied().fold(0, gcd);
        let top = weights.iter().max()?.checked_div(unit)?;
        let shift = (u32::BITS - top.leading_zeros()).saturating_sub(WEIGHT_BITS);
        let order = |(index, (dest, weight)): (usize, (&Dest, &u32))| {
            let key = endpoint(family, dest.addr).wrapping_add(dest.port.into());
            Order {
                index: index as u32,
                next: hash(key, OFFSET_KEY) % PLACES,
                skip: hash(key, SKIP_KEY) % (PLACES - 1) + 1,
                turns: ((weight / unit) >> shift).max(u32::from(*weight > 0)),
            }
        };
        let mut orders: Vec<Order> = dests.iter().zip(weights).enumerate().rev().map(order).collect();
        let mut places = vec![u32::MAX; PLACES as usize].into_boxed_slice();
        let mut free = PLACES;
        while free > 0 {
            for order in &mut orders {
                let turns = order.turns.min(free);
                (0..turns).for_each(|_| order.take(&mut places));
                free -= turns;
            }
        }
        Some(Self(places))
    }

    pub(super) fn pick(
        &self,
        flow: &Flow,
        options: &SchedulerOptions,
        len: usize,
        mut admits: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let key = fold(flow.client).wrapping_add(if options.port { flow.client_port.into() } else { 0 });
        let place = |offset: u32| hash(key.wrapping_add(offset), OFFSET_KEY) % PLACES;
        let at = |offset: u32| self.0[place(offset) as usize] as usize;
        let own = at(0);
        if admits(own) {
            return Some(own);
        }
        // Thousands of probes that cannot succeed are not worth it.
        if !options.fallback || !(0..len).any(&mut admits) {
            return None;
        }
        let first = place(0);
        (0..PLACES).map(|offset| at((first + offset) % PLACES)).find(|&index| admits(index))
    }
}

impl Order {
    /// Takes the next place that is free; there must be one.
    fn take(&mut self, places: &mut [u32]) {
        while places[self.next as usize] != u32::MAX {
            self.next = (self.next + self.skip) % PLACES;
        }
        places[self.next as usize] = self.index;
    }
}

/// A server's address as the kernel's table of an IPv4 service sees it: of an IPv6 one the first word only.
fn endpoint(family: Family, addr: IpAddr) -> u32 {
    match (family, addr) {
        (Family::V4, IpAddr::V6(addr)) => (addr.to_bits() >> 96) as u32,
        _ => fold(addr),
    }
}

/// The kernel's hsiphash of one word on a 64-bit machine: the low half of SipHash-1-3.
fn hash(word: u32, key: u64) -> u32 {
    siphash13(&spread(key), &word.to_le_bytes()) as u32
}

/// The weights that the table follows: those of `dests`, and where one is 0 the last that was not, by `before`.
pub(super) fn last_weights(dests: &[Dest], before: impl Fn(&Dest) -> u32) -> Arc<[u32]> {
    dests.iter().map(|dest| if dest.weight == 0 { before(dest) } else { dest.weight }).collect()
}
