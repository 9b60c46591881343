//! Interfaces: a DPDK port, or a VLAN on one.
//!
//! Invariant: an [`IfaceId`] is the interface's index in [`crate::Net::ifaces`]; it is valid for that snapshot only.

use wire::ether::MacAddr;

/// Dense index into [`crate::Net::ifaces`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IfaceId(pub u16);

/// Dense index of a DPDK port, in the configuration's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortIndex(pub u16);

/// A port, or a VLAN sub-interface of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iface {
    /// Its place in the list of interfaces.
    pub id: IfaceId,
    /// The user's name for it.
    pub name: Box<str>,
    /// The port that carries it.
    pub port: PortIndex,
    /// VLAN id (1 to 4094); none for the port's untagged traffic.
    pub vlan: Option<u16>,
    /// Hardware address.
    pub mac: MacAddr,
    /// Largest IP packet in bytes, Ethernet header not counted.
    pub mtu: u16,
}
