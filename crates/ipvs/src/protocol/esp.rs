//! ESP [ip_vs_proto_ah_esp]: payload that the director cannot look into, and that has no ports to go by. It is never
//! scheduled: it goes where the key exchange went that agreed upon it, IKE from and to UDP port 500 between the same
//! addresses (`ike`, which [`ah`](super::ah) shares). Where that connection is translated, so are the addresses of ESP,
//! and nothing else. Its fragments need no gathering, since they are all told by their addresses.

/// The port of IKE at both ends (RFC 7296, 2).
pub const IKE_PORT: u16 = 500;
