//! IP-in-IP [ip_vs_tunnel_xmit], any family in any (RFC 2003, 2473, 4213): the packet goes to the real server inside
//! another. The server has the virtual address itself and answers the client on its own.
//!
//! The outer header takes its TTL (the decremented one) and its traffic class from the inner; the mark "congestion
//! experienced" becomes ECT(0), since a tunnel's end would not take it over. An IPv4 packet that must not be fragmented
//! makes an IPv4 tunnel packet that must not be either; any other may be, and is where it leaves: also an IPv6 tunnel packet,
//! for this host is its source.

use core::net::IpAddr;

use inet::{DropReason, NextHop};
use wire::tunnel::ipip::{self, Outer};
use wire::{Family, PacketBuf, PacketInfo, ipv4, ipv6};

use super::{Outward, translate};
use crate::director::Core;
use crate::hooks::{Context, is_icmp};
use crate::model::family_of;
use crate::{Dest, Verdict};

/// What a tunnel's header to this destination takes of the MTU, in bytes.
pub(crate) fn overhead(target: IpAddr) -> u16 {
    ipip::overhead(family_of(target)) as u16
}

impl Core {
    pub(super) fn tunnel<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        dest: &Dest,
    ) -> Result<NextHop, Verdict> {
        let discovers = context.snapshot.settings.pmtu_disc;
        let outward = Outward {
            target: dest.addr,
            overhead: overhead(dest.addr),
            path_mtu: self.pmtu.get(context.now_ms, dest.addr),
            any_size: is_icmp(info) || !discovers,
            counts_for: Some(dest.id),
        };
        let hop = self.outward(context, packet, info, &outward)?;
        let source = context.snapshot.net.source_to(dest.addr).ok_or(Verdict::Drop(DropReason::NoSource))?;
        let keep_whole =
            discovers && info.family == Family::V4 && translate::dont_fragment(packet.bytes(), info);
        let (ttl, tos) = ttl_and_tos(packet.bytes(), info);
        let outer = Outer {
            src: source,
            dst: dest.addr,
            ttl,
            tos: ecn_encapsulate(tos),
            dont_fragment: keep_whole,
            id: if keep_whole { 0 } else { self.next_ip_id() },
        };
        ipip::encap(packet, info, &outer).map_err(|_| Verdict::Drop(DropReason::NoHeadroom))?;
        Ok(hop)
    }
}

/// TTL and type of service as they are in the packet now.
fn ttl_and_tos(frame: &[u8], info: &PacketInfo) -> (u8, u8) {
    let ip = info.ip(frame);
    match info.family {
        Family::V4 => (ipv4::ttl(ip), ipv4::tos(ip)),
        Family::V6 => (ipv6::hop_limit(ip), ipv6::traffic_class(ip)),
    }
}

/// The outer type of service [INET_ECN_encapsulate]: the inner, with "congestion experienced" as ECT(0).
fn ecn_encapsulate(tos: u8) -> u8 {
    const ECN: u8 = 0b11;
    const ECT_0: u8 = 0b10;
    if tos & ECN == ECN { tos & !ECN | ECT_0 } else { tos }
}
