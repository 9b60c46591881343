//! One worker: polls its queues and rings, runs the pipeline, flushes, looks after timers and its mailbox.
//!
//! `now` is read once a turn. What can take long (timers, neighbours, a list of connections) has a budget a turn.

use std::sync::Arc;

use dpdk::{BURST, Burst, Clock, Consumer, Mbuf, RxQueue};
use inet::{DropReason, PortIndex};
use ipvs::sync::Record;
use ipvs::{Snapshot, WorkerId};
use pipeline::{Counters, Pipeline, Ports};
use rtrb::Consumer as Head;

use crate::handover::Handover;
use crate::idle::{Idle, Rest};
use crate::mailbox::{ConnectionPage, Mailbox, Request};
use crate::outbox::Outbox;

/// Timers and neighbour events that one turn handles at most.
const TIMER_BUDGET: usize = 256;
/// News of neighbours from fellow workers that one turn takes in at most.
const LEARNED_BUDGET: usize = 64;
/// Connections of a master that one turn takes in at most.
const IMPORT_BUDGET: usize = 64;

pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) clock: Clock,
    pub(crate) idle: Idle,
    pub(crate) pipeline: Pipeline<Mbuf>,
    pub(crate) outbox: Outbox,
    pub(crate) queues: Vec<(PortIndex, RxQueue)>,
    pub(crate) fellows: Vec<Consumer>,
    pub(crate) host: Option<Consumer>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Connections that masters told of.
    pub(crate) imports: Head<Record>,
    pub(crate) counters: Arc<Counters>,
    /// Whether ports are polled: until the data plane closes.
    pub(crate) open: bool,
}

impl Worker {
    /// Turns until told to stop.
    pub(crate) fn run(mut self) {
        let mut rest = Rest::new(self.idle);
        let mut burst = Burst::new();
        self.pipeline.announce_since(None, &mut self.outbox);
        loop {
            let start = self.clock.now_cycles();
            let now_ms = self.clock.millis(start);
            let packets = self.receive(now_ms, &mut burst)
                + self.handed_over(now_ms, &mut burst)
                + self.host_sent(now_ms, &mut burst);
            self.pipeline.tick(now_ms, TIMER_BUDGET, &mut self.outbox);
            let imported = self.import(now_ms);
            let asked = self.post(now_ms);
            if asked == Asked::Stop {
                return self.finish();
            }
            self.outbox.flush();
            self.counters.turns.add(1);
            if packets > 0 {
                self.counters.busy_cycles.add(self.clock.now_cycles() - start);
            }
            rest.after_turn(packets > 0 || imported > 0 || asked == Asked::Something);
        }
    }

    /// Sends what is ready and accounts for what waits.
    fn finish(mut self) {
        self.pipeline.stop();
        self.outbox.flush();
    }

    fn receive(&mut self, now_ms: u64, burst: &mut Burst) -> usize {
        if !self.open {
            return 0;
        }
        let mut packets = 0;
        for (port, queue) in &mut self.queues {
            packets += queue.burst(burst);
            let mut whole = [const { None }; BURST];
            for (slot, packet) in whole.iter_mut().zip(burst.drain()) {
                if packet.is_contiguous() {
                    *slot = Some(packet);
                } else {
                    self.counters.rx.add(1);
                    self.counters.rx_bytes.add(packet.packet_len() as u64);
                    self.counters.discard(DropReason::NotContiguous);
                }
            }
            self.pipeline.receive_burst(now_ms, *port, &mut whole, &mut self.outbox);
        }
        packets
    }

    fn handed_over(&mut self, now_ms: u64, burst: &mut Burst) -> usize {
        let mut packets = 0;
        for ring in &mut self.fellows {
            packets += ring.pop_burst(burst);
            for mut packet in burst.drain() {
                match Handover::read(packet.mark(), &mut packet) {
                    Handover::Steered(iface, why) => {
                        self.pipeline.receive_steered(now_ms, iface, why, packet, &mut self.outbox)
                    }
                    Handover::Transmit(port) => {
                        self.counters.from_ring.add(1);
                        self.outbox.tx(port, packet);
                    }
                }
            }
        }
        packets
    }

    fn host_sent(&mut self, now_ms: u64, burst: &mut Burst) -> usize {
        let Some(ring) = &mut self.host else { return 0 };
        let packets = ring.pop_burst(burst);
        for packet in burst.drain() {
            let port = PortIndex((packet.mark() & 0xffff) as u16);
            self.pipeline.receive_from_host(now_ms, port, packet, &mut self.outbox);
        }
        packets
    }

    fn import(&mut self, now_ms: u64) -> usize {
        for count in 0..IMPORT_BUDGET {
            match self.imports.pop() {
                Ok(record) => self.pipeline.import(now_ms, &record),
                Err(_) => return count,
            }
        }
        IMPORT_BUDGET
    }

    /// Looks at the mailbox: what fellows learned, then at most one request.
    fn post(&mut self, now_ms: u64) -> Asked {
        // Looking whether there is anything costs no read-modify-write; taking it does, and is rare.
        for _ in 0..LEARNED_BUDGET {
            if self.mailbox.learned.is_empty() {
                break;
            }
            if let Some(learned) = self.mailbox.learned.pop() {
                self.pipeline.learn(now_ms, learned, &mut self.outbox);
            }
        }
        if self.mailbox.requests.is_empty() {
            return Asked::Nothing;
        }
        match self.mailbox.requests.pop() {
            None => Asked::Nothing,
            Some(Request::Stop) => Asked::Stop,
            Some(request) => {
                self.answer(now_ms, request);
                Asked::Something
            }
        }
    }

    /// Answers one request. A receiver that has gone does not matter: its question has lost its interest.
    fn answer(&mut self, now_ms: u64, request: Request) {
        match request {
            Request::Apply(snapshot, answer) => {
                let _ = answer.send(self.switch(snapshot));
            }
            Request::Connections { from, budget, answer } => {
                let mut connections = Vec::new();
                let next = self.pipeline.director().list(now_ms, from, budget, |view| connections.push(view));
                let _ = answer.send(ConnectionPage { connections, next });
            }
            Request::FlushConnections { service, from, budget, answer } => {
                let _ = answer.send(self.pipeline.flush_connections(service, from, budget));
            }
            Request::Neighbours(answer) => {
                let _ = answer.send(self.pipeline.neighbours(now_ms));
            }
            Request::FlushNeighbours(iface, answer) => {
                self.pipeline.flush_neighbours(iface);
                let _ = answer.send(());
            }
            Request::Trace(buffer, answer) => {
                let _ = answer.send(self.pipeline.trace(buffer));
            }
            Request::Close(answer) => {
                self.open = false;
                while self.host_sent(now_ms, &mut Burst::new()) > 0 {}
                self.outbox.flush();
                let _ = answer.send(());
            }
            Request::Settle(answer) => {
                while self.handed_over(now_ms, &mut Burst::new()) > 0 {}
                self.outbox.flush();
                let _ = answer.send(());
            }
            Request::Stop => {}
        }
    }

    fn switch(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let old = self.pipeline.apply(snapshot, &mut self.outbox);
        self.outbox.flush();
        old
    }
}

/// What a look at the mailbox found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    Something,
    Stop,
}
