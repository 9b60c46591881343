//! Sending a datagram that came in fragments: in which sizes it leaves.
//!
//! What Linux 6.1 emits, from recordings:
//!
//! | datagram | sizes |
//! | --- | --- |
//! | IPv4, gathered where it was delivered to the host ([`Sizes::Largest`]: requests, in LOCAL_IN) | as large as the largest that came; a tunnel packet around it as well |
//! | IPv4, gathered on its way through ([`Sizes::AsCame`]: replies, in FORWARD) | as it came |
//! | IPv6 that without a fragment header is no longer than the largest that came | in one piece |
//! | IPv6, all of whose fragments have room in front of them | as it came; what a tunnel adds is in the first |
//! | other IPv6, both ways, and tunnel packets around it | as large as the largest that came, but not below 1,280; if that is one piece, it is a fragment all the same (RFC 6946) |
//! | IPv4 in an IPv6 tunnel packet | as large as the MTU |
//! | IPv6 in an IPv4 tunnel packet | in one piece if that fits the MTU, else as it came |
//!
//! What would exceed the MTU is cut anew. "Don't fragment" stays on all IPv4 fragments. The identification is the
//! datagram's (IPv4), or new (IPv6). Which fragments of IPv6 have room in front of them is in Linux the driver's affair;
//! here it is as on the machine of the recordings: short ones, which are copied, and long ones, which share no buffer.
//! A datagram whose fragments changed their size more often than [`Cuts`] remembers is cut anew.

use wire::ether::HEADER_LEN as ETHERNET;
use wire::ipv6::{FRAGMENT_LEN, FragmentHeader, MAX_EXTENSIONS, MIN_MTU};
use wire::{Family, PacketBuf, PacketInfo, ipv4, ipv6, protocol};

use crate::drop::DropReason;
use crate::fragment::keep_copied_options;

/// Runs of fragments of one size that are remembered.
const RUNS: usize = 8;

/// How a datagram was cut when it came. To travel beside the packet to another worker, it becomes [`Cuts::BYTES`] bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Length of the largest fragment's IP packet. This, and not the whole, is what an IPv6 path MTU is compared with.
    pub largest: u16,
    /// Fragments with the same payload one behind the other: its bytes, and how many. The first unused has none.
    runs: [Run; RUNS],
    /// There were more runs.
    forgot: bool,
    /// A fragment had no room in front of it.
    crowded: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Run {
    len: u16,
    count: u16,
}

/// IP packets of more bytes than this, and of less than that, had no room in front of them.
const CROWDED: core::ops::Range<u16> = 115..1208;

impl Cuts {
    /// Length of the bytes that it becomes.
    pub const BYTES: usize = 4 + 4 * RUNS;

    /// Notes the next fragment, by the length of its payload and its IP packet.
    pub(super) fn note(&mut self, len: usize, ip_len: u16) {
        self.largest = self.largest.max(ip_len);
        self.crowded |= CROWDED.contains(&ip_len);
        if self.forgot {
            return;
        }
        let used = self.runs.iter().take_while(|run| run.count > 0).count();
        let (before, free) = self.runs.split_at_mut(used);
        match (before.last_mut(), free.first_mut()) {
            (Some(run), _) if usize::from(run.len) == len => run.count += 1,
            (_, Some(run)) => *run = Run { len: len as u16, count: 1 },
            (_, None) => self.forgot = true,
        }
    }

    /// As bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&self.largest.to_be_bytes());
        bytes[2..4].copy_from_slice(&[u8::from(self.forgot), u8::from(self.crowded)]);
        for (to, run) in bytes[4..].as_chunks_mut::<4>().0.iter_mut().zip(self.runs) {
            *to = (u32::from(run.len) << 16 | u32::from(run.count)).to_be_bytes();
        }
        bytes
    }

    /// The same, back.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut runs = [Run::default(); RUNS];
        for (run, from) in runs.iter_mut().zip(bytes[4..].as_chunks::<4>().0) {
            let word = u32::from_be_bytes(*from);
            *run = Run { len: (word >> 16) as u16, count: word as u16 };
        }
        let largest = u16::from_be_bytes([bytes[0], bytes[1]]);
        Self { largest, runs, forgot: bytes[2] != 0, crowded: bytes[3] != 0 }
    }

    /// Payloads of the fragments, in order. Not all, if some were forgotten.
    fn payloads(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.runs.iter().flat_map(|run| core::iter::repeat_n(usize::from(run.len), usize::from(run.count)))
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
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// How it came.
    pub cuts: &'a Cuts,
    /// Of which family it came: a tunnel packet around it may be of the other.
    pub family: Family,
    /// What to make of that.
    pub sizes: Sizes,
    /// The route's MTU.
    pub mtu: u16,
    /// Identification of the fragments, for IPv6.
    pub id: u32,
}

/// Sends a datagram that [`super::Reassembly`] put together, after translation or inside a tunnel packet, in
/// fragments, and passes them to `emit` in order, each in a buffer of its own; what leaves in one piece keeps `packet`'s.
/// IPv4 that must not be fragmented is cut nevertheless, since it came so: whether the whole may pass the MTU is asked
/// before.
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
    leaving: Leaving<'_>,
    mut alloc: impl FnMut() -> Option<B>,
    mut emit: impl FnMut(B),
) -> Result<usize, (B, DropReason)> {
    let head = Head::of(packet.bytes(), info, leaving.id);
    let planned = head.and_then(|head| Some((Plan::of(&head, info, leaving)?, head)));
    let Some((plan, mut head)) = planned else { return Err((packet, DropReason::MtuExceeded)) };
    if matches!(plan, Plan::Whole) {
        emit(packet);
        return Ok(1);
    }
    let l3 = usize::from(info.l3);
    packet.truncate(usize::from(info.end));
    packet.adj(l3 - ETHERNET);
    let payload_at = ETHERNET + head.replaces;
    let payload_len = packet.bytes().len().saturating_sub(payload_at);
    let mut came = leaving.cuts.payloads();
    let (mut at, mut emitted) = (0, 0);
    while at < payload_len {
        let Some(mut piece) = alloc() else { return Err((packet, DropReason::NoMbuf)) };
        let left = payload_len - at;
        let len = plan.next(at, left, &mut came).min(left);
        let header = head.write(at, len, len < left);
        if piece.append(header.len() + len).is_err() {
            return Err((packet, DropReason::NoMbuf));
        }
        let (front, payload) = piece.bytes_mut().split_at_mut(header.len());
        front.copy_from_slice(header);
        payload.copy_from_slice(&packet.bytes()[payload_at + at..][..len]);
        emit(piece);
        (at, emitted) = (at + len, emitted + 1);
    }
    Ok(emitted)
}

/// Which pieces there will be.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// One, the packet as it is.
    Whole,
    /// Each of `step` bytes, up to the last of at most `last`.
    Even { step: usize, last: usize },
    /// As they came, but for the first.
    AsCame { first: usize },
}

impl Plan {
    /// None: it cannot pass the MTU.
    fn of(head: &Head, info: &PacketInfo, leaving: Leaving<'_>) -> Option<Self> {
        let Leaving { cuts, family, sizes, mtu, .. } = leaving;
        let ip_len = info.ip_len();
        let payload_len = ip_len.checked_sub(head.replaces)?;
        let (limit, whole, as_came) = match (family, info.family) {
            (Family::V4, Family::V4) => {
                (cuts.largest.min(mtu), cuts.largest.min(mtu), sizes == Sizes::AsCame)
            }
            (Family::V6, Family::V6) => (cuts.largest.max(MIN_MTU), cuts.largest, !cuts.crowded),
            (Family::V4, Family::V6) => (mtu, mtu, false),
            (Family::V6, Family::V4) => (mtu, mtu, true),
        };
        let last = usize::from(limit).checked_sub(head.ip_len())?;
        if limit > mtu || last < 8 {
            return None;
        }
        if ip_len <= usize::from(whole) {
            return Some(Self::Whole);
        }
        let as_came = as_came.then(|| Self::as_came(payload_len, last, cuts)).flatten();
        Some(as_came.unwrap_or(Self::Even { step: last / 8 * 8, last }))
    }

    /// The sizes that came, as far as they can be kept: what was added in front is in the first.
    fn as_came(payload_len: usize, most: usize, cuts: &Cuts) -> Option<Self> {
        let behind = cuts.payloads().skip(1);
        let first = payload_len.checked_sub(behind.clone().sum())?;
        let aligned = first.is_multiple_of(8) && cuts.runs.iter().all(|run| run.len > 0 || run.count == 0);
        let fits = first > 0 && first <= most && behind.clone().all(|len| len <= most);
        // All but the last end where another can start.
        let mut left = behind.clone().count();
        let steps = behind.clone().all(|len| {
            left -= 1;
            left == 0 || len.is_multiple_of(8)
        });
        (!cuts.forgot && aligned && steps && fits && first < payload_len).then_some(Self::AsCame { first })
    }

    /// Most bytes of the piece that starts at `at`, where `left` are left; `came` goes on with each.
    fn next(&self, at: usize, left: usize, came: &mut impl Iterator<Item = usize>) -> usize {
        let size = came.next();
        match *self {
            Self::AsCame { first } if at == 0 => first,
            Self::AsCame { .. } => size.unwrap_or(left),
            Self::Even { step, last } if left > last => step,
            Self::Even { .. } | Self::Whole => left,
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
