//! Making one packet of a datagram's fragments.

use wire::{Family, PacketBuf, PacketInfo, Parsed, ipv4, ipv6, parse};

use super::cut::Cuts;
use super::piece::Piece;
use super::table::{Datagram, DatagramId, Held, Table};
use super::{Joined, Released};
use crate::drop::DropReason;

/// Explicit congestion notification (RFC 3168): "congestion experienced"; of the values seen, that one and "not
/// capable".
const CE: u8 = 3;
const SEEN_CE: u8 = 1 << CE;
const SEEN_NOT_CAPABLE: u8 = 1;

/// Makes one packet of all fragments of a whole datagram: in the first one's buffer if that has room for all, else in
/// one from `alloc`. The datagram is left without fragments.
///
/// # Errors
/// Why there is no packet. What is then in the table is still there; what is not was released.
pub(super) fn join<B: PacketBuf>(
    table: &mut Table<B>,
    id: DatagramId,
    alloc: impl FnOnce() -> Option<B>,
    mut release: impl FnMut(Released<B>),
) -> Result<Joined<B>, DropReason> {
    let datagram = *table.get(id);
    let congested = congestion(datagram.ecn).ok_or(DropReason::FragmentInvalid)?;
    let first = table.pop_first(id).ok_or(DropReason::FragmentInvalid)?;
    let shape = match Shape::of(&first, &datagram) {
        Ok(shape) => shape,
        Err(reason) => {
            release(Released::Dropped(first.packet, reason));
            return Err(reason);
        }
    };
    let mut cuts = Cuts::default();
    cuts.note(shape.first_len, first.piece.ip_len);
    let (mut whole, spent) = match shape.room(first.packet, alloc) {
        Ok(room) => room,
        Err((packet, spare)) => {
            let reason = if spare.is_some() { DropReason::DatagramTooLong } else { DropReason::NoLargeMbuf };
            for packet in core::iter::once(packet).chain(spare) {
                release(Released::Dropped(packet, reason));
            }
            return Err(reason);
        }
    };
    if let Some(packet) = spent {
        release(Released::Merged(packet));
    }
    while let Some(Held { packet, piece, .. }) = table.pop_first(id) {
        cuts.note((piece.end - piece.start) as usize, piece.ip_len);
        copy(&mut whole, shape.payload_at, &packet, &piece);
        release(Released::Merged(packet));
    }
    shape.finish(whole.bytes_mut(), congested);
    match parse(whole.bytes()) {
        Ok(Parsed::Ip(info)) => {
            let info = PacketInfo { largest_fragment: cuts.largest, ..info };
            Ok(Joined { packet: whole, info, cuts })
        }
        Ok(_) => Err((whole, DropReason::FragmentInvalid)),
        Err(error) => Err((whole, DropReason::from(error))),
    }
    .map_err(|(packet, reason)| {
        release(Released::Dropped(packet, reason));
        reason
    })
}

/// Whether the whole has experienced congestion (RFC 3168 section 5.3). `None`: some fragments say that the sender
/// knows of such notifications and some that it does not.
fn congestion(seen: u8) -> Option<bool> {
    let mixed = seen & SEEN_NOT_CAPABLE != 0 && seen != SEEN_NOT_CAPABLE;
    (!mixed).then_some(seen & SEEN_CE != 0)
}

/// Where things lie in the packet that is made.
#[derive(Clone, Copy, Debug)]
struct Shape {
    family: Family,
    /// Start of the IP header.
    l3: usize,
    /// Start of the fragment header (IPv6) or of the payload (IPv4) in the first fragment.
    header_end: usize,
    /// Where the number stands that announces the fragment header.
    announced_at: usize,
    /// Protocol that it announces.
    next_header: u8,
    /// Start of the first fragment's payload in its own frame.
    first_at: usize,
    /// Bytes of it.
    first_len: usize,
    /// Start of the payload in the packet that is made.
    payload_at: usize,
    /// Bytes of it.
    payload_len: usize,
    /// Whether routers must not fragment it (IPv4).
    dont_fragment: bool,
}

impl Shape {
    fn of<B: PacketBuf>(first: &Held<B>, datagram: &Datagram) -> Result<Self, DropReason> {
        let frame = first.packet.bytes();
        let l3 = usize::from(first.piece.l3);
        let first_at = usize::from(first.piece.payload_at);
        let ip = frame.get(l3..).unwrap_or_default();
        let (family, header) = match ipv4::version(ip) {
            4 => (Family::V4, None),
            _ => (Family::V6, ipv6::Extensions::walk(ip).ok().and_then(|end| end.fragment)),
        };
        let (header_end, announced_at, next_header) = match (family, header) {
            (Family::V4, _) => (first_at, 0, 0),
            (_, Some(header)) => (l3 + header.at, l3 + header.announced_at, header.next_header),
            _ => return Err(DropReason::FragmentInvalid),
        };
        let payload_len = datagram.got as usize;
        let ip_len = header_end - l3 + payload_len;
        let longest = if family == Family::V4 { 0 } else { ipv6::HEADER_LEN } + usize::from(u16::MAX);
        if ip_len > longest {
            return Err(DropReason::FragmentInvalid);
        }
        // Offsets in a frame have 16 bits, and so has a buffer's length.
        if header_end + payload_len > usize::from(u16::MAX) {
            return Err(DropReason::DatagramTooLong);
        }
        let first_len = first.piece.end as usize;
        Ok(Self {
            family,
            l3,
            header_end,
            announced_at,
            next_header,
            first_at,
            first_len,
            payload_at: header_end,
            payload_len,
            dont_fragment: datagram.largest_whole == datagram.largest,
        })
    }

    /// A buffer with the first fragment's headers and payload in place and room for the rest, and the first fragment's
    /// own if that is another. Or the first fragment, if there is no room, and what `alloc` gave.
    fn room<B: PacketBuf>(
        &self,
        mut first: B,
        alloc: impl FnOnce() -> Option<B>,
    ) -> Result<(B, Option<B>), (B, Option<B>)> {
        let len = self.payload_at + self.payload_len;
        first.truncate(self.first_at + self.first_len);
        if first.append(self.payload_len - self.first_len).is_ok() {
            let gap = self.first_at - self.header_end;
            first.bytes_mut().copy_within(..self.header_end, gap);
            first.adj(gap);
            return Ok((first, None));
        }
        let Some(mut whole) = alloc() else { return Err((first, None)) };
        if whole.append(len).is_err() {
            return Err((first, Some(whole)));
        }
        let (from, to) = (first.bytes(), whole.bytes_mut());
        to[..self.header_end].copy_from_slice(&from[..self.header_end]);
        to[self.payload_at..][..self.first_len].copy_from_slice(&from[self.first_at..][..self.first_len]);
        Ok((whole, Some(first)))
    }

    /// Makes the first fragment's header that of the whole.
    fn finish(&self, frame: &mut [u8], congested: bool) {
        if self.family == Family::V6 {
            frame[self.announced_at] = self.next_header;
        }
        let ip = &mut frame[self.l3..];
        let ip_len = ip.len();
        match self.family {
            Family::V4 => {
                ipv4::set_total_len(ip, ip_len as u16);
                ipv4::set_fragment(ip, 0, false);
                ipv4::set_dont_fragment(ip, self.dont_fragment);
                if congested {
                    ipv4::set_tos(ip, ipv4::tos(ip) | CE);
                }
            }
            Family::V6 => {
                ipv6::set_payload_len(ip, (ip_len - ipv6::HEADER_LEN) as u16);
                if congested {
                    ipv6::set_traffic_class(ip, ipv6::traffic_class(ip) | CE);
                }
            }
        }
    }
}

/// Copies a fragment's bytes to their place. Both are there: the buffer was made for all of them.
fn copy<B: PacketBuf>(whole: &mut B, payload_at: usize, packet: &B, piece: &Piece) {
    let len = (piece.end - piece.start) as usize;
    let from = packet.bytes().get(usize::from(piece.payload_at)..).and_then(|bytes| bytes.get(..len));
    let to = whole.bytes_mut().get_mut(payload_at + piece.start as usize..).and_then(|b| b.get_mut(..len));
    if let (Some(from), Some(to)) = (from, to) {
        to.copy_from_slice(from);
    }
}
