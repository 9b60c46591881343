//! Round robin [ip_vs_rr]: each destination that admits connections in turn, weights not considered.

use super::change::Change;
use crate::Dest;

/// The position picked last; the head at first.
#[derive(Clone, Debug)]
pub(super) struct Cursor(usize);

impl Cursor {
    pub(super) fn new(dests: &[Dest]) -> Self {
        Self(dests.len())
    }

    pub(super) fn dests_changed(&mut self, change: &Change<'_>) {
        self.0 = change.follow(self.0);
    }

    pub(super) fn pick(&mut self, len: usize, mut admits: impl FnMut(usize) -> bool) -> Option<usize> {
        let from = self.0.min(len);
        let picked = (0..from).rev().chain((from..len).rev()).find(|&index| admits(index))?;
        self.0 = picked;
        Some(picked)
    }
}
