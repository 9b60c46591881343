//! How connections come and go [ip_vs_conn_new, ip_vs_conn_expire, ip_vs_conn_flush].
//!
//! Two invariants, whatever becomes of a destination meanwhile. Every connection in the tables is counted once on its
//! destination: `bind` when it is made, `unbind` when it goes. And one that controls others does not go before them: when its
//! time comes it stays for another minute, and so on [ip_vs_conn_expire].

use conntab::{ConnId, ConnTable, Cursor as Place, Expire};
use inet::DropReason;

use crate::app::session::Sessions;
use crate::connection::{Connection, FlowKey, Tables};
use crate::director::{Core, Cursor, Director};
use crate::engine::calls::Calls;
use crate::side::{Side, SideTable};
use crate::{ConnFlags, DestId, ServiceId, WorkerShared};

/// How long a connection that controls others lives on when its time has come, in milliseconds.
const DELAY_MS: u32 = 60_000;
/// Places that one look of a sweep takes in: the connections found are remembered, then removed.
const SWEEP_CHUNK: usize = 32;

impl Director {
    /// Ends the connections whose time has come, as far as `budget` goes (one each, and one for each tick of time).
    pub fn expire(&mut self, now_ms: u64, budget: usize) {
        let core = &mut self.core;
        // Apart, so that neither family can keep the other waiting.
        let share = budget.div_ceil(2);
        let (Tables { v4, v6 }, mut bound) = core.split();
        expire_in(v4, &mut bound, now_ms, share);
        expire_in(v6, &mut bound, now_ms, share);
        if let Some(cursor) = core.sweep {
            let services = &self.snapshot.services;
            core.sweep = core
                .sweep_where(cursor, budget, |dest| dest.is_configured() && services.dest(dest).is_none());
        }
        self.defend(now_ms);
        self.core.publish_len();
    }

    /// Drops the connections in the next `budget` places of the tables. `None` when all are gone, else where to go on.
    /// One that controls others goes with the last of them.
    pub fn flush(&mut self, cursor: Cursor, budget: usize) -> Option<Cursor> {
        self.core.sweep_where(cursor, budget, |_| true)
    }

    /// As [`Director::flush`], but only connections of one service; those whose destination was removed stay.
    pub fn flush_service(&mut self, service: ServiceId, cursor: Cursor, budget: usize) -> Option<Cursor> {
        let services = &self.snapshot.services;
        let of_service = |dest| services.dest(dest).is_some_and(|(of, _)| of.id == service);
        self.core.sweep_where(cursor, budget, of_service)
    }
}

/// What a connection is counted in besides its table.
struct Bound<'a> {
    own: &'a WorkerShared,
    side: &'a mut SideTable,
    sessions: &'a mut Sessions,
    calls: &'a mut Calls,
    without_port: &'a mut u32,
}

impl Core {
    /// Stores a connection, bound to its destination, that ends in `timeout_ms` unless that is moved [ip_vs_conn_new]. What
    /// has a `side` gets a record there.
    pub(crate) fn add<K: FlowKey>(
        &mut self,
        mut conn: Connection<K>,
        side: Option<Side>,
        now_ms: u64,
        timeout_ms: u64,
    ) -> Result<ConnId, DropReason> {
        // What lives for one packet has a place of its own.
        if self.is_full() && !conn.flags.has(ConnFlags::ONE_PACKET) {
            return Err(DropReason::ConnectionTableFull);
        }
        if let Some(side) = side {
            conn.side = self.side.insert(side).ok_or(DropReason::SideTableFull)?;
        }
        let Ok(id) = K::table_mut(&mut self.tables).insert(conn, now_ms, timeout_ms) else {
            self.side.remove(conn.side);
            return Err(DropReason::ConnectionTableFull);
        };
        self.without_port += u32::from(conn.flags.has(ConnFlags::NO_CLIENT_PORT));
        if let Some(controlling) = side.and_then(|side| side.control)
            && let Some(side) = self.side.get_mut(controlling.side)
        {
            side.controlled += 1;
        }
        if let Some(dest) = self.own().dest(conn.dest) {
            match conn.is_template() {
                true => dest.bind_template(),
                false => dest.bind(conn.is_active()),
            }
        }
        self.publish_len();
        Ok(id)
    }

    /// Ends a connection at once, unless it controls others. Returns whether it is gone [ip_vs_conn_expire_now].
    pub(crate) fn remove<K: FlowKey>(&mut self, id: ConnId) -> bool {
        let (tables, mut bound) = self.split();
        let table = K::table_mut(tables);
        match table.get(id).copied() {
            Some(conn) if bound.controlled(&conn) > 0 => return false,
            Some(conn) => {
                table.remove(id);
                bound.release(&conn);
            }
            None => {}
        }
        self.publish_len();
        true
    }

    /// Ends a connection as [`remove`](Self::remove) does, and with it those that controlled it and now control nothing
    /// more, but for templates that are assured [ip_vs_conn_del].
    pub(crate) fn remove_chain<K: FlowKey>(&mut self, id: ConnId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let conn = K::table(&self.tables).get(id).copied();
            let control = conn.and_then(|conn| self.side.get(conn.side)?.control);
            if !self.remove::<K>(id) {
                return;
            }
            next = control.map(|control| control.id).filter(|&id| self.may_follow::<K>(id));
        }
    }

    /// Whether what controlled a connection goes with it.
    fn may_follow<K: FlowKey>(&self, id: ConnId) -> bool {
        let conn = K::table(&self.tables).get(id);
        conn.is_some_and(|conn| !conn.is_template() || !conn.is_assured())
    }

    /// Makes room for another connection with the keys of this one, which ends, or is found no more while it still
    /// controls others.
    pub(crate) fn retire<K: FlowKey>(&mut self, id: ConnId) {
        if self.remove::<K>(id) {
            return;
        }
        let table = K::table_mut(&mut self.tables);
        if let Some(conn) = table.get(id).copied() {
            let done = table.rekey(id, conn.unhashed());
            debug_assert!(done.is_ok(), "a connection that loses its keys needs no room");
        }
    }

    /// The tables, and apart from them what connections are counted in.
    fn split(&mut self) -> (&mut Tables, Bound<'_>) {
        let own = &self.shared[usize::from(self.worker.0)];
        let Self { tables, side, sessions, calls, without_port, .. } = self;
        (tables, Bound { own, side, sessions, calls, without_port })
    }

    /// Removes the connections whose destination is `wanted` in the next `budget` places of the tables.
    pub(crate) fn sweep_where(
        &mut self,
        cursor: Cursor,
        budget: usize,
        wanted: impl Fn(DestId) -> bool,
    ) -> Option<Cursor> {
        let (mut at, mut left) = (cursor, budget.max(1));
        while left > 0 {
            let places = left.min(SWEEP_CHUNK);
            left -= places;
            at = match at {
                Cursor::V4(from) => {
                    let next = self.sweep_in(from, places, &wanted, |tables| &tables.v4);
                    next.map_or(Cursor::V6(Place::default()), Cursor::V4)
                }
                Cursor::V6(from) => Cursor::V6(self.sweep_in(from, places, &wanted, |tables| &tables.v6)?),
            };
        }
        Some(at)
    }

    fn sweep_in<K: FlowKey>(
        &mut self,
        from: Place,
        places: usize,
        wanted: impl Fn(DestId) -> bool,
        table: impl Fn(&Tables) -> &ConnTable<Connection<K>>,
    ) -> Option<Place> {
        let mut found = [None; SWEEP_CHUNK];
        let mut count = 0;
        let next = table(&self.tables).scan(from, places, |id, conn| {
            if wanted(conn.dest) {
                found[count] = Some(id);
                count += 1;
            }
        });
        found.into_iter().flatten().for_each(|id| self.remove_with_control::<K>(id));
        next
    }

    /// Ends a connection, and with it those that controlled it and now control nothing more [ip_vs_conn_flush].
    fn remove_with_control<K: FlowKey>(&mut self, id: ConnId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let conn = K::table(&self.tables).get(id).copied();
            next = conn.and_then(|conn| Some(self.side.get(conn.side)?.control?.id));
            if !self.remove::<K>(id) {
                return;
            }
        }
    }
}

impl Bound<'_> {
    fn controlled<K: FlowKey>(&self, conn: &Connection<K>) -> u32 {
        self.side.get(conn.side).map_or(0, |side| side.controlled)
    }

    /// A connection has gone [ip_vs_unbind_dest, ip_vs_control_del].
    fn release<K: FlowKey>(&mut self, conn: &Connection<K>) {
        *self.without_port -= u32::from(conn.flags.has(ConnFlags::NO_CLIENT_PORT));
        if let Some(dest) = self.own.dest(conn.dest) {
            match conn.is_template() {
                true => dest.unbind_template(),
                false => dest.unbind(conn.is_active()),
            }
        }
        let side = self.side.remove(conn.side).unwrap_or_default();
        if let Some(session) = side.session {
            self.sessions.remove(session);
        }
        if let Some(call) = side.call {
            self.calls.remove(call);
        }
        if let Some(controlling) = side.control.and_then(|control| self.side.get_mut(control.side)) {
            controlling.controlled -= 1;
        }
    }

    /// Whether a connection whose time has come is to go.
    fn expired<K: FlowKey>(&mut self, conn: &Connection<K>, now_ms: u64) -> Expire {
        match self.side.get_mut(conn.side) {
            Some(side) if side.controlled > 0 => {
                side.timeout_ms = DELAY_MS;
                Expire::KeepUntil(now_ms.saturating_add(DELAY_MS.into()))
            }
            _ => {
                self.release(conn);
                Expire::Remove
            }
        }
    }
}

fn expire_in<K: FlowKey>(
    table: &mut ConnTable<Connection<K>>,
    bound: &mut Bound<'_>,
    now_ms: u64,
    budget: usize,
) {
    table.grow_ahead();
    table.expire(now_ms, budget, |_, conn| bound.expired(conn, now_ms));
}
