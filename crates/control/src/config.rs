//! The configuration file: reading it with every error at once, checking it, writing it.

pub(crate) mod check;
mod model;
mod parse;
mod place;
mod section;
mod settle;
mod suggest;
mod timeouts;
mod write;

pub use model::{
    Config, Daemon, Dpdk, Hugepages, INTERFACES_MAX, Idle, Ipvs, Limits, NatSteering, POOL_ADDRESSES_MAX,
    POOLS_MAX, Placement, Pool, Port, Service, Steering, Vlan, WORKERS_MAX, Workers, route_prefix,
};
pub(crate) use parse::{NAME, PERSISTENCE_MAX_S, is_name};
pub use parse::{Parsed, parse};
pub use place::{Issue, IssueKind, Place};
pub(crate) use settle::settle;
pub(crate) use timeouts::{TIMEOUT_MAX_S, TimeoutKey, timeout_key, timeout_keys};
pub(crate) use write::sysctl_toml;
pub use write::to_toml;

#[cfg(test)]
pub(crate) mod tests;
