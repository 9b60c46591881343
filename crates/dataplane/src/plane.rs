//! Brings the data plane up and down, and is the control core's handle on it.
//!
//! Two steps, because a snapshot names hardware addresses that only opened ports know: [`Plane::open`] starts EAL and the
//! ports, [`Plane::start`] the threads. Dropping a plane stops its threads and waits for them.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use dpdk::{Clock, Eal, Link, Port, PortStats};
use inet::{IfaceId, NeighbourView};
use ipvs::trace;
use ipvs::{Cursor, ServiceId, Snapshot, WorkerId, WorkerShared};
use pipeline::Counters;
use wire::MacAddr;

use crate::build::{self, Parts, Pools};
use crate::config::PlaneConfig;
use crate::error::PlaneError;
use crate::exception::{ExceptionCounters, Phase};
use crate::mailbox::{ConnectionPage, Mailbox, Request};
use crate::sync::SyncRings;
use crate::threads::{Alarm, Threads, join, spawn_exception, spawn_worker};

/// How long the control core waits for a worker: far more than a turn can take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that a worker visits for one page of a listing or a flush.
const PAGE: usize = 4096;

/// A port as it came up, and what its driver counts.
#[derive(Clone, Debug)]
pub struct PortState {
    /// The user's name for it.
    pub name: String,
    /// DPDK device.
    pub device: String,
    /// DPDK driver.
    pub driver: String,
    /// Hardware address.
    pub mac: MacAddr,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// State of its link; none if the driver cannot say.
    pub link: Option<Link>,
    /// The driver's counters; none if it has none.
    pub stats: Option<PortStats>,
    /// Name of the TAP through which the host's kernel uses it.
    pub exception: Option<String>,
}

/// The data plane.
pub struct Plane {
    config: PlaneConfig,
    eal: &'static Eal,
    ports: Vec<Port>,
    taps: Vec<Option<Port>>,
    pools: Pools,
    clock: Clock,
    mailboxes: Vec<Arc<Mailbox>>,
    counters: Vec<Arc<Counters>>,
    shared: Vec<Arc<WorkerShared>>,
    exception: Arc<ExceptionCounters>,
    phase: Arc<Phase>,
    threads: Threads,
    alarm: Option<Arc<Alarm>>,
}

impl Plane {
    /// Starts EAL, the packet pool and the ports with their exception TAPs.
    pub fn open(config: PlaneConfig) -> Result<Self, PlaneError> {
        build::check_cpus(&config.workers)?;
        let eal = build::start_eal(&config)?;
        let pools = build::make_pools(eal, &config)?;
        let ports = build::open_ports(eal, &config, &pools.usual)?;
        let taps = build::open_taps(eal, &config, &ports, &pools.usual)?;
        let workers = config.workers.len();
        Ok(Self {
            eal,
            ports,
            taps,
            pools,
            clock: Clock::calibrate(),
            mailboxes: (0..workers).map(|_| Mailbox::new()).collect(),
            counters: (0..workers).map(|_| Arc::default()).collect(),
            shared: (0..workers).map(|_| Arc::new(WorkerShared::new(&config.limits))).collect(),
            exception: Arc::default(),
            phase: Arc::default(),
            threads: Threads::default(),
            alarm: None,
            config,
        })
    }

    /// Starts the workers and the exception thread with a first snapshot. `alarm` is called if one of them panics, on that
    /// thread: a data plane that has lost a worker has lost that worker's connections, and should be started anew. Returns the
    /// rings to and from the sync daemon.
    pub fn start(
        &mut self,
        snapshot: &Arc<Snapshot>,
        alarm: impl Fn() + Send + Sync + 'static,
    ) -> Result<SyncRings, PlaneError> {
        let parts = Parts {
            config: &self.config,
            eal: self.eal,
            ports: &self.ports,
            taps: &self.taps,
            pools: &self.pools,
            clock: self.clock,
            mailboxes: &self.mailboxes,
            counters: &self.counters,
            shared: &self.shared,
            exception: &self.exception,
            phase: &self.phase,
        };
        let (workers, exception, sync) = parts.build(snapshot)?;
        let alarm = self.alarm.insert(Alarm::new(alarm));
        if let Some(exception) = exception {
            self.threads.exception = Some(spawn_exception(self.eal, exception, alarm)?);
        }
        for (worker, cpu) in workers.into_iter().zip(self.config.workers.clone()) {
            self.threads.workers.push(spawn_worker(self.eal, worker, cpu, alarm)?);
        }
        Ok(sync)
    }

    /// Gives every worker a new snapshot; returns when all have switched and the old one is free of them.
    pub fn publish(&self, snapshot: &Arc<Snapshot>) -> Result<(), PlaneError> {
        self.ask_all(|answer| Request::Apply(Arc::clone(snapshot), answer)).map(drop)
    }

    /// The next connections of one worker, from `from` on.
    pub fn connections(&self, worker: WorkerId, from: Cursor) -> Result<ConnectionPage, PlaneError> {
        self.ask(worker, |answer| Request::Connections { from, budget: PAGE, answer })
    }

    /// Forgets all connections, or those of one service; returns how many there were. In pages, so that packets go on
    /// meanwhile: one of a connection that has just been forgotten may begin another, which stays or goes.
    pub fn flush_connections(&self, service: Option<ServiceId>) -> Result<usize, PlaneError> {
        let mut flushed = 0;
        for worker in (0..self.mailboxes.len() as u16).map(WorkerId) {
            let mut cursor = Some(Cursor::default());
            while let Some(from) = cursor {
                let request = |answer| Request::FlushConnections { service, from, budget: PAGE, answer };
                let (count, next) = self.ask(worker, request)?;
                flushed += count;
                cursor = next;
            }
        }
        Ok(flushed)
    }

    /// What each worker knows of its neighbours.
    pub fn neighbours(&self) -> Result<Vec<Vec<NeighbourView>>, PlaneError> {
        self.ask_all(Request::Neighbours)
    }

    /// Makes every worker forget the neighbours that it learned, on one interface or all.
    pub fn flush_neighbours(&self, iface: Option<IfaceId>) -> Result<(), PlaneError> {
        self.ask_all(|answer| Request::FlushNeighbours(iface, answer)).map(drop)
    }

    /// Begins a trace at every worker, goes on with it, or ends it: a buffer for each of `filter` and so many packets, or
    /// none. Returns what was kept until now, by worker.
    pub fn trace(
        &self,
        of: Option<(trace::Filter, u32)>,
    ) -> Result<Vec<Option<Box<trace::Buffer>>>, PlaneError> {
        let buffer = || of.map(|(filter, packets)| trace::Buffer::new(filter, packets));
        self.ask_all(|answer| Request::Trace(buffer(), answer))
    }

    /// All ports, with what their drivers say now.
    pub fn ports(&self) -> Vec<PortState> {
        let state = |(port, setup): (&Port, &crate::PortSetup)| PortState {
            name: setup.name.clone(),
            device: setup.device.clone(),
            driver: port.info().driver.clone(),
            mac: MacAddr(port.mac()),
            mtu: port.mtu().unwrap_or(setup.mtu),
            rx_queues: port.rx_queues(),
            tx_queues: port.tx_queues(),
            link: port.link().ok(),
            stats: port.stats().ok(),
            exception: setup.exception.clone(),
        };
        self.ports.iter().zip(&self.config.ports).map(state).collect()
    }

    /// Packet counters, by worker.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// The director's counters, by worker.
    pub fn shared(&self) -> &[Arc<WorkerShared>] {
        &self.shared
    }

    /// What went between workers and the host's kernel.
    pub fn exception(&self) -> &ExceptionCounters {
        &self.exception
    }

    /// Cycles a second, of [`Counters::busy_cycles`].
    pub fn hz(&self) -> u64 {
        self.clock.hz()
    }

    /// The processor of each worker that has one of its own.
    pub fn cpus(&self) -> &[Option<usize>] {
        &self.config.workers
    }

    /// What DPDK's memory is, in words for a log.
    pub fn memory(&self) -> String {
        format!(
            "{:?}, {} packet buffers, {} large ones",
            self.eal.memory_mode(),
            self.config.mbufs,
            self.config.large_mbufs
        )
    }

    /// The thread that panicked first, if one did.
    pub fn panicked(&self) -> Option<&str> {
        self.alarm.as_ref()?.first()
    }

    /// DPDK's environment, which outlives the data plane.
    pub fn eal(&self) -> &'static Eal {
        self.eal
    }

    /// Stops all threads and waits for them. In steps, so that no packet ends uncounted on a ring: first nothing more is
    /// received; then what was handed over is processed, and after that what was handed over by doing so (a frame to the
    /// worker that has the transmit queue); then workers drop what waits for neighbours and end.
    pub fn stop(&mut self) {
        if self.threads.exception.is_some() {
            self.phase.close(PATIENCE);
        }
        let steps: [fn(Sender<()>) -> Request; 3] = [Request::Close, Request::Settle, Request::Settle];
        for step in steps {
            self.ask_running(step).into_iter().filter_map(Result::err).for_each(|error| {
                tracing::error!(%error, "packets may be lost uncounted");
            });
        }
        for (mailbox, thread) in self.mailboxes.iter().zip(&self.threads.workers) {
            if !thread.is_finished() {
                post(mailbox, Request::Stop, Instant::now() + PATIENCE);
            }
        }
        self.threads.workers.drain(..).for_each(join);
        self.phase.end();
        self.threads.exception.take().into_iter().for_each(join);
    }

    fn ask<T>(&self, worker: WorkerId, request: impl FnOnce(Sender<T>) -> Request) -> Result<T, PlaneError> {
        let index = usize::from(worker.0);
        let mailbox = self.mailboxes.get(index).ok_or(PlaneError::NoWorker(worker.0))?;
        let thread = self.threads.workers.get(index).ok_or(PlaneError::Stopped)?;
        if thread.is_finished() {
            return Err(PlaneError::WorkerSilent(worker.0));
        }
        let (sender, receiver) = bounded(1);
        let until = Instant::now() + PATIENCE;
        post(mailbox, request(sender), until);
        answer(worker, &receiver, until)
    }

    /// Asks all workers at once and waits for all answers, in the workers' order.
    fn ask_all<T>(&self, request: impl Fn(Sender<T>) -> Request) -> Result<Vec<T>, PlaneError> {
        if self.threads.workers.len() < self.mailboxes.len() {
            return Err(PlaneError::Stopped);
        }
        self.ask_running(request).into_iter().collect()
    }

    /// Asks all workers that were started and waits for each one's answer, all in all no longer than [`PATIENCE`].
    fn ask_running<T>(&self, request: impl Fn(Sender<T>) -> Request) -> Vec<Result<T, PlaneError>> {
        let until = Instant::now() + PATIENCE;
        let ask = |(mailbox, thread): (&Arc<Mailbox>, &JoinHandle<()>)| -> Receiver<T> {
            let (sender, receiver) = bounded(1);
            if !thread.is_finished() {
                post(mailbox, request(sender), until);
            }
            receiver
        };
        let asked: Vec<_> = self.mailboxes.iter().zip(&self.threads.workers).map(ask).collect();
        (0u16..).zip(&asked).map(|(worker, receiver)| answer(WorkerId(worker), receiver, until)).collect()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Puts a request into a mailbox, waiting while it is full: the control core may wait, workers never do. What does not get
/// in by then is dropped, and with it the way for its answer.
fn post(mailbox: &Mailbox, mut request: Request, until: Instant) {
    while let Err(back) = mailbox.requests.push(request) {
        if Instant::now() > until {
            return;
        }
        request = back;
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn answer<T>(worker: WorkerId, receiver: &Receiver<T>, until: Instant) -> Result<T, PlaneError> {
    receiver.recv_deadline(until).map_err(|_| PlaneError::WorkerSilent(worker.0))
}
