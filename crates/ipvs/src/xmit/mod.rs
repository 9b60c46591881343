//! Transmitters: how packets leave for a destination [ip_vs_xmit], one file a forwarding method.
//!
//! Every one of them first gets its route, then spends the TTL, then checks the MTU, and only then touches the packet:
//! so an ICMP error quotes what the client sent, with its TTL decremented if the packet was too big (as Linux has it).
//! A target that is an address of this host is the local node: the packet goes to the host's own stack, its TTL and size
//! unasked, after masquerade rewritten and else as it is. They go by the connection alone wherever they can, since a
//! connection may outlive its destination, or have come from a peer whose destinations are not ours.

mod bypass;
mod direct;
mod masquerade;
pub(crate) mod translate;
mod tunnel;

pub(crate) use tunnel::overhead as tunnel_overhead;

use core::net::IpAddr;

use inet::{DropReason, IcmpError, NextHop, icmp};
use wire::{Family, PacketBuf, PacketInfo, ether, rewrite};

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::{Context, Hook};
use crate::{ConnFlags, DestId, Method, Verdict};

/// What every IPv6 link carries, in bytes (RFC 8200).
pub(crate) const IPV6_MIN_MTU: u16 = 1280;

/// What is asked of the way to a destination.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outward {
    /// Where the packet, or the tunnel that it goes through, ends.
    pub(crate) target: IpAddr,
    /// Bytes that a tunnel's header takes of the MTU.
    pub(crate) overhead: u16,
    /// A path MTU to the target that has been learned.
    pub(crate) path_mtu: Option<u16>,
    /// IPv4 packets may be larger than the MTU even if they may not be fragmented.
    pub(crate) any_size: bool,
    /// The destination whose output the ICMP errors that we make count as: those to clients whose replies do not pass
    /// here, because to Linux they look like replies.
    pub(crate) counts_for: Option<DestId>,
}

impl Outward {
    /// The way of a packet that both directions of are translated here.
    pub(crate) fn translated(target: IpAddr) -> Self {
        Self { target, overhead: 0, path_mtu: None, any_size: false, counts_for: None }
    }
}

/// The destination whose output errors about a packet of the connection count as: none for a connection that none finds.
fn counts_for<K: FlowKey>(conn: &Connection<K>) -> Option<DestId> {
    (!conn.flags.has(ConnFlags::ONE_PACKET)).then_some(conn.dest)
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Out, with its TTL spent.
    Link(NextHop),
    /// To this host's own stack.
    Host,
}

impl From<Way> for Verdict {
    fn from(way: Way) -> Self {
        match way {
            Way::Link(hop) => Self::Tx(hop),
            Way::Host => Self::ToHost,
        }
    }
}

impl Core {
    /// Sends a client's packet, or an ICMP error to a destination whose packets are not translated, by the
    /// connection's method.
    pub(crate) fn transmit<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        conn: &Connection<K>,
    ) -> Verdict {
        let sent = match conn.method {
            Method::Masquerade | Method::Fullnat => self.masquerade(context, packet, info, conn),
            Method::DirectRouting => self.direct(context, packet, info, conn),
            Method::Tunnel => self.tunnel(context, packet, info, conn),
            Method::LocalNode => Ok(Way::Host),
            Method::Bypass => self.bypass(context, packet, info),
        };
        sent.map_or_else(|refused| refused, Verdict::from)
    }

    /// The way towards a target, with the packet's TTL spent and its size found to fit; or what becomes of the packet
    /// instead [__ip_vs_get_out_rt].
    pub(crate) fn outward<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        to: &Outward,
    ) -> Result<Way, Verdict> {
        if is_local(context, to.target) {
            // What passes through is another's, and not turned inwards.
            let passes = context.hook == Hook::Forward;
            return if passes { Err(Verdict::Drop(DropReason::LocalNode)) } else { Ok(Way::Host) };
        }
        let Some(hop) = context.snapshot.net.route(to.target) else {
            let kind = IcmpError::HostUnreachable;
            return Err(self.answer(context, packet, info, kind, DropReason::NoRoute, to.counts_for));
        };
        if info.ttl <= 1 {
            let kind = IcmpError::TimeExceeded;
            return Err(self.answer(context, packet, info, kind, DropReason::TtlExceeded, to.counts_for));
        }
        rewrite::decrement_ttl(packet.bytes_mut(), info);
        let hop = NextHop { mtu: to.path_mtu.map_or(hop.mtu, |path| path.min(hop.mtu)), ..hop };
        let mut mtu = hop.mtu.saturating_sub(to.overhead);
        if info.family == Family::V6 && to.overhead > 0 {
            // The least that a client can be told (RFC 2473, 7.1).
            mtu = mtu.max(IPV6_MIN_MTU);
        }
        if len_to_pass(info) > usize::from(mtu) && !may_exceed(packet.bytes(), info, to) {
            let kind = IcmpError::FragmentationNeeded { mtu };
            return Err(self.answer(context, packet, info, kind, DropReason::MtuExceeded, to.counts_for));
        }
        Ok(Way::Link(hop))
    }

    /// Turns a packet into an ICMP error to its sender, from the address that it was sent to if that is ours.
    pub(crate) fn answer<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        kind: IcmpError,
        reason: DropReason,
        counts_for: Option<DestId>,
    ) -> Verdict {
        // What was delivered here by its mark is answered by the address that it was sent to, as Linux's local routes have it; of IPv6
        // Linux wants an address that is its own.
        let to = info.dst(packet.bytes());
        let services = &context.snapshot.services;
        let marked = info.mark != 0 && to.is_ipv4() && services.find_mark(info.mark, info.family).is_some();
        let source = marked.then_some(to);
        match icmp::error(&context.snapshot.net, packet, info, kind, source, self.next_ip_id()) {
            Some(()) => {
                if let Some(dest) = counts_for {
                    let bytes = packet.bytes().len().saturating_sub(ether::HEADER_LEN);
                    self.count_out(context.snapshot, dest, bytes as u64);
                }
                Verdict::Answer(reason)
            }
            None => Verdict::Drop(reason),
        }
    }
}

/// Whether an address is this host's own.
pub(crate) fn is_local(context: &Context<'_>, addr: IpAddr) -> bool {
    addr.is_loopback() || context.snapshot.net.own(addr).is_some()
}

/// What has to fit the MTU of a packet that came in fragments: of IPv4 the whole, of IPv6 the largest of them, since they
/// leave no larger [__mtu_check_toobig_v6].
fn len_to_pass(info: &PacketInfo) -> usize {
    match info.family {
        Family::V4 => info.ip_len(),
        Family::V6 => info.largest_len(),
    }
}

/// Whether a packet may go on although it is larger than the MTU: to be fragmented where it leaves.
fn may_exceed(frame: &[u8], info: &PacketInfo, to: &Outward) -> bool {
    match info.family {
        Family::V4 => to.any_size || !translate::dont_fragment(frame, info),
        Family::V6 => false,
    }
}
