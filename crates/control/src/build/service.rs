//! Services and destinations in the director's words.

use api::{
    DestSpec, Engine, Family, Helper, Method, Netmask, Protocol, Scheduler, SchedulerFlag, ServiceKey,
    ServiceSpec, TunnelChecksum, TunnelType,
};
use ipvs::{ClientMask, Dest, GueChecksum, Persistence, PoolId, SchedulerKind, SchedulerOptions, Tunnel};

use super::BuildError;
use crate::config::Service;
use crate::ids::Ids;

pub(super) fn service(
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
            tunnel: tunnel(dest),
            ..Dest::new(id, dest.address, dest.port, method(dest.method))
        })
    });
    let id = ids.service(&key).ok_or_else(no_id)?;
    Ok(ipvs::Service {
        scheduler_options: scheduler_options(spec),
        pool,
        persistence: persistence(spec),
        one_packet: spec.ops,
        engine: spec.persistence_engine.map(engine),
        helpers: helpers(spec),
        dests: dests.collect::<Result<_, BuildError>>()?,
        epoch,
        ..ipvs::Service::new(id, service_key(&key), scheduler(spec.scheduler))
    })
}

/// Which connections have a helper: one that is named has the service's port, or its own where the service has none.
fn helpers(spec: &ServiceSpec) -> ipvs::Helpers {
    let helper = match spec.helper {
        Helper::Auto => return ipvs::Helpers::well_known(),
        Helper::None => return ipvs::Helpers::NONE,
        Helper::Ftp => ipvs::Helper::Ftp,
        Helper::Tftp => ipvs::Helper::Tftp,
        Helper::Pptp => ipvs::Helper::Pptp,
    };
    let port = if spec.key.port() == 0 { helper.well_known_port() } else { spec.key.port() };
    ipvs::Helpers::NONE.with(helper, &[port])
}

/// Whether connections of a service can have a helper, should both directions of them pass.
pub fn may_be_helped(spec: &ServiceSpec) -> bool {
    let key = service_key(&spec.key);
    helpers(spec).concern(key.protocol(), key.port())
}

/// A service's key in the director's words.
pub fn service_key(key: &ServiceKey) -> ipvs::ServiceKey {
    match *key {
        ServiceKey::Address { protocol: of, address, port } => {
            ipvs::ServiceKey::Address { protocol: protocol(of), addr: address, port }
        }
        ServiceKey::Mark { fwmark, family: of } => {
            ipvs::ServiceKey::Mark { mark: fwmark, family: family(of) }
        }
    }
}

fn family(family: Family) -> wire::Family {
    match family {
        Family::Ipv4 => wire::Family::V4,
        Family::Ipv6 => wire::Family::V6,
    }
}

pub fn protocol(protocol: Protocol) -> ipvs::Protocol {
    match protocol {
        Protocol::Tcp => ipvs::Protocol::Tcp,
        Protocol::Udp => ipvs::Protocol::Udp,
        Protocol::Sctp => ipvs::Protocol::Sctp,
    }
}

pub fn persistence(spec: &ServiceSpec) -> Option<Persistence> {
    let of = spec.key.family();
    let mask = match spec.persistence_netmask {
        Some(Netmask::Mask(mask)) => ClientMask::V4(mask),
        Some(Netmask::Prefix(len)) => ClientMask::V6(len),
        None => ClientMask::whole(family(of)),
    };
    let timeout_s = spec.persistence_timeout_s?;
    Some(Persistence { timeout_ms: u64::from(timeout_s) * 1000, mask })
}

fn engine(engine: Engine) -> ipvs::Engine {
    match engine {
        Engine::Sip => ipvs::Engine::Sip,
    }
}

fn tunnel(dest: &DestSpec) -> Tunnel {
    match dest.tunnel_type {
        TunnelType::Ipip => Tunnel::Ipip,
        TunnelType::Gre => Tunnel::Gre { checksum: dest.tunnel_checksum == TunnelChecksum::Full },
        TunnelType::Gue => Tunnel::Gue {
            port: dest.tunnel_port.unwrap_or_default(),
            checksum: match dest.tunnel_checksum {
                TunnelChecksum::None => GueChecksum::None,
                TunnelChecksum::Full => GueChecksum::Full,
                TunnelChecksum::Remote => GueChecksum::Remote,
            },
        },
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
