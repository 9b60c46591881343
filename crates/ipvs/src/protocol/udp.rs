//! UDP's only state [ip_vs_proto_udp]: a connection is the time since its last packet in either direction.

use super::State;

/// The state of every UDP connection [IP_VS_UDP_S_NORMAL].
pub const NORMAL: State = State(0);

/// Names of states in listings, by number.
pub const NAMES: [&str; 1] = ["UDP"];

/// Idle timeouts in milliseconds, by state [udp_timeouts].
pub const TIMEOUTS_MS: [u64; 1] = [300_000];
