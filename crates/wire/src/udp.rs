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
