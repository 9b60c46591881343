//! DPDK behind a safe face: the environment, ports and their queues, mbufs and their pools, rings, threads, the clock.
//!
//! All `unsafe` of the project's packet I/O lives in this crate (ADR 0002). What it holds to:
//!
//! - An [`Mbuf`] is owned by exactly one place, freed when dropped, and not `Clone`; sending consumes it.
//! - A queue is one handle, usable by one thread at a time, and keeps its port alive; a port keeps its pool alive.
//! - Whatever DPDK memory backs is gone before [`Eal::cleanup`] takes that memory away, or cleanup refuses.
//! - Bursts run without allocation, lock, atomic read-modify-write of ours, or a C call per packet.

mod burst;
mod clock;
mod eal;
mod error;
mod mbuf;
mod mempool;
mod offload;
mod port;
mod port_config;
mod queue;
mod ring;
pub mod thread;

pub use burst::{BURST, Burst, Drain, MAX_BURST};
pub use clock::Clock;
pub use eal::{Eal, EalConfig, EalError, Hugepages, LogLevel, MemoryMode, device_name, pci_address};
pub use error::{Errno, NameError};
pub use mbuf::{L4Checksum, Mbuf, RxChecksum, TxChecksum};
pub use mempool::{Mempool, MempoolError};
pub use offload::{Offloads, Rss};
pub use port::{IdlePort, Link, Port, PortError, PortId, PortStats};
pub use port_config::{DescriptorLimits, PortConfig, PortInfo};
pub use queue::{RxQueue, TxQueue};
pub use ring::{Consumer, Producer, Ring, RingError};

/// Bytes in front of a fresh packet's data (RTE_PKTMBUF_HEADROOM).
pub const HEADROOM: usize = dpdk_sys::RTE_PKTMBUF_HEADROOM as usize;
