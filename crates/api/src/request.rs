//! What a client may ask.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::names::{
    AddrRange, Cidr, DestKey, Mac, Method, PortRange, Protocol, RouteTarget, Scheduler, SchedulerFlag,
    ServiceKey,
};

/// One request. In JSON `op` names it: `{"op":"service_add","service":{…}}`.
///
/// What changes something is all or nothing and is answered with [`crate::Reply::Applied`] once every worker
/// uses the new state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Every service with its destinations → `services`.
    ServiceList,
    /// One service → `services` with one element.
    ServiceShow {
        service: ServiceKey,
    },
    ServiceAdd {
        service: ServiceSpec,
    },
    ServiceEdit {
        service: ServiceKey,
        edit: ServiceEdit,
    },
    ServiceDelete {
        service: ServiceKey,
    },
    /// Deletes every service.
    ServiceFlush,
    /// Sets the counters of one service, or of all, to zero.
    ServiceZero {
        service: Option<ServiceKey>,
    },

    /// → `destinations`.
    DestList {
        service: ServiceKey,
    },
    DestAdd {
        service: ServiceKey,
        dest: DestSpec,
    },
    DestEdit {
        service: ServiceKey,
        dest: DestKey,
        edit: DestEdit,
    },
    DestDelete {
        service: ServiceKey,
        dest: DestKey,
    },

    /// → `pools`.
    PoolList,
    /// Adds addresses to a pool; makes the pool if there is none of that name, which needs `interface`.
    PoolAdd {
        pool: PoolSpec,
    },
    /// Takes addresses out of a pool; the pool goes with its last address.
    PoolDelete {
        pool: String,
        addresses: Vec<AddrRange>,
    },

    /// → `addresses`.
    AddressList,
    AddressAdd {
        address: AddressSpec,
    },
    AddressDelete {
        address: AddressSpec,
    },

    /// → `routes`.
    RouteList,
    RouteAdd {
        route: RouteSpec,
    },
    RouteDelete {
        route: RouteKey,
    },

    /// → `neighbours`.
    NeighbourList,
    /// Adds a static neighbour.
    NeighbourAdd {
        neighbour: NeighbourSpec,
    },
    /// Removes a static neighbour.
    NeighbourDelete {
        neighbour: NeighbourKey,
    },
    /// Forgets learnt neighbours, of one interface or of all.
    NeighbourFlush {
        interface: Option<String>,
    },

    /// → `connections`, in parts; at most `limit` of them (None: all).
    ConnList {
        service: Option<ServiceKey>,
        limit: Option<u64>,
    },
    /// → `conn_count`.
    ConnCount {
        service: Option<ServiceKey>,
    },
    /// Drops connections of one service, or all → `conn_count` with how many went.
    ConnFlush {
        service: Option<ServiceKey>,
    },

    /// → `workers`.
    WorkerList,
    /// → `ports`.
    PortList,
    /// → `drops`: every reason, also those that are zero.
    DropList,
    /// → `total`.
    TotalShow,

    /// The current state as a configuration file → `config`.
    ConfigShow,
    /// Checks a file's text → `checked`. Changes nothing.
    ConfigCheck {
        name: String,
        text: String,
    },
    /// Makes the state what the text says.
    ConfigApply {
        name: String,
        text: String,
    },
    /// Reads the daemon's own configuration file again.
    ConfigReload,
}

impl Request {
    /// The `op` of the request, for logs and error texts.
    pub fn op(&self) -> &'static str {
        match self {
            Request::ServiceList => "service_list",
            Request::ServiceShow { .. } => "service_show",
            Request::ServiceAdd { .. } => "service_add",
            Request::ServiceEdit { .. } => "service_edit",
            Request::ServiceDelete { .. } => "service_delete",
            Request::ServiceFlush => "service_flush",
            Request::ServiceZero { .. } => "service_zero",
            Request::DestList { .. } => "dest_list",
            Request::DestAdd { .. } => "dest_add",
            Request::DestEdit { .. } => "dest_edit",
            Request::DestDelete { .. } => "dest_delete",
            Request::PoolList => "pool_list",
            Request::PoolAdd { .. } => "pool_add",
            Request::PoolDelete { .. } => "pool_delete",
            Request::AddressList => "address_list",
            Request::AddressAdd { .. } => "address_add",
            Request::AddressDelete { .. } => "address_delete",
            Request::RouteList => "route_list",
            Request::RouteAdd { .. } => "route_add",
            Request::RouteDelete { .. } => "route_delete",
            Request::NeighbourList => "neighbour_list",
            Request::NeighbourAdd { .. } => "neighbour_add",
            Request::NeighbourDelete { .. } => "neighbour_delete",
            Request::NeighbourFlush { .. } => "neighbour_flush",
            Request::ConnList { .. } => "conn_list",
            Request::ConnCount { .. } => "conn_count",
            Request::ConnFlush { .. } => "conn_flush",
            Request::WorkerList => "worker_list",
            Request::PortList => "port_list",
            Request::DropList => "drop_list",
            Request::TotalShow => "total_show",
            Request::ConfigShow => "config_show",
            Request::ConfigCheck { .. } => "config_check",
            Request::ConfigApply { .. } => "config_apply",
            Request::ConfigReload => "config_reload",
        }
    }
}

/// A virtual service as its owner wishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub port: u16,
    pub scheduler: Scheduler,
    /// Schedulers that have no use for a flag ignore it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scheduler_flags: BTreeSet<SchedulerFlag>,
    /// Places in the table of `maglev`, a prime; None: 65,537.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maglev_table_size: Option<u32>,
    /// Pool for FULLNAT destinations; None: the only pool there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pool: Option<String>,
}

impl ServiceSpec {
    pub fn key(&self) -> ServiceKey {
        ServiceKey { protocol: self.protocol, address: self.address, port: self.port }
    }
}

/// What to change about a service; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEdit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// All flags that it is to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_flags: Option<BTreeSet<SchedulerFlag>>,
    /// `Some(None)`, in JSON `null`: the default again.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub maglev_table_size: Option<Option<u32>>,
    /// `Some(None)`, in JSON `null`: the only pool there is.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub local_pool: Option<Option<String>>,
}

/// A field that is there, be it `null`, as opposed to one that is not.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

/// A destination as its owner wishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestSpec {
    pub address: IpAddr,
    pub port: u16,
    pub method: Method,
    /// 0 to 65535; 0: no new connections, those that it has go on.
    pub weight: u32,
    /// Connections at which it gets no new ones; 0: no limit.
    #[serde(default)]
    pub upper_threshold: u32,
    /// Connections below which it gets new ones again; 0: three quarters of the upper threshold.
    #[serde(default)]
    pub lower_threshold: u32,
}

impl DestSpec {
    pub fn key(&self) -> DestKey {
        DestKey { address: self.address, port: self.port }
    }
}

/// What to change about a destination; absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestEdit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper_threshold: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_threshold: Option<u32>,
}

/// Addresses for a pool of local addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolSpec {
    pub name: String,
    pub addresses: Vec<AddrRange>,
    /// Needed when the pool is new; otherwise absent or what the pool has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Of a new pool: default `1024-65535`; otherwise absent or what the pool has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRange>,
}

/// An address of this host on an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressSpec {
    pub interface: String,
    pub cidr: Cidr,
}

/// A static route. At least one of `via` and `interface` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteSpec {
    pub to: RouteTarget,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// None: the interface whose prefix holds `via`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Source of packets that this host makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
}

/// Names a static route; there is one to a prefix. `via` tells the family of `default`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteKey {
    pub to: RouteTarget,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
}

/// A static neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighbourSpec {
    pub interface: String,
    pub address: IpAddr,
    pub mac: Mac,
}

/// Names a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighbourKey {
    pub interface: String,
    pub address: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_the_default_and_absence_no_change() {
        for (json, local_pool, maglev_table_size) in [
            ("{}", None, None),
            (r#"{"local_pool":null}"#, Some(None), None),
            (
                r#"{"maglev_table_size":251,"local_pool":"lan"}"#,
                Some(Some("lan".to_owned())),
                Some(Some(251)),
            ),
            (r#"{"maglev_table_size":null}"#, None, Some(None)),
        ] {
            let edit: ServiceEdit = serde_json::from_str(json).unwrap();
            assert_eq!(
                edit,
                ServiceEdit { local_pool, maglev_table_size, ..ServiceEdit::default() },
                "{json}"
            );
            assert_eq!(serde_json::to_string(&edit).unwrap(), json);
        }
    }
}
