//! Tunnels [ip_vs_tunnel_xmit]: IP-in-IP, GRE and GUE, any family in any. The packet goes to the real server inside another.
//! The server has the virtual address itself and answers the client on its own.
//!
//! The outer header takes its TTL (the decremented one) and its traffic class from the inner; the mark "congestion
//! experienced" becomes ECT(0), since a tunnel's end would not take it over. An IPv4 packet that must not be fragmented
//! makes an IPv4 tunnel packet that must not be either; any other may be, and is where it leaves: also an IPv6 tunnel packet,
//! for this host is its source.

use inet::DropReason;
use wire::tunnel::Outer;
use wire::{Family, PacketBuf, PacketInfo, ipv4, ipv6};

use super::{Outward, Way, counts_for, translate};
use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::{Context, is_icmp};
use crate::model::family_of;
use crate::sync::{configured_dest, unknown_dest};
use crate::{Dest, Verdict};

/// What a tunnel to this destination takes of the MTU, in bytes.
pub(crate) fn overhead(dest: &Dest) -> u16 {
    dest.tunnel.overhead(family_of(dest.addr)) as u16
}

impl Core {
    pub(super) fn tunnel<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        conn: &Connection<K>,
    ) -> Result<Way, Verdict> {
        // How a packet is wrapped is the destination's to say; a peer does not tell.
        let unknown = unknown_dest(conn);
        let dest = unknown.as_ref().or_else(|| configured_dest(context.snapshot, conn));
        let dest = dest.ok_or(Verdict::Drop(DropReason::DestinationGone))?;
        let discovers = context.snapshot.settings.pmtu_disc;
        let outward = Outward {
            target: dest.addr,
            overhead: overhead(dest),
            path_mtu: self.pmtu.get(context.now_ms, dest.addr),
            any_size: is_icmp(info) || !discovers,
            counts_for: counts_for(conn),
        };
        let way = self.outward(context, packet, info, &outward)?;
        if way == Way::Host {
            return Ok(way);
        }
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
        if info.family == Family::V4 && usize::from(info.l4 - info.l3) > ipv4::HEADER_LEN {
            // Options were filled in under the checksum that came.
            ipv4::fill_checksum(info.ip_mut(packet.bytes_mut()));
        }
        dest.tunnel
            .encap(packet, info, &outer, flow_hash(&conn.original))
            .map_err(|_| Verdict::Drop(DropReason::NoHeadroom))?;
        Ok(way)
    }
}

/// What spreads a connection's packets over the paths to a destination: one value for all of them.
fn flow_hash<K: FlowKey>(key: &K) -> u32 {
    let ports = u32::from(key.sport()) << 16 | u32::from(key.dport());
    let mixed = [fold(key.src().into()), fold(key.dst().into()), ports, u32::from(key.protocol_number())];
    mixed.into_iter().fold(0, |hash: u32, word| (hash.rotate_left(13) ^ word).wrapping_mul(0x9e37_79b1))
}

fn fold(addr: core::net::IpAddr) -> u32 {
    match addr {
        core::net::IpAddr::V4(addr) => addr.to_bits(),
        core::net::IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            (bits ^ bits >> 32 ^ (bits >> 64).rotate_left(7) ^ (bits >> 96).rotate_left(15)) as u32
        }
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
