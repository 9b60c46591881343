//! How much there may be of everything: fixed at start, because tables are sized by it.

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
