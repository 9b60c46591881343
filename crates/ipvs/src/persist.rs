//! Persistence: clients stay with the destination that they were given once [ip_vs_sched_persist].
//!
//! A *template* ties a client, or what of its address the service's mask leaves, to a destination. It controls the connections
//! that were made by it, so it outlives them, and lives on for the service's persistence timeout after the last one was made.
//! Its key says how much it stands for:
//!
//! | packet to | template's protocol, virtual address and port |
//! | --- | --- |
//! | the service's own port | the packet's; port 0 if that is FTP's, whose data connections it is for as well |
//! | another port, of a service for any port or of FTP | the packet's, port 0 |
//! | a service by mark | none, the mark, port 0 |
//!
//! A template whose destination is gone (or, if `expire_quiescent_template` says so, has weight 0) is good for nothing: it
//! stays until its connections have gone, and the client gets another.

use conntab::{ConnId, Direction};
use inet::DropReason;
use wire::PacketInfo;

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::model::family_of;
use crate::schedule::{FTP, Opening, Unscheduled};
use crate::side::{Control, Side};
use crate::{ConnFlags, Dest, Persistence, Service, ServiceKey, Settings};

impl Core {
    /// A connection by the client's template, which is made if there is none.
    pub(crate) fn schedule_persistent<'a, K: FlowKey>(
        &mut self,
        context: &Context<'a>,
        opening: &Opening<'_, K>,
        service: &'a Service,
        persistence: Persistence,
    ) -> Result<(ConnId, &'a Dest), Unscheduled> {
        let Opening { info, key, .. } = *opening;
        let of_client = template_key(key, service, &persistence);
        let id = match service.engine {
            Some(engine) => Some(engine.find(opening.frame, info).ok_or(DropReason::NoCallId)?),
            None => None,
        };
        let template_key = id.map_or(Ok(of_client), |id| self.place_of_call(&of_client, id))?;
        let (template, dest) = match self.template(context, &template_key) {
            Some(found) => found,
            None => {
                let dest = self.pick(context, key, service).ok_or(Unscheduled::NoDestination)?;
                let own_port = key.dport() == service.key.port() && service.key.port() != FTP;
                let port = if own_port { dest.port } else { 0 };
                let call = id.map(|id| (id, of_client.dport()));
                let id = self.add_template(context, info, template_key, (dest, port), persistence, call)?;
                (id, dest)
            }
        };
        let port = if key.dport() == service.key.port() && dest.port != 0 { dest.port } else { key.dport() };
        let control = self.control_by::<K>(template);
        let made = control.and_then(|control| {
            let side = Side { control: Some(control), ..Side::default() };
            self.connect(context, opening, service, (dest, port), Some(side))
        });
        self.restart_template::<K>(context, template);
        Ok((made?, dest))
    }

    /// The template with this key and its destination, if it is good [ip_vs_ct_in_get, ip_vs_check_template].
    fn template<'a, K: FlowKey>(&mut self, context: &Context<'a>, key: &K) -> Option<(ConnId, &'a Dest)> {
        let table = K::table_mut(&mut self.tables);
        let id = table.lookup_in(key, Direction::Original)?;
        let template = *table.get(id)?;
        let dest = context.snapshot.services.dest(template.dest).map(|(_, dest)| dest);
        if let Some(dest) = dest.filter(|dest| !is_quiescent(&context.snapshot.settings, dest)) {
            return Some((id, dest));
        }
        let done = table.rekey(id, template.invalidated());
        debug_assert!(done.is_ok(), "a connection that loses its keys needs no room");
        None
    }

    /// The template of a client and what an engine found, which leads to this destination from now on.
    pub(crate) fn template_to<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        opening: &Opening<'_, K>,
        service: &Service,
        dest: &Dest,
        persistence: Persistence,
        id: &[u8],
    ) -> Result<ConnId, DropReason> {
        let of_client = template_key(opening.key, service, &persistence);
        let key = self.place_of_call(&of_client, id)?;
        if let Some((template, leads_to)) = self.template(context, &key) {
            if leads_to.id == dest.id {
                return Ok(template);
            }
            self.invalidate::<K>(template);
        }
        let call = Some((id, of_client.dport()));
        self.add_template(context, opening.info, key, (dest, dest.port), persistence, call)
    }

    fn invalidate<K: FlowKey>(&mut self, id: ConnId) {
        let table = K::table_mut(&mut self.tables);
        if let Some(template) = table.get(id).copied() {
            let done = table.rekey(id, template.invalidated());
            debug_assert!(done.is_ok(), "a connection that loses its keys needs no room");
        }
    }

    /// A template with this key, and with the Call-ID and virtual port of `call` if an engine found one.
    fn add_template<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        info: &PacketInfo,
        key: K,
        (dest, port): (&Dest, u16),
        persistence: Persistence,
        call: Option<(&[u8], u16)>,
    ) -> Result<ConnId, DropReason> {
        let addr = K::addr(dest.addr).unwrap_or(K::default().src());
        let reply = K::new(addr, key.src(), port, 0, key.protocol_number());
        let conn = Connection::new(key, reply, dest.id, dest.method);
        let conn = Connection { flags: conn.flags | ConnFlags::TEMPLATE, ..conn };
        let timeout_ms = u32::try_from(persistence.timeout_ms).unwrap_or(u32::MAX);
        let other_family = family_of(dest.addr) != K::FAMILY;
        let call = match call {
            Some((id, port)) => Some(self.calls.insert(id, port).ok_or(DropReason::SideTableFull)?),
            None => None,
        };
        let side = Side {
            call,
            mark: info.mark,
            timeout_ms,
            dest_addr: other_family.then_some(dest.addr),
            ..Side::default()
        };
        let made = self.add(conn, Some(side), context.now_ms, timeout_ms.into());
        if made.is_err() {
            call.into_iter().for_each(|call| self.calls.remove(call));
        }
        made
    }

    /// A template lives from now for as long as it is its to live: as its service said when it was made, or a minute if it was
    /// kept because of its connections.
    pub(crate) fn restart_template<K: FlowKey>(&mut self, context: &Context<'_>, id: ConnId) {
        let table = K::table_mut(&mut self.tables);
        let side = table.get(id).and_then(|template| self.side.get(template.side));
        if let Some(timeout_ms) = side.map(|side| side.timeout_ms) {
            table.set_expiry(id, context.now_ms.saturating_add(timeout_ms.into()));
        }
    }

    /// A connection that was for one packet has had it. The packet is counted for its template, if there is one.
    pub(crate) fn finish_one_packet<K: FlowKey>(&mut self, id: ConnId) {
        let table = K::table_mut(&mut self.tables);
        let side = table.get(id).and_then(|conn| self.side.get(conn.side));
        if let Some(Control { id: template, .. }) = side.and_then(|side| side.control)
            && let Some(template) = table.get_mut(template)
        {
            template.in_pkts = template.in_pkts.wrapping_add(1);
        }
        self.remove::<K>(id);
    }
}

/// What the client's template for such a packet is found by.
fn template_key<K: FlowKey>(key: &K, service: &Service, persistence: &Persistence) -> K {
    let client = K::addr(persistence.mask.apply(key.src().into())).unwrap_or(key.src());
    let protocol = key.protocol_number();
    match service.key {
        ServiceKey::Address { port, .. } if port == key.dport() && port != FTP => {
            K::of_template(client, key.dst(), port, protocol)
        }
        ServiceKey::Mark { mark, .. } if key.dport() != 0 => K::of_template(client, K::of_mark(mark), 0, 0),
        ServiceKey::Address { .. } | ServiceKey::Mark { .. } => {
            K::of_template(client, key.dst(), 0, protocol)
        }
    }
}

fn is_quiescent(settings: &Settings, dest: &Dest) -> bool {
    settings.expire_quiescent_template && dest.weight == 0
}
