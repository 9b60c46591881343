//! PPTP (RFC 2637): a call's packets travel in GRE beside the control connection on which it was made, and have to go to the
//! same destination. Linux's IPVS knows nothing of it; what is done here is what Linux's connection tracking does for NAT
//! [nf_conntrack_pptp], but that nothing is rewritten.
//!
//! The end that answers a call tells the numbers that both ends gave it. From then on packets of the client to the virtual
//! address with the one number, and of the destination to the client with the other, are of a connection of their own,
//! controlled by the one of the session. It ends when a message says that the call is over, or with the session.
//!
//! Each server numbers its calls by itself. So two clients that share an address (behind a NAT of theirs) and have sessions
//! with two servers can be given the same number, and nothing would tell their packets apart: the later answer is dropped
//! and counted, and its client has to try again. A service that keeps an address at one server, by persistence or by the
//! scheduler sh, has no such calls, for a server does not give a number to one address twice.
//!
//! Only masquerade: under FULLNAT the addresses of all clients are the same to the server, and with direct routing and
//! tunnels nobody here hears the server's number.

use conntab::{ConnId, Direction};
use inet::DropReason;
use wire::pptp::{self, Call};
use wire::{PacketInfo, tcp};

use crate::Method;
use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::protocol::tcp::TcpState;
use crate::protocol::{Protocol, gre};
use crate::side::Side;

/// Messages of one segment that are heard; a bound on work per packet.
const MESSAGES_MAX: usize = 8;

impl Core {
    /// Does what a segment of a control connection says of calls.
    pub(super) fn hear_pptp<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        session: &Connection<K>,
        direction: Direction,
    ) -> Result<(), DropReason> {
        let listens = session.method == Method::Masquerade
            && session.state == TcpState::Established.into()
            && tcp::verify_checksum(frame, info);
        if !listens {
            return Ok(());
        }
        for call in pptp::calls(tcp::payload(info.upper(frame))).take(MESSAGES_MAX) {
            match (call, direction) {
                (Call::Answered { own, peers }, Direction::Reply) => {
                    self.begin_call(context, session, own, peers)?;
                }
                (Call::Answered { own, peers }, Direction::Original) => {
                    self.begin_call(context, session, peers, own)?;
                }
                (Call::Ended { own }, _) => self.end_call(session, direction, own),
            }
        }
        Ok(())
    }

    /// Makes the connection of a call, to which the server gave the number `servers` and the client `clients`.
    fn begin_call<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        session: &Connection<K>,
        servers: u16,
        clients: u16,
    ) -> Result<(), DropReason> {
        let (original, reply) = keys(session, servers, clients);
        let table = K::table(&self.tables);
        let Some(by) = table.lookup_in(&session.original, Direction::Original) else { return Ok(()) };
        if let Some(id) = table.lookup_in(&original, Direction::Original) {
            match table.get(id).map(|call| call.reply) {
                // The message comes again.
                Some(known) if known == reply => return Ok(()),
                Some(known) if known.src() != reply.src() => return Err(DropReason::PptpCallTaken),
                // The server uses the number anew.
                _ => self.remove::<K>(id),
            };
        }
        self.add_call(context, session, by, Connection::new(original, reply, session.dest, session.method))
    }

    fn add_call<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        session: &Connection<K>,
        by: ConnId,
        call: Connection<K>,
    ) -> Result<(), DropReason> {
        let control = self.control_by::<K>(by)?;
        let mark = self.side.get(session.side).map_or(0, |side| side.mark);
        let side = Side { mark, control: Some(control), ..Side::default() };
        let timeout_ms = Protocol::Gre.timeout_ms(gre::NORMAL, &context.snapshot.timeouts);
        self.add(call, Some(side), context.now_ms, timeout_ms).map(|_| ())
    }

    /// Ends a call of this session to which the one who says so, with a packet of `direction`, gave this number.
    fn end_call<K: FlowKey>(&mut self, session: &Connection<K>, direction: Direction, own: u16) {
        let (original, reply) = keys(session, own, own);
        let table = K::table(&self.tables);
        // What is sent to the one who says so carries the number.
        let call = match direction {
            Direction::Reply => table.lookup_in(&original, Direction::Original),
            Direction::Original => table.lookup_in(&reply, Direction::Reply),
        };
        let of_session = |id: &ConnId| {
            table
                .get(*id)
                .is_some_and(|call| call.reply.src() == reply.src() && call.original.src() == original.src())
        };
        if let Some(id) = call.filter(of_session) {
            self.remove::<K>(id);
        }
    }
}

/// What packets of a call carry, from the client and from the server.
fn keys<K: FlowKey>(session: &Connection<K>, servers: u16, clients: u16) -> (K, K) {
    let number = Protocol::Gre.number();
    let (client, virtual_addr, server) =
        (session.original.src(), session.original.dst(), session.reply.src());
    (
        K::new(client, virtual_addr, gre::SENDER, servers, number),
        K::new(server, client, gre::SENDER, clients, number),
    )
}
