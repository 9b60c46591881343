//! What destinations send [ip_vs_out, handle_response].
//!
//! The source becomes the virtual service; under FULLNAT the destination becomes the client as well, and with that the
//! packet leaves the local address it came to. What has been rewritten is done with: its verdict is [`Verdict::Stop`]. A
//! destination that has been removed may still answer what it took, it is only no more counted.

use conntab::{ConnId, Direction};
use inet::{DropReason, IcmpError};
use wire::{PacketBuf, PacketInfo, rewrite, sctp, tcp};

use crate::connection::FlowKey;
use crate::director::Core;
use crate::hooks::{Context, Hook};
use crate::trace::Step;
use crate::xmit::{Outward, translate};
use crate::{ConnFlags, Method, Protocol, Snapshot, Verdict};

impl Core {
    /// A packet that may be a reply from the virtual address itself, to a client whose connection is not translated, and
    /// that happens to come by: it counts and moves the state, and goes on as it is. Returns whether it is one.
    pub(crate) fn overhear<K: FlowKey>(&mut self, context: &Context<'_>, info: &PacketInfo, key: &K) -> bool {
        let table = K::table(&self.tables);
        if let Some(id) = table.lookup_in(&key.reversed(), Direction::Original)
            && let Some(conn) = table.get(id).filter(|conn| !conn.method.translates())
        {
            self.count_out(context.snapshot, conn.dest, info.ip_len() as u64);
            self.transition::<K>(context, id, Direction::Reply, info);
            return true;
        }
        false
    }

    /// A packet of no connection. If `nat_icmp_send` asks for it, a real server is told that what it answers is gone.
    pub(crate) fn stray<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        protocol: Protocol,
    ) -> Option<Verdict> {
        let Snapshot { settings, services, .. } = context.snapshot;
        let concerns = settings.nat_icmp_send
            && !protocol.goes_by_address()
            && !resets(info)
            && services.is_real_server(protocol, info.src(packet.bytes()), info.sport);
        if !concerns {
            return None;
        }
        if context.hook == Hook::Forward {
            // What is quoted has passed the hop that this host is, as in Linux.
            rewrite::decrement_ttl(packet.bytes_mut(), info);
        }
        Some(self.answer(context, packet, info, IcmpError::PortUnreachable, DropReason::NotConnection, None))
    }

    /// The connection that a packet of none begins, if a destination may begin one with it.
    pub(crate) fn begun_by_server<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        key: &K,
    ) -> Option<Result<ConnId, DropReason>> {
        self.begin_transfer(context, key, info).or_else(|| self.begin_called(context, frame, info, key))
    }

    /// A destination's packet on a connection that it has begun itself, or that could not be made.
    pub(crate) fn output_of<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        begun: Result<ConnId, DropReason>,
    ) -> Verdict {
        match begun {
            Ok(id) => {
                let verdict = self.output::<K, B>(context, packet, info, id);
                let conn = K::table(&self.tables).get(id);
                if conn.is_some_and(|conn| conn.flags.has(ConnFlags::ONE_PACKET)) {
                    self.finish_one_packet::<K>(id);
                }
                verdict
            }
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// A destination's packet on a connection.
    pub(crate) fn output<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        id: ConnId,
    ) -> Verdict {
        let Some(conn) = K::table(&self.tables).get(id).copied() else { return Verdict::Accept };
        self.tracer.step(Step::Connection { direction: Direction::Reply, dest: conn.dest });
        let to_client = conn.translated(Direction::Reply);
        // What is addressed to the client has its way: masqueraded replies that pass through, and what the host sends.
        let mut verdict = Verdict::Stop;
        if conn.method == Method::Fullnat && context.hook != Hook::LocalOut {
            let outward = Outward::translated(to_client.dst().into());
            match self.outward(context, packet, info, &outward) {
                Ok(way) => verdict = way.into(),
                Err(refused) => return refused,
            }
        }
        let info = &match self.help(context, packet, info, &conn, Direction::Reply) {
            Ok(info) => info,
            Err(refused) => return refused,
        };
        translate::packet(packet.bytes_mut(), info, &to_client);
        self.count_out(context.snapshot, conn.dest, info.ip_len() as u64);
        self.transition::<K>(context, id, Direction::Reply, info);
        verdict
    }
}

/// Whether a packet ends a connection at once, so that nobody need be told that there is none
/// [is_tcp_reset, is_sctp_abort].
fn resets(info: &PacketInfo) -> bool {
    info.tcp_flags & tcp::RST != 0 || info.sctp.is_some_and(|lead| lead.first == sctp::ABORT)
}
