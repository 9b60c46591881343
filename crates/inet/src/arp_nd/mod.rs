//! ARP (RFC 826, RFC 5227) and IPv6 Neighbour Discovery (RFC 4861): questions, answers, announcements.
//!
//! Answered is only what asks for an address bound to the interface that the question came in on, in the question's own
//! buffer. Learned is only from senders that can be neighbours there. Nobody else's address is ever answered for.

mod arp;
mod nd;

use core::net::IpAddr;

use crate::address::Address;
use crate::drop::DropReason;
use crate::neighbour::{Learned, Probe};
use crate::net::Net;

pub use arp::{answer_host_arp, receive_arp};
pub use nd::{answer_host_nd, receive_nd};

/// Room that the longest frame made here needs, in bytes.
pub const FRAME_MAX: usize = wire::ndp::MAX_FRAME_LEN;

/// What becomes of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It has become the answer: send it back on its interface as it is.
    Reply,
    /// It has served its purpose.
    Consume,
    /// It is at fault.
    Drop(DropReason),
}

/// What a received frame led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// What becomes of the frame.
    pub action: Action,
    /// What was learned here, to be told to the other workers. Packets that waited for this neighbour can be taken
    /// ([`crate::Neighbours::take_held`]).
    pub learned: Option<Learned>,
    /// A known hardware address was replaced by another one.
    pub changed: bool,
    /// The host's kernel should have a copy too: it may be the one that asked.
    pub copy_to_host: bool,
}

impl Received {
    fn only(action: Action) -> Self {
        Self { action, learned: None, changed: false, copy_to_host: false }
    }
}

/// Writes the frame that asks for a neighbour; returns its length. None if no address of ours can ask, or `out` is shorter
/// than [`FRAME_MAX`].
pub fn write_probe(net: &Net, probe: &Probe, out: &mut [u8]) -> Option<usize> {
    let out = out.first_chunk_mut::<FRAME_MAX>()?;
    match probe.target {
        IpAddr::V4(target) => arp::write_probe(net, probe, target, out),
        IpAddr::V6(target) => nd::write_probe(net, probe, target, out),
    }
}

/// Writes the frame that tells a link of an address that is now ours: an ARP announcement (RFC 5227 section 3) or an
/// unsolicited neighbour advertisement (RFC 4861 section 7.2.6). Returns its length; none if `out` is shorter than
/// [`FRAME_MAX`].
pub fn write_announcement(net: &Net, address: &Address, out: &mut [u8]) -> Option<usize> {
    let out = out.first_chunk_mut::<FRAME_MAX>()?;
    Some(match address.addr {
        IpAddr::V4(addr) => arp::write_announcement(net, address.iface, addr, out),
        IpAddr::V6(addr) => nd::write_announcement(net, address.iface, addr, out),
    })
}

/// Addresses to announce when `new` replaces `old`: those that the same traffic (port and VLAN) did not have before, or had
/// with another hardware address.
pub fn to_announce<'a>(old: Option<&'a Net>, new: &'a Net) -> impl Iterator<Item = &'a Address> {
    new.addresses().iter().filter(move |address| {
        let iface = new.iface(address.iface);
        let known = old.is_some_and(|old| {
            old.iface_of(iface.port, iface.vlan)
                .is_some_and(|id| old.own_on(id, address.addr).is_some() && old.iface(id).mac == iface.mac)
        });
        !known
    })
}

#[cfg(test)]
mod tests;
