//! What services, destinations and the network are to be, as requests and the configuration file say it.

mod mark;
mod service;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::names::{AddrRange, Cidr, Mac, PortRange, RouteTarget};

pub use mark::{MarkSpec, SetSpec};
pub use service::{DestEdit, DestSpec, ServiceEdit, ServiceSpec, WEIGHT_MAX};

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
