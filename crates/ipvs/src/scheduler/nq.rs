//! Never queue [ip_vs_nq]: a destination without active connections, the one that was added last; if all are busy the
//! one with the shortest expected delay.

use super::sed;
use crate::Dest;
use crate::shared::Load;

pub(super) fn pick(
    dests: &[Dest],
    mut admits: impl FnMut(usize) -> bool,
    load: impl Fn(usize) -> Load,
) -> Option<usize> {
    let idle = (0..dests.len()).rev().find(|&index| admits(index) && load(index).active == 0);
    idle.or_else(|| sed::pick(dests, admits, load))
}
