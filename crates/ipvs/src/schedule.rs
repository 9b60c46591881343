//! Packets that belong to no connection yet [conn_schedule, ip_vs_schedule, ip_vs_leave].
//!
//! Three outcomes: the packet is no business of ours and goes on; a destination takes it and a connection is made; or
//! the service has none to give, and the client hears "port unreachable".

use conntab::ConnId;
use inet::{DropReason, IcmpError};
use wire::{PacketBuf, PacketInfo, sctp, tcp};

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::protocol::{NEW_TIMEOUT_MS, Protocol};
use crate::side::Side;
use crate::trace::Step;
use crate::xmit::is_local;
use crate::{ConnFlags, Dest, DestId, Method, Service, ServiceKey, Verdict, pool, scheduler, steering};

/// Port of FTP's sessions: clients may open data connections to other ports of the same address.
pub(crate) const FTP: u16 = 21;
/// Source port of active FTP's data connections, which must have been expected and are never scheduled.
pub(crate) const FTP_DATA: u16 = 20;

/// A packet that asks for a connection.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'p, K> {
    pub(crate) frame: &'p [u8],
    pub(crate) info: &'p PacketInfo,
    /// What it carries: from the client to the service.
    pub(crate) key: &'p K,
}

/// Why a service made no connection for a packet.
pub(crate) enum Unscheduled {
    /// It has no destination to give, or none for this port: the client may be told.
    NoDestination,
    /// There is no room.
    Refused(DropReason),
}

impl From<DropReason> for Unscheduled {
    fn from(reason: DropReason) -> Self {
        Self::Refused(reason)
    }
}

impl Core {
    /// A packet of no connection, whose key is `key`.
    pub(crate) fn schedule<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        key: &K,
        protocol: Protocol,
    ) -> Verdict {
        let settings = &context.snapshot.settings;
        let begins = match protocol {
            // An ACK beside the SYN does not matter, as in Linux.
            Protocol::Tcp => {
                (settings.sloppy_tcp || info.tcp_flags & tcp::SYN != 0) && info.tcp_flags & tcp::RST == 0
            }
            Protocol::Udp => true,
            Protocol::Sctp => match info.sctp {
                Some(lead) => lead.first == sctp::INIT || (settings.sloppy_sctp && lead.first != sctp::ABORT),
                None => return Verdict::Drop(DropReason::SctpNoChunk),
            },
            // Agreed upon in a connection that is not here.
            Protocol::Ah | Protocol::Esp | Protocol::Gre => false,
        };
        if !begins {
            return Verdict::Accept;
        }
        let services = &context.snapshot.services;
        let Some(service) = services.find_marked(info.mark, protocol, key.dst().into(), key.dport()) else {
            return Verdict::Accept;
        };
        if self.defences.drops_packet() {
            return Verdict::Drop(DropReason::DefenceDrop);
        }
        if key.sport() == FTP_DATA {
            return Verdict::Accept;
        }
        let opening = Opening { frame: packet.bytes(), info, key };
        match self.place(context, &opening, service) {
            Ok(id) => self.begin::<K, B>(context, packet, info, id),
            Err(Unscheduled::NoDestination) => self.leave::<K, B>(context, packet, info, key, service),
            Err(Unscheduled::Refused(reason)) => Verdict::Drop(reason),
        }
    }

    /// A connection for an ICMP error about a packet against `key`, whose own connection is not known here
    /// [schedule_icmp]. `None`: it is no business of ours. There is nothing to tell the sender of an error.
    pub(crate) fn schedule_error<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        key: &K,
    ) -> Option<Result<ConnId, Verdict>> {
        let snapshot = context.snapshot;
        if !snapshot.settings.schedule_icmp {
            return None;
        }
        let protocol = Protocol::from_number(key.protocol_number()).filter(|p| !p.goes_by_address())?;
        let services = &snapshot.services;
        let service = services.find_marked(info.mark, protocol, key.dst().into(), key.dport())?;
        if self.defences.drops_packet() {
            return Some(Err(Verdict::Drop(DropReason::DefenceDrop)));
        }
        if key.sport() == FTP_DATA {
            return None;
        }
        let placed = self.place(context, &Opening { frame, info, key }, service);
        Some(placed.map_err(|why| match why {
            Unscheduled::NoDestination => Verdict::Drop(self.why_none(service)),
            Unscheduled::Refused(reason) => Verdict::Drop(reason),
        }))
    }

    /// A new connection to a destination of the service.
    fn place<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        opening: &Opening<'_, K>,
        service: &Service,
    ) -> Result<ConnId, Unscheduled> {
        let placed = match service.persistence {
            Some(persistence) => self.schedule_persistent(context, opening, service, persistence),
            None => self.schedule_once(context, opening, service),
        };
        placed.map(|(id, _)| id)
    }

    /// A connection of a service whose clients may have another destination each time.
    fn schedule_once<'a, K: FlowKey>(
        &mut self,
        context: &Context<'a>,
        opening: &Opening<'_, K>,
        service: &'a Service,
    ) -> Result<(ConnId, &'a Dest), Unscheduled> {
        let key = opening.key;
        // The port is another than that of an FTP service whose data connection this may be: it is not expected.
        if service.key.port() != 0 && service.key.port() != key.dport() {
            return Err(Unscheduled::NoDestination);
        }
        let dest = self.pick(context, key, service).ok_or(Unscheduled::NoDestination)?;
        let port = if dest.port == 0 { key.dport() } else { dest.port };
        let id = self.connect(context, opening, service, (dest, port), None)?;
        Ok((id, dest))
    }

    /// The destination that the service's scheduler gives a new client.
    pub(crate) fn pick<'a, K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        key: &K,
        service: &'a Service,
    ) -> Option<&'a Dest> {
        let request = scheduler::Request {
            now_ms: context.now_ms,
            flow: scheduler::Flow {
                client: key.src().into(),
                client_port: key.sport(),
                dst: key.dst().into(),
                dst_port: key.dport(),
                protocol: key.protocol_number(),
            },
            services: &context.snapshot.services,
            settings: &context.snapshot.settings,
        };
        self.schedulers.pick(&request, service, &self.shared).map(|index| &service.dests[index])
    }

    /// The first packet of a connection, which is the last one too if the service is scheduled packet by packet.
    fn begin<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        id: ConnId,
    ) -> Verdict {
        let verdict = self.pass::<K, B>(context, packet, info, id);
        let conn = K::table(&self.tables).get(id);
        if conn.is_some_and(|conn| conn.flags.has(ConnFlags::ONE_PACKET)) {
            self.finish_one_packet::<K>(id);
        }
        verdict
    }

    /// Makes the connection to a port of a destination [ip_vs_conn_new].
    pub(crate) fn connect<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        opening: &Opening<'_, K>,
        service: &Service,
        (dest, port): (&Dest, u16),
        side: Option<Side>,
    ) -> Result<ConnId, DropReason> {
        let Opening { info, key, .. } = *opening;
        self.tracer.step(Step::Scheduled { service: service.id, dest: Some(dest.id) });
        let reply = self.reply_key(context, opening, service, (dest, port))?;
        let conn = one_packet(Connection::new(*key, reply, dest.id, dest.method), service, info);
        let side = side.or_else(|| (info.mark != 0).then(Side::default));
        let side = side.map(|side| Side { mark: info.mark, ..side });
        let id = self.add(conn, side, context.now_ms, NEW_TIMEOUT_MS)?;
        self.bind_helper::<K>(service, id)?;
        self.count_connection(dest.id, service);
        self.schedulers.bound(dest, &self.shared);
        Ok(id)
    }

    /// Counts a connection as made [ip_vs_conn_stats].
    pub(crate) fn count_connection(&self, dest: DestId, service: &Service) {
        let own = self.own();
        own.dest(dest).into_iter().for_each(|dest| dest.traffic.count_conn());
        own.service(service.id).into_iter().for_each(|service| service.count_conn());
        own.total.count_conn();
    }

    /// What the destination's packets will carry.
    fn reply_key<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        opening: &Opening<'_, K>,
        service: &Service,
        (dest, port): (&Dest, u16),
    ) -> Result<K, DropReason> {
        let Opening { frame, info, key } = *opening;
        let addr = K::addr(dest.addr);
        let number = key.protocol_number();
        match (dest.method, addr) {
            (Method::Masquerade, Some(addr)) => Ok(K::new(addr, key.src(), port, key.sport(), number)),
            // Not translated: the port is only remembered.
            (Method::DirectRouting | Method::Tunnel, Some(addr)) => {
                Ok(K::new(addr, key.src(), port, key.sport(), number))
            }
            // Of another family: what remembers it is beside the record.
            (Method::Tunnel, None) => Ok(K::new(K::default().src(), key.src(), port, key.sport(), number)),
            (Method::Fullnat, Some(addr)) => {
                let slot = steering::slot(context.snapshot, frame, info);
                self.local_endpoint(context, service, None, slot, |local, local_port| {
                    K::new(addr, local, port, local_port, number)
                })
            }
            (Method::Fullnat, None) => Err(DropReason::NoLocalPool),
            (Method::Masquerade | Method::DirectRouting, None) => Err(DropReason::NoDestination),
            // No destination has these.
            (Method::LocalNode | Method::Bypass, _) => Err(DropReason::NoDestination),
        }
    }

    /// A reply key with a local address, the one that is given if any, and a port that no other connection with this
    /// destination endpoint has.
    pub(crate) fn local_endpoint<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        service: &Service,
        local: Option<K::Addr>,
        slot: Option<steering::Slot>,
        reply: impl Fn(K::Addr, u16) -> K,
    ) -> Result<K, DropReason> {
        let snapshot = context.snapshot;
        let pool = service.pool.and_then(|id| snapshot.pools.get(id)).ok_or(DropReason::NoLocalPool)?;
        let local = local.map(Into::into);
        let addrs = local.as_ref().map_or(pool.addrs(K::FAMILY), core::slice::from_ref);
        if addrs.is_empty() {
            return Err(DropReason::NoLocalPool);
        }
        let Self { worker, tables, rng, .. } = self;
        let slot = slot
            .or_else(|| snapshot.steering.slots(*worker).first().copied())
            .ok_or(DropReason::NoLocalPort)?;
        let table = K::table(tables);
        let free = |local, local_port| {
            K::addr(local)
                .map(|local| reply(local, local_port))
                .filter(|key| table.lookup_in(key, conntab::Direction::Reply).is_none())
        };
        pool::allocate(addrs, pool.ports(), slot, &snapshot.steering, *worker, rng, |addr, port| {
            free(addr, port).is_some()
        })
        .and_then(|(addr, port)| free(addr, port))
        .ok_or(DropReason::NoLocalPort)
    }

    /// No destination: the packet goes past them if it may, else the client is told so [ip_vs_leave].
    fn leave<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        key: &K,
        service: &Service,
    ) -> Verdict {
        if context.snapshot.settings.cache_bypass
            && matches!(service.key, ServiceKey::Mark { .. })
            && may_be_bypassed(context, key.dst().into())
        {
            // Without a destination it counts nowhere.
            let conn = Connection::new(*key, K::default(), DestId::UNKNOWN, Method::Bypass);
            let conn = one_packet(conn, service, info);
            return match self.add(conn, None, context.now_ms, NEW_TIMEOUT_MS) {
                Ok(id) => self.begin::<K, B>(context, packet, info, id),
                Err(reason) => Verdict::Drop(reason),
            };
        }
        // What may have been FTP's data, but was not expected, is for whoever listens there.
        if service.key.port() == FTP && key.dport() != FTP {
            return Verdict::Accept;
        }
        self.tracer.step(Step::Scheduled { service: service.id, dest: None });
        let reason = self.why_none(service);
        self.answer(context, packet, info, IcmpError::PortUnreachable, reason, None)
    }

    /// Why a service has no destination to give.
    fn why_none(&self, service: &Service) -> DropReason {
        let full = |dest: &Dest| dest.weight > 0 && self.schedulers.is_overloaded(dest);
        match service.dests.iter().any(full) {
            true => DropReason::DestinationOverloaded,
            false => DropReason::NoDestination,
        }
    }
}

/// The connection as that of one packet, if the service asks for it [IP_VS_CONN_F_ONE_PACKET].
fn one_packet<K: FlowKey>(conn: Connection<K>, service: &Service, info: &PacketInfo) -> Connection<K> {
    if service.one_packet && info.protocol == Protocol::Udp.number() {
        let conn = conn.unhashed();
        return Connection { flags: conn.flags | ConnFlags::ONE_PACKET, ..conn };
    }
    conn
}

/// Whether a packet to this address may go on without a destination [ip_vs_addr_is_unicast].
fn may_be_bypassed(context: &Context<'_>, dst: core::net::IpAddr) -> bool {
    !is_local(context, dst) && !context.snapshot.net.is_broadcast_or_multicast(dst)
}
