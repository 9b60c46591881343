//! What only few connections have: who controls them, a timeout of their own, the mark that they came by.
//!
//! A connection's record is one cache line and has room for a number only: that of its record here, in a table that each
//! worker has beside its connections. The table never grows beyond what it was made for; memory that no record has used
//! yet is reserved, but not touched.
//!
//! Invariant: a record has one owner, the connection that names it, and goes with it. A connection that controls others
//! stays until the last of them has gone, so that the record named by [`Control::side`] is there as long as its own.

use core::net::IpAddr;

use conntab::ConnId;

use crate::app::session::SessionIndex;
use crate::engine::calls::CallIndex;

/// Where a connection's side record is, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SideIndex(u32);

impl SideIndex {
    /// Nowhere.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// Whether there is one.
    pub(crate) fn is_some(self) -> bool {
        self != Self::NONE
    }
}

/// The connection that controls another, of the same family: a template, or an FTP session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// The controlling connection.
    pub(crate) id: ConnId,
    /// Its side record.
    pub(crate) side: SideIndex,
}

/// A side record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Side {
    /// Mark of the packet that the connection was made for [fwmark].
    pub(crate) mark: u32,
    /// Who controls the connection [control].
    pub(crate) control: Option<Control>,
    /// How many connections it controls [n_control].
    pub(crate) controlled: u32,
    /// How long a template lives without being asked for; 0 where the state says how long.
    pub(crate) timeout_ms: u32,
    /// The destination's address, where it is of another family than the client and so does not fit into the reply key.
    pub(crate) dest_addr: Option<IpAddr>,
    /// What its helper knows of it.
    pub(crate) session: Option<SessionIndex>,
    /// Of a template: the call that it is for.
    pub(crate) call: Option<CallIndex>,
}

/// All side records of a worker.
pub(crate) struct SideTable {
    records: Vec<Side>,
    /// Records that were let go of, the next to use last.
    free: Vec<u32>,
    capacity: usize,
}

impl SideTable {
    /// A table for so many records.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { records: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity), capacity }
    }

    /// Stores a record; `None` if the table is full.
    pub(crate) fn insert(&mut self, record: Side) -> Option<SideIndex> {
        if let Some(at) = self.free.pop() {
            self.records[at as usize] = record;
            return Some(SideIndex(at));
        }
        if self.records.len() >= self.capacity {
            return None;
        }
        self.records.push(record);
        Some(SideIndex(self.records.len() as u32 - 1))
    }

    /// A record; `None` for a connection that has none.
    pub(crate) fn get(&self, at: SideIndex) -> Option<&Side> {
        self.records.get(at.0 as usize)
    }

    /// A record, to change.
    pub(crate) fn get_mut(&mut self, at: SideIndex) -> Option<&mut Side> {
        self.records.get_mut(at.0 as usize)
    }

    /// Lets go of a record that is in use, and returns what it was. Nothing for a connection that has none.
    pub(crate) fn remove(&mut self, at: SideIndex) -> Option<Side> {
        let record = core::mem::take(self.records.get_mut(at.0 as usize)?);
        self.free.push(at.0);
        Some(record)
    }

    /// Records in use.
    #[cfg_attr(not(test), expect(dead_code, reason = "helpers come next"))]
    pub(crate) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(mark: u32) -> Side {
        Side { mark, ..Side::default() }
    }

    #[test]
    fn a_full_table_refuses_until_a_record_goes() {
        let mut table = SideTable::with_capacity(2);
        let first = table.insert(marked(1)).unwrap();
        let second = table.insert(marked(2)).unwrap();
        assert_eq!(table.insert(marked(3)), None);
        assert_eq!(table.remove(first).map(|side| side.mark), Some(1));
        let third = table.insert(marked(3)).unwrap();
        assert_eq!((table.get(second).unwrap().mark, table.get(third).unwrap().mark), (2, 3));
        assert_eq!((third, table.len()), (first, 2), "the place is used again");
    }

    #[test]
    fn a_connection_without_a_record_has_none() {
        let mut table = SideTable::with_capacity(1);
        assert!(!SideIndex::NONE.is_some());
        assert!(table.get(SideIndex::NONE).is_none() && table.get_mut(SideIndex::NONE).is_none());
        assert!(table.remove(SideIndex::NONE).is_none());
        assert_eq!((table.len(), table.insert(marked(1)).is_some()), (0, true));
    }

    #[test]
    fn a_table_does_not_allocate_once_it_is_made() {
        let mut table = SideTable::with_capacity(64);
        let rooms = (table.records.capacity(), table.free.capacity());
        for _ in 0..3 {
            let all: Vec<SideIndex> = (0..64).map(|mark| table.insert(marked(mark)).unwrap()).collect();
            all.into_iter().for_each(|at| assert!(table.remove(at).is_some()));
        }
        assert_eq!((table.records.capacity(), table.free.capacity()), rooms);
    }
}
