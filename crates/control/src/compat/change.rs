//! Requests that change something, and the errno that each refusal has in the kernel.

use api::{
    DestEdit, ErrorCode, Method, Protocol, Reply, ServiceEdit, ServiceKey, ServiceView, SyncRole, SyncSpec,
    TimeoutSetting,
};
use ipvs_genl::errno::{
    EAGAIN, EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENOENT, ENOMEM, EOPNOTSUPP, EPERM, ESRCH,
};
use ipvs_genl::{Command, DaemonAttrs, ServiceAttrs, Timeouts};

use super::answer::ask;
use super::words;
use crate::server::Handler;

/// The service that a request names, with its destinations.
pub(super) fn view_of(handler: &dyn Handler, service: &ServiceAttrs) -> Result<ServiceView, i32> {
    let service = words::key(service)?;
    match ask(handler, api::Request::ServiceShow { service }) {
        Ok(Reply::Services(mut views)) => views.pop().ok_or(ESRCH),
        Ok(_) => Err(EIO),
        Err(error) => Err(errno_of(&error, ESRCH)),
    }
}

/// Makes a change.
pub(super) fn change(command: &Command, handler: &dyn Handler) -> Result<(), i32> {
    let key_of = |service: &ServiceAttrs| view_of(handler, service).map(|view| view.spec.key());
    let (request, absent) = match command {
        Command::NewService(service) => {
            (api::Request::ServiceAdd { service: words::new_service(service)? }, ESRCH)
        }
        Command::SetService(service) => (edit_service(handler, service)?, ESRCH),
        Command::DelService(service) => {
            (api::Request::ServiceDelete { service: words::key(service)? }, ESRCH)
        }
        Command::NewDest(service, dest) => {
            let service = key_of(service)?;
            (api::Request::DestAdd { dest: words::new_dest(dest, service.family())?, service }, ESRCH)
        }
        Command::SetDest(service, dest) => {
            let view = view_of(handler, service)?;
            (edit_dest(&view, words::new_dest(dest, view.spec.key().family())?), ENOENT)
        }
        Command::DelDest(service, dest) => {
            let dest = api::DestKey { address: dest.address, port: dest.port };
            (api::Request::DestDelete { service: key_of(service)?, dest }, ENOENT)
        }
        Command::NewDaemon(daemon) => (start_daemon(daemon)?, ENODEV),
        Command::DelDaemon(daemon) => (api::Request::SyncStop { role: role(daemon)? }, ESRCH),
        Command::SetConfig(timeouts) => match set_timeouts(*timeouts) {
            Some(request) => (request, EINVAL),
            None => return Ok(()),
        },
        Command::Zero(service) => {
            let service: Option<ServiceKey> = service.as_ref().map(words::key).transpose()?;
            (api::Request::ServiceZero { service }, ESRCH)
        }
        Command::Flush => (api::Request::ServiceFlush, ESRCH),
        _ => return Err(EOPNOTSUPP),
    };
    ask(handler, request).map(drop).map_err(|error| errno_of(&error, absent))
}

/// `absent`: what the kernel says when what is asked for is not there.
fn errno_of(error: &api::Error, absent: i32) -> i32 {
    tracing::debug!(%error, "refused a stock tool's request");
    match error.code {
        ErrorCode::NotFound => absent,
        ErrorCode::Exists => EEXIST,
        ErrorCode::Limit => ENOMEM,
        ErrorCode::PermissionDenied => EPERM,
        ErrorCode::Busy | ErrorCode::InUse => EBUSY,
        ErrorCode::Timeout => EAGAIN,
        ErrorCode::Internal => EIO,
        _ => EINVAL,
    }
}

/// The request says all that a service is to be; what only rvs knows of stays.
fn edit_service(handler: &dyn Handler, service: &ServiceAttrs) -> Result<api::Request, i32> {
    let view = view_of(handler, service)?;
    let old = words::service(&view).flags;
    let new = words::service_with_flags(service, old)?;
    let edit = ServiceEdit {
        scheduler: Some(new.scheduler),
        scheduler_flags: Some(new.scheduler_flags),
        persistence_timeout_s: Some(new.persistence_timeout_s),
        persistence_netmask: Some(new.persistence_netmask),
        persistence_engine: Some(new.persistence_engine),
        ops: Some(new.ops),
        ..ServiceEdit::default()
    };
    Ok(api::Request::ServiceEdit { service: new.key, edit })
}

/// A FULLNAT destination is masquerading to stock tools: editing it as such leaves it what it is.
fn edit_dest(view: &ServiceView, new: api::DestSpec) -> api::Request {
    let old = view.destinations.iter().find(|dest| dest.spec.key() == new.key());
    let stays = old.is_some_and(|old| old.spec.method == Method::Fullnat) && new.method == Method::Nat;
    let edit = DestEdit {
        method: (!stays).then_some(new.method),
        weight: Some(new.weight),
        upper_threshold: Some(new.upper_threshold),
        lower_threshold: Some(new.lower_threshold),
        tunnel_type: Some(new.tunnel_type),
        tunnel_port: Some(new.tunnel_port),
        tunnel_checksum: Some(new.tunnel_checksum),
    };
    api::Request::DestEdit { service: view.spec.key(), dest: new.key(), edit }
}

fn role(daemon: &DaemonAttrs) -> Result<SyncRole, i32> {
    match daemon.state {
        Some(1) => Ok(SyncRole::Master),
        Some(2) => Ok(SyncRole::Backup),
        _ => Err(EINVAL),
    }
}

fn start_daemon(daemon: &DaemonAttrs) -> Result<api::Request, i32> {
    let mut spec = SyncSpec::new(role(daemon)?, daemon.interface.as_deref().ok_or(EINVAL)?);
    spec.id = daemon.sync_id.and_then(|id| u8::try_from(id).ok()).ok_or(EINVAL)?;
    spec.group = daemon.group.unwrap_or(spec.group);
    spec.port = daemon.port.unwrap_or(spec.port);
    spec.ttl = daemon.ttl.unwrap_or(spec.ttl);
    spec.max_bytes = daemon.max_bytes.unwrap_or(spec.max_bytes);
    Ok(api::Request::SyncStart { daemon: spec })
}

/// None if nothing is to change: 0 means that.
fn set_timeouts(timeouts: Timeouts) -> Option<api::Request> {
    let wanted = [
        (Protocol::Tcp, words::TCP_STATE, timeouts.tcp_s),
        (Protocol::Tcp, words::TCP_FIN_STATE, timeouts.tcp_fin_s),
        (Protocol::Udp, words::UDP_STATE, timeouts.udp_s),
    ];
    let set = wanted.into_iter().filter_map(|(protocol, state, timeout_s)| {
        let timeout_s = timeout_s.filter(|timeout| *timeout != 0)?;
        Some(TimeoutSetting { protocol, state: state.to_owned(), timeout_s })
    });
    let values: Vec<TimeoutSetting> = set.collect();
    (!values.is_empty()).then_some(api::Request::TimeoutSet { values })
}
