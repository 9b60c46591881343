//! What a scheduler may know of the packet that asks for a destination.

use core::net::IpAddr;

/// Ends and protocol of a new connection, as its client names them; for a packet quoted in an ICMP error, which goes
/// the other way, reversed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Client's address.
    pub client: IpAddr,
    /// Client's port; 0 where the protocol has none.
    pub client_port: u16,
    /// Virtual address: any that the service's mark stands for, if it has a mark.
    pub dst: IpAddr,
    /// Virtual port; 0 where the protocol has none.
    pub dst_port: u16,
    /// Upper-layer protocol's number.
    pub protocol: u8,
}
