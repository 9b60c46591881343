//! Routes and the next hops they give.
//!
//! Invariant: every stored route names an interface that exists and a gateway of its own family that is on-link there.

use core::net::IpAddr;

use crate::iface::IfaceId;
use crate::lpm::Lpm;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination address and prefix length; host bits are ignored.
    pub prefix: (IpAddr, u8),
    /// Where packets leave.
    pub iface: IfaceId,
    /// The router to hand them to; none when the destination is on-link.
    pub gateway: Option<IpAddr>,
    /// Source address for packets of our own making; none: the interface's.
    pub source: Option<IpAddr>,
    /// Largest packet in bytes, if below the interface's.
    pub mtu: Option<u16>,
}

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Where it leaves.
    pub iface: IfaceId,
    /// The neighbour whose hardware address it gets: the gateway, or the destination itself.
    pub addr: IpAddr,
    /// Largest packet in bytes: the lesser of the interface's and the route's.
    pub mtu: u16,
}

/// Routes by prefix, both families.
#[derive(Debug)]
pub(crate) struct RouteTable {
    routes: Vec<Route>,
    v4: Lpm,
    v6: Lpm,
}

impl RouteTable {
    /// Of routes with equal prefixes the last one wins.
    pub(crate) fn build(routes: Vec<Route>) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for (route, index) in routes.iter().zip(0u32..) {
            match route.prefix.0 {
                IpAddr::V4(addr) => v4.push((addr.octets(), route.prefix.1, index)),
                IpAddr::V6(addr) => v6.push((addr.octets(), route.prefix.1, index)),
            }
        }
        Self { routes, v4: Lpm::build(v4), v6: Lpm::build(v6) }
    }

    pub(crate) fn list(&self) -> &[Route] {
        &self.routes
    }

    pub(crate) fn lookup(&self, dst: IpAddr) -> Option<&Route> {
        let index = match dst {
            IpAddr::V4(addr) => self.v4.lookup(&addr.octets()),
            IpAddr::V6(addr) => self.v6.lookup(&addr.octets()),
        };
        index.map(|index| &self.routes[index as usize])
    }
}
