//! Packets that cannot be what they say (RFC 1812 section 5.3.7, RFC 4291 section 2.5).

use core::net::IpAddr;

use inet::{DropReason, Net, is_host_addr};
use wire::PacketInfo;

/// What is impossible about a packet's addresses, if anything. Not for Neighbour Discovery or group traffic, which may come
/// from the unspecified address.
pub(crate) fn fault(net: &Net, frame: &[u8], info: &PacketInfo) -> Option<DropReason> {
    let (src, dst) = (info.src(frame), info.dst(frame));
    // Of IPv6, Linux lets our own addresses pass through: a real server that is reached directly may answer this way.
    let own = net.own(src).is_some() && (src.is_ipv4() || net.own(dst).is_some());
    if net.is_martian_source(src) || own {
        return Some(DropReason::MartianSource);
    }
    (!is_host_addr(dst)).then_some(DropReason::MartianDestination)
}

/// Whether a packet must not leave the link that it is on (RFC 3927 section 7, RFC 4291 section 2.5.6).
pub(crate) fn is_link_scoped(frame: &[u8], info: &PacketInfo) -> bool {
    let link_scoped = |addr| match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    };
    link_scoped(info.src(frame)) || link_scoped(info.dst(frame))
}
