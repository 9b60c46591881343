//! What clients send [ip_vs_in].
//!
//! A packet of a known connection is counted, moves the connection's state and goes to its destination. Two things end
//! a connection instead, and have its packet scheduled as if it had never been: a SYN or INIT that opens it anew, and a
//! destination that is gone when `expire_nodest_conn` says so.

use conntab::{ConnId, Direction};
use inet::DropReason;
use wire::{PacketBuf, PacketInfo, sctp, tcp};

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::protocol::sctp::SctpState;
use crate::protocol::tcp::TcpState;
use crate::protocol::{self, Ports, Protocol};
use crate::sync::configured_dest;
use crate::trace::Step;
use crate::{ConnFlags, Dest, Method, Settings, Verdict};

/// How long another worker's replies are handed on without one: as long as an idle TCP connection lives.
const REDIRECT_MS: u64 = 900_000;

impl Core {
    /// A client's packet on a connection.
    pub(crate) fn input<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        id: ConnId,
    ) -> Verdict {
        let Some(conn) = K::table(&self.tables).get(id).copied() else { return Verdict::Accept };
        self.tracer.step(Step::Connection { direction: Direction::Original, dest: conn.dest });
        if let Some(worker) = conn.dest.redirected() {
            let until_ms = context.now_ms.saturating_add(REDIRECT_MS);
            K::table_mut(&mut self.tables).set_expiry(id, until_ms);
            return Verdict::Steer(worker);
        }
        let settings = &context.snapshot.settings;
        let dest = configured_dest(context.snapshot, &conn);
        let gone = dest.is_none() && conn.dest.is_configured();
        let controlled = self.is_controlled(&conn);
        if opens_anew(settings, &conn, controlled, dest, info) || (gone && settings.expire_nodest_conn) {
            self.retire::<K>(id);
            return self.schedule::<K, B>(context, packet, info, &conn.original, conn.protocol());
        }
        let portless = Protocol::of(info).is_some_and(Protocol::goes_by_address);
        if portless && conn.method == Method::Fullnat {
            return Verdict::Drop(DropReason::FullnatWithoutPorts);
        }
        if gone {
            // The timer is left alone: the connection waits for its destination to come back, but not for ever.
            return Verdict::Drop(DropReason::DestinationGone);
        }
        self.pass::<K, B>(context, packet, info, id)
    }

    /// Counts a client's packet, lets it move its connection's state, and sends it to the destination.
    pub(crate) fn pass<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        id: ConnId,
    ) -> Verdict {
        let Some(conn) = self.transition::<K>(context, id, Direction::Original, info) else {
            return Verdict::Accept;
        };
        self.count_in(context.snapshot, conn.dest, info.ip_len() as u64);
        let verdict = if !conn.flags.has(ConnFlags::NO_CLIENT_PORT) || !conn.method.translates() {
            self.transmit::<K, B>(context, packet, info, &conn)
        } else {
            let port = Ports::of(info).sport;
            match self.fill_client_port::<K>(id, port) {
                Ok(()) => self.transmit::<K, B>(context, packet, info, &conn.with_client_port(port)),
                Err(reason) => Verdict::Drop(reason),
            }
        };
        self.tell::<K>(context, id);
        verdict
    }

    /// Lets a packet move its connection's state, and the connection live from now for as long as that state allows
    /// [ip_vs_set_state]. Returns the connection as it is then.
    pub(crate) fn transition<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        id: ConnId,
        direction: Direction,
        info: &PacketInfo,
    ) -> Option<Connection<K>> {
        let secure = self.defences.level().secure_tcp;
        let table = K::table_mut(&mut self.tables);
        let conn = table.get_mut(id)?;
        let protocol = conn.protocol();
        let was_active = conn.is_active();
        let towards = match direction {
            Direction::Original => {
                conn.in_pkts = conn.in_pkts.wrapping_add(1);
                protocol::Direction::from_client(conn.input_only())
            }
            Direction::Reply => {
                conn.out_pkts = conn.out_pkts.wrapping_add(1);
                conn.flags = conn.flags.with(ConnFlags::NO_OUTPUT, false);
                protocol::Direction::Output
            }
        };
        let before = conn.state;
        conn.state = protocol.transition(before, towards, info, secure);
        // What a master said of a connection holds until its state changes.
        if conn.state != before {
            conn.flags = conn.flags.with(ConnFlags::INACTIVE, !protocol.is_active(conn.state));
        }
        let conn = *conn;
        self.tracer.step(Step::State { protocol, from: before, to: conn.state });
        let timeout_ms = protocol.timeout_ms(conn.state, &context.snapshot.timeouts);
        table.set_expiry(id, context.now_ms.saturating_add(timeout_ms));
        if conn.is_active() != was_active
            && let Some(dest) = self.own().dest(conn.dest)
        {
            dest.set_active(!was_active);
        }
        if conn.side.is_some() && protocol.assures(before, conn.state, direction) {
            self.assure::<K>(&conn);
        }
        Some(conn)
    }
}

/// Whether this packet is a SYN or INIT that begins another connection between the same endpoints, rather than one of the
/// connection that there is [is_new_conn, is_new_conn_expected, conn_reuse_mode].
fn opens_anew<K: FlowKey>(
    settings: &Settings,
    conn: &Connection<K>,
    controlled: bool,
    dest: Option<&Dest>,
    info: &PacketInfo,
) -> bool {
    let begins = match Protocol::of(info) {
        Some(Protocol::Tcp) => info.tcp_flags & tcp::SYN != 0,
        Some(Protocol::Sctp) => info.sctp.is_some_and(|lead| lead.first == sctp::INIT),
        Some(Protocol::Udp | Protocol::Ah | Protocol::Esp | Protocol::Gre) | None => false,
    };
    if !begins {
        return false;
    }
    let quiesced = settings.expire_nodest_conn && dest.is_some_and(|dest| dest.weight == 0);
    let closed = match conn.protocol() {
        Protocol::Sctp => SctpState::from(conn.state) == SctpState::Closed,
        _ => match TcpState::from(conn.state) {
            TcpState::TimeWait | TcpState::Close => true,
            TcpState::FinWait => settings.conn_reuse_mode & 2 != 0 && conn.input_only(),
            _ => false,
        },
    };
    // What another controls goes where that goes, so it may as well stay.
    quiesced || (settings.conn_reuse_mode != 0 && closed && !controlled)
}
