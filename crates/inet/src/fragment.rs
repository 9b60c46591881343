//! Splitting packets that are larger than the outgoing MTU: IPv4 that may be fragmented on its way (RFC 791 sections 2.3
//! and 3.2), and IPv6 where it is made (RFC 8200 section 4.5).
//!
//! Fragments leave in order, each in a buffer of its own: the packet's may be a large one of few. Invariant: their payloads, by offset, are the
//! packet's payload. IPv6 is never fragmented on the way: its sender is told instead. But a tunnel's entry is the source
//! of its packets, and has to fragment what must go through (RFC 2473 section 7).

use wire::ether::HEADER_LEN as ETHERNET;
use wire::ipv6::FragmentHeader;
use wire::{Family, Fragment, PacketBuf, PacketInfo, ipv4, ipv6, protocol};

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
    packet: B,
    info: &PacketInfo,
    mtu: u16,
    alloc: impl FnMut() -> Option<B>,
    emit: impl FnMut(B),
) -> Result<usize, (B, DropReason)> {
    match HeadV4::of(packet.bytes(), info) {
        Some(head) if may_fragment(packet.bytes(), info) => split(packet, info, mtu, head, alloc, emit),
        _ => whole(packet, info, mtu, emit),
    }
}

/// As [`fragment`], for an IPv6 packet of our own making, whose fragments carry the identification `id`.
///
/// # Errors
/// As [`fragment`]; [`DropReason::MtuExceeded`] also for what we never make: another family, a packet with extension headers.
pub fn fragment_own<B: PacketBuf>(
    packet: B,
    info: &PacketInfo,
    mtu: u16,
    id: u32,
    alloc: impl FnMut() -> Option<B>,
    emit: impl FnMut(B),
) -> Result<usize, (B, DropReason)> {
    match HeadV6::of(packet.bytes(), info, id) {
        Some(head) => split(packet, info, mtu, head, alloc, emit),
        None => whole(packet, info, mtu, emit),
    }
}

/// A packet that cannot be split.
fn whole<B: PacketBuf>(
    packet: B,
    info: &PacketInfo,
    mtu: u16,
    mut emit: impl FnMut(B),
) -> Result<usize, (B, DropReason)> {
    if exceeds(info, mtu) {
        return Err((packet, DropReason::MtuExceeded));
    }
    emit(packet);
    Ok(1)
}

/// Ethernet and IP header of a packet's fragments, one after the other.
trait Head {
    /// Bytes of the packet before its payload, from its IP header on.
    fn unfragmented_len(&self) -> usize;
    /// The header, to be written in front of the fragment whose payload has `payload_len` bytes from the `start`th of the
    /// packet's on.
    fn next(&mut self, start: usize, payload_len: usize, more: bool) -> &[u8];
    /// Length of every header, Ethernet's included.
    fn len(&self) -> usize;
}

fn split<B: PacketBuf>(
    mut packet: B,
    info: &PacketInfo,
    mtu: u16,
    mut head: impl Head,
    mut alloc: impl FnMut() -> Option<B>,
    mut emit: impl FnMut(B),
) -> Result<usize, (B, DropReason)> {
    if !exceeds(info, mtu) {
        emit(packet);
        return Ok(1);
    }
    let (l3, end) = (usize::from(info.l3), usize::from(info.end));
    let payload_at = ETHERNET + head.unfragmented_len();
    let most = (ETHERNET + usize::from(mtu)).saturating_sub(head.len());
    let room = most / 8 * 8;
    let payload_len = (end - l3 + ETHERNET).saturating_sub(payload_at);
    if room == 0 || payload_len <= most {
        return Err((packet, DropReason::MtuExceeded));
    }
    packet.truncate(end);
    packet.adj(l3 - ETHERNET);

    // Only the last may have a length that is no multiple of eight.
    let before_last = (payload_len - most).div_ceil(room);
    for index in 0..=before_last {
        let Some(mut piece) = alloc() else { return Err((packet, DropReason::NoMbuf)) };
        let start = index * room;
        let more = index < before_last;
        let len = if more { room } else { payload_len - start };
        let header = head.next(start, len, more);
        if piece.append(header.len() + len).is_err() {
            return Err((packet, DropReason::NoMbuf));
        }
        let (piece_head, piece_payload) = piece.bytes_mut().split_at_mut(header.len());
        piece_head.copy_from_slice(header);
        piece_payload.copy_from_slice(&packet.bytes()[payload_at + start..][..len]);
        emit(piece);
    }
    Ok(before_last + 1)
}

/// IPv4: the packet's own header, whose options are reduced behind the first fragment.
struct HeadV4 {
    bytes: [u8; ETHERNET + LONGEST_HEADER],
    len: usize,
    /// Flags and offset of the packet, which may itself be a fragment.
    original: u16,
}

impl HeadV4 {
    fn of(frame: &[u8], info: &PacketInfo) -> Option<Self> {
        let l3 = usize::from(info.l3);
        let header_len = usize::from(frame.get(l3)? & 0xf) * 4;
        if info.family != Family::V4 || header_len < 20 || l3 < ETHERNET {
            return None;
        }
        let len = ETHERNET + header_len;
        let mut bytes = [0; ETHERNET + LONGEST_HEADER];
        bytes[..len].copy_from_slice(frame.get(l3 - ETHERNET..l3 + header_len)?);
        let original = flags(frame, l3);
        Some(Self { bytes, len, original })
    }
}

impl Head for HeadV4 {
    fn unfragmented_len(&self) -> usize {
        self.len - ETHERNET
    }

    fn next(&mut self, start: usize, payload_len: usize, more: bool) -> &[u8] {
        let head = &mut self.bytes[..self.len];
        if start > 0 {
            keep_copied_options(&mut head[ETHERNET + 20..]);
        }
        write_head(head, self.original, start, payload_len, more);
        head
    }

    fn len(&self) -> usize {
        self.len
    }
}

/// IPv6: the packet's header without extensions, and a fragment header behind it.
struct HeadV6 {
    bytes: [u8; ETHERNET + ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN],
    carried: FragmentHeader,
}

impl HeadV6 {
    fn of(frame: &[u8], info: &PacketInfo, id: u32) -> Option<Self> {
        let l3 = usize::from(info.l3);
        let bare = usize::from(info.l4) == l3 + ipv6::HEADER_LEN && info.fragment == Fragment::No;
        if info.family != Family::V6 || !bare || l3 < ETHERNET {
            return None;
        }
        let mut bytes = [0; ETHERNET + ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN];
        let (header, _) = bytes.split_at_mut(ETHERNET + ipv6::HEADER_LEN);
        header.copy_from_slice(frame.get(l3 - ETHERNET..l3 + ipv6::HEADER_LEN)?);
        let next_header = core::mem::replace(&mut header[ETHERNET + NEXT_HEADER], protocol::FRAGMENT);
        let (at, announced_at) = (ipv6::HEADER_LEN, NEXT_HEADER);
        Some(Self {
            bytes,
            carried: FragmentHeader { at, announced_at, next_header, offset: 0, more: true, id },
        })
    }
}

/// Where an IPv6 header says what follows, in bytes.
const NEXT_HEADER: usize = 6;

impl Head for HeadV6 {
    fn unfragmented_len(&self) -> usize {
        ipv6::HEADER_LEN
    }

    fn next(&mut self, start: usize, payload_len: usize, more: bool) -> &[u8] {
        let ip = &mut self.bytes[ETHERNET..];
        ipv6::set_payload_len(ip, (ipv6::FRAGMENT_LEN + payload_len) as u16);
        FragmentHeader { offset: start, more, ..self.carried }.write(&mut ip[ipv6::HEADER_LEN..]);
        &self.bytes
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
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
pub(crate) fn keep_copied_options(options: &mut [u8]) {
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
