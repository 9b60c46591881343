//! Benchmarks. Each file in `benches/` measures a single part: run it with `cargo bench -p rvs-benches --bench NAME`. The library
//! and the program `rvs-path` measure a packet's whole way through one worker, without a device: `cargo xtask bench`.

#![forbid(unsafe_code)]

pub mod case;
pub mod flows;
pub mod packet;
pub mod run;
pub mod site;

pub use case::Case;
pub use run::Bench;
