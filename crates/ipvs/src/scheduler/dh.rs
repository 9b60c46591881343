//! Destination hashing [ip_vs_dh]: the address that the client asked for names one of 256 buckets, which the
//! destinations share equally, whatever their weights. For services by mark, which have many addresses.
//!
//! A bucket whose destination takes no connections refuses them.

use super::Flow;
use super::hash::{fold, multiplicative};

const BITS: u32 = 8;

/// The index of the destination in `flow`'s bucket, of `len`; `None` without destinations.
pub(super) fn pick(flow: &Flow, len: usize, mut admits: impl FnMut(usize) -> bool) -> Option<usize> {
    // Buckets are dealt in turn from the last one added: no table is needed to know whose one is.
    let bucket = multiplicative::<BITS>(fold(flow.dst)) as usize;
    let index = len.checked_sub(1 + bucket.checked_rem(len)?)?;
    admits(index).then_some(index)
}
