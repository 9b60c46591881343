//! Services and destinations.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::names::{
    DestKey, Engine, Family, Helper, Method, Netmask, Protocol, Scheduler, SchedulerFlag, ServiceKey,
    TunnelChecksum, TunnelType,
};

/// A virtual service as its owner wishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ServiceFields", into = "ServiceFields")]
pub struct ServiceSpec {
    pub key: ServiceKey,
    pub scheduler: Scheduler,
    /// Schedulers that have no use for a flag ignore it.
    pub scheduler_flags: BTreeSet<SchedulerFlag>,
    /// Places in the table of `maglev`, a prime; None: 65,537.
    pub maglev_table_size: Option<u32>,
    /// Pool for FULLNAT destinations; None: the only pool there is.
    pub local_pool: Option<String>,
    /// How long a client stays with its destination after its last connection; None: it does not.
    pub persistence_timeout_s: Option<u32>,
    /// Which clients are one for persistence; None: each is on its own.
    pub persistence_netmask: Option<Netmask>,
    /// What persistence goes by instead of the client's address.
    pub persistence_engine: Option<Engine>,
    /// One-packet scheduling: each UDP packet on its own.
    pub ops: bool,
    /// What expects the further connections that its connections lead to.
    pub helper: Helper,
}

impl ServiceSpec {
    /// A service that asks for nothing special.
    pub fn new(key: ServiceKey, scheduler: Scheduler) -> ServiceSpec {
        ServiceSpec {
            key,
            scheduler,
            scheduler_flags: BTreeSet::new(),
            maglev_table_size: None,
            local_pool: None,
            persistence_timeout_s: None,
            persistence_netmask: None,
            persistence_engine: None,
            ops: false,
            helper: Helper::default(),
        }
    }

    pub fn key(&self) -> ServiceKey {
        self.key
    }
}

/// A [`ServiceSpec`] as JSON has it: its key's fields beside the others.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fwmark: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<Family>,
    scheduler: Scheduler,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    scheduler_flags: BTreeSet<SchedulerFlag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maglev_table_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local_pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    persistence_timeout_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    persistence_netmask: Option<Netmask>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    persistence_engine: Option<Engine>,
    #[serde(default, skip_serializing_if = "is_false")]
    ops: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    helper: Helper,
}

impl From<ServiceSpec> for ServiceFields {
    fn from(spec: ServiceSpec) -> ServiceFields {
        let key = crate::names::KeyFields::from(spec.key);
        ServiceFields {
            protocol: key.protocol,
            address: key.address,
            port: key.port,
            fwmark: key.fwmark,
            family: key.family,
            scheduler: spec.scheduler,
            scheduler_flags: spec.scheduler_flags,
            maglev_table_size: spec.maglev_table_size,
            local_pool: spec.local_pool,
            persistence_timeout_s: spec.persistence_timeout_s,
            persistence_netmask: spec.persistence_netmask,
            persistence_engine: spec.persistence_engine,
            ops: spec.ops,
            helper: spec.helper,
        }
    }
}

impl TryFrom<ServiceFields> for ServiceSpec {
    type Error = &'static str;

    fn try_from(fields: ServiceFields) -> Result<ServiceSpec, &'static str> {
        let ServiceFields { protocol, address, port, fwmark, family, .. } = fields;
        Ok(ServiceSpec {
            key: crate::names::KeyFields { protocol, address, port, fwmark, family }.try_into()?,
            scheduler: fields.scheduler,
            scheduler_flags: fields.scheduler_flags,
            maglev_table_size: fields.maglev_table_size,
            local_pool: fields.local_pool,
            persistence_timeout_s: fields.persistence_timeout_s,
            persistence_netmask: fields.persistence_netmask,
            persistence_engine: fields.persistence_engine,
            ops: fields.ops,
            helper: fields.helper,
        })
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
    /// `Some(None)`, in JSON `null`: not persistent any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub persistence_timeout_s: Option<Option<u32>>,
    /// `Some(None)`, in JSON `null`: each client on its own.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub persistence_netmask: Option<Option<Netmask>>,
    /// `Some(None)`, in JSON `null`: none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub persistence_engine: Option<Option<Engine>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ops: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<Helper>,
}

/// A field that is there, be it `null`, as opposed to one that is not.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<T>, D::Error> {
    T::deserialize(field).map(Some)
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The largest weight of a destination, as in the kernel.
pub const WEIGHT_MAX: u32 = i32::MAX as u32;

/// A destination as its owner wishes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestSpec {
    pub address: IpAddr,
    /// 0: the port that the client asked for.
    pub port: u16,
    pub method: Method,
    /// 0 to [`WEIGHT_MAX`]; 0: no new connections, those that it has go on.
    pub weight: u32,
    /// Connections at which it gets no new ones; 0: no limit.
    #[serde(default)]
    pub upper_threshold: u32,
    /// Connections below which it gets new ones again; 0: three quarters of the upper threshold.
    #[serde(default)]
    pub lower_threshold: u32,
    /// Of [`Method::Tunnel`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub tunnel_type: TunnelType,
    /// UDP port of [`TunnelType::Gue`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_port: Option<u16>,
    /// Of [`TunnelType::Gre`] and [`TunnelType::Gue`].
    #[serde(default, skip_serializing_if = "is_default")]
    pub tunnel_checksum: TunnelChecksum,
}

impl DestSpec {
    /// A destination of weight 1 that asks for nothing special.
    pub fn new(key: DestKey, method: Method) -> DestSpec {
        DestSpec {
            address: key.address,
            port: key.port,
            method,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel_type: TunnelType::default(),
            tunnel_port: None,
            tunnel_checksum: TunnelChecksum::default(),
        }
    }

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_type: Option<TunnelType>,
    /// `Some(None)`, in JSON `null`: none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub tunnel_port: Option<Option<u16>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_checksum: Option<TunnelChecksum>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_the_default_and_absence_no_change() {
        let cases = [
            ("{}", ServiceEdit::default()),
            (r#"{"local_pool":null}"#, ServiceEdit { local_pool: Some(None), ..ServiceEdit::default() }),
            (
                r#"{"maglev_table_size":251,"local_pool":"lan"}"#,
                ServiceEdit {
                    maglev_table_size: Some(Some(251)),
                    local_pool: Some(Some("lan".to_owned())),
                    ..ServiceEdit::default()
                },
            ),
            (
                r#"{"maglev_table_size":null}"#,
                ServiceEdit { maglev_table_size: Some(None), ..ServiceEdit::default() },
            ),
            (
                r#"{"persistence_timeout_s":60,"persistence_netmask":null,"ops":false}"#,
                ServiceEdit {
                    persistence_timeout_s: Some(Some(60)),
                    persistence_netmask: Some(None),
                    ops: Some(false),
                    ..ServiceEdit::default()
                },
            ),
        ];
        for (json, want) in cases {
            let edit: ServiceEdit = serde_json::from_str(json).unwrap();
            assert_eq!(edit, want, "{json}");
            assert_eq!(serde_json::to_string(&edit).unwrap(), json);
        }
    }

    #[test]
    fn a_service_is_named_by_an_endpoint_or_by_a_mark() {
        for json in [
            r#"{"protocol":"tcp","address":"192.0.2.1","port":0,"scheduler":"rr","persistence_timeout_s":360,"persistence_netmask":"255.255.255.0"}"#,
            r#"{"protocol":"udp","address":"2001:db8::1","port":53,"scheduler":"rr","persistence_engine":"sip","ops":true}"#,
            r#"{"protocol":"tcp","address":"192.0.2.1","port":2121,"scheduler":"rr","helper":"ftp"}"#,
            r#"{"fwmark":7,"family":"ipv6","scheduler":"wlc","persistence_timeout_s":60,"persistence_netmask":"64"}"#,
        ] {
            let spec: ServiceSpec = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
            assert_eq!(serde_json::to_string(&spec).unwrap(), json);
        }
        for (json, key) in [
            (r#"{"fwmark":7,"scheduler":"rr"}"#, "fwmark 7"),
            (r#"{"fwmark":7,"family":"ipv6","scheduler":"rr"}"#, "fwmark 7 -6"),
        ] {
            assert_eq!(serde_json::from_str::<ServiceSpec>(json).unwrap().key().to_string(), key);
        }
        for json in [
            r#"{"scheduler":"rr"}"#,
            r#"{"fwmark":0,"scheduler":"rr"}"#,
            r#"{"fwmark":7,"port":80,"scheduler":"rr"}"#,
            r#"{"protocol":"tcp","address":"192.0.2.1","scheduler":"rr"}"#,
            r#"{"protocol":"tcp","address":"192.0.2.1","port":80,"family":"ipv4","scheduler":"rr"}"#,
        ] {
            assert!(serde_json::from_str::<ServiceSpec>(json).is_err(), "{json}");
        }
    }
}
