//! Room in the middle of a packet, for what is put between its headers.

use crate::buf::{NoRoom, PacketBuf};
use crate::info::{Family, Fragment, PacketInfo};
use crate::{ipv4, ipv6};

/// Opens a gap of `count` bytes in front of byte `at` of the frame: what lies before it moves forward. The gap is all zeros,
/// the length in the IP header (with its checksum) counts it, and Ethernet padding is cut off.
///
/// The returned info only differs in its end; header lengths and where the upper layer starts are the caller's. `NoRoom`: no
/// headroom, a fragment, longer than an IP packet can be, or `at` is not inside it; the packet is as it was.
pub(crate) fn open_gap<B: PacketBuf>(
    packet: &mut B,
    info: &PacketInfo,
    at: usize,
    count: usize,
) -> Result<PacketInfo, NoRoom> {
    let inside = (usize::from(info.l3)..=usize::from(info.end)).contains(&at)
        && usize::from(info.end) <= packet.bytes().len();
    let end = u16::try_from(usize::from(info.end) + count).map_err(|_| NoRoom)?;
    if info.fragment != Fragment::No || !inside {
        return Err(NoRoom);
    }
    packet.prepend(count)?;
    packet.truncate(usize::from(end));
    let frame = packet.bytes_mut();
    frame.copy_within(count..count + at, 0);
    frame.get_mut(at..at + count).unwrap_or_default().fill(0);
    let info = PacketInfo { end, ..*info };
    let ip = info.ip_mut(frame);
    match info.family {
        Family::V4 => ipv4::set_total_len(ip, info.ip_len() as u16),
        Family::V6 => ipv6::set_payload_len(ip, info.ip_len().saturating_sub(ipv6::HEADER_LEN) as u16),
    }
    Ok(info)
}
