//! Virtual services by what a packet names [ip_vs_svc_table], and real servers by their address [rs_table].
//!
//! Built once per snapshot, then only read. Services are shared between snapshots; the index is not. Which
//! combinations make sense is control's to say; here only what would break the index is refused.

use core::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::app::served::Served;

use inet::IfaceId;
use wire::{Family, PacketInfo};

use crate::marks::Marks;

use crate::model::family_of;
use crate::schedule::{FTP, FTP_DATA};
use crate::scheduler::Prepared;
use crate::{ClientMask, Dest, DestId, Method, Protocol, Service, ServiceId, ServiceKey, Tunnel};

type Endpoint = (Protocol, IpAddr, u16);

/// Ports from here on are no service's by themselves: an FTP data connection may be to any of them
/// [inet_port_requires_bind_service].
const UNPRIVILEGED: u16 = 1024;

/// Removed services whose rule of steering is remembered; the oldest are forgotten.
const REMOVED_MAX: usize = 4096;

/// Two services that cannot be in one table, or one that cannot be in any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError {
    /// Two services have this id.
    DuplicateService(ServiceId),
    /// Two services have this key.
    DuplicateKey(ServiceKey),
    /// Two destinations, of one service or of two, have this id.
    DuplicateDest(DestId),
}

impl core::fmt::Display for TableError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::DuplicateService(id) => write!(f, "two services have id {}", id.0),
            Self::DuplicateKey(ServiceKey::Address { protocol, addr, port }) => {
                write!(f, "two services have the key {} {addr} port {port}", protocol.name())
            }
            Self::DuplicateKey(ServiceKey::Mark { mark, family }) => {
                write!(f, "two services of {family:?} have the mark {mark}")
            }
            Self::DuplicateDest(id) => write!(f, "two destinations have id {}", id.0),
        }
    }
}

impl core::error::Error for TableError {}

/// A service with what steering asks of it for every packet.
#[derive(Clone, Debug)]
struct Entry {
    service: Arc<Service>,
    /// Has a masquerade destination, or had one.
    masquerades: bool,
    /// For its scheduler.
    prepared: Prepared,
}

/// All virtual services.
#[derive(Clone, Debug, Default)]
pub struct ServiceTable {
    entries: Vec<Entry>,
    by_key: HashMap<Endpoint, u32>,
    by_mark: HashMap<(u32, Family), u32>,
    /// Which packets have a mark.
    marks: Arc<Marks>,
    /// Entry by service id.
    by_id: Vec<Option<u32>>,
    /// Entry and index among its destinations, by destination id.
    by_dest: Vec<Option<(u32, u32)>>,
    /// Whether there is any of IPv4, of IPv6.
    families: [bool; 2],
    /// Masquerade destinations; port 0 where the service has port 0, for any.
    real_servers: HashSet<Endpoint>,
    /// Where GUE tunnels end: addresses and UDP ports.
    gue_ends: HashSet<(IpAddr, u16)>,
    /// There is an FTP service.
    any_ftp: bool,
    /// There is a masquerade destination, or there was one.
    any_masquerade: bool,
    /// Those with helpers.
    served: Served,
    /// Services that are gone, in the order of their going, and whether they masqueraded: their connections may live on.
    removed: Vec<(Endpoint, bool)>,
    removed_by_key: HashMap<Endpoint, bool>,
}

impl ServiceTable {
    /// Indexes the services. Linear in services and destinations, and in the largest id of each.
    pub fn build(services: Vec<Arc<Service>>) -> Result<Self, TableError> {
        Self::build_after(&Self::default(), services)
    }

    /// Like `build`, for a table that follows `previous` while connections live, so that the owner of each stays the same: a
    /// service that had masquerade destinations keeps their rule of steering, and one that goes leaves its own behind.
    pub fn build_after(previous: &Self, services: Vec<Arc<Service>>) -> Result<Self, TableError> {
        let mut table = Self {
            entries: Vec::with_capacity(services.len()),
            by_key: HashMap::with_capacity(services.len()),
            any_masquerade: previous.any_masquerade,
            served: Served::after(&previous.served),
            ..Self::default()
        };
        for service in services {
            let before = previous.entry_of(service.id);
            let prepared = match before {
                Some(before) if Arc::ptr_eq(&before.service, &service) => before.prepared.clone(),
                _ => Prepared::build(&service, before.map(|before| (&*before.service, &before.prepared))),
            };
            let masqueraded = before.is_some_and(|entry| entry.masquerades)
                || endpoint(&service.key).and_then(|key| previous.removed_by_key.get(&key)) == Some(&true);
            table.insert(service, masqueraded, prepared)?;
        }
        table.remember_removed(previous);
        Ok(table)
    }

    /// Takes over what `previous` knew of services that are not here.
    fn remember_removed(&mut self, previous: &Self) {
        let lately = previous.entries.iter().filter_map(|entry| {
            let key = endpoint(&entry.service.key)?;
            Some((key, entry.masquerades))
        });
        let removed = previous.removed.iter().copied().chain(lately);
        self.removed = removed.filter(|(key, _)| !self.by_key.contains_key(key)).collect();
        self.removed.drain(..self.removed.len().saturating_sub(REMOVED_MAX));
        self.removed_by_key = self.removed.iter().copied().collect();
    }

    fn insert(
        &mut self,
        service: Arc<Service>,
        masqueraded: bool,
        prepared: Prepared,
    ) -> Result<(), TableError> {
        let entry = self.entries.len() as u32;
        if claim(&mut self.by_id, service.id.0, entry).is_some() {
            return Err(TableError::DuplicateService(service.id));
        }
        let taken = match service.key {
            ServiceKey::Address { protocol, addr, port } => {
                self.any_ftp |= protocol == Protocol::Tcp && port == FTP;
                self.by_key.insert((protocol, addr, port), entry)
            }
            ServiceKey::Mark { mark, family } => self.by_mark.insert((mark, family), entry),
        };
        if taken.is_some() {
            return Err(TableError::DuplicateKey(service.key));
        }
        for (index, dest) in service.dests.iter().enumerate() {
            if claim(&mut self.by_dest, dest.id.0, (entry, index as u32)).is_some() {
                return Err(TableError::DuplicateDest(dest.id));
            }
            if let (Method::Tunnel, Tunnel::Gue { port, .. }) = (dest.method, dest.tunnel) {
                self.gue_ends.insert((dest.addr, port));
            }
            if dest.method != Method::Masquerade {
                continue;
            }
            let dest_port = if dest.port == 0 { service.key.port() } else { dest.port };
            // A mark is put on any protocol, and says nothing of a port.
            let one = service.key.protocol();
            if one.is_none() && dest_port == 0 {
                continue;
            }
            for protocol in
                Protocol::ALL.into_iter().filter(|protocol| one.is_none_or(|one| one == *protocol))
            {
                self.real_servers.insert((protocol, dest.addr, dest_port));
            }
        }
        self.families[service.key.family() as usize] = true;
        let masquerades = masqueraded || service.uses(Method::Masquerade);
        self.any_masquerade |= masquerades;
        self.served.add(&service, masquerades);
        self.entries.push(Entry { service, masquerades, prepared });
        Ok(())
    }

    /// The service that a packet with this mark to this endpoint belongs to: that of the mark, else of the endpoint
    /// [ip_vs_service_find].
    pub fn find_marked(&self, mark: u32, protocol: Protocol, addr: IpAddr, port: u16) -> Option<&Service> {
        let marked = (mark != 0).then(|| self.find_mark(mark, family_of(addr))).flatten();
        marked.or_else(|| self.find(protocol, addr, port))
    }

    /// The service that a packet to this endpoint belongs to: the one with that port, else an FTP service whose data
    /// connection it may be, else the one with port 0.
    pub fn find(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<&Service> {
        self.entry(protocol, addr, port).map(|entry| &*entry.service)
    }

    /// Goes by other rules that mark packets.
    #[must_use]
    pub fn with_marks(self, marks: Arc<Marks>) -> Self {
        Self { marks, ..self }
    }

    /// The mark of a packet that came in by `iface`; 0: none.
    pub fn mark_of(&self, frame: &[u8], info: &PacketInfo, iface: IfaceId) -> u32 {
        self.marks.mark_of(frame, info, iface)
    }

    /// The service for packets of this family with this mark.
    pub fn find_mark(&self, mark: u32, family: Family) -> Option<&Service> {
        self.by_mark.get(&(mark, family)).map(|entry| &*self.entries[*entry as usize].service)
    }

    /// Like `find`, but services that were removed count too; whether the service has a masquerade destination, or had one.
    pub fn masquerades(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<bool> {
        let removed = |port| self.removed_by_key.get(&(protocol, addr, port)).copied();
        self.entry(protocol, addr, port)
            .map(|entry| entry.masquerades)
            .or_else(|| removed(port))
            .or_else(|| removed(0))
    }

    /// Which clients are one for the persistent service at this endpoint, and whether it has a masquerade destination, or had
    /// one; none if the service there is not persistent.
    pub fn persistent(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<(ClientMask, bool)> {
        let entry = self.entry(protocol, addr, port)?;
        Some((entry.service.persistence?.mask, entry.masquerades))
    }

    /// The service for packets of this family with this mark, and whether it has a masquerade destination, or had one.
    pub(crate) fn marked(&self, mark: u32, family: Family) -> Option<(&Service, bool)> {
        let entry = &self.entries[*self.by_mark.get(&(mark, family))? as usize];
        Some((&entry.service, entry.masquerades))
    }

    /// Whether a packet to this endpoint is of a service with a helper, or may be what one expects: then all of a client's go
    /// to one worker. If so, whether such a service has a masquerade destination, or had one. Removed services count too.
    pub fn helped(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<bool> {
        let key = (protocol, addr, port);
        let other = || self.by_key.contains_key(&key) || self.removed_by_key.contains_key(&key);
        self.served.masquerades(protocol, addr, port, other)
    }

    fn entry(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<&Entry> {
        let at = |port| self.by_key.get(&(protocol, addr, port));
        let may_be_data =
            self.any_ftp && protocol == Protocol::Tcp && (port == FTP_DATA || port >= UNPRIVILEGED);
        let index = at(port).or_else(|| may_be_data.then(|| at(FTP)).flatten()).or_else(|| at(0))?;
        Some(&self.entries[*index as usize])
    }

    /// Whether any service is for packets of this family.
    pub fn any_of(&self, family: Family) -> bool {
        self.families[family as usize]
    }

    /// Whether a service has PPTP's helper, so that GRE may be of its calls.
    pub(crate) fn expects_calls(&self) -> bool {
        self.served.expects_calls()
    }

    /// The ports at which a destination with this address gets requests whose transfers come from other ports.
    pub(crate) fn transfer_ports(&self, addr: IpAddr) -> &[u16] {
        self.served.transfer_ports(addr)
    }

    /// The destination with this endpoint, if its service's engine knows what it begins on its own.
    pub(crate) fn caller(&self, addr: IpAddr, port: u16) -> Option<DestId> {
        self.served.caller(addr, port)
    }

    /// The service with this id.
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.shared(id).map(|service| &**service)
    }

    /// The service with this id, to put it unchanged into another table.
    pub fn shared(&self, id: ServiceId) -> Option<&Arc<Service>> {
        self.entry_of(id).map(|entry| &entry.service)
    }

    /// What the service's scheduler goes by.
    pub(crate) fn prepared(&self, id: ServiceId) -> Option<&Prepared> {
        self.entry_of(id).map(|entry| &entry.prepared)
    }

    fn entry_of(&self, id: ServiceId) -> Option<&Entry> {
        let index = (*self.by_id.get(id.0 as usize)?)?;
        Some(&self.entries[index as usize])
    }

    /// The destination with this id, and its service.
    pub fn dest(&self, id: DestId) -> Option<(&Service, &Dest)> {
        let (entry, index) = (*self.by_dest.get(id.0 as usize)?)?;
        let service = &*self.entries[entry as usize].service;
        Some((service, &service.dests[index as usize]))
    }

    /// Whether this is the endpoint of a masquerade destination: what comes from there may be a reply
    /// [ip_vs_has_real_service].
    pub fn is_real_server(&self, protocol: Protocol, addr: IpAddr, port: u16) -> bool {
        self.real_servers.contains(&(protocol, addr, port))
            || self.real_servers.contains(&(protocol, addr, 0))
    }

    /// Whether a destination ends GUE tunnels at this address and UDP port, so that a packet to there is one
    /// [ip_vs_find_tunnel].
    pub fn is_gue_end(&self, addr: IpAddr, port: u16) -> bool {
        self.gue_ends.contains(&(addr, port))
    }

    /// Whether any service has a masquerade destination, or had one.
    pub fn any_masquerade(&self) -> bool {
        self.any_masquerade
    }

    /// All services, in the order that they were given in.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.entries.iter().map(|entry| &entry.service)
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What packets of a service are addressed to, where that is what makes them so.
fn endpoint(key: &ServiceKey) -> Option<Endpoint> {
    match *key {
        ServiceKey::Address { protocol, addr, port } => Some((protocol, addr, port)),
        ServiceKey::Mark { .. } => None,
    }
}

/// Puts `value` at `index`, growing the list; what was there before.
fn claim<T: Clone>(list: &mut Vec<Option<T>>, index: u32, value: T) -> Option<T> {
    let index = index as usize;
    if list.len() <= index {
        list.resize(index + 1, None);
    }
    list[index].replace(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SchedulerKind;

    const VIP: [u8; 4] = [192, 0, 2, 100];

    fn service(id: u32, protocol: Protocol, port: u16, dests: &[Dest]) -> Arc<Service> {
        let key = ServiceKey::Address { protocol, addr: VIP.into(), port };
        Arc::new(Service { dests: dests.into(), ..Service::new(ServiceId(id), key, SchedulerKind::Rr) })
    }

    fn dest(id: u32, method: Method, port: u16) -> Dest {
        Dest::new(DestId(id), [10, 0, 2, id as u8].into(), port, method)
    }

    #[test]
    fn marks_are_of_one_family() {
        let marked = |id, mark, family| {
            let key = ServiceKey::Mark { mark, family };
            Arc::new(Service::new(ServiceId(id), key, SchedulerKind::Rr))
        };
        let table = ServiceTable::build(vec![marked(1, 7, Family::V4), marked(2, 7, Family::V6)]).unwrap();
        let found = |mark, family| table.find_mark(mark, family).map(|service| service.id);
        assert_eq!(found(7, Family::V4), Some(ServiceId(1)));
        assert_eq!(found(7, Family::V6), Some(ServiceId(2)));
        assert_eq!(found(8, Family::V4), None);
        let twice = vec![marked(1, 7, Family::V4), marked(2, 7, Family::V4)];
        let key = ServiceKey::Mark { mark: 7, family: Family::V4 };
        assert_eq!(ServiceTable::build(twice).err(), Some(TableError::DuplicateKey(key)));
    }

    #[test]
    fn the_exact_port_goes_before_port_zero() {
        use Protocol::{Tcp, Udp};
        let table = ServiceTable::build(vec![
            service(1, Tcp, 0, &[]),
            service(2, Tcp, 80, &[]),
            service(3, Udp, 53, &[]),
        ])
        .unwrap();
        for (name, protocol, port, want) in [
            ("exact", Tcp, 80, Some(2)),
            ("any port", Tcp, 443, Some(1)),
            ("port 0 itself", Tcp, 0, Some(1)),
            ("other protocol", Udp, 53, Some(3)),
            ("other protocol has no port 0", Udp, 80, None),
        ] {
            let found = table.find(protocol, VIP.into(), port).map(|service| service.id.0);
            assert_eq!(found, want, "{name}");
        }
        let other = [192, 0, 2, 101].into();
        assert!(table.find(Tcp, other, 80).is_none());
        assert!(table.any_of(Family::V4) && !table.any_of(Family::V6));
    }

    #[test]
    fn an_ipv4_mapped_address_is_another_one() {
        let table = ServiceTable::build(vec![service(0, Protocol::Tcp, 80, &[])]).unwrap();
        let mapped = std::net::Ipv4Addr::from(VIP).to_ipv6_mapped();
        assert!(table.find(Protocol::Tcp, mapped.into(), 80).is_none());
    }

    #[test]
    fn ids_lead_to_services_and_destinations() {
        let dests = [dest(7, Method::Fullnat, 80), dest(3, Method::Tunnel, 80)];
        let table = ServiceTable::build(vec![service(5, Protocol::Tcp, 80, &dests)]).unwrap();
        assert_eq!(table.service(ServiceId(5)).unwrap().id, ServiceId(5));
        assert_eq!(table.dest(DestId(3)).map(|(s, d)| (s.id.0, d.id.0)), Some((5, 3)));
        for missing in [0, 4, 6, u32::MAX] {
            assert!(table.service(ServiceId(missing)).is_none(), "{missing}");
        }
        for missing in [0, 4, 8, u32::MAX] {
            assert!(table.dest(DestId(missing)).is_none(), "{missing}");
        }
    }

    #[test]
    fn real_servers_are_known_by_the_port_that_they_answer_from() {
        use Method::{DirectRouting, Masquerade};
        let table = ServiceTable::build(vec![
            service(0, Protocol::Tcp, 80, &[dest(1, Masquerade, 8080), dest(2, Masquerade, 0)]),
            service(1, Protocol::Tcp, 0, &[dest(3, Masquerade, 0)]),
            service(2, Protocol::Tcp, 81, &[dest(4, DirectRouting, 81)]),
        ])
        .unwrap();
        for (name, server, port, want) in [
            ("its own port", 1, 8080, true),
            ("another port", 1, 80, false),
            ("the service's port", 2, 80, true),
            ("any port", 3, 12_345, true),
            ("not masquerade", 4, 81, false),
        ] {
            let addr = [10, 0, 2, server].into();
            assert_eq!(table.is_real_server(Protocol::Tcp, addr, port), want, "{name}");
            assert!(!table.is_real_server(Protocol::Udp, addr, port), "{name}, UDP");
        }
        assert!(table.any_masquerade());
        assert_eq!(table.masquerades(Protocol::Tcp, VIP.into(), 80), Some(true));
        assert_eq!(table.masquerades(Protocol::Tcp, VIP.into(), 81), Some(false));
        assert!(!ServiceTable::default().any_masquerade());
    }

    #[test]
    fn what_would_break_the_index_is_refused() {
        let dests = [dest(1, Method::Tunnel, 80)];
        let one = || service(0, Protocol::Tcp, 80, &dests);
        for (name, second, want) in [
            ("id", service(0, Protocol::Tcp, 81, &[]), TableError::DuplicateService(ServiceId(0))),
            ("key", service(1, Protocol::Tcp, 80, &[]), TableError::DuplicateKey(one().key)),
            ("destination", service(1, Protocol::Tcp, 81, &dests), TableError::DuplicateDest(DestId(1))),
        ] {
            assert_eq!(ServiceTable::build(vec![one(), second]).err(), Some(want), "{name}");
            assert!(!want.to_string().is_empty());
        }
    }

    #[test]
    fn services_are_shared_not_copied() {
        let first = ServiceTable::build(vec![service(0, Protocol::Tcp, 80, &[])]).unwrap();
        let second = ServiceTable::build(first.iter().cloned().collect()).unwrap();
        let id = ServiceId(0);
        assert!(Arc::ptr_eq(first.shared(id).unwrap(), second.shared(id).unwrap()));
    }

    #[test]
    fn what_masqueraded_once_is_steered_as_if_it_still_did() {
        let (nat, other) = ([dest(1, Method::Masquerade, 80)], [dest(2, Method::Tunnel, 81)]);
        let steered = |table: &ServiceTable, port| table.masquerades(Protocol::Tcp, VIP.into(), port);
        let first = ServiceTable::build(vec![
            service(0, Protocol::Tcp, 80, &nat),
            service(1, Protocol::Tcp, 81, &other),
        ])
        .unwrap();
        let drained = vec![service(0, Protocol::Tcp, 80, &[]), service(1, Protocol::Tcp, 81, &[])];
        let second = ServiceTable::build_after(&first, drained).unwrap();
        assert_eq!((steered(&second, 80), steered(&second, 81)), (Some(true), Some(false)));
        assert!(!second.is_real_server(Protocol::Tcp, [10, 0, 2, 1].into(), 80));
        let third = ServiceTable::build_after(&second, vec![service(1, Protocol::Tcp, 81, &other)]).unwrap();
        assert!(third.any_masquerade(), "its connections may live");
        assert_eq!(steered(&third, 81), Some(false));
    }

    #[test]
    fn removed_services_are_steered_as_they_were() {
        let nat = [dest(1, Method::Masquerade, 80)];
        let steered = |table: &ServiceTable, port| table.masquerades(Protocol::Tcp, VIP.into(), port);
        let both = || vec![service(0, Protocol::Tcp, 80, &nat), service(1, Protocol::Tcp, 81, &[])];
        let first = ServiceTable::build(both()).unwrap();
        let second = ServiceTable::build_after(&first, Vec::new()).unwrap();
        let third = ServiceTable::build_after(&second, Vec::new()).unwrap();
        for table in [&second, &third] {
            assert!(table.is_empty() && table.find(Protocol::Tcp, VIP.into(), 80).is_none());
            assert_eq!(
                [80, 81, 82].map(|port| steered(table, port)),
                [Some(true), Some(false), None],
                "while there is no other"
            );
        }
        // What stands in for it now decides, since its connections are the ones that begin.
        let any = ServiceTable::build_after(&third, vec![service(2, Protocol::Tcp, 0, &[])]).unwrap();
        assert_eq!(steered(&any, 80), Some(false));
        let back = ServiceTable::build_after(&any, vec![service(3, Protocol::Tcp, 80, &[])]).unwrap();
        assert_eq!([80, 81, 9].map(|port| steered(&back, port)), [Some(true), Some(false), Some(false)]);
        assert_eq!(back.removed.len(), 2, "port 81 and port 0");
    }

    #[test]
    fn what_is_remembered_of_removed_services_is_bounded() {
        let many: Vec<_> =
            (0..REMOVED_MAX as u32 + 10).map(|n| service(n, Protocol::Tcp, n as u16 + 1, &[])).collect();
        let full = ServiceTable::build(many).unwrap();
        let none = ServiceTable::build_after(&full, Vec::new()).unwrap();
        assert_eq!((none.removed.len(), none.removed_by_key.len()), (REMOVED_MAX, REMOVED_MAX));
        assert_eq!(none.masquerades(Protocol::Tcp, VIP.into(), 10), None, "the oldest went");
        assert_eq!(none.masquerades(Protocol::Tcp, VIP.into(), 11), Some(false));
    }

    #[test]
    fn ten_thousand_services_are_all_found() {
        let services: Vec<_> = (0..10_000_u32)
            .map(|n| service(n, Protocol::Tcp, n as u16 + 1, &[dest(n, Method::Masquerade, 80)]))
            .collect();
        let table = ServiceTable::build(services).unwrap();
        assert_eq!(table.len(), 10_000);
        for n in 0..10_000_u32 {
            let port = n as u16 + 1;
            assert_eq!(table.find(Protocol::Tcp, VIP.into(), port).map(|s| s.id.0), Some(n));
            assert_eq!(table.dest(DestId(n)).map(|(s, _)| s.id.0), Some(n));
        }
    }
}
