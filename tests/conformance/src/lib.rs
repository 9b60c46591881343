//! The conformance suite: what Linux 6.1 IPVS was recorded to do, done again by the director, and compared.
//!
//! A trace holds the commands that configured Linux, the frames that arrived, and every frame, connection and counter that
//! came of them. [`replay`] turns the commands into rvs's configuration and drives a [`Lab`]: a pipeline between links that
//! are like those of the recording. [`Expectations`] say where rvs
//! differs on purpose; [`Verdict`] is what came of a scenario.
//!
//! Invariant: nothing here depends on a clock, a thread, a socket or chance. A replay ends the same way every time.

#![forbid(unsafe_code)]

mod archive;
mod command;
mod compare;
mod expect;
mod feature;
pub mod lab;
mod mask;
mod messages;
mod recorded;
mod replay;
mod trace;

pub use archive::{Error, read_folder, read_scenario, recorded_scenarios};
pub use compare::{difference, is_hosts_answer};
pub use expect::{Expectations, Verdict};
pub use feature::Feature;
pub use lab::{Lab, Outcome};
pub use replay::{Difference, Replay, replay};
pub use trace::{Dump, Frame, Step, Trace};
