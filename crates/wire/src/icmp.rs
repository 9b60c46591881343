//! ICMP for IPv4 (RFC 792). Slices start at the ICMP header and end with the packet.

use crate::checksum;
use crate::field::{get_u8, get_u16, get_u32, put_u8, put_u16, put_u32};

/// Length of the header, in bytes. What an error quotes starts behind it.
pub const HEADER_LEN: usize = 8;

/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type: source quench (RFC 6633 retired it; IPVS still passes it on).
pub const SOURCE_QUENCH: u8 = 4;
/// Type: a better router.
pub const REDIRECT: u8 = 5;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;

/// Code of [`UNREACHABLE`]: network.
pub const NET_UNREACHABLE: u8 = 0;
/// Code of [`UNREACHABLE`]: host.
pub const HOST_UNREACHABLE: u8 = 1;
/// Code of [`UNREACHABLE`]: protocol.
pub const PROTOCOL_UNREACHABLE: u8 = 2;
/// Code of [`UNREACHABLE`]: port.
pub const PORT_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: larger than the next MTU, which [`mtu`] tells, and not to be fragmented (RFC 1191).
pub const FRAG_NEEDED: u8 = 4;
/// Code of [`UNREACHABLE`]: a filter forbids it (RFC 1812).
pub const PROHIBITED: u8 = 13;
/// Code of [`TIME_EXCEEDED`]: the time to live ran out on the way.
pub const TTL_EXCEEDED: u8 = 0;
/// Code of [`TIME_EXCEEDED`]: fragments were missing for too long.
pub const REASSEMBLY_EXCEEDED: u8 = 1;

/// Type.
#[inline]
pub fn kind(icmp: &[u8]) -> u8 {
    get_u8(icmp, 0)
}

/// Code.
#[inline]
pub fn code(icmp: &[u8]) -> u8 {
    get_u8(icmp, 1)
}

/// Checksum field.
#[inline]
pub fn checksum(icmp: &[u8]) -> u16 {
    get_u16(icmp, 2)
}

/// The four bytes behind the checksum, whose meaning the type decides.
#[inline]
pub fn rest(icmp: &[u8]) -> u32 {
    get_u32(icmp, 4)
}

/// Next MTU of [`FRAG_NEEDED`], in bytes; 0 from routers older than RFC 1191.
#[inline]
pub fn mtu(icmp: &[u8]) -> u16 {
    get_u16(icmp, 6)
}

/// Identifier of an echo.
#[inline]
pub fn echo_id(icmp: &[u8]) -> u16 {
    get_u16(icmp, 4)
}

/// Sequence number of an echo.
#[inline]
pub fn echo_seq(icmp: &[u8]) -> u16 {
    get_u16(icmp, 6)
}

/// Whether packets of this type quote a packet.
#[inline]
pub const fn quotes(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// Whether the checksum is right.
#[inline]
pub fn verify_checksum(icmp: &[u8]) -> bool {
    checksum::of(icmp) == 0
}

/// Computes the checksum afresh.
pub fn fill_checksum(icmp: &mut [u8]) {
    put_u16(icmp, 2, 0);
    let check = checksum::of(icmp);
    put_u16(icmp, 2, check);
}

/// Sets the type; the checksum follows.
pub fn set_kind(icmp: &mut [u8], new: u8) {
    let [old, code] = [kind(icmp), code(icmp)];
    let delta =
        checksum::Delta::default().u16(u16::from_be_bytes([old, code]), u16::from_be_bytes([new, code]));
    put_u8(icmp, 0, new);
    put_u16(icmp, 2, delta.apply(checksum(icmp)));
}

/// Writes a header, [`HEADER_LEN`] bytes, with checksum 0: that is filled when the data stands behind it.
pub fn write(icmp: &mut [u8], kind: u8, code: u8, rest: u32) {
    put_u8(icmp, 0, kind);
    put_u8(icmp, 1, code);
    put_u16(icmp, 2, 0);
    put_u32(icmp, 4, rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_becomes_its_reply() {
        let mut icmp = vec![0; HEADER_LEN];
        write(&mut icmp, ECHO_REQUEST, 0, 0x1234_0007);
        icmp.extend(b"payload");
        fill_checksum(&mut icmp);
        assert!(verify_checksum(&icmp));
        assert_eq!((echo_id(&icmp), echo_seq(&icmp)), (0x1234, 7));
        set_kind(&mut icmp, ECHO_REPLY);
        assert_eq!((kind(&icmp), code(&icmp), rest(&icmp)), (ECHO_REPLY, 0, 0x1234_0007));
        assert!(verify_checksum(&icmp));
        icmp[10] ^= 1;
        assert!(!verify_checksum(&icmp));
    }

    #[test]
    fn fragmentation_needed_tells_the_mtu() {
        let mut icmp = vec![0; HEADER_LEN];
        write(&mut icmp, UNREACHABLE, FRAG_NEEDED, 1480);
        assert_eq!(mtu(&icmp), 1480);
        write(&mut icmp, crate::icmpv6::PACKET_TOO_BIG, 0, 0x0001_0000);
        assert_eq!(crate::icmpv6::mtu(&icmp), 65536);
    }
}
