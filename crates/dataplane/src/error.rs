//! Why the data plane does not start, or not answer.

use thiserror::Error;

/// What can go wrong outside of packets.
#[derive(Debug, Error)]
pub enum PlaneError {
    #[error(transparent)]
    Eal(#[from] dpdk::EalError),
    #[error(transparent)]
    Mempool(#[from] dpdk::MempoolError),
    #[error(transparent)]
    Port(#[from] dpdk::PortError),
    #[error(transparent)]
    Ring(#[from] dpdk::RingError),
    #[error("the connection table of worker {worker} cannot be made: {error}")]
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
}
