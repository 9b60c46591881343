//! Tunnels: a packet inside another IP packet, for destinations that are not on our link.

pub mod ipip;
