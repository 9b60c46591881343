//! How much there may be of everything: fixed at start, because tables are sized by it.

use conntab::{BuildError, ConnTable, Key4, Key6};
use wire::Family;

use crate::connection::Connection;

/// Bounds of the director's tables. Ids run below these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of all workers together.
    pub connections: u32,
    /// Connections of all workers together that have more than fits into their record: what is controlled by another, such
    /// as by a template, and what controls.
    pub side_records: u32,
    /// Virtual services.
    pub services: u32,
    /// Destinations of all services together.
    pub dests: u32,
    /// Pools of local addresses.
    pub pools: u16,
    /// Addresses of all pools together.
    pub local_addrs: u32,
}

impl Limits {
    /// Connections that one of `workers` workers has room for: an equal share, rounded up.
    pub fn connections_per_worker(&self, workers: u16) -> u32 {
        self.connections.div_ceil(u32::from(workers.max(1)))
    }

    /// Side records that one of `workers` workers has room for: no more than connections.
    pub fn side_records_per_worker(&self, workers: u16) -> u32 {
        self.side_records.min(self.connections).div_ceil(u32::from(workers.max(1)))
    }
}

/// Memory that a connection of `family` takes in a worker's table for `connections`, in bytes, all in: the connection, its
/// two index items, its timer, what is free. What few connections have besides, and what a master of
/// synchronisation remembers of each (12 bytes), lie beside the table.
pub fn bytes_per_connection(family: Family, connections: u32) -> Result<f64, BuildError> {
    let connections = connections as usize;
    let bytes = match family {
        Family::V4 => ConnTable::<Connection<Key4>>::region_bytes(connections)?,
        Family::V6 => ConnTable::<Connection<Key6>>::region_bytes(connections)?,
    };
    Ok(bytes as f64 / connections as f64)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            side_records: 1_000_000,
            services: 4096,
            dests: 65_536,
            pools: 256,
            local_addrs: 4096,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_no_more_memory_than_promised() {
        for connections in [100_000, 1_000_000, 10_000_000, 100_000_000] {
            let v4 = bytes_per_connection(Family::V4, connections).unwrap();
            let v6 = bytes_per_connection(Family::V6, connections).unwrap();
            assert!((90.0..=104.0).contains(&v4), "{v4} bytes an IPv4 connection of {connections}");
            assert!((150.0..=176.0).contains(&v6), "{v6} bytes an IPv6 connection of {connections}");
        }
        assert_eq!(bytes_per_connection(Family::V4, 0), Err(BuildError::Capacity(0)));
    }

    #[test]
    fn connections_are_shared_out_without_losing_any() {
        let limits = Limits { connections: 10, ..Limits::default() };
        for (workers, want) in [(0, 10), (1, 10), (3, 4), (64, 1)] {
            assert_eq!(limits.connections_per_worker(workers), want, "{workers} workers");
            assert_eq!(limits.side_records_per_worker(workers), want, "{workers} workers");
        }
        let limits = Limits { side_records: 4, ..limits };
        assert_eq!(limits.side_records_per_worker(2), 2, "fewer than connections");
    }
}
