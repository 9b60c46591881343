//! Where every packet of a worker went.
//!
//! Invariant, checked by tests after each suite:
//! `rx + from_host + from_ring + generated + cloned + split == tx + to_host + to_ring + dropped + consumed + merged + held`.
//! One writer (the worker), any number of readers; no read-modify-write.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use inet::DropReason;
use ipvs::sync::Imported;

/// A number that one thread writes and any thread may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `by`. For the writing thread only.
    pub fn add(&self, by: u64) {
        self.0.store(self.get().wrapping_add(by), Relaxed);
    }

    /// Sets the number. For the writing thread only.
    pub fn set(&self, to: u64) {
        self.0.store(to, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counters of one worker, in packets unless the name says otherwise.
#[derive(Debug)]
pub struct Counters {
    /// Received from ports.
    pub rx: Counter,
    /// Bytes of frames received from ports.
    pub rx_bytes: Counter,
    /// Received from the host's kernel through exception ports.
    pub from_host: Counter,
    /// Received from other workers.
    pub from_ring: Counter,
    /// Made here: ARP and ND probes, ICMP errors, large buffers for gathered datagrams.
    pub generated: Counter,
    /// Copies made of packets that went to two places.
    pub cloned: Counter,
    /// Further pieces of packets that were fragmented.
    pub split: Counter,
    /// Sent on ports.
    pub tx: Counter,
    /// Bytes of frames sent on ports.
    pub tx_bytes: Counter,
    /// Given to the host's kernel.
    pub to_host: Counter,
    /// Handed to other workers.
    pub to_ring: Counter,
    /// Taken in by rvs itself (ARP, ND) without an answer made of the same packet.
    pub consumed: Counter,
    /// Pieces that became part of a reassembled packet.
    pub merged: Counter,
    /// Waiting for a neighbour or for other fragments, at the moment.
    pub held: Counter,
    /// Turns of the poll loop.
    pub turns: Counter,
    /// Cycles of turns that found something to do.
    pub busy_cycles: Counter,
    /// Generation of the snapshot in use.
    pub generation: Counter,
    /// Entries in the neighbour table, at the moment.
    pub neighbours: Counter,
    /// Connections told to the sync daemon.
    pub sync_records: Counter,
    /// Of them, those that it could not take.
    pub sync_lost: Counter,
    drops: Box<[Counter]>,
    imports: Box<[Counter]>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            rx: Counter::default(),
            rx_bytes: Counter::default(),
            from_host: Counter::default(),
            from_ring: Counter::default(),
            generated: Counter::default(),
            cloned: Counter::default(),
            split: Counter::default(),
            tx: Counter::default(),
            tx_bytes: Counter::default(),
            to_host: Counter::default(),
            to_ring: Counter::default(),
            consumed: Counter::default(),
            merged: Counter::default(),
            held: Counter::default(),
            turns: Counter::default(),
            busy_cycles: Counter::default(),
            generation: Counter::default(),
            neighbours: Counter::default(),
            sync_records: Counter::default(),
            sync_lost: Counter::default(),
            drops: DropReason::ALL.iter().map(|_| Counter::default()).collect(),
            imports: Imported::ALL.iter().map(|_| Counter::default()).collect(),
        }
    }
}

impl Counters {
    /// Counts one packet that ends here for `reason`.
    pub fn discard(&self, reason: DropReason) {
        self.drops[reason as usize].add(1);
    }

    /// Counts `count` packets that end here for `reason`.
    pub fn discard_many(&self, reason: DropReason, count: u64) {
        self.drops[reason as usize].add(count);
    }

    /// Packets dropped for `reason`.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].get()
    }

    /// Packets dropped for any reason.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().map(Counter::get).sum()
    }

    /// Counts a connection that a master told of.
    pub fn count_import(&self, imported: Imported) {
        self.imports[imported as usize].add(1);
    }

    /// Connections that masters told of and of which this became.
    pub fn imported_as(&self, imported: Imported) -> u64 {
        self.imports[imported as usize].get()
    }

    /// The two sides of the conservation law: packets that came to be, packets accounted for.
    pub fn balance(&self) -> (u64, u64) {
        let sum = |counters: &[&Counter]| counters.iter().map(|counter| counter.get()).sum::<u64>();
        let came =
            sum(&[&self.rx, &self.from_host, &self.from_ring, &self.generated, &self.cloned, &self.split]);
        let went = sum(&[&self.tx, &self.to_host, &self.to_ring, &self.consumed, &self.merged, &self.held]);
        (came, went + self.dropped())
    }
}
