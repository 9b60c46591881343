//! Services and their destinations.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{DestSpec, Family, Method, Scheduler, SchedulerFlag, ServiceSpec, Severity};

use super::faults::{destination_faults, service_faults};
use super::network::pool_with;
use super::{Checker, is_usable};
use crate::config::model::{Config, Pool, Service};
use crate::config::place::{Issue, IssueKind, Place};

/// Addresses of the host on rvs's interfaces.
fn own_addresses(config: &Config) -> HashSet<IpAddr> {
    config.addresses.iter().map(|a| a.cidr.address).collect()
}

impl Checker<'_> {
    /// `same_network`: whether addresses and pools are those of `base`.
    pub(super) fn services(&mut self, base: Option<&Config>, same_network: bool) {
        let config = self.config;
        let known: HashSet<*const Service> =
            base.map(|base| base.services.iter().map(Arc::as_ptr).collect()).unwrap_or_default();
        let (own, before) = (own_addresses(config), base.map(own_addresses));
        let mut seen = HashMap::with_capacity(config.services.len());
        for (i, service) in config.services.iter().enumerate() {
            let place = Place::item("service", i);
            let key = service.spec.key();
            if let Some(first) = seen.insert(key, place) {
                self.duplicate(place, format!("found service {key} twice, first at {first}"));
            }
            let is_known = known.contains(&Arc::as_ptr(service));
            if is_known && same_network {
                continue;
            }
            if let Some(address) = key.address() {
                let had_address = before.as_ref().is_some_and(|before| before.contains(&address));
                if !is_known || had_address {
                    self.service_without_address(i, service, address, &own);
                }
            }
            if !is_known {
                self.service_without_rule(i, key);
                self.scheduler(place, &format!("service {key}"), &service.spec);
                self.without_persistence(place, &service.spec);
            }
            self.service(i, service);
        }
    }

    /// A service that no packet reaches is legal: its address may come later, or be the host's at times.
    fn service_without_address(
        &mut self,
        index: usize,
        service: &Service,
        address: IpAddr,
        own: &HashSet<IpAddr>,
    ) {
        if own.contains(&address) || !is_usable(address) || pool_with(self.config, address).is_some() {
            return;
        }
        let message =
            format!("found {address}, which is no [[address]]: no packet is served until it is one");
        self.issues.push(Issue {
            severity: Severity::Warning,
            place: Place::item("service", index).key("address"),
            subject: format!("service {}", service.spec.key()),
            kind: IssueKind::NotFound,
            message,
        });
    }

    fn service(&mut self, index: usize, service: &Service) {
        let spec = &service.spec;
        let (place, subject) = (Place::item("service", index), format!("service {}", spec.key()));
        let invalid = IssueKind::Invalid;
        if let Some(address) = spec.key.address() {
            if !is_usable(address) {
                let message = format!("found {address}, expected a unicast address that is not loopback");
                self.error(invalid, place.key("address"), subject.clone(), message);
            } else if let Some(pool) = pool_with(self.config, address) {
                let message = format!("found {address}, which is an address of local pool \"{}\"", pool.name);
                self.error(invalid, place.key("address"), subject.clone(), message);
            }
        }
        for (key, message) in service_faults(self.config, service) {
            self.error(invalid, place.key(key), subject.clone(), message);
        }
        let pools = self.config.pools.iter().map(|p| p.name.as_str());
        let unknown = spec.local_pool.as_ref().and_then(|name| self.unknown("local pool", name, pools));
        if let Some(message) = unknown {
            self.error(IssueKind::NotFound, place.key("local_pool"), subject.clone(), message);
        }
        let mut seen = HashMap::with_capacity(service.dests.len());
        for (i, dest) in service.dests.iter().enumerate() {
            let place = Place::destination(index, i);
            if let Some(first) = seen.insert(dest.key(), place) {
                let message = format!("found destination {} twice, first at {first}", dest.key());
                self.error(IssueKind::Exists, place, subject.clone(), message);
            }
            self.destination(place, service, dest);
        }
    }

    fn warn(&mut self, place: Place, subject: &str, message: String) {
        self.issues.push(Issue {
            severity: Severity::Warning,
            place,
            subject: subject.to_owned(),
            kind: IssueKind::Invalid,
            message,
        });
    }

    /// What only persistence goes by, where there is none: the kernel ignores it too.
    fn without_persistence(&mut self, place: Place, spec: &ServiceSpec) {
        if spec.persistence_timeout_s.is_some() {
            return;
        }
        let subject = format!("service {}", spec.key);
        let netmask = spec.persistence_netmask.map(|mask| ("persistence_netmask", mask.to_string()));
        let engine = spec.persistence_engine.map(|engine| ("persistence_engine", engine.to_string()));
        for (key, found) in netmask.into_iter().chain(engine) {
            let message = format!("found {found} without persistence_timeout_s: it has no effect");
            self.warn(place.key(key), &subject, message);
        }
    }

    fn scheduler(&mut self, place: Place, subject: &str, spec: &ServiceSpec) {
        let sizes = ipvs::scheduler::MAGLEV_TABLE_SIZES;
        if let Some(size) = spec.maglev_table_size
            && !ipvs::scheduler::is_maglev_table_size(size)
        {
            let message = format!("found {size}, expected a prime from {} to {}", sizes.start(), sizes.end());
            self.error(IssueKind::Invalid, place.key("maglev_table_size"), subject.to_owned(), message);
        }
        let uses = |flag: &SchedulerFlag| match spec.scheduler {
            Scheduler::Sh | Scheduler::Mh => true,
            Scheduler::Maglev | Scheduler::Conhash => *flag == SchedulerFlag::Port,
            _ => false,
        };
        let ignored = spec.scheduler_flags.iter().filter(|flag| !uses(flag)).map(|flag| flag.as_str());
        let ignored = ignored.collect::<Vec<_>>().join(", ");
        if !ignored.is_empty() {
            let message = format!("found {ignored}, which {} ignores", spec.scheduler);
            self.warn(place.key("scheduler_flags"), subject, message);
        }
    }

    fn destination(&mut self, place: Place, service: &Service, dest: &DestSpec) {
        let spec = &service.spec;
        if let Some(pool) = pool_with(self.config, dest.address) {
            let message =
                format!("found {}, which is an address of local pool \"{}\"", dest.address, pool.name);
            self.error(IssueKind::Invalid, place.key("address"), subject_of(service, dest), message);
        }
        if dest.address.is_loopback() && matches!(dest.method, Method::Nat | Method::Fullnat) {
            let message = format!(
                "found {} with {}: nothing is rewritten to loopback, so its packets are dropped; dr reaches this host",
                dest.address, dest.method
            );
            self.warn(place.key("address"), &subject_of(service, dest), message);
        }
        for (key, message) in destination_faults(spec, dest) {
            self.error(IssueKind::Invalid, place.key(key), subject_of(service, dest), message);
        }
        if dest.method != Method::Fullnat || Family::of(dest.address) != spec.key.family() {
            return;
        }
        let fault = match pool_of(self.config, service) {
            PoolChoice::One(pool) if pool.has_family_of(dest.address) => return,
            PoolChoice::One(pool) => {
                let family = if dest.address.is_ipv4() { "IPv4" } else { "IPv6" };
                format!("found fullnat, but local pool \"{}\" has no {family} address", pool.name)
            }
            PoolChoice::None => "found fullnat, which needs a [[local_pool]], but there is none".to_owned(),
            PoolChoice::Many => {
                "found fullnat, expected the service to name its `local_pool`: there are several".to_owned()
            }
            PoolChoice::Unknown => return,
        };
        if self.names.unreadable.is_empty() {
            self.error(IssueKind::Invalid, place.key("method"), subject_of(service, dest), fault);
        }
    }
}

fn subject_of(service: &Service, dest: &DestSpec) -> String {
    format!("destination {} of {}", dest.key(), service.spec.key())
}

/// Which pool a service's FULLNAT connections leave from.
pub enum PoolChoice<'c> {
    One(&'c Pool),
    None,
    Many,
    /// It names one that does not exist.
    Unknown,
}

pub fn pool_of<'c>(config: &'c Config, service: &Service) -> PoolChoice<'c> {
    match (&service.spec.local_pool, config.pools.as_slice()) {
        (Some(name), pools) => {
            pools.iter().find(|p| p.name == *name).map_or(PoolChoice::Unknown, PoolChoice::One)
        }
        (None, []) => PoolChoice::None,
        (None, [pool]) => PoolChoice::One(pool),
        (None, _) => PoolChoice::Many,
    }
}
