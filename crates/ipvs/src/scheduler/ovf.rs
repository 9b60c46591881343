//! Weighted overflow [ip_vs_ovf]: the heaviest destination, until it has more active connections than weight, then the
//! next heaviest. None is picked once all have: so each takes one connection more than its weight.

use super::fo;
use crate::Dest;
use crate::shared::Load;

pub(super) fn pick(
    dests: &[Dest],
    mut admits: impl FnMut(usize) -> bool,
    load: impl Fn(usize) -> Load,
) -> Option<usize> {
    fo::pick(dests, |index| load(index).active <= dests[index].weight && admits(index))
}
