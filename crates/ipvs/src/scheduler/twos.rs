//! The power of two random choices [ip_vs_twos]: two destinations are drawn by weight, and the one that carries less for
//! its weight, counted as in `lc`, is taken; of equals the first drawn.
//!
//! As in Linux the draw is from 0 to the sum of the weights inclusive, which gives the destination added last one part in
//! (sum + 1) more than its weight. Both draws may hit the same one.

use super::{lc, sed};
use crate::shared::Load;
use crate::{Dest, Rng};

pub(super) fn pick(
    dests: &[Dest],
    mut admits: impl FnMut(usize) -> bool,
    load: impl Fn(usize) -> Load,
    rng: &mut Rng,
) -> Option<usize> {
    let admitted = (0..dests.len()).filter(|&index| admits(index));
    let sum: u64 = admitted.map(|index| u64::from(dests[index].weight)).sum();
    if sum == 0 {
        return None;
    }
    let (first, second) = (below(rng, sum + 1), below(rng, sum + 1));
    let (first, second) = (drawn(dests, &mut admits, first)?, drawn(dests, &mut admits, second)?);
    let share = |index: usize| (lc::overhead(load(index)), dests[index].weight);
    Some(if sed::compare(share(first), share(second)).is_gt() { second } else { first })
}

/// A number below `bound`, which is not 0; as even as 64 bits divide.
fn below(rng: &mut Rng, bound: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64
}

/// Where the weights, laid end to end from the last one added, reach `number`.
fn drawn(dests: &[Dest], admits: &mut impl FnMut(usize) -> bool, number: u64) -> Option<usize> {
    let mut reached = 0;
    (0..dests.len()).rev().find(|&index| {
        let takes_part = admits(index);
        reached += if takes_part { u64::from(dests[index].weight) } else { 0 };
        takes_part && number <= reached
    })
}
