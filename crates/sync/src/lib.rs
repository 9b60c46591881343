//! The synchronisation daemon: masters tell backups of their connections, so that a backup which takes over goes on with
//! them. It speaks the protocol of Linux IPVS [ip_vs_sync.c], versions 1 and 0, and takes turns with it on one group.
//!
//! | file | what |
//! | --- | --- |
//! | `master.rs` | from records to messages: packing, when a message goes, what happens when nobody takes it; pure |
//! | `backup.rs` | from messages to records, with the verdicts of a kernel backup, counted; pure |
//! | `extra.rs` | what Linux has no place for, as parameters that it skips |
//! | `config.rs` | what a daemon is told, and what the kernel makes of what is left out |
//! | `socket.rs` | multicast sockets |
//! | `daemon.rs` | the threads: rings to sockets, sockets to rings |
//!
//! Workers and daemon share nothing but rings of [`ipvs::sync::Record`]s. A worker whose ring is full loses the record, counted,
//! and never waits; the daemon waits for a worker that is busy.

#![forbid(unsafe_code)]

mod backup;
mod config;
mod daemon;
mod extra;
mod master;
mod socket;
#[cfg(test)]
mod testing;

pub use backup::{Backup, BackupCounts};
pub use config::{ConfigError, DaemonConfig, Role, Tuning};
pub use daemon::{Daemon, DaemonError, Deliver, Status};
pub use master::{Master, MasterCounts, Sent};
pub use socket::SocketError;
