//! The configuration as one immutable value: what workers read, and control replaces as a whole.
//!
//! A worker gets a new one by its mailbox and gives the old one back, so that it never frees or counts references.
//! Unchanged services are the same `Arc` in both.

use inet::Net;

use crate::pool::Pools;
use crate::{ServiceTable, Steering, Timeouts};

/// Everything that decides what happens to a packet, except what the worker itself has learnt.
#[derive(Debug)]
pub struct Snapshot {
    /// Grows with every snapshot.
    pub generation: u64,
    /// Interfaces, addresses, routes.
    pub net: Net,
    /// Virtual services.
    pub services: ServiceTable,
    /// Local addresses of FULLNAT.
    pub pools: Pools,
    /// Which worker owns what.
    pub steering: Steering,
    /// Idle timeouts.
    pub timeouts: Timeouts,
    /// Switches.
    pub settings: Settings,
}

/// The director's switches: the kernel's names and defaults (net/ipv4/vs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Drop connections whose destination was removed at their next packet, instead of only their packets.
    pub expire_nodest_conn: bool,
    /// Make TCP connections from packets other than SYN too.
    pub sloppy_tcp: bool,
    /// Answer packets of a real server that belong to no connection with port unreachable.
    pub nat_icmp_send: bool,
    /// Tell senders about too small path MTUs; otherwise let tunnel packets be fragmented.
    pub pmtu_disc: bool,
    /// Make connections from ICMP errors that concern none.
    pub schedule_icmp: bool,
    /// Bit 0: schedule anew when a closed connection's client port comes again.
    pub conn_reuse_mode: u8,
    /// How long lblc remembers a destination address that nobody asks for.
    pub lblc_expiration_ms: u64,
    /// The same for lblcr; and how long its server sets stay as they are before they shrink.
    pub lblcr_expiration_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            expire_nodest_conn: false,
            sloppy_tcp: false,
            nat_icmp_send: false,
            pmtu_disc: true,
            schedule_icmp: false,
            conn_reuse_mode: 1,
            lblc_expiration_ms: 24 * 60 * 60 * 1000,
            lblcr_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}
