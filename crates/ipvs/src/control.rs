//! Connections that control others, and connections that are expected [ip_vs_control_add, ip_vs_conn_fill_cport].
//!
//! A template controls the connections of its clients, an FTP session its data connections. What controls is of the same family
//! as what it controls, and outlives it (`lifetime`). An expected connection is made before its first packet, by what a helper
//! read in another: of its client it may know the address only, and then the first packet that comes fills the port in.

use conntab::{ConnId, Direction, InsertError};
use inet::DropReason;

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::side::{Control, Side, SideIndex};
use crate::{ConnFlags, Method, State};

/// What a template's state is once a client's connection was established [IP_VS_CTPL_S_ASSURED].
const ASSURED: State = State(1);

/// A connection that is expected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<K: FlowKey> {
    /// What the client's packets will carry; source port 0: any.
    pub(crate) original: K,
    /// The destination's own endpoint. The destination is that of the connection that controls this one.
    pub(crate) server: (K::Addr, u16),
    /// Its state until the first packet, and how long it waits for that.
    pub(crate) state: State,
    /// In milliseconds.
    pub(crate) timeout_ms: u64,
}

impl<K: FlowKey> Connection<K> {
    /// Whether a template's client has had an established connection.
    pub(crate) fn is_assured(&self) -> bool {
        self.is_template() && self.state == ASSURED
    }
}

impl Core {
    /// Whether another connection, or a template, controls one.
    pub(crate) fn is_controlled<K: FlowKey>(&self, conn: &Connection<K>) -> bool {
        self.side.get(conn.side).is_some_and(|side| side.control.is_some())
    }

    /// A connection's side record, made if there is none.
    pub(crate) fn side_of<K: FlowKey>(&mut self, id: ConnId) -> Result<SideIndex, DropReason> {
        let Some(conn) = K::table_mut(&mut self.tables).get_mut(id) else { return Ok(SideIndex::NONE) };
        if !conn.side.is_some() {
            conn.side = self.side.insert(Side::default()).ok_or(DropReason::SideTableFull)?;
        }
        Ok(conn.side)
    }

    /// What a connection that is to be controlled by `id` stores.
    pub(crate) fn control_by<K: FlowKey>(&mut self, id: ConnId) -> Result<Control, DropReason> {
        Ok(Control { id, side: self.side_of::<K>(id)? })
    }

    /// The template that controls a connection is from now on kept when memory is short [ip_vs_control_assure_ct].
    pub(crate) fn assure<K: FlowKey>(&mut self, conn: &Connection<K>) {
        let control = self.side.get(conn.side).and_then(|side| side.control);
        let controlling = control.and_then(|control| K::table_mut(&mut self.tables).get_mut(control.id));
        if let Some(template) = controlling.filter(|controlling| controlling.is_template()) {
            template.state = ASSURED;
        }
    }

    /// The connection of a client's packets with this key, or one that waits for them [ip_vs_conn_in_get].
    pub(crate) fn find_original<K: FlowKey>(&self, key: &K) -> Option<ConnId> {
        let table = K::table(&self.tables);
        table.lookup_in(key, Direction::Original).or_else(|| {
            let waiting = self.without_port > 0;
            waiting.then(|| table.lookup_in(&key.with_any_port(), Direction::Original)).flatten()
        })
    }

    /// The connection that a packet with this key belongs to, and the packet's direction: replies first.
    pub(crate) fn find<K: FlowKey>(&self, key: &K) -> Option<(ConnId, Direction)> {
        K::table(&self.tables).lookup(key).or_else(|| {
            let waiting = self.without_port > 0;
            waiting.then(|| Some((self.find_original(key)?, Direction::Original))).flatten()
        })
    }

    /// Makes a connection that a helper expects, controlled by the one in which it read of it. One that is there already is
    /// left as it is, but for its state and timeout, if it can still be what the server's packets will carry: else it makes
    /// way (`stands_for`).
    pub(crate) fn expect<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        by: ConnId,
        expected: &Expected<K>,
    ) -> Result<ConnId, DropReason> {
        let Expected { original, server: (addr, port), state, timeout_ms } = *expected;
        let any_port = original.sport() == 0;
        let key = if any_port { original.with_any_port() } else { original };
        let known = K::table(&self.tables).lookup_in(&key, Direction::Original);
        if let Some(id) = known
            && K::table(&self.tables).get(id).is_some_and(|conn| stands_for(conn, expected))
        {
            return Ok(self.await_anew::<K>(context, id, expected));
        }
        let Some(session) = K::table(&self.tables).get(by).copied() else {
            return Err(DropReason::NotConnection);
        };
        let reply = |client, client_port| K::new(addr, client, port, client_port, original.protocol_number());
        let reply = match session.method {
            Method::Fullnat => {
                let (service, _) =
                    context.snapshot.services.dest(session.dest).ok_or(DropReason::DestinationGone)?;
                // Where the session's own local port leads: to this worker.
                let slot = crate::steering::Slot(session.reply.dport() as u8);
                // A server takes data connections from its session's own client only.
                self.local_endpoint(context, service, Some(session.reply.dst()), Some(slot), reply)?
            }
            _ => reply(original.src(), original.sport()),
        };
        if let Some(id) = known {
            self.make_way::<K>(id);
        }
        let control = self.control_by::<K>(by)?;
        let mark = self.side.get(session.side).map_or(0, |side| side.mark);
        let conn = Connection::new(key, reply, session.dest, session.method);
        let conn = Connection { flags: conn.flags.with(ConnFlags::NO_CLIENT_PORT, any_port), state, ..conn };
        self.add(
            conn,
            Some(Side { mark, control: Some(control), ..Side::default() }),
            context.now_ms,
            timeout_ms,
        )
    }

    /// Leaves a connection its server's packets, and its place among the local ports, until it ends; its client's packets will
    /// be another's.
    fn make_way<K: FlowKey>(&mut self, id: ConnId) {
        let table = K::table_mut(&mut self.tables);
        if let Some(conn) = table.get(id).copied() {
            let done = table.rekey(id, Connection { flags: conn.flags | ConnFlags::REPLIES_ONLY, ..conn });
            debug_assert!(done.is_ok(), "a connection that loses a key needs no room");
        }
    }

    fn await_anew<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        id: ConnId,
        expected: &Expected<K>,
    ) -> ConnId {
        let table = K::table_mut(&mut self.tables);
        if let Some(conn) = table.touch(id, context.now_ms.saturating_add(expected.timeout_ms)) {
            conn.state = expected.state;
        }
        id
    }

    /// The client of an expected connection comes from this port: the connection is found by it from now on
    /// [ip_vs_conn_fill_cport]. Nothing happens to one whose port is known.
    pub(crate) fn fill_client_port<K: FlowKey>(&mut self, id: ConnId, port: u16) -> Result<(), DropReason> {
        let table = K::table_mut(&mut self.tables);
        let waiting = |conn: &&Connection<K>| conn.flags.has(ConnFlags::NO_CLIENT_PORT);
        let Some(conn) = table.get(id).filter(waiting).copied() else { return Ok(()) };
        match table.rekey(id, conn.with_client_port(port)) {
            Ok(_) => {
                self.without_port -= 1;
                Ok(())
            }
            Err(InsertError::Exists(_) | InsertError::Full | InsertError::BucketsFull) => {
                Err(DropReason::ConnectionTableFull)
            }
        }
    }
}

/// Whether a connection with the client's endpoint that is expected can be the one: it was of another session with another
/// server otherwise, whose packets would not find it. And under FULLNAT one that has been used leads to a local port at which
/// the server may still wait for stray packets (TIME-WAIT), so that it would refuse to connect to it again; with masquerading
/// the client's own port is what the server sees, whatever is done here.
fn stands_for<K: FlowKey>(conn: &Connection<K>, expected: &Expected<K>) -> bool {
    let same_server = (conn.reply.src(), conn.reply.sport()) == expected.server;
    same_server && (!conn.is_fullnat() || conn.state == expected.state)
}

#[cfg(test)]
mod tests;
