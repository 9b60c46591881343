//! A laboratory of network namespaces: a client, a director, a switch, a router and real servers, with the
//! programs that run in them.
//!
//! Why: end-to-end suites and the demonstration need real kernels' stacks, real programs and a network that is
//! ours alone. Everything made here carries the name of its run, and is removed when the [`Lab`] is dropped, when
//! the process is interrupted or terminated, and, should the process have been killed, when the next lab starts.
//!
//! Needs root (or `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`), `ip` and `ethtool`.

#![forbid(unsafe_code)]

pub mod address;
pub mod echo;
pub mod error;
pub mod nginx;
pub mod process;
pub mod run;
pub mod topology;

mod netns;

pub use error::{Error, Result};
pub use netns::Namespace;
pub use process::Process;
pub use run::Lab;
pub use topology::{Plan, Topology, Wiring};
