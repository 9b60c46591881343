//! What differs between a service's destinations before and after a change of the configuration.

use crate::Dest;

/// Destinations keep their order, and new ones come last: so the new list is what is left of the old one, then the
/// added ones. One that was moved counts as removed and added.
pub(super) struct Change<'a> {
    pub(super) old: &'a [Dest],
    pub(super) new: &'a [Dest],
    /// For each old destination its index in the new list, if it was kept.
    moved_to: Vec<Option<usize>>,
    /// How many of the new list were kept.
    pub(super) kept: usize,
}

impl<'a> Change<'a> {
    pub(super) fn between(old: &'a [Dest], new: &'a [Dest]) -> Self {
        let mut kept = 0;
        let place = |dest: &Dest| {
            let found = new.get(kept).is_some_and(|next| next.id == dest.id);
            kept += usize::from(found);
            found.then(|| kept - 1)
        };
        let moved_to = old.iter().map(place).collect();
        Self { old, new, moved_to, kept }
    }

    /// Destinations that were kept, before and after.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&'a Dest, &'a Dest)> {
        self.old.iter().zip(&self.moved_to).filter_map(|(old, to)| Some((old, &self.new[(*to)?])))
    }

    /// Destinations that were added.
    pub(super) fn added(&self) -> &'a [Dest] {
        &self.new[self.kept..]
    }

    /// Whether any destination was removed or edited.
    pub(super) fn removed_or_edited(&self) -> bool {
        self.kept < self.old.len() || self.kept().any(|(old, new)| old != new)
    }

    /// Where a position in the old list has gone. That of a removed destination goes to the one before it in walking
    /// order; before the first it is the head.
    pub(super) fn follow(&self, position: usize) -> usize {
        let rest = self.moved_to.get(position..).unwrap_or(&[]);
        rest.iter().find_map(|&to| to).unwrap_or(self.new.len())
    }
}
