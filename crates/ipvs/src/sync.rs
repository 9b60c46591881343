//! Synchronisation: which connections a master tells its backups of and when, and what a backup makes of what it hears
//! [ip_vs_sync_conn, ip_vs_proc_conn].
//!
//! Messages, sockets and threads are the daemon's (`crates/sync`). A worker only hands it [`Record`]s, and gets records from
//! it. What a master remembers of a connection lies beside the connection table, in memory that nobody touches as long as
//! there is no master.

mod due;
mod export;
mod import;
mod record;
mod told;

use wire::sync::Version;

pub use import::{Imported, owners};
pub(crate) use import::{configured_dest, unknown_dest};
pub use record::{EngineData, Record};
pub(crate) use told::SyncMemory;

/// Which daemons run here, and what a master goes by [net/ipv4/vs/sync_*].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncSettings {
    /// Connections are told to backups.
    pub master: bool,
    /// Connections of a master are taken in.
    pub backup: bool,
    /// Packets of its client at which a connection is told [sync_threshold, first number].
    pub threshold: u32,
    /// And again after so many more, 0: never [sync_threshold, second number].
    pub period: u32,
    /// A connection whose end has moved by so many milliseconds is told again; 0: packets alone decide [sync_refresh_period].
    pub refresh_ms: u64,
    /// How often it is told in between, 0 to 3 [sync_retries].
    pub retries: u8,
    /// Connections that a template brings along are not told [sync_persist_mode].
    pub persist_mode: bool,
    /// How messages are written [sync_version].
    pub version: Version,
    /// Connections are told with the mark of those that netfilter tracks, as Linux tells them [conntrack].
    pub conntrack: bool,
}

impl Default for SyncSettings {
    fn default() -> Self {
        Self {
            master: false,
            backup: false,
            threshold: 3,
            period: 50,
            refresh_ms: 0,
            retries: 0,
            persist_mode: false,
            version: Version::V1,
            conntrack: false,
        }
    }
}
