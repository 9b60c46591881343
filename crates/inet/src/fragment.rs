//! Splitting IPv4 packets that are larger than the outgoing MTU and may be fragmented (RFC 791 sections 2.3 and 3.2).
//!
//! Fragments leave in order; the last one is the packet's own buffer. Invariant: their payloads, by offset, are the
//! packet's payload. IPv6 is never fragmented on the way (RFC 8200 section 4.5): its sender is told instead.

use wire::ether::HEADER_LEN as ETHERNET;
use wire::{Family, PacketBuf, PacketInfo, ipv4};

use crate::drop::DropReason;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;
const LONGEST_HEADER: usize = 60;

/// Whether a packet has to be fragmented, or refused, to pass `mtu`.
pub fn exceeds(info: &PacketInfo, mtu: u16) -> bool {
    info.ip_len() > usize::from(mtu)
}

/// Whether a packet's sender allows its fragmentation: IPv4 without DF.
pub fn may_fragment(frame: &[u8], info: &PacketInfo) -> bool {
    info.family == Family::V4 && flags(frame, usize::from(info.l3)) & DONT_FRAGMENT == 0
}

/// Splits `packet` into fragments of at most `mtu` bytes each and passes them to `emit` in order.
///
/// `alloc` gives empty buffers. `info` is the packet's; its IP header checksum need not be right. A packet that fits
/// is emitted as it is. Returns how many were emitted.
///
/// # Errors
/// The packet, with [`DropReason::MtuExceeded`] untouched if it must not be fragmented or `mtu` has no room for a
/// header and eight bytes, or with [`DropReason::NoMbuf`] when no buffer was left: what was emitted so far is lost to its
/// receiver.
pub fn fragment<B: PacketBuf>(
    mut packet: B,
    info: &PacketInfo,
    mtu: u16,
    mut alloc: impl FnMut() -> Option<B>,
    mut emit: impl FnMut(B),
) -> Result<usize, (B, DropReason)> {
    if !exceeds(info, mtu) {
        emit(packet);
        return Ok(1);
    }
    let (l3, end) = (usize::from(info.l3), usize::from(info.end));
    let frame = packet.bytes();
    let header_len = usize::from(frame[l3] & 0xf) * 4;
    let room = usize::from(mtu).saturating_sub(header_len) / 8 * 8;
    let payload_len = (end - l3).saturating_sub(header_len);
    if !may_fragment(frame, info) || room == 0 || header_len < 20 || l3 < ETHERNET || payload_len == 0 {
        return Err((packet, DropReason::MtuExceeded));
    }
    packet.truncate(end);
    packet.adj(l3 - ETHERNET);
    // Ethernet and IP header of every fragment: taken once, options reduced behind the first.
    let mut head = [0; ETHERNET + LONGEST_HEADER];
    let head = &mut head[..ETHERNET + header_len];
    head.copy_from_slice(&packet.bytes()[..ETHERNET + header_len]);
    let original = flags(head, ETHERNET);

    let count = payload_len.div_ceil(room);
    for index in 0..count - 1 {
        let Some(mut piece) = alloc() else { return Err((packet, DropReason::NoMbuf)) };
        let start = head.len() + index * room;
        write_head(head, original, index * room, room, true);
        if piece.append(head.len() + room).is_err() {
            return Err((packet, DropReason::NoMbuf));
        }
        let (piece_head, piece_payload) = piece.bytes_mut().split_at_mut(head.len());
        piece_head.copy_from_slice(head);
        piece_payload.copy_from_slice(&packet.bytes()[start..start + room]);
        emit(piece);
        if index == 0 {
            keep_copied_options(&mut head[ETHERNET + 20..]);
        }
    }
    let cut = (count - 1) * room;
    write_head(head, original, cut, payload_len - cut, false);
    packet.adj(cut);
    packet.bytes_mut()[..head.len()].copy_from_slice(head);
    emit(packet);
    Ok(count)
}

fn flags(frame: &[u8], l3: usize) -> u16 {
    u16::from_be_bytes([frame[l3 + 6], frame[l3 + 7]])
}

/// Length, flags and offset of the fragment whose payload starts `start` bytes into the packet's. The packet may itself
/// be a fragment: its own offset counts on, and its own "more" stays on the last.
fn write_head(head: &mut [u8], original: u16, start: usize, payload_len: usize, more: bool) {
    let header = &mut head[ETHERNET..];
    let more = if more { MORE_FRAGMENTS } else { original & MORE_FRAGMENTS };
    let offset = (original & OFFSET) + (start / 8) as u16;
    let total_len = (header.len() + payload_len) as u16;
    header[2..4].copy_from_slice(&total_len.to_be_bytes());
    header[6..8].copy_from_slice(&(more | offset & OFFSET).to_be_bytes());
    ipv4::fill_checksum(header);
}

/// Makes options that belong to the first fragment only into no-operations (RFC 791 section 3.1: the copied flag), so that
/// the header keeps its length. What is malformed stays as it is.
fn keep_copied_options(options: &mut [u8]) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut at = 0;
    while at < options.len() && options[at] != END {
        let len = match options[at] {
            NO_OPERATION => 1,
            _ => match options.get(at + 1) {
                Some(&len) if len >= 2 && at + usize::from(len) <= options.len() => usize::from(len),
                _ => return,
            },
        };
        if options[at] & COPIED == 0 {
            options[at..at + len].fill(NO_OPERATION);
        }
        at += len;
    }
}

#[cfg(test)]
mod tests;
