//! The synchronisation daemons that are to run, and how that is brought about.
//!
//! A daemon is started before the workers hear of it, and stopped after they have: what they tell has somebody to
//! listen. When a step fails, those before it are undone.

use api::{Error, ErrorCode, SyncRole, SyncSpec, Sysctl};

use crate::config::Config;
use crate::dataplane::{Dataplane, DataplaneError, SyncTuning};

/// The kernel's interface that a daemon speaks on: the exception interface of a port of rvs, or one that is the kernel's.
pub fn device<'a>(config: &'a Config, interface: &'a str) -> Result<&'a str, String> {
    match config.ports.iter().find(|port| port.name == interface) {
        None => Ok(interface),
        Some(port) => port.exception.as_deref().ok_or_else(|| {
            format!("port \"{interface}\" has no exception interface, by which the daemon would use it")
        }),
    }
}

/// UDP ports of a daemon at most.
const PORTS_MAX: u16 = 64;

/// What the tunables say about a daemon that starts.
pub fn tuning(config: &Config) -> SyncTuning {
    let natural = |sysctl| config.ipvs.sysctls.get(sysctl).first.max(0) as u32;
    SyncTuning {
        ports: natural(Sysctl::SyncPorts).clamp(1, PORTS_MAX.into()) as u16,
        queue_max: natural(Sysctl::SyncQlenMax),
        socket_bytes: natural(Sysctl::SyncSockSize),
    }
}

/// A daemon and the kernel's interface that it speaks on.
#[derive(Debug, Clone)]
struct Daemon {
    spec: SyncSpec,
    device: String,
}

/// Daemons of `from` that are not in `of`, or not as there.
fn not_in(from: &Config, of: &Config) -> Result<Vec<Daemon>, Error> {
    let daemon = |spec: &SyncSpec| {
        let device = device(from, &spec.interface)
            .map_err(|message| Error::new(ErrorCode::Invalid, message).about(about(spec)))?;
        Ok(Daemon { spec: spec.clone(), device: device.to_owned() })
    };
    from.sync.iter().filter(|spec| !of.sync.contains(spec)).map(daemon).collect()
}

/// A change of daemons, under way.
pub struct Transition<'p> {
    plane: &'p dyn Dataplane,
    tuning: SyncTuning,
    /// Not in the new state: to be stopped in the end.
    leaving: Vec<Daemon>,
    /// Stopped already, since the new state has another of the role.
    replaced: Vec<Daemon>,
    started: Vec<SyncRole>,
}

impl<'p> Transition<'p> {
    /// Starts what the new state has and the old one had not.
    pub fn begin(plane: &'p dyn Dataplane, old: &Config, new: &Config) -> Result<Self, Error> {
        let mut change = Transition {
            plane,
            tuning: tuning(new),
            leaving: not_in(old, new)?,
            replaced: Vec::new(),
            started: Vec::new(),
        };
        for daemon in not_in(new, old)? {
            if let Err(error) = change.start(&daemon) {
                change.undo();
                return Err(error);
            }
        }
        Ok(change)
    }

    fn start(&mut self, daemon: &Daemon) -> Result<(), Error> {
        let role = daemon.spec.role;
        if let Some(at) = self.leaving.iter().position(|leaving| leaving.spec.role == role) {
            self.plane.sync_stop(role).map_err(|e| refused(&daemon.spec, &e))?;
            self.replaced.push(self.leaving.remove(at));
        }
        self.run(daemon).map_err(|e| refused(&daemon.spec, &e))?;
        self.started.push(role);
        Ok(())
    }

    fn run(&self, daemon: &Daemon) -> Result<(), DataplaneError> {
        self.plane.sync_start(&daemon.spec, &daemon.device, self.tuning)
    }

    /// The workers use the new state: what it has not, ends.
    pub fn finish(self) {
        for Daemon { spec, .. } in &self.leaving {
            if let Err(error) = self.plane.sync_stop(spec.role) {
                tracing::error!(role = spec.role.name(), "sync daemon not stopped: {error}");
            }
        }
    }

    /// The new state has not come about: everything as it was.
    pub fn undo(self) {
        for role in &self.started {
            if let Err(error) = self.plane.sync_stop(*role) {
                tracing::error!(role = role.name(), "sync daemon not stopped: {error}");
            }
        }
        for daemon in &self.replaced {
            if let Err(error) = self.run(daemon) {
                tracing::error!(role = daemon.spec.role.name(), "sync daemon not started again: {error}");
            }
        }
    }
}

fn about(spec: &SyncSpec) -> String {
    format!("sync {}", spec.role.name())
}

fn refused(spec: &SyncSpec, error: &DataplaneError) -> Error {
    let code = match error {
        DataplaneError::NoDevice(_) => ErrorCode::NotFound,
        _ => ErrorCode::Internal,
    };
    Error::new(code, format!("{}: {error}", about(spec))).about(about(spec))
}
