//! Where a worker's packets go.
//!
//! Packets gather per transmit queue and per ring, and leave when 32 are together or the turn ends. What
//! a full queue or ring does not take is freed here and counted: nothing is tried again without end.

use std::sync::Arc;

use dpdk::{Burst, Mbuf, Mempool, Producer, TxQueue};
use inet::{DropReason, IfaceId, News, PortIndex};
use ipvs::WorkerId;
use ipvs::sync::Record;
use pipeline::{Counters, Ports, Steered};
use rtrb::Producer as Tail;
use wire::PacketBuf;

use crate::handover::Handover;
use crate::mailbox::Mailbox;

/// How often a full transmit queue is asked again before the rest of a burst is dropped.
const TX_ATTEMPTS: usize = 4;

/// A worker's way to a port: its own transmit queue, or the worker that has one.
pub(crate) enum Egress {
    Queue(TxQueue),
    Relay(WorkerId),
}

struct TxLane {
    egress: Egress,
    waiting: Burst,
}

struct RingLane {
    ring: Producer,
    waiting: Burst,
}

impl RingLane {
    fn new(ring: Producer) -> Self {
        Self { ring, waiting: Burst::new() }
    }

    /// Sends what waits; answers how many went and how many had to be dropped.
    fn flush(&mut self) -> (u64, u64) {
        if self.waiting.is_empty() {
            return (0, 0);
        }
        let sent = self.ring.push_burst(&mut self.waiting);
        let dropped = self.waiting.len();
        self.waiting.clear();
        (sent as u64, dropped as u64)
    }
}

/// All ways out of one worker.
pub(crate) struct Outbox {
    ports: Vec<TxLane>,
    /// By worker; none for itself.
    workers: Vec<Option<RingLane>>,
    host: Option<RingLane>,
    /// Which ports the host's kernel has a TAP on.
    exceptions: Vec<bool>,
    pool: Mempool,
    large: Mempool,
    /// By worker; its own is never used.
    mailboxes: Vec<Arc<Mailbox>>,
    own: WorkerId,
    /// To the sync daemon.
    records: Tail<Record>,
    counters: Arc<Counters>,
}

/// What an outbox is made of.
pub(crate) struct Parts {
    pub(crate) own: WorkerId,
    pub(crate) egress: Vec<Egress>,
    pub(crate) workers: Vec<Option<Producer>>,
    pub(crate) host: Option<Producer>,
    pub(crate) exceptions: Vec<bool>,
    pub(crate) pool: Mempool,
    /// Of buffers for gathered datagrams.
    pub(crate) large: Mempool,
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    pub(crate) records: Tail<Record>,
    pub(crate) counters: Arc<Counters>,
}

impl Outbox {
    pub(crate) fn new(parts: Parts) -> Self {
        let tx = |egress| TxLane { egress, waiting: Burst::new() };
        Self {
            ports: parts.egress.into_iter().map(tx).collect(),
            workers: parts.workers.into_iter().map(|ring| ring.map(RingLane::new)).collect(),
            host: parts.host.map(RingLane::new),
            exceptions: parts.exceptions,
            pool: parts.pool,
            large: parts.large,
            mailboxes: parts.mailboxes,
            own: parts.own,
            records: parts.records,
            counters: parts.counters,
        }
    }

    /// Sends all that waits. To be called at the end of a turn.
    pub(crate) fn flush(&mut self) {
        for port in 0..self.ports.len() {
            self.flush_port(port);
        }
        for worker in 0..self.workers.len() {
            self.flush_worker(worker);
        }
        self.flush_host();
    }

    fn flush_port(&mut self, port: usize) {
        let lane = &mut self.ports[port];
        let Egress::Queue(queue) = &mut lane.egress else { return };
        let bytes: u64 = lane.waiting.iter().map(|packet| packet.bytes().len() as u64).sum();
        for _ in 0..TX_ATTEMPTS {
            if lane.waiting.is_empty() {
                break;
            }
            self.counters.tx.add(queue.send(&mut lane.waiting) as u64);
        }
        let unsent: u64 = lane.waiting.iter().map(|packet| packet.bytes().len() as u64).sum();
        self.counters.tx_bytes.add(bytes - unsent);
        self.counters.discard_many(DropReason::TxRingFull, lane.waiting.len() as u64);
        lane.waiting.clear();
    }

    fn flush_worker(&mut self, worker: usize) {
        if let Some(lane) = &mut self.workers[worker] {
            let (sent, dropped) = lane.flush();
            self.counters.to_ring.add(sent);
            self.counters.discard_many(DropReason::SteerRingFull, dropped);
        }
    }

    fn flush_host(&mut self) {
        if let Some(lane) = &mut self.host {
            let (sent, dropped) = lane.flush();
            self.counters.to_host.add(sent);
            self.counters.discard_many(DropReason::HostRingFull, dropped);
        }
    }

    fn hand_over(&mut self, worker: WorkerId, why: Handover, mut packet: Mbuf) {
        let index = usize::from(worker.0);
        let Some(Some(lane)) = self.workers.get_mut(index) else {
            return self.counters.discard(DropReason::SteerRingFull);
        };
        let Ok(mark) = why.mark(&mut packet) else {
            return self.counters.discard(DropReason::NoHeadroom);
        };
        packet.set_mark(mark);
        let _ = lane.waiting.push(packet);
        if lane.waiting.is_full() {
            self.flush_worker(index);
        }
    }
}

impl Ports<Mbuf> for Outbox {
    fn alloc(&mut self) -> Option<Mbuf> {
        self.pool.alloc()
    }

    fn alloc_large(&mut self) -> Option<Mbuf> {
        self.large.alloc()
    }

    fn tx(&mut self, port: PortIndex, packet: Mbuf) {
        let index = usize::from(port.0);
        let lane = &mut self.ports[index];
        if let Egress::Relay(worker) = lane.egress {
            return self.hand_over(worker, Handover::Transmit(port), packet);
        }
        let _ = lane.waiting.push(packet);
        if lane.waiting.is_full() {
            self.flush_port(index);
        }
    }

    fn has_host(&self, port: PortIndex) -> bool {
        self.host.is_some() && self.exceptions[usize::from(port.0)]
    }

    fn to_host(&mut self, port: PortIndex, mut packet: Mbuf) {
        let Some(lane) = self.host.as_mut().filter(|_| self.exceptions[usize::from(port.0)]) else {
            return self.counters.discard(DropReason::HostPortAbsent);
        };
        packet.set_mark(u32::from(port.0));
        let _ = lane.waiting.push(packet);
        if lane.waiting.is_full() {
            self.flush_host();
        }
    }

    fn steer(&mut self, worker: WorkerId, iface: IfaceId, why: Steered, packet: Mbuf) {
        self.hand_over(worker, Handover::Steered(iface, why), packet);
    }

    fn broadcast(&mut self, news: News) {
        for (index, mailbox) in self.mailboxes.iter().enumerate() {
            if index != usize::from(self.own.0) {
                // A worker that does not keep up asks the link itself when it needs the neighbour, and hears of the path again.
                let _ = mailbox.learned.push(news);
            }
        }
    }

    fn sync(&mut self, record: &Record) {
        if self.records.push(*record).is_err() {
            self.counters.sync_lost.add(1);
        }
    }
}
