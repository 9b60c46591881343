//! Packets that belong to no connection yet [conn_schedule, ip_vs_schedule, ip_vs_leave].
//!
//! Three outcomes: the packet is no business of ours and goes on; a destination takes it and a connection is made; or
//! the service has none to give, and the client hears "port unreachable".

use inet::{DropReason, IcmpError};
use wire::{PacketBuf, PacketInfo, sctp, tcp};

use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;
use crate::protocol::{NEW_TIMEOUT_MS, Protocol};
use crate::{Dest, Method, Service, Verdict, pool, scheduler, steering};

/// Source port of active FTP's data connections, which must have been expected and are never scheduled.
const FTP_DATA: u16 = 20;

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
            // Agreed upon by a key exchange that has no connection here.
            Protocol::Ah | Protocol::Esp => false,
        };
        if !begins || key.sport() == FTP_DATA {
            return Verdict::Accept;
        }
        let Some(service) = context.snapshot.services.find(protocol, key.dst().into(), key.dport()) else {
            return Verdict::Accept;
        };
        if self.defences.drops_packet() {
            return Verdict::Drop(DropReason::DefenceDrop);
        }
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
        let Some(dest) = self.schedulers.pick(&request, service, &self.shared) else {
            return self.leave(context, packet, info, service);
        };
        let dest = &service.dests[dest];
        match self.connect(context, packet.bytes(), info, key, service, dest) {
            Ok(id) => self.pass::<K, B>(context, packet, info, id, dest),
            Err(reason) => Verdict::Drop(reason),
        }
    }

    /// Makes the connection [ip_vs_conn_new].
    fn connect<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        key: &K,
        service: &Service,
        dest: &Dest,
    ) -> Result<conntab::ConnId, DropReason> {
        let reply = self.reply_key(context, frame, info, key, service, dest)?;
        let conn = Connection::new(*key, reply, dest.id, dest.method);
        let id = self.add(conn, None, context.now_ms, NEW_TIMEOUT_MS)?;
        self.bind_helper::<K>(service, id)?;
        let own = self.own();
        own.dest(dest.id).into_iter().for_each(|dest| dest.traffic.count_conn());
        own.service(service.id).into_iter().for_each(|service| service.count_conn());
        own.total.count_conn();
        self.schedulers.bound(dest, &self.shared);
        Ok(id)
    }

    /// What the destination's packets will carry.
    fn reply_key<K: FlowKey>(
        &mut self,
        context: &Context<'_>,
        frame: &[u8],
        info: &PacketInfo,
        key: &K,
        service: &Service,
        dest: &Dest,
    ) -> Result<K, DropReason> {
        let addr = K::addr(dest.addr);
        let port = if dest.port == 0 { key.dport() } else { dest.port };
        let number = key.protocol_number();
        match (dest.method, addr) {
            (Method::Masquerade, Some(addr)) => Ok(K::new(addr, key.src(), port, key.sport(), number)),
            // Not translated, so the port is the one that the client asked for, whatever was configured.
            (Method::DirectRouting | Method::Tunnel, Some(addr)) => {
                Ok(K::new(addr, key.src(), key.dport(), key.sport(), number))
            }
            // Of another family: what remembers it is beside the record.
            (Method::Tunnel, None) => {
                Ok(K::new(K::default().src(), key.src(), key.dport(), key.sport(), number))
            }
            (Method::Fullnat, Some(addr)) => {
                let slot = steering::slot(context.snapshot, frame, info);
                self.local_endpoint(context, service, None, slot, |local, local_port| {
                    K::new(addr, local, port, local_port, number)
                })
            }
            (Method::Fullnat, None) => Err(DropReason::NoLocalPool),
            (Method::Masquerade | Method::DirectRouting, None) => Err(DropReason::NoDestination),
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

    /// No destination: the client is told so [ip_vs_leave].
    fn leave<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        service: &Service,
    ) -> Verdict {
        let full = |dest: &Dest| dest.weight > 0 && self.schedulers.is_overloaded(dest);
        let reason = if service.dests.iter().any(full) {
            DropReason::DestinationOverloaded
        } else {
            DropReason::NoDestination
        };
        self.answer(context, packet, info, IcmpError::PortUnreachable, reason, None)
    }
}
