//! The configuration as data: what the file says, with every default filled in.
//!
//! It is also the desired state: requests edit a copy of it. Services are shared between copies, so that a
//! copy of 10,000 of them is cheap and an unchanged one is known by its address.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use api::{
    AddrRange, AddressSpec, Cidr, DestSpec, Mac, MarkSpec, NeighbourSpec, PortRange, RouteSpec, RouteTarget,
    ServiceSpec, SetSpec, SyncSpec, Sysctls,
};

/// The most workers that one daemon runs.
pub const WORKERS_MAX: u16 = 64;
/// Addresses of all local pools together.
pub const POOL_ADDRESSES_MAX: usize = 4096;
/// Local pools.
pub const POOLS_MAX: usize = 256;
/// Rules that mark packets.
pub const MARKS_MAX: usize = 1024;
/// Members of all sets together.
pub const SET_MEMBERS_MAX: usize = 262_144;
/// Ports and VLANs together.
pub const INTERFACES_MAX: usize = 1024;

/// One whole configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    pub daemon: Daemon,
    pub dpdk: Dpdk,
    pub workers: Workers,
    pub limits: Limits,
    pub ports: Vec<Port>,
    pub vlans: Vec<Vlan>,
    pub addresses: Vec<AddressSpec>,
    pub routes: Vec<RouteSpec>,
    pub neighbours: Vec<NeighbourSpec>,
    pub pools: Vec<Pool>,
    pub sets: Vec<SetSpec>,
    /// In their order: the last that matches decides.
    pub marks: Vec<MarkSpec>,
    pub ipvs: Ipvs,
    pub steering: Steering,
    /// One of each role at most.
    pub sync: Vec<SyncSpec>,
    pub services: Vec<Arc<Service>>,
}

impl Config {
    /// Names of everything that has addresses, ports first: the order of `IfaceId`s.
    pub fn interface_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.ports.iter().map(|p| p.name.as_str()).chain(self.vlans.iter().map(|v| v.name.as_str()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    pub socket: PathBuf,
    /// A filter as `tracing` reads it: `info`, `warn,control=debug`.
    pub log: String,
}

impl Default for Daemon {
    fn default() -> Self {
        Daemon { socket: api::DEFAULT_SOCKET.into(), log: "info".into() }
    }
}

/// Whether DPDK's memory is in huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hugepages {
    /// If the system has enough of them.
    #[default]
    Auto,
    On,
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dpdk {
    pub hugepages: Hugepages,
    /// None: what the buffers that ports and workers need take.
    pub memory_mib: Option<u32>,
    /// Passed on as they are.
    pub eal_args: Vec<String>,
}

impl Default for Dpdk {
    fn default() -> Self {
        Dpdk { hugepages: Hugepages::Auto, memory_mib: None, eal_args: Vec::new() }
    }
}

/// How many workers, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// Wherever the system puts them.
    Count(u16),
    /// One bound to each.
    Cpus(Vec<u16>),
}

/// What a worker does when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Idle {
    /// Asks again at once: lowest latency, a whole core.
    Poll,
    /// Lets others run first.
    Yield,
    /// Sleeps a little, longer the longer it is idle.
    #[default]
    Sleep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workers {
    pub placement: Placement,
    pub idle: Idle,
}

impl Default for Workers {
    fn default() -> Self {
        Workers { placement: Placement::Count(1), idle: Idle::Sleep }
    }
}

impl Workers {
    pub fn count(&self) -> u16 {
        match &self.placement {
            Placement::Count(count) => *count,
            Placement::Cpus(cpus) => cpus.len() as u16,
        }
    }
}

/// What the tables hold at most; all of it is allocated at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of all workers together.
    pub connections: u32,
    pub services: u32,
    pub destinations: u32,
    /// Of each worker.
    pub neighbours: u32,
    /// Fragments that wait for others, of each worker.
    pub fragments: u32,
    /// Of them, those of one datagram, and those of one sender.
    pub fragments_per_datagram: u16,
    pub fragments_per_sender: u16,
    /// Buffers for gathered datagrams, of all workers together.
    pub large_buffers: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 1_000_000,
            services: 4096,
            destinations: 65_536,
            neighbours: 4096,
            fragments: 1024,
            fragments_per_datagram: 128,
            fragments_per_sender: 256,
            large_buffers: 256,
        }
    }
}

/// A DPDK port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// Arguments of a virtual device, or a PCI address.
    pub device: String,
    pub mtu: u16,
    /// Name of the TAP by which the host's kernel uses the port.
    pub exception: Option<String>,
    /// None: one for each worker, or as many as the device has.
    pub rx_queues: Option<u16>,
    pub rx_descriptors: u16,
    pub tx_descriptors: u16,
    pub promiscuous: bool,
    /// None: the device's own.
    pub mac: Option<Mac>,
}

/// A VLAN sub-interface of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    pub name: String,
    pub port: String,
    /// 1 to 4094.
    pub id: u16,
}

/// Addresses and ports that FULLNAT connections leave from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    pub interface: String,
    pub addresses: Vec<AddrRange>,
    pub ports: PortRange,
}

impl Pool {
    /// What a pool has when nobody says otherwise.
    pub const DEFAULT_PORTS: PortRange = PortRange { first: 1024, last: 65_535 };

    pub fn has_family_of(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|range| range.first.is_ipv4() == address.is_ipv4())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ipvs {
    pub timeouts: ipvs::Timeouts,
    /// The tunables of `net/ipv4/vs`.
    pub sysctls: Sysctls,
}

/// What decides the owner of a connection of a service with masquerade destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NatSteering {
    /// The client's address under a prefix.
    #[default]
    Address,
    /// The client's address and port.
    Endpoint,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steering {
    pub nat: NatSteering,
    pub nat_prefix_v4: u8,
    pub nat_prefix_v6: u8,
}

impl Default for Steering {
    fn default() -> Self {
        Steering { nat: NatSteering::Address, nat_prefix_v4: 32, nat_prefix_v6: 128 }
    }
}

/// A virtual service with its destinations, in the order of adding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub spec: ServiceSpec,
    pub dests: Vec<DestSpec>,
}

/// The prefix that a route leads to. None for `default` without a gateway that would tell the family.
pub fn route_prefix(to: RouteTarget, via: Option<IpAddr>) -> Option<Cidr> {
    match (to, via) {
        (RouteTarget::Prefix(prefix), _) => Some(prefix),
        (RouteTarget::Default, Some(IpAddr::V4(_))) => Cidr::new(IpAddr::from([0; 4]), 0),
        (RouteTarget::Default, Some(IpAddr::V6(_))) => Cidr::new(IpAddr::from([0; 16]), 0),
        (RouteTarget::Default, None) => None,
    }
}
