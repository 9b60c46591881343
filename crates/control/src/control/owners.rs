//! Changes that would hand live connections to other workers, and are refused.
//!
//! A service without masquerade destinations is steered by its clients' endpoints; with its first one, the one NAT rule
//! decides (`ipvs::steering`), since a reply names the client only. A service with a helper is steered by its clients'
//! addresses once it has a destination whose packets pass in both directions. Where the two rules may name different workers, the
//! change has to wait until the service has no connections: their packets would no longer reach them.

use std::sync::Arc;

use api::{Error, ErrorCode, Method, ServiceKey, ServiceSpec};
use ipvs::{ServiceTable, WorkerShared};

use crate::config::{Config, NatSteering, Service};
use crate::ids::Ids;

/// Refuses `new` if a service with connections gets its first masquerade destination in it. `table` is what workers use; it
/// remembers which services have masqueraded, the removed ones included. `ids` are those before the change.
pub(super) fn refuse_moving(
    new: &Config,
    table: &ServiceTable,
    ids: &Ids,
    shared: &[Arc<WorkerShared>],
) -> Result<(), Error> {
    if new.workers.count() <= 1 {
        return Ok(());
    }
    let begins = |service: &&Arc<Service>| {
        let key = service.spec.key();
        let ServiceKey::Address { protocol, address, port } = key else { return false };
        let has = |method| service.dests.iter().any(|dest| dest.method == method);
        let protocol = crate::build::protocol(protocol);
        let plain = table.masquerades(protocol, address, port) == Some(false)
            && table.helped(protocol, address, port).is_none();
        let by_rule = has(Method::Nat) && new.steering.nat == NatSteering::Address;
        let by_address =
            (has(Method::Nat) || has(Method::Fullnat)) && crate::build::may_be_helped(&service.spec);
        plain && (by_rule || by_address)
    };
    for service in &new.services {
        let key = service.spec.key();
        let connections =
            if changes_clients(service, table, ids) { connections_of(&key, ids, shared) } else { 0 };
        if connections > 0 {
            let message = format!(
                "with several workers, other persistence of service {key} would move its {connections} connections to other workers: \
                 drop them first (`rvsctl conn flush --service {key}`), or use another service"
            );
            return Err(Error::new(ErrorCode::RestartRequired, message).about("[workers] count"));
        }
    }
    for service in new.services.iter().filter(begins) {
        let key = service.spec.key();
        let connections = connections_of(&key, ids, shared);
        if connections > 0 {
            return Err(moving(&service.spec, connections, ids.service(&key).is_some(), new.steering.nat));
        }
    }
    Ok(())
}

/// Whether other clients of a service than before are one, which decides their worker. With masquerade destinations the NAT rule
/// does.
fn changes_clients(service: &Service, table: &ServiceTable, ids: &Ids) -> bool {
    let before = ids.service(&service.spec.key()).and_then(|id| table.service(id));
    let Some(before) = before else { return false };
    let mask = |persistence: Option<ipvs::Persistence>| persistence.map(|persistence| persistence.mask);
    mask(before.persistence) != mask(crate::build::persistence(&service.spec))
        && !before.uses(ipvs::Method::Masquerade)
}

/// Connections of a service, also of one that has been removed, whichever destination they have.
fn connections_of(key: &ServiceKey, ids: &Ids, shared: &[Arc<WorkerShared>]) -> u64 {
    let live = ids.live_dests().chain(ids.trashed_dests());
    let own = live.filter(|((service, _), _)| service == key).map(|(_, id)| id);
    own.flat_map(|id| shared.iter().filter_map(move |worker| worker.dest(id)))
        .map(|dest| u64::from(dest.refs()))
        .sum()
}

fn moving(spec: &ServiceSpec, connections: u64, exists: bool, nat: NatSteering) -> Error {
    let key = &spec.key;
    let flush =
        if exists { format!("rvsctl conn flush --service {key}") } else { "rvsctl conn flush".to_owned() };
    if nat == NatSteering::Endpoint || crate::build::may_be_helped(spec) {
        let message = format!(
            "the first `nat` or `fullnat` destination of service {key}, which has a helper, would move its {connections} \
             connections to other workers: drop them first (`{flush}`), use another service, or one with helper = \"none\""
        );
        return Error::new(ErrorCode::RestartRequired, message).about("[workers] count");
    }
    let setting = "[steering] nat";
    let message = format!(
        "with {setting} = \"address\" the first `nat` destination of service {key} would move its {connections} connections \
         to other workers: drop them first (`{flush}`), use another service, or restart with nat = \"endpoint\""
    );
    Error::new(ErrorCode::RestartRequired, message).about(setting)
}
