//! The director's own addresses: interface addresses, VIPs, FULLNAT local addresses.
//!
//! What this answers: is it ours (on any interface, the weak host model of Linux), is it ours on this interface
//! (what ARP and ND answer for), and which address do packets of our own making carry.
//! Invariant: an address appears once per interface, and more than once altogether only if it is link-local.

use core::net::{IpAddr, Ipv6Addr};

use hashbrown::HashMap;
use wire::Family;
use wire::ether::MacAddr;

use crate::iface::IfaceId;

/// Whom an address serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressRole {
    /// An interface address or a VIP: the host's kernel has it too.
    Host,
    /// An address of a FULLNAT local pool: never the host's.
    Local,
}

/// An address of the director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface it is bound to: the one that answers ARP and ND for it.
    pub iface: IfaceId,
    /// The address.
    pub addr: IpAddr,
    /// Bits of its on-link prefix: 0 to 32, or 0 to 128. A full-length prefix puts nothing on-link.
    pub prefix_len: u8,
    /// Whom it serves.
    pub role: AddressRole,
}

impl Address {
    /// Whether the prefix has no room for neighbours: typical of VIPs.
    pub fn is_host_prefix(&self) -> bool {
        self.prefix_len == width(self.addr)
    }

    /// Whether `other` lies in this address's on-link prefix.
    pub fn on_link(&self, other: IpAddr) -> bool {
        contains(self.addr, self.prefix_len, other)
    }
}

/// All addresses, with what look-ups need.
#[derive(Debug)]
pub(crate) struct Addresses {
    list: Vec<Address>,
    first: HashMap<IpAddr, u32>,
    bound: HashMap<(IfaceId, IpAddr), u32>,
    broadcasts: HashMap<IpAddr, ()>,
    /// Per interface and family: what packets of our own may carry as source, best first.
    sources: Vec<[Vec<IpAddr>; 2]>,
}

impl Addresses {
    /// `list` has been validated: interfaces exist, no duplicate on one interface.
    pub(crate) fn build(list: Vec<Address>, ifaces: usize) -> Self {
        let mut first = HashMap::new();
        let mut bound = HashMap::new();
        let mut broadcasts = HashMap::new();
        let mut sources: Vec<[Vec<IpAddr>; 2]> = vec![Default::default(); ifaces];
        for (address, index) in list.iter().zip(0u32..) {
            first.entry(address.addr).or_insert(index);
            bound.insert((address.iface, address.addr), index);
            if let Some(broadcast) = broadcast(address) {
                broadcasts.insert(broadcast, ());
            }
        }
        for (id, of_iface) in sources.iter_mut().enumerate() {
            let bound_here = |a: &&Address| usize::from(a.iface.0) == id && a.role == AddressRole::Host;
            for (family, chosen) in of_iface.iter_mut().enumerate() {
                let candidates =
                    || list.iter().filter(bound_here).filter(|a| usize::from(a.addr.is_ipv6()) == family);
                chosen.extend(candidates().filter(|a| !a.is_host_prefix()).map(|a| a.addr));
                if !chosen.iter().any(|a| !is_link_local(*a)) {
                    let vip = candidates().find(|a| !is_link_local(a.addr)).map(|a| a.addr);
                    chosen.splice(0..0, vip);
                }
                chosen.sort_by_key(|a| is_link_local(*a));
            }
        }
        Self { list, first, bound, broadcasts, sources }
    }

    pub(crate) fn list(&self) -> &[Address] {
        &self.list
    }

    /// All addresses, and the broadcast addresses of their links.
    pub(crate) fn ours(&self) -> impl Iterator<Item = IpAddr> + Clone {
        self.list.iter().map(|address| address.addr).chain(self.broadcasts.keys().copied())
    }

    pub(crate) fn own(&self, addr: IpAddr) -> Option<&Address> {
        self.first.get(&addr).map(|&index| &self.list[index as usize])
    }

    pub(crate) fn own_on(&self, iface: IfaceId, addr: IpAddr) -> Option<&Address> {
        self.bound.get(&(iface, addr)).map(|&index| &self.list[index as usize])
    }

    pub(crate) fn is_subnet_broadcast(&self, addr: IpAddr) -> bool {
        self.broadcasts.contains_key(&addr)
    }

    /// The address of `iface` to use towards `peer`: the one that shares its prefix, else the first of the interface,
    /// else the first of any interface.
    pub(crate) fn source(&self, iface: IfaceId, family: Family, peer: IpAddr) -> Option<IpAddr> {
        let family = match family {
            Family::V4 => 0,
            Family::V6 => 1,
        };
        let here = &self.sources.get(usize::from(iface.0))?[family];
        let shares_prefix = |addr: &&IpAddr| self.own_on(iface, **addr).is_some_and(|a| a.on_link(peer));
        here.iter()
            .find(shares_prefix)
            .or_else(|| here.first())
            .or_else(|| self.sources.iter().find_map(|of| of[family].first().filter(|a| !is_link_local(**a))))
            .copied()
    }
}

/// Bits in an address of this family.
pub(crate) fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

/// Whether an address is link-local IPv6 (fe80::/10, RFC 4291).
pub fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(a) if a.is_unicast_link_local())
}

/// The link-local address that an interface forms from its hardware address (modified EUI-64, RFC 4291 appendix A).
pub fn link_local(mac: MacAddr) -> Ipv6Addr {
    let m = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]])
}

/// An address as the top bits of a number, so that families share the prefix arithmetic.
fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(a) => u128::from(a.to_bits()) << 96,
        IpAddr::V6(a) => a.to_bits(),
    }
}

fn mask(prefix_len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix_len.min(128))).unwrap_or(0)
}

/// Whether `addr` lies in `net/prefix_len`; never across families.
pub(crate) fn contains(net: IpAddr, prefix_len: u8, addr: IpAddr) -> bool {
    net.is_ipv4() == addr.is_ipv4() && (bits(net) ^ bits(addr)) & mask(prefix_len) == 0
}

/// The address with all bits behind the prefix cleared.
pub(crate) fn network(addr: IpAddr, prefix_len: u8) -> IpAddr {
    let masked = bits(addr) & mask(prefix_len);
    match addr {
        IpAddr::V4(_) => IpAddr::V4(((masked >> 96) as u32).into()),
        IpAddr::V6(_) => IpAddr::V6(masked.into()),
    }
}

/// The directed broadcast address of an IPv4 prefix; /31 and /32 have none (RFC 3021).
fn broadcast(address: &Address) -> Option<IpAddr> {
    match address.addr {
        IpAddr::V4(a) if address.prefix_len < 31 => {
            Some(IpAddr::V4((a.to_bits() | (u32::MAX >> address.prefix_len)).into()))
        }
        _ => None,
    }
}
