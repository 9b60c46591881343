//! Services and destinations.

use std::net::IpAddr;

use api::{
    DestKey, DestSpec, Engine, Family, Helper, Method, Netmask, Protocol, Scheduler, SchedulerFlag,
    ServiceKey, ServiceSpec, TunnelChecksum, TunnelType, WEIGHT_MAX,
};
use toml::de::DeValue;

use super::ADDRESS;
use crate::config::section::{Section, integer, parse_str};

/// The longest time that a client is remembered, as with ipvsadm: 31 days.
pub const PERSISTENCE_MAX_S: u32 = 31 * 86_400;

pub(super) fn service(s: &mut Section<'_, '_, '_>) -> Option<ServiceSpec> {
    let key = key(s);
    let scheduler = s.parsed::<Scheduler>("scheduler", Scheduler::EXPECTED);
    let scheduler_absent = s.raw("scheduler").is_none();
    let scheduler_flags =
        s.list("scheduler_flags", SchedulerFlag::EXPECTED, parse_str::<SchedulerFlag>).unwrap_or_default();
    let maglev_table_size = s.int("maglev_table_size", 0..=u32::MAX);
    let local_pool = s.string("local_pool", "the name of a [[local_pool]]").map(String::from);
    let persistence_timeout_s = s.int("persistence_timeout_s", 1..=PERSISTENCE_MAX_S);
    let persistence_netmask = s.value("persistence_netmask", Netmask::EXPECTED, netmask);
    let persistence_engine = s.parsed::<Engine>("persistence_engine", Engine::EXPECTED);
    let ops = s.boolean("ops").unwrap_or(false);
    let helper = s.parsed::<Helper>("helper", Helper::EXPECTED).unwrap_or_default();
    let scheduler = if scheduler_absent { Some(Scheduler::Wlc) } else { scheduler };
    Some(ServiceSpec {
        scheduler_flags: scheduler_flags.into_iter().collect(),
        maglev_table_size,
        local_pool,
        persistence_timeout_s,
        persistence_netmask,
        persistence_engine,
        ops,
        helper,
        ..ServiceSpec::new(key?, scheduler?)
    })
}

/// `protocol`, `address` and `port`, or `fwmark` and perhaps `family`.
fn key(s: &mut Section<'_, '_, '_>) -> Option<ServiceKey> {
    let protocol = s.parsed::<Protocol>("protocol", Protocol::EXPECTED);
    let address = s.parsed::<IpAddr>("address", ADDRESS);
    let port = s.int("port", 0..=u16::MAX);
    let fwmark = s.int("fwmark", 1..=u32::MAX);
    let family = s.parsed::<Family>("family", Family::EXPECTED);
    if s.raw("fwmark").is_none() {
        if let Some(value) = s.raw("family") {
            let message = "found without `fwmark`: an address has its family".to_owned();
            s.error(value.span().start, "family", message);
        }
        let protocol = s.require("protocol", protocol, Protocol::EXPECTED);
        let address = s.require("address", address, ADDRESS);
        let port = s.require("port", port, "a port from 1 to 65535, or 0 for every port");
        return Some(ServiceKey::Address { protocol: protocol?, address: address?, port: port? });
    }
    for other in ["protocol", "address", "port"] {
        if let Some(value) = s.raw(other) {
            let message = "found beside `fwmark`, expected one of them: a mark says it all".to_owned();
            s.error(value.span().start, other, message);
        }
    }
    Some(ServiceKey::Mark { fwmark: fwmark?, family: family.unwrap_or(Family::Ipv4) })
}

/// `"255.255.255.0"`, `"64"`, `64`.
fn netmask(value: &DeValue<'_>) -> Option<Netmask> {
    match integer(value) {
        Some(len) => u8::try_from(len).ok().filter(|len| *len <= 128).map(Netmask::Prefix),
        None => parse_str(value),
    }
}

/// `service_port`: what a destination has that says none; None if the service itself could not be read.
pub(super) fn destination(s: &mut Section<'_, '_, '_>, service_port: Option<u16>) -> Option<DestSpec> {
    let address = s.parsed::<IpAddr>("address", ADDRESS);
    let address = s.require("address", address, ADDRESS);
    let port = s.int("port", 0..=u16::MAX).or(service_port);
    let method = s.parsed::<Method>("method", Method::EXPECTED);
    let method = s.require("method", method, Method::EXPECTED);
    let weight = s.int("weight", 0..=WEIGHT_MAX).unwrap_or(1);
    let upper_threshold = s.int("upper_threshold", 0..=u32::MAX).unwrap_or(0);
    let lower_threshold = s.int("lower_threshold", 0..=u32::MAX).unwrap_or(0);
    let tunnel_type = s.parsed::<TunnelType>("tunnel_type", TunnelType::EXPECTED).unwrap_or_default();
    let tunnel_port = s.int("tunnel_port", 1..=u16::MAX);
    let tunnel_checksum =
        s.parsed::<TunnelChecksum>("tunnel_checksum", TunnelChecksum::EXPECTED).unwrap_or_default();
    Some(DestSpec {
        weight,
        upper_threshold,
        lower_threshold,
        tunnel_type,
        tunnel_port,
        tunnel_checksum,
        ..DestSpec::new(DestKey { address: address?, port: port? }, method?)
    })
}
