//! What one worker learns of the network and tells the others.

use core::net::IpAddr;

use crate::neighbour::Learned;

/// A piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A neighbour's hardware address.
    Neighbour(Learned),
    /// The path MTU to a destination of our own packets.
    PathMtu(PathMtu),
}

/// What a router said of the way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// The destination.
    pub dst: IpAddr,
    /// Largest packet in bytes, as it was said.
    pub mtu: u16,
}
