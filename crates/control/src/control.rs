//! The control core: the one desired state and the way in which everything changes it.
//!
//! Every change, whether from a request or a file, is made to a copy: edit, check, compare, assign ids, build a
//! snapshot, publish it to all workers; only then is the copy the state. When any step fails the state
//! is what it was. One lock orders changes and look-ups; workers never take it.

mod daemons;
mod host;
mod issues;
mod owners;
mod parts;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use api::{
    Applied, ConfigText, ConnFilter, Error, ErrorCode, Mac, Reply, Request, ServiceKey, Severity, TraceFilter,
};
use ipvs::Snapshot;
use parking_lot::Mutex;

use crate::baseline::Baselines;
use crate::build::{BuildError, Built, Fixed, build};
use crate::config::check::{Names, check};
use crate::config::{Config, parse, settle, to_toml};
use crate::dataplane::{Dataplane, DataplaneError};
use crate::diff;
use crate::edit::{edit, not_found};
use crate::estimator::Estimator;
use crate::ids::Ids;
use crate::overlay::{HostAddress, Overlay};
use crate::server::Handler;
use crate::sync::Transition;
use crate::trace;
use crate::views;

use self::parts::{in_parts, send_list};

/// The state before there are workers: they need a first snapshot to start with.
#[derive(Debug)]
pub struct Prepared {
    state: State,
    fixed: Fixed,
}

/// Why a checked configuration cannot be started with.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Ids(#[from] crate::ids::IdsExhausted),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("{ports} ports are configured, but {macs} MAC addresses were given")]
    Macs { ports: usize, macs: usize },
}

impl Prepared {
    /// Builds the first snapshot. `macs` are the ports' own, in the configuration's order; `steering_key` is to be random.
    pub fn new(config: Config, macs: Vec<Mac>, steering_key: [u8; 16]) -> Result<Prepared, PrepareError> {
        if macs.len() != config.ports.len() {
            return Err(PrepareError::Macs { ports: config.ports.len(), macs: macs.len() });
        }
        let fixed = Fixed { macs, steering_key };
        let mut ids = Ids::default();
        ids.assign(&Config::default(), &config)?;
        let (snapshot, built) = build(&config, &fixed, &ids, &Built::default(), 1)?;
        let baselines = Baselines::default();
        Ok(Prepared {
            state: State {
                config,
                ids,
                built,
                snapshot: Arc::new(snapshot),
                generation: 1,
                baselines,
                estimator: Estimator::default(),
                host: Vec::new(),
                overlay: Overlay::default(),
            },
            fixed,
        })
    }

    /// What workers start with.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.state.snapshot.clone()
    }

    /// The director's limits that go with it.
    pub fn limits(&self) -> ipvs::Limits {
        crate::build::limits(&self.state.config)
    }
}

/// Everything that a change replaces.
#[derive(Debug)]
pub(crate) struct State {
    pub config: Config,
    pub ids: Ids,
    built: Built,
    pub snapshot: Arc<Snapshot>,
    /// Of the last snapshot that was published, also in vain.
    generation: u64,
    pub baselines: Baselines,
    pub estimator: Estimator,
    /// What the host has on exception TAPs.
    host: Vec<HostAddress>,
    /// What of that is in force.
    pub overlay: Overlay,
}

/// The running control core.
pub struct Control {
    state: Mutex<State>,
    fixed: Fixed,
    pub(crate) dataplane: Arc<dyn Dataplane>,
    config_path: PathBuf,
    /// Held as long as a trace is on.
    tracing: Mutex<()>,
    started: Instant,
    version: &'static str,
}

impl Control {
    /// Takes over workers that run with [`Prepared::snapshot`]. `config_path`: what a reload reads; `version`: the daemon's.
    pub fn start(
        prepared: Prepared,
        dataplane: Arc<dyn Dataplane>,
        config_path: &Path,
        version: &'static str,
    ) -> Control {
        let Prepared { state, fixed } = prepared;
        let (state, config_path) = (Mutex::new(state), config_path.to_owned());
        Control {
            state,
            fixed,
            dataplane,
            config_path,
            tracing: Mutex::new(()),
            started: Instant::now(),
            version,
        }
    }

    /// Reads the configuration file again and applies what differs; what SIGHUP does.
    pub fn reload(&self) -> Result<Applied, Error> {
        let name = self.config_path.display().to_string();
        let text = std::fs::read_to_string(&self.config_path).map_err(|e| {
            Error::new(ErrorCode::Invalid, format!("cannot read {name}: {e}")).about(name.clone())
        })?;
        self.apply(&name, &text)
    }

    /// Makes the state what a configuration's text says.
    pub fn apply(&self, name: &str, text: &str) -> Result<Applied, Error> {
        let parsed = parse(name, text);
        let Some(new) = parsed.config else {
            let errors = parsed.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
            let plural = if errors == 1 { "error" } else { "errors" };
            let mut error =
                Error::new(ErrorCode::InvalidConfig, format!("{name} has {errors} {plural}")).about(name);
            error.diagnostics = parsed.diagnostics;
            return Err(error);
        };
        let mut state = self.state.lock();
        let mut applied = self.replace(&mut state, new)?;
        applied.warnings = parsed.diagnostics;
        Ok(applied)
    }

    /// The configuration that is in force.
    pub fn config(&self) -> Config {
        self.state.lock().config.clone()
    }

    fn change(&self, request: Request) -> Result<Applied, Error> {
        let mut state = self.state.lock();
        let mut new = state.config.clone();
        edit(&mut new, request)?;
        let mut issues = settle(&mut new);
        issues.extend(check(&new, &Names::default(), Some(&state.config)));
        let warnings = issues::request_issues(issues)?;
        let mut applied = self.replace(&mut state, new)?;
        applied.warnings = warnings;
        Ok(applied)
    }

    /// Publishes a checked configuration and makes it the state.
    fn replace(&self, state: &mut State, mut new: Config) -> Result<Applied, Error> {
        diff::share(&state.config, &mut new);
        let changes = diff::changes(&state.config, &new);
        diff::refuse_restart_only(&state.config, &new, self.connections())?;
        if new == state.config {
            return Ok(Applied { generation: state.snapshot.generation, ..Applied::default() });
        }
        let shared = self.dataplane.shared();
        owners::refuse_moving(&new, &state.snapshot.services, &state.ids, shared)?;
        state.ids.reap(|id| shared.iter().any(|worker| worker.dest(id).is_some_and(|dest| dest.refs() > 0)));
        let assignment = state.ids.assign(&state.config, &new).map_err(|e| {
            let what = format!("limits.{}", e.what);
            Error::new(ErrorCode::Limit, e.to_string()).about(what)
        })?;
        let daemons = match Transition::begin(&*self.dataplane, &state.config, &new) {
            Ok(daemons) => daemons,
            Err(error) => {
                state.ids.undo(assignment);
                return Err(error);
            }
        };
        let generation = state.generation + 1;
        let (snapshot, built, overlay) = match host::build_over(state, &new, &self.fixed, generation) {
            Ok(built) => built,
            Err(e) => {
                state.ids.undo(assignment);
                daemons.undo();
                return Err(Error::new(ErrorCode::Invalid, e.to_string()));
            }
        };
        state.baselines.mark(shared, &assignment.stale_services, &assignment.stale_dests);
        state.estimator.restart(&assignment.stale_services, &assignment.stale_dests);
        let snapshot = Arc::new(snapshot);
        state.generation = generation;
        if let Err(e) = self.dataplane.publish(snapshot.clone()) {
            state.ids.undo(assignment);
            daemons.undo();
            self.restore(state);
            return Err(refused(&e));
        }
        daemons.finish();
        for change in &changes {
            let detail = change.detail.as_deref().unwrap_or_default();
            tracing::debug!(generation, kind = ?change.kind, item = %change.item, detail, "configuration changed");
        }
        tracing::info!(generation, changes = changes.len(), "new configuration in force");
        overlay.report(&state.overlay);
        (state.config, state.built, state.snapshot, state.overlay) = (new, built, snapshot, overlay);
        Ok(Applied { generation, changes, warnings: Vec::new() })
    }

    /// Publishes the state once more after a change that only some workers may have got.
    fn restore(&self, state: &mut State) {
        state.generation += 1;
        let config = state.overlay.over(&state.config);
        match build(&config, &self.fixed, &state.ids, &state.built, state.generation) {
            Ok((snapshot, built)) => {
                (state.snapshot, state.built) = (Arc::new(snapshot), built);
                if let Err(e) = self.dataplane.publish(state.snapshot.clone()) {
                    tracing::error!("the previous configuration has not reached all workers yet: {e}");
                }
            }
            Err(e) => tracing::error!("the previous configuration cannot be built again: {e}"),
        }
    }

    /// Two seconds have passed: rates go on ([`crate::Ticker`] calls it).
    pub fn estimate(&self) {
        let mut state = self.state.lock();
        let State { config, ids, estimator, snapshot, .. } = &mut *state;
        let shared = self.dataplane.shared();
        if !snapshot.settings.run_estimation {
            return estimator.suspend(shared);
        }
        let keys = config.services.iter().map(|entry| (entry, entry.spec.key()));
        let services = keys.clone().filter_map(|(_, key)| ids.service(&key));
        let dests = keys.flat_map(|(entry, key)| {
            let ids = &*ids;
            entry.dests.iter().filter_map(move |dest| ids.dest(&key, &dest.key()))
        });
        estimator.step(shared, services, dests);
    }

    fn connections(&self) -> u64 {
        self.dataplane.shared().iter().map(|worker| u64::from(worker.connections())).sum()
    }

    fn zero(&self, service: Option<ServiceKey>) -> Result<Applied, Error> {
        let mut state = self.state.lock();
        let State { config, ids, baselines, estimator, snapshot, .. } = &mut *state;
        if let Some(key) = service {
            ids.service(&key).ok_or_else(|| not_found(format!("service {key}")))?;
        }
        let zeroed = config.services.iter().filter(|s| service.is_none_or(|key| s.spec.key() == key));
        let (mut services, mut dests) = (Vec::new(), Vec::new());
        for entry in zeroed {
            let key = entry.spec.key();
            services.extend(ids.service(&key));
            dests.extend(entry.dests.iter().filter_map(|dest| ids.dest(&key, &dest.key())));
        }
        baselines.mark(self.dataplane.shared(), &services, &dests);
        estimator.restart(&services, &dests);
        if service.is_none() {
            baselines.mark_total(self.dataplane.shared());
            estimator.restart_total(self.dataplane.shared());
        }
        Ok(Applied { generation: snapshot.generation, ..Applied::default() })
    }

    fn list_connections(
        &self,
        service: Option<ServiceKey>,
        limit: Option<u64>,
        filter: &ConnFilter,
        part: &mut dyn FnMut(Reply) -> io::Result<()>,
    ) -> Result<Reply, Error> {
        if let Some(key) = service {
            self.known(&key)?;
        }
        let mut left = limit.unwrap_or(u64::MAX);
        let mut each = |mut batch: Vec<api::ConnView>| {
            batch.retain(|conn| filter.holds(conn));
            if batch.is_empty() {
                return ControlFlow::Continue(());
            }
            batch.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= batch.len() as u64;
            let sent = send_list(batch, Reply::Connections, part).and_then(&mut *part);
            if sent.is_err() || left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if limit != Some(0) {
            self.dataplane.connections(service, &mut each).map_err(|e| refused(&e))?;
        }
        Ok(Reply::Connections(Vec::new()))
    }

    fn known(&self, key: &ServiceKey) -> Result<ipvs::ServiceId, Error> {
        self.state.lock().ids.service(key).ok_or_else(|| not_found(format!("service {key}")))
    }

    fn count_connections(&self, service: Option<ServiceKey>) -> Result<u64, Error> {
        let Some(key) = service else { return Ok(self.connections()) };
        self.known(&key)?;
        let state = self.state.lock();
        Ok(views::connections_of(&state, self.dataplane.shared(), &key))
    }

    fn flush_connections(&self, service: Option<ServiceKey>) -> Result<u64, Error> {
        let id = service.map(|key| self.known(&key)).transpose()?;
        self.dataplane.flush_connections(id).map_err(|e| refused(&e))
    }

    fn trace(
        &self,
        what: (TraceFilter, u32, u32),
        part: &mut dyn FnMut(Reply) -> io::Result<()>,
    ) -> Result<Reply, Error> {
        trace::check(what.1, what.2)?;
        let busy = || Error::new(ErrorCode::Busy, "another trace is on").about("trace");
        let _one = self.tracing.try_lock().ok_or_else(busy)?;
        trace::run(&*self.dataplane, || self.state.lock().snapshot.clone(), what, part)
    }

    fn flush_neighbours(&self, interface: Option<String>) -> Result<Applied, Error> {
        let snapshot = self.state.lock().snapshot.clone();
        let iface = interface.map(|name| {
            let found = snapshot.net.ifaces().iter().find(|iface| *iface.name == *name);
            found.map(|iface| iface.id).ok_or_else(|| not_found(format!("interface {name}")))
        });
        self.dataplane.flush_neighbours(iface.transpose()?).map_err(|e| refused(&e))?;
        Ok(Applied { generation: snapshot.generation, ..Applied::default() })
    }

    fn total(&self) -> api::TotalView {
        let state = self.state.lock();
        let shared = self.dataplane.shared();
        let packets = self
            .dataplane
            .workers()
            .iter()
            .fold(api::PacketCounters::default(), |sum, w| sum.plus(w.packets));
        api::TotalView {
            version: self.version.to_owned(),
            uptime_ms: self.started.elapsed().as_millis() as u64,
            generation: state.snapshot.generation,
            services: state.config.services.len() as u32,
            destinations: state.config.services.iter().map(|s| s.dests.len() as u32).sum(),
            connections: self.connections(),
            connections_limit: u64::from(state.config.limits.connections),
            traffic: state.baselines.total(shared),
            rates: state.estimator.total(),
            packets,
            host: self.dataplane.host(),
            third_hosts: shared.iter().map(|worker| worker.third_hosts()).sum(),
        }
    }
}

impl Handler for Control {
    fn handle(
        &self,
        request: Request,
        part: &mut dyn FnMut(Reply) -> io::Result<()>,
    ) -> Result<Reply, Error> {
        let shared = self.dataplane.shared();
        let reply = match request {
            Request::ServiceList => Reply::Services(views::services(&self.state.lock(), shared, None)),
            Request::ServiceShow { service } => {
                self.known(&service)?;
                Reply::Services(views::services(&self.state.lock(), shared, Some(service)))
            }
            Request::DestList { service } => {
                self.known(&service)?;
                let services = views::services(&self.state.lock(), shared, Some(service));
                Reply::Destinations(services.into_iter().flat_map(|s| s.destinations).collect())
            }
            Request::ServiceZero { service } => Reply::Applied(self.zero(service)?),
            Request::PoolList => Reply::Pools(views::pools(&self.state.lock())),
            Request::AddressList => Reply::Addresses(views::addresses(&self.state.lock())),
            Request::RouteList => Reply::Routes(views::routes(&self.state.lock())),
            Request::NeighbourList => {
                let snapshot = self.state.lock().snapshot.clone();
                let samples = self.dataplane.neighbours().map_err(|e| refused(&e))?;
                Reply::Neighbours(views::neighbours(&snapshot, samples))
            }
            Request::NeighbourFlush { interface } => Reply::Applied(self.flush_neighbours(interface)?),
            Request::ConnList { service, limit, filter } => {
                self.list_connections(service, limit, &filter, part)?
            }
            Request::ConnCount { service } => {
                Reply::ConnCount(api::ConnCount { connections: self.count_connections(service)? })
            }
            Request::ConnFlush { service } => {
                Reply::ConnCount(api::ConnCount { connections: self.flush_connections(service)? })
            }
            Request::WorkerList => {
                let limit = self.state.lock().config.limits.connections;
                Reply::Workers(views::workers(self.dataplane.workers(), shared, limit))
            }
            Request::PortList => {
                let samples = self.dataplane.ports().map_err(|e| refused(&e))?;
                Reply::Ports(views::ports(&self.state.lock().config, samples))
            }
            Request::DropList => Reply::Drops(views::drops(&self.dataplane.workers(), self.dataplane.host())),
            Request::SyncShow => Reply::Sync(self.sync_view()),
            Request::Trace { filter, packets, seconds } => self.trace((filter, packets, seconds), part)?,
            Request::TotalShow => Reply::Total(Box::new(self.total())),
            Request::MarkList => Reply::Marks(self.state.lock().config.marks.clone()),
            Request::SetList { name } => Reply::Sets(views::sets(&self.state.lock().config, name)?),
            Request::TimeoutList => Reply::Timeouts(views::timeouts(&self.state.lock().config.ipvs.timeouts)),
            Request::SysctlList { names } => {
                Reply::Sysctls(views::sysctls(&self.state.lock().config.ipvs.sysctls, &names))
            }
            Request::ConfigShow => Reply::Config(ConfigText { text: to_toml(&self.config()) }),
            Request::ConfigCheck { name, text } => Reply::Checked(parse(&name, &text).diagnostics),
            Request::ConfigApply { name, text } => Reply::Applied(self.apply(&name, &text)?),
            Request::ConfigReload => Reply::Applied(self.reload()?),
            change => Reply::Applied(self.change(change)?),
        };
        in_parts(reply, part)
    }
}

pub(crate) fn refused(error: &DataplaneError) -> Error {
    match error {
        DataplaneError::Timeout { worker, .. } => {
            Error::new(ErrorCode::Timeout, error.to_string()).about(format!("worker {worker}"))
        }
        DataplaneError::Port { port, .. } => Error::new(ErrorCode::Internal, error.to_string()).about(port),
        DataplaneError::Sync(_) | DataplaneError::NoDevice(_) => {
            Error::new(ErrorCode::Internal, error.to_string())
        }
        DataplaneError::Stopping => Error::new(ErrorCode::Internal, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
