//! The one look at a frame: finds the parts of an IP packet and checks what all later stages rely on.
//!
//! Invariant: in the [`PacketInfo`] of a whole packet l3 <= l4 <= end <= length of the frame, all of the upper-layer header
//! that its protocol needs is there, and the IPv4 header checksum is right. Upper-layer checksums are not looked at: a
//! director passes damage on, for the receiver to find.

use crate::ether;
use crate::field::{get_u8, get_u16};
use crate::info::{Family, Fragment, PacketInfo, Quoted};
use crate::ipv6::{ExtensionError, Extensions};
use crate::{icmp, icmpv6, ipv4, ipv6, protocol, tcp, udp};

/// Bytes of the ports: what a quotation has to have of TCP, UDP and SCTP.
const PORTS_LEN: usize = 4;
/// The common header of SCTP (RFC 9260, 3.1).
const SCTP_HEADER_LEN: usize = 12;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An IP packet.
    Ip(PacketInfo),
    /// ARP; [`crate::arp::ArpPacket::parse`] reads it.
    Arp,
    /// Another EtherType.
    Other(u16),
}

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseError {
    /// Too short for an Ethernet or IP header.
    TooShort,
    /// The IP version is not what the EtherType says.
    BadVersion,
    /// The IPv4 header length is below 20 bytes or reaches behind the frame.
    BadHeaderLen,
    /// The IP length is below that of the header or reaches behind the frame.
    BadTotalLen,
    /// The IPv4 header checksum is wrong.
    BadIpChecksum,
    /// An IPv6 extension header reaches behind the packet, or there are two fragment headers.
    BadExtensionHeader,
    /// More than [`ipv6::MAX_EXTENSIONS`] IPv6 extension headers.
    TooManyExtensionHeaders,
    /// The packet ends within its upper-layer header.
    TruncatedTransport,
    /// The TCP header length is below 20 bytes or reaches behind the packet.
    BadTcpHeaderLen,
    /// The UDP length is below 8 bytes or reaches behind the packet.
    BadUdpLen,
}

impl ParseError {
    /// Every reason, in the order of the checks: for counters.
    pub const ALL: [Self; 10] = [
        Self::TooShort,
        Self::BadVersion,
        Self::BadHeaderLen,
        Self::BadTotalLen,
        Self::BadIpChecksum,
        Self::BadExtensionHeader,
        Self::TooManyExtensionHeaders,
        Self::TruncatedTransport,
        Self::BadTcpHeaderLen,
        Self::BadUdpLen,
    ];
}

impl From<ExtensionError> for ParseError {
    fn from(error: ExtensionError) -> Self {
        match error {
            ExtensionError::Truncated | ExtensionError::NestedFragment => Self::BadExtensionHeader,
            ExtensionError::TooMany => Self::TooManyExtensionHeaders,
        }
    }
}

/// Parses a frame that starts with an untagged Ethernet header ([`crate::vlan::pop`] comes before).
pub fn parse(frame: &[u8]) -> Result<Parsed, ParseError> {
    if frame.len() < ether::HEADER_LEN {
        return Err(ParseError::TooShort);
    }
    let info = match ether::ethertype(frame) {
        ether::IPV4 => parse_v4(frame, ether::HEADER_LEN)?,
        ether::IPV6 => parse_v6(frame, ether::HEADER_LEN)?,
        ether::ARP => return Ok(Parsed::Arp),
        other => return Ok(Parsed::Other(other)),
    };
    Ok(Parsed::Ip(info))
}

/// The packet that the ICMP or ICMPv6 error `outer` quotes. `None`: it is no error, or its quotation has no whole IP header
/// or not the four bytes behind it that TCP, UDP and SCTP have their ports in.
///
/// A quotation is cut off and its length and checksum may have been changed on the way, so neither is checked.
pub fn parse_quoted(frame: &[u8], outer: &PacketInfo) -> Option<Quoted> {
    if outer.fragment == Fragment::Later {
        return None;
    }
    let kind = icmp::kind(outer.upper(frame));
    let quotes = match (outer.family, outer.protocol) {
        (Family::V4, protocol::ICMP) => icmp::quotes(kind),
        (Family::V6, protocol::ICMPV6) => icmpv6::quotes(kind),
        _ => false,
    };
    if !quotes {
        return None;
    }
    let packet = quotation(frame, usize::from(outer.l4) + icmp::HEADER_LEN, outer.end, outer.family)?;
    Some(Quoted { packet, icmp: outer.l4 })
}

/// The packet inside a quoted IP-in-IP packet ([`parse_quoted`]), as far as the quotation goes. `None`: it is not IP in IP, is
/// a later fragment, or does not go far enough, as in [`parse_quoted`].
pub fn parse_encapsulated(frame: &[u8], quoted: &PacketInfo) -> Option<PacketInfo> {
    let family = match quoted.protocol {
        protocol::IPIP => Family::V4,
        protocol::IPV6 => Family::V6,
        _ => return None,
    };
    if quoted.fragment == Fragment::Later {
        return None;
    }
    quotation(frame, usize::from(quoted.l4), quoted.end, family)
}

/// The packet whose quotation starts at `start` and ends at `end`.
fn quotation(frame: &[u8], start: usize, end: u16, family: Family) -> Option<PacketInfo> {
    let quotation = frame.get(start..usize::from(end))?;
    let ip = match family {
        Family::V4 => quoted_v4(quotation)?,
        Family::V6 => quoted_v6(quotation)?,
    };
    let mut packet = ip.place(start, quotation.len())?;
    if packet.fragment != Fragment::Later && protocol::has_ports(packet.protocol) {
        let upper = packet.upper(frame);
        if upper.len() < PORTS_LEN {
            return None;
        }
        read_upper(&mut packet, frame);
    }
    Some(packet)
}

/// What the IP layer says, in bytes from the IP header.
struct Ip {
    family: Family,
    upper: usize,
    protocol: u8,
    ttl: u8,
    fragment: Fragment,
}

impl Ip {
    /// Its place in the frame: the packet starts at `l3` and has `len` bytes. `None`: offsets would not fit 16 bits.
    fn place(&self, l3: usize, len: usize) -> Option<PacketInfo> {
        let end = u16::try_from(l3 + len).ok()?;
        Some(PacketInfo {
            family: self.family,
            l3: l3 as u16,
            l4: (l3 + self.upper) as u16,
            end,
            protocol: self.protocol,
            ttl: self.ttl,
            tcp_flags: 0,
            fragment: self.fragment,
            sport: 0,
            dport: 0,
        })
    }
}

fn parse_v4(frame: &[u8], l3: usize) -> Result<PacketInfo, ParseError> {
    let ip = frame.get(l3..).unwrap_or_default();
    if ip.len() < ipv4::HEADER_LEN {
        return Err(ParseError::TooShort);
    }
    if ipv4::version(ip) != 4 {
        return Err(ParseError::BadVersion);
    }
    let header_len = ipv4::header_len(ip);
    if header_len < ipv4::HEADER_LEN || header_len > ip.len() {
        return Err(ParseError::BadHeaderLen);
    }
    let total_len = usize::from(ipv4::total_len(ip));
    if total_len < header_len || total_len > ip.len() {
        return Err(ParseError::BadTotalLen);
    }
    if !ipv4::verify_checksum(ip) {
        return Err(ParseError::BadIpChecksum);
    }
    let info = read_v4(ip).place(l3, total_len).ok_or(ParseError::BadTotalLen)?;
    check_upper(info, frame)
}

fn read_v4(ip: &[u8]) -> Ip {
    Ip {
        family: Family::V4,
        upper: ipv4::header_len(ip),
        protocol: ipv4::protocol(ip),
        ttl: ipv4::ttl(ip),
        fragment: fragment(ipv4::fragment_offset(ip), ipv4::more_fragments(ip)),
    }
}

fn quoted_v4(ip: &[u8]) -> Option<Ip> {
    let header_len = ipv4::header_len(ip);
    let whole = ipv4::version(ip) == 4 && header_len >= ipv4::HEADER_LEN && header_len <= ip.len();
    whole.then(|| read_v4(ip))
}

fn parse_v6(frame: &[u8], l3: usize) -> Result<PacketInfo, ParseError> {
    let ip = frame.get(l3..).unwrap_or_default();
    if ip.len() < ipv6::HEADER_LEN {
        return Err(ParseError::TooShort);
    }
    if ipv6::version(ip) != 6 {
        return Err(ParseError::BadVersion);
    }
    let total_len = ipv6::HEADER_LEN + usize::from(ipv6::payload_len(ip));
    let ip = ip.get(..total_len).ok_or(ParseError::BadTotalLen)?;
    let info = read_v6(ip)?.place(l3, total_len).ok_or(ParseError::BadTotalLen)?;
    check_upper(info, frame)
}

fn read_v6(ip: &[u8]) -> Result<Ip, ExtensionError> {
    let extensions = Extensions::walk(ip)?;
    Ok(Ip {
        family: Family::V6,
        upper: extensions.upper,
        protocol: extensions.protocol,
        ttl: ipv6::hop_limit(ip),
        fragment: extensions.fragment.map_or(Fragment::No, |header| fragment(header.offset, header.more)),
    })
}

fn quoted_v6(ip: &[u8]) -> Option<Ip> {
    if ip.len() < ipv6::HEADER_LEN || ipv6::version(ip) != 6 {
        return None;
    }
    read_v6(ip).ok()
}

fn fragment(offset: usize, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::No,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

/// Checks the upper-layer header and reads what it tells. A first fragment only needs its ports: the rest is checked when
/// the packet is whole.
fn check_upper(mut info: PacketInfo, frame: &[u8]) -> Result<PacketInfo, ParseError> {
    let upper = info.upper(frame);
    let needed = match (info.fragment, info.protocol) {
        (Fragment::Later, _) => return Ok(info),
        (Fragment::First, protocol) if protocol::has_ports(protocol) => PORTS_LEN,
        (Fragment::First, _) => 0,
        (Fragment::No, protocol::TCP) => tcp::HEADER_LEN,
        (Fragment::No, protocol::UDP) => udp::HEADER_LEN,
        (Fragment::No, protocol::SCTP) => SCTP_HEADER_LEN,
        (Fragment::No, protocol::ICMP | protocol::ICMPV6) => icmp::HEADER_LEN,
        (Fragment::No, _) => 0,
    };
    if upper.len() < needed {
        return Err(ParseError::TruncatedTransport);
    }
    if info.fragment == Fragment::No {
        check_lengths(info.protocol, upper)?;
    }
    read_upper(&mut info, frame);
    Ok(info)
}

fn check_lengths(protocol: u8, upper: &[u8]) -> Result<(), ParseError> {
    match protocol {
        protocol::TCP if !(tcp::HEADER_LEN..=upper.len()).contains(&tcp::header_len(upper)) => {
            Err(ParseError::BadTcpHeaderLen)
        }
        protocol::UDP if !(udp::HEADER_LEN..=upper.len()).contains(&usize::from(udp::len(upper))) => {
            Err(ParseError::BadUdpLen)
        }
        _ => Ok(()),
    }
}

/// Reads ports and TCP flags, as far as they are there.
fn read_upper(info: &mut PacketInfo, frame: &[u8]) {
    let upper = info.upper(frame);
    if protocol::has_ports(info.protocol) {
        info.sport = get_u16(upper, 0);
        info.dport = get_u16(upper, 2);
    }
    if info.protocol == protocol::TCP {
        info.tcp_flags = get_u8(upper, 13);
    }
}
