//! From the configuration to what the data plane is started with.

use std::fs::File;
use std::io::Read;

use control::config::{Config, Hugepages, Idle, Placement, Port};
use dataplane::{PlaneConfig, PortSetup};
use dpdk::{EalConfig, LogLevel};
use inet::{NeighLimits, ReassemblyLimits};
use ipvs::{Protocol, SchedulerKind};

use crate::Failure;

/// ICMP errors that each worker sends a second at most, as the kernel's icmp_msgs_per_sec.
const ICMP_PER_SECOND: u32 = 1000;
/// Packets that each ring between threads holds.
const RING_SIZE: u32 = 4096;
/// Packet buffers for each worker beside those in descriptors: held packets, rings, caches.
const MBUFS_PER_WORKER: u32 = 8192;

pub(crate) fn plane_config(config: &Config) -> Result<PlaneConfig, Failure> {
    let workers: Vec<Option<usize>> = match &config.workers.placement {
        Placement::Count(count) => vec![None; usize::from(*count)],
        Placement::Cpus(cpus) => cpus.iter().map(|&cpu| Some(usize::from(cpu))).collect(),
    };
    let limits = control::limits(config);
    let neighbours = NeighLimits { entries: config.limits.neighbours as usize, ..NeighLimits::default() };
    let mut plane = PlaneConfig {
        eal: eal(config),
        ports: config.ports.iter().map(port).collect(),
        mbufs: mbufs(config, workers.len() as u32),
        workers,
        idle: match config.workers.idle {
            Idle::Poll => dataplane::Idle::Poll,
            Idle::Yield => dataplane::Idle::Yield,
            Idle::Sleep => dataplane::Idle::Sleep,
        },
        limits,
        neighbours,
        reassembly: reassembly(config),
        large_mbufs: config.limits.large_buffers,
        icmp_per_second: ICMP_PER_SECOND,
        ring_size: RING_SIZE,
        seed: u64::from_ne_bytes(random_bytes()?),
    };
    plane.eal.memory_mib = config.dpdk.memory_mib.unwrap_or_else(|| plane.memory_mib());
    Ok(plane)
}

/// Every datagram that waits has a fragment, so there can be as many.
fn reassembly(config: &Config) -> ReassemblyLimits {
    let limits = &config.limits;
    ReassemblyLimits {
        datagrams: limits.fragments as usize,
        fragments: limits.fragments as usize,
        fragments_per_datagram: limits.fragments_per_datagram,
        fragments_per_sender: limits.fragments_per_sender,
    }
}

fn eal(config: &Config) -> EalConfig {
    // DPDK's own messages follow the log filter's word for 'dpdk'. Below debug only errors are worth reading, and of
    // net_tap not even these: it reports every kernel feature that it tried in vain.
    let (log_level, quiet) = if tracing::enabled!(target: "dpdk", tracing::Level::TRACE) {
        (LogLevel::Debug, None)
    } else if tracing::enabled!(target: "dpdk", tracing::Level::DEBUG) {
        (LogLevel::Info, None)
    } else {
        (LogLevel::Error, Some("--log-level=pmd.net.tap:critical"))
    };
    EalConfig {
        hugepages: match config.dpdk.hugepages {
            Hugepages::Auto => dpdk::Hugepages::Auto,
            Hugepages::On => dpdk::Hugepages::On,
            Hugepages::Off => dpdk::Hugepages::Off,
        },
        extra_args: quiet
            .into_iter()
            .map(str::to_owned)
            .chain(config.dpdk.eal_args.iter().cloned())
            .collect(),
        log_level,
        ..EalConfig::default()
    }
}

fn port(port: &Port) -> PortSetup {
    PortSetup {
        name: port.name.clone(),
        device: port.device.clone(),
        mtu: port.mtu,
        mac: port.mac.map(|mac| wire::MacAddr(mac.0)),
        rx_queues: port.rx_queues,
        rx_descriptors: Some(port.rx_descriptors),
        tx_descriptors: Some(port.tx_descriptors),
        promiscuous: port.promiscuous,
        exception: port.exception.clone(),
    }
}

/// Enough buffers to fill all descriptors of all ports and TAPs, and each worker's own needs, fragments that wait among them; one less than a power of two
/// wastes least.
fn mbufs(config: &Config, workers: u32) -> u32 {
    let of_port = |port: &Port| {
        let queues = port.rx_queues.map_or(workers, u32::from);
        let tap = if port.exception.is_some() { 2048 } else { 0 };
        queues * u32::from(port.rx_descriptors) + workers * u32::from(port.tx_descriptors) + tap
    };
    let of_worker = MBUFS_PER_WORKER + config.limits.fragments;
    let needed: u32 = config.ports.iter().map(of_port).sum::<u32>() + workers * of_worker;
    needed.next_power_of_two() - 1
}

/// Bytes that nobody can guess, from the kernel.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(Failure::Random)?;
    Ok(bytes)
}

/// Says what was loaded, as ip_vs does at the end of its start.
pub(crate) fn announce(config: &Config) {
    let limits = control::limits(config);
    tracing::info!(
        socket = %config.daemon.socket.display(),
        workers = config.workers.count(),
        connections = limits.connections,
        services = config.services.len(),
        protocols = Protocol::ALL.map(|protocol| protocol.name().to_lowercase()).join(" "),
        schedulers = SchedulerKind::ALL.map(SchedulerKind::name).join(" "),
        "rvsd is ready"
    );
}
