//! How much memory DPDK needs for a configuration: packet buffers above all.

use dpdk::{MemoryMode, Mempool};

use crate::config::PlaneConfig;

/// Bytes beside the IP packet that a buffer must hold: Ethernet header with two VLAN tags.
const LINK_OVERHEAD: u16 = 14 + 2 * 4;
/// MiB for what is small: DPDK's own tables, descriptors, and the gaps between what it hands out.
const BASE_MIB: u64 = 64;

/// Bytes of packet that each usual buffer holds.
pub(crate) fn data_room(config: &PlaneConfig) -> u16 {
    let largest = config.ports.iter().map(|port| port.mtu).max().unwrap_or(1500);
    Mempool::DATA_ROOM.max(largest.saturating_add(LINK_OVERHEAD).next_multiple_of(64))
}

/// What a pool takes: each buffer its data, headroom, mbuf and the pool's own header. DPDK lets none cross a border
/// between pages, so that of ordinary pages a buffer wastes a good part.
pub(crate) fn pool_mib(mode: MemoryMode, mbufs: u32, room: u16) -> u64 {
    const PAGE: u64 = 4096;
    let bytes = u64::from(room) + dpdk::HEADROOM as u64 + 128 + 64;
    let taken = match mode {
        MemoryMode::Hugepages => bytes,
        MemoryMode::OrdinaryPages if bytes <= PAGE => PAGE / (PAGE / bytes),
        MemoryMode::OrdinaryPages => bytes.next_multiple_of(PAGE),
    };
    (u64::from(mbufs) * taken).div_ceil(1 << 20)
}

impl PlaneConfig {
    /// Memory in MiB that DPDK needs for all of this, on huge pages or on ordinary ones (which waste more): both packet
    /// pools, a ring from each worker to each other and to the exception thread, and a base.
    pub fn memory_mib(&self) -> u32 {
        const SLOT_BYTES: u64 = 8;
        let mode = MemoryMode::OrdinaryPages;
        let pools = pool_mib(mode, self.mbufs, data_room(self))
            + pool_mib(mode, self.large_mbufs, Mempool::MOST_DATA_ROOM);
        let workers = self.workers.len() as u64;
        let rings = (workers * (workers + 1) * u64::from(self.ring_size) * SLOT_BYTES).div_ceil(1 << 20);
        // A sixteenth: the pools' index of free buffers, and their threads' caches.
        u32::try_from(BASE_MIB + pools + pools / 16 + rings).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_needs_what_its_pages_hold() {
        for (mode, mbufs, room, want) in [
            (MemoryMode::Hugepages, 32767, 2048, 74),
            (MemoryMode::OrdinaryPages, 32767, 2048, 128),
            (MemoryMode::OrdinaryPages, 32767, 1024, 43),
            (MemoryMode::OrdinaryPages, 32767, 9088, 384),
        ] {
            assert_eq!(pool_mib(mode, mbufs, room), want, "{mode:?} {room}");
        }
    }
}
