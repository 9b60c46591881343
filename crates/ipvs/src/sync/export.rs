//! What a master tells: after a client's packet its connection, and what controls that [ip_vs_sync_conn].

use core::net::SocketAddr;

use conntab::ConnId;
use wire::sync::{Shifts, Version, flags};

use super::due::{Subject, is_due};
use super::told::CHAIN_MAX;
use super::{EngineData, Record, SyncSettings};
use crate::connection::{Connection, FlowKey};
use crate::director::{Core, Director};
use crate::hooks::Context;
use crate::side::Side;
use crate::{Call, ConnFlags, Engine, Helper, Method, Protocol, Timeouts};

impl Director {
    /// What the last packet has to tell backups.
    pub fn take_records(&mut self) -> impl Iterator<Item = Record> + '_ {
        self.core.sync.pending.drain(..)
    }
}

impl Core {
    /// A client's packet has passed on this connection: tells of it, and of what controls it, if it is time.
    pub(crate) fn tell<K: FlowKey>(&mut self, context: &Context<'_>, id: ConnId) {
        let settings = &context.snapshot.settings.sync;
        if !settings.master {
            return;
        }
        let mut next = Some(id);
        for link in 0..CHAIN_MAX {
            let Some(id) = next else { return };
            let Some(conn) = K::table_mut(&mut self.tables).get_mut(id) else { return };
            let pkts = match () {
                () if link == 0 => conn.in_pkts,
                // What it controls has counted for it.
                () if conn.is_template() => {
                    conn.in_pkts = conn.in_pkts.wrapping_add(1);
                    conn.in_pkts
                }
                () => settings.threshold,
            };
            let conn = *conn;
            let told = self.tell_one(context, id, &conn, pkts);
            if !told && link == 0 && settings.version == Version::V0 {
                return;
            }
            next = self.side.get(conn.side).and_then(|side| side.control).map(|control| control.id);
        }
    }

    /// Tells of one connection, if it is time. Returns whether it was.
    fn tell_one<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        id: ConnId,
        conn: &Connection<K>,
        pkts: u32,
    ) -> bool {
        let settings = &context.snapshot.settings.sync;
        if conn.flags.has(ConnFlags::ONE_PACKET) {
            return false;
        }
        let side = self.side.get(conn.side).copied();
        let subject = Subject {
            template: conn.is_template(),
            persistent: settings.persist_mode && self.is_persistent(conn),
            protocol: conn.protocol(),
            state: conn.state,
            timeout_ms: timeout_ms(conn, side.as_ref(), &context.snapshot.timeouts),
            pkts,
        };
        let mut told = self.sync.get(K::FAMILY, id);
        if !is_due(settings, context.now_ms, &subject, &mut told) {
            return false;
        }
        self.sync.set(K::FAMILY, id, told);
        if self.sync.pending.len() < CHAIN_MAX {
            let record = record(id, conn, side.as_ref(), settings, subject.timeout_ms);
            let (shifts, tracked) = self.session_record(side.as_ref(), conn);
            let flags = if tracked { record.flags | flags::CONNTRACK } else { record.flags };
            let record = Record { shifts, flags, ..record };
            let call = side.and_then(|side| self.calls.get(side.call?));
            self.sync.pending.push(call.map_or(record, |call| with_call(record, conn.reply.dport(), call)));
        }
        true
    }

    /// What a helper made of a connection's numbers, and whether Linux would have netfilter track it: that is so of FTP's
    /// sessions and data connections.
    fn session_record<K: FlowKey>(
        &self,
        side: Option<&Side>,
        conn: &Connection<K>,
    ) -> (Option<Shifts>, bool) {
        let Some(side) = side else { return (None, false) };
        let by_session = side.control.and_then(|control| K::table(&self.tables).get(control.id));
        let expected = conn.protocol() == Protocol::Tcp && by_session.is_some_and(|by| !by.is_template());
        let Some(session) = side.session.and_then(|at| self.sessions.get(at)) else {
            return (None, expected);
        };
        let plain = session.input.is_plain() && session.output.is_plain();
        let shifts = Shifts { input: session.input.shift(), output: session.output.shift() };
        ((!plain).then_some(shifts), session.helper == Helper::Ftp)
    }

    /// Whether a template controls a connection, be it by way of another [in_persistence].
    fn is_persistent<K: FlowKey>(&self, conn: &Connection<K>) -> bool {
        let mut side = self.side.get(conn.side);
        for _ in 0..CHAIN_MAX {
            let Some(control) = side.and_then(|side| side.control) else { return false };
            match K::table(&self.tables).get(control.id) {
                Some(conn) if conn.is_template() => return true,
                _ => side = self.side.get(control.side),
            }
        }
        false
    }
}

/// How long a connection lives from its last packet on.
fn timeout_ms<K: FlowKey>(conn: &Connection<K>, side: Option<&Side>, timeouts: &Timeouts) -> u64 {
    match side.map_or(0, |side| side.timeout_ms) {
        0 => conn.protocol().timeout_ms(conn.state, timeouts),
        own => own.into(),
    }
}

fn record<K: FlowKey>(
    id: ConnId,
    conn: &Connection<K>,
    side: Option<&Side>,
    settings: &SyncSettings,
    timeout_ms: u64,
) -> Record {
    let end = |addr: K::Addr, port| SocketAddr::new(addr.into(), port);
    let elsewhere = side.and_then(|side| side.dest_addr);
    let destination = end(conn.reply.src(), conn.reply.sport());
    // Linux tracks the sessions of its helper whatever the setting [ip_vs_ftp_init_conn].
    let helped = side.is_some_and(|side| side.session.is_some());
    let tracked = if settings.conntrack || helped { flags::CONNTRACK } else { 0 };
    Record {
        protocol: conn.original.protocol_number(),
        flags: u32::from(conn.flags.with(ConnFlags::HASHED, false).bits()) | method(conn.method) | tracked,
        state: conn.state.0.into(),
        client: end(conn.original.src(), conn.original.sport()),
        service: end(conn.original.dst(), conn.original.dport()),
        destination: elsewhere.map_or(destination, |addr| SocketAddr::new(addr, destination.port())),
        fwmark: side.map_or(0, |side| side.mark),
        timeout_s: u32::try_from(timeout_ms / 1000).unwrap_or(u32::MAX),
        local: (conn.method == Method::Fullnat).then(|| end(conn.reply.dst(), conn.reply.dport())),
        shifts: None,
        engine: None,
        lane: id.index() as u32,
    }
}

/// A template's record with the call that it is for, whose hash its key has in place of ports.
fn with_call(record: Record, port: u16, call: &Call) -> Record {
    Record {
        client: SocketAddr::new(record.client.ip(), port),
        service: SocketAddr::new(record.service.ip(), call.port()),
        engine: EngineData::new(Engine::Sip, call.id().as_bytes()),
        ..record
    }
}

/// The method's number in messages. Linux has none for FULLNAT: it takes such a connection for a masqueraded one.
fn method(method: Method) -> u32 {
    match method {
        Method::Masquerade | Method::Fullnat => flags::MASQUERADE,
        Method::Tunnel => flags::TUNNEL,
        Method::DirectRouting => flags::DIRECT_ROUTE,
        Method::LocalNode => flags::LOCALNODE,
        Method::Bypass => flags::BYPASS,
    }
}
