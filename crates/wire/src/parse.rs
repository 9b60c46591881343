//! The one look at a frame: finds the parts of an IP packet and checks what all later stages rely on.
//!
//! Invariant: in the [`PacketInfo`] of a whole packet l3 <= l4 <= end <= length of the frame, all of the upper-layer header
//! that its protocol needs is there, and the IPv4 header checksum is right. Upper-layer checksums are not looked at: a
//! director passes damage on, for the receiver to find.

use crate::ether;
use crate::field::{get_u8, get_u16};
use crate::info::{Family, Fragment, PacketInfo, Quoted};
use crate::ipv6::{ExtensionError, Extensions};
use crate::tunnel::{gre, gue};
use crate::{icmp, icmpv6, ipv4, ipv6, protocol, sctp, tcp, udp};

/// Bytes of the ports: what a quotation has to have of TCP, UDP and SCTP.
const PORTS_LEN: usize = 4;

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

/// The packet inside a quoted IP-in-IP or GRE packet ([`parse_quoted`]), as far as the quotation goes. `None`: it is neither,
/// is a later fragment, does not carry IP, or does not go far enough, as in [`parse_quoted`].
pub fn parse_encapsulated(frame: &[u8], quoted: &PacketInfo) -> Option<PacketInfo> {
    if quoted.fragment == Fragment::Later {
        return None;
    }
    let (family, header_len) = match quoted.protocol {
        protocol::IPIP => (Family::V4, 0),
        protocol::IPV6 => (Family::V6, 0),
        protocol::GRE => gre::carries(quoted.upper(frame))?,
        _ => return None,
    };
    quotation(frame, usize::from(quoted.l4) + header_len, quoted.end, family)
}

/// The same for a quoted GUE packet. Only its UDP port tells that it is one: whether `quoted.dport` is that of a tunnel is the
/// caller's to ask before.
pub fn parse_encapsulated_gue(frame: &[u8], quoted: &PacketInfo) -> Option<PacketInfo> {
    if quoted.fragment == Fragment::Later || quoted.protocol != protocol::UDP {
        return None;
    }
    let gue = quoted.upper(frame).get(udp::HEADER_LEN..)?;
    let (family, header_len) = gue::carries(gue)?;
    quotation(frame, usize::from(quoted.l4) + udp::HEADER_LEN + header_len, quoted.end, family)
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
            sctp: None,
            call: None,
            fragment: self.fragment,
            sport: 0,
            dport: 0,
            largest_fragment: 0,
            mark: 0,
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
        (Fragment::No, protocol::SCTP) => sctp::HEADER_LEN,
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
    if info.protocol == protocol::SCTP && info.fragment == Fragment::No {
        info.sctp = sctp::lead(info.upper(frame));
    }
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

/// Reads ports, TCP flags and PPTP's call, as far as they are there.
fn read_upper(info: &mut PacketInfo, frame: &[u8]) {
    let upper = info.upper(frame);
    if protocol::has_ports(info.protocol) {
        info.sport = get_u16(upper, 0);
        info.dport = get_u16(upper, 2);
    }
    if info.protocol == protocol::GRE {
        info.call = gre::call_id(upper);
    }
    if info.protocol == protocol::TCP {
        info.tcp_flags = get_u8(upper, 13);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frame, info};

    fn v4() -> Frame {
        Frame::v4("198.51.100.1", "192.0.2.100")
    }

    fn v6() -> Frame {
        Frame::v6("2001:db8:c::1", "2001:db8:1::100")
    }

    #[test]
    fn reads_whole_packets() {
        let padded = |mut frame: Vec<u8>| {
            frame.resize(frame.len() + 20, 0);
            frame
        };
        let options = [1, 1, 1, 0];
        let ah = [0; 22];
        for (name, frame, l4, end, protocol, ports) in [
            ("TCP", v4().tcp(3000, 80, tcp::SYN).build(), 34, 54, 6, (3000, 80)),
            ("TCP with padding", padded(v4().tcp(3000, 80, tcp::SYN).build()), 34, 54, 6, (3000, 80)),
            ("UDP", v4().udp(1, 53).payload(b"abc").build(), 34, 45, 17, (1, 53)),
            ("port 0", v4().udp(0, 0).build(), 34, 42, 17, (0, 0)),
            ("options", v4().ip_options(&options).udp(1, 53).build(), 38, 46, 17, (1, 53)),
            (
                "SCTP",
                v4().raw(132).payload(&[0, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]).build(),
                34,
                46,
                132,
                (7, 9),
            ),
            ("SCTP INIT", v4().sctp(7, 9, 0).payload(&[1, 0, 0, 4]).build(), 34, 50, 132, (7, 9)),
            ("echo", v4().echo_request(1, 2).build(), 34, 42, 1, (0, 0)),
            ("unknown protocol", v4().raw(253).build(), 34, 34, 253, (0, 0)),
            ("TCP over IPv6", v6().tcp(3000, 80, tcp::SYN).build(), 54, 74, 6, (3000, 80)),
            ("with padding", padded(v6().udp(3000, 53).build()), 54, 62, 17, (3000, 53)),
            (
                "extension headers",
                v6().extension(0, &[0; 6]).extension(60, &[0; 14]).udp(5, 6).build(),
                78,
                86,
                17,
                (5, 6),
            ),
            ("atomic fragment", v6().fragment(0, false).udp(5, 6).build(), 62, 70, 17, (5, 6)),
            ("no next header", v6().raw(59).build(), 54, 54, 59, (0, 0)),
            (
                "PPTP",
                v4().raw(47).payload(&[0x30, 1, 0x88, 0x0b, 0, 0, 0, 7, 0, 0, 0, 1]).build(),
                34,
                46,
                47,
                (0, 0),
            ),
            ("AH", v4().raw(51).payload(&[6; 24]).build(), 34, 58, 51, (0, 0)),
            ("UDP in AH over IPv6", v6().extension(51, &ah).udp(5, 6).build(), 78, 86, 17, (5, 6)),
            (
                "ESP in AH over IPv6",
                v6().extension(51, &ah).raw(50).payload(&[0; 8]).build(),
                78,
                86,
                50,
                (0, 0),
            ),
            ("AH over IPv6, cut off", v6().raw(51).payload(&[17, 4, 0]).build(), 54, 57, 51, (0, 0)),
        ] {
            let info = info(&frame);
            assert_eq!((info.l3, info.l4, info.end), (14, l4, end), "{name}");
            assert_eq!((info.protocol, (info.sport, info.dport)), (protocol, ports), "{name}");
            assert_eq!((info.fragment, info.ttl), (Fragment::No, 64), "{name}");
            assert_eq!(info.call, (name == "PPTP").then_some(7), "{name}");
            assert_eq!(info.tcp_flags, if protocol == 6 { tcp::SYN } else { 0 }, "{name}");
            assert_eq!(
                info.sctp.map(|lead| lead.kind()),
                (name == "SCTP INIT").then_some(sctp::INIT),
                "{name}"
            );
        }
    }

    #[test]
    fn reads_fragments() {
        let data = [0xab; 64];
        for (name, frame, want, ports) in [
            ("first v4", v4().fragment(0, true).udp(5, 6).payload(&data).build(), Fragment::First, (5, 6)),
            ("later v4", v4().fragment(72, true).raw(17).payload(&data).build(), Fragment::Later, (0, 0)),
            ("last v4", v4().fragment(72, false).raw(17).payload(&data).build(), Fragment::Later, (0, 0)),
            ("tiny later v4", v4().fragment(72, false).raw(6).payload(b"x").build(), Fragment::Later, (0, 0)),
            ("first v6", v6().fragment(0, true).udp(5, 6).payload(&data).build(), Fragment::First, (5, 6)),
            ("later v6", v6().fragment(72, false).raw(17).payload(&data).build(), Fragment::Later, (0, 0)),
            (
                "short first TCP",
                v4().fragment(0, true).raw(6).payload(&[0, 5, 0, 6, 1, 1, 1, 1]).build(),
                Fragment::First,
                (5, 6),
            ),
        ] {
            let info = info(&frame);
            assert_eq!((info.fragment, (info.sport, info.dport)), (want, ports), "{name}");
        }
    }

    #[test]
    fn other_ethertypes() {
        let mut frame = vec![0; 60];
        for (ethertype, want) in [
            (ether::ARP, Parsed::Arp),
            (ether::VLAN, Parsed::Other(0x8100)),
            (0x88cc, Parsed::Other(0x88cc)),
            (0x0026, Parsed::Other(0x0026)),
        ] {
            ether::set_ethertype(&mut frame, ethertype);
            assert_eq!(parse(&frame), Ok(want));
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        /// Changes a byte of a frame; the IPv4 header checksum follows.
        fn with(mut frame: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
            frame[at] = value;
            if ether::ethertype(&frame) == ether::IPV4 {
                ipv4::fill_checksum(&mut frame[14..]);
            }
            frame
        }
        let tcp4 = || v4().tcp(1, 2, 0).payload(b"data").build();
        let udp4 = || v4().udp(1, 2).payload(b"data").build();
        let tcp6 = || v6().tcp(1, 2, 0).payload(b"data").build();
        let bad_checksum = {
            let mut frame = tcp4();
            frame[25] ^= 1;
            frame
        };
        let many = (0..9).fold(v6(), |frame, _| frame.extension(60, &[0; 6])).udp(1, 2).build();
        for (name, frame, want) in [
            ("13 bytes", tcp4()[..13].to_vec(), ParseError::TooShort),
            ("19 bytes of IPv4", tcp4()[..33].to_vec(), ParseError::TooShort),
            ("39 bytes of IPv6", tcp6()[..53].to_vec(), ParseError::TooShort),
            ("IPv6 said to be IPv4", with(tcp4(), 14, 0x65), ParseError::BadVersion),
            ("IPv4 said to be IPv6", with(tcp6(), 14, 0x45), ParseError::BadVersion),
            ("header of 16 bytes", with(tcp4(), 14, 0x44), ParseError::BadHeaderLen),
            ("header behind the frame", with(v4().udp(1, 2).build(), 14, 0x4f), ParseError::BadHeaderLen),
            ("length below the header", with(tcp4(), 17, 19), ParseError::BadTotalLen),
            ("length behind the frame", with(tcp4(), 17, 45), ParseError::BadTotalLen),
            ("IPv6 length behind the frame", with(tcp6(), 19, 25), ParseError::BadTotalLen),
            ("header checksum", bad_checksum, ParseError::BadIpChecksum),
            (
                "extension behind the packet",
                with(v6().extension(0, &[0; 6]).udp(1, 2).build(), 55, 9),
                ParseError::BadExtensionHeader,
            ),
            ("nine extension headers", many, ParseError::TooManyExtensionHeaders),
            ("19 bytes of TCP", with(v4().tcp(1, 2, 0).build(), 17, 39), ParseError::TruncatedTransport),
            ("7 bytes of UDP", with(v4().udp(1, 2).build(), 17, 27), ParseError::TruncatedTransport),
            (
                "7 bytes of ICMPv6",
                with(v6().echo_request(1, 2).build(), 19, 7),
                ParseError::TruncatedTransport,
            ),
            ("11 bytes of SCTP", v4().raw(132).payload(&[0; 11]).build(), ParseError::TruncatedTransport),
            (
                "no ports in a first fragment",
                v4().fragment(0, true).raw(17).payload(&[0; 3]).build(),
                ParseError::TruncatedTransport,
            ),
            ("TCP header of 16 bytes", with(tcp4(), 46, 0x40), ParseError::BadTcpHeaderLen),
            ("TCP header behind the packet", with(tcp4(), 46, 0x70), ParseError::BadTcpHeaderLen),
            ("UDP length 7", with(udp4(), 39, 7), ParseError::BadUdpLen),
            ("UDP length behind the packet", with(udp4(), 39, 13), ParseError::BadUdpLen),
        ] {
            assert_eq!(parse(&frame), Err(want), "{name}");
        }
    }

    #[test]
    fn a_packet_too_long_for_16_bit_offsets_is_refused() {
        let mut frame = v6().raw(253).build();
        ipv6::set_payload_len(&mut frame[14..], 65535);
        frame.resize(14 + 40 + 65535, 0);
        assert_eq!(parse(&frame), Err(ParseError::BadTotalLen));
    }

    #[test]
    fn every_reason_is_listed_once() {
        let unique: std::collections::HashSet<_> = ParseError::ALL.into_iter().collect();
        assert_eq!(unique.len(), ParseError::ALL.len());
    }

    #[test]
    fn reads_quotations() {
        let tcp4 = v4().tcp(3000, 80, tcp::ACK).payload(&[0; 100]).build();
        let udp6 = v6().udp(3000, 53).payload(&[0; 100]).build();
        let later = v4().fragment(800, false).raw(17).payload(&[0; 8]).build();
        let error4 = |kind, quoted: &[u8], max| v4().icmp(kind, 0, 0).quote(quoted, max).build();
        let error6 = |kind, quoted: &[u8], max| v6().icmp(kind, 0, 0).quote(quoted, max).build();
        for (name, frame, want) in [
            ("whole", error4(icmp::UNREACHABLE, &tcp4, 500), Some((6, 3000, 80, Fragment::No))),
            ("28 bytes", error4(icmp::TIME_EXCEEDED, &tcp4, 28), Some((6, 3000, 80, Fragment::No))),
            ("ports only", error4(icmp::SOURCE_QUENCH, &tcp4, 24), Some((6, 3000, 80, Fragment::No))),
            ("not all of the ports", error4(icmp::UNREACHABLE, &tcp4, 23), None),
            ("not all of the header", error4(icmp::UNREACHABLE, &tcp4, 19), None),
            ("echo", error4(icmp::ECHO_REPLY, &tcp4, 500), None),
            ("later fragment", error4(icmp::UNREACHABLE, &later, 500), Some((17, 0, 0, Fragment::Later))),
            ("IPv6", error6(icmpv6::PACKET_TOO_BIG, &udp6, 500), Some((17, 3000, 53, Fragment::No))),
            ("IPv6 ports only", error6(icmpv6::UNREACHABLE, &udp6, 44), Some((17, 3000, 53, Fragment::No))),
            ("IPv6 not all of the ports", error6(icmpv6::UNREACHABLE, &udp6, 43), None),
            ("IPv6 echo", error6(icmpv6::ECHO_REQUEST, &udp6, 500), None),
            ("another family quoted", error4(icmp::UNREACHABLE, &udp6, 500), None),
        ] {
            let outer = info(&frame);
            let quoted = parse_quoted(&frame, &outer);
            let got = quoted.map(|q| (q.packet.protocol, q.packet.sport, q.packet.dport, q.packet.fragment));
            assert_eq!(got, want, "{name}");
            if let Some(quoted) = quoted {
                assert_eq!(
                    (quoted.icmp, quoted.packet.l3, quoted.packet.end),
                    (outer.l4, outer.l4 + 8, outer.end),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_quotation_may_be_damaged() {
        let mut quoted = v4().tcp(3000, 80, tcp::ACK).build();
        quoted[16..18].copy_from_slice(&[0xff, 0xff]);
        quoted[25] ^= 0x55;
        let frame = v4().icmp(icmp::UNREACHABLE, 1, 0).quote(&quoted, 40).build();
        let quoted = parse_quoted(&frame, &info(&frame)).unwrap().packet;
        assert_eq!((quoted.src(&frame).to_string(), quoted.dport), ("198.51.100.1".to_owned(), 80));
        assert_eq!(quoted.tcp_flags, tcp::ACK);
    }
}
