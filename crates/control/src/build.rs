//! From the desired state to the snapshot that workers use.
//!
//! Services that have not changed are the same `Arc` in the old snapshot and in the new one.

mod marks;
mod net;
mod service;
mod settings;

use std::collections::HashMap;
use std::sync::Arc;

use api::{Mac, Method, ServiceKey};
use inet::{Net, NetError};
use ipvs::pool::Pools;
use ipvs::{LocalPool, PoolId, ServiceTable, Snapshot, TableError};

use self::marks::marks;
use self::net::net;
use self::service::service;
use self::settings::settings;
use crate::config::check::{PoolChoice, pool_of};
use crate::config::{Config, NatSteering, Service};
use crate::ids::Ids;

pub use self::service::{may_be_helped, persistence, protocol, service_key};

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
    let marks = Arc::new(marks(config)?);
    built.table = ServiceTable::build_after(&last.table, services)?.with_marks(marks);
    let local: Vec<LocalPool> = config.pools.iter().filter_map(|p| local_pool(p, &built.pools)).collect();
    let snapshot = Snapshot {
        generation,
        net: Net::build(net(config, fixed)?)?,
        services: built.table.clone(),
        pools: Pools::build(&local),
        steering: steering(config, fixed),
        timeouts: config.ipvs.timeouts,
        settings: with_daemons(settings(&config.ipvs.sysctls), config),
    };
    Ok((snapshot, built))
}

/// Which synchronisation daemons run.
fn with_daemons(mut settings: ipvs::Settings, config: &Config) -> ipvs::Settings {
    let runs = |role| config.sync.iter().any(|daemon| daemon.role == role);
    settings.sync.master = runs(api::SyncRole::Master);
    settings.sync.backup = runs(api::SyncRole::Backup);
    settings
}

/// The director's limits that the configuration asks for.
pub fn limits(config: &Config) -> ipvs::Limits {
    ipvs::Limits {
        connections: config.limits.connections,
        side_records: config.limits.connections,
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
