//! ICMP and ICMPv6 that the director makes: errors about a packet, in that packet's own buffer, and echo replies.
//!
//! As Linux does it: what an error may be about (RFC 1122 3.2.2, RFC 4443 2.4), how much it quotes (IPv4: 576 bytes in
//! all, RFC 1812 4.3.2.3; IPv6: 1280), its type of service (the packet's with precedence "internetwork control",
//! RFC 1812 4.3.2.5), TTL 64, no DF, traffic class and flow label 0, no options.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::MacAddr;
use wire::icmp::HEADER_LEN;
use wire::{Family, Fragment, PacketBuf, PacketInfo, ether, icmp, icmpv6, ipv4, ipv6, protocol};

use crate::net::{Net, is_host_addr};

const TTL: u8 = 64;
/// Most bytes of an IPv4 error, its IP header included.
const MOST_V4: usize = 576;

/// What to tell a packet's sender. Neutral as to family; in comments: type/code of ICMP and of ICMPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// No route: 3/0, 1/0.
    NetUnreachable,
    /// The next hop does not answer: 3/1, 1/3.
    HostUnreachable,
    /// Nobody serves it: 3/3, 1/4.
    PortUnreachable,
    /// Forbidden: 3/13, 1/1.
    AdminProhibited,
    /// Larger than the way on and not to be fragmented: 3/4, 2/0.
    FragmentationNeeded {
        /// The largest packet, in bytes, that would have passed.
        mtu: u16,
    },
    /// TTL or hop limit ran out: 11/0, 3/0.
    TimeExceeded,
    /// Fragments stayed away: 11/1, 3/1.
    ReassemblyTimeExceeded,
    /// An error that another router sent, passed on.
    Other {
        /// ICMP or ICMPv6 type.
        kind: u8,
        /// Code.
        code: u8,
        /// The four bytes behind the checksum.
        rest: [u8; 4],
    },
}

impl IcmpError {
    /// Type, code and the four bytes behind the checksum.
    fn message(self, family: Family) -> (u8, u8, [u8; 4]) {
        let plain = |v4: (u8, u8), v6: (u8, u8)| {
            let (kind, code) = if family == Family::V4 { v4 } else { v6 };
            (kind, code, [0; 4])
        };
        match self {
            Self::NetUnreachable => plain((3, 0), (1, 0)),
            Self::HostUnreachable => plain((3, 1), (1, 3)),
            Self::PortUnreachable => plain((3, 3), (1, 4)),
            Self::AdminProhibited => plain((3, 13), (1, 1)),
            Self::TimeExceeded => plain((11, 0), (3, 0)),
            Self::ReassemblyTimeExceeded => plain((11, 1), (3, 1)),
            // The MTU is the low half in ICMP (RFC 1191) and the whole word in ICMPv6.
            Self::FragmentationNeeded { mtu } => {
                let (kind, code, _) = plain((3, 4), (2, 0));
                (kind, code, u32::from(mtu).to_be_bytes())
            }
            Self::Other { kind, code, rest } => (kind, code, rest),
        }
    }
}

/// Turns a packet into the ICMP error about itself, addressed to its source, in place.
///
/// `info` is that of the packet as it lies in `buf`. `source` is the error's source; none: the address that the packet
/// was sent to if it is ours, else the one that packets of ours to its sender carry, which is the sender's own if that is us. `id` is the IPv4 id.
///
/// None, and the packet as it was, if no error may be sent about it, no source can be found, or the buffer has no room.
/// Afterwards the packet is whole but for its hardware addresses, which are the old ones swapped: route it and send it.
pub fn error<B: PacketBuf>(
    net: &Net,
    buf: &mut B,
    info: &PacketInfo,
    kind: IcmpError,
    source: Option<IpAddr>,
    id: u16,
) -> Option<()> {
    let frame = buf.bytes();
    if !may_answer(net, frame, info, kind) {
        return None;
    }
    let (from, to) = (info.dst(frame), info.src(frame));
    let source = source.or_else(|| {
        let own = [from, to].into_iter().find(|addr| net.own(*addr).is_some());
        own.or_else(|| net.source_to(to))
    })?;
    let head = Head::new(source, to, ipv4::tos(info.ip(frame)), id)?;
    let (to_mac, from_mac) = (ether::src(frame), ether::dst(frame));
    let l4 = ether::HEADER_LEN + head.len();
    let quoted = info.ip_len().min(head.most() - head.len() - HEADER_LEN);
    // Room first, before anything is written: a packet without stays as it was.
    make_front(buf, usize::from(info.l3), l4 + HEADER_LEN)?;
    buf.truncate(l4 + HEADER_LEN + quoted);
    let (kind, code, rest) = kind.message(info.family);
    let frame = buf.bytes_mut();
    icmp::write(&mut frame[l4..], kind, code, u32::from_be_bytes(rest));
    head.write(frame, to_mac, from_mac);
    Some(())
}

/// Gives what starts at `l3` exactly `front` bytes before it.
fn make_front<B: PacketBuf>(buf: &mut B, l3: usize, front: usize) -> Option<()> {
    if front > l3 {
        buf.prepend(front - l3).ok()?;
    } else {
        buf.adj(l3 - front);
    }
    Some(())
}

/// The IP header of an ICMP message of ours.
#[derive(Clone, Copy)]
enum Head {
    V4(ipv4::Header),
    V6(ipv6::Header),
}

impl Head {
    /// For an error; none if the addresses are of different families.
    fn new(src: IpAddr, dst: IpAddr, tos: u8, id: u16) -> Option<Self> {
        match (src, dst) {
            // Linux keeps the four service bits of RFC 1349 and clears what is below.
            (IpAddr::V4(src), IpAddr::V4(dst)) => Some(Self::v4(src, dst, tos & 0x1e | 0xc0, id)),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Some(Self::v6(src, dst, 0)),
            _ => None,
        }
    }

    fn v4(src: Ipv4Addr, dst: Ipv4Addr, tos: u8, id: u16) -> Self {
        let protocol = protocol::ICMP;
        Self::V4(ipv4::Header { src, dst, protocol, ttl: TTL, tos, id, dont_fragment: false, payload_len: 0 })
    }

    fn v6(src: Ipv6Addr, dst: Ipv6Addr, traffic_class: u8) -> Self {
        let next_header = protocol::ICMPV6;
        let hop_limit = TTL;
        Self::V6(ipv6::Header {
            src,
            dst,
            next_header,
            hop_limit,
            traffic_class,
            flow_label: 0,
            payload_len: 0,
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::V4(_) => ipv4::HEADER_LEN,
            Self::V6(_) => ipv6::HEADER_LEN,
        }
    }

    /// Most bytes of an error, this header included.
    fn most(&self) -> usize {
        match self {
            Self::V4(_) => MOST_V4,
            Self::V6(_) => usize::from(ipv6::MIN_MTU),
        }
    }

    /// Writes Ethernet and IP header before the message that fills the rest of `frame`, and the message's checksum.
    fn write(self, frame: &mut [u8], to: MacAddr, from: MacAddr) {
        let payload_len = frame.len().saturating_sub(ether::HEADER_LEN + self.len());
        match self {
            Self::V4(head) => {
                ether::write(frame, &to, &from, ether::IPV4);
                let (header, message) = frame[ether::HEADER_LEN..].split_at_mut(ipv4::HEADER_LEN);
                ipv4::Header { payload_len, ..head }.write(header);
                icmp::fill_checksum(message);
            }
            Self::V6(head) => {
                ether::write(frame, &to, &from, ether::IPV6);
                ipv6::Header { payload_len, ..head }.write(&mut frame[ether::HEADER_LEN..]);
                icmpv6::fill_checksum(frame, &icmpv6::written_info(frame.len(), TTL));
            }
        }
    }
}

/// Whether an error of this kind may be sent about a packet.
fn may_answer(net: &Net, frame: &[u8], info: &PacketInfo, kind: IcmpError) -> bool {
    let (src, dst) = (info.src(frame), info.dst(frame));
    if !is_host_addr(src) || net.is_broadcast_or_multicast(src) || usize::from(info.l3) < ether::HEADER_LEN {
        return false;
    }
    let to_group = ether::dst(frame).is_multicast() || net.is_broadcast_or_multicast(dst);
    let inner = info.upper(frame);
    let is_query = |query: fn(u8) -> bool| !inner.is_empty() && query(icmp::kind(inner));
    match info.family {
        Family::V4 => {
            let about_error = info.protocol == protocol::ICMP && !is_query(is_icmp_query);
            !to_group && info.fragment != Fragment::Later && !about_error
        }
        Family::V6 => {
            let about_error = info.protocol == protocol::ICMPV6
                && (info.fragment == Fragment::Later || !is_query(is_icmpv6_query));
            // A group may be told about its path MTU (RFC 4443 2.4 e.3).
            let to_group = to_group && kind.message(Family::V6).0 != icmpv6::PACKET_TOO_BIG;
            !to_group && !about_error
        }
    }
}

/// Whether an ICMP type is known and not an error.
fn is_icmp_query(kind: u8) -> bool {
    matches!(kind, 0 | 8..=10 | 13..=18)
}

/// Whether an ICMPv6 type is informational (RFC 4443 2.1); a redirect is not to be answered either (2.4 e.2).
fn is_icmpv6_query(kind: u8) -> bool {
    kind >= 128 && kind != icmpv6::REDIRECT
}

/// Whether the checksum of an ICMP or ICMPv6 message is right. Not for fragments.
pub fn checksum_ok(frame: &[u8], info: &PacketInfo) -> bool {
    info.upper_len() >= HEADER_LEN
        && match info.family {
            Family::V4 => icmp::verify_checksum(info.upper(frame)),
            Family::V6 => icmpv6::verify_checksum(frame, info),
        }
}

/// Turns an echo request to one of our own addresses into its reply, in place.
///
/// False, and the packet as it was, if it is none that can be answered here: a fragment, one with IP options or extension
/// headers, from a source that cannot be a host's, to a group, or with a wrong checksum. The first two are the host's to answer.
pub fn echo_reply<B: PacketBuf>(buf: &mut B, info: &PacketInfo) -> bool {
    let frame = buf.bytes();
    let (src, dst) = (info.src(frame), info.dst(frame));
    let ip = info.ip(frame);
    let (protocol, request, reply, head) = match (dst, src) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let head = Head::v4(from, to, ipv4::tos(ip), ipv4::id(ip));
            (protocol::ICMP, icmp::ECHO_REQUEST, icmp::ECHO_REPLY, head)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let head = Head::v6(from, to, ipv6::traffic_class(ip));
            (protocol::ICMPV6, icmpv6::ECHO_REQUEST, icmpv6::ECHO_REPLY, head)
        }
        _ => return false,
    };
    let (l3, l4) = (usize::from(info.l3), usize::from(info.l4));
    let plain = info.protocol == protocol && info.fragment == Fragment::No && l4 == l3 + head.len();
    let asks = plain && l3 >= ether::HEADER_LEN && icmp::kind(info.upper(frame)) == request;
    if !asks || !checksum_ok(frame, info) || ether::dst(frame).is_multicast() {
        return false;
    }
    if !is_host_addr(src) || !is_host_addr(dst) {
        return false;
    }
    let (to_mac, from_mac) = (ether::src(frame), ether::dst(frame));
    buf.truncate(usize::from(info.end));
    buf.adj(l3 - ether::HEADER_LEN);
    let frame = buf.bytes_mut();
    frame[ether::HEADER_LEN + head.len()] = reply;
    head.write(frame, to_mac, from_mac);
    true
}

#[cfg(test)]
mod tests;
