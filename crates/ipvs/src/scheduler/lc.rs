//! Least connections [ip_vs_lc]: the destination that carries least, an active connection counting as 256 inactive
//! ones; of equals the one that was added last.

use crate::shared::Load;

/// What a destination carries, in inactive connections.
pub(super) fn overhead(load: Load) -> u64 {
    (u64::from(load.active) << 8) + u64::from(load.inactive)
}

pub(super) fn pick(
    len: usize,
    mut admits: impl FnMut(usize) -> bool,
    load: impl Fn(usize) -> Load,
) -> Option<usize> {
    (0..len).rev().filter(|&index| admits(index)).min_by_key(|&index| overhead(load(index)))
}
