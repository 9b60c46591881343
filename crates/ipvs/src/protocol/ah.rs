//! AH [ip_vs_proto_ah_esp]: follows the connection of its key exchange, as [`esp`](super::esp) does. Its check covers the
//! addresses, so that it only gets through where none is translated (direct routing, tunnels); the director translates it
//! all the same, as the kernel does.
//!
//! Over IPv6 AH is an extension header: what it protects is balanced as if it were alone (`wire::ipv6::Extensions`).

use wire::{Family, PacketInfo};

/// Whether an AH packet can be followed: over IPv6 one that shows up as a protocol of its own is cut off.
pub(crate) fn follows(info: &PacketInfo) -> bool {
    info.family == Family::V4
}
