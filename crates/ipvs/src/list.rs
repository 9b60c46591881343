//! Showing connections to an operator.

use core::net::SocketAddr;

use conntab::{ConnId, ConnTable};

use crate::connection::{Connection, FlowKey};
use crate::director::{Cursor, Director};
use crate::{DestId, Method, Protocol, Snapshot};

/// A connection as listings show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnView {
    /// Upper-layer protocol.
    pub protocol: Protocol,
    /// Name of the protocol's state.
    pub state: &'static str,
    /// Whether it counts as active at its destination.
    pub active: bool,
    /// The client.
    pub client: SocketAddr,
    /// What the client connected to.
    pub virtual_addr: SocketAddr,
    /// What the destination takes for the client (FULLNAT).
    pub local: Option<SocketAddr>,
    /// The destination's endpoint; none if it is of another family than the client and has been removed.
    pub destination: Option<SocketAddr>,
    /// The destination's id, which may have been removed.
    pub dest: DestId,
    /// How packets reach it.
    pub method: Method,
    /// Milliseconds until it ends if no packet comes.
    pub expires_in_ms: u64,
    /// Packets from the client; wraps at 2^32.
    pub in_pkts: u32,
    /// Packets to the client; wraps at 2^32.
    pub out_pkts: u32,
}

impl Director {
    /// Shows the connections in the next `budget` places of the tables. `None` when all have been shown, else where to
    /// go on. Connections that come or go meanwhile may or may not be shown; those that stay are shown once.
    pub fn list(
        &self,
        now_ms: u64,
        cursor: Cursor,
        budget: usize,
        mut show: impl FnMut(ConnView),
    ) -> Option<Cursor> {
        let snapshot = self.snapshot();
        let tables = &self.core.tables;
        match cursor {
            Cursor::V4(at) => {
                let next =
                    tables.v4.scan(at, budget, |id, conn| show(view(snapshot, &tables.v4, now_ms, id, conn)));
                Some(next.map_or(Cursor::V6(conntab::Cursor::default()), Cursor::V4))
            }
            Cursor::V6(at) => tables
                .v6
                .scan(at, budget, |id, conn| show(view(snapshot, &tables.v6, now_ms, id, conn)))
                .map(Cursor::V6),
        }
    }
}

fn view<K: FlowKey>(
    snapshot: &Snapshot,
    table: &ConnTable<Connection<K>>,
    now_ms: u64,
    id: ConnId,
    conn: &Connection<K>,
) -> ConnView {
    let src = |key: &K| SocketAddr::new(key.src().into(), key.sport());
    let dst = |key: &K| SocketAddr::new(key.dst().into(), key.dport());
    let remembered = (conn.reply != K::default()).then(|| src(&conn.reply));
    let configured = || {
        snapshot.services.dest(conn.dest).map(|(_, dest)| SocketAddr::new(dest.addr, conn.original.dport()))
    };
    ConnView {
        protocol: conn.protocol(),
        state: conn.protocol().state_name(conn.state),
        active: conn.is_active(),
        client: src(&conn.original),
        virtual_addr: dst(&conn.original),
        local: (conn.method == Method::Fullnat).then(|| dst(&conn.reply)),
        destination: remembered.or_else(configured),
        dest: conn.dest,
        method: conn.method,
        expires_in_ms: table.expiry(id).unwrap_or(0).saturating_sub(now_ms),
        in_pkts: conn.in_pkts,
        out_pkts: conn.out_pkts,
    }
}
