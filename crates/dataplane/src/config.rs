//! What the data plane is started with: fixed until it stops.

use dpdk::EalConfig;
use inet::{NeighLimits, ReassemblyLimits};
use ipvs::Limits;
use wire::MacAddr;

use crate::idle::Idle;

/// A port as the configuration names it.
#[derive(Clone, Debug)]
pub struct PortSetup {
    /// The user's name for it.
    pub name: String,
    /// DPDK device: virtual device arguments (`net_af_packet0,iface=eth0`) or a PCI address.
    pub device: String,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// Hardware address to take; none: the device's own.
    pub mac: Option<MacAddr>,
    /// Receive queues; none: one a worker, or as many as the device has.
    pub rx_queues: Option<u16>,
    /// Descriptors of each receive queue; none: the driver's choice.
    pub rx_descriptors: Option<u16>,
    /// Descriptors of each transmit queue; none: the driver's choice.
    pub tx_descriptors: Option<u16>,
    /// Whether frames for other hardware addresses are received (and then dropped, counted).
    pub promiscuous: bool,
    /// Name of the TAP through which the host's kernel uses this port.
    pub exception: Option<String>,
}

/// Everything that is fixed until the data plane stops.
#[derive(Clone, Debug)]
pub struct PlaneConfig {
    /// DPDK's environment; devices of ports are added to it.
    pub eal: EalConfig,
    /// Ports, by [`inet::PortIndex`].
    pub ports: Vec<PortSetup>,
    /// The processor of each worker, by [`ipvs::WorkerId`]; none: wherever the scheduler puts it.
    pub workers: Vec<Option<usize>>,
    /// What an idle worker does.
    pub idle: Idle,
    /// Bounds of the director's tables.
    pub limits: Limits,
    /// Bounds of each worker's neighbour table.
    pub neighbours: NeighLimits,
    /// Bounds of the fragments that each worker holds.
    pub reassembly: ReassemblyLimits,
    /// Buffers for datagrams gathered from fragments, of all workers together.
    pub large_mbufs: u32,
    /// ICMP errors a worker may send each second; 0: no limit.
    pub icmp_per_second: u32,
    /// Packet buffers of all ports and workers together.
    pub mbufs: u32,
    /// Packets that each ring between workers holds, a power of two.
    pub ring_size: u32,
    /// Random and secret: it keys hashes and chooses local ports.
    pub seed: u64,
}
