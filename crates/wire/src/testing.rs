//! Frames for tests: written in a line, with right checksums, and checked again after they were rewritten.
//!
//! Not for the packet path: these allocate, and panic on what a test got wrong.
//!
//! ```
//! use wire::testing::{Frame, verify_checksums};
//! let frame = Frame::v4("198.51.100.1", "192.0.2.100").tcp(3000, 80, wire::tcp::SYN).payload(b"GET").build();
//! assert_eq!(verify_checksums(&frame), Ok(()));
//! ```

mod fragments;

use core::net::IpAddr;

pub use fragments::{FRAGMENT_ID, fragment, fragmentable_at, fragments};

use crate::checksum;
use crate::ether::{self, MacAddr};
use crate::info::{Family, Fragment, PacketInfo};
use crate::parse::{Parsed, parse};
use crate::tunnel::gre;
use crate::{icmp, icmpv6, ipv4, ipv6, protocol, sctp, tcp, udp};

/// A frame under construction. Without more said: no payload, TTL 64, TOS 0, id 1, MACs 02:00:00:00:00:fe to
/// 02:00:00:00:00:01, no upper-layer header (protocol 253, RFC 3692).
#[derive(Clone, Debug)]
pub struct Frame {
    src: IpAddr,
    dst: IpAddr,
    src_mac: MacAddr,
    dst_mac: MacAddr,
    ttl: u8,
    tos: u8,
    id: u32,
    dont_fragment: bool,
    fragment: Option<(usize, bool)>,
    ip_options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    protocol: u8,
    upper: Vec<u8>,
    payload: Vec<u8>,
    checksum: Checksum,
}

/// What to do about the upper-layer checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksum {
    Right,
    Wrong,
    Absent,
}

/// Experimental protocol number (RFC 3692): one that nothing here knows.
const UNKNOWN_PROTOCOL: u8 = 253;

impl Frame {
    /// A packet between two addresses of one family.
    pub fn new(src: IpAddr, dst: IpAddr) -> Self {
        assert_eq!(src.is_ipv4(), dst.is_ipv4(), "source and destination are of one family");
        Self {
            src,
            dst,
            src_mac: MacAddr([2, 0, 0, 0, 0, 0xfe]),
            dst_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            ttl: 64,
            tos: 0,
            id: 1,
            dont_fragment: false,
            fragment: None,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            protocol: UNKNOWN_PROTOCOL,
            upper: Vec::new(),
            payload: Vec::new(),
            checksum: Checksum::Right,
        }
    }

    /// An IPv4 packet between two addresses in text.
    pub fn v4(src: &str, dst: &str) -> Self {
        let address = |text: &str| IpAddr::V4(text.parse().expect("an IPv4 address"));
        Self::new(address(src), address(dst))
    }

    /// An IPv6 packet between two addresses in text.
    pub fn v6(src: &str, dst: &str) -> Self {
        let address = |text: &str| IpAddr::V6(text.parse().expect("an IPv6 address"));
        Self::new(address(src), address(dst))
    }

    /// Sets the Ethernet addresses.
    pub fn mac(mut self, src: MacAddr, dst: MacAddr) -> Self {
        (self.src_mac, self.dst_mac) = (src, dst);
        self
    }

    /// Sets TTL or hop limit.
    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets type of service or traffic class.
    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    /// Sets the identification (of IPv6: in the fragment header).
    pub fn id(mut self, id: u32) -> Self {
        self.id = id;
        self
    }

    /// Sets "don't fragment" (IPv4).
    pub fn dont_fragment(mut self) -> Self {
        self.dont_fragment = true;
        self
    }

    /// Makes it the fragment at `offset` bytes of its packet: IPv6 gets a fragment header. What is built is put behind the
    /// headers as it is, so a later fragment is best built with [`Self::raw`]; upper-layer checksums are of what is there.
    pub fn fragment(mut self, offset: usize, more: bool) -> Self {
        self.fragment = Some((offset, more));
        self
    }

    /// Adds IPv4 options; a multiple of 4 bytes.
    pub fn ip_options(mut self, options: &[u8]) -> Self {
        assert!(
            options.len().is_multiple_of(4) && options.len() <= 40,
            "IPv4 options: up to 40 bytes, a multiple of 4"
        );
        self.ip_options = options.to_vec();
        self
    }

    /// Adds an IPv6 extension header: its number, and what follows its next-header and length bytes, 6 more than a multiple
    /// of 8 bytes.
    pub fn extension(mut self, number: u8, content: &[u8]) -> Self {
        assert!(content.len() % 8 == 6, "an extension header is a multiple of 8 bytes");
        self.extensions.push((number, content.to_vec()));
        self
    }

    /// TCP with sequence number 1000 and, if ACK is set, acknowledgement 2000.
    pub fn tcp(self, sport: u16, dport: u16, flags: u8) -> Self {
        let ack = if flags & tcp::ACK != 0 { 2000 } else { 0 };
        self.tcp_header(tcp::Header { sport, dport, seq: 1000, ack, flags, window: 64240 }, &[])
    }

    /// TCP with everything said; options are a multiple of 4 bytes.
    pub fn tcp_header(mut self, header: tcp::Header, options: &[u8]) -> Self {
        assert!(
            options.len().is_multiple_of(4) && options.len() <= 40,
            "TCP options: up to 40 bytes, a multiple of 4"
        );
        self.protocol = protocol::TCP;
        self.upper = vec![0; tcp::HEADER_LEN];
        header.write(&mut self.upper);
        self.upper.extend_from_slice(options);
        self.upper[12] = ((self.upper.len() / 4) as u8) << 4;
        self
    }

    /// UDP.
    pub fn udp(mut self, sport: u16, dport: u16) -> Self {
        self.protocol = protocol::UDP;
        self.upper = vec![0; udp::HEADER_LEN];
        udp::write(&mut self.upper, sport, dport, 0);
        self
    }

    /// SCTP; the payload are its chunks, each padded to 4 bytes.
    pub fn sctp(mut self, sport: u16, dport: u16, verification_tag: u32) -> Self {
        self.protocol = protocol::SCTP;
        self.upper = vec![0; sctp::HEADER_LEN];
        sctp::write(&mut self.upper, sport, dport, verification_tag);
        self
    }

    /// ICMP or ICMPv6, as the family says. `rest` are the four bytes behind the checksum.
    pub fn icmp(mut self, kind: u8, code: u8, rest: u32) -> Self {
        self.protocol = if self.src.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        self.upper = vec![0; icmp::HEADER_LEN];
        icmp::write(&mut self.upper, kind, code, rest);
        self
    }

    /// An echo request.
    pub fn echo_request(self, id: u16, seq: u16) -> Self {
        let kind = if self.src.is_ipv4() { icmp::ECHO_REQUEST } else { icmpv6::ECHO_REQUEST };
        self.icmp(kind, 0, u32::from(id) << 16 | u32::from(seq))
    }

    /// Another protocol, or a later fragment: the payload follows the IP header as it is.
    pub fn raw(mut self, protocol: u8) -> Self {
        self.protocol = protocol;
        self.upper = Vec::new();
        self
    }

    /// What follows the upper-layer header. In an ICMP error: the quotation.
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Makes the payload a quotation of another frame's IP packet, cut off after `max` bytes.
    pub fn quote(self, frame: &[u8], max: usize) -> Self {
        let ip = &frame[ether::HEADER_LEN..];
        self.payload(&ip[..max.min(ip.len())])
    }

    /// Leaves the upper-layer checksum wrong.
    pub fn bad_checksum(mut self) -> Self {
        self.checksum = Checksum::Wrong;
        self
    }

    /// Leaves the upper-layer checksum 0: UDP without one.
    pub fn no_checksum(mut self) -> Self {
        self.checksum = Checksum::Absent;
        self
    }

    /// The frame's bytes.
    pub fn build(self) -> Vec<u8> {
        let upper = [&self.upper[..], &self.payload[..]].concat();
        let headers = self.ip_headers(upper.len());
        let mut frame = vec![0; ether::HEADER_LEN];
        let ethertype = if self.src.is_ipv4() { ether::IPV4 } else { ether::IPV6 };
        ether::write(&mut frame, &self.dst_mac, &self.src_mac, ethertype);
        frame.extend_from_slice(&headers);
        frame.extend_from_slice(&upper);
        if self.protocol == protocol::UDP && !self.upper.is_empty() {
            let at = ether::HEADER_LEN + headers.len();
            frame[at + 4..at + 6].copy_from_slice(&(upper.len() as u16).to_be_bytes());
        }
        self.finish_checksum(&mut frame, headers.len());
        frame
    }

    fn ip_headers(&self, upper_len: usize) -> Vec<u8> {
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut header = vec![0; ipv4::HEADER_LEN];
                let (protocol, ttl, tos, id) = (self.protocol, self.ttl, self.tos, self.id as u16);
                let payload_len = self.ip_options.len() + upper_len;
                ipv4::Header {
                    src,
                    dst,
                    protocol,
                    ttl,
                    tos,
                    id,
                    dont_fragment: self.dont_fragment,
                    payload_len,
                }
                .write(&mut header);
                header.extend_from_slice(&self.ip_options);
                header[0] = 0x40 | (header.len() / 4) as u8;
                if let Some((offset, more)) = self.fragment {
                    ipv4::set_fragment(&mut header, offset, more);
                }
                ipv4::fill_checksum(&mut header);
                header
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let (next_header, extensions) = self.extension_headers();
                let mut header = vec![0; ipv6::HEADER_LEN];
                let payload_len = extensions.len() + upper_len;
                let (hop_limit, traffic_class) = (self.ttl, self.tos);
                ipv6::Header { src, dst, next_header, hop_limit, traffic_class, flow_label: 0, payload_len }
                    .write(&mut header);
                header.extend_from_slice(&extensions);
                header
            }
            _ => unreachable!("both are of one family"),
        }
    }

    /// The number of the first header, and all of them: extensions in their order, the fragment header last.
    fn extension_headers(&self) -> (u8, Vec<u8>) {
        let (mut next_header, mut bytes) = (self.protocol, Vec::new());
        if let Some((offset, more)) = self.fragment {
            bytes = vec![0; ipv6::FRAGMENT_LEN];
            ipv6::FragmentHeader { at: 0, announced_at: 0, next_header, offset, more, id: self.id }
                .write(&mut bytes);
            next_header = protocol::FRAGMENT;
        }
        for (number, content) in self.extensions.iter().rev() {
            let len = content.len() + 2;
            let units = if *number == protocol::AH { len / 4 - 2 } else { len / 8 - 1 };
            bytes = [&[next_header, units as u8][..], content, &bytes].concat();
            next_header = *number;
        }
        (next_header, bytes)
    }

    fn finish_sctp(&self, sctp: &mut [u8]) {
        if self.checksum != Checksum::Absent {
            sctp::fill_checksum(sctp);
        }
        if self.checksum == Checksum::Wrong {
            sctp[8] ^= 0x55;
        }
    }

    fn finish_checksum(&self, frame: &mut [u8], headers_len: usize) {
        let at = match self.protocol {
            _ if self.upper.is_empty() => return,
            protocol::SCTP => return self.finish_sctp(&mut frame[ether::HEADER_LEN + headers_len..]),
            protocol::TCP => 16,
            protocol::UDP => 6,
            protocol::ICMP | protocol::ICMPV6 => 2,
            _ => return,
        };
        let info = PacketInfo {
            family: if self.src.is_ipv4() { Family::V4 } else { Family::V6 },
            l3: ether::HEADER_LEN as u16,
            l4: (ether::HEADER_LEN + headers_len) as u16,
            end: u16::try_from(frame.len()).expect("a frame below 64 KiB"),
            protocol: self.protocol,
            ttl: self.ttl,
            tcp_flags: 0,
            sctp: None,
            call: None,
            fragment: Fragment::No,
            sport: 0,
            dport: 0,
            largest_fragment: 0,
            mark: 0,
        };
        let right = match self.protocol {
            protocol::ICMP => checksum::of(info.upper(frame)),
            protocol::UDP => checksum::udp_field(checksum::upper(frame, &info)),
            _ => checksum::upper(frame, &info),
        };
        let check = match self.checksum {
            Checksum::Right => right,
            Checksum::Wrong => right ^ 0x5555,
            Checksum::Absent => 0,
        };
        info.upper_mut(frame)[at..at + 2].copy_from_slice(&check.to_be_bytes());
    }
}

/// Bytes from hexadecimal digits; white space between them counts for nothing.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    assert!(digits.len().is_multiple_of(2), "two hexadecimal digits a byte");
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

/// TCP over IPv4, in a frame.
pub fn eth_ipv4_tcp(src: (&str, u16), dst: (&str, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
    Frame::v4(src.0, dst.0).tcp(src.1, dst.1, flags).payload(payload).build()
}

/// UDP over IPv4, in a frame.
pub fn eth_ipv4_udp(src: (&str, u16), dst: (&str, u16), payload: &[u8]) -> Vec<u8> {
    Frame::v4(src.0, dst.0).udp(src.1, dst.1).payload(payload).build()
}

/// TCP over IPv6, in a frame.
pub fn eth_ipv6_tcp(src: (&str, u16), dst: (&str, u16), flags: u8, payload: &[u8]) -> Vec<u8> {
    Frame::v6(src.0, dst.0).tcp(src.1, dst.1, flags).payload(payload).build()
}

/// UDP over IPv6, in a frame.
pub fn eth_ipv6_udp(src: (&str, u16), dst: (&str, u16), payload: &[u8]) -> Vec<u8> {
    Frame::v6(src.0, dst.0).udp(src.1, dst.1).payload(payload).build()
}

/// The [`PacketInfo`] of a frame that is a valid IP packet.
pub fn info(frame: &[u8]) -> PacketInfo {
    match parse(frame) {
        Ok(Parsed::Ip(info)) => info,
        other => panic!("no IP packet: {other:?}"),
    }
}

/// Recomputes every checksum of a frame: IPv4 header, and TCP, UDP, SCTP, GRE, ICMP or ICMPv6 of a packet that is
/// whole. Says which
/// one is wrong. Tunnelled packets are followed inwards.
pub fn verify_checksums(frame: &[u8]) -> Result<(), String> {
    let info = match parse(frame) {
        Ok(Parsed::Ip(info)) => info,
        Ok(_) => return Ok(()),
        Err(error) => return Err(format!("{error:?}")),
    };
    if info.fragment != Fragment::No {
        return Ok(());
    }
    let right = match info.protocol {
        protocol::TCP => tcp::verify_checksum(frame, &info),
        protocol::UDP => udp::verify_checksum(frame, &info),
        protocol::SCTP => sctp::verify_checksum(info.upper(frame)),
        protocol::ICMP => icmp::verify_checksum(info.upper(frame)),
        protocol::ICMPV6 => icmpv6::verify_checksum(frame, &info),
        protocol::IPIP => return verify_inner(info.upper(frame), Family::V4),
        protocol::IPV6 => return verify_inner(info.upper(frame), Family::V6),
        protocol::GRE => match gre::carries(info.upper(frame)) {
            _ if !gre::verify_checksum(info.upper(frame)) => false,
            Some((family, at)) => return verify_inner(&info.upper(frame)[at..], family),
            None => true,
        },
        _ => true,
    };
    if right { Ok(()) } else { Err(format!("wrong checksum of protocol {}", info.protocol)) }
}

fn verify_inner(packet: &[u8], family: Family) -> Result<(), String> {
    let mut inner = vec![0; ether::HEADER_LEN];
    ether::set_ethertype(&mut inner, if family == Family::V4 { ether::IPV4 } else { ether::IPV6 });
    inner.extend_from_slice(packet);
    verify_checksums(&inner).map_err(|error| format!("inside the tunnel: {error}"))
}
