//! Tables that are there once: the daemon, its workers and limits, IPVS's tunables, steering.

use std::collections::HashSet;

use api::sysctl::Range;
use api::{Sysctl, SysctlValue, Sysctls};
use ipvs::Timeouts;
use toml::de::DeValue;

use crate::config::model::{
    Daemon, Dpdk, Hugepages, Idle, Ipvs, Limits, NatSteering, Placement, Steering, WORKERS_MAX, Workers,
};
use crate::config::section::{Section, integer};
use crate::config::timeouts::{TIMEOUT_MAX_S, timeout_keys};

pub(super) fn daemon(s: &mut Section<'_, '_, '_>) -> Daemon {
    let default = Daemon::default();
    let socket = s.value("socket", "an absolute path of at most 100 bytes", |v| {
        v.as_str().filter(|p| p.starts_with('/') && p.len() <= 100 && !p.contains('\0'))
    });
    Daemon {
        socket: socket.map_or(default.socket, Into::into),
        log: s.string("log", "a log filter such as \"info\"").map_or(default.log, Into::into),
    }
}

pub(super) fn dpdk(s: &mut Section<'_, '_, '_>) -> Dpdk {
    let default = Dpdk::default();
    let words = [("auto", Hugepages::Auto), ("on", Hugepages::On), ("off", Hugepages::Off)];
    Dpdk {
        hugepages: s.word("hugepages", &words).unwrap_or(default.hugepages),
        memory_mib: s.int("memory_mib", 64..=1 << 20),
        eal_args: s.list("eal_args", "string", |v| Some(v.as_str()?.to_owned())).unwrap_or_default(),
    }
}

pub(super) fn workers(s: &mut Section<'_, '_, '_>) -> Workers {
    let default = Workers::default();
    let count = s.int("count", 1..=WORKERS_MAX);
    let cpus = s.list("cpus", "CPU number", |v| u16::try_from(integer(v)?).ok().filter(|cpu| *cpu < 1024));
    if let (Some(_), Some(cpus)) = (count, s.raw("cpus")) {
        s.error(cpus.span().start, "cpus", "found both `count` and `cpus`, expected one of them".to_owned());
    }
    if let (Some(list), Some(value)) = (&cpus, s.raw("cpus")) {
        let distinct: HashSet<_> = list.iter().collect();
        if list.is_empty() || list.len() > usize::from(WORKERS_MAX) || distinct.len() < list.len() {
            let message = format!("found {list:?}, expected 1 to {WORKERS_MAX} different CPU numbers");
            s.error(value.span().start, "cpus", message);
        }
    }
    let words = [("poll", Idle::Poll), ("yield", Idle::Yield), ("sleep", Idle::Sleep)];
    Workers {
        placement: cpus.map(Placement::Cpus).or(count.map(Placement::Count)).unwrap_or(default.placement),
        idle: s.word("idle", &words).unwrap_or(default.idle),
    }
}

pub(super) fn limits(s: &mut Section<'_, '_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        connections: s.int("connections", 1024..=1_000_000_000).unwrap_or(default.connections),
        services: s.int("services", 1..=1_000_000).unwrap_or(default.services),
        destinations: s.int("destinations", 1..=10_000_000).unwrap_or(default.destinations),
        neighbours: s.int("neighbours", 16..=1_000_000).unwrap_or(default.neighbours),
        fragments: s.int("fragments", 3..=1_000_000).unwrap_or(default.fragments),
        fragments_per_datagram: s
            .int("fragments_per_datagram", 2..=8192)
            .unwrap_or(default.fragments_per_datagram),
        fragments_per_sender: s
            .int("fragments_per_sender", 2..=65535)
            .unwrap_or(default.fragments_per_sender),
        large_buffers: s.int("large_buffers", 1..=65536).unwrap_or(default.large_buffers),
    }
}

pub(super) fn ipvs(s: &mut Section<'_, '_, '_>) -> Ipvs {
    let mut timeouts = Timeouts::default();
    timeouts_of("ipvs", s, &mut timeouts);
    let sysctls = sysctls(s);
    let of_states = |inner: &mut Section<'_, '_, '_>| {
        let mut states = timeouts;
        timeouts_of("ipvs.timeouts", inner, &mut states);
        Some(states)
    };
    let timeouts = s.inner("timeouts", "ipvs.timeouts", of_states).unwrap_or(timeouts);
    Ipvs { timeouts, sysctls }
}

/// Those that the file has in this table.
fn timeouts_of(table: &str, s: &mut Section<'_, '_, '_>, timeouts: &mut Timeouts) {
    for key in timeout_keys().iter().filter(|key| key.table == table) {
        if let Some(seconds) = s.int(key.key, 1..=TIMEOUT_MAX_S) {
            key.set_s(timeouts, seconds);
        }
    }
}

/// Tunables by the kernel's names.
fn sysctls(s: &mut Section<'_, '_, '_>) -> Sysctls {
    let mut sysctls = Sysctls::default();
    for &sysctl in Sysctl::ALL {
        let current = sysctls.get(sysctl);
        let accepted = |v: &DeValue<'_>| sysctl.accept(sysctl_value(v)?, current).ok();
        let range = sysctl.about().range;
        let value = match range {
            Range::Switch => s.value(sysctl.name(), "`true` or `false`", accepted),
            Range::Threshold => {
                s.value(sysctl.name(), format_args!("an array of {range}: [3, 50]"), accepted)
            }
            Range::PowerOfTwo => s.value(sysctl.name(), range, accepted),
            Range::Numbers(low, high) => {
                s.value(sysctl.name(), format_args!("an integer from {low} to {high}"), accepted)
            }
        };
        if let Some(value) = value {
            sysctls.set(sysctl, value).expect("it was accepted");
        }
    }
    sysctls
}

/// `true`, `3`, `[3, 50]`.
fn sysctl_value(value: &DeValue<'_>) -> Option<SysctlValue> {
    let number = |v: &DeValue<'_>| i32::try_from(integer(v)?).ok();
    match value {
        DeValue::Boolean(on) => Some(SysctlValue::one((*on).into())),
        DeValue::Array(pair) => match &pair[..] {
            [first, second] => {
                Some(SysctlValue { first: number(first.get_ref())?, second: Some(number(second.get_ref())?) })
            }
            _ => None,
        },
        value => number(value).map(SysctlValue::one),
    }
}

pub(super) fn steering(s: &mut Section<'_, '_, '_>) -> Steering {
    let default = Steering::default();
    let words = [("address", NatSteering::Address), ("endpoint", NatSteering::Endpoint)];
    Steering {
        nat: s.word("nat", &words).unwrap_or(default.nat),
        nat_prefix_v4: s.int("nat_prefix_v4", 1..=32).unwrap_or(default.nat_prefix_v4),
        nat_prefix_v6: s.int("nat_prefix_v6", 1..=128).unwrap_or(default.nat_prefix_v6),
    }
}
