//! What a master remembers of its connections, beside the connection tables, and what it has yet to hand to the daemon.
//!
//! Memory is asked for as zeros, and so not touched before there is a master.

use conntab::ConnId;
use wire::Family;

use super::Record;
use super::due::Told;
use crate::State;

/// A connection and what controls it, by one another: no packet leads to more.
pub(crate) const CHAIN_MAX: usize = 4;

/// Of one connection: its generation and one, when it ends, its state.
type Cell = [u32; 3];

/// A worker's memory.
pub(crate) struct SyncMemory {
    v4: Vec<Cell>,
    v6: Vec<Cell>,
    /// For the daemon; never more than [`CHAIN_MAX`].
    pub(crate) pending: Vec<Record>,
}

impl SyncMemory {
    /// Memory beside tables of so many places.
    pub(crate) fn with_capacity(places: usize) -> Self {
        let cells = || vec![[0; 3]; places];
        Self { v4: cells(), v6: cells(), pending: Vec::with_capacity(CHAIN_MAX) }
    }

    /// What was told of a connection.
    pub(crate) fn get(&self, family: Family, id: ConnId) -> Told {
        let cells = match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        };
        match cells.get(id.index()) {
            Some(&[tenant, end, state]) if tenant == id.generation().wrapping_add(1) => {
                Told { end, state: State(state as u8) }
            }
            _ => Told::default(),
        }
    }

    /// Remembers what was told of a connection.
    pub(crate) fn set(&mut self, family: Family, id: ConnId, told: Told) {
        let cells = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        if let Some(cell) = cells.get_mut(id.index()) {
            *cell = [id.generation().wrapping_add(1), told.end, u32::from(told.state.0)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_connection_in_a_place_was_not_told() {
        let id = |index: u64, generation: u64| ConnId::from_bits(generation << 32 | index);
        let mut memory = SyncMemory::with_capacity(8);
        assert_eq!(memory.get(Family::V4, id(3, 0)), Told::default());
        let told = Told { end: 1 << 31, state: State(7) };
        memory.set(Family::V4, id(3, 0), told);
        memory.set(Family::V6, id(9, 0), told);
        assert_eq!(memory.get(Family::V4, id(3, 0)), told);
        for (family, id) in [(Family::V4, id(3, 1)), (Family::V6, id(3, 0)), (Family::V6, id(9, 0))] {
            assert_eq!(memory.get(family, id), Told::default());
        }
    }
}
