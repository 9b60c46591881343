//! What differs between the services of two configurations.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use api::{Change, ChangeKind, DestSpec, ServiceSpec};

use super::{arrow, list, push};
use crate::config::{Config, Service};

pub(super) fn services(changes: &mut Vec<Change>, old: &Config, new: &Config) {
    let before: HashMap<_, _> = old.services.iter().map(|s| (s.spec.key(), s)).collect();
    let after: HashMap<_, _> = new.services.iter().map(|s| (s.spec.key(), s)).collect();
    for gone in old.services.iter().map(|s| s.spec.key()).filter(|key| !after.contains_key(key)) {
        push(changes, ChangeKind::Removed, format!("service {gone}"), String::new());
    }
    for service in &new.services {
        let key = service.spec.key();
        match before.get(&key) {
            None => {
                let count = service.dests.len();
                let detail = if count == 0 { String::new() } else { format!("with {count} destinations") };
                push(changes, ChangeKind::Added, format!("service {key}"), detail);
            }
            Some(was) if Arc::ptr_eq(was, service) => {}
            Some(was) => one_service(changes, was, service),
        }
    }
}

fn one_service(changes: &mut Vec<Change>, old: &Service, new: &Service) {
    let key = new.spec.key();
    let details = spec_details(&old.spec, &new.spec);
    if !details.is_empty() {
        push(changes, ChangeKind::Changed, format!("service {key}"), details.join(", "));
    }
    let item = |d: &DestSpec| format!("destination {} of {key}", d.key());
    let before = changes.len();
    list(changes, &old.dests, &new.dests, DestSpec::key, item, dest_detail);
    let order = |dests: &[DestSpec]| dests.iter().map(DestSpec::key).collect::<Vec<_>>();
    if changes.len() == before && order(&old.dests) != order(&new.dests) {
        push(changes, ChangeKind::Changed, format!("service {key}"), "order of destinations".to_owned());
    }
}

/// The settings that differ, by the names of the file.
fn spec_details(old: &ServiceSpec, new: &ServiceSpec) -> Vec<String> {
    // Destructured, so that a new setting cannot be forgotten here.
    let settings = |spec: &ServiceSpec| {
        let ServiceSpec {
            key: _,
            scheduler,
            scheduler_flags,
            maglev_table_size,
            local_pool,
            persistence_timeout_s,
            persistence_netmask,
            persistence_engine,
            ops,
            helper,
        } = spec;
        let flags: Vec<&str> = scheduler_flags.iter().map(|flag| flag.as_str()).collect();
        [
            ("scheduler", scheduler.to_string()),
            ("scheduler_flags", if flags.is_empty() { NONE.to_owned() } else { flags.join(",") }),
            ("maglev_table_size", or(maglev_table_size, "default")),
            ("local_pool", or(local_pool, "default")),
            ("persistence_timeout_s", or(persistence_timeout_s, NONE)),
            ("persistence_netmask", or(persistence_netmask, NONE)),
            ("persistence_engine", or(persistence_engine, NONE)),
            ("ops", ops.to_string()),
            ("helper", helper.to_string()),
        ]
    };
    differing(settings(old), settings(new))
}

fn dest_detail(old: &DestSpec, new: &DestSpec) -> String {
    let settings = |spec: &DestSpec| {
        let DestSpec {
            address: _,
            port: _,
            method,
            weight,
            upper_threshold,
            lower_threshold,
            tunnel_type,
            tunnel_port,
            tunnel_checksum,
        } = spec;
        [
            ("method", method.to_string()),
            ("weight", weight.to_string()),
            ("upper_threshold", upper_threshold.to_string()),
            ("lower_threshold", lower_threshold.to_string()),
            ("tunnel_type", tunnel_type.to_string()),
            ("tunnel_port", or(tunnel_port, NONE)),
            ("tunnel_checksum", tunnel_checksum.to_string()),
        ]
    };
    differing(settings(old), settings(new)).join(", ")
}

const NONE: &str = "none";

fn or(value: &Option<impl Display>, absent: &str) -> String {
    value.as_ref().map_or_else(|| absent.to_owned(), ToString::to_string)
}

/// `name old → new` of each that differs.
fn differing<const N: usize>(old: [(&str, String); N], new: [(&str, String); N]) -> Vec<String> {
    let pairs = old.into_iter().zip(new).filter(|((_, was), (_, is))| was != is);
    pairs.map(|((name, was), (_, is))| format!("{name} {}", arrow(was, is))).collect()
}
