//! The director: Linux IPVS as a pure state machine, one instance per worker.
//!
//! Nothing here knows DPDK, a clock, a thread or a socket. Packets are [`wire::PacketBuf`]s, time is an argument in
//! monotonic milliseconds, random numbers come from seeded generators, and effects are return values ([`Verdict`]).
//!
//! What workers share is either immutable (a [`Snapshot`]: services, pools, steering, settings) or written by one
//! worker only and read by the others without synchronisation ([`WorkerShared`]: counters).

#![forbid(unsafe_code)]

pub mod app;
mod connection;
mod control;
mod defence;
mod director;
mod engine;
mod fast;
mod flags;
mod hooks;
mod icmp;
mod input;
mod lifetime;
pub mod limits;
mod list;
pub mod listing;
pub mod marks;
mod math;
pub mod model;
mod output;
mod persist;
pub mod pool;
pub mod protocol;
pub mod rng;
mod schedule;
pub mod scheduler;
pub mod shared;
mod side;
pub mod snapshot;
pub mod steering;
pub mod sync;
pub mod table;
#[cfg(test)]
mod testing;
pub mod timeouts;
pub mod trace;
pub mod verdict;
mod xmit;

use conntab::siphash;

pub use app::{HELPER_PORTS_MAX, Helper, Helpers};
pub use conntab::BuildError;
pub use defence::DefenceLevel;
pub use director::{Cursor, Director};
pub use engine::calls::Call;
pub use fast::Lookup;
pub use flags::ConnFlags;
pub use hooks::gathers_passing;
pub use limits::{Limits, bytes_per_connection};
pub use list::ConnView;
pub use model::{
    ClientMask, Dest, DestId, Engine, GueChecksum, LocalPool, Method, Persistence, PoolId, SchedulerKind,
    SchedulerOptions, Service, ServiceId, ServiceKey, Tunnel, WorkerId,
};
pub use protocol::{Direction, Protocol, State};
pub use rng::Rng;
pub use scheduler::Schedulers;
pub use shared::{Traffic, TrafficStats, WorkerShared};
pub use snapshot::{Defence, Settings, Snapshot};
pub use steering::{NatSteering, Slot, Steering, owner};
pub use sync::SyncSettings;
pub use table::{ServiceTable, TableError};
pub use timeouts::Timeouts;
pub use verdict::Verdict;
