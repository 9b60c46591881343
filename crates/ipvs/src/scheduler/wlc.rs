//! Weighted least connections [ip_vs_wlc]: the destination that carries least for its weight, counted as in `lc`; of
//! equals the one that was added last.

use super::{lc, sed};
use crate::Dest;
use crate::shared::Load;

pub(super) fn pick(
    dests: &[Dest],
    mut admits: impl FnMut(usize) -> bool,
    load: impl Fn(usize) -> Load,
) -> Option<usize> {
    let share = |index: usize| (lc::overhead(load(index)), dests[index].weight);
    (0..dests.len()).rev().filter(|&index| admits(index)).min_by(|&a, &b| sed::compare(share(a), share(b)))
}
