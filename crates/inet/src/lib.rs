//! The director's network layer: interfaces, addresses, routes, neighbours, and the ICMP that it makes.
//!
//! Pure: no clock, thread, socket or random source. Time is an argument in monotonic milliseconds, packets are
//! [`wire::PacketBuf`]s, effects are return values. [`Net`] is the immutable part, built by control and shared by
//! all workers; [`Neighbours`], [`PmtuCache`] and [`IcmpLimiter`] are what each worker learns for itself, every
//! one of them bounded.

#![forbid(unsafe_code)]

mod address;
pub mod arp_nd;
pub mod drop;
mod foreign;
pub mod fragment;
pub mod icmp;
mod iface;
mod lpm;
pub mod neighbour;
mod net;
mod news;
pub mod options;
mod pmtu;
mod rate_limit;
pub mod reassembly;
mod route;
#[cfg(test)]
mod testing;
mod timers;

pub use address::{Address, AddressRole, is_link_local, link_local};
pub use drop::DropReason;
pub use icmp::IcmpError;
pub use iface::{Iface, IfaceId, PortIndex};
pub use neighbour::{
    Confirm, Learned, NeighEvent, NeighLimits, NeighState, NeighbourView, Neighbours, Probe, Resolution,
    Update,
};
pub use net::{Net, NetConfig, NetError, StaticNeighbour, is_host_addr};
pub use news::{News, PathMtu};
pub use pmtu::PmtuCache;
pub use rate_limit::IcmpLimiter;
pub use reassembly::{Reassembly, ReassemblyLimits};
pub use route::{NextHop, Route};
