//! The headers of packets that this crate makes, and the Internet checksum over them (RFC 1071).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::Family;
use wire::ether::MacAddr;

pub(crate) const ETHERNET: usize = 14;
pub(crate) const IPV4: usize = 20;
pub(crate) const IPV6: usize = 40;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

/// An Ethernet header with the hardware addresses of a received frame, swapped.
pub(crate) fn swapped_ethernet(frame: &mut [u8], macs: &[u8; 12], family: Family) {
    let ethertype = if family == Family::V4 { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    frame[..6].copy_from_slice(&macs[6..]);
    frame[6..12].copy_from_slice(&macs[..6]);
    frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
}

/// An IPv4 header without options, unfragmented.
pub(crate) struct Ipv4Head {
    pub(crate) tos: u8,
    pub(crate) id: u16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) src: Ipv4Addr,
    pub(crate) dst: Ipv4Addr,
}

impl Ipv4Head {
    /// Writes it, for `payload` bytes behind it.
    pub(crate) fn write(&self, header: &mut [u8], payload: usize) {
        header[..2].copy_from_slice(&[0x45, self.tos]);
        header[2..4].copy_from_slice(&((IPV4 + payload) as u16).to_be_bytes());
        header[4..6].copy_from_slice(&self.id.to_be_bytes());
        header[6..12].copy_from_slice(&[0, 0, self.ttl, self.protocol, 0, 0]);
        header[12..16].copy_from_slice(&self.src.octets());
        header[16..20].copy_from_slice(&self.dst.octets());
        let checksum = checksum(0, &header[..IPV4]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Writes an IPv6 header with traffic class and flow label 0, for `payload` bytes behind it.
pub(crate) fn write_ipv6(
    header: &mut [u8],
    payload: usize,
    next: u8,
    hop_limit: u8,
    src: Ipv6Addr,
    dst: Ipv6Addr,
) {
    header[..4].copy_from_slice(&[0x60, 0, 0, 0]);
    header[4..6].copy_from_slice(&(payload as u16).to_be_bytes());
    header[6..8].copy_from_slice(&[next, hop_limit]);
    header[8..24].copy_from_slice(&src.octets());
    header[24..40].copy_from_slice(&dst.octets());
}

/// Sum of 16-bit words, not folded; an odd last byte counts as the high one.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let even: u64 = words.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum();
    even + rest.first().map_or(0, |&byte| u64::from(byte) << 8)
}

/// The pseudo-header's part of a sum: RFC 8200 section 8.1.
pub(crate) fn pseudo_sum(src: IpAddr, dst: IpAddr, len: usize, protocol: u8) -> u64 {
    let of = |addr: IpAddr| match addr {
        IpAddr::V4(a) => sum(&a.octets()),
        IpAddr::V6(a) => sum(&a.octets()),
    };
    of(src) + of(dst) + len as u64 + u64::from(protocol)
}

/// The checksum of `bytes` on top of an unfolded sum; 0 over bytes that have a right one inside.
pub(crate) fn checksum(start: u64, bytes: &[u8]) -> u16 {
    let mut folded = start + sum(bytes);
    while folded > 0xffff {
        folded = (folded & 0xffff) + (folded >> 16);
    }
    !(folded as u16)
}

/// The hardware address of a group: IPv4 limited broadcast, IPv4 multicast (RFC 1112 6.4), IPv6 multicast.
pub(crate) fn group_mac(addr: IpAddr) -> Option<MacAddr> {
    match addr {
        IpAddr::V4(v4) if v4.is_broadcast() => Some(MacAddr([0xff; 6])),
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            Some(MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(v6) if v6.is_multicast() => Some(ipv6_group_mac(v6)),
        _ => None,
    }
}

/// The hardware address of an IPv6 group (RFC 2464 section 7).
pub(crate) fn ipv6_group_mac(addr: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = addr.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}
