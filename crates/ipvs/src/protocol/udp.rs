//! UDP's only state [ip_vs_proto_udp]: a connection is the time since its last packet in either direction.

use super::State;

/// The state of every UDP connection [IP_VS_UDP_S_NORMAL].
pub const NORMAL: State = State(0);

/// Its name in listings.
pub const NAME: &str = "UDP";
