//! IP in IP: IPv4 or IPv6 inside IPv4 (RFC 2003, RFC 4213) or inside IPv6 (RFC 2473), without options.

use core::net::IpAddr;

use crate::buf::{NoRoom, PacketBuf};
use crate::info::{Family, PacketInfo};
use crate::{ether, ipv4, ipv6, protocol};

/// What the outer header says. `src` and `dst` are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Source: this director.
    pub src: IpAddr,
    /// Destination: the real server.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Type of service or traffic class.
    pub tos: u8,
    /// Whether routers must not fragment it; IPv6 routers never do.
    pub dont_fragment: bool,
    /// IPv4 identification.
    pub id: u16,
}

/// What the outer header adds to a packet, in bytes.
pub const fn overhead(outer: Family) -> usize {
    match outer {
        Family::V4 => ipv4::HEADER_LEN,
        Family::V6 => ipv6::HEADER_LEN,
    }
}

/// Puts an outer IP header between the Ethernet header and the packet, and cuts Ethernet padding off.
///
/// The Ethernet header has the outer EtherType, its addresses are unspecified. `NoRoom`: no headroom, the whole would be
/// longer than an IP packet can be, or the ends are of different families; the packet is as it was.
pub fn encap<B: PacketBuf>(packet: &mut B, info: &PacketInfo, outer: &Outer) -> Result<(), NoRoom> {
    let family = match (outer.src, outer.dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => Family::V4,
        (IpAddr::V6(_), IpAddr::V6(_)) => Family::V6,
        _ => return Err(NoRoom),
    };
    let overhead = overhead(family);
    let at = usize::from(info.l3);
    if info.ip_len() + overhead > usize::from(u16::MAX) || at < ether::HEADER_LEN {
        return Err(NoRoom);
    }
    packet.prepend(overhead)?;
    packet.truncate(usize::from(info.end) + overhead);
    let frame = packet.bytes_mut();
    let header = frame.get_mut(at..).unwrap_or_default();
    write_outer(header, outer, inner_protocol(info.family), info.ip_len());
    let ethertype = match family {
        Family::V4 => ether::IPV4,
        Family::V6 => ether::IPV6,
    };
    ether::set_ethertype(&mut frame[at - ether::HEADER_LEN..], ethertype);
    Ok(())
}

const fn inner_protocol(inner: Family) -> u8 {
    match inner {
        Family::V4 => protocol::IPIP,
        Family::V6 => protocol::IPV6,
    }
}

fn write_outer(header: &mut [u8], outer: &Outer, protocol: u8, payload_len: usize) {
    let Outer { ttl, tos, dont_fragment, id, .. } = *outer;
    match (outer.src, outer.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            ipv4::Header { src, dst, protocol, ttl, tos, id, dont_fragment, payload_len }.write(header);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6::Header {
            src,
            dst,
            next_header: protocol,
            hop_limit: ttl,
            traffic_class: tos,
            flow_label: 0,
            payload_len,
        }
        .write(header),
        _ => {}
    }
}
