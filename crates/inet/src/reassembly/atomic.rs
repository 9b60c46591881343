//! Atomic fragments of IPv6: whole datagrams with a fragment header (RFC 6946).

use wire::ipv6::{Extensions, FRAGMENT_LEN};
use wire::{Family, Fragment, PacketBuf, PacketInfo, Parsed, ipv6, parse};

/// Whether a packet may be an atomic fragment: one look at what parsing found.
#[inline]
pub fn may_be_atomic(info: &PacketInfo) -> bool {
    info.family == Family::V6 && info.l4 != info.l3 + ipv6::HEADER_LEN as u16
}

/// Takes the fragment header off an atomic fragment, as Linux does where it gathers fragments. Returns where its parts lie
/// then; none, and the packet as it was, if it is no atomic fragment.
pub fn take_header_off<B: PacketBuf>(packet: &mut B, info: &PacketInfo) -> Option<PacketInfo> {
    if !may_be_atomic(info) || info.fragment != Fragment::No {
        return None;
    }
    let header = Extensions::walk(info.ip(packet.bytes())).ok()?.fragment?;
    let l3 = usize::from(info.l3);
    let largest_fragment = info.ip_len() as u16;
    let frame = packet.bytes_mut();
    frame[l3 + header.announced_at] = header.next_header;
    ipv6::set_payload_len(&mut frame[l3..], largest_fragment - (ipv6::HEADER_LEN + FRAGMENT_LEN) as u16);
    frame.copy_within(..l3 + header.at, FRAGMENT_LEN);
    packet.adj(FRAGMENT_LEN);
    match parse(packet.bytes()) {
        Ok(Parsed::Ip(info)) => Some(PacketInfo { largest_fragment, ..info }),
        _ => None,
    }
}
