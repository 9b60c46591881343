//! What a worker remembers of ways for the packets of connections under way: next hops' link addresses, and which addresses are
//! this host's own.
//!
//! Invariant: a link address is remembered for the millisecond in which it was asked for, and forgotten as soon as anything
//! happens to a neighbour; what is remembered of addresses goes with the configuration.

use core::net::IpAddr;

use inet::{Neighbours, Net, NextHop, PortIndex, Resolution};
use wire::{MacAddr, PacketBuf};

/// Next hops remembered.
const HOPS: usize = 64;
/// Own addresses remembered.
const OWN: usize = 1024;

/// How a packet leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) port: PortIndex,
    pub(crate) from: MacAddr,
    pub(crate) to: MacAddr,
}

#[derive(Clone, Copy)]
struct Hop {
    hop: NextHop,
    asked_ms: u64,
    way: Way,
}

/// The memory.
pub(crate) struct Ways {
    hops: Box<[Option<Hop>; HOPS]>,
    own: Box<[Option<IpAddr>; OWN]>,
}

impl Default for Ways {
    fn default() -> Self {
        Self { hops: Box::new([None; HOPS]), own: Box::new([None; OWN]) }
    }
}

impl Ways {
    /// The configuration is another one.
    pub(crate) fn forget(&mut self) {
        self.forget_neighbours();
        self.own.fill(None);
    }

    /// Something has happened to a neighbour.
    pub(crate) fn forget_neighbours(&mut self) {
        self.hops.fill(None);
    }

    /// Whether an address is one of this host; none if that is not plain, as with a broadcast address.
    #[inline]
    pub(crate) fn is_own(&mut self, net: &Net, addr: IpAddr) -> Option<bool> {
        if net.is_surely_foreign(addr) {
            return Some(false);
        }
        let place = &mut self.own[hash(addr) % OWN];
        if *place != Some(addr) {
            if net.own(addr).is_none() || net.is_broadcast_or_multicast(addr) {
                return None;
            }
            *place = Some(addr);
        }
        Some(true)
    }

    /// The way to an address elsewhere for a packet of this length, if there is one that takes no more than new link addresses.
    #[inline]
    pub(crate) fn to<B: PacketBuf>(
        &mut self,
        net: &Net,
        neighbours: &mut Neighbours<B>,
        now_ms: u64,
        addr: IpAddr,
        len: usize,
    ) -> Option<Way> {
        if !net.is_surely_foreign(addr) {
            return None;
        }
        let hop = net.route(addr).filter(|hop| len <= usize::from(hop.mtu))?;
        let place = &mut self.hops[hash(hop.addr) % HOPS];
        if let Some(known) = place
            && known.asked_ms == now_ms
            && known.hop.addr == hop.addr
            && known.hop.iface == hop.iface
        {
            return Some(known.way);
        }
        let Resolution::Mac(to) = neighbours.resolve(now_ms, &hop) else { return None };
        let iface = net.iface(hop.iface);
        let way = Way { port: iface.port, from: iface.mac, to };
        if iface.vlan.is_some() {
            return None;
        }
        *place = Some(Hop { hop, asked_ms: now_ms, way });
        Some(way)
    }
}

#[inline]
fn hash(addr: IpAddr) -> usize {
    let bits = match addr {
        IpAddr::V4(addr) => u64::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits() as u64,
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}
