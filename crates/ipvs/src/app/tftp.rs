//! TFTP (RFC 1350): a server answers a request from a port of its own choosing, and the transfer goes on between that and the
//! client's port. Linux's IPVS knows nothing of it; what is done here is what Linux's connection tracking does for NAT
//! [nf_conntrack_tftp].
//!
//! A request notes on its connection that a transfer is awaited. A packet of the server that belongs to no connection, to the
//! same client (or local) endpoint, is that transfer: it gets a connection of its own, to the virtual address at the
//! server's port, controlled by the one of the request. One request, one transfer; a request that is sent again may have
//! another.

use conntab::{ConnId, Direction};
use inet::DropReason;
use wire::{PacketInfo, udp};

use super::Helper;
use super::session::Awaited;
use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::protocol::Protocol;
use crate::side::Side;

/// Opcodes of a read request and of a write request.
const REQUESTS: [u16; 2] = [1, 2];

/// Whether a datagram, from its UDP header on, asks for a transfer.
pub(super) fn is_request(datagram: &[u8]) -> bool {
    let opcode = datagram.get(udp::HEADER_LEN..).and_then(|data| data.first_chunk::<2>());
    opcode.is_some_and(|opcode| REQUESTS.contains(&u16::from_be_bytes(*opcode)))
}

impl Core {
    /// The connection of a transfer that begins with this packet, whose key is `key` and belongs to no connection. `None`: none
    /// begins.
    pub(crate) fn begin_transfer<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        key: &K,
        info: &PacketInfo,
    ) -> Option<Result<ConnId, DropReason>> {
        if info.protocol != Protocol::Udp.number() {
            return None;
        }
        let ports = context.snapshot.services.transfer_ports(key.src().into());
        let by = ports.iter().find_map(|port| self.awaits_transfer(key, *port))?;
        Some(self.transfer(context, key, by))
    }

    /// The connection whose request to this port of the server this packet may answer.
    fn awaits_transfer<K: FlowKey>(&self, key: &K, port: u16) -> Option<ConnId> {
        let asked = K::new(key.src(), key.dst(), port, key.dport(), key.protocol_number());
        let table = K::table(&self.tables);
        let id = table.lookup_in(&asked, Direction::Reply)?;
        let session = self.sessions.get(self.session_of(table.get(id)?)?)?;
        (session.helper == Helper::Tftp && session.awaited == Some(Awaited::Transfer)).then_some(id)
    }

    fn transfer<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        key: &K,
        by: ConnId,
    ) -> Result<ConnId, DropReason> {
        let Some(request) = K::table(&self.tables).get(by).copied() else {
            return Err(DropReason::NotConnection);
        };
        let (client, virtual_addr) = (request.original.src(), request.original.dst());
        let number = key.protocol_number();
        let original = K::new(client, virtual_addr, request.original.sport(), key.sport(), number);
        if K::table(&self.tables).lookup_in(&original, Direction::Original).is_some() {
            return Err(DropReason::NotConnection);
        }
        let control = self.control_by::<K>(by)?;
        let mark = self.side.get(request.side).map_or(0, |side| side.mark);
        let conn = Connection::new(original, *key, request.dest, request.method);
        let timeout_ms = Protocol::Udp.timeout_ms(conn.state, &context.snapshot.timeouts);
        let side = Side { mark, control: Some(control), ..Side::default() };
        let id = self.add(conn, Some(side), context.now_ms, timeout_ms)?;
        let session = self.session_of(&request).and_then(|at| self.sessions.get_mut(at));
        if let Some(session) = session {
            session.awaited = None;
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_begin_transfers() {
        let datagram = |data: &[u8]| [&[0; udp::HEADER_LEN], data].concat();
        for (data, want) in [
            (&b"\0\x01file\0octet\0"[..], true),
            (b"\0\x02file\0octet\0", true),
            (b"\0\x03\0\x01", false),
            (b"\0\x04\0\x01", false),
            (b"\x01\0", false),
            (b"\0", false),
            (b"", false),
        ] {
            assert_eq!(is_request(&datagram(data)), want, "{data:?}");
        }
    }
}
