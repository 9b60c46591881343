//! The configuration as one immutable value: what workers read, and control replaces as a whole.
//!
//! A worker gets a new one by its mailbox and gives the old one back, so that it never frees or counts references.
//! Unchanged services are the same `Arc` in both.

use inet::Net;

use crate::pool::Pools;
use crate::{ServiceTable, Steering, SyncSettings, Timeouts};

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
    /// Persistence forgets destinations whose weight has become 0.
    pub expire_quiescent_template: bool,
    /// Packets of a service by mark or for any port that has no destination go where they were sent.
    pub cache_bypass: bool,
    /// Make TCP connections from packets other than SYN too.
    pub sloppy_tcp: bool,
    /// Make SCTP associations from packets other than INIT too.
    pub sloppy_sctp: bool,
    /// Route replies anew after their source has become the virtual address.
    pub snat_reroute: bool,
    /// Answer packets of a real server that belong to no connection with port unreachable.
    pub nat_icmp_send: bool,
    /// Tell senders about too small path MTUs; otherwise let tunnel packets be fragmented.
    pub pmtu_disc: bool,
    /// Make connections from ICMP errors that concern none.
    pub schedule_icmp: bool,
    /// Make no connections as long as this host is a backup of another.
    pub backup_only: bool,
    /// How defence against floods by making room is driven [drop_entry].
    pub drop_entry: Defence,
    /// How defence by dropping packets is driven [drop_packet].
    pub drop_packet: Defence,
    /// How defence by stricter TCP states is driven [secure_tcp].
    pub secure_tcp: Defence,
    /// Free memory below which defence begins, in pages of 4 KiB [amemthresh].
    pub amemthresh: u32,
    /// In mode 3 one packet of so many that would begin a connection is dropped [am_droprate].
    pub am_droprate: u32,
    /// Whether rates are estimated.
    pub run_estimation: bool,
    /// Bit 0: schedule anew when a closed connection's client port comes again.
    pub conn_reuse_mode: u8,
    /// How long lblc remembers a destination address that nobody asks for.
    pub lblc_expiration_ms: u64,
    /// The same for lblcr; and how long its server sets stay as they are before they shrink.
    pub lblcr_expiration_ms: u64,
    /// Synchronisation.
    pub sync: SyncSettings,
}

impl Settings {
    /// Whether clients are none of this host's business, since it is a backup and asked to be nothing else
    /// [sysctl_backup_only]. Destinations are still answered for.
    pub fn is_idle(&self) -> bool {
        self.backup_only && self.sync.backup
    }
}

/// When a defence is on [drop_entry, drop_packet, secure_tcp: 0 to 3].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defence {
    /// Never (0).
    #[default]
    Off,
    /// When memory runs short (1: armed; 2 while it is on).
    Automatic,
    /// Always (3).
    Always,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            expire_nodest_conn: false,
            expire_quiescent_template: false,
            cache_bypass: false,
            sloppy_tcp: false,
            sloppy_sctp: false,
            snat_reroute: true,
            backup_only: false,
            drop_entry: Defence::Off,
            drop_packet: Defence::Off,
            secure_tcp: Defence::Off,
            amemthresh: 1024,
            am_droprate: 10,
            run_estimation: true,
            nat_icmp_send: false,
            pmtu_disc: true,
            schedule_icmp: false,
            conn_reuse_mode: 1,
            lblc_expiration_ms: 24 * 60 * 60 * 1000,
            lblcr_expiration_ms: 24 * 60 * 60 * 1000,
            sync: SyncSettings::default(),
        }
    }
}
