//! Weighted failover [ip_vs_fo]: always the heaviest destination that takes connections; of equals the one that was
//! added last.

use crate::Dest;

pub(super) fn pick(dests: &[Dest], mut admits: impl FnMut(usize) -> bool) -> Option<usize> {
    // `max_by_key` takes the last of equals, and the walk is from the last one added: so it goes the other way round.
    (0..dests.len()).filter(|&index| admits(index)).max_by_key(|&index| dests[index].weight)
}
