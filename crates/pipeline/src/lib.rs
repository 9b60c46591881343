//! A worker without its ports: a packet's whole way, pure and generic over what carries a packet.
//!
//! The data plane drives a [`Pipeline`] with DPDK's bursts; tests, replays of kernel traces, and simulations drive the same code
//! with vectors and a clock of their own.

#![forbid(unsafe_code)]

mod burst;
mod counters;
mod gather;
mod host;
mod link;
mod mark;
mod martian;
mod neighbour;
mod options;
mod pipeline;
mod ports;
mod trace;

pub use counters::{Counter, Counters};
pub use pipeline::{Pipeline, PipelineLimits};
pub use ports::{Ports, Steered};
