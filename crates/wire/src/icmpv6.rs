//! ICMPv6 (RFC 4443). Slices start at the ICMPv6 header and end with the packet; the layout is that of [`crate::icmp`].

use crate::checksum;
use crate::field::{get_u32, put_u16};
use crate::info::{Family, Fragment, PacketInfo};
use crate::{ether, ipv6, protocol};

pub use crate::icmp::{HEADER_LEN, checksum, code, echo_id, echo_seq, kind, rest, set_kind, write};

/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Type: larger than the next MTU, which [`mtu`] tells.
pub const PACKET_TOO_BIG: u8 = 2;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 129;
/// Type: router solicitation (RFC 4861).
pub const ROUTER_SOLICITATION: u8 = 133;
/// Type: router advertisement (RFC 4861).
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Type: neighbour solicitation (RFC 4861).
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
/// Type: neighbour advertisement (RFC 4861).
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Type: a better router (RFC 4861).
pub const REDIRECT: u8 = 137;

/// Code of [`UNREACHABLE`]: no route.
pub const NO_ROUTE: u8 = 0;
/// Code of [`UNREACHABLE`]: a filter forbids it.
pub const PROHIBITED: u8 = 1;
/// Code of [`UNREACHABLE`]: the neighbour does not answer.
pub const ADDRESS_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: port.
pub const PORT_UNREACHABLE: u8 = 4;
/// Code of [`TIME_EXCEEDED`]: the hop limit ran out on the way.
pub const HOP_LIMIT_EXCEEDED: u8 = 0;
/// Code of [`TIME_EXCEEDED`]: fragments were missing for too long.
pub const REASSEMBLY_EXCEEDED: u8 = 1;
/// Code of [`PARAMETER_PROBLEM`]: an unknown next header.
pub const UNKNOWN_NEXT_HEADER: u8 = 1;

/// MTU of [`PACKET_TOO_BIG`], in bytes.
#[inline]
pub fn mtu(icmp: &[u8]) -> u32 {
    get_u32(icmp, 4)
}

/// Whether packets of this type quote a packet: all errors do (RFC 4443, 2.1), of which we know these.
#[inline]
pub const fn quotes(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | PACKET_TOO_BIG | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether the checksum is right.
#[inline]
pub fn verify_checksum(frame: &[u8], info: &PacketInfo) -> bool {
    checksum::upper(frame, info) == 0
}

/// Where the parts of a frame lie that is one ICMPv6 message without extension headers, `len` bytes in all: of one that we write.
pub fn written_info(len: usize, hop_limit: u8) -> PacketInfo {
    PacketInfo {
        family: Family::V6,
        l3: ether::HEADER_LEN as u16,
        l4: (ether::HEADER_LEN + ipv6::HEADER_LEN) as u16,
        end: len as u16,
        protocol: protocol::ICMPV6,
        ttl: hop_limit,
        tcp_flags: 0,
        sctp: None,
        call: None,
        fragment: Fragment::No,
        sport: 0,
        dport: 0,
        largest_fragment: 0,
        mark: 0,
    }
}

/// Computes the checksum afresh.
pub fn fill_checksum(frame: &mut [u8], info: &PacketInfo) {
    put_u16(info.upper_mut(frame), 2, 0);
    let check = checksum::upper(frame, info);
    put_u16(info.upper_mut(frame), 2, check);
}
