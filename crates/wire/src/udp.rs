//! UDP headers (RFC 768). Slices start at the header.

use crate::checksum;
use crate::field::{get_u16, put_u16};
use crate::info::{Family, PacketInfo};

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 8;

/// Source port.
#[inline]
pub fn sport(udp: &[u8]) -> u16 {
    get_u16(udp, 0)
}

/// Destination port.
#[inline]
pub fn dport(udp: &[u8]) -> u16 {
    get_u16(udp, 2)
}

/// Length of header and data, in bytes.
#[inline]
pub fn len(udp: &[u8]) -> u16 {
    get_u16(udp, 4)
}

/// Checksum field; 0: there is none.
#[inline]
pub fn checksum(udp: &[u8]) -> u16 {
    get_u16(udp, 6)
}

/// Sets the checksum field.
#[inline]
pub fn set_checksum(udp: &mut [u8], check: u16) {
    put_u16(udp, 6, check);
}

/// Whether the checksum is right, or absent where it may be: over IPv4.
#[inline]
pub fn verify_checksum(frame: &[u8], info: &PacketInfo) -> bool {
    match checksum(info.upper(frame)) {
        0 => info.family == Family::V4,
        _ => checksum::upper(frame, info) == 0,
    }
}

/// Computes the checksum afresh.
pub fn fill_checksum(frame: &mut [u8], info: &PacketInfo) {
    set_checksum(info.upper_mut(frame), 0);
    let check = checksum::upper(frame, info);
    set_checksum(info.upper_mut(frame), checksum::udp_field(check));
}

/// Writes a header, [`HEADER_LEN`] bytes, with checksum 0. `payload_len` is at most 65527.
pub fn write(udp: &mut [u8], sport: u16, dport: u16, payload_len: usize) {
    put_u16(udp, 0, sport);
    put_u16(udp, 2, dport);
    put_u16(udp, 4, (HEADER_LEN + payload_len) as u16);
    put_u16(udp, 6, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frame, info};

    #[test]
    fn absent_checksums_are_for_ipv4_only() {
        for (name, frame, want) in [
            ("v4 right", Frame::v4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(b"abc").build(), true),
            (
                "v4 wrong",
                Frame::v4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(b"abc").bad_checksum().build(),
                false,
            ),
            (
                "v4 absent",
                Frame::v4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(b"abc").no_checksum().build(),
                true,
            ),
            ("v6 right", Frame::v6("::1", "::2").udp(1, 2).payload(b"abc").build(), true),
            ("v6 absent", Frame::v6("::1", "::2").udp(1, 2).payload(b"abc").no_checksum().build(), false),
        ] {
            assert_eq!(verify_checksum(&frame, &info(&frame)), want, "{name}");
        }
    }

    #[test]
    fn computed_zero_is_sent_as_all_ones() {
        // This payload makes the sum 0xffff.
        let mut frame = Frame::v4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(&[0, 0]).build();
        let info = info(&frame);
        let missing = checksum(info.upper(&frame));
        frame[42..44].copy_from_slice(&missing.to_be_bytes());
        fill_checksum(&mut frame, &info);
        assert_eq!(checksum(info.upper(&frame)), 0xffff);
        assert!(verify_checksum(&frame, &info));
    }

    #[test]
    fn bytes_behind_the_udp_length_are_not_covered() {
        let mut frame = Frame::v4("10.0.0.1", "10.0.0.2").udp(1, 2).payload(b"abcdef").build();
        frame[14 + 20 + 5] -= 2;
        let info = info(&frame);
        fill_checksum(&mut frame, &info);
        frame[14 + 20 + 8 + 5] ^= 0xff;
        assert!(verify_checksum(&frame, &info));
        frame[14 + 20 + 8 + 3] ^= 0xff;
        assert!(!verify_checksum(&frame, &info));
    }
}
