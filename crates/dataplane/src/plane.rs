//! Brings the data plane up and down, and is the control core's handle on it.
//!
//! Two steps, because a snapshot names hardware addresses that only opened ports know: [`Plane::open`] starts EAL and the
//! ports, [`Plane::start`] the threads. Dropping a plane stops its threads and waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};
use dpdk::{Clock, Eal, Link, Mempool, Port, PortStats, thread};
use inet::{IfaceId, NeighbourView};
use ipvs::{Cursor, ServiceId, Snapshot, WorkerId, WorkerShared};
use pipeline::Counters;
use wire::MacAddr;

use crate::build::{self, Parts};
use crate::config::PlaneConfig;
use crate::error::PlaneError;
use crate::exception::{Exception, ExceptionCounters};
use crate::mailbox::{ConnectionPage, Mailbox, Request};
use crate::worker::Worker;

/// How long the control core waits for a worker: far more than a turn can take.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that a worker visits for one page of a listing.
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

/// Threads that run, and how to end them.
#[derive(Default)]
struct Threads {
    workers: Vec<JoinHandle<()>>,
    exception: Option<JoinHandle<()>>,
}

/// The data plane.
pub struct Plane {
    config: PlaneConfig,
    eal: &'static Eal,
    ports: Vec<Port>,
    taps: Vec<Option<Port>>,
    pool: Mempool,
    clock: Clock,
    mailboxes: Vec<Arc<Mailbox>>,
    counters: Vec<Arc<Counters>>,
    shared: Vec<Arc<WorkerShared>>,
    exception: Arc<ExceptionCounters>,
    stop_exception: Arc<AtomicBool>,
    threads: Threads,
}

impl Plane {
    /// Starts EAL, the packet pool and the ports with their exception TAPs.
    pub fn open(config: PlaneConfig) -> Result<Self, PlaneError> {
        let eal = build::start_eal(&config)?;
        let pool = build::make_pool(eal, &config)?;
        let ports = build::open_ports(eal, &config, &pool)?;
        let taps = build::open_taps(eal, &config, &ports, &pool)?;
        let workers = config.workers.len();
        Ok(Self {
            eal,
            ports,
            taps,
            pool,
            clock: Clock::calibrate(),
            mailboxes: (0..workers).map(|_| Mailbox::new()).collect(),
            counters: (0..workers).map(|_| Arc::default()).collect(),
            shared: (0..workers).map(|_| Arc::new(WorkerShared::new(&config.limits))).collect(),
            exception: Arc::default(),
            stop_exception: Arc::default(),
            threads: Threads::default(),
            config,
        })
    }

    /// Starts the workers and the exception thread with a first snapshot.
    pub fn start(&mut self, snapshot: &Arc<Snapshot>) -> Result<(), PlaneError> {
        let parts = Parts {
            config: &self.config,
            eal: self.eal,
            ports: &self.ports,
            taps: &self.taps,
            pool: &self.pool,
            clock: self.clock,
            mailboxes: &self.mailboxes,
            counters: &self.counters,
            shared: &self.shared,
            exception: &self.exception,
            stop_exception: &self.stop_exception,
        };
        let (workers, exception) = parts.build(snapshot)?;
        if let Some(exception) = exception {
            self.threads.exception = Some(spawn_exception(self.eal, exception)?);
        }
        for (worker, cpu) in workers.into_iter().zip(self.config.workers.clone()) {
            self.threads.workers.push(spawn_worker(self.eal, worker, cpu)?);
        }
        Ok(())
    }

    /// Gives every worker a new snapshot; returns when all have switched and the old one is free of them.
    pub fn publish(&self, snapshot: &Arc<Snapshot>) -> Result<(), PlaneError> {
        self.ask_all(|answer| Request::Apply(Arc::clone(snapshot), answer)).map(drop)
    }

    /// The next connections of one worker, from `from` on.
    pub fn connections(&self, worker: WorkerId, from: Cursor) -> Result<ConnectionPage, PlaneError> {
        self.ask(worker, |answer| Request::Connections { from, budget: PAGE, answer })
    }

    /// Forgets all connections, or those of one service; returns how many there were.
    pub fn flush_connections(&self, service: Option<ServiceId>) -> Result<usize, PlaneError> {
        Ok(self.ask_all(|answer| Request::FlushConnections(service, answer))?.into_iter().sum())
    }

    /// What each worker knows of its neighbours.
    pub fn neighbours(&self) -> Result<Vec<Vec<NeighbourView>>, PlaneError> {
        self.ask_all(Request::Neighbours)
    }

    /// Makes every worker forget the neighbours that it learned, on one interface or all.
    pub fn flush_neighbours(&self, iface: Option<IfaceId>) -> Result<(), PlaneError> {
        self.ask_all(|answer| Request::FlushNeighbours(iface, answer)).map(drop)
    }

    /// All ports, with what their drivers say now.
    pub fn ports(&self) -> Vec<PortState> {
        let state = |(port, setup): (&Port, &crate::PortSetup)| PortState {
            name: setup.name.clone(),
            device: setup.device.clone(),
            driver: port.info().driver.clone(),
            mac: setup.mac.unwrap_or(MacAddr(port.mac())),
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
        format!("{:?}, {} packet buffers", self.eal.memory_mode(), self.config.mbufs)
    }

    /// Stops all threads and waits for them.
    pub fn stop(&mut self) {
        if !self.threads.workers.is_empty() {
            for mailbox in &self.mailboxes {
                post(mailbox, Request::Stop);
            }
        }
        self.threads.workers.drain(..).for_each(join);
        self.stop_exception.store(true, Relaxed);
        self.threads.exception.take().into_iter().for_each(join);
    }

    fn ask<T>(&self, worker: WorkerId, request: impl FnOnce(Sender<T>) -> Request) -> Result<T, PlaneError> {
        let (sender, receiver) = bounded(1);
        let mailbox = self.mailboxes.get(usize::from(worker.0)).ok_or(PlaneError::NoWorker(worker.0))?;
        post(mailbox, request(sender));
        answer(worker, &receiver)
    }

    /// Asks all workers at once and waits for all answers, in the workers' order.
    fn ask_all<T>(&self, request: impl Fn(Sender<T>) -> Request) -> Result<Vec<T>, PlaneError> {
        let asked: Vec<Receiver<T>> = self
            .mailboxes
            .iter()
            .map(|mailbox| {
                let (sender, receiver) = bounded(1);
                post(mailbox, request(sender));
                receiver
            })
            .collect();
        (0u16..).zip(&asked).map(|(worker, receiver)| answer(WorkerId(worker), receiver)).collect()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Puts a request into a mailbox, waiting while it is full: the control core may wait, workers never do.
fn post(mailbox: &Mailbox, mut request: Request) {
    let until = Instant::now() + PATIENCE;
    while let Err(back) = mailbox.requests.push(request) {
        if Instant::now() > until {
            return;
        }
        request = back;
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn answer<T>(worker: WorkerId, receiver: &Receiver<T>) -> Result<T, PlaneError> {
    receiver.recv_timeout(PATIENCE).map_err(|_| PlaneError::WorkerSilent(worker.0))
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a data plane thread panicked");
    }
}

fn spawn_worker(eal: &'static Eal, worker: Worker, cpu: Option<usize>) -> Result<JoinHandle<()>, PlaneError> {
    let name = format!("worker-{}", worker.id.0);
    spawn(&name, move || {
        if let Some(cpu) = cpu
            && let Err(error) = thread::pin_to_cpu(cpu)
        {
            tracing::error!(%error, cpu, "worker is not pinned");
        }
        let _registration = register(eal);
        worker.run();
    })
}

fn spawn_exception(eal: &'static Eal, exception: Exception) -> Result<JoinHandle<()>, PlaneError> {
    spawn("exception", move || {
        let _registration = register(eal);
        exception.run();
    })
}

/// Without registration a thread works too, only slower: it has no cache of packet buffers.
fn register(eal: &'static Eal) -> Option<thread::Registration> {
    thread::register(eal)
        .inspect_err(|error| tracing::warn!(%error, "thread has no packet buffer cache"))
        .ok()
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, PlaneError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|error| PlaneError::Thread { name: name.to_owned(), error })
}
