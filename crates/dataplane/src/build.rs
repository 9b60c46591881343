//! Makes what the data plane consists of: ports and TAPs from EAL, then rings, queues and outboxes for each worker.
//!
//! Who has which queue: receive queue *q* of a port belongs to worker *q mod workers*; transmit queue *w* to worker *w*. Where a
//! device has fewer transmit queues than there are workers, the workers without one hand their frames to the one that has
//! queue *w mod queues*.

use std::sync::Arc;

use dpdk::thread::ThreadError;
use dpdk::{Clock, Consumer, Eal, Mempool, Port, PortConfig, Producer, Ring};
use inet::PortIndex;
use ipvs::{Director, Snapshot, WorkerId, WorkerShared};
use pipeline::{Counters, Pipeline, PipelineLimits};

use crate::config::{PlaneConfig, PortSetup};
use crate::error::PlaneError;
use crate::exception::{Exception, ExceptionCounters, Phase, Tap};
use crate::mailbox::Mailbox;
use crate::memory::{data_room, pool_mib};
use crate::outbox::{self, Egress, Outbox};
use crate::sync::{SyncEnds, SyncRings, sync_rings};
use crate::worker::Worker;

/// Packet buffers that each thread keeps at hand.
const POOL_CACHE: u32 = 256;

pub(crate) fn start_eal(config: &PlaneConfig) -> Result<&'static Eal, PlaneError> {
    let mut eal = config.eal.clone();
    eal.devices = config.ports.iter().map(|port| port.device.clone()).collect();
    let taps =
        config.ports.iter().enumerate().filter_map(|(index, port)| Some((index, port.exception.as_ref()?)));
    eal.devices.extend(taps.map(|(index, name)| format!("{},iface={name}", tap_device(index))));
    Ok(Eal::init(eal)?)
}

/// Whether workers can be where they are to be.
pub(crate) fn check_cpus(workers: &[Option<usize>]) -> Result<(), PlaneError> {
    let allowed = dpdk::thread::cpus().map_err(PlaneError::Cpu)?;
    match workers.iter().flatten().find(|cpu| !allowed.contains(cpu)) {
        Some(&cpu) => Err(PlaneError::Cpu(ThreadError::NoSuchCpu { cpu, allowed })),
        None => Ok(()),
    }
}

/// A name that no one gives to a port of his own.
fn tap_device(port: usize) -> String {
    format!("net_tap_host{port}")
}

/// Where packet buffers come from.
pub(crate) struct Pools {
    /// For what arrives, and what is made.
    pub(crate) usual: Mempool,
    /// For datagrams that are gathered from fragments. Few and large; no thread keeps any at hand.
    pub(crate) large: Mempool,
}

pub(crate) fn make_pools(eal: &'static Eal, config: &PlaneConfig) -> Result<Pools, PlaneError> {
    let room = data_room(config);
    let cache = POOL_CACHE.min(config.mbufs / 2);
    let make = |name, count, cache, room| {
        Mempool::new(eal, name, count, cache, room, None).map_err(|error| PlaneError::Buffers {
            count,
            needed_mib: pool_mib(eal.memory_mode(), count, room),
            memory_mib: config.eal.memory_mib,
            error,
        })
    };
    let usual = make("rvs", config.mbufs, cache, room)?;
    let large = make("rvs-large", config.large_mbufs, 0, Mempool::MOST_DATA_ROOM)?;
    Ok(Pools { usual, large })
}

pub(crate) fn open_ports(
    eal: &'static Eal,
    config: &PlaneConfig,
    pool: &Mempool,
) -> Result<Vec<Port>, PlaneError> {
    config.ports.iter().map(|setup| open_port(eal, config, setup, pool)).collect()
}

fn open_port(
    eal: &'static Eal,
    config: &PlaneConfig,
    setup: &PortSetup,
    pool: &Mempool,
) -> Result<Port, PlaneError> {
    let workers = config.workers.len() as u16;
    let idle = Port::by_device_name(eal, &dpdk::device_name(&setup.device))?;
    if idle.info().max_tx_queues == 0 {
        return Err(PlaneError::NoTxQueue { port: setup.name.clone(), needed: workers });
    }
    let rx_queues = setup.rx_queues.unwrap_or_else(|| idle.info().rx_queues_for(workers));
    let port = PortConfig {
        rx_queues,
        tx_queues: idle.info().tx_queues_for(workers, rx_queues),
        rx_descriptors: setup.rx_descriptors,
        tx_descriptors: setup.tx_descriptors,
        mtu: setup.mtu,
        mac: setup.mac.map(|mac| mac.0),
        promiscuous: setup.promiscuous,
        ..PortConfig::new(&setup.name)
    };
    let port = idle.configure(&port, pool)?;
    // Neighbour Discovery, VRRP and routing protocols arrive at groups; what else comes is dropped, counted.
    if !setup.promiscuous
        && port.set_all_multicast(true).is_err()
        && let Err(error) = port.set_promiscuous(true)
    {
        tracing::warn!(port = setup.name, %error, "port may not receive multicast");
    }
    Ok(port)
}

pub(crate) fn open_taps(
    eal: &'static Eal,
    config: &PlaneConfig,
    ports: &[Port],
    pool: &Mempool,
) -> Result<Vec<Option<Port>>, PlaneError> {
    let open = |(index, (setup, port)): (usize, (&PortSetup, &Port))| -> Result<Option<Port>, PlaneError> {
        let Some(name) = &setup.exception else { return Ok(None) };
        let tap = PortConfig { mtu: setup.mtu, mac: Some(port.mac()), ..PortConfig::new(name) };
        Ok(Some(Port::by_device_name(eal, &tap_device(index))?.configure(&tap, pool)?))
    };
    config.ports.iter().zip(ports).enumerate().map(open).collect()
}

/// All that workers are made of.
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a PlaneConfig,
    pub(crate) eal: &'static Eal,
    pub(crate) ports: &'a [Port],
    pub(crate) taps: &'a [Option<Port>],
    pub(crate) pools: &'a Pools,
    pub(crate) clock: Clock,
    pub(crate) mailboxes: &'a [Arc<Mailbox>],
    pub(crate) counters: &'a [Arc<Counters>],
    pub(crate) shared: &'a [Arc<WorkerShared>],
    pub(crate) exception: &'a Arc<ExceptionCounters>,
    pub(crate) phase: &'a Arc<Phase>,
}

/// The rings that end or begin at one worker.
#[derive(Default)]
struct Rings {
    /// By the worker at the other end.
    out: Vec<Option<Producer>>,
    fellows: Vec<Consumer>,
    to_host: Option<Producer>,
    from_host: Option<Consumer>,
}

impl Parts<'_> {
    pub(crate) fn build(
        &self,
        snapshot: &Arc<Snapshot>,
    ) -> Result<(Vec<Worker>, Option<Exception>, SyncRings), PlaneError> {
        let mut rings = self.rings_between_workers()?;
        let (sync, ends) = sync_rings(rings.len());
        let exception = self.exception(&mut rings)?;
        let build = |((worker, rings), ends)| self.worker(WorkerId(worker), rings, ends, snapshot);
        let workers = (0u16..).zip(rings).zip(ends).map(build).collect::<Result<_, _>>()?;
        Ok((workers, exception, sync))
    }

    fn ring(&self, name: &str) -> Result<(Producer, Consumer), PlaneError> {
        Ok(Ring::spsc(self.eal, name, self.config.ring_size)?)
    }

    fn rings_between_workers(&self) -> Result<Vec<Rings>, PlaneError> {
        let workers = self.config.workers.len();
        let mut rings: Vec<Rings> = (0..workers).map(|_| Rings::default()).collect();
        for from in 0..workers {
            for to in 0..workers {
                if from == to {
                    rings[from].out.push(None);
                    continue;
                }
                let (producer, consumer) = self.ring(&format!("rvs-{from}-{to}"))?;
                rings[from].out.push(Some(producer));
                rings[to].fellows.push(consumer);
            }
        }
        Ok(rings)
    }

    fn exception(&self, rings: &mut [Rings]) -> Result<Option<Exception>, PlaneError> {
        if self.taps.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut from_workers = Vec::new();
        for (worker, rings) in rings.iter_mut().enumerate() {
            let (producer, consumer) = self.ring(&format!("rvs-{worker}-host"))?;
            rings.to_host = Some(producer);
            from_workers.push(consumer);
        }
        let (to_worker, consumer) = self.ring("rvs-host-0")?;
        if let Some(first) = rings.first_mut() {
            first.from_host = Some(consumer);
        }
        let tap = |port: &Port| -> Result<Tap, PlaneError> {
            Ok(Tap { rx: port.rx_queue(0)?, tx: port.tx_queue(0)? })
        };
        Ok(Some(Exception {
            taps: self
                .taps
                .iter()
                .map(|port| port.as_ref().map(tap).transpose())
                .collect::<Result<_, _>>()?,
            from_workers,
            to_worker,
            counters: Arc::clone(self.exception),
            phase: Arc::clone(self.phase),
        }))
    }

    fn worker(
        &self,
        id: WorkerId,
        rings: Rings,
        sync: SyncEnds,
        snapshot: &Arc<Snapshot>,
    ) -> Result<Worker, PlaneError> {
        let index = usize::from(id.0);
        let counters = Arc::clone(&self.counters[index]);
        let outbox = Outbox::new(outbox::Parts {
            own: id,
            egress: self.ports.iter().map(|port| egress(port, id)).collect::<Result<_, _>>()?,
            workers: rings.out,
            host: rings.to_host,
            exceptions: self.taps.iter().map(Option::is_some).collect(),
            pool: self.pools.usual.clone(),
            large: self.pools.large.clone(),
            mailboxes: self.mailboxes.to_vec(),
            records: sync.records,
            counters: Arc::clone(&counters),
        });
        Ok(Worker {
            id,
            clock: self.clock,
            idle: self.config.idle,
            pipeline: self.pipeline(id, snapshot)?,
            outbox,
            queues: self.queues(id)?,
            fellows: rings.fellows,
            host: rings.from_host,
            mailbox: Arc::clone(&self.mailboxes[index]),
            imports: sync.imports,
            counters,
            open: true,
        })
    }

    fn pipeline(&self, id: WorkerId, snapshot: &Arc<Snapshot>) -> Result<Pipeline<dpdk::Mbuf>, PlaneError> {
        let seed = self.config.seed.wrapping_add(u64::from(id.0));
        let director =
            Director::new(id, &self.config.limits, Arc::clone(snapshot), self.shared.to_vec(), seed)
                .map_err(|error| PlaneError::Table { worker: id.0, error })?;
        let limits = PipelineLimits {
            neighbours: self.config.neighbours,
            reassembly: self.config.reassembly,
            icmp_per_second: self.config.icmp_per_second,
        };
        Ok(Pipeline::new(id, director, limits, Arc::clone(&self.counters[usize::from(id.0)]), seed))
    }

    /// The receive queues of one worker.
    fn queues(&self, id: WorkerId) -> Result<Vec<(PortIndex, dpdk::RxQueue)>, PlaneError> {
        let workers = self.config.workers.len();
        let mut queues = Vec::new();
        for (index, port) in (0u16..).zip(self.ports) {
            for queue in (id.0..port.rx_queues()).step_by(workers) {
                queues.push((PortIndex(index), port.rx_queue(queue)?));
            }
        }
        Ok(queues)
    }
}

fn egress(port: &Port, id: WorkerId) -> Result<Egress, PlaneError> {
    let queues = port.tx_queues();
    Ok(if id.0 < queues {
        Egress::Queue(port.tx_queue(id.0)?)
    } else {
        Egress::Relay(WorkerId(id.0 % queues))
    })
}
