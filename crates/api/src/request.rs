//! What a client may ask.

use serde::{Deserialize, Serialize};

use crate::names::{AddrRange, Cidr, ConnMethod, ConnProtocol, DestKey, Protocol, ServiceKey};
use crate::reply::ConnView;
use crate::spec::{
    AddressSpec, DestEdit, DestSpec, MarkSpec, NeighbourKey, NeighbourSpec, PoolSpec, RouteKey, RouteSpec,
    ServiceEdit, ServiceSpec, SetSpec,
};
use crate::sync::{SyncRole, SyncSpec};
use crate::sysctl::{Sysctl, SysctlValue};
use crate::trace::TraceFilter;

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
        #[serde(default, skip_serializing_if = "ConnFilter::is_empty")]
        filter: ConnFilter,
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
    /// Follows packets → `trace`, in parts as they come; ends after so many packets or seconds (at most 3600). There is one
    /// trace at a time.
    Trace {
        #[serde(default)]
        filter: TraceFilter,
        packets: u32,
        seconds: u32,
    },

    /// The tunables of `net/ipv4/vs` → `sysctls`: those named, or all if none is.
    SysctlList {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        names: Vec<Sysctl>,
    },
    /// Sets tunables, all or none.
    SysctlSet {
        values: Vec<SysctlSetting>,
    },

    /// The synchronisation daemons → `sync`.
    SyncShow,
    /// Starts one.
    SyncStart {
        daemon: SyncSpec,
    },
    /// Stops one.
    SyncStop {
        role: SyncRole,
    },

    /// The rules that mark packets, in their order → `marks`.
    MarkList,
    /// Adds a rule behind the others.
    MarkAdd {
        mark: MarkSpec,
    },
    MarkDelete {
        mark: MarkSpec,
    },
    /// Deletes every rule.
    MarkFlush,

    /// The sets that rules may name → `sets`; one, or all.
    SetList {
        name: Option<String>,
    },
    /// Adds members to a set; makes the set if there is none of that name.
    SetAdd {
        set: SetSpec,
    },
    /// Takes members out of a set.
    SetDelete {
        set: SetSpec,
    },
    /// Deletes a set with its members.
    SetFlush {
        name: String,
    },

    /// How long connections may be idle, by protocol and state → `timeouts`.
    TimeoutList,
    /// Sets idle timeouts, all or none.
    TimeoutSet {
        values: Vec<TimeoutSetting>,
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
            Request::Trace { .. } => "trace",
            Request::SysctlList { .. } => "sysctl_list",
            Request::SysctlSet { .. } => "sysctl_set",
            Request::SyncShow => "sync_show",
            Request::SyncStart { .. } => "sync_start",
            Request::SyncStop { .. } => "sync_stop",
            Request::MarkList => "mark_list",
            Request::MarkAdd { .. } => "mark_add",
            Request::MarkDelete { .. } => "mark_delete",
            Request::MarkFlush => "mark_flush",
            Request::SetList { .. } => "set_list",
            Request::SetAdd { .. } => "set_add",
            Request::SetDelete { .. } => "set_delete",
            Request::SetFlush { .. } => "set_flush",
            Request::TimeoutList => "timeout_list",
            Request::TimeoutSet { .. } => "timeout_set",
            Request::ConfigShow => "config_show",
            Request::ConfigCheck { .. } => "config_check",
            Request::ConfigApply { .. } => "config_apply",
            Request::ConfigReload => "config_reload",
        }
    }
}

/// How long a connection of this protocol may be idle in this state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeoutSetting {
    pub protocol: Protocol,
    /// As `timeouts` lists it, in letters of any case.
    pub state: String,
    /// 1 to 2678400.
    pub timeout_s: u32,
}

/// Which connections are meant: those that have everything that is said here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnFilter {
    /// Prefix that has the client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Cidr>,
    /// Prefix that has the destination's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Cidr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ConnProtocol>,
    /// As it is listed, in letters of any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<ConnMethod>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u16>,
    /// Templates only, or connections only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<bool>,
}

impl ConnFilter {
    /// Whether every connection is meant.
    pub fn is_empty(&self) -> bool {
        *self == ConnFilter::default()
    }

    pub fn holds(&self, conn: &ConnView) -> bool {
        let ConnFilter { client, destination, protocol, state, method, worker, template } = self;
        client.is_none_or(|prefix| prefix.contains(conn.client.ip()))
            && destination.is_none_or(|prefix| prefix.contains(conn.destination.ip()))
            && protocol.is_none_or(|protocol| protocol == conn.protocol)
            && state.as_ref().is_none_or(|state| state.eq_ignore_ascii_case(&conn.state))
            && method.is_none_or(|method| method == conn.method)
            && worker.is_none_or(|worker| worker == conn.worker)
            && template.is_none_or(|template| template == conn.flags.template)
    }
}

/// A tunable and what it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SysctlSetting {
    pub name: Sysctl,
    pub value: SysctlValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_holds_what_has_everything_that_it_says() {
        let conn: ConnView = serde_json::from_str(
            r#"{"worker":1,"protocol":"tcp","client":"198.51.100.7:40000","service":"192.0.2.100:80","destination":"10.0.2.11:80","method":"nat","state":"ESTABLISHED","expires_in_ms":1,"packets_in":1,"flags":{"inactive":false,"no_destination":false}}"#,
        )
        .unwrap();
        for (json, want) in [
            ("{}", true),
            (r#"{"client":"198.51.100.0/24"}"#, true),
            (r#"{"client":"198.51.101.0/24"}"#, false),
            (r#"{"client":"2001:db8::/32"}"#, false),
            (r#"{"destination":"10.0.2.11/32"}"#, true),
            (r#"{"destination":"10.0.2.12/32"}"#, false),
            (r#"{"protocol":"udp"}"#, false),
            (r#"{"state":"established"}"#, true),
            (r#"{"state":"FIN_WAIT"}"#, false),
            (r#"{"method":"dr"}"#, false),
            (r#"{"worker":0}"#, false),
            (r#"{"template":true}"#, false),
            (r#"{"template":false}"#, true),
            (
                r#"{"client":"198.51.100.7/32","destination":"10.0.2.0/24","protocol":"tcp","state":"Established","method":"nat","worker":1}"#,
                true,
            ),
        ] {
            let filter: ConnFilter = serde_json::from_str(json).unwrap();
            assert_eq!(filter.holds(&conn), want, "{json}");
            assert_eq!(serde_json::to_string(&filter).unwrap(), json);
        }
        assert!(serde_json::from_str::<ConnFilter>(r#"{"clients":"::/0"}"#).is_err());
    }
}
