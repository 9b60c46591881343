//! The outer IP header, which every kind of tunnel has.

use core::net::IpAddr;

use crate::buf::{NoRoom, PacketBuf};
use crate::info::{Family, PacketInfo};
use crate::{ether, ipv4, ipv6};

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

/// Length of the outer header, in bytes.
pub(super) const fn header_len(outer: Family) -> usize {
    match outer {
        Family::V4 => ipv4::HEADER_LEN,
        Family::V6 => ipv6::HEADER_LEN,
    }
}

/// Puts the outer header, and `shim` bytes that are still to be written, between the Ethernet header and the packet, and cuts
/// Ethernet padding off. Returns shim and packet.
///
/// The Ethernet header keeps its addresses and gets the outer EtherType. `NoRoom`: no headroom, the whole would be
/// longer than an IP packet can be, or the ends are of different families; the packet is as it was.
pub(super) fn wrap<'a, B: PacketBuf>(
    packet: &'a mut B,
    info: &PacketInfo,
    outer: &Outer,
    protocol: u8,
    shim: usize,
) -> Result<&'a mut [u8], NoRoom> {
    let (family, ethertype) = match (outer.src, outer.dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => (Family::V4, ether::IPV4),
        (IpAddr::V6(_), IpAddr::V6(_)) => (Family::V6, ether::IPV6),
        _ => return Err(NoRoom),
    };
    let overhead = header_len(family) + shim;
    let at = usize::from(info.l3);
    if info.ip_len() + overhead > usize::from(u16::MAX) || at < ether::HEADER_LEN {
        return Err(NoRoom);
    }
    packet.prepend(overhead)?;
    packet.truncate(usize::from(info.end) + overhead);
    let frame = packet.bytes_mut();
    frame.copy_within(overhead..overhead + at, 0);
    ether::set_ethertype(frame.get_mut(at - ether::HEADER_LEN..).unwrap_or_default(), ethertype);
    let ip = frame.get_mut(at..).unwrap_or_default();
    write(ip, outer, protocol, info.ip_len() + shim);
    Ok(ip.get_mut(header_len(family)..).unwrap_or_default())
}

fn write(ip: &mut [u8], outer: &Outer, protocol: u8, payload_len: usize) {
    let Outer { ttl, tos, dont_fragment, id, .. } = *outer;
    match (outer.src, outer.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            ipv4::Header { src, dst, protocol, ttl, tos, id, dont_fragment, payload_len }.write(ip);
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
        .write(ip),
        _ => {}
    }
}
