//! IPv4 headers (RFC 791). Slices start at the header.

use core::net::Ipv4Addr;

use crate::checksum::{self, Delta};
use crate::field::{array, get_u8, get_u16, put, put_u8, put_u16};

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;

/// "Don't fragment" in the word of flags and offset.
const DONT_FRAGMENT: u16 = 0x4000;
/// "More fragments" in the word of flags and offset.
const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment's offset, in units of 8 bytes.
const OFFSET_MASK: u16 = 0x1fff;

/// Version; 4.
#[inline]
pub fn version(ip: &[u8]) -> u8 {
    get_u8(ip, 0) >> 4
}

/// Length of the header with its options, in bytes: 0..=60.
#[inline]
pub fn header_len(ip: &[u8]) -> usize {
    usize::from(get_u8(ip, 0) & 0xf) * 4
}

/// Type of service: DSCP and ECN.
#[inline]
pub fn tos(ip: &[u8]) -> u8 {
    get_u8(ip, 1)
}

/// Length of the packet, header and all, in bytes.
#[inline]
pub fn total_len(ip: &[u8]) -> u16 {
    get_u16(ip, 2)
}

/// Identification.
#[inline]
pub fn id(ip: &[u8]) -> u16 {
    get_u16(ip, 4)
}

/// Whether routers must not fragment it.
#[inline]
pub fn dont_fragment(ip: &[u8]) -> bool {
    get_u16(ip, 6) & DONT_FRAGMENT != 0
}

/// Whether fragments follow it.
#[inline]
pub fn more_fragments(ip: &[u8]) -> bool {
    get_u16(ip, 6) & MORE_FRAGMENTS != 0
}

/// Where its data belongs in the whole packet, in bytes.
#[inline]
pub fn fragment_offset(ip: &[u8]) -> usize {
    usize::from(get_u16(ip, 6) & OFFSET_MASK) * 8
}

/// Time to live.
#[inline]
pub fn ttl(ip: &[u8]) -> u8 {
    get_u8(ip, 8)
}

/// Upper-layer protocol.
#[inline]
pub fn protocol(ip: &[u8]) -> u8 {
    get_u8(ip, 9)
}

/// Header checksum.
#[inline]
pub fn header_checksum(ip: &[u8]) -> u16 {
    get_u16(ip, 10)
}

/// Source address.
#[inline]
pub fn src(ip: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(ip, 12))
}

/// Destination address.
#[inline]
pub fn dst(ip: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(array::<4>(ip, 16))
}

/// Whether the header checksum is right.
#[inline]
pub fn verify_checksum(ip: &[u8]) -> bool {
    ip.get(..header_len(ip)).is_some_and(|header| checksum::of(header) == 0)
}

/// Computes the header checksum afresh.
pub fn fill_checksum(ip: &mut [u8]) {
    put_u16(ip, 10, 0);
    let check = ip.get(..header_len(ip)).map_or(0, checksum::of);
    put_u16(ip, 10, check);
}

/// Changes the header checksum by the difference that other changes made.
#[inline]
pub fn apply(ip: &mut [u8], delta: Delta) {
    put_u16(ip, 10, delta.apply(header_checksum(ip)));
}

/// Changes the 16-bit word at `at`, and the checksum by the difference.
#[inline]
fn change(ip: &mut [u8], at: usize, new: u16) {
    let delta = Delta::default().u16(get_u16(ip, at), new);
    put_u16(ip, at, new);
    apply(ip, delta);
}

/// Sets the source address; the checksum follows.
#[inline]
pub fn set_src(ip: &mut [u8], new: Ipv4Addr) {
    let delta = Delta::default().u32(src(ip).to_bits(), new.to_bits());
    put(ip, 12, new.octets());
    apply(ip, delta);
}

/// Sets the destination address; the checksum follows.
#[inline]
pub fn set_dst(ip: &mut [u8], new: Ipv4Addr) {
    let delta = Delta::default().u32(dst(ip).to_bits(), new.to_bits());
    put(ip, 16, new.octets());
    apply(ip, delta);
}

/// Sets the type of service; the checksum follows.
#[inline]
pub fn set_tos(ip: &mut [u8], new: u8) {
    change(ip, 0, u16::from_be_bytes([get_u8(ip, 0), new]));
}

/// Sets the length of the packet; the checksum follows.
#[inline]
pub fn set_total_len(ip: &mut [u8], new: u16) {
    change(ip, 2, new);
}

/// Sets the identification; the checksum follows.
#[inline]
pub fn set_id(ip: &mut [u8], new: u16) {
    change(ip, 4, new);
}

/// Sets whether routers must not fragment it; the checksum follows.
#[inline]
pub fn set_dont_fragment(ip: &mut [u8], new: bool) {
    let word = get_u16(ip, 6) & !DONT_FRAGMENT;
    change(ip, 6, if new { word | DONT_FRAGMENT } else { word });
}

/// Makes it the fragment at `offset` (bytes, a multiple of 8) with more to follow or not; the checksum follows.
#[inline]
pub fn set_fragment(ip: &mut [u8], offset: usize, more: bool) {
    let word = get_u16(ip, 6) & !(MORE_FRAGMENTS | OFFSET_MASK);
    let offset = (offset / 8) as u16 & OFFSET_MASK;
    change(ip, 6, word | offset | if more { MORE_FRAGMENTS } else { 0 });
}

/// Sets the upper-layer protocol; the checksum follows.
#[inline]
pub fn set_protocol(ip: &mut [u8], new: u8) {
    change(ip, 8, u16::from_be_bytes([ttl(ip), new]));
}

/// Takes one off the time to live; the checksum follows. At 0 it stays: whether that may be sent is asked before.
#[inline]
pub fn decrement_ttl(ip: &mut [u8]) {
    let ttl = ttl(ip).saturating_sub(1);
    change(ip, 8, u16::from_be_bytes([ttl, protocol(ip)]));
}

/// What a new packet's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Upper-layer protocol.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Whether routers must not fragment it.
    pub dont_fragment: bool,
    /// Length of what follows the header, in bytes; at most 65515.
    pub payload_len: usize,
}

impl Header {
    /// Writes the header, [`HEADER_LEN`] bytes, with its checksum. A shorter slice is left as it is.
    pub fn write(&self, ip: &mut [u8]) {
        let Some(header) = ip.first_chunk_mut::<HEADER_LEN>() else { return };
        put_u8(header, 0, 0x45);
        put_u8(header, 1, self.tos);
        put_u16(header, 2, (HEADER_LEN + self.payload_len) as u16);
        put_u16(header, 4, self.id);
        put_u16(header, 6, if self.dont_fragment { DONT_FRAGMENT } else { 0 });
        put_u8(header, 8, self.ttl);
        put_u8(header, 9, self.protocol);
        put(header, 12, self.src.octets());
        put(header, 16, self.dst.octets());
        fill_checksum(header);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut ip = vec![0; HEADER_LEN];
        Header {
            src: Ipv4Addr::new(198, 51, 100, 1),
            dst: Ipv4Addr::new(192, 0, 2, 100),
            protocol: 17,
            ttl: 64,
            tos: 0,
            id: 1,
            dont_fragment: false,
            payload_len: 10,
        }
        .write(&mut ip);
        ip
    }

    #[test]
    fn writes_what_the_kernel_sent() {
        let want = [0x45, 0, 0, 0x1e, 0, 1, 0, 0, 0x40, 0x11, 0x8e, 0x35, 198, 51, 100, 1, 192, 0, 2, 100];
        assert_eq!(sample(), want);
    }

    #[test]
    fn every_setter_keeps_the_checksum_right() {
        type Change = (&'static str, fn(&mut [u8]), fn(&[u8]) -> bool);
        let changes: [Change; 10] = [
            ("src", |ip| set_src(ip, Ipv4Addr::new(10, 0, 0, 1)), |ip| src(ip) == Ipv4Addr::new(10, 0, 0, 1)),
            ("dst", |ip| set_dst(ip, Ipv4Addr::BROADCAST), |ip| dst(ip) == Ipv4Addr::BROADCAST),
            ("tos", |ip| set_tos(ip, 0xb9), |ip| tos(ip) == 0xb9 && version(ip) == 4),
            ("length", |ip| set_total_len(ip, 1500), |ip| total_len(ip) == 1500),
            ("id", |ip| set_id(ip, 0xffff), |ip| id(ip) == 0xffff),
            ("DF", |ip| set_dont_fragment(ip, true), |ip| dont_fragment(ip) && !more_fragments(ip)),
            ("no DF", |ip| set_dont_fragment(ip, false), |ip| !dont_fragment(ip)),
            (
                "fragment",
                |ip| set_fragment(ip, 1480, true),
                |ip| fragment_offset(ip) == 1480 && more_fragments(ip),
            ),
            ("ttl", decrement_ttl, |ip| ttl(ip) == 63 && protocol(ip) == 17),
            ("protocol", |ip| set_protocol(ip, 6), |ip| ttl(ip) == 63 && protocol(ip) == 6),
        ];
        let mut ip = sample();
        for (name, set, holds) in changes {
            set(&mut ip);
            assert!(holds(&ip), "{name}");
            assert!(verify_checksum(&ip), "{name}");
        }
    }

    #[test]
    fn ttl_stops_at_zero() {
        let mut ip = sample();
        (0..300).for_each(|_| decrement_ttl(&mut ip));
        assert_eq!(ttl(&ip), 0);
        assert!(verify_checksum(&ip));
    }

    #[test]
    fn checksum_covers_options() {
        let mut ip = sample();
        ip.extend([7, 4, 0, 0]);
        ip[0] = 0x46;
        assert!(!verify_checksum(&ip));
        fill_checksum(&mut ip);
        assert!(verify_checksum(&ip));
        ip[21] ^= 1;
        assert!(!verify_checksum(&ip));
    }
}
