//! What a backup makes of a connection that a master told of [ip_vs_proc_conn].
//!
//! A connection is bound to the destination that this host knows for it, by that one's method; if it knows none the
//! connection is forwarded all the same, as the message says. A master's word is newer than what is here, with one
//! exception: that a connection has ended which was replaced meanwhile.

use core::net::{IpAddr, SocketAddr};

use conntab::{ConnId, Direction, Key4, Key6};
use wire::sync::flags;

use super::Record;
use super::due::Told;
use crate::app::sequence::Sequence;
use crate::connection::{Connection, FlowKey, TEMPLATE_KEY};
use crate::director::{Core, Director};
use crate::side::Side;
use crate::{ConnFlags, Dest, DestId, Method, Protocol, Service, Snapshot, State, WorkerId, steering};

/// How long a template lives if nobody says, in milliseconds.
const TEMPLATE_MS: u64 = 180_000;
/// The latest that a timer can be: what the kernel's can.
const TIMEOUT_MAX_MS: u64 = 4_294_967_280;

/// What became of a connection that a master told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is here now.
    Made,
    /// It is here now, and its destination is none that is configured.
    MadeUnknown,
    /// It was here and is now as the master says.
    Changed,
    /// It was replaced by another meanwhile, which stays.
    Outdated,
    /// There is no room for it.
    Full,
    /// Nothing leads its packets to this worker.
    Stray,
    /// Its families, its method or its protocol are none that can be here.
    Unusable,
}

impl Imported {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Made,
        Self::MadeUnknown,
        Self::Changed,
        Self::Outdated,
        Self::Full,
        Self::Stray,
        Self::Unusable,
    ];

    /// Its name, for counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::MadeUnknown => "made, unknown destination",
            Self::Changed => "changed",
            Self::Outdated => "outdated",
            Self::Full => "table full",
            Self::Stray => "no worker",
            Self::Unusable => "unusable",
        }
    }
}

/// The workers that are to hear of a connection: its owner, and if the replies to its local address (FULLNAT) lead to
/// another worker, that one too. Nobody, if none would ever see its packets.
pub fn owners(snapshot: &Snapshot, record: &Record) -> (Option<WorkerId>, Option<WorkerId>) {
    let owner = steering::client_owner(snapshot, record.protocol, record.client, record.service);
    let port = record.local.map(|local| steering::local_owner(snapshot, local.port()));
    (owner, port.filter(|port| Some(*port) != owner))
}

impl Director {
    /// Takes in a connection that a master told of.
    pub fn import(&mut self, now_ms: u64, record: &Record) -> Imported {
        let snapshot = &self.snapshot;
        let (owner, by_port) = owners(snapshot, record);
        let worker = self.core.worker;
        if owner != Some(worker) && by_port != Some(worker) {
            return Imported::Stray;
        }
        let away = owner.filter(|owner| *owner != worker);
        let done = match record.client {
            SocketAddr::V4(_) => self.core.import::<Key4>(snapshot, now_ms, record, away),
            SocketAddr::V6(_) => self.core.import::<Key6>(snapshot, now_ms, record, away),
        };
        done.unwrap_or(Imported::Unusable)
    }
}

/// The ends of a connection as one family's.
struct Ends<K: FlowKey> {
    client: (K::Addr, u16),
    service: (K::Addr, u16),
    dest: (K::Addr, u16),
    local: Option<(K::Addr, u16)>,
    protocol: u8,
}

impl<K: FlowKey> Ends<K> {
    fn of(record: &Record) -> Option<Self> {
        let end = |end: SocketAddr| Some((K::addr(end.ip())?, end.port()));
        let local = match record.local {
            Some(local) => Some(end(local)?),
            None => None,
        };
        Some(Self {
            client: end(record.client)?,
            service: end(record.service)?,
            dest: end(record.destination)?,
            local,
            protocol: record.protocol,
        })
    }

    /// The key of the client's packets, or of the template.
    fn original(&self, template: bool, any_port: bool) -> K {
        let (client, service) = (self.client, self.service);
        let key = K::new(client.0, service.0, client.1, service.1, self.protocol);
        match (template, any_port) {
            // Made here they have port 0; from elsewhere they may have any.
            (true, _) => key.flagged(TEMPLATE_KEY),
            (false, true) => key.with_any_port(),
            (false, false) => key,
        }
    }

    /// The key of the destination's packets.
    fn reply(&self, method: Method) -> Option<K> {
        let (dest, port) = self.dest;
        let to = match method {
            Method::Fullnat => self.local?,
            _ => self.client,
        };
        let port = if method.input_only() { self.service.1 } else { port };
        Some(K::new(dest, to.0, port, to.1, self.protocol))
    }
}

impl Core {
    /// `None`: what it says cannot be here. `away`: the worker that has the connection, where this one has only its
    /// replies' port.
    fn import<K: FlowKey>(
        &mut self,
        snapshot: &Snapshot,
        now_ms: u64,
        record: &Record,
        away: Option<WorkerId>,
    ) -> Option<Imported> {
        let ends = Ends::<K>::of(record)?;
        let template = record.is_template();
        if !template {
            Protocol::from_number(record.protocol)?;
        }
        let timeout_ms = timeout_ms(snapshot, record);
        if let Some(owner) = away {
            return self.import_redirect(&ends, now_ms, timeout_ms, owner);
        }
        let any_port = !template && record.flags & flags::NO_CLIENT_PORT != 0 && record.client.port() == 0;
        let engine = record.engine.as_ref().filter(|_| template);
        let key = match engine {
            Some(engine) => {
                let Ok(place) = self.place_of_call(&ends.original(template, any_port), engine.bytes()) else {
                    return Some(Imported::Full);
                };
                place
            }
            None => ends.original(template, any_port),
        };
        let there = K::table(&self.tables).lookup_in(&key, Direction::Original);
        if let Some(id) = there
            && !self.is_other::<K>(id, &ends, template)
        {
            self.change::<K>(snapshot, now_ms, timeout_ms, id, record);
            return Some(Imported::Changed);
        }
        if let Some(id) = there {
            if record.is_inactive() {
                return Some(Imported::Outdated);
            }
            self.retire::<K>(id);
        }
        let (service, dest) = find_dest(snapshot, record).unzip();
        let method = match (record.local, dest) {
            (Some(_), _) => Method::Fullnat,
            (None, Some(dest)) => dest.method,
            (None, None) => method(record.flags)?,
        };
        let reply = match template {
            true => {
                let port = if engine.is_some() { ends.client.1 } else { 0 };
                K::new(ends.dest.0, ends.client.0, ends.dest.1, port, ends.protocol)
            }
            false => ends.reply(method)?,
        };
        let id = dest.map_or(DestId::UNKNOWN, |dest| dest.id);
        let conn = Connection::new(key, reply, id, method);
        let flags = conn
            .flags
            .with(ConnFlags::SYNC, true)
            .with(ConnFlags::INACTIVE, record.is_inactive() || template)
            .with(ConnFlags::TEMPLATE, template)
            .with(ConnFlags::NO_CLIENT_PORT, any_port);
        let in_pkts = snapshot.settings.sync.threshold;
        let conn = Connection { flags, state: state(record), in_pkts, ..conn };
        let own_ms = if template { timeout_ms.min(u32::MAX.into()) as u32 } else { 0 };
        let call = engine.map(|engine| self.calls.insert(engine.bytes(), ends.service.1));
        if call == Some(None) {
            return Some(Imported::Full);
        }
        let call = call.flatten();
        let side = Side { mark: record.fwmark, timeout_ms: own_ms, call, ..Side::default() };
        let side = (side.mark != 0 || template).then_some(side);
        let Ok(id) = self.add(conn, side, now_ms, timeout_ms) else {
            call.into_iter().for_each(|call| self.calls.remove(call));
            return Some(Imported::Full);
        };
        if let Some(service) = service.filter(|_| !template)
            && self.bind_helper::<K>(service, id).is_err()
        {
            return Some(Imported::Full);
        }
        self.remember::<K>(id, record);
        Some(if dest.is_some() { Imported::Made } else { Imported::MadeUnknown })
    }

    /// Whether the connection here leads elsewhere than the one that was told of. A template does not: what it ties a client
    /// to is not changed by a message.
    fn is_other<K: FlowKey>(&self, id: ConnId, ends: &Ends<K>, template: bool) -> bool {
        let Some(conn) = K::table(&self.tables).get(id) else { return false };
        let other_local = conn.method == Method::Fullnat
            && ends.local.is_some_and(|local| local != (conn.reply.dst(), conn.reply.dport()));
        !template && ((conn.reply.src(), conn.reply.sport()) != ends.dest || other_local)
    }

    /// Makes a connection what a master says of it.
    fn change<K: FlowKey>(
        &mut self,
        snapshot: &Snapshot,
        now_ms: u64,
        timeout_ms: u64,
        id: ConnId,
        record: &Record,
    ) {
        let Some(conn) = K::table_mut(&mut self.tables).touch(id, now_ms.saturating_add(timeout_ms)) else {
            return;
        };
        let was_active = conn.is_active();
        conn.state = state(record);
        conn.in_pkts = snapshot.settings.sync.threshold;
        if !conn.is_template() {
            conn.flags = conn.flags.with(ConnFlags::INACTIVE, record.is_inactive());
        }
        let (active, bound, side) = (conn.is_active(), conn.dest, conn.side);
        let found = (bound == DestId::UNKNOWN).then(|| find_dest(snapshot, record)).flatten();
        let found = found.map(|(_, dest)| dest).filter(|dest| dest.method == conn.method);
        if let Some(dest) = found {
            conn.dest = dest.id;
            let template = conn.is_template();
            if let Some(counters) = self.own().dest(dest.id) {
                match template {
                    true => counters.bind_template(),
                    false => counters.bind(active),
                }
            }
        } else if was_active != active
            && let Some(dest) = self.own().dest(bound)
        {
            dest.set_active(active);
        }
        if let Some(side) = self.side.get_mut(side).filter(|_| record.is_template()) {
            side.timeout_ms = timeout_ms.min(u32::MAX.into()) as u32;
        }
        self.remember::<K>(id, record);
    }

    /// What a master told need not be told again; a helper goes on with the numbers as the master's shifted them.
    fn remember<K: FlowKey>(&mut self, id: ConnId, record: &Record) {
        let told = self.sync.get(K::FAMILY, id);
        self.sync.set(K::FAMILY, id, Told { state: state(record), ..told });
        let session = K::table(&self.tables).get(id).and_then(|conn| self.side.get(conn.side)?.session);
        if let Some(shifts) = record.shifts
            && let Some(session) = session.and_then(|at| self.sessions.get_mut(at))
        {
            session.input = Sequence::shifted(shifts.input);
            session.output = Sequence::shifted(shifts.output);
        }
    }

    /// The replies of a connection that another worker has come here: they are to be handed on.
    fn import_redirect<K: FlowKey>(
        &mut self,
        ends: &Ends<K>,
        now_ms: u64,
        timeout_ms: u64,
        owner: WorkerId,
    ) -> Option<Imported> {
        let key = ends.reply(Method::Fullnat)?;
        let dest = DestId::redirect(owner);
        let table = K::table_mut(&mut self.tables);
        if let Some(id) = table.lookup_in(&key, Direction::Original)
            && let Some(conn) = table.touch(id, now_ms.saturating_add(timeout_ms))
            && conn.dest.redirected().is_some()
        {
            conn.dest = dest;
            return Some(Imported::Changed);
        }
        // To this worker the destination is a client like any other, and nothing ever answers it.
        let conn = Connection::new(key, K::default(), dest, Method::DirectRouting);
        let conn = Connection { flags: conn.flags.with(ConnFlags::SYNC, true), ..conn };
        match self.add(conn, None, now_ms, timeout_ms) {
            Ok(_) => Some(Imported::Made),
            Err(_) => Some(Imported::Full),
        }
    }
}

/// The destination that a connection is bound to here [ip_vs_find_dest].
fn find_dest<'a>(snapshot: &'a Snapshot, record: &Record) -> Option<(&'a Service, &'a Dest)> {
    let services = &snapshot.services;
    let family = crate::model::family_of(record.service.ip());
    let by_mark = (record.fwmark != 0).then(|| services.find_mark(record.fwmark, family)).flatten();
    let by_address = || {
        let protocol = Protocol::from_number(record.protocol)?;
        services.find(protocol, record.service.ip(), record.service.port())
    };
    let service = by_mark.or_else(by_address)?;
    let (addr, port) = (record.destination.ip(), record.destination.port());
    let find = |port| service.dests.iter().find(|dest| dest.addr == addr && dest.port == port);
    find(port).or_else(|| find(0)).map(|dest| (service, dest))
}

fn method(flags: u32) -> Option<Method> {
    match flags & flags::METHOD_MASK {
        flags::MASQUERADE => Some(Method::Masquerade),
        flags::TUNNEL => Some(Method::Tunnel),
        flags::DIRECT_ROUTE => Some(Method::DirectRouting),
        flags::LOCALNODE => Some(Method::LocalNode),
        flags::BYPASS => Some(Method::Bypass),
        _ => None,
    }
}

fn state(record: &Record) -> State {
    State(record.state.min(u8::MAX.into()) as u8)
}

/// How long the connection lives from now on.
fn timeout_ms(snapshot: &Snapshot, record: &Record) -> u64 {
    let protocol = Protocol::from_number(record.protocol).filter(|_| !record.is_template());
    match (record.timeout_s, protocol) {
        (0, Some(protocol)) => protocol.timeout_ms(state(record), &snapshot.timeouts),
        (0, None) => TEMPLATE_MS,
        (seconds, _) => (u64::from(seconds) * 1000).min(TIMEOUT_MAX_MS),
    }
}

impl DestId {
    /// Of a connection whose destination is none that is configured: a peer has it, or there is none and packets go past.
    pub const UNKNOWN: Self = Self(u32::MAX);

    /// First of the numbers that stand for a worker.
    const REDIRECT: u32 = u32::MAX - 0x1_0000;

    /// Of packets that another worker has the connection of.
    fn redirect(owner: WorkerId) -> Self {
        Self(Self::REDIRECT + u32::from(owner.0))
    }

    /// The worker that packets of such a connection are for, if this is such a one.
    pub(crate) fn redirected(self) -> Option<WorkerId> {
        let worker = self.0.checked_sub(Self::REDIRECT)?;
        u16::try_from(worker).ok().map(WorkerId)
    }

    /// Whether it is that of a destination which is or was configured.
    pub(crate) fn is_configured(self) -> bool {
        self.0 < Self::REDIRECT
    }
}

/// The destination of a connection that came bound to one which is not configured, as the connection remembers it.
pub(crate) fn unknown_dest<K: FlowKey>(conn: &Connection<K>) -> Option<Dest> {
    let addr: IpAddr = conn.reply.src().into();
    let dest = || Dest::new(DestId::UNKNOWN, addr, conn.reply.sport(), conn.method);
    (conn.dest == DestId::UNKNOWN).then(dest)
}

/// The configured destination of a connection, if it is still there.
pub(crate) fn configured_dest<'a, K: FlowKey>(
    snapshot: &'a Snapshot,
    conn: &Connection<K>,
) -> Option<&'a Dest> {
    snapshot.services.dest(conn.dest).map(|(_, dest)| dest)
}
