//! What a client may ask.

use serde::{Deserialize, Serialize};

use crate::names::{AddrRange, DestKey, ServiceKey};
use crate::spec::{
    AddressSpec, DestEdit, DestSpec, NeighbourKey, NeighbourSpec, PoolSpec, RouteKey, RouteSpec, ServiceEdit,
    ServiceSpec,
};
use crate::sysctl::{Sysctl, SysctlValue};

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

    /// The tunables of `net/ipv4/vs` → `sysctls`: those named, or all if none is.
    SysctlList {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<Sysctl>,
    },
    /// Sets tunables, all or none.
    SysctlSet {
        values: Vec<SysctlSetting>,
    },

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
            Request::SysctlList { .. } => "sysctl_list",
            Request::SysctlSet { .. } => "sysctl_set",
            Request::ConfigShow => "config_show",
            Request::ConfigCheck { .. } => "config_check",
            Request::ConfigApply { .. } => "config_apply",
            Request::ConfigReload => "config_reload",
        }
    }
}

/// A tunable and what it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SysctlSetting {
    pub name: Sysctl,
    pub value: SysctlValue,
}
