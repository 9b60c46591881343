//! Why the data plane does not start, or not answer.

use thiserror::Error;

/// What can go wrong outside of packets.
#[derive(Debug, Error)]
pub enum PlaneError {
    #[error(transparent)]
    Eal(#[from] dpdk::EalError),
    #[error(
        "dpdk.memory_mib = {memory_mib} is too little: {count} packet buffers alone need about {needed_mib} MiB, \
         which fewer or shorter queues (rx_descriptors, tx_descriptors) or fewer workers lessen ({error})"
    )]
    Buffers { count: u32, needed_mib: u64, memory_mib: u32, error: dpdk::MempoolError },
    #[error("workers.cpus: {0}")]
    Cpu(dpdk::thread::ThreadError),
    #[error(transparent)]
    Port(#[from] dpdk::PortError),
    #[error(transparent)]
    Ring(#[from] dpdk::RingError),
    #[error("limits.connections: the connection table of worker {worker} cannot be made: {error}")]
    Table { worker: u16, error: ipvs::BuildError },
    #[error("thread '{name}' cannot be started: {error}")]
    Thread { name: String, error: std::io::Error },
    #[error(
        "port '{port}': {needed} transmit queues are needed for {needed} workers, and the device has none"
    )]
    NoTxQueue { port: String, needed: u16 },
    #[error("worker {0} does not exist")]
    NoWorker(u16),
    #[error("worker {0} did not answer within five seconds")]
    WorkerSilent(u16),
    #[error("the workers have stopped")]
    Stopped,
}
