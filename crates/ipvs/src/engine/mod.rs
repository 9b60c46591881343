//! Persistence engines: what in a packet's content ties it to others, one file an engine [ip_vs_pe].
//!
//! A service with an engine has a template for each client *and* what the engine found, instead of one for each client. A
//! packet in which it finds nothing begins no connection. What a real server begins on its own, with content that the
//! engine knows, is a connection of the service as well [ip_vs_new_conn_out].

pub(crate) mod calls;
pub(crate) mod sip;

use conntab::{ConnId, Direction};
use inet::DropReason;
use wire::{PacketInfo, udp};

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::schedule::Opening;
use crate::side::Side;
use crate::{ConnFlags, Engine, Protocol, Service};

/// Places at which a template is looked for.
const PLACES: u32 = 2;

impl Engine {
    /// What it finds in a packet.
    pub(crate) fn find<'p>(self, frame: &'p [u8], info: &PacketInfo) -> Option<&'p [u8]> {
        match self {
            Self::Sip if info.protocol == Protocol::Udp.number() => {
                sip::call_id(info.upper(frame).get(udp::HEADER_LEN..)?)
            }
            Self::Sip => None,
        }
    }
}

impl Core {
    /// The key of the template with what an engine found, or one that is free for it, in place of `key`, which is that of the
    /// client's template without it.
    pub(crate) fn place_of_call<K: FlowKey>(&self, key: &K, id: &[u8]) -> Result<K, DropReason> {
        let hash = self.calls.hash(id, key.dport());
        let table = K::table(&self.tables);
        let mut free = None;
        for place in 0..PLACES {
            let place = K::of_call(key, hash.wrapping_add(place));
            match table.lookup_in(&place, Direction::Original) {
                Some(there) if self.is_call::<K>(there, id, key.dport()) => return Ok(place),
                Some(_) => {}
                None => free = free.or(Some(place)),
            }
        }
        free.ok_or(DropReason::SideTableFull)
    }

    fn is_call<K: FlowKey>(&self, template: ConnId, id: &[u8], port: u16) -> bool {
        let side = K::table(&self.tables).get(template).and_then(|conn| self.side.get(conn.side));
        side.and_then(|side| side.call).is_some_and(|call| self.calls.is(call, id, port))
    }

    /// The connection of a packet of a real server that belongs to none, if its service has an engine and that finds something
    /// in it [ip_vs_rs_conn_out]. The client's template leads to this server from now on.
    pub(crate) fn begin_called<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        key: &K,
    ) -> Option<Result<ConnId, DropReason>> {
        if info.protocol != Protocol::Udp.number() {
            return None;
        }
        let services = &context.snapshot.services;
        let dest = services.caller(key.src().into(), key.sport())?;
        let (service, dest) = services.dest(dest)?;
        let id = service.engine?.find(frame, info)?;
        let (port, addr) = (service.key.port(), K::addr(service.key.address()?)?);
        let original = K::new(key.dst(), addr, key.dport(), port, key.protocol_number());
        let opening = Opening { frame, info, key: &original };
        let persistence = service.persistence?;
        let template = self.template_to(context, &opening, service, dest, persistence, id);
        Some(template.and_then(|template| self.call(context, &opening, service, template, *key)))
    }

    fn call<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        opening: &Opening<'_, K>,
        service: &Service,
        template: ConnId,
        reply: K,
    ) -> Result<ConnId, DropReason> {
        let Some(conn) = K::table(&self.tables).get(template).copied() else {
            return Err(DropReason::NotConnection);
        };
        let mut made = Connection::new(*opening.key, reply, conn.dest, conn.method);
        if service.one_packet {
            made = made.unhashed();
            made.flags = made.flags | ConnFlags::ONE_PACKET;
        } else if let Some(older) = K::table(&self.tables).lookup_in(opening.key, Direction::Original) {
            // To the client's next packet the newer one counts; replies of the older one's server go on.
            self.keep_for_replies::<K>(older);
        }
        let control = self.control_by::<K>(template)?;
        let side = Side { mark: opening.info.mark, control: Some(control), ..Side::default() };
        let timeout_ms = made.protocol().timeout_ms(made.state, &context.snapshot.timeouts);
        let id = self.add(made, Some(side), context.now_ms, timeout_ms)?;
        self.count_connection(conn.dest, service);
        self.restart_template::<K>(context, template);
        Ok(id)
    }

    /// A connection is found by its server's packets only from now on.
    fn keep_for_replies<K: FlowKey>(&mut self, id: ConnId) {
        let table = K::table_mut(&mut self.tables);
        if let Some(conn) = table.get(id).copied() {
            let conn = Connection { flags: conn.flags | ConnFlags::REPLIES_ONLY, ..conn };
            let done = table.rekey(id, conn);
            debug_assert!(done.is_ok(), "a connection that loses a key needs no room");
        }
    }
}
