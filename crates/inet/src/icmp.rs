//! ICMP and ICMPv6 that the director makes: errors about a packet, in that packet's own buffer, and echo replies.
//!
//! As Linux does it: what an error may be about (RFC 1122 3.2.2, RFC 4443 2.4), how much it quotes (IPv4: 576 bytes in
//! all, RFC 1812 4.3.2.3; IPv6: 1280), its type of service (the packet's with precedence "internetwork control",
//! RFC 1812 4.3.2.5), TTL 64, no DF, traffic class and flow label 0, no options.

use core::net::IpAddr;

use wire::{Family, Fragment, PacketBuf, PacketInfo};

use crate::bytes::{self, ETHERNET, ICMP, ICMPV6, IPV4, IPV6};
use crate::net::{Net, is_host_addr};

const TTL: u8 = 64;
const HEADER: usize = 8;
/// Most bytes of an IPv4 error, its IP header included.
const MOST_V4: usize = 576;
/// Most bytes of an IPv6 error, its IP header included.
const MOST_V6: usize = 1280;

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
/// was sent to if it is ours, else the one that packets of ours to its sender carry. `id` is the IPv4 id.
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
    let source = source.or_else(|| if net.own(from).is_some() { Some(from) } else { net.source_to(to) })?;
    let (ip_header, most) = if info.family == Family::V4 { (IPV4, MOST_V4) } else { (IPV6, MOST_V6) };
    if source.is_ipv4() != to.is_ipv4() {
        return None;
    }
    let l3 = usize::from(info.l3);
    let tos = frame[l3 + 1];
    let macs: [u8; 12] = frame[..12].try_into().ok()?;
    let quoted = (usize::from(info.end) - l3).min(most - ip_header - HEADER);
    let front = ETHERNET + ip_header + HEADER;
    // Before anything is written, so that a packet without room stays as it was.
    if front > l3 {
        buf.prepend(front - l3).ok()?;
    } else {
        buf.adj(l3 - front);
    }
    buf.truncate(front + quoted);

    let frame = buf.bytes_mut();
    bytes::swapped_ethernet(frame, &macs, info.family);
    let (header, message) = frame[ETHERNET..].split_at_mut(ip_header);
    let (kind, code, rest) = kind.message(info.family);
    message[..4].copy_from_slice(&[kind, code, 0, 0]);
    message[4..8].copy_from_slice(&rest);
    let (protocol, pseudo) = match info.family {
        Family::V4 => (ICMP, 0),
        Family::V6 => (ICMPV6, bytes::pseudo_sum(source, to, message.len(), ICMPV6)),
    };
    let checksum = bytes::checksum(pseudo, message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    match (source, to) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            // The low bit of the TOS field belongs to ECN and the unused bit: Linux clears it.
            let head = bytes::Ipv4Head { tos: tos & 0x1e | 0xc0, id, ttl: TTL, protocol, src, dst };
            head.write(header, HEADER + quoted);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            bytes::write_ipv6(header, HEADER + quoted, protocol, TTL, src, dst)
        }
        _ => return None,
    }
    Some(())
}

/// Whether an error of this kind may be sent about a packet.
fn may_answer(net: &Net, frame: &[u8], info: &PacketInfo, kind: IcmpError) -> bool {
    let (src, dst) = (info.src(frame), info.dst(frame));
    if !is_host_addr(src) || net.is_broadcast_or_multicast(src) || usize::from(info.l3) < ETHERNET {
        return false;
    }
    let to_group = frame[0] & 1 != 0 || net.is_broadcast_or_multicast(dst);
    let inner_type = frame.get(usize::from(info.l4)).copied().filter(|_| info.l4 < info.end);
    match info.family {
        Family::V4 => {
            let about_error = || info.protocol == ICMP && !inner_type.is_some_and(is_icmp_query);
            !to_group && info.fragment != Fragment::Later && !about_error()
        }
        Family::V6 => {
            let queries = |kind: u8| kind & 0x80 != 0 && kind != REDIRECT;
            let ineligible = info.protocol == ICMPV6
                && (info.fragment == Fragment::Later || !inner_type.is_some_and(queries));
            // A group may be told about its path MTU (RFC 4443 2.4 e.3).
            let to_group = to_group && kind.message(Family::V6).0 != 2;
            !to_group && !ineligible
        }
    }
}

const REDIRECT: u8 = 137;
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;
const ECHO_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// Whether an ICMP type is known and not an error.
fn is_icmp_query(kind: u8) -> bool {
    matches!(kind, 0 | 8..=10 | 13..=18)
}

/// Whether the checksum of an ICMP or ICMPv6 message is right. Not for fragments.
pub fn checksum_ok(frame: &[u8], info: &PacketInfo) -> bool {
    let Some(message) = frame.get(usize::from(info.l4)..usize::from(info.end)) else { return false };
    let pseudo = match info.family {
        Family::V4 => 0,
        Family::V6 => bytes::pseudo_sum(info.src(frame), info.dst(frame), message.len(), ICMPV6),
    };
    message.len() >= 4 && bytes::checksum(pseudo, message) == 0
}

/// Turns an echo request to one of our own addresses into its reply, in place.
///
/// False, and the packet as it was, if it is none that can be answered here: a fragment, one with IP options or extension
/// headers, from a source that cannot be a host's, to a group, or with a wrong checksum. The first two are the host's to answer.
pub fn echo_reply<B: PacketBuf>(buf: &mut B, info: &PacketInfo) -> bool {
    let frame = buf.bytes();
    let (l3, l4, end) = (usize::from(info.l3), usize::from(info.l4), usize::from(info.end));
    let (protocol, request, reply, ip_header) = match info.family {
        Family::V4 => (ICMP, ECHO, ECHO_REPLY, IPV4),
        Family::V6 => (ICMPV6, ECHO_V6, ECHO_REPLY_V6, IPV6),
    };
    let (src, dst) = (info.src(frame), info.dst(frame));
    let plain =
        info.protocol == protocol && info.fragment == Fragment::No && l3 >= ETHERNET && l4 == l3 + ip_header;
    if !plain || l4 + HEADER > end || frame[l4] != request || frame[0] & 1 != 0 {
        return false;
    }
    if !is_host_addr(src) || !is_host_addr(dst) || !checksum_ok(frame, info) {
        return false;
    }
    let macs: [u8; 12] = frame[..12].try_into().expect("12 bytes");
    buf.truncate(end);
    buf.adj(l3 - ETHERNET);
    let frame = buf.bytes_mut();
    bytes::swapped_ethernet(frame, &macs, info.family);
    let (header, message) = frame[ETHERNET..].split_at_mut(ip_header);
    message[0] = reply;
    message[2..4].fill(0);
    let pseudo = match info.family {
        Family::V4 => 0,
        Family::V6 => bytes::pseudo_sum(dst, src, message.len(), ICMPV6),
    };
    let checksum = bytes::checksum(pseudo, message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let payload = message.len();
    match (dst, src) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let id = u16::from_be_bytes([header[4], header[5]]);
            bytes::Ipv4Head { tos: header[1], id, ttl: TTL, protocol, src: from, dst: to }
                .write(header, payload);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => bytes::write_ipv6(header, payload, protocol, TTL, from, to),
        _ => unreachable!("one packet, one family"),
    }
    true
}

#[cfg(test)]
mod tests;
