//! Virtual services by what a packet names [ip_vs_svc_table], and real servers by their address [rs_table].
//!
//! Built once per snapshot, then only read. Services are shared between snapshots; the index is not. Which
//! combinations make sense is control's to say; here only what would break the index is refused.

use core::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::{Dest, DestId, Method, Protocol, Service, ServiceId, ServiceKey};

type Endpoint = (Protocol, IpAddr, u16);

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
            Self::DuplicateDest(id) => write!(f, "two destinations have id {}", id.0),
        }
    }
}

impl core::error::Error for TableError {}

/// A service with what steering asks of it for every packet.
#[derive(Clone, Debug)]
struct Entry {
    service: Arc<Service>,
    masquerades: bool,
}

/// All virtual services.
#[derive(Clone, Debug, Default)]
pub struct ServiceTable {
    entries: Vec<Entry>,
    by_key: HashMap<Endpoint, u32>,
    /// Entry by service id.
    by_id: Vec<Option<u32>>,
    /// Entry and index among its destinations, by destination id.
    by_dest: Vec<Option<(u32, u32)>>,
    /// Masquerade destinations; port 0 where the service has port 0, for any.
    real_servers: HashSet<Endpoint>,
}

impl ServiceTable {
    /// Indexes the services. Linear in services and destinations, and in the largest id of each.
    pub fn build(services: Vec<Arc<Service>>) -> Result<Self, TableError> {
        let mut table = Self { by_key: HashMap::with_capacity(services.len()), ..Self::default() };
        table.entries.reserve_exact(services.len());
        for service in services {
            table.insert(service)?;
        }
        Ok(table)
    }

    fn insert(&mut self, service: Arc<Service>) -> Result<(), TableError> {
        let entry = self.entries.len() as u32;
        if claim(&mut self.by_id, service.id.0, entry).is_some() {
            return Err(TableError::DuplicateService(service.id));
        }
        let ServiceKey::Address { protocol, addr, port } = service.key;
        if self.by_key.insert((protocol, addr, port), entry).is_some() {
            return Err(TableError::DuplicateKey(service.key));
        }
        for (index, dest) in service.dests.iter().enumerate() {
            if claim(&mut self.by_dest, dest.id.0, (entry, index as u32)).is_some() {
                return Err(TableError::DuplicateDest(dest.id));
            }
            if dest.method == Method::Masquerade {
                let dest_port = if dest.port == 0 { port } else { dest.port };
                self.real_servers.insert((protocol, dest.addr, dest_port));
            }
        }
        let masquerades = service.uses(Method::Masquerade);
        self.entries.push(Entry { service, masquerades });
        Ok(())
    }

    /// The service that a packet to this endpoint belongs to: the one with that port, else the one with port 0
    /// [ip_vs_service_find].
    pub fn find(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<&Service> {
        self.entry(protocol, addr, port).map(|entry| &*entry.service)
    }

    /// Like `find`; whether the service has a masquerade destination.
    pub(crate) fn masquerades(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<bool> {
        self.entry(protocol, addr, port).map(|entry| entry.masquerades)
    }

    fn entry(&self, protocol: Protocol, addr: IpAddr, port: u16) -> Option<&Entry> {
        let index =
            self.by_key.get(&(protocol, addr, port)).or_else(|| self.by_key.get(&(protocol, addr, 0)))?;
        Some(&self.entries[*index as usize])
    }

    /// The service with this id.
    pub fn service(&self, id: ServiceId) -> Option<&Service> {
        self.shared(id).map(|service| &**service)
    }

    /// The service with this id, to put it unchanged into another table.
    pub fn shared(&self, id: ServiceId) -> Option<&Arc<Service>> {
        let index = (*self.by_id.get(id.0 as usize)?)?;
        Some(&self.entries[index as usize].service)
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

    /// Whether any service has a masquerade destination.
    pub fn any_masquerade(&self) -> bool {
        !self.real_servers.is_empty()
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

/// Puts `value` at `index`, growing the list; what was there before.
fn claim<T: Clone>(list: &mut Vec<Option<T>>, index: u32, value: T) -> Option<T> {
    let index = index as usize;
    if list.len() <= index {
        list.resize(index + 1, None);
    }
    list[index].replace(value)
}
