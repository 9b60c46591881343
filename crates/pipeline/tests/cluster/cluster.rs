//! A whole director without ports: N pipelines, vectors for rings, ports and the host's kernel, and a clock that stands
//! until it is told to go on.
//!
//! Invariant, checked after everything that a test does: the conservation law holds on each worker, what one handed to
//! another arrived there, and no packet was handed over twice.

use std::sync::Arc;

use inet::{DropReason, IfaceId, NeighLimits, NeighbourView, News, PortIndex, ReassemblyLimits};
use ipvs::sync::{Imported, Record, owners};
use ipvs::{ConnView, Cursor, Director, Limits, ServiceId, Snapshot, WorkerId, WorkerShared};
use pipeline::{Counter, Counters, Pipeline, PipelineLimits, Ports, Steered};
use wire::{PacketBuf, VecBuf};

use crate::site::Site;

/// What left the director, in order.
#[derive(Default)]
pub struct Sent {
    /// Frames on ports.
    pub frames: Vec<(PortIndex, Vec<u8>)>,
    /// Frames to the host's kernel, by the port where they arrived.
    pub host: Vec<(PortIndex, Vec<u8>)>,
    /// Packets that crossed a ring.
    pub steered: usize,
}

impl Sent {
    /// The only frame that left, which did so on this port.
    #[track_caller]
    pub fn only(&self, port: PortIndex) -> &[u8] {
        assert_eq!((self.frames.len(), self.host.len()), (1, 0), "frames sent, frames to the host");
        assert_eq!(self.frames[0].0, port, "the port it left by");
        &self.frames[0].1
    }

    /// The only frame that went to the host, which arrived on this port; none was sent.
    #[track_caller]
    pub fn only_host(&self, port: PortIndex) -> &[u8] {
        assert_eq!((self.frames.len(), self.host.len()), (0, 1), "frames sent, frames to the host");
        assert_eq!(self.host[0].0, port, "the port it arrived on");
        &self.host[0].1
    }

    /// Nothing left.
    #[track_caller]
    pub fn nothing(&self) {
        assert_eq!((self.frames.len(), self.host.len()), (0, 0), "frames sent, frames to the host");
    }
}

/// The ports of one worker.
pub struct Lists {
    counters: Arc<Counters>,
    sent: Sent,
    steered: Vec<(WorkerId, IfaceId, Steered, VecBuf)>,
    learned: Vec<News>,
    told: Vec<Record>,
    /// The ports without an exception interface.
    without_host: Vec<PortIndex>,
    /// How many more empty packets the pool has.
    pool: usize,
    /// The same of large ones.
    large_pool: usize,
}

impl Ports<VecBuf> for Lists {
    fn alloc(&mut self) -> Option<VecBuf> {
        self.pool = self.pool.checked_sub(1)?;
        Some(VecBuf::new(&[]))
    }

    fn alloc_large(&mut self) -> Option<VecBuf> {
        self.large_pool = self.large_pool.checked_sub(1)?;
        Some(VecBuf::large())
    }

    fn tx(&mut self, port: PortIndex, packet: VecBuf) {
        assert!(packet.clone().append(VecBuf::ROOM).is_err(), "no large buffer is sent");
        self.counters.tx.add(1);
        self.counters.tx_bytes.add(packet.bytes().len() as u64);
        self.sent.frames.push((port, packet.bytes().to_vec()));
    }

    fn has_host(&self, port: PortIndex) -> bool {
        !self.without_host.contains(&port)
    }

    fn to_host(&mut self, port: PortIndex, packet: VecBuf) {
        if !self.has_host(port) {
            return self.counters.discard(DropReason::HostPortAbsent);
        }
        self.counters.to_host.add(1);
        self.sent.host.push((port, packet.bytes().to_vec()));
    }

    fn steer(&mut self, worker: WorkerId, iface: IfaceId, why: Steered, packet: VecBuf) {
        self.counters.to_ring.add(1);
        self.steered.push((worker, iface, why, packet));
    }

    fn broadcast(&mut self, news: News) {
        self.learned.push(news);
    }

    fn sync(&mut self, record: &Record) {
        self.told.push(*record);
    }
}

struct Worker {
    pipeline: Pipeline<VecBuf>,
    ports: Lists,
}

/// Bounds of a cluster's workers.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub neighbours: NeighLimits,
    pub reassembly: ReassemblyLimits,
    pub icmp_per_second: u32,
    pub connections: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        let neighbours = NeighLimits { entries: 64, held_per_entry: 4, held: 8 };
        Self { neighbours, reassembly: ReassemblyLimits::default(), icmp_per_second: 0, connections: 8192 }
    }
}

/// All workers of one director.
pub struct Cluster {
    pub now_ms: u64,
    /// Whether packets may be steered once more.
    pub redirects: bool,
    workers: Vec<Worker>,
}

impl Cluster {
    pub fn new(site: &Site) -> Self {
        Self::with_bounds(site, Bounds::default())
    }

    pub fn with_bounds(site: &Site, bounds: Bounds) -> Self {
        let limits =
            Limits { connections: bounds.connections, services: 64, dests: 256, ..Limits::default() };
        let snapshot = site.snapshot(None);
        let shared: Vec<_> = (0..site.workers).map(|_| Arc::new(WorkerShared::new(&limits))).collect();
        let worker = |id: u16| {
            let (snapshot, shared) = (Arc::clone(&snapshot), shared.clone());
            let director = Director::new(WorkerId(id), &limits, snapshot, shared, 7 + u64::from(id));
            let counters = Arc::new(Counters::default());
            let Bounds { neighbours, reassembly, icmp_per_second, .. } = bounds;
            let limits = PipelineLimits { neighbours, reassembly, icmp_per_second };
            let director = director.expect("memory for a small table");
            Worker {
                pipeline: Pipeline::new(WorkerId(id), director, limits, Arc::clone(&counters), id.into()),
                ports: Lists {
                    counters,
                    sent: Sent::default(),
                    steered: Vec::new(),
                    learned: Vec::new(),
                    told: Vec::new(),
                    without_host: Vec::new(),
                    pool: usize::MAX,
                    large_pool: usize::MAX,
                },
            }
        };
        Self { now_ms: 1_000, redirects: false, workers: (0..site.workers).map(worker).collect() }
    }

    /// A frame comes in on a port, on a queue of this worker.
    pub fn receive(&mut self, worker: usize, port: PortIndex, frame: &[u8]) -> Sent {
        let Worker { pipeline, ports } = &mut self.workers[worker];
        pipeline.receive_burst(self.now_ms, port, &mut [Some(VecBuf::new(frame))], ports);
        self.settle()
    }

    /// The same, one packet at a time.
    pub fn receive_singly(&mut self, worker: usize, port: PortIndex, frame: &[u8]) -> Sent {
        let Worker { pipeline, ports } = &mut self.workers[worker];
        pipeline.receive(self.now_ms, port, VecBuf::new(frame), ports);
        self.settle()
    }

    /// Frames come in together.
    pub fn receive_burst(&mut self, worker: usize, port: PortIndex, frames: &[Vec<u8>]) -> Sent {
        let Worker { pipeline, ports } = &mut self.workers[worker];
        let mut packets: Vec<_> = frames.iter().map(|frame| Some(VecBuf::new(frame))).collect();
        pipeline.receive_burst(self.now_ms, port, &mut packets, ports);
        assert!(packets.iter().all(Option::is_none), "all are taken");
        self.settle()
    }

    /// The host's kernel sends a frame through the exception port of `port`.
    pub fn host_sends(&mut self, port: PortIndex, frame: &[u8]) -> Sent {
        let Worker { pipeline, ports } = &mut self.workers[0];
        pipeline.receive_from_host(self.now_ms, port, VecBuf::new(frame), ports);
        self.settle()
    }

    /// Time passes, a second at most between two ticks, and then as long as anything is due.
    pub fn advance(&mut self, ms: u64) -> Sent {
        let mut sent = Sent::default();
        let end_ms = self.now_ms + ms;
        loop {
            for Worker { pipeline, ports } in &mut self.workers {
                pipeline.tick(self.now_ms, 1 << 16, ports);
            }
            let now = self.settle();
            sent.frames.extend(now.frames);
            sent.host.extend(now.host);
            if self.now_ms == end_ms {
                return sent;
            }
            self.now_ms = end_ms.min(self.now_ms + 1_000);
        }
    }

    /// All workers take over another configuration.
    pub fn apply(&mut self, site: &Site) -> Sent {
        let snapshot = site.snapshot(Some(self.snapshot()));
        for Worker { pipeline, ports } in &mut self.workers {
            pipeline.apply(Arc::clone(&snapshot), ports);
        }
        self.settle()
    }

    /// The first announcements, as at start.
    pub fn start(&mut self) -> Sent {
        for Worker { pipeline, ports } in &mut self.workers {
            pipeline.announce_since(None, ports);
        }
        self.settle()
    }

    /// Forgets connections, or those of one service, page by page; returns how many there were.
    pub fn flush_connections(&mut self, service: Option<ServiceId>) -> usize {
        let mut flushed = 0;
        for worker in &mut self.workers {
            let mut cursor = Some(Cursor::default());
            while let Some(from) = cursor {
                let (count, next) = worker.pipeline.flush_connections(service, from, 100);
                flushed += count;
                cursor = next;
            }
        }
        flushed
    }

    /// Forgets learned neighbours, or those of one interface.
    pub fn flush_neighbours(&mut self, iface: Option<IfaceId>) {
        self.workers.iter_mut().for_each(|worker| worker.pipeline.flush_neighbours(iface));
    }

    /// All workers stop.
    pub fn stop(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.pipeline.stop());
        self.check();
    }

    /// Takes the exception interface from a port.
    pub fn without_host(&mut self, port: PortIndex) {
        self.workers.iter_mut().for_each(|worker| worker.ports.without_host.push(port));
    }

    /// Leaves each worker this many empty packets.
    pub fn leave_pool(&mut self, count: usize) {
        self.workers.iter_mut().for_each(|worker| worker.ports.pool = count);
    }

    /// What workers told the sync daemon since the last time.
    pub fn told(&mut self) -> Vec<Record> {
        self.workers.iter_mut().flat_map(|worker| std::mem::take(&mut worker.ports.told)).collect()
    }

    /// The sync daemon hands on what it heard.
    pub fn import(&mut self, record: &Record) {
        let (owner, by_port) = owners(self.snapshot(), record);
        for to in owner.into_iter().chain(by_port) {
            self.workers[usize::from(to.0)].pipeline.import(self.now_ms, record);
        }
    }

    /// How often this became of what was heard.
    pub fn imported(&self, imported: Imported) -> u64 {
        self.workers.iter().map(|worker| worker.ports.counters.imported_as(imported)).sum()
    }

    /// Leaves each worker this many large empty packets.
    pub fn leave_large_pool(&mut self, count: usize) {
        self.workers.iter_mut().for_each(|worker| worker.ports.large_pool = count);
    }

    /// What rings carry arrives, until all is quiet. Packets are steered once; again only what was put together of fragments,
    /// or where a connection came from another director and its replies lead to another worker.
    #[track_caller]
    fn settle(&mut self) -> Sent {
        let mut sent = Sent::default();
        for _ in 0..2 + usize::from(self.redirects) {
            let mut on_rings = Vec::new();
            for worker in &mut self.workers {
                on_rings.append(&mut worker.ports.steered);
            }
            for (to, iface, why, packet) in on_rings {
                sent.steered += 1;
                let Worker { pipeline, ports } = &mut self.workers[usize::from(to.0)];
                let before = ports.steered.len();
                pipeline.receive_steered(self.now_ms, iface, why, packet, ports);
                let again = &ports.steered[before..];
                let gathered = |(_, _, why, _): &_| matches!(why, Steered::Gathered(_));
                let twice = why == Steered::Fragment || self.redirects;
                assert!(twice || again.is_empty(), "a packet is steered once");
                assert!(
                    self.redirects || again.iter().all(gathered),
                    "a fragment is steered once, and then the whole"
                );
            }
        }
        for from in 0..self.workers.len() {
            for learned in std::mem::take(&mut self.workers[from].ports.learned) {
                for to in (0..self.workers.len()).filter(|to| *to != from) {
                    let Worker { pipeline, ports } = &mut self.workers[to];
                    pipeline.learn(self.now_ms, learned, ports);
                }
            }
        }
        for worker in &mut self.workers {
            assert!(worker.ports.steered.is_empty(), "a packet is steered once");
            assert!(worker.ports.learned.is_empty(), "what was learned from another worker is not told on");
            let out = std::mem::take(&mut worker.ports.sent);
            sent.frames.extend(out.frames);
            sent.host.extend(out.host);
        }
        self.check();
        sent
    }

    /// The conservation law, by worker and across rings.
    #[track_caller]
    pub fn check(&self) {
        for (id, worker) in self.workers.iter().enumerate() {
            let (came, went) = worker.ports.counters.balance();
            assert_eq!(came, went, "worker {id}: packets that came to be, packets accounted for");
        }
        assert_eq!(
            self.sum(|counters| &counters.to_ring),
            self.sum(|counters| &counters.from_ring),
            "packets into rings, packets out of rings"
        );
    }

    /// A counter of all workers together.
    pub fn sum(&self, counter: impl Fn(&Counters) -> &Counter) -> u64 {
        self.workers.iter().map(|worker| counter(&worker.ports.counters).get()).sum()
    }

    /// Packets dropped for a reason by all workers together.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.workers.iter().map(|worker| worker.ports.counters.dropped_for(reason)).sum()
    }

    /// Packets dropped for any reason by all workers together.
    pub fn dropped_at_all(&self) -> u64 {
        self.workers.iter().map(|worker| worker.ports.counters.dropped()).sum()
    }

    /// All connections, and the worker that has each.
    pub fn connections(&self) -> Vec<(usize, ConnView)> {
        let mut all = Vec::new();
        for (id, worker) in self.workers.iter().enumerate() {
            let mut cursor = Some(Cursor::default());
            while let Some(at) = cursor {
                let director = worker.pipeline.director();
                cursor = director.list(self.now_ms, at, 1024, |conn| all.push((id, conn)));
            }
        }
        all
    }

    /// The neighbours that a worker knows.
    pub fn neighbours(&self, worker: usize) -> Vec<NeighbourView> {
        self.workers[worker].pipeline.neighbours(self.now_ms)
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> &Snapshot {
        self.workers[0].pipeline.director().snapshot()
    }
}
