//! The state and the workers' counters as clients see them.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::edit::not_found;
use api::{
    AddressOrigin, AddressRole, AddressSpec, AddressView, Cidr, Defence, DestView, DropView, Error,
    HostCounters, Method, NeighbourView, PoolView, PortView, RouteOrigin, RouteView, ServiceKey, ServiceView,
    SetSpec, Sysctl, SysctlView, Sysctls, TimeoutView, WorkerView,
};
use inet::DropReason;
use ipvs::shared::total_load;
use ipvs::{DefenceLevel, DestId, Snapshot, WorkerShared};

use crate::config::check::{PoolChoice, pool_of};
use crate::config::{Config, Service, TimeoutKey, route_prefix, timeout_keys};
use crate::control::State;
use crate::dataplane::{NeighbourSample, PortSample, WorkerSample};

/// Services with their counters, in the order of adding; all, or the one.
pub fn services(state: &State, shared: &[Arc<WorkerShared>], only: Option<ServiceKey>) -> Vec<ServiceView> {
    let wanted = state.config.services.iter().filter(|s| only.is_none_or(|key| s.spec.key() == key));
    wanted.filter_map(|entry| service(state, shared, entry)).collect()
}

/// None only without an id, which every configured service has.
fn service(state: &State, shared: &[Arc<WorkerShared>], entry: &Service) -> Option<ServiceView> {
    let key = entry.spec.key();
    let id = state.ids.service(&key)?;
    let dest = |spec: &api::DestSpec| {
        let id = state.ids.dest(&key, &spec.key())?;
        let load = total_load(shared, id);
        Some(DestView {
            spec: spec.clone(),
            id: id.0,
            traffic: state.baselines.dest(shared, id),
            rates: state.estimator.dest(id),
            active_connections: load.active.into(),
            inactive_connections: load.inactive.into(),
            persistent_connections: persistent(shared, id),
        })
    };
    Some(ServiceView {
        spec: entry.spec.clone(),
        id: id.0,
        traffic: state.baselines.service(shared, id),
        rates: state.estimator.service(id),
        destinations: entry.dests.iter().filter_map(dest).collect(),
    })
}

/// Templates that name a destination now.
fn persistent(shared: &[Arc<WorkerShared>], id: DestId) -> u64 {
    let of_worker = |worker: &Arc<WorkerShared>| worker.dest(id).map(|dest| u64::from(dest.persistent()));
    shared.iter().filter_map(of_worker).sum()
}

/// Connections of a service now, those of removed destinations included.
pub fn connections_of(state: &State, shared: &[Arc<WorkerShared>], key: &ServiceKey) -> u64 {
    let entry = state.config.services.iter().find(|s| s.spec.key() == *key);
    let live = entry.into_iter().flat_map(|s| &s.dests).filter_map(|dest| state.ids.dest(key, &dest.key()));
    let trashed = state.ids.trashed_dests().filter(|((service, _), _)| service == key).map(|(_, id)| id);
    live.chain(trashed).map(|id| u64::from(total_load(shared, id).total())).sum()
}

pub fn pools(state: &State) -> Vec<PoolView> {
    let config = &state.config;
    let uses = |name: &str| {
        let of_pool = |s: &&Arc<Service>| {
            s.dests.iter().any(|d| d.method == Method::Fullnat)
                && matches!(pool_of(config, s), PoolChoice::One(pool) if pool.name == name)
        };
        config.services.iter().filter(of_pool).count() as u32
    };
    let view = |pool: &crate::config::Pool| PoolView {
        name: pool.name.clone(),
        interface: pool.interface.clone(),
        addresses: pool.addresses.clone(),
        ports: pool.ports,
        services: uses(&pool.name),
    };
    config.pools.iter().map(view).collect()
}

/// The host's addresses, link-local ones that interfaces have by themselves included, then the pools'.
pub fn addresses(state: &State) -> Vec<AddressView> {
    let net = &state.snapshot.net;
    let pool_with = |addr| {
        let holds =
            |pool: &&crate::config::Pool| pool.addresses.iter().any(|r| (r.first..=r.last).contains(&addr));
        state.config.pools.iter().find(holds).map(|pool| pool.name.clone())
    };
    let given: HashSet<_> = state.config.addresses.iter().map(place_of).collect();
    let hosts: HashSet<_> = state.overlay.taken().iter().map(place_of).collect();
    let view = |address: &inet::Address| {
        let (role, pool) = match address.role {
            inet::AddressRole::Host => (AddressRole::Host, None),
            inet::AddressRole::Local => (AddressRole::LocalPool, pool_with(address.addr)),
        };
        let interface = net.iface(address.iface).name.to_string();
        let place = (interface.as_str(), address.addr);
        let origin = if hosts.contains(&place) {
            AddressOrigin::Host
        } else if role == AddressRole::LocalPool || given.contains(&place) {
            AddressOrigin::Configured
        } else {
            AddressOrigin::LinkLocal
        };
        let cidr = Cidr { address: address.addr, prefix_len: address.prefix_len };
        AddressView { interface, cidr, role, pool, origin }
    };
    let mut views: Vec<AddressView> = net.addresses().iter().map(view).collect();
    views.sort_by_key(|address| address.role == AddressRole::LocalPool);
    views
}

fn place_of(address: &AddressSpec) -> (&str, IpAddr) {
    (&address.interface, address.cidr.address)
}

pub fn routes(state: &State) -> Vec<RouteView> {
    let net = &state.snapshot.net;
    let given: HashSet<Cidr> = state.config.routes.iter().filter_map(|r| route_prefix(r.to, r.via)).collect();
    let view = |route: &inet::Route| {
        let to = Cidr { address: route.prefix.0, prefix_len: route.prefix.1 };
        RouteView {
            to,
            via: route.gateway,
            interface: net.iface(route.iface).name.to_string(),
            source: route.source,
            mtu: route.mtu,
            origin: if given.contains(&to) { RouteOrigin::Static } else { RouteOrigin::Connected },
        }
    };
    net.routes().iter().map(view).collect()
}

pub fn neighbours(snapshot: &Snapshot, samples: Vec<NeighbourSample>) -> Vec<NeighbourView> {
    let ifaces = snapshot.net.ifaces();
    let view = |n: NeighbourSample| NeighbourView {
        worker: n.worker,
        interface: ifaces
            .get(usize::from(n.iface.0))
            .map_or_else(String::new, |iface| iface.name.to_string()),
        address: n.address,
        mac: n.mac,
        state: n.state,
        age_ms: n.age_ms,
    };
    samples.into_iter().map(view).collect()
}

pub fn workers(
    samples: Vec<WorkerSample>,
    shared: &[Arc<WorkerShared>],
    connections: u32,
) -> Vec<WorkerView> {
    let count = u32::try_from(samples.len().max(1)).unwrap_or(u32::MAX);
    let limit = u64::from(connections.div_ceil(count));
    let view = |(id, w): (usize, WorkerSample)| WorkerView {
        id: id as u16,
        cpu: w.cpu,
        generation: w.generation,
        packets: w.packets,
        busy_percent: w.busy_percent,
        loop_turns: w.loop_turns,
        connections: shared.get(id).map_or(0, |worker| worker.connections().into()),
        connections_limit: limit,
        neighbours: w.neighbours,
        defence: shared.get(id).map(|worker| defence(worker.defence())).unwrap_or_default(),
    };
    samples.into_iter().enumerate().map(view).collect()
}

fn defence(level: DefenceLevel) -> Defence {
    Defence {
        short: level.short,
        drop_entry: level.drop_entry,
        drop_packet: level.drop_rate,
        secure_tcp: level.secure_tcp,
    }
}

pub fn ports(config: &Config, samples: Vec<PortSample>) -> Vec<PortView> {
    let view = |(port, s): (&crate::config::Port, PortSample)| PortView {
        name: port.name.clone(),
        device: port.device.clone(),
        driver: s.driver,
        mac: s.mac,
        mtu: s.mtu,
        link: s.link,
        speed_mbps: s.speed_mbps,
        rx_queues: s.rx_queues,
        tx_queues: s.tx_queues,
        exception: port.exception.clone(),
        rx_packets: s.rx_packets,
        tx_packets: s.tx_packets,
        rx_bytes: s.rx_bytes,
        tx_bytes: s.tx_bytes,
        rx_missed: s.rx_missed,
        rx_errors: s.rx_errors,
        rx_no_buffers: s.rx_no_buffers,
        tx_errors: s.tx_errors,
    };
    config.ports.iter().zip(samples).map(view).collect()
}

/// The sets; the one, which must exist, or all.
pub fn sets(config: &Config, name: Option<String>) -> Result<Vec<SetSpec>, Error> {
    let Some(name) = name else { return Ok(config.sets.clone()) };
    let one = config.sets.iter().find(|set| set.name == name);
    one.map(|set| vec![set.clone()]).ok_or_else(|| not_found(format!("ipset {name}")))
}

/// Every idle timeout, those of `ipvsadm --set` first.
pub fn timeouts(timeouts: &ipvs::Timeouts) -> Vec<TimeoutView> {
    let default = ipvs::Timeouts::default();
    let view = |key: &TimeoutKey| TimeoutView {
        protocol: key.api_protocol(),
        state: key.state_name().to_owned(),
        timeout_s: key.get_s(timeouts),
        default_s: key.get_s(&default),
    };
    timeout_keys().iter().map(view).collect()
}

/// Those named, or all if none is.
pub fn sysctls(sysctls: &Sysctls, names: &[Sysctl]) -> Vec<SysctlView> {
    let wanted = if names.is_empty() { Sysctl::ALL } else { names };
    let view = |&name: &Sysctl| {
        let about = name.about();
        SysctlView {
            name,
            value: sysctls.get(name),
            default: about.default,
            range: about.range.to_string(),
            help: about.help.to_owned(),
            without_effect: about.without_effect.map(str::to_owned),
        }
    };
    wanted.iter().map(view).collect()
}

/// Every reason, also those that have not happened: the workers', then what is lost between them and the host.
pub fn drops(samples: &[WorkerSample], host: HostCounters) -> Vec<DropView> {
    let view = |&reason: &DropReason| {
        let workers: Vec<u64> =
            samples.iter().map(|w| w.drops.get(reason as usize).copied().unwrap_or_default()).collect();
        let count = workers.iter().sum();
        DropView { reason: reason.name().to_owned(), help: reason.help().to_owned(), count, workers }
    };
    let between = |(reason, help, count): (&str, &str, u64)| DropView {
        reason: reason.to_owned(),
        help: help.to_owned(),
        count,
        workers: Vec::new(),
    };
    let lost = [
        (
            "host_tap_full",
            "The host does not read its exception interface fast enough, or has it down.",
            host.to_host_dropped,
        ),
        ("host_to_worker_full", "The host sends faster than the first worker takes.", host.from_host_dropped),
    ];
    DropReason::ALL.iter().map(view).chain(lost.into_iter().map(between)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = include_str!("../../../docs/troubleshooting.md");

    #[test]
    fn the_page_for_trouble_names_every_drop_reason() {
        let (_, reasons) = HELP.split_once("## Drop reasons").unwrap();
        let words: HashSet<&str> = reasons.split('`').skip(1).step_by(2).collect();
        let drops = drops(&[], HostCounters::default());
        let missing: Vec<_> = drops.iter().filter(|drop| !words.contains(drop.reason.as_str())).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
