//! What each changing request does to a copy of the desired state.
//!
//! Only what is there and what is not is decided here; whether the result can be is for
//! [`check`](crate::config) to say.

use std::sync::Arc;

use api::{
    AddrRange, DestEdit, DestKey, Error, ErrorCode, Method, PoolSpec, Request, RouteKey, ServiceEdit,
    ServiceKey, SysctlSetting, TimeoutSetting,
};

use crate::config::check::{PoolChoice, pool_of};
use crate::config::{Config, Pool, Service, TIMEOUT_MAX_S, route_prefix, timeout_key};
use crate::edit_marks::edit_marks;

/// Edits `config` as a request wishes.
pub fn edit(config: &mut Config, request: Request) -> Result<(), Error> {
    let Some(request) = edit_marks(config, request)? else { return Ok(()) };
    match request {
        Request::ServiceAdd { service } => {
            let key = service.key();
            if config.services.iter().any(|s| s.spec.key() == key) {
                return Err(exists(format!("service {key}")));
            }
            config.services.push(Arc::new(Service { spec: service, dests: Vec::new() }));
        }
        Request::ServiceEdit { service, edit } => edit_service(service_mut(config, &service)?, edit),
        Request::ServiceDelete { service } => {
            let index = service_index(config, &service)?;
            config.services.remove(index);
        }
        Request::ServiceFlush => config.services.clear(),
        Request::DestAdd { service, dest } => {
            let entry = service_mut(config, &service)?;
            if entry.dests.iter().any(|d| d.key() == dest.key()) {
                return Err(exists(format!("destination {} of {service}", dest.key())));
            }
            entry.dests.push(dest);
        }
        Request::DestEdit { service, dest, edit } => {
            let entry = service_mut(config, &service)?;
            let index = dest_index(entry, &dest)?;
            edit_dest(&mut entry.dests[index], edit);
        }
        Request::DestDelete { service, dest } => {
            let entry = service_mut(config, &service)?;
            let index = dest_index(entry, &dest)?;
            entry.dests.remove(index);
        }
        Request::TimeoutSet { values } => set_timeouts(config, values)?,
        Request::SysctlSet { values } => set_sysctls(config, values)?,
        Request::SyncStart { daemon } => {
            if config.sync.iter().any(|other| other.role == daemon.role) {
                return Err(exists(format!("{} sync daemon", daemon.role.name())));
            }
            config.sync.push(daemon);
        }
        Request::SyncStop { role } => {
            let none = || not_found(format!("{} sync daemon", role.name()));
            let index = config.sync.iter().position(|daemon| daemon.role == role).ok_or_else(none)?;
            config.sync.remove(index);
        }
        Request::PoolAdd { pool } => add_pool(config, pool)?,
        Request::PoolDelete { pool, addresses } => delete_from_pool(config, &pool, &addresses)?,
        other => edit_network(config, other)?,
    }
    Ok(())
}

fn edit_network(config: &mut Config, request: Request) -> Result<(), Error> {
    match request {
        Request::AddressAdd { address } => {
            let item = format!("address {} on {}", address.cidr, address.interface);
            add_new(&mut config.addresses, address, item, |a, b| {
                a.interface == b.interface && a.cidr.address == b.cidr.address
            })
        }
        Request::AddressDelete { address } => {
            let item = format!("address {} on {}", address.cidr, address.interface);
            delete(&mut config.addresses, item, |a| *a == address)
        }
        Request::RouteAdd { route } => {
            let item = format!("route {}", route.to);
            add_new(&mut config.routes, route, item, |a, b| {
                route_prefix(a.to, a.via).is_some_and(|prefix| Some(prefix) == route_prefix(b.to, b.via))
            })
        }
        Request::RouteDelete { route } => {
            let index = route_index(config, &route)?;
            config.routes.remove(index);
            Ok(())
        }
        Request::NeighbourAdd { neighbour } => {
            let item = format!("neighbour {} on {}", neighbour.address, neighbour.interface);
            add_new(&mut config.neighbours, neighbour, item, |a, b| {
                a.interface == b.interface && a.address == b.address
            })
        }
        Request::NeighbourDelete { neighbour } => {
            let item = format!("static neighbour {} on {}", neighbour.address, neighbour.interface);
            delete(&mut config.neighbours, item, |n| {
                n.interface == neighbour.interface && n.address == neighbour.address
            })
        }
        other => Err(Error::new(ErrorCode::BadRequest, format!("{} changes nothing", other.op()))),
    }
}

pub fn not_found(item: impl Into<String>) -> Error {
    let item = item.into();
    Error::new(ErrorCode::NotFound, format!("there is no {item}")).about(item)
}

fn exists(item: String) -> Error {
    Error::new(ErrorCode::Exists, format!("{item} is there already")).about(item)
}

fn add_new<T>(list: &mut Vec<T>, new: T, item: String, same: impl Fn(&T, &T) -> bool) -> Result<(), Error> {
    if list.iter().any(|old| same(old, &new)) {
        return Err(exists(item));
    }
    list.push(new);
    Ok(())
}

fn delete<T>(list: &mut Vec<T>, item: String, matches: impl Fn(&T) -> bool) -> Result<(), Error> {
    let index = list.iter().position(matches).ok_or_else(|| not_found(item))?;
    list.remove(index);
    Ok(())
}

fn service_index(config: &Config, key: &ServiceKey) -> Result<usize, Error> {
    config
        .services
        .iter()
        .position(|s| s.spec.key() == *key)
        .ok_or_else(|| not_found(format!("service {key}")))
}

/// The service with this name, no longer shared with the state before.
fn service_mut<'c>(config: &'c mut Config, key: &ServiceKey) -> Result<&'c mut Service, Error> {
    let index = service_index(config, key)?;
    Ok(Arc::make_mut(&mut config.services[index]))
}

fn dest_index(service: &Service, key: &DestKey) -> Result<usize, Error> {
    let found = service.dests.iter().position(|d| d.key() == *key);
    found.ok_or_else(|| not_found(format!("destination {key} of {}", service.spec.key())))
}

fn edit_service(service: &mut Service, edit: ServiceEdit) {
    let ServiceEdit {
        scheduler,
        scheduler_flags,
        maglev_table_size,
        local_pool,
        persistence_timeout_s,
        persistence_netmask,
        persistence_engine,
        ops,
        helper,
    } = edit;
    let spec = &mut service.spec;
    spec.scheduler = scheduler.unwrap_or(spec.scheduler);
    spec.scheduler_flags = scheduler_flags.unwrap_or(std::mem::take(&mut spec.scheduler_flags));
    spec.maglev_table_size = maglev_table_size.unwrap_or(spec.maglev_table_size);
    spec.local_pool = local_pool.unwrap_or(spec.local_pool.take());
    spec.persistence_timeout_s = persistence_timeout_s.unwrap_or(spec.persistence_timeout_s);
    spec.persistence_netmask = persistence_netmask.unwrap_or(spec.persistence_netmask);
    spec.persistence_engine = persistence_engine.unwrap_or(spec.persistence_engine);
    spec.ops = ops.unwrap_or(spec.ops);
    spec.helper = helper.unwrap_or(spec.helper);
}

fn edit_dest(dest: &mut api::DestSpec, edit: DestEdit) {
    let DestEdit {
        method,
        weight,
        upper_threshold,
        lower_threshold,
        tunnel_type,
        tunnel_port,
        tunnel_checksum,
    } = edit;
    dest.method = method.unwrap_or(dest.method);
    dest.weight = weight.unwrap_or(dest.weight);
    dest.upper_threshold = upper_threshold.unwrap_or(dest.upper_threshold);
    dest.lower_threshold = lower_threshold.unwrap_or(dest.lower_threshold);
    dest.tunnel_type = tunnel_type.unwrap_or(dest.tunnel_type);
    dest.tunnel_port = tunnel_port.unwrap_or(dest.tunnel_port);
    dest.tunnel_checksum = tunnel_checksum.unwrap_or(dest.tunnel_checksum);
}

fn set_timeouts(config: &mut Config, values: Vec<TimeoutSetting>) -> Result<(), Error> {
    for TimeoutSetting { protocol, state, timeout_s } in values {
        let item = format!("timeout {protocol}.{}", state.to_lowercase());
        let invalid = |message: String| Error::new(ErrorCode::Invalid, message).about(item.clone());
        let Some(key) = timeout_key(crate::build::protocol(protocol), &state) else {
            let states = crate::build::protocol(protocol).states().join(", ");
            return Err(invalid(format!("{item}: found unknown state {state}, expected one of {states}")));
        };
        if !(1..=TIMEOUT_MAX_S).contains(&timeout_s) {
            let message = format!("{item}: found {timeout_s}, expected an integer from 1 to {TIMEOUT_MAX_S}");
            return Err(invalid(message));
        }
        key.set_s(&mut config.ipvs.timeouts, timeout_s);
    }
    Ok(())
}

fn set_sysctls(config: &mut Config, values: Vec<SysctlSetting>) -> Result<(), Error> {
    for SysctlSetting { name, value } in values {
        config.ipvs.sysctls.set(name, value).map_err(|message| {
            Error::new(ErrorCode::Invalid, format!("{name}: {message}")).about(format!("ipvs.{name}"))
        })?;
    }
    Ok(())
}

/// Without a gateway `default` names the only default route, if there is one only.
fn route_index(config: &Config, key: &RouteKey) -> Result<usize, Error> {
    let wanted = route_prefix(key.to, key.via);
    let is_meant = |route: &api::RouteSpec| {
        let prefix = route_prefix(route.to, route.via);
        match wanted {
            Some(_) => prefix == wanted && key.via.is_none_or(|via| route.via == Some(via)),
            None => prefix.is_some_and(|prefix| prefix.prefix_len == 0),
        }
    };
    let mut found =
        config.routes.iter().enumerate().filter(|(_, route)| is_meant(route)).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        (Some(_), Some(_)) => {
            let message = "there are two default routes: name 0.0.0.0/0 or ::/0";
            Err(Error::new(ErrorCode::Invalid, message).about("route default"))
        }
        (None, _) => Err(not_found(format!("route {}", key.to))),
    }
}

fn add_pool(config: &mut Config, spec: PoolSpec) -> Result<(), Error> {
    let item = format!("local pool {}", spec.name);
    let invalid = |message: String| Err(Error::new(ErrorCode::Invalid, message).about(item.clone()));
    let Some(pool) = config.pools.iter_mut().find(|p| p.name == spec.name) else {
        let Some(interface) = spec.interface else {
            return invalid(format!("{item} is new: say its interface"));
        };
        if !crate::config::is_name(&spec.name) {
            return invalid(format!("found {:?}, expected {}", spec.name, crate::config::NAME));
        }
        let ports = spec.ports.unwrap_or(Pool::DEFAULT_PORTS);
        config.pools.push(Pool { name: spec.name, interface, addresses: spec.addresses, ports });
        return Ok(());
    };
    if spec.interface.is_some_and(|interface| interface != pool.interface) {
        return invalid(format!("{item} is on {}", pool.interface));
    }
    if spec.ports.is_some_and(|ports| ports != pool.ports) {
        return invalid(format!("{item} has ports {}", pool.ports));
    }
    pool.addresses.extend(spec.addresses);
    Ok(())
}

/// Whether a service names the pool, or has FULLNAT destinations and no other choice.
fn needs_pool(config: &Config, service: &Service, name: &str) -> bool {
    let fullnat = service.dests.iter().any(|dest| dest.method == Method::Fullnat);
    let choice = matches!(pool_of(config, service), PoolChoice::One(pool) if pool.name == name);
    choice && (fullnat || service.spec.local_pool.is_some())
}

fn delete_from_pool(config: &mut Config, name: &str, addresses: &[AddrRange]) -> Result<(), Error> {
    let index = config.pools.iter().position(|p| p.name == name);
    let index = index.ok_or_else(|| not_found(format!("local pool {name}")))?;
    let pool = &mut config.pools[index];
    for range in addresses {
        let before = pool.addresses.len();
        let mut rest = Vec::with_capacity(before + 1);
        let mut taken: u128 = 0;
        for have in &pool.addresses {
            let cut = have.minus(*range);
            taken += have.count() - cut.iter().flatten().map(|r| r.count()).sum::<u128>();
            rest.extend(cut.into_iter().flatten());
        }
        if taken != range.count() {
            return Err(not_found(format!("address {range} in local pool {name}")));
        }
        pool.addresses = rest;
    }
    if !pool.addresses.is_empty() {
        return Ok(());
    }
    if let Some(user) = config.services.iter().find(|service| needs_pool(config, service, name)) {
        let message = format!("local pool {name} is used by service {}", user.spec.key());
        return Err(Error::new(ErrorCode::InUse, message).about(format!("local pool {name}")));
    }
    config.pools.remove(index);
    Ok(())
}
