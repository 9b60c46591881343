//! Showing connections to an operator.

use core::net::{IpAddr, SocketAddr};

use conntab::{ConnId, ConnTable};

use crate::connection::{Connection, FlowKey};
use crate::director::{Cursor, Director};
use crate::engine::calls::Call;
use crate::{ConnFlags, DestId, Method, Protocol};

/// A connection, or a template, as listings show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnView {
    /// Upper-layer protocol; none for a template of a mark, which stands for all of them [IPPROTO_IP].
    pub protocol: Option<Protocol>,
    /// Name of the protocol's state; of a template NONE or ASSURED.
    pub state: &'static str,
    /// Whether it counts as active at its destination.
    pub active: bool,
    /// What it is besides.
    pub flags: ConnFlags,
    /// The client; port 0 for a template, whose address is masked, and for a connection that waits for a client.
    pub client: SocketAddr,
    /// What the client connected to. Of a template port 0 stands for any, and the address of a mark's is the mark.
    pub virtual_addr: SocketAddr,
    /// What the destination takes for the client (FULLNAT).
    pub local: Option<SocketAddr>,
    /// The destination's endpoint, all zero for bypass; none if it is of another family than the client and has been removed.
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
    /// Mark of the packet that it was made for, where it has been kept.
    pub mark: u32,
    /// Connections that it controls.
    pub controlled: u32,
    /// Of a template: the call that it is for.
    pub call: Option<Call>,
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
        let tables = &self.core.tables;
        match cursor {
            Cursor::V4(at) => {
                let next = tables.v4.scan(at, budget, |id, conn| {
                    self.view(&tables.v4, now_ms, id, conn).into_iter().for_each(&mut show)
                });
                Some(next.map_or(Cursor::V6(conntab::Cursor::default()), Cursor::V4))
            }
            Cursor::V6(at) => tables
                .v6
                .scan(at, budget, |id, conn| {
                    self.view(&tables.v6, now_ms, id, conn).into_iter().for_each(&mut show)
                })
                .map(Cursor::V6),
        }
    }

    fn view<K: FlowKey>(
        &self,
        table: &ConnTable<Connection<K>>,
        now_ms: u64,
        id: ConnId,
        conn: &Connection<K>,
    ) -> Option<ConnView> {
        // The connection itself is another worker's to show.
        if conn.dest.redirected().is_some() {
            return None;
        }
        let dst = |key: &K| SocketAddr::new(key.dst().into(), key.dport());
        let protocol = Protocol::from_number(conn.original.protocol_number());
        let side = self.core.side.get(conn.side);
        let remembered = Some(conn.reply.src().into()).filter(|addr: &IpAddr| !addr.is_unspecified());
        let addr = remembered.or_else(|| side.and_then(|side| side.dest_addr));
        let configured = || self.snapshot.services.dest(conn.dest).map(|(_, dest)| dest.addr);
        // As Linux lists what goes past the destinations.
        let nowhere = (conn.method == Method::Bypass).then(|| conn.reply.src().into());
        let call = side.and_then(|side| self.core.calls.get(side.call?)).copied();
        let hashed = conn.flags.has(ConnFlags::HASHED);
        // Its key has no room for ports.
        let call_port = call.map(|_| conn.reply.dport());
        let state = match protocol {
            Some(protocol) if !conn.is_template() => protocol.state_name(conn.state),
            _ if conn.is_assured() => "ASSURED",
            _ => "NONE",
        };
        Some(ConnView {
            protocol,
            state,
            active: conn.is_active(),
            flags: conn.flags,
            client: SocketAddr::new(conn.original.src().into(), call_port.unwrap_or(conn.original.sport())),
            virtual_addr: match call.filter(|_| hashed) {
                Some(call) => SocketAddr::new(conn.original.dst().into(), call.port()),
                None => dst(&conn.original),
            },
            local: (conn.method == Method::Fullnat && !conn.is_template()).then(|| dst(&conn.reply)),
            destination: addr
                .or_else(configured)
                .or(nowhere)
                .map(|addr| SocketAddr::new(addr, conn.reply.sport())),
            dest: conn.dest,
            method: conn.method,
            expires_in_ms: table.expiry(id).unwrap_or(0).saturating_sub(now_ms),
            in_pkts: conn.in_pkts,
            out_pkts: conn.out_pkts,
            mark: side.map_or(0, |side| side.mark),
            controlled: side.map_or(0, |side| side.controlled),
            call,
        })
    }
}
