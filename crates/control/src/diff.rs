//! What differs between two configurations: what to report, and what a running daemon cannot change.

mod service;

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::Arc;

use api::{Change, ChangeKind, Error, ErrorCode, Sysctl};

use crate::config::{Config, route_prefix, sysctl_toml, timeout_keys, to_toml};

/// Lets `new` use the services of `old` where they are equal, so that unchanged ones are known by address.
pub fn share(old: &Config, new: &mut Config) {
    let known: HashMap<_, _> = old.services.iter().map(|s| (s.spec.key(), s)).collect();
    for service in &mut new.services {
        if let Some(same) = known.get(&service.spec.key()).filter(|same| ***same == *service) {
            *service = Arc::clone(same);
        }
    }
}

/// Refuses a change of what is fixed at start, naming the setting. `connections`: how many there are.
pub fn refuse_restart_only(old: &Config, new: &Config, connections: u64) -> Result<(), Error> {
    let kept_vlans = new.vlans.get(..old.vlans.len());
    let fixed = [
        ("[daemon]", old.daemon == new.daemon),
        ("[dpdk]", old.dpdk == new.dpdk),
        ("[workers]", old.workers == new.workers),
        ("[limits]", old.limits == new.limits),
        ("[[port]]", old.ports == new.ports),
        // Interfaces are known to workers by their number: new ones only come last.
        ("[[vlan]] other than adding at the end", kept_vlans == Some(&old.vlans[..])),
    ];
    if let Some((setting, _)) = fixed.iter().find(|(_, same)| !same) {
        let differing = differing_lines(old, new, setting);
        let message = format!("{setting} takes effect only when rvsd is restarted{differing}");
        return Err(Error::new(ErrorCode::RestartRequired, message).about(*setting));
    }
    if old.steering != new.steering && connections > 0 {
        let message = format!(
            "[steering] cannot change while there are connections ({connections} now): flush them first"
        );
        return Err(Error::new(ErrorCode::RestartRequired, message).about("[steering]"));
    }
    Ok(())
}

/// The settings of one table that differ, as the file writes them: ` (count = 1 → count = 2)`.
fn differing_lines(old: &Config, new: &Config, setting: &str) -> String {
    let lines = |config: &Config| -> Vec<String> {
        let bare = Config { services: Vec::new(), ..config.clone() };
        let mut inside = false;
        let of_table = |line: &&str| {
            if line.starts_with('[') {
                inside = setting.starts_with(*line);
            }
            inside && !line.is_empty()
        };
        to_toml(&bare).lines().filter(of_table).map(String::from).collect()
    };
    let (mut gone, mut come) = (lines(old), lines(new));
    if gone.len() == come.len() {
        (gone, come) = gone.into_iter().zip(come).filter(|(was, is)| was != is).unzip();
    } else {
        let before = gone.clone();
        gone.retain(|line| !come.contains(line));
        come.retain(|line| !before.contains(line));
    }
    if gone.is_empty() && come.is_empty() {
        return String::new();
    }
    let or_none = |list: Vec<String>| if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
    format!(" ({} → {})", or_none(gone), or_none(come))
}

/// Every difference, in the order of the file.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    list(
        &mut changes,
        &old.vlans,
        &new.vlans,
        |v| v.name.clone(),
        |v| format!("vlan {}", v.name),
        |_, _| String::new(),
    );
    let address = |a: &api::AddressSpec| format!("address {} on {}", a.cidr, a.interface);
    list(
        &mut changes,
        &old.addresses,
        &new.addresses,
        |a| (a.interface.clone(), a.cidr),
        address,
        |_, _| String::new(),
    );
    let route = |r: &api::RouteSpec| format!("route {}", route_text(r));
    let route_key = |r: &api::RouteSpec| (route_prefix(r.to, r.via), r.to);
    list(&mut changes, &old.routes, &new.routes, route_key, route, |a, b| {
        arrow(route_text(a), route_text(b))
    });
    let neighbour = |n: &api::NeighbourSpec| format!("neighbour {} on {}", n.address, n.interface);
    let neighbour_key = |n: &api::NeighbourSpec| (n.interface.clone(), n.address);
    list(&mut changes, &old.neighbours, &new.neighbours, neighbour_key, neighbour, |a, b| {
        format!("mac {}", arrow(a.mac, b.mac))
    });
    let pool = |p: &crate::config::Pool| format!("local pool {}", p.name);
    list(
        &mut changes,
        &old.pools,
        &new.pools,
        |p| p.name.clone(),
        pool,
        |a, b| arrow(pool_text(a), pool_text(b)),
    );
    let set_text = |set: &api::SetSpec| {
        let members: Vec<String> = set.members.iter().map(ToString::to_string).collect();
        if members.is_empty() { "empty".to_owned() } else { members.join(" ") }
    };
    list(
        &mut changes,
        &old.sets,
        &new.sets,
        |set| set.name.clone(),
        |set| format!("ipset {}", set.name),
        |a, b| arrow(set_text(a), set_text(b)),
    );
    list(
        &mut changes,
        &old.marks,
        &new.marks,
        |mark| mark.clone(),
        |mark| format!("mark {mark}"),
        |_, _| String::new(),
    );
    settings(&mut changes, old, new);
    let daemon = |d: &api::SyncSpec| format!("{} sync daemon", d.role.name());
    list(&mut changes, &old.sync, &new.sync, |d| d.role, daemon, |a, b| arrow(sync_text(a), sync_text(b)));
    service::services(&mut changes, old, new);
    if changes.is_empty() && old != new {
        push(&mut changes, ChangeKind::Changed, "configuration".to_owned(), "order".to_owned());
    }
    changes
}

fn arrow(old: impl Display, new: impl Display) -> String {
    format!("{old} → {new}")
}

fn route_text(r: &api::RouteSpec) -> String {
    let mut text = r.to.to_string();
    let via = r.via.map(|via| via.to_string());
    let (source, mtu) = (r.source.map(|s| s.to_string()), r.mtu.map(|m| m.to_string()));
    for (word, value) in [("via", via), ("dev", r.interface.clone()), ("src", source), ("mtu", mtu)] {
        if let Some(value) = value {
            text.push_str(&format!(" {word} {value}"));
        }
    }
    text
}

fn pool_text(p: &crate::config::Pool) -> String {
    let addresses: Vec<String> = p.addresses.iter().map(ToString::to_string).collect();
    format!("{} on {} ports {}", addresses.join(" "), p.interface, p.ports)
}

fn sync_text(d: &api::SyncSpec) -> String {
    let api::SyncSpec { interface, id, group, port, ttl, max_bytes, .. } = d;
    format!("{interface} id {id} {group} port {port} ttl {ttl} max_bytes {max_bytes}")
}

fn push(changes: &mut Vec<Change>, kind: ChangeKind, item: String, detail: String) {
    changes.push(Change { kind, item, detail: Some(detail).filter(|d| !d.is_empty()) });
}

/// The differences of two lists whose elements are named by `key`.
fn list<T: PartialEq, K: Hash + Eq>(
    changes: &mut Vec<Change>,
    old: &[T],
    new: &[T],
    key: impl Fn(&T) -> K,
    item: impl Fn(&T) -> String,
    detail: impl Fn(&T, &T) -> String,
) {
    let before: HashMap<K, &T> = old.iter().map(|t| (key(t), t)).collect();
    let after: HashMap<K, &T> = new.iter().map(|t| (key(t), t)).collect();
    for gone in old.iter().filter(|t| !after.contains_key(&key(t))) {
        push(changes, ChangeKind::Removed, item(gone), String::new());
    }
    for here in new {
        match before.get(&key(here)) {
            None => push(changes, ChangeKind::Added, item(here), String::new()),
            Some(was) if *was != here => push(changes, ChangeKind::Changed, item(here), detail(was, here)),
            Some(_) => {}
        }
    }
}

fn settings(changes: &mut Vec<Change>, old: &Config, new: &Config) {
    let (a, b) = (old.ipvs, new.ipvs);
    for key in timeout_keys() {
        let (was, is) = (key.get_s(&a.timeouts), key.get_s(&b.timeouts));
        if was != is {
            push(changes, ChangeKind::Changed, format!("{}.{}", key.table, key.key), arrow(was, is));
        }
    }
    for &sysctl in Sysctl::ALL {
        let (was, is) = (a.sysctls.get(sysctl), b.sysctls.get(sysctl));
        if was != is {
            let detail = arrow(sysctl_toml(sysctl, was), sysctl_toml(sysctl, is));
            push(changes, ChangeKind::Changed, format!("ipvs.{sysctl}"), detail);
        }
    }
    if old.steering != new.steering {
        push(changes, ChangeKind::Changed, "steering".to_owned(), String::new());
    }
}
