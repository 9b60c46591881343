//! [`Net`]: interfaces, addresses and routes as one immutable snapshot that all workers share.
//!
//! Built whole and checked whole: whatever contradicts itself is refused with an error that names the item, so that
//! nothing on the packet path has to doubt it.

use core::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use wire::Family;
use wire::ether::MacAddr;

use crate::address::{Address, AddressRole, Addresses, is_link_local, link_local, network, width};
use crate::foreign::Foreign;
use crate::iface::{Iface, IfaceId, PortIndex};
use crate::route::{NextHop, Route, RouteTable};

/// A neighbour whose hardware address is given, not learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticNeighbour {
    /// Where it is.
    pub iface: IfaceId,
    /// Its address.
    pub addr: IpAddr,
    /// Its hardware address.
    pub mac: MacAddr,
}

/// What a [`Net`] is built from.
#[derive(Clone, Debug)]
pub struct NetConfig {
    /// Interfaces; each one's id is its place in this list.
    pub ifaces: Vec<Iface>,
    /// Own addresses; the first of an interface is its primary.
    pub addresses: Vec<Address>,
    /// Static routes. One with the prefix of a connected route replaces it.
    pub routes: Vec<Route>,
    /// Static neighbours.
    pub neighbours: Vec<StaticNeighbour>,
    /// Whether packets that are neither ours nor a service's are forwarded.
    pub forwarding: bool,
    /// Most routes, connected ones included.
    pub max_routes: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            ifaces: Vec::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
            neighbours: Vec::new(),
            forwarding: true,
            max_routes: 1 << 16,
        }
    }
}

/// Why a configuration makes no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Ids are indices.
    #[error("interface {name}: its id is {id}, its place in the list is {place}")]
    IfaceOrder { name: Box<str>, id: u16, place: usize },
    /// Two interfaces with one name.
    #[error("interface {name}: there is another one of this name")]
    IfaceName { name: Box<str> },
    /// Two interfaces for the same traffic.
    #[error("interface {name}: {other} has the same port and VLAN")]
    IfaceClash { name: Box<str>, other: Box<str> },
    /// Not a VLAN id.
    #[error("interface {name}: VLAN id {vlan} is not in 1 to 4094")]
    Vlan { name: Box<str>, vlan: u16 },
    /// RFC 791: every link carries 68 bytes. Whether it carries IPv6 (1280) is checked with the addresses.
    #[error("interface {name}: MTU {mtu} is below {least}")]
    Mtu { name: Box<str>, mtu: u16, least: u16 },
    /// Multicast or zero.
    #[error("interface {name}: {mac} is not a unicast hardware address")]
    IfaceMac { name: Box<str>, mac: MacAddr },
    /// An item that names an interface that does not exist.
    #[error("{item}: there is no interface {id}")]
    NoIface { item: String, id: u16 },
    /// A prefix longer than the address.
    #[error("{item}: prefix length {len} is above {most}")]
    PrefixLen { item: String, len: u8, most: u8 },
    /// An address that no host can have.
    #[error("address {addr}: not a unicast address")]
    AddressKind { addr: IpAddr },
    /// Twice on one interface, or on two although not link-local.
    #[error("address {addr}: given twice")]
    AddressTwice { addr: IpAddr },
    /// Two routes with one prefix.
    #[error("route {addr}/{len}: given twice")]
    RouteTwice { addr: IpAddr, len: u8 },
    /// Gateway or source of the other family.
    #[error("route {addr}/{len}: {other} is of another address family")]
    RouteFamily { addr: IpAddr, len: u8, other: IpAddr },
    /// A gateway that no neighbour look-up could find.
    #[error("route {addr}/{len}: gateway {gateway} is not on-link on interface {iface}")]
    Gateway { addr: IpAddr, len: u8, gateway: IpAddr, iface: Box<str> },
    /// A source that is not ours.
    #[error("route {addr}/{len}: source {source_addr} is not an address of this host")]
    RouteSource { addr: IpAddr, len: u8, source_addr: IpAddr },
    /// Too small for its family.
    #[error("route {addr}/{len}: MTU {mtu} is below {least}")]
    RouteMtu { addr: IpAddr, len: u8, mtu: u16, least: u16 },
    /// Over the limit.
    #[error("{count} routes, connected ones included; the limit is {most}")]
    TooManyRoutes { count: usize, most: usize },
    /// Multicast or zero hardware address, or not a unicast address.
    #[error("neighbour {addr}: {mac} is not a unicast hardware address, or the address is not unicast")]
    NeighbourKind { addr: IpAddr, mac: MacAddr },
    /// Two hardware addresses for one neighbour.
    #[error("neighbour {addr}: given twice on one interface")]
    NeighbourTwice { addr: IpAddr },
}

/// Least MTU of a link that carries a family: RFC 791, RFC 8200 section 5.
fn least_mtu(addr: IpAddr) -> u16 {
    if addr.is_ipv4() { 68 } else { 1280 }
}

/// The snapshot.
#[derive(Debug)]
pub struct Net {
    ifaces: Vec<Iface>,
    by_port: HashMap<(PortIndex, Option<u16>), IfaceId>,
    addresses: Addresses,
    foreign: Foreign,
    routes: RouteTable,
    neighbours: Vec<StaticNeighbour>,
    forwarding: bool,
}

impl Net {
    /// Checks `config` and prepares its look-ups.
    ///
    /// Added to what is given: a connected route per address prefix (the first address wins where two interfaces claim
    /// one prefix), and on each interface with an IPv6 address the link-local one that Linux would form there.
    pub fn build(config: NetConfig) -> Result<Self, NetError> {
        let by_port = check_ifaces(&config.ifaces)?;
        let addresses = with_link_local(&config.ifaces, config.addresses)?;
        let addresses = Addresses::build(addresses, config.ifaces.len());
        let routes = with_connected(&addresses, config.routes, &config.ifaces)?;
        if routes.len() > config.max_routes {
            return Err(NetError::TooManyRoutes { count: routes.len(), most: config.max_routes });
        }
        check_neighbours(&config.neighbours, config.ifaces.len())?;
        let routes = RouteTable::build(routes);
        let foreign = Foreign::build(addresses.ours());
        let net = Self {
            ifaces: config.ifaces,
            by_port,
            addresses,
            foreign,
            routes,
            neighbours: config.neighbours,
            forwarding: config.forwarding,
        };
        net.check_routes()?;
        Ok(net)
    }

    /// All interfaces, by id.
    pub fn ifaces(&self) -> &[Iface] {
        &self.ifaces
    }

    /// One interface. The id must be of this snapshot.
    pub fn iface(&self, id: IfaceId) -> &Iface {
        &self.ifaces[usize::from(id.0)]
    }

    /// The interface for what a port receives with this VLAN id (none: untagged).
    pub fn iface_of(&self, port: PortIndex, vlan: Option<u16>) -> Option<IfaceId> {
        self.by_port.get(&(port, vlan)).copied()
    }

    /// Our address equal to `addr`, on whichever interface.
    pub fn own(&self, addr: IpAddr) -> Option<&Address> {
        self.addresses.own(addr)
    }

    /// Whether `addr` is certainly neither ours nor a broadcast address of our links. Of an address that is neither `false` is
    /// rare, but happens: then [`Net::own`] and [`Net::is_broadcast_or_multicast`] say what it is.
    #[inline]
    pub fn is_surely_foreign(&self, addr: IpAddr) -> bool {
        self.foreign.has_not(addr)
    }

    /// Our address equal to `addr` on this interface: what ARP and ND answer for.
    pub fn own_on(&self, iface: IfaceId, addr: IpAddr) -> Option<&Address> {
        self.addresses.own_on(iface, addr)
    }

    /// Whether every host of a link is meant: IPv4 limited or directed broadcast of a prefix of ours, or multicast.
    pub fn is_broadcast_or_multicast(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(v4) => {
                v4.is_broadcast() || v4.is_multicast() || self.addresses.is_subnet_broadcast(addr)
            }
            IpAddr::V6(v6) => v6.is_multicast(),
        }
    }

    /// Whether no packet from elsewhere can rightly carry this source (RFC 1812 5.3.7, RFC 4291 2.5): this network, loopback,
    /// multicast, broadcast; and of IPv6 the unspecified address, which only duplicate address detection and DHCP use.
    pub fn is_martian_source(&self, src: IpAddr) -> bool {
        let impossible = match src {
            IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_loopback(),
            IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback(),
        };
        impossible || self.is_broadcast_or_multicast(src)
    }

    /// The next hop by longest prefix; none if no route has `dst`. Link-local destinations have no route: see
    /// [`Net::route_from`].
    pub fn route(&self, dst: IpAddr) -> Option<NextHop> {
        let route = self.routes.lookup(dst)?;
        let iface_mtu = self.iface(route.iface).mtu;
        let mtu = route.mtu.map_or(iface_mtu, |mtu| mtu.min(iface_mtu));
        Some(NextHop { iface: route.iface, addr: route.gateway.unwrap_or(dst), mtu })
    }

    /// As [`Net::route`], for an answer to what came in on `iface`: link-local and multicast destinations are on-link there.
    pub fn route_from(&self, iface: IfaceId, dst: IpAddr) -> Option<NextHop> {
        if is_link_local(dst) || dst.is_multicast() {
            return Some(NextHop { iface, addr: dst, mtu: self.iface(iface).mtu });
        }
        self.route(dst)
    }

    /// The source for packets of our own making to `dst`: the route's, if it names one, else the interface's address that
    /// shares the next hop's prefix, else its first, else another interface's first. Never a FULLNAT local address, and a
    /// VIP only where there is nothing else.
    pub fn source_to(&self, dst: IpAddr) -> Option<IpAddr> {
        let route = self.routes.lookup(dst)?;
        route.source.or_else(|| self.source_towards(route.iface, route.gateway.unwrap_or(dst)))
    }

    /// The source for a question to `peer` on a link: as [`Net::source_to`].
    pub(crate) fn source_towards(&self, iface: IfaceId, peer: IpAddr) -> Option<IpAddr> {
        let family = if peer.is_ipv4() { Family::V4 } else { Family::V6 };
        self.addresses.source(iface, family, peer)
    }

    /// Whether `addr` is a neighbour by its prefix: link-local, or routed to `iface` without a gateway.
    pub fn on_link(&self, iface: IfaceId, addr: IpAddr) -> bool {
        is_link_local(addr)
            || self.routes.lookup(addr).is_some_and(|r| r.iface == iface && r.gateway.is_none())
    }

    /// Whether packets that are neither ours nor a service's are forwarded.
    pub fn forwarding(&self) -> bool {
        self.forwarding
    }

    /// All own addresses, as given, then the link-local ones that were added.
    pub fn addresses(&self) -> &[Address] {
        self.addresses.list()
    }

    /// All routes, connected ones first.
    pub fn routes(&self) -> &[Route] {
        self.routes.list()
    }

    /// All static neighbours.
    pub fn neighbours(&self) -> &[StaticNeighbour] {
        &self.neighbours
    }

    fn check_routes(&self) -> Result<(), NetError> {
        for route in self.routes() {
            let (addr, len) = route.prefix;
            for other in route.gateway.iter().chain(&route.source).copied() {
                if other.is_ipv4() != addr.is_ipv4() {
                    return Err(NetError::RouteFamily { addr, len, other });
                }
            }
            if let Some(gateway) = route.gateway
                && (!self.on_link(route.iface, gateway) || self.own(gateway).is_some())
            {
                let iface = self.iface(route.iface).name.clone();
                return Err(NetError::Gateway { addr, len, gateway, iface });
            }
            if let Some(source_addr) = route.source
                && self.own(source_addr).is_none()
            {
                return Err(NetError::RouteSource { addr, len, source_addr });
            }
            let least = least_mtu(addr);
            if let Some(mtu) = route.mtu
                && mtu < least
            {
                return Err(NetError::RouteMtu { addr, len, mtu, least });
            }
        }
        Ok(())
    }
}

fn check_ifaces(ifaces: &[Iface]) -> Result<HashMap<(PortIndex, Option<u16>), IfaceId>, NetError> {
    let mut by_port: HashMap<_, IfaceId> = HashMap::new();
    let mut names = HashSet::new();
    for (place, iface) in ifaces.iter().enumerate() {
        let name = iface.name.clone();
        if usize::from(iface.id.0) != place {
            return Err(NetError::IfaceOrder { name, id: iface.id.0, place });
        }
        if !names.insert(&iface.name) {
            return Err(NetError::IfaceName { name });
        }
        if let Some(vlan) = iface.vlan
            && !(1..=4094).contains(&vlan)
        {
            return Err(NetError::Vlan { name, vlan });
        }
        if iface.mtu < 68 {
            return Err(NetError::Mtu { name, mtu: iface.mtu, least: 68 });
        }
        if !is_host_mac(iface.mac) {
            return Err(NetError::IfaceMac { name, mac: iface.mac });
        }
        if let Some(other) = by_port.insert((iface.port, iface.vlan), iface.id) {
            return Err(NetError::IfaceClash { name, other: ifaces[usize::from(other.0)].name.clone() });
        }
    }
    Ok(by_port)
}

/// Whether one host can have this hardware address.
pub(crate) fn is_host_mac(mac: MacAddr) -> bool {
    mac.0[0] & 1 == 0 && mac.0 != [0; 6]
}

/// Whether one host can have this address (RFC 1122 3.2.1.3, RFC 4291 2.5).
pub fn is_host_addr(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => {
            v4.octets()[0] != 0 && v4.octets()[0] < 240 && !v4.is_loopback() && !v4.is_multicast()
        }
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_loopback() && !v6.is_multicast(),
    }
}

fn with_link_local(ifaces: &[Iface], mut list: Vec<Address>) -> Result<Vec<Address>, NetError> {
    let mut seen: HashMap<IpAddr, IfaceId> = HashMap::new();
    let mut has_v6 = vec![false; ifaces.len()];
    let mut has_link_local = vec![false; ifaces.len()];
    for &Address { iface, addr, prefix_len, .. } in &list {
        let item = || format!("address {addr}");
        let id = usize::from(iface.0);
        let on = ifaces.get(id).ok_or_else(|| NetError::NoIface { item: item(), id: iface.0 })?;
        if prefix_len > width(addr) {
            return Err(NetError::PrefixLen { item: item(), len: prefix_len, most: width(addr) });
        }
        if !is_host_addr(addr) {
            return Err(NetError::AddressKind { addr });
        }
        if on.mtu < least_mtu(addr) {
            return Err(NetError::Mtu { name: on.name.clone(), mtu: on.mtu, least: least_mtu(addr) });
        }
        if let Some(other) = seen.insert(addr, iface)
            && (other == iface || !is_link_local(addr))
        {
            return Err(NetError::AddressTwice { addr });
        }
        has_v6[id] |= addr.is_ipv6();
        has_link_local[id] |= is_link_local(addr);
    }
    for iface in ifaces {
        let id = usize::from(iface.id.0);
        if has_v6[id] && !has_link_local[id] {
            let addr = IpAddr::V6(link_local(iface.mac));
            list.push(Address { iface: iface.id, addr, prefix_len: 64, role: AddressRole::Host });
        }
    }
    Ok(list)
}

/// Connected routes, then the given ones. A given one takes the place of a connected one with its prefix.
fn with_connected(
    addresses: &Addresses,
    given: Vec<Route>,
    ifaces: &[Iface],
) -> Result<Vec<Route>, NetError> {
    let mut prefixes = HashSet::new();
    let mut checked = Vec::with_capacity(given.len());
    for mut route in given {
        let (addr, len) = route.prefix;
        let item = || format!("route {addr}/{len}");
        if usize::from(route.iface.0) >= ifaces.len() {
            return Err(NetError::NoIface { item: item(), id: route.iface.0 });
        }
        if len > width(addr) {
            return Err(NetError::PrefixLen { item: item(), len, most: width(addr) });
        }
        route.prefix.0 = network(addr, len);
        if !prefixes.insert(route.prefix) {
            return Err(NetError::RouteTwice { addr, len });
        }
        checked.push(route);
    }
    let mut routes = Vec::new();
    for address in addresses.list() {
        let prefix = (network(address.addr, address.prefix_len), address.prefix_len);
        if !address.is_host_prefix() && !is_link_local(address.addr) && prefixes.insert(prefix) {
            routes.push(Route { prefix, iface: address.iface, gateway: None, source: None, mtu: None });
        }
    }
    routes.append(&mut checked);
    Ok(routes)
}

fn check_neighbours(list: &[StaticNeighbour], ifaces: usize) -> Result<(), NetError> {
    let mut seen = HashSet::new();
    for &StaticNeighbour { iface, addr, mac } in list {
        if usize::from(iface.0) >= ifaces {
            return Err(NetError::NoIface { item: format!("neighbour {addr}"), id: iface.0 });
        }
        if !is_host_mac(mac) || !is_host_addr(addr) {
            return Err(NetError::NeighbourKind { addr, mac });
        }
        if !seen.insert((iface, addr)) {
            return Err(NetError::NeighbourTwice { addr });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
