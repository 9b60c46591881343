//! Sending a datagram that came in fragments: in which sizes it leaves.
//!
//! What Linux 6.1 emits, from recordings:
//!
//! | datagram | sizes |
//! | --- | --- |
//! | IPv4, gathered where it was delivered to the host ([`Sizes::Largest`]: requests, in LOCAL_IN) | as large as the largest that came; a tunnel packet around it as well |
//! | IPv4, gathered on its way through ([`Sizes::AsCame`]: replies, in FORWARD) | as it came |
//! | IPv6 that without a fragment header is no longer than the largest that came | in one piece |
//! | other IPv6 that fits 1,280 bytes | as it came, or in one piece |
//! | other IPv6, both ways, and tunnel packets around it | as large as the largest that came, but not below 1,280 |
//!
//! "Don't fragment" stays on all IPv4 fragments. The identification is the datagram's (IPv4), or new (IPv6). "As it
//! came" is rebuilt from the size of the first fragment, as senders fragment: all alike but the last. Where they were
//! not alike, since a router cut them once more, sizes may differ from those that came; never do they exceed the
//! largest that came, nor their number the number that came, and IPv6 that fits 1,280 bytes leaves whole. (Which of
//! the two Linux does with such IPv6 depends on where its driver put the bytes; whole, it keeps a fragment header,
//! which RFC 8021 advises against and rvs leaves out.)

use wire::ether::HEADER_LEN as ETHERNET;
use wire::ipv6::{FRAGMENT_LEN, FragmentHeader, MAX_EXTENSIONS, MIN_MTU};
use wire::{Family, PacketBuf, PacketInfo, ipv4, ipv6, protocol};

use crate::drop::DropReason;
use crate::fragment::keep_copied_options;

/// How a datagram was cut when it came. Eight bytes, to travel beside the packet to another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cuts {
    /// Bytes that the first fragment carried.
    pub first: u16,
    /// Bytes that the others carried together.
    pub behind_first: u16,
    /// Length of the largest fragment's IP packet. This, and not the whole, is what an IPv6 path MTU is compared with.
    pub largest: u16,
    /// How many fragments there were.
    pub count: u16,
}

impl Cuts {
    /// As a number.
    pub fn to_bits(self) -> u64 {
        let Self { first, behind_first, largest, count } = self;
        [first, behind_first, largest, count].into_iter().fold(0, |bits, part| bits << 16 | u64::from(part))
    }

    /// The same, back.
    pub fn from_bits(bits: u64) -> Self {
        let part = |place: u32| (bits >> (place * 16)) as u16;
        Self { first: part(3), behind_first: part(2), largest: part(1), count: part(0) }
    }
}

/// In which sizes the fragments of an IPv4 datagram leave. For IPv6 it makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// As large as the largest that came.
    Largest,
    /// As they came.
    AsCame,
}

/// How a datagram leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// How it came.
    pub cuts: Cuts,
    /// What to make of that.
    pub sizes: Sizes,
    /// The route's MTU.
    pub mtu: u16,
    /// Identification of the fragments, for IPv6.
    pub id: u32,
}

/// Sends a datagram that [`super::Reassembly`] put together, after translation or inside a tunnel packet, in
/// fragments, and passes them to `emit` in order; the last one is `packet`'s own buffer. IPv4 that must not be
/// fragmented is cut nevertheless, since it came so: whether the whole may pass the MTU is asked before.
///
/// `info` is the packet's as it is now; its IPv4 header checksum need not be right. `alloc` gives empty buffers.
/// Returns how many were emitted.
///
/// # Errors
/// The packet, with [`DropReason::MtuExceeded`] untouched if it is IPv6 and a fragment that came was larger than the
/// MTU, or if the MTU has no room for a header and eight bytes; or with [`DropReason::NoMbuf`] when no buffer was
/// left: what was emitted so far is lost to its receiver.
pub fn refragment<B: PacketBuf>(
    mut packet: B,
    info: &PacketInfo,
    leaving: Leaving,
    mut alloc: impl FnMut() -> Option<B>,
    mut emit: impl FnMut(B),
) -> Result<usize, (B, DropReason)> {
    let head = Head::of(packet.bytes(), info, leaving.id);
    let planned = head.and_then(|head| Some((Plan::of(&head, info, leaving)?, head)));
    let Some((plan, mut head)) = planned else { return Err((packet, DropReason::MtuExceeded)) };
    if plan.whole {
        emit(packet);
        return Ok(1);
    }
    let l3 = usize::from(info.l3);
    packet.truncate(usize::from(info.end));
    packet.adj(l3 - ETHERNET);
    let payload_at = ETHERNET + head.replaces;
    let (mut at, mut emitted) = (0, 0);
    while let Some(len) = plan.next(at) {
        let Some(mut piece) = alloc() else { return Err((packet, DropReason::NoMbuf)) };
        let header = head.write(at, len, true);
        if piece.append(header.len() + len).is_err() {
            return Err((packet, DropReason::NoMbuf));
        }
        let (front, payload) = piece.bytes_mut().split_at_mut(header.len());
        front.copy_from_slice(header);
        payload.copy_from_slice(&packet.bytes()[payload_at + at..][..len]);
        emit(piece);
        (at, emitted) = (at + len, emitted + 1);
    }
    let header = head.write(at, plan.payload_len - at, false);
    // A header longer than the packet's has its room where the payload was that has left.
    packet.adj(payload_at + at - header.len());
    packet.bytes_mut()[..header.len()].copy_from_slice(header);
    emit(packet);
    Ok(emitted + 1)
}

/// Which pieces there will be.
#[derive(Clone, Copy, Debug)]
struct Plan {
    payload_len: usize,
    /// Bytes of the first piece, and of those that follow.
    first: usize,
    step: usize,
    /// Most bytes of the last piece.
    last: usize,
    /// Nothing is to be cut.
    whole: bool,
}

impl Plan {
    fn of(head: &Head, info: &PacketInfo, leaving: Leaving) -> Option<Self> {
        let Leaving { cuts, sizes, mtu, .. } = leaving;
        let payload_len = info.ip_len().checked_sub(head.replaces)?;
        let least = if info.family == Family::V6 { MIN_MTU } else { 0 };
        let limit = cuts.largest.max(least);
        if info.family == Family::V6 && limit > mtu {
            return None;
        }
        let limit = usize::from(limit.min(mtu));
        let last = limit.checked_sub(head.ip_len())?;
        let step = last / 8 * 8;
        if step == 0 {
            return None;
        }
        let fits = info.ip_len() + head.ip_len() - head.replaces <= limit;
        let as_came = match info.family {
            Family::V4 => sizes == Sizes::AsCame,
            Family::V6 => fits,
        };
        let as_large = info.family == Family::V6 && info.ip_len() <= usize::from(cuts.largest);
        let plan = Self { payload_len, first: step, step, last, whole: fits };
        if as_large {
            return Some(Self { whole: true, ..plan });
        }
        Some(if as_came { plan.as_came(head, cuts).unwrap_or(plan) } else { plan })
    }

    /// The sizes that came, as far as they can be kept: what was added in front is in the first.
    fn as_came(self, head: &Head, cuts: Cuts) -> Option<Self> {
        let first = self.payload_len.checked_sub(usize::from(cuts.behind_first))?;
        let step = usize::from(cuts.first) / 8 * 8;
        let last = usize::from(cuts.largest).checked_sub(head.ip_len())?.min(self.last);
        let fits = first.is_multiple_of(8) && (1..=self.last).contains(&first) && first < self.payload_len;
        if !fits || !(1..=last).contains(&step) {
            return None;
        }
        let between = usize::from(cuts.behind_first).saturating_sub(last).div_ceil(step);
        (between + 2 <= usize::from(cuts.count)).then_some(Self { first, step, last, whole: false, ..self })
    }

    /// Bytes of the piece that starts at `at`, if it is not the last.
    fn next(&self, at: usize) -> Option<usize> {
        match at {
            0 => Some(self.first),
            _ => (self.payload_len - at > self.last).then_some(self.step),
        }
    }
}

/// Longest header of a fragment: Ethernet, IP, extension headers that every fragment repeats, fragment header.
const LONGEST: usize = ETHERNET + ipv6::HEADER_LEN + 256 + FRAGMENT_LEN;

/// Ethernet and IP header of the fragments.
struct Head {
    family: Family,
    bytes: [u8; LONGEST],
    len: usize,
    /// Bytes of the packet's own header that it takes the place of, from the IP header on.
    replaces: usize,
    dont_fragment: bool,
    fragment: FragmentHeader,
}

impl Head {
    fn of(frame: &[u8], info: &PacketInfo, id: u32) -> Option<Self> {
        let l3 = usize::from(info.l3);
        let ip = info.ip(frame);
        let (replaces, announced_at) = match info.family {
            Family::V4 => (ipv4::header_len(ip), 0),
            Family::V6 => repeated(ip)?,
        };
        let added = if info.family == Family::V6 { FRAGMENT_LEN } else { 0 };
        let len = ETHERNET + replaces + added;
        let mut bytes = [0; LONGEST];
        let from = frame.get(l3.checked_sub(ETHERNET)?..l3 + replaces)?;
        bytes.get_mut(..len)?[..from.len()].copy_from_slice(from);
        let at = replaces;
        let mut next_header = 0;
        if info.family == Family::V6 {
            next_header = core::mem::replace(&mut bytes[ETHERNET + announced_at], protocol::FRAGMENT);
        }
        let fragment = FragmentHeader { at, announced_at, next_header, offset: 0, more: true, id };
        let dont_fragment = info.family == Family::V4 && ipv4::dont_fragment(ip);
        Some(Self { family: info.family, bytes, len, replaces, dont_fragment, fragment })
    }

    /// Length of the IP header and what it repeats.
    fn ip_len(&self) -> usize {
        self.len - ETHERNET
    }

    /// The header in front of the fragment with `len` bytes of payload from `start` on.
    fn write(&mut self, start: usize, len: usize, more: bool) -> &[u8] {
        let ip_len = self.ip_len();
        let ip = &mut self.bytes[ETHERNET..self.len];
        match self.family {
            Family::V4 => {
                if start > 0 {
                    keep_copied_options(&mut ip[ipv4::HEADER_LEN..]);
                }
                ipv4::set_total_len(ip, (ip_len + len) as u16);
                ipv4::set_fragment(ip, start, more);
                ipv4::set_dont_fragment(ip, self.dont_fragment);
                ipv4::fill_checksum(ip);
            }
            Family::V6 => {
                ipv6::set_payload_len(ip, (ip_len - ipv6::HEADER_LEN + len) as u16);
                FragmentHeader { offset: start, more, ..self.fragment }.write(&mut ip[self.fragment.at..]);
            }
        }
        &self.bytes[..self.len]
    }
}

/// The part of an IPv6 packet that every fragment repeats: up to and with the routing header, else the hop-by-hop
/// options (RFC 8200 section 4.5). Its length, and where its last next-header field stands.
fn repeated(ip: &[u8]) -> Option<(usize, usize)> {
    let (mut end, mut announced_at) = (ipv6::HEADER_LEN, 6);
    let (mut at, mut field) = (end, announced_at);
    for _ in 0..MAX_EXTENSIONS {
        let number = *ip.get(field)?;
        if !matches!(number, protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS) {
            break;
        }
        let len = (usize::from(*ip.get(at + 1)?) + 1) * 8;
        (field, at) = (at, at + len);
        // Destination options are repeated only in front of a routing header.
        if number != protocol::DESTINATION_OPTIONS {
            (end, announced_at) = (at, field);
        }
    }
    Some((end, announced_at))
}
