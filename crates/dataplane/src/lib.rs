//! The data plane: workers that poll ports, hand packets over to each other, and run the pipeline.
//!
//! | file | what |
//! | --- | --- |
//! | `plane.rs`, `build.rs` | bring up EAL, ports, rings and threads, in that order; the control core's handle |
//! | `worker.rs` | one worker's loop |
//! | `outbox.rs` | where a worker's packets go: transmit queues, rings, the exception thread |
//! | `handover.rs` | what a packet on a ring carries with it |
//! | `mailbox.rs` | what the control core asks of a worker |
//! | `exception.rs` | the thread between workers and the host's kernel |
//! | `sync.rs` | rings between workers and the sync daemon |
//! | `threads.rs` | starting threads, and noticing that one died |
//! | `idle.rs` | what a thread does when there is nothing to do |
//!
//! Workers share nothing on the packet path but single-producer single-consumer rings; snapshots reach them whole
//! by their mailbox and go back the same way, so that no worker frees one.

#![forbid(unsafe_code)]

mod build;
mod config;
mod error;
mod exception;
mod handover;
mod idle;
mod mailbox;
mod memory;
mod outbox;
mod plane;
mod sync;
mod threads;
mod worker;

pub use config::{PlaneConfig, PortSetup};
pub use error::PlaneError;
pub use exception::ExceptionCounters;
pub use idle::Idle;
pub use mailbox::ConnectionPage;
pub use plane::{PATIENCE, Plane, PortState};
pub use sync::SyncRings;
