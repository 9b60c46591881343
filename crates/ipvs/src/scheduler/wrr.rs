//! Weighted round robin [ip_vs_wrr]: rounds at falling weight thresholds, so that a destination of weight w is picked in
//! w of the rounds, spread among the others.
//!
//! Thresholds go down by the weights' greatest common divisor, from the largest that any destination reaches to 1. A
//! round takes every destination whose weight reaches the threshold. Any change to the destinations sends the cursor
//! to the head but keeps the threshold if it still is one: so the order depends on how destinations were added.

use super::change::Change;
use crate::Dest;
use crate::math::gcd;

/// Where the current round stands.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The position picked last; the head where a round begins.
    at: usize,
    /// This round's threshold; 0 only while there is no weight at all.
    threshold: u32,
    /// The first round's threshold.
    top: u32,
    /// Difference from one round's threshold to the next.
    step: u32,
}

impl Cursor {
    pub(super) fn new(dests: &[Dest]) -> Self {
        let weights = Weights::of(dests);
        Self { at: dests.len(), threshold: weights.top(), top: weights.top(), step: weights.step() }
    }

    /// Removals and edits count as one change, additions as one each.
    pub(super) fn dests_changed(&mut self, change: &Change<'_>) {
        let mut weights = Weights::of(&change.new[..change.kept]);
        if change.removed_or_edited() {
            self.weights_changed(&weights);
        }
        for dest in change.added() {
            weights.include(dest);
            self.weights_changed(&weights);
        }
        if change.removed_or_edited() || !change.added().is_empty() {
            self.at = change.new.len();
        }
    }

    fn weights_changed(&mut self, weights: &Weights) {
        (self.top, self.step) = (weights.top(), weights.step());
        if self.threshold == 0 || self.threshold > self.top {
            self.threshold = self.top;
        } else if self.step > 1 {
            self.threshold = self.threshold / self.step * self.step + 1;
        }
    }

    pub(super) fn pick(&mut self, dests: &[Dest], mut admits: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut find = |range: core::ops::Range<usize>, threshold: u32| {
            range.rev().find(|&index| dests[index].weight >= threshold && admits(index))
        };
        if self.top == 0 {
            return None;
        }
        let from = self.at.min(dests.len());
        if let Some(index) = find(0..from, self.threshold) {
            self.at = index;
            return Some(index);
        }
        let heaviest = (0..dests.len())
            .filter(|&index| find(index..index + 1, 1).is_some())
            .map(|index| dests[index].weight)
            .max();
        let Some(heaviest) = heaviest else {
            if from == dests.len() || self.threshold > self.step {
                self.threshold = self.top;
            }
            return None;
        };
        self.threshold = self.next_round(heaviest);
        self.at = find(0..dests.len(), self.threshold)?;
        Some(self.at)
    }

    /// The threshold of the next round in which a weight of `heaviest` takes part.
    fn next_round(&self, heaviest: u32) -> u32 {
        let next = match self.threshold.saturating_sub(self.step) {
            0 => self.top,
            next => next,
        };
        let rounds = next.saturating_sub(heaviest).div_ceil(self.step);
        next.saturating_sub(rounds.saturating_mul(self.step)).max(1)
    }
}

/// What the thresholds follow from.
struct Weights {
    max: u32,
    gcd: u32,
}

impl Weights {
    fn of(dests: &[Dest]) -> Self {
        let mut weights = Self { max: 0, gcd: 0 };
        for dest in dests {
            weights.include(dest);
        }
        weights
    }

    fn include(&mut self, dest: &Dest) {
        self.max = self.max.max(dest.weight);
        self.gcd = gcd(self.gcd, dest.weight);
    }

    fn step(&self) -> u32 {
        self.gcd.max(1)
    }

    fn top(&self) -> u32 {
        self.max.saturating_sub(self.step() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DestId, Method};
    use proptest::prelude::*;

    fn dests(weights: &[u32]) -> Vec<Dest> {
        let dest = |(n, &weight): (u32, &u32)| Dest {
            weight,
            ..Dest::new(DestId(n), [10, 0, 2, n as u8].into(), 80, Method::Tunnel)
        };
        (0..).zip(weights).map(dest).collect()
    }

    /// Round by round, none skipped.
    fn pick_slowly(cursor: &mut Cursor, dests: &[Dest], admits: &[bool]) -> Option<usize> {
        if !dests.iter().zip(admits).any(|(dest, &admits)| admits && dest.weight > 0) {
            return None;
        }
        loop {
            while cursor.at > 0 {
                cursor.at -= 1;
                if dests[cursor.at].weight >= cursor.threshold && admits[cursor.at] {
                    return Some(cursor.at);
                }
            }
            cursor.at = dests.len();
            cursor.threshold = match cursor.threshold.saturating_sub(cursor.step) {
                0 => cursor.top,
                next => next,
            };
        }
    }

    proptest! {
        /// Skipping rounds that nobody takes part in changes no pick, whoever is overloaded when.
        #[test]
        fn skipped_rounds_are_empty(
            weights in proptest::collection::vec(0_u32..40, 1..6),
            overloads in proptest::collection::vec(proptest::collection::vec(any::<bool>(), 6), 1..40),
        ) {
            let dests = dests(&weights);
            let (mut quick, mut slow) = (Cursor::new(&dests), Cursor::new(&dests));
            for admits in overloads {
                let before = quick.clone();
                let got = quick.pick(&dests, |index| admits[index]);
                prop_assert_eq!(got, pick_slowly(&mut slow, &dests, &admits));
                if got.is_none() {
                    prop_assert_eq!(quick.at, before.at);
                    slow = quick.clone();
                }
            }
        }
    }

    #[test]
    fn the_largest_weights_neither_overflow_nor_loop() {
        for weights in [&[u32::MAX, 1][..], &[u32::MAX, u32::MAX - 1], &[u32::MAX, u32::MAX]] {
            let dests = dests(weights);
            let mut cursor = Cursor::new(&dests);
            for overloaded in [2, 0, 1, 0, 2, 1] {
                let got = cursor.pick(&dests, |index| index != overloaded);
                assert!(got.is_some_and(|index| index != overloaded), "{weights:?}");
            }
        }
    }
}
