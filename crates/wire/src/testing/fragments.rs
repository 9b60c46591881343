//! Datagrams in fragments, as a sender cuts them.

use super::info;
use crate::{Family, ipv4, ipv6, protocol};

/// The identification that IPv6 fragments get; those of IPv4 have their packet's.
pub const FRAGMENT_ID: u32 = 0x4242;

/// The fragment of the whole packet `frame` with `len` bytes from `start` on of what may be fragmented. IPv6: all but
/// hop-by-hop options.
pub fn fragment(frame: &[u8], start: usize, len: usize, more: bool) -> Vec<u8> {
    let at = fragmentable_at(frame);
    let mut piece = frame[..at].to_vec();
    if info(frame).family == Family::V4 {
        piece.extend_from_slice(&frame[at + start..][..len]);
        ipv4::set_total_len(&mut piece[14..], (at - 14 + len) as u16);
        ipv4::set_fragment(&mut piece[14..], start, more);
        return piece;
    }
    let announced_at = if at > 54 { 54 } else { 20 };
    let next_header = core::mem::replace(&mut piece[announced_at], protocol::FRAGMENT);
    piece.extend_from_slice(&[next_header, 0]);
    piece.extend_from_slice(&(start as u16 | u16::from(more)).to_be_bytes());
    piece.extend_from_slice(&FRAGMENT_ID.to_be_bytes());
    piece.extend_from_slice(&frame[at + start..][..len]);
    let payload_len = (piece.len() - 54) as u16;
    ipv6::set_payload_len(&mut piece[14..], payload_len);
    piece
}

/// Where what may be fragmented starts in a frame.
pub fn fragmentable_at(frame: &[u8]) -> usize {
    match info(frame).family {
        Family::V4 => 14 + ipv4::header_len(&frame[14..]),
        Family::V6 if frame[20] == protocol::HOP_BY_HOP => 62,
        Family::V6 => 54,
    }
}

/// All fragments of a packet, the sizes of all but the last given, without headers.
pub fn fragments(frame: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let len = frame.len() - fragmentable_at(frame);
    let mut pieces = Vec::new();
    let mut at = 0;
    for &size in sizes {
        pieces.push(fragment(frame, at, size, true));
        at += size;
    }
    pieces.push(fragment(frame, at, len - at, false));
    pieces
}
