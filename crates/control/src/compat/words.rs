//! The same things in the API's words and in those of IPVS.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use api::{
    DestKey, DestSpec, DestView, Engine, Family, Method, Netmask, Protocol, Rates, Scheduler, SchedulerFlag,
    ServiceKey, ServiceSpec, ServiceView, Traffic, TunnelChecksum, TunnelType, WEIGHT_MAX,
};
use ipvs_genl::errno::{EINVAL, ENOENT, EPROTONOSUPPORT, ERANGE};
use ipvs_genl::{Dest, DestAttrs, Service, ServiceAttrs, ServiceName, Stats};

/// The states whose timeouts `ipvsadm --set` sets, in its order.
pub(super) const TCP_STATE: &str = "ESTABLISHED";
pub(super) const TCP_FIN_STATE: &str = "FIN_WAIT";
pub(super) const UDP_STATE: &str = "UDP";

const PERSISTENT: u32 = 1;
const HASHED: u32 = 2;
const ONE_PACKET: u32 = 4;
const SCHEDULER_FLAGS: [(SchedulerFlag, u32); 2] =
    [(SchedulerFlag::Fallback, 8), (SchedulerFlag::Port, 0x10)];
const PROTOCOLS: [(Protocol, u16); 3] = [(Protocol::Tcp, 6), (Protocol::Udp, 17), (Protocol::Sctp, 132)];
const METHOD_MASK: u32 = 7;
const MASQUERADE: u32 = 0;
const TUNNEL: u32 = 2;
const DIRECT: u32 = 3;
const TUNNEL_TYPES: [(TunnelType, u8); 3] =
    [(TunnelType::Ipip, 0), (TunnelType::Gue, 1), (TunnelType::Gre, 2)];
const CHECKSUMS: [(TunnelChecksum, u16); 3] =
    [(TunnelChecksum::None, 0), (TunnelChecksum::Full, 1), (TunnelChecksum::Remote, 2)];

/// The number of a word, and back.
fn number<A: PartialEq, B: Copy + Default>(table: &[(A, B)], word: A) -> B {
    table.iter().find(|(one, _)| *one == word).map(|(_, number)| *number).unwrap_or_default()
}

fn word<A: Copy, B: PartialEq>(table: &[(A, B)], number: B) -> Option<A> {
    table.iter().find(|(_, one)| *one == number).map(|(word, _)| *word)
}

pub(super) fn key(service: &ServiceAttrs) -> Result<ServiceKey, i32> {
    match service.name {
        ServiceName::Mark(fwmark) => {
            let family = if service.ipv6 { Family::Ipv6 } else { Family::Ipv4 };
            Ok(ServiceKey::Mark { fwmark, family })
        }
        ServiceName::Address { protocol, address, port } => {
            let protocol = word(&PROTOCOLS, protocol).ok_or(EPROTONOSUPPORT)?;
            Ok(ServiceKey::Address { protocol, address, port })
        }
    }
}

pub(super) fn new_service(service: &ServiceAttrs) -> Result<ServiceSpec, i32> {
    service_with_flags(service, 0)
}

/// A whole service; of flags that are not meant it has those of `old`.
pub(super) fn service_with_flags(service: &ServiceAttrs, old: u32) -> Result<ServiceSpec, i32> {
    let key = key(service)?;
    let (flags, mask) = service.flags.ok_or(EINVAL)?;
    let flags = (old & !mask) | (flags & mask);
    let timeout_s = service.timeout_s.ok_or(EINVAL)?;
    let netmask = netmask(service.netmask.ok_or(EINVAL)?, key.family())?;
    let scheduler: Scheduler = service.scheduler.as_deref().ok_or(EINVAL)?.parse().map_err(|_| ENOENT)?;
    let engine = service.engine.as_deref().map(str::parse::<Engine>).transpose().map_err(|_| ENOENT)?;
    let persistent = flags & PERSISTENT != 0;
    let scheduler_flags = SCHEDULER_FLAGS.iter().filter(|(_, bit)| flags & bit != 0).map(|(flag, _)| *flag);
    let mut spec = ServiceSpec::new(key, scheduler);
    spec.scheduler_flags = scheduler_flags.collect::<BTreeSet<_>>();
    spec.persistence_timeout_s = persistent.then_some(timeout_s);
    spec.persistence_netmask = netmask.filter(|_| persistent);
    spec.persistence_engine = engine;
    spec.ops = flags & ONE_PACKET != 0;
    Ok(spec)
}

/// None for one that leaves each client on its own.
fn netmask(bytes: [u8; 4], family: Family) -> Result<Option<Netmask>, i32> {
    let netmask = match family {
        Family::Ipv4 => Netmask::Mask(Ipv4Addr::from(bytes)),
        Family::Ipv6 => {
            let length = u8::try_from(u32::from_ne_bytes(bytes)).map_err(|_| EINVAL)?;
            Netmask::Prefix(length).of_family(family).ok_or(EINVAL)?
        }
    };
    Ok(Some(netmask).filter(|netmask| !netmask.is_whole(family)))
}

pub(super) fn new_dest(dest: &DestAttrs, service: Family) -> Result<DestSpec, i32> {
    let method = match dest.method.ok_or(EINVAL)? & METHOD_MASK {
        MASQUERADE => Method::Nat,
        TUNNEL => Method::Tunnel,
        DIRECT => Method::Dr,
        _ => return Err(EINVAL),
    };
    if Family::of(dest.address) != service && method != Method::Tunnel {
        return Err(EINVAL);
    }
    let (upper, lower) = (dest.upper_threshold.ok_or(EINVAL)?, dest.lower_threshold.ok_or(EINVAL)?);
    let weight = dest.weight.ok_or(EINVAL)?;
    if weight > WEIGHT_MAX || lower > upper {
        return Err(ERANGE);
    }
    let mut spec = DestSpec::new(DestKey { address: dest.address, port: dest.port }, method);
    (spec.weight, spec.upper_threshold, spec.lower_threshold) = (weight, upper, lower);
    if method == Method::Tunnel {
        spec.tunnel_type = word(&TUNNEL_TYPES, dest.tunnel_type.unwrap_or(0)).ok_or(EINVAL)?;
        spec.tunnel_port = dest.tunnel_port.filter(|port| *port != 0);
        spec.tunnel_checksum = word(&CHECKSUMS, dest.tunnel_flags.unwrap_or(0)).ok_or(EINVAL)?;
    }
    Ok(spec)
}

pub(super) fn service(view: &ServiceView) -> Service {
    let spec = &view.spec;
    let key = spec.key();
    let ipv6 = key.family() == Family::Ipv6;
    let name = match key {
        ServiceKey::Mark { fwmark, .. } => ServiceName::Mark(fwmark),
        ServiceKey::Address { protocol, address, port } => {
            ServiceName::Address { protocol: number(&PROTOCOLS, protocol), address, port }
        }
    };
    let mut flags = HASHED;
    for (flag, bit) in SCHEDULER_FLAGS {
        flags |= if spec.scheduler_flags.contains(&flag) { bit } else { 0 };
    }
    flags |= if spec.persistence_timeout_s.is_some() { PERSISTENT } else { 0 };
    flags |= if spec.ops { ONE_PACKET } else { 0 };
    let netmask = match spec.persistence_netmask.and_then(|netmask| netmask.of_family(key.family())) {
        Some(Netmask::Mask(mask)) => mask.octets(),
        Some(Netmask::Prefix(length)) => u32::from(length).to_ne_bytes(),
        None if ipv6 => 128u32.to_ne_bytes(),
        None => [0xff; 4],
    };
    Service {
        ipv6,
        name,
        scheduler: spec.scheduler.as_str().to_owned(),
        flags,
        timeout_s: spec.persistence_timeout_s.unwrap_or(0),
        netmask,
        engine: spec.persistence_engine.map(|engine| engine.as_str().to_owned()),
        stats: stats(view.traffic, view.rates),
    }
}

pub(super) fn dest(view: &DestView) -> Dest {
    let spec = &view.spec;
    let count = |connections: u64| u32::try_from(connections).unwrap_or(u32::MAX);
    Dest {
        address: spec.address,
        port: spec.port,
        method: match spec.method {
            Method::Fullnat | Method::Nat => MASQUERADE,
            Method::Dr => DIRECT,
            Method::Tunnel => TUNNEL,
        },
        weight: spec.weight,
        upper_threshold: spec.upper_threshold,
        lower_threshold: spec.lower_threshold,
        active: count(view.active_connections),
        inactive: count(view.inactive_connections),
        persistent: count(view.persistent_connections),
        tunnel_type: number(&TUNNEL_TYPES, spec.tunnel_type),
        tunnel_port: spec.tunnel_port.unwrap_or(0),
        tunnel_flags: number(&CHECKSUMS, spec.tunnel_checksum),
        stats: stats(view.traffic, view.rates),
    }
}

fn stats(traffic: Traffic, rates: Rates) -> Stats {
    let Traffic { connections, packets_in, packets_out, bytes_in, bytes_out } = traffic;
    let Rates { connections_per_s, packets_in_per_s, packets_out_per_s, bytes_in_per_s, bytes_out_per_s } =
        rates;
    Stats {
        connections,
        packets_in,
        packets_out,
        bytes_in,
        bytes_out,
        connections_per_s,
        packets_in_per_s,
        packets_out_per_s,
        bytes_in_per_s,
        bytes_out_per_s,
    }
}
