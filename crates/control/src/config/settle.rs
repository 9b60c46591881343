//! What is said in several ways, brought into one, so that equal things are equal.

use std::sync::Arc;

use api::{Method, Netmask, ServiceKey, Severity};

use super::model::{Config, Service};
use super::place::{Issue, IssueKind, Place};

/// Writes netmasks as their family does, and gives destinations whose ports nobody rewrites the service's, as ipvsadm does. Says what
/// its owner may not have meant.
pub fn settle(config: &mut Config) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (index, service) in config.services.iter_mut().enumerate() {
        let family = service.spec.key.family();
        let settled = |mask: Netmask| mask.of_family(family).unwrap_or(mask);
        let netmask = service.spec.persistence_netmask.map(settled).filter(|mask| !mask.is_whole(family));
        if netmask != service.spec.persistence_netmask {
            Arc::make_mut(service).spec.persistence_netmask = netmask;
        }
        if service.dests.iter().any(|dest| misses_port(dest, &service.spec.key)) {
            ports(Arc::make_mut(service), index, &mut issues);
        }
    }
    issues
}

/// Whether packets reach the destination with another port than the one that it is said to have.
fn misses_port(dest: &api::DestSpec, service: &ServiceKey) -> bool {
    let changes_no_port = matches!(dest.method, Method::Dr | Method::Tunnel);
    matches!(service, ServiceKey::Address { port, .. } if changes_no_port && dest.port != *port)
}

fn ports(service: &mut Service, index: usize, issues: &mut Vec<Issue>) {
    let (key, port) = (service.spec.key, service.spec.key.port());
    for (i, dest) in service.dests.iter_mut().enumerate().filter(|(_, dest)| misses_port(dest, &key)) {
        let message =
            format!("found {}, took the service's port {port}: {} changes no port", dest.port, dest.method);
        issues.push(Issue {
            severity: Severity::Warning,
            place: Place::destination(index, i).key("port"),
            subject: format!("destination {} of {key}", dest.key()),
            kind: IssueKind::Invalid,
            message,
        });
        dest.port = port;
    }
}
