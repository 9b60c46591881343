//! ICMP errors that concern a connection [ip_vs_in_icmp, ip_vs_out_icmp].
//!
//! An error quotes a packet of the connection as it was where the error arose, so the quotation leads back to the
//! connection, and both the error and its quotation are translated for the one who sent that packet:
//!
//! | from | quotes | becomes |
//! | --- | --- | --- |
//! | the client's side, to the virtual address | a reply as the client gets it | about the reply as the server sent it, to the server |
//! | the server's side, to the client or the local address | a request as the server gets it | about the request as the client sent it, from the virtual address to the client |
//! | the server's side, to the client | a request as the client sent it (nothing translated) | as it is |
//! | a tunnel's path, to this host | the tunnel packet | about the packet inside, from the virtual address to the client; a path MTU is learned |
//!
//! Errors are counted like any packet of their direction, but move neither state nor timer. With `schedule_icmp` one that
//! comes from the client's side and concerns no connection makes one, so that the server hears of it that a director before
//! this one gave the client to.

use conntab::{Direction, Key4, Key6};
use inet::{DropReason, IcmpError, PathMtu, icmp::checksum_ok};
use wire::{
    Family, Fragment, PacketBuf, PacketInfo, Quoted, ether, icmp, icmpv6, ipv4, parse, protocol, rewrite,
};

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::{Context, Hook};
use crate::sync::{configured_dest, unknown_dest};
use crate::trace::Step;
use crate::xmit::{IPV6_MIN_MTU, Outward, translate, tunnel_overhead};
use crate::{Dest, Method, Protocol, Snapshot, Tunnel, Verdict};

/// What every IPv4 link carries, in bytes (RFC 791).
const IPV4_MIN_MTU: u16 = 68;

impl Core {
    /// An error about a reply, from the client's side: on to the server. `None`: not of a connection.
    pub(crate) fn in_icmp<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
    ) -> Option<Verdict> {
        let quoted = quoted_by_error(packet.bytes(), info)?;
        if let Some(inside) = tunnelled(context.snapshot, packet.bytes(), &quoted.packet) {
            return match inside.family {
                Family::V4 => self.tunnel_error::<Key4, B>(context, packet, info, &quoted, &inside),
                Family::V6 => self.tunnel_error::<Key6, B>(context, packet, info, &quoted, &inside),
            };
        }
        let conn = match self.quoted_connection::<K>(packet.bytes(), &quoted, Direction::Original) {
            Some(conn) => conn,
            None => match self.schedule_quoted::<K>(context, packet.bytes(), info, &quoted)? {
                Ok(conn) => conn,
                Err(refused) => return Some(refused),
            },
        };
        self.tracer.step(Step::Connection { direction: Direction::Original, dest: conn.dest });
        let info = &past_hop(context, packet, info);
        if !conn.method.translates() {
            self.count_in(context.snapshot, conn.dest, info.ip_len() as u64);
            return Some(self.transmit::<K, B>(context, packet, info, &conn));
        }
        if !checksum_ok(packet.bytes(), info) {
            return Some(Verdict::Drop(DropReason::IcmpBadChecksum));
        }
        self.count_in(context.snapshot, conn.dest, info.ip_len() as u64);
        let to_server = conn.translated(Direction::Original);
        let outward = Outward { any_size: true, ..Outward::translated(to_server.dst().into()) };
        Some(match self.towards_server(context, packet, info, &outward) {
            Ok(way) => {
                let source = (conn.method == Method::Fullnat).then(|| to_server.src());
                let ends = (source, Some(to_server.dst()));
                translate::error::<K>(packet.bytes_mut(), info, &quoted, ends, &conn.reply);
                way.into()
            }
            Err(refused) => refused,
        })
    }

    /// A connection for an error that concerns none, where `schedule_icmp` asks for one.
    fn schedule_quoted<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        quoted: &Quoted,
    ) -> Option<Result<Connection<K>, Verdict>> {
        if quoted.packet.fragment == Fragment::Later {
            return None;
        }
        let key = K::of(frame, &quoted.packet).reversed();
        let made = self.schedule_error(context, frame, info, &key)?;
        Some(made.and_then(|id| K::table(&self.tables).get(id).copied().ok_or(Verdict::Accept)))
    }

    /// An error about a request, from the server's side: on to the client. `None`: not of a connection.
    pub(crate) fn out_icmp<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
    ) -> Option<Verdict> {
        let quoted = quoted_by_error(packet.bytes(), info)?;
        let Some(conn) = self.quoted_connection::<K>(packet.bytes(), &quoted, Direction::Reply) else {
            return self.overhear_error::<K>(context, packet.bytes(), info, &quoted);
        };
        self.tracer.step(Step::Connection { direction: Direction::Reply, dest: conn.dest });
        if !checksum_ok(packet.bytes(), info) {
            return Some(Verdict::Drop(DropReason::IcmpBadChecksum));
        }
        let to_client = conn.translated(Direction::Reply);
        let mut verdict = Verdict::Stop;
        let client = (conn.method == Method::Fullnat).then(|| to_client.dst());
        if client.is_some() && context.hook != Hook::LocalOut {
            let outward = Outward { any_size: true, ..Outward::translated(to_client.dst().into()) };
            match self.outward(context, packet, info, &outward) {
                Ok(way) => verdict = way.into(),
                Err(refused) => return Some(refused),
            }
        }
        self.count_out(context.snapshot, conn.dest, info.ip_len() as u64);
        let ends = (Some(to_client.src()), client);
        translate::error::<K>(packet.bytes_mut(), info, &quoted, ends, &conn.original);
        Some(verdict)
    }

    /// An error about a request that was not translated, on its way to the client: it counts, and goes on as it is.
    fn overhear_error<K: FlowKey>(
        &self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        quoted: &Quoted,
    ) -> Option<Verdict> {
        if quoted.packet.fragment == Fragment::Later {
            return None;
        }
        let table = K::table(&self.tables);
        let id = table.lookup_in(&K::of(frame, &quoted.packet), Direction::Original)?;
        let conn = table.get(id).filter(|conn| !conn.method.translates())?;
        self.count_out(context.snapshot, conn.dest, info.ip_len() as u64);
        Some(Verdict::Accept)
    }

    /// Whether a packet is an error about a packet of a connection.
    pub(crate) fn quotes_connection<K: FlowKey>(&self, frame: &[u8], info: &PacketInfo) -> bool {
        quoted_by_error(frame, info).is_some_and(|quoted| {
            [Direction::Original, Direction::Reply]
                .into_iter()
                .any(|direction| self.quoted_connection::<K>(frame, &quoted, direction).is_some())
        })
    }

    /// The connection of which a packet is quoted that goes against `direction`.
    fn quoted_connection<K: FlowKey>(
        &self,
        frame: &[u8],
        quoted: &Quoted,
        direction: Direction,
    ) -> Option<Connection<K>> {
        let protocol = Protocol::of(&quoted.packet)?;
        if quoted.packet.fragment == Fragment::Later && !protocol.goes_by_address() {
            return None;
        }
        let key = K::of(frame, &quoted.packet).reversed();
        let table = K::table(&self.tables);
        let id = match direction {
            Direction::Original => self.find_original(&key),
            Direction::Reply => table.lookup_in(&key, Direction::Reply),
        };
        id.and_then(|id| table.get(id)).copied()
    }

    /// An error about a tunnel packet of ours, whose content is `inside`: the client is told about its own packet.
    fn tunnel_error<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        quoted: &Quoted,
        inside: &PacketInfo,
    ) -> Option<Verdict> {
        // Only an error to this host itself is about a packet of this host.
        if context.hook != Hook::LocalIn {
            return None;
        }
        let key = K::of(packet.bytes(), inside);
        let table = K::table(&self.tables);
        let conn = table.lookup_in(&key, Direction::Original).and_then(|id| table.get(id))?;
        let unknown = unknown_dest(conn);
        let dest = unknown.as_ref().or_else(|| configured_dest(context.snapshot, conn))?;
        let ends = dest.addr == quoted.packet.dst(packet.bytes()) && carries(dest.tunnel, &quoted.packet);
        if conn.method != Method::Tunnel || !ends {
            return None;
        }
        if !checksum_ok(packet.bytes(), info) {
            return Some(Verdict::Drop(DropReason::IcmpBadChecksum));
        }
        let Some(kind) = self.about_inside(context, packet.bytes(), info, inside, dest) else {
            return Some(Verdict::Drop(DropReason::MtuExceeded));
        };
        let bare = uncover(packet, inside);
        // What was quoted counts beside the answer, which counts as any that goes to a client.
        self.count_out(context.snapshot, dest.id, bare.ip_len() as u64);
        Some(self.answer(context, packet, &bare, kind, DropReason::TunnelError, Some(dest.id)))
    }

    /// What an error about a tunnel packet says about the packet inside; notes the path MTU that it tells. `None`: nothing,
    /// since the client lets its packets be fragmented.
    fn about_inside(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        inside: &PacketInfo,
        dest: &Dest,
    ) -> Option<IcmpError> {
        let message = info.upper(frame);
        let (kind, code) = (icmp::kind(message), icmp::code(message));
        let too_big = match info.family {
            Family::V4 => {
                (kind == icmp::UNREACHABLE && code == icmp::FRAG_NEEDED).then(|| icmp::mtu(message))
            }
            Family::V6 => (kind == icmpv6::PACKET_TOO_BIG)
                .then(|| u16::try_from(icmpv6::mtu(message)).unwrap_or(u16::MAX)),
        };
        let Some(mtu) = too_big else {
            // The numbers mean the same in one family only; RFC 4213, 3.4: else the tunnel's end is unreachable.
            return Some(if info.family == inside.family {
                IcmpError::Other { kind, code, rest: [0; 4] }
            } else {
                IcmpError::HostUnreachable
            });
        };
        if self.pmtu.learn(context.now_ms, dest.addr, mtu) {
            self.news = Some(PathMtu { dst: dest.addr, mtu });
        }
        let mtu = self.pmtu.get(context.now_ms, dest.addr).unwrap_or(mtu);
        let least = match inside.family {
            Family::V4 if !ipv4::dont_fragment(inside.ip(frame)) => return None,
            Family::V4 => IPV4_MIN_MTU,
            Family::V6 => IPV6_MIN_MTU,
        };
        Some(IcmpError::FragmentationNeeded { mtu: mtu.saturating_sub(tunnel_overhead(dest)).max(least) })
    }
}

/// A packet that passes through has spent its TTL on this host as a router before FORWARD sees it, as in Linux: an error that
/// then goes to a server spends it again.
fn past_hop<B: PacketBuf>(context: &Context<'_>, packet: &mut B, info: &PacketInfo) -> PacketInfo {
    if context.hook != Hook::Forward {
        return *info;
    }
    rewrite::decrement_ttl(packet.bytes_mut(), info);
    PacketInfo { ttl: info.ttl.saturating_sub(1), ..*info }
}

/// The packet inside a packet that an ICMP error quotes, if it may be a tunnel's.
pub(crate) fn tunnelled(snapshot: &Snapshot, frame: &[u8], quoted: &PacketInfo) -> Option<PacketInfo> {
    if quoted.protocol == protocol::UDP {
        let gue = snapshot.services.is_gue_end(quoted.dst(frame), quoted.dport);
        return gue.then(|| parse::parse_encapsulated_gue(frame, quoted)).flatten();
    }
    parse::parse_encapsulated(frame, quoted)
}

/// Whether such a packet is of this kind of tunnel.
fn carries(tunnel: Tunnel, quoted: &PacketInfo) -> bool {
    match tunnel {
        Tunnel::Ipip => matches!(quoted.protocol, protocol::IPIP | protocol::IPV6),
        Tunnel::Gre { .. } => quoted.protocol == protocol::GRE,
        Tunnel::Gue { port, .. } => quoted.protocol == protocol::UDP && quoted.dport == port,
    }
}

/// The packet that an ICMP error quotes, if errors of its type concern connections. ICMP over IPv4: unreachable, source
/// quench, time exceeded; ICMPv6: all errors. Fragments of errors are not gathered and concern none.
fn quoted_by_error(frame: &[u8], info: &PacketInfo) -> Option<Quoted> {
    let kind = icmp::kind(info.upper(frame));
    let concerns = match info.family {
        Family::V4 => matches!(kind, icmp::UNREACHABLE | icmp::SOURCE_QUENCH | icmp::TIME_EXCEEDED),
        Family::V6 => icmpv6::quotes(kind),
    };
    if !concerns || info.fragment != Fragment::No {
        return None;
    }
    parse::parse_quoted(frame, info)
}

/// Takes off everything between the Ethernet header and the packet at `inside`, which is in the frame. Returns where its
/// parts lie then.
fn uncover<B: PacketBuf>(packet: &mut B, inside: &PacketInfo) -> PacketInfo {
    let cut = inside.l3 - ether::HEADER_LEN as u16;
    let mut header = [0; ether::HEADER_LEN];
    header.copy_from_slice(&packet.bytes()[..ether::HEADER_LEN]);
    packet.adj(usize::from(cut));
    let frame = packet.bytes_mut();
    frame[..ether::HEADER_LEN].copy_from_slice(&header);
    ether::set_ethertype(
        frame,
        match inside.family {
            Family::V4 => ether::IPV4,
            Family::V6 => ether::IPV6,
        },
    );
    PacketInfo { l3: inside.l3 - cut, l4: inside.l4 - cut, end: inside.end - cut, ..*inside }
}
