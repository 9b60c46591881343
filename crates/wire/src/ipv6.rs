//! IPv6 headers and extension headers (RFC 8200). Slices start at the IPv6 header.
//!
//! [`Extensions`] is the one walk over extension headers; parsing, fragments and quotations use it.

use core::net::Ipv6Addr;

use crate::field::{array, get_u8, get_u16, get_u32, put, put_u8, put_u16, put_u32};
use crate::{ah, protocol};

/// Length of the fixed header, in bytes.
pub const HEADER_LEN: usize = 40;
/// Length of a fragment header, in bytes.
pub const FRAGMENT_LEN: usize = 8;
/// The smallest MTU that a link may have (RFC 8200, 5).
pub const MIN_MTU: u16 = 1280;
/// Extension headers that a packet may have; a bound on work per packet.
pub const MAX_EXTENSIONS: usize = 8;

/// Version; 6.
#[inline]
pub fn version(ip: &[u8]) -> u8 {
    get_u8(ip, 0) >> 4
}

/// Traffic class: DSCP and ECN.
#[inline]
pub fn traffic_class(ip: &[u8]) -> u8 {
    (get_u16(ip, 0) >> 4) as u8
}

/// Flow label, 20 bits.
#[inline]
pub fn flow_label(ip: &[u8]) -> u32 {
    get_u32(ip, 0) & 0x000f_ffff
}

/// Length of what follows the fixed header, in bytes.
#[inline]
pub fn payload_len(ip: &[u8]) -> u16 {
    get_u16(ip, 4)
}

/// Protocol of what follows the fixed header: the first extension header or the upper layer.
#[inline]
pub fn next_header(ip: &[u8]) -> u8 {
    get_u8(ip, 6)
}

/// Hop limit.
#[inline]
pub fn hop_limit(ip: &[u8]) -> u8 {
    get_u8(ip, 7)
}

/// Source address.
#[inline]
pub fn src(ip: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(array::<16>(ip, 8))
}

/// Destination address.
#[inline]
pub fn dst(ip: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(array::<16>(ip, 24))
}

/// Sets the source address.
#[inline]
pub fn set_src(ip: &mut [u8], new: &Ipv6Addr) {
    put(ip, 8, new.octets());
}

/// Sets the destination address.
#[inline]
pub fn set_dst(ip: &mut [u8], new: &Ipv6Addr) {
    put(ip, 24, new.octets());
}

/// Sets the traffic class.
#[inline]
pub fn set_traffic_class(ip: &mut [u8], new: u8) {
    let word = get_u32(ip, 0) & 0xf00f_ffff;
    put_u32(ip, 0, word | u32::from(new) << 20);
}

/// Sets the length of what follows the fixed header.
#[inline]
pub fn set_payload_len(ip: &mut [u8], new: u16) {
    put_u16(ip, 4, new);
}

/// Takes one off the hop limit. At 0 it stays: whether that may be sent is asked before.
#[inline]
pub fn decrement_hop_limit(ip: &mut [u8]) {
    put_u8(ip, 7, hop_limit(ip).saturating_sub(1));
}

/// What a new packet's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// Protocol of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Length of what follows, in bytes; at most 65535.
    pub payload_len: usize,
}

impl Header {
    /// Writes the header, [`HEADER_LEN`] bytes. A shorter slice is left as it is.
    pub fn write(&self, ip: &mut [u8]) {
        let Some(header) = ip.first_chunk_mut::<HEADER_LEN>() else { return };
        put_u32(header, 0, 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff);
        put_u16(header, 4, self.payload_len as u16);
        put_u8(header, 6, self.next_header);
        put_u8(header, 7, self.hop_limit);
        set_src(header, &self.src);
        set_dst(header, &self.dst);
    }
}

/// A fragment header, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// Its start, in bytes from the IPv6 header.
    pub at: usize,
    /// Where the number stands that announces it (the next-header field before), in bytes from the IPv6 header.
    pub announced_at: usize,
    /// Protocol of what the fragments carry.
    pub next_header: u8,
    /// Where the data belongs, in bytes.
    pub offset: usize,
    /// Whether fragments follow.
    pub more: bool,
    /// Identification.
    pub id: u32,
}

impl FragmentHeader {
    /// Whether it is the whole packet nevertheless (RFC 6946).
    #[inline]
    pub fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }

    /// Writes [`FRAGMENT_LEN`] bytes at the start of `out`: all but the places.
    pub fn write(&self, out: &mut [u8]) {
        put_u8(out, 0, self.next_header);
        put_u8(out, 1, 0);
        put_u16(out, 2, (self.offset as u16 & 0xfff8) | u16::from(self.more));
        put_u32(out, 4, self.id);
    }
}

/// Why the extension headers cannot be walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionError {
    /// One reaches behind the end of the packet.
    Truncated,
    /// More than [`MAX_EXTENSIONS`].
    TooMany,
    /// A fragment inside a fragment.
    NestedFragment,
}

/// Where the walk over the extension headers ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// Upper-layer protocol; of a later fragment, what the fragment header says.
    pub protocol: u8,
    /// Start of the upper layer, in bytes from the IPv6 header.
    pub upper: usize,
    /// The fragment header, if there is one.
    pub fragment: Option<FragmentHeader>,
}

impl Extensions {
    /// Walks the extension headers of the packet `ip`. The walk ends at the upper layer, and behind the header of a later
    /// fragment. AH is stepped over as the kernel does, so that what it protects is balanced as if it were alone; one that
    /// is cut off counts as the upper layer, for the host to complain about [ipv6_find_hdr].
    pub fn walk(ip: &[u8]) -> Result<Self, ExtensionError> {
        let mut end = Self { protocol: next_header(ip), upper: HEADER_LEN, fragment: None };
        let mut announced_at = 6;
        for _ in 0..=MAX_EXTENSIONS {
            let at = end.upper;
            if !is_extension(end.protocol) {
                return Ok(end);
            }
            let len = extension_len(ip, end.protocol, at);
            if at + len > ip.len() {
                if end.protocol == protocol::AH {
                    return Ok(end);
                }
                return Err(ExtensionError::Truncated);
            }
            if end.protocol == protocol::FRAGMENT {
                if end.fragment.is_some() {
                    return Err(ExtensionError::NestedFragment);
                }
                end.fragment = Some(read_fragment(ip, at, announced_at));
            }
            end.protocol = get_u8(ip, at);
            end.upper = at + len;
            announced_at = at;
            if end.fragment.is_some_and(|fragment| fragment.offset != 0) {
                return Ok(end);
            }
        }
        Err(ExtensionError::TooMany)
    }
}

/// Where the number stands that announces the header at `upper`: the next-header field before it, in bytes from the IPv6
/// header. `upper` is one that [`Extensions::walk`] found in these bytes.
pub fn announced_at(ip: &[u8], upper: usize) -> usize {
    let (mut announced_at, mut at) = (6, HEADER_LEN);
    while at < upper {
        let len = extension_len(ip, get_u8(ip, announced_at), at);
        (announced_at, at) = (at, at + len);
    }
    announced_at
}

/// Whether the walk steps over a header of this number.
fn is_extension(number: u8) -> bool {
    matches!(
        number,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::DESTINATION_OPTIONS
            | protocol::FRAGMENT
            | protocol::AH
    )
}

/// Length of the extension header at `at`, in bytes, whose number is `number`.
fn extension_len(ip: &[u8], number: u8, at: usize) -> usize {
    match number {
        protocol::FRAGMENT => FRAGMENT_LEN,
        protocol::AH => ah::header_len(ip.get(at..).unwrap_or_default()),
        _ => (usize::from(get_u8(ip, at + 1)) + 1) * 8,
    }
}

fn read_fragment(ip: &[u8], at: usize, announced_at: usize) -> FragmentHeader {
    let word = get_u16(ip, at + 2);
    FragmentHeader {
        at,
        announced_at,
        next_header: get_u8(ip, at),
        offset: usize::from(word & 0xfff8),
        more: word & 1 != 0,
        id: get_u32(ip, at + 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Frame;

    fn packet(extensions: &[u8]) -> Vec<u8> {
        let frame = Frame::v6("2001:db8:c::1", "2001:db8:1::100");
        let frame =
            extensions.iter().fold(frame, |frame, number| frame.extension(*number, &[1, 4, 0, 0, 0, 0]));
        frame.tcp(1, 2, 0).build()[14..].to_vec()
    }

    #[test]
    fn header_round_trip() {
        let mut ip = [0xaa; HEADER_LEN];
        let (from, to) = ("2001:db8::1".parse().unwrap(), "ff02::1:ff00:1".parse().unwrap());
        Header {
            src: from,
            dst: to,
            next_header: 58,
            hop_limit: 255,
            traffic_class: 0xb9,
            flow_label: 0x12345,
            payload_len: 24,
        }
        .write(&mut ip);
        assert_eq!(ip[..8], [0x6b, 0x91, 0x23, 0x45, 0, 24, 58, 255]);
        assert_eq!((version(&ip), traffic_class(&ip), flow_label(&ip)), (6, 0xb9, 0x12345));
        assert_eq!((src(&ip), dst(&ip), payload_len(&ip)), (from, to, 24));
        set_traffic_class(&mut ip, 0x02);
        assert_eq!((version(&ip), traffic_class(&ip), flow_label(&ip)), (6, 0x02, 0x12345));
        (0..300).for_each(|_| decrement_hop_limit(&mut ip));
        assert_eq!(hop_limit(&ip), 0);
    }

    #[test]
    fn walks_known_headers_up_to_the_limit() {
        let many = [60; MAX_EXTENSIONS + 1];
        for (name, headers, want) in [
            ("none", &[][..], Ok((6, 40))),
            ("hop-by-hop, routing, options", &[0, 43, 60], Ok((6, 64))),
            ("AH is stepped over", &[0, 51], Ok((6, 56))),
            ("as many as may be", &many[1..], Ok((6, 40 + 8 * MAX_EXTENSIONS))),
            ("one more", &many, Err(ExtensionError::TooMany)),
        ] {
            let got = Extensions::walk(&packet(headers)).map(|end| (end.protocol, end.upper));
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn finds_the_fragment_header() {
        let frame =
            Frame::v6("::1", "::2").extension(60, &[1, 4, 0, 0, 0, 0]).fragment(1448, true).id(77).raw(17);
        let ip = &frame.payload(&[0; 64]).build()[14..];
        let end = Extensions::walk(ip).unwrap();
        let want =
            FragmentHeader { at: 48, announced_at: 40, next_header: 17, offset: 1448, more: true, id: 77 };
        assert_eq!(end, Extensions { protocol: 17, upper: 56, fragment: Some(want) });
        assert!(!want.is_atomic());
        assert_eq!(ip[40], protocol::FRAGMENT);
    }

    #[test]
    fn every_header_is_announced_by_the_one_before() {
        for (name, extensions, upper, want) in
            [("none", &[][..], 40, 6), ("one", &[0], 48, 40), ("three", &[0, 43, 60], 64, 56)]
        {
            let ip = packet(extensions);
            assert_eq!(announced_at(&ip, upper), want, "{name}");
            assert_eq!(ip[announced_at(&ip, upper)], protocol::TCP, "{name}");
        }
        let frame =
            Frame::v6("::1", "::2").extension(60, &[1, 4, 0, 0, 0, 0]).fragment(0, false).udp(1, 2).build();
        assert_eq!(announced_at(&frame[14..], 56), 48, "behind a fragment header");
    }

    #[test]
    fn behind_a_later_fragment_nothing_is_read() {
        // The fragment carries destination options, but its bytes are from the middle of a packet.
        let ip = &Frame::v6("::1", "::2").fragment(8, false).raw(60).payload(&[0xff; 16]).build()[14..];
        let end = Extensions::walk(ip).unwrap();
        assert_eq!((end.protocol, end.upper), (60, 48));
    }

    #[test]
    fn refuses_what_is_cut_off_or_nested() {
        let cut_ah = Frame::v6("::1", "::2").raw(51).payload(&[6, 4, 0, 0, 0, 0, 1, 0]).build();
        let end = Extensions::walk(&cut_ah[14..]).map(|end| (end.protocol, end.upper));
        assert_eq!(end, Ok((51, 40)), "AH that is cut off is an upper layer");
        let whole = packet(&[0, 60]);
        assert_eq!(Extensions::walk(&whole[..55]), Err(ExtensionError::Truncated));
        let nested = Frame::v6("::1", "::2").extension(44, &[0; 6]).fragment(0, true).tcp(1, 2, 0).build();
        assert_eq!(Extensions::walk(&nested[14..]), Err(ExtensionError::NestedFragment));
    }
}
