//! The control core: one desired state, what changes it, and the snapshots that workers get.
//!
//! A configuration file ([`config`]), requests on the unix socket ([`server`]) and reload all edit the same
//! validated state ([`Control`]). The difference to the state before becomes one [`ipvs::Snapshot`], which
//! reaches the workers whole through [`dataplane::Dataplane`], or not at all. Nothing here runs on a packet path and
//! no lock is shared with one.
//!
//! ```text
//!  file ── config::parse ─┐
//!                         ├─▶ copy of Config ─ check ─ diff ─ ids ─ build ─▶ Dataplane::publish ─▶ the state
//!  socket ─ edit ─────────┘                                        ▲
//!  the host's addresses (follow) ──────────────────── overlay ─────┘
//! ```

#![forbid(unsafe_code)]

mod background;
mod baseline;
mod build;
pub mod compat;
pub mod config;
mod control;
pub mod dataplane;
mod diff;
mod edit;
mod edit_marks;
mod estimator;
pub mod follow;
mod ids;
mod overlay;
pub mod server;
mod sync;
pub mod ticker;
mod trace;
mod views;

pub use build::{BuildError, limits, service_key};
pub use control::{Control, PrepareError, Prepared};
pub use dataplane::{Dataplane, DataplaneError, NeighbourSample, PortSample, SyncTuning, WorkerSample};
pub use follow::Follower;
pub use ids::IdsExhausted;
pub use overlay::HostAddress;
pub use server::{Handler, Server, ServerError, ServerLimits};
pub use ticker::Ticker;
