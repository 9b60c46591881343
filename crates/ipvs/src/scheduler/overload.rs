//! Which destinations take no more connections until some have gone [IP_VS_DEST_F_OVERLOAD].
//!
//! As in the kernel the flag is up from `upper` connections on, and comes down when few enough are left; in between it
//! stays as it is, whatever is edited meanwhile. Connections go without a word, so how many are left is looked at when a
//! destination is about to be picked and when it has got one more: nothing else can tell the difference.

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

    /// The destination has `total` connections now.
    pub(super) fn look(&mut self, dest: &Dest, total: u32) {
        let below = if dest.lower != 0 {
            total < dest.lower
        } else {
            u64::from(total) * 4 < u64::from(dest.upper) * 3
        };
        if total >= dest.upper {
            self.set(dest, dest.upper != 0);
        } else if below {
            self.set(dest, false);
        }
    }

    /// No threshold, no overload; nor has a new destination any yet.
    pub(super) fn dests_changed(&mut self, change: &Change<'_>) {
        for (_, new) in change.kept().filter(|(_, new)| new.upper == 0) {
            self.set(new, false);
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
