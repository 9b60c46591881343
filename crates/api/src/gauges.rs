//! What is so at the moment: rates, and defences that are on.

use serde::{Deserialize, Serialize};

/// What there is of it in a second, smoothed as Linux does: every two seconds a quarter of the way to what was counted.
/// All 0 while `run_estimation` is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    pub connections_per_s: u64,
    pub packets_in_per_s: u64,
    pub packets_out_per_s: u64,
    pub bytes_in_per_s: u64,
    pub bytes_out_per_s: u64,
}

/// Which defences of a worker are on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defence {
    /// Less of the connection table is free than `amemthresh` asks for.
    pub short: bool,
    /// Connections that look abandoned are dropped.
    pub drop_entry: bool,
    /// Of so many packets that would begin a connection one is dropped; 0: none is.
    pub drop_packet: u32,
    /// TCP connections are established only by a whole handshake.
    pub secure_tcp: bool,
}
