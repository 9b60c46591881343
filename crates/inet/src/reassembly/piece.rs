//! What one fragment says of itself: which datagram it is of, and which bytes of it it carries.

use core::net::IpAddr;

use wire::ipv6::{Extensions, FRAGMENT_LEN};
use wire::{Family, Fragment, PacketInfo, icmp, ipv4, ipv6, protocol, sctp, tcp, udp};

/// What the fragments of one datagram have in common: RFC 791 section 3.2, RFC 8200 section 4.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Upper-layer protocol of IPv4. 0 of IPv6, where the fragments of one datagram may name different ones.
    pub protocol: u8,
    /// Identification.
    pub id: u32,
}

impl FragmentKey {
    /// The key of a packet; none if it is no fragment, an atomic one included (RFC 6946).
    pub fn of(frame: &[u8], info: &PacketInfo) -> Option<Self> {
        if info.fragment == Fragment::No {
            return None;
        }
        let ip = info.ip(frame);
        let (protocol, id) = match info.family {
            Family::V4 => (info.protocol, u32::from(ipv4::id(ip))),
            Family::V6 => (0, Extensions::walk(ip).ok()?.fragment?.id),
        };
        Some(Self { src: info.src(frame), dst: info.dst(frame), protocol, id })
    }

    /// The key as words, to be put through the caller's keyed hash: it names the worker that gathers this datagram.
    pub fn words(&self) -> [u64; 5] {
        let [src, dst] = [self.src, self.dst].map(address_words);
        [src[0], src[1], dst[0], dst[1], u64::from(self.protocol) << 32 | u64::from(self.id)]
    }

    /// What one sender is counted by: its IPv4 address, its IPv6 /64.
    pub(super) fn sender(&self) -> u64 {
        let [high, low] = address_words(self.src);
        if self.src.is_ipv4() { low } else { high }
    }
}

fn address_words(addr: IpAddr) -> [u64; 2] {
    let bits = match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

/// One fragment, checked as far as it can be alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its bytes of the datagram's fragmentable part: from here,
    pub(super) start: u32,
    /// to here.
    pub(super) end: u32,
    /// Whether fragments follow.
    pub(super) more: bool,
    /// Where its IP header starts in its frame.
    pub(super) l3: u16,
    /// Where these bytes start in its frame.
    pub(super) payload_at: u16,
    /// Length of its IP packet.
    pub(super) ip_len: u16,
    /// Whether routers must not fragment it (IPv4).
    pub(super) dont_fragment: bool,
    /// Its two bits of explicit congestion notification (RFC 3168).
    pub(super) ecn: u8,
}

/// Why a fragment has no place in any datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It has no data, or reaches behind 65,535 bytes; or of IPv6, it is the first and lacks its upper-layer header
    /// (RFC 7112).
    Impossible,
    /// Of IPv6, more are to follow although its length is no multiple of eight (RFC 8200 section 4.5).
    Misaligned,
}

impl Piece {
    /// Reads a fragment. Of IPv4, what exceeds a multiple of eight is cut off if more are to follow, as Linux does.
    pub(super) fn read(frame: &[u8], info: &PacketInfo) -> Result<Self, Misfit> {
        let ip = info.ip(frame);
        let (start, more, header_len) = match info.family {
            Family::V4 => (ipv4::fragment_offset(ip), ipv4::more_fragments(ip), ipv4::header_len(ip)),
            Family::V6 => {
                let header = Extensions::walk(ip).ok().and_then(|end| end.fragment);
                let header = header.ok_or(Misfit::Impossible)?;
                (header.offset, header.more, header.at + FRAGMENT_LEN)
            }
        };
        let headless = info.family == Family::V6
            && info.fragment == Fragment::First
            && info.upper_len() < upper_header_len(info.protocol);
        if headless {
            return Err(Misfit::Impossible);
        }
        let mut len = ip.len().checked_sub(header_len).ok_or(Misfit::Impossible)?;
        let misaligned = more && !len.is_multiple_of(8);
        if misaligned && info.family == Family::V4 {
            len -= len % 8;
        }
        let longest = match info.family {
            Family::V4 => LONGEST - header_len,
            Family::V6 => LONGEST - (header_len - FRAGMENT_LEN - ipv6::HEADER_LEN),
        };
        if len == 0 || start + len > longest {
            return Err(Misfit::Impossible);
        }
        if misaligned && info.family == Family::V6 {
            return Err(Misfit::Misaligned);
        }
        let (dont_fragment, ecn) = match info.family {
            Family::V4 => (ipv4::dont_fragment(ip), ipv4::tos(ip) & 3),
            Family::V6 => (false, ipv6::traffic_class(ip) & 3),
        };
        Ok(Self {
            start: start as u32,
            end: (start + len) as u32,
            more,
            l3: info.l3,
            payload_at: info.l3 + header_len as u16,
            ip_len: ip.len() as u16,
            dont_fragment,
            ecn,
        })
    }
}

/// Most bytes that the length field of an IP header can tell.
const LONGEST: usize = 65_535;

/// Bytes without which a datagram of this protocol cannot be told from others.
fn upper_header_len(protocol: u8) -> usize {
    match protocol {
        protocol::TCP => tcp::HEADER_LEN,
        protocol::UDP => udp::HEADER_LEN,
        protocol::SCTP => sctp::HEADER_LEN,
        protocol::ICMPV6 => icmp::HEADER_LEN,
        _ => 0,
    }
}
