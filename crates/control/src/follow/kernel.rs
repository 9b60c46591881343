//! What the kernel has told of its links and addresses, and which of those are on exception TAPs.
//!
//! Pure: fed with rtnetlink messages (rtnetlink(7)), from dumps and from events alike, in the order in which they came.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use api::Cidr;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoVlan, LinkAttribute, LinkInfo, LinkMessage, VlanProtocol};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::overlay::HostAddress;

/// The kernel's links and addresses, as far as it has told.
#[derive(Debug)]
pub struct Kernel {
    taps: HashSet<String>,
    links: HashMap<u32, Device>,
    addresses: Vec<Known>,
}

#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    vlan: Option<VlanOn>,
}

/// A VLAN device: its id, on another link of this namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct VlanOn {
    link: u32,
    id: u16,
}

#[derive(Debug, PartialEq, Eq)]
struct Known {
    key: Key,
    cidr: Cidr,
    /// Neither being checked for duplicates nor found to be one.
    usable: bool,
}

/// What the kernel tells addresses apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    link: u32,
    local: IpAddr,
    peer: Option<IpAddr>,
    /// IPv4 may have one address with several prefixes.
    prefix_len_v4: u8,
}

impl Kernel {
    /// Knows nothing yet. `taps` are the names of the exception TAPs.
    pub fn new(taps: HashSet<String>) -> Kernel {
        Kernel { taps, links: HashMap::new(), addresses: Vec::new() }
    }

    /// Takes one message; whether it said anything new.
    pub fn learn(&mut self, message: RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewLink(link) => self.new_link(link),
            RouteNetlinkMessage::DelLink(link) => self.delete_link(&link),
            RouteNetlinkMessage::NewAddress(address) => known(&address).is_some_and(|new| self.upsert(new)),
            RouteNetlinkMessage::DelAddress(address) => known(&address).is_some_and(|old| {
                let before = self.addresses.len();
                self.addresses.retain(|address| address.key != old.key);
                self.addresses.len() < before
            }),
            _ => false,
        }
    }

    /// Usable addresses on TAPs and on VLAN devices made on them, in the kernel's order, each once per interface.
    pub fn addresses(&self) -> Vec<HostAddress> {
        let mut seen = HashSet::new();
        let mut list = Vec::new();
        for address in self.addresses.iter().filter(|address| address.usable) {
            let Some((tap, vlan)) = self.place(address.key.link) else { continue };
            if seen.insert((tap, vlan, address.cidr.address)) {
                list.push(HostAddress { tap: tap.to_owned(), vlan, cidr: address.cidr });
            }
        }
        list
    }

    /// The TAP that a link is or is made on, and its VLAN id.
    fn place(&self, link: u32) -> Option<(&str, Option<u16>)> {
        let device = self.links.get(&link)?;
        let (tap, vlan) = match device.vlan {
            None => (device, None),
            Some(vlan) => (self.links.get(&vlan.link)?, Some(vlan.id)),
        };
        (tap.vlan.is_none() && self.taps.contains(&tap.name)).then_some((tap.name.as_str(), vlan))
    }

    fn new_link(&mut self, message: LinkMessage) -> bool {
        // A bridge tells of its ports in the same words, under its own family.
        if message.header.interface_family != AddressFamily::Unspec {
            return false;
        }
        let index = message.header.index;
        let Some(device) = device(message) else { return false };
        if self.links.get(&index) == Some(&device) {
            return false;
        }
        self.links.insert(index, device);
        true
    }

    fn delete_link(&mut self, message: &LinkMessage) -> bool {
        if message.header.interface_family != AddressFamily::Unspec {
            return false;
        }
        self.addresses.retain(|address| address.key.link != message.header.index);
        self.links.remove(&message.header.index).is_some()
    }

    fn upsert(&mut self, new: Known) -> bool {
        match self.addresses.iter_mut().find(|address| address.key == new.key) {
            Some(same) if *same == new => return false,
            Some(other) => *other = new,
            None => self.addresses.push(new),
        }
        true
    }
}

fn device(message: LinkMessage) -> Option<Device> {
    let (mut name, mut parent, mut id) = (None, None, None);
    let mut is_parent_here = true;
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text),
            LinkAttribute::Link(index) => parent = Some(index),
            LinkAttribute::LinkNetNsId(_) => is_parent_here = false,
            LinkAttribute::LinkInfo(infos) => id = infos.iter().find_map(vlan_id),
            _ => {}
        }
    }
    let vlan = match (parent.filter(|_| is_parent_here), id) {
        (Some(link), Some(id)) => Some(VlanOn { link, id }),
        _ => None,
    };
    Some(Device { name: name?, vlan })
}

/// The id of an 802.1Q device; other kinds have no interface in rvs.
fn vlan_id(info: &LinkInfo) -> Option<u16> {
    let LinkInfo::Data(InfoData::Vlan(vlan)) = info else { return None };
    let is_other =
        vlan.iter().any(|info| matches!(info, InfoVlan::Protocol(p) if *p != VlanProtocol::Ieee8021Q));
    let id = vlan.iter().find_map(|info| if let InfoVlan::Id(id) = info { Some(*id) } else { None });
    id.filter(|_| !is_other)
}

fn known(message: &AddressMessage) -> Option<Known> {
    let header = &message.header;
    let (mut address, mut local) = (None, None);
    let mut flags = AddressFlags::from_bits_retain(header.flags.bits().into());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(given) => address = Some(*given),
            AddressAttribute::Local(given) => local = Some(*given),
            AddressAttribute::Flags(given) => flags = *given,
            _ => {}
        }
    }
    // On a point-to-point address the prefix is the peer's (rtnetlink(7), IFA_LOCAL).
    let peer = address.filter(|address| local.is_some_and(|local| local != *address));
    let local = local.or(address)?;
    let width = if local.is_ipv4() { 32 } else { 128 };
    let is_on_link = peer.is_none() && !flags.contains(AddressFlags::Noprefixroute);
    let prefix_len = if is_on_link { header.prefix_len } else { width };
    let prefix_len_v4 = if local.is_ipv4() { header.prefix_len } else { 0 };
    Some(Known {
        key: Key { link: header.index, local, peer, prefix_len_v4 },
        cidr: Cidr::new(local, prefix_len)?,
        usable: !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
    })
}

#[cfg(test)]
mod tests;
