//! From the desired state to the snapshot that workers use.
//!
//! Services that have not changed are the same `Arc` in the old snapshot and in the new one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::{Mac, Method, Protocol, Scheduler, SchedulerFlag, ServiceKey, ServiceSpec};
use inet::{
    Address, AddressRole, Iface, IfaceId, Net, NetConfig, NetError, PortIndex, Route, StaticNeighbour,
};
use ipvs::pool::Pools;
use ipvs::{
    Dest, LocalPool, PoolId, SchedulerKind, SchedulerOptions, ServiceTable, Settings, Snapshot, TableError,
    Timeouts,
};
use wire::ether::MacAddr;

use crate::config::check::{PoolChoice, gateway_interface, pool_of};
use crate::config::{Config, NatSteering, Service, route_prefix};
use crate::ids::Ids;

/// Why a checked configuration makes no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("{0}")]
    Services(#[from] TableError),
    #[error("{item}: there is no interface \"{name}\"")]
    NoInterface { item: String, name: String },
    #[error("{0}: it has no id")]
    NoId(String),
}

/// What never changes while the daemon runs.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// Of the ports, in the configuration's order.
    pub macs: Vec<Mac>,
    /// Secret of the steering hash.
    pub steering_key: [u8; 16],
}

/// Services as they were built last, to be shared with the next snapshot.
#[derive(Debug, Default)]
pub struct Built {
    services: HashMap<ServiceKey, BuiltService>,
    pools: HashMap<String, PoolId>,
    epoch: u64,
    /// What the next one follows: connections keep their owner across changes.
    table: ServiceTable,
}

#[derive(Debug, Clone)]
struct BuiltService {
    source: Arc<Service>,
    service: Arc<ipvs::Service>,
}

/// Builds the snapshot of a checked configuration whose services and destinations have ids.
pub fn build(
    config: &Config,
    fixed: &Fixed,
    ids: &Ids,
    last: &Built,
    generation: u64,
) -> Result<(Snapshot, Built), BuildError> {
    let pools = pool_ids(config, &last.pools);
    let mut built = Built {
        services: HashMap::with_capacity(config.services.len()),
        pools,
        epoch: last.epoch,
        table: ServiceTable::default(),
    };
    let mut services = Vec::with_capacity(config.services.len());
    for source in &config.services {
        let key = source.spec.key();
        let pool = pool_id(config, source, &built.pools);
        let before = last.services.get(&key);
        let unchanged = before.filter(|b| b.service.pool == pool && Arc::ptr_eq(&b.source, source));
        let service = match unchanged {
            Some(same) if ids.service(&key) == Some(same.service.id) => same.service.clone(),
            _ => {
                built.epoch += 1;
                Arc::new(service(source, pool, ids, built.epoch)?)
            }
        };
        services.push(service.clone());
        built.services.insert(key, BuiltService { source: source.clone(), service });
    }
    built.table = ServiceTable::build_after(&last.table, services)?;
    let local: Vec<LocalPool> = config.pools.iter().filter_map(|p| local_pool(p, &built.pools)).collect();
    let snapshot = Snapshot {
        generation,
        net: Net::build(net(config, fixed)?)?,
        services: built.table.clone(),
        pools: Pools::build(&local),
        steering: steering(config, fixed),
        timeouts: Timeouts {
            tcp_ms: u64::from(config.ipvs.tcp_timeout_s) * 1000,
            tcp_fin_ms: u64::from(config.ipvs.tcp_fin_timeout_s) * 1000,
            udp_ms: u64::from(config.ipvs.udp_timeout_s) * 1000,
        },
        settings: Settings { expire_nodest_conn: config.ipvs.expire_nodest_conn, ..Settings::default() },
    };
    Ok((snapshot, built))
}

/// The director's limits that the configuration asks for.
pub fn limits(config: &Config) -> ipvs::Limits {
    ipvs::Limits {
        connections: config.limits.connections,
        services: config.limits.services,
        dests: config.limits.destinations,
        pools: crate::config::POOLS_MAX as u16,
        local_addrs: crate::config::POOL_ADDRESSES_MAX as u32,
    }
}

fn steering(config: &Config, fixed: &Fixed) -> ipvs::Steering {
    let nat = match config.steering.nat {
        NatSteering::Address => ipvs::NatSteering::Address {
            v4_prefix: config.steering.nat_prefix_v4,
            v6_prefix: config.steering.nat_prefix_v6,
        },
        NatSteering::Endpoint => ipvs::NatSteering::Endpoint,
    };
    ipvs::Steering::new(config.workers.count().max(1), fixed.steering_key, nat)
}

/// A pool keeps its id while it exists.
fn pool_ids(config: &Config, last: &HashMap<String, PoolId>) -> HashMap<String, PoolId> {
    let kept: HashMap<String, PoolId> =
        (config.pools.iter()).filter_map(|pool| Some((pool.name.clone(), *last.get(&pool.name)?))).collect();
    let taken: Vec<PoolId> = kept.values().copied().collect();
    let mut free = (0..).map(PoolId).filter(|id| !taken.contains(id));
    let mut all = kept;
    for pool in &config.pools {
        if !all.contains_key(&pool.name) {
            all.extend(free.next().map(|id| (pool.name.clone(), id)));
        }
    }
    all
}

/// None where no destination needs a pool, so that a change of pools leaves such services as they are.
fn pool_id(config: &Config, service: &Service, ids: &HashMap<String, PoolId>) -> Option<PoolId> {
    if !service.dests.iter().any(|dest| dest.method == Method::Fullnat) {
        return None;
    }
    match pool_of(config, service) {
        PoolChoice::One(pool) => ids.get(&pool.name).copied(),
        PoolChoice::None | PoolChoice::Many | PoolChoice::Unknown => None,
    }
}

fn local_pool(pool: &crate::config::Pool, ids: &HashMap<String, PoolId>) -> Option<LocalPool> {
    Some(LocalPool {
        id: *ids.get(&pool.name)?,
        name: pool.name.as_str().into(),
        addrs: pool.addresses.iter().flat_map(|range| range.iter()).collect(),
        ports: pool.ports.first..=pool.ports.last,
    })
}

fn service(
    source: &Service,
    pool: Option<PoolId>,
    ids: &Ids,
    epoch: u64,
) -> Result<ipvs::Service, BuildError> {
    let spec = &source.spec;
    let key = spec.key();
    let no_id = || BuildError::NoId(format!("service {key}"));
    let dests = source.dests.iter().map(|dest| {
        let id = ids.dest(&key, &dest.key()).ok_or_else(no_id)?;
        Ok(Dest {
            weight: dest.weight,
            upper: dest.upper_threshold,
            lower: dest.lower_threshold,
            ..Dest::new(id, dest.address, dest.port, method(dest.method))
        })
    });
    let id = ids.service(&key).ok_or_else(no_id)?;
    let of_packets =
        ipvs::ServiceKey::Address { protocol: protocol(spec.protocol), addr: spec.address, port: spec.port };
    Ok(ipvs::Service {
        scheduler_options: scheduler_options(spec),
        pool,
        dests: dests.collect::<Result<_, BuildError>>()?,
        epoch,
        ..ipvs::Service::new(id, of_packets, scheduler(spec.scheduler))
    })
}

pub(crate) fn protocol(protocol: Protocol) -> ipvs::Protocol {
    match protocol {
        Protocol::Tcp => ipvs::Protocol::Tcp,
        Protocol::Udp => ipvs::Protocol::Udp,
    }
}

fn method(method: Method) -> ipvs::Method {
    match method {
        Method::Fullnat => ipvs::Method::Fullnat,
        Method::Nat => ipvs::Method::Masquerade,
        Method::Dr => ipvs::Method::DirectRouting,
        Method::Tunnel => ipvs::Method::Tunnel,
    }
}

fn scheduler_options(spec: &ServiceSpec) -> SchedulerOptions {
    SchedulerOptions {
        fallback: spec.scheduler_flags.contains(&SchedulerFlag::Fallback),
        port: spec.scheduler_flags.contains(&SchedulerFlag::Port),
        table_size: spec.maglev_table_size.unwrap_or(SchedulerOptions::default().table_size),
    }
}

fn scheduler(scheduler: Scheduler) -> SchedulerKind {
    match scheduler {
        Scheduler::Rr => SchedulerKind::Rr,
        Scheduler::Wrr => SchedulerKind::Wrr,
        Scheduler::Lc => SchedulerKind::Lc,
        Scheduler::Wlc => SchedulerKind::Wlc,
        Scheduler::Sed => SchedulerKind::Sed,
        Scheduler::Nq => SchedulerKind::Nq,
        Scheduler::Fo => SchedulerKind::Fo,
        Scheduler::Ovf => SchedulerKind::Ovf,
        Scheduler::Twos => SchedulerKind::Twos,
        Scheduler::Sh => SchedulerKind::Sh,
        Scheduler::Dh => SchedulerKind::Dh,
        Scheduler::Mh => SchedulerKind::Mh,
        Scheduler::Lblc => SchedulerKind::Lblc,
        Scheduler::Lblcr => SchedulerKind::Lblcr,
        Scheduler::Maglev => SchedulerKind::Maglev,
        Scheduler::Conhash => SchedulerKind::Conhash,
    }
}

fn net(config: &Config, fixed: &Fixed) -> Result<NetConfig, BuildError> {
    let ids: HashMap<&str, IfaceId> = config.interface_names().zip((0..).map(IfaceId)).collect();
    let find = |item: &dyn std::fmt::Display, name: &str| {
        let missing = || BuildError::NoInterface { item: item.to_string(), name: name.to_owned() };
        ids.get(name).copied().ok_or_else(missing)
    };
    let mut addresses = Vec::new();
    for address in &config.addresses {
        let iface = find(&format_args!("address {}", address.cidr), &address.interface)?;
        let (addr, prefix_len) = (address.cidr.address, address.cidr.prefix_len);
        addresses.push(Address { iface, addr, prefix_len, role: AddressRole::Host });
    }
    for pool in &config.pools {
        let iface = find(&format_args!("local pool {}", pool.name), &pool.interface)?;
        let of_pool = pool.addresses.iter().flat_map(|range| range.iter());
        addresses.extend(of_pool.map(|addr| Address {
            iface,
            addr,
            prefix_len: width(addr),
            role: AddressRole::Local,
        }));
    }
    let mut routes = Vec::new();
    for route in &config.routes {
        let item = format!("route {}", route.to);
        let on_link = route.via.and_then(|via| gateway_interface(config, via));
        let iface = find(&item, route.interface.as_deref().or(on_link).unwrap_or_default())?;
        let prefix = route_prefix(route.to, route.via).map(|p| (p.address, p.prefix_len));
        let prefix = prefix.ok_or_else(|| BuildError::NoInterface { item, name: String::new() })?;
        routes.push(Route { prefix, iface, gateway: route.via, source: route.source, mtu: route.mtu });
    }
    let mut neighbours = Vec::new();
    for n in &config.neighbours {
        let iface = find(&format_args!("neighbour {}", n.address), &n.interface)?;
        neighbours.push(StaticNeighbour { iface, addr: n.address, mac: MacAddr(n.mac.0) });
    }
    Ok(NetConfig {
        ifaces: ifaces(config, fixed, &ids),
        addresses,
        routes,
        neighbours,
        ..NetConfig::default()
    })
}

fn ifaces(config: &Config, fixed: &Fixed, ids: &HashMap<&str, IfaceId>) -> Vec<Iface> {
    let ports = config.ports.iter().map(|port| (port.name.as_str(), port.name.as_str(), None));
    let vlans = config.vlans.iter().map(|vlan| (vlan.name.as_str(), vlan.port.as_str(), Some(vlan.id)));
    let iface = |(name, port_name, vlan): (&str, &str, Option<u16>)| {
        let index = config.ports.iter().position(|port| port.name == port_name)?;
        let mac = fixed.macs.get(index)?;
        Some(Iface {
            id: *ids.get(name)?,
            name: name.into(),
            port: PortIndex(index as u16),
            vlan,
            mac: MacAddr(mac.0),
            mtu: config.ports[index].mtu,
        })
    };
    ports.chain(vlans).filter_map(iface).collect()
}

fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}
