//! Which destinations take no more connections until some have gone [IP_VS_DEST_F_OVERLOAD].
//!
//! As in the kernel the flag goes up when a connection is bound, and comes down when few enough are left or when the
//! threshold is raised; in between it stays as it is, whatever the counts. Whether few enough are left is looked at when a
//! destination is about to be picked: nothing else asks, and so connections may go without a word.

use super::change::Change;
use crate::{Dest, Limits};

/// One flag per destination, by id.
#[derive(Debug)]
pub(super) struct Overload(Box<[bool]>);

impl Overload {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(vec![false; limits.dests as usize].into())
    }

    pub(super) fn is_set(&self, dest: &Dest) -> bool {
        self.0.get(dest.id.0 as usize).copied().unwrap_or(false)
    }

    /// A connection was bound; `total` includes it.
    pub(super) fn bound(&mut self, dest: &Dest, total: u32) {
        if dest.upper != 0 && total >= dest.upper {
            self.set(dest, true);
        }
    }

    /// Few enough may be left; `total` is what there is now.
    pub(super) fn recover(&mut self, dest: &Dest, total: u32) {
        let below = if dest.lower != 0 {
            total < dest.lower
        } else {
            u64::from(total) * 4 < u64::from(dest.upper) * 3
        };
        if below || dest.upper == 0 {
            self.set(dest, false);
        }
    }

    /// A higher threshold, or none, ends the overload; so does being a new destination.
    pub(super) fn dests_changed(&mut self, change: &Change<'_>) {
        for (old, new) in change.kept() {
            if new.upper == 0 || new.upper > old.upper {
                self.set(new, false);
            }
        }
        for dest in change.added() {
            self.set(dest, false);
        }
    }

    fn set(&mut self, dest: &Dest, overloaded: bool) {
        if let Some(flag) = self.0.get_mut(dest.id.0 as usize) {
            *flag = overloaded;
        }
    }
}
