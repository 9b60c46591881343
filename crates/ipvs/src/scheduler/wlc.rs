//! Weighted least connections [ip_vs_wlc]: the destination that carries least for its weight, counted as in `lc`; of
//! equals the one that was added last.

use super::lc::overhead;
use crate::Dest;
use crate::shared::Load;

pub(super) fn pick(
    dests: &[Dest],
    mut admits: impl FnMut(usize) -> bool,
    load: impl Fn(usize) -> Load,
) -> Option<usize> {
    // a / wa against b / wb, without dividing.
    let share = |index: usize| (u128::from(overhead(load(index))), u128::from(dests[index].weight));
    (0..dests.len()).rev().filter(|&index| admits(index)).min_by(|&a, &b| {
        let ((load_a, weight_a), (load_b, weight_b)) = (share(a), share(b));
        (load_a * weight_b).cmp(&(load_b * weight_a))
    })
}
