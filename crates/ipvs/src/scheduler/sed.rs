//! Shortest expected delay [ip_vs_sed]: the destination where one more connection waits least for its weight. Only active
//! connections count; of equals the one that was added last.

use core::cmp::Ordering;

use crate::Dest;
use crate::shared::Load;

/// Active connections if one more came.
pub(super) fn expected(load: Load) -> u64 {
    u64::from(load.active) + 1
}

/// Which of two shares is the larger, carried load against weight, without dividing.
pub(super) fn compare((load_a, weight_a): (u64, u32), (load_b, weight_b): (u64, u32)) -> Ordering {
    let cross = |load: u64, weight: u32| u128::from(load) * u128::from(weight);
    cross(load_a, weight_b).cmp(&cross(load_b, weight_a))
}

pub(super) fn pick(
    dests: &[Dest],
    mut admits: impl FnMut(usize) -> bool,
    load: impl Fn(usize) -> Load,
) -> Option<usize> {
    let delay = |index: usize| (expected(load(index)), dests[index].weight);
    (0..dests.len()).rev().filter(|&index| admits(index)).min_by(|&a, &b| compare(delay(a), delay(b)))
}
