//! Rings between the workers and the sync daemon, which is no part of the data plane.
//!
//! Neither side waits for the other here: a worker whose ring is full loses what it tells, and what is told to a worker
//! waits in its ring's other end, where the daemon waits too.

use ipvs::sync::Record;
use rtrb::{Consumer, Producer, RingBuffer};

/// Records that a worker can tell before the daemon looks, every ten milliseconds or so.
const TOLD: usize = 4096;
/// Records that wait for a worker.
const HEARD: usize = 1024;

/// The daemon's ends, by worker.
pub struct SyncRings {
    /// What workers tell.
    pub told: Vec<Consumer<Record>>,
    /// What they are told.
    pub heard: Vec<Producer<Record>>,
}

/// A worker's ends.
pub(crate) struct SyncEnds {
    pub(crate) records: Producer<Record>,
    pub(crate) imports: Consumer<Record>,
}

/// Rings for so many workers.
pub(crate) fn sync_rings(workers: usize) -> (SyncRings, Vec<SyncEnds>) {
    let (mut rings, mut ends) = (SyncRings { told: Vec::new(), heard: Vec::new() }, Vec::new());
    for _ in 0..workers {
        let (records, told) = RingBuffer::new(TOLD);
        let (heard, imports) = RingBuffer::new(HEARD);
        rings.told.push(told);
        rings.heard.push(heard);
        ends.push(SyncEnds { records, imports });
    }
    (rings, ends)
}
