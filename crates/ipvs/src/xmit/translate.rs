//! Keys put into packets: what of the connection's two keys goes where.

use wire::rewrite::{Translate, translate, translate_quoted};
use wire::{Family, PacketInfo, Quoted, ipv4};

use crate::connection::FlowKey;

/// Gives a packet the addresses and ports of `to`.
pub(crate) fn packet<K: FlowKey>(frame: &mut [u8], info: &PacketInfo, to: &K) {
    let done = translate(frame, info, ends(to));
    debug_assert!(done.is_ok(), "a key of the packet's own family");
}

/// Gives an ICMP error new addresses where `src` and `dst` say so, and the packet that it quotes those of `quote`.
pub(crate) fn error<K: FlowKey>(
    frame: &mut [u8],
    info: &PacketInfo,
    quoted: &Quoted,
    (src, dst): (Option<K::Addr>, Option<K::Addr>),
    quote: &K,
) {
    // ICMP has no ports.
    let end = |addr: K::Addr| (addr.into(), 0);
    let outer = Translate { src: src.map(end), dst: dst.map(end) };
    let done = translate_quoted(frame, info, quoted, outer, ends(quote));
    debug_assert!(done.is_ok(), "keys of the packet's own family");
}

/// Whether a packet must not be fragmented on its way.
pub(crate) fn dont_fragment(frame: &[u8], info: &PacketInfo) -> bool {
    match info.family {
        Family::V4 => ipv4::dont_fragment(info.ip(frame)),
        Family::V6 => true,
    }
}

fn ends<K: FlowKey>(key: &K) -> Translate {
    Translate { src: Some((key.src().into(), key.sport())), dst: Some((key.dst().into(), key.dport())) }
}
