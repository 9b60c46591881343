//! The threads of master and backup.
//!
//! One thread for a master and one for a backup, whatever the number of lanes. What workers tell comes by a ring from each;
//! what a backup hears goes to whoever implements [`Deliver`], which may wait. A daemon that is stopped
//! leaves what it had not sent, as the kernel's.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use ipvs::sync::Record;
use parking_lot::Mutex;
use rtrb::Consumer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wire::sync::Version;

use crate::backup::{Backup, BackupCounts};
use crate::config::{ConfigError, DaemonConfig, Role, Tuning};
use crate::master::{Master, MasterCounts, Sent};
use crate::socket::{self, SocketError};

/// Between two looks at the workers' rings.
const LOOK: Duration = Duration::from_millis(10);
/// How long a backup waits for messages before it looks whether it is to stop.
const LISTEN: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Messages taken from one socket before the others get their turn.
const MESSAGES: usize = 64;

/// Where a backup's records go.
pub trait Deliver: Send + Sync {
    /// Takes a record; may wait for a worker that is busy, but not for ever.
    fn deliver(&self, record: Record);
}

/// Why a daemon does not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("the {} sync daemon runs already", .0.name())]
    Running(Role),
    #[error("no {} sync daemon runs", .0.name())]
    NotRunning(Role),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("no thread for it: {0}")]
    Thread(io::Error),
}

/// A daemon that runs.
#[derive(Clone, Debug)]
pub struct Status<C> {
    /// As it was asked for.
    pub config: DaemonConfig,
    /// Bytes of a message at most.
    pub message_len: u16,
    /// Ports, each a lane.
    pub lanes: u16,
    /// What it has done.
    pub counts: C,
}

struct Running<C, R> {
    config: DaemonConfig,
    message_len: u16,
    lanes: u16,
    counts: Arc<Mutex<C>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<R>,
}

impl<C: Clone, R> Running<C, R> {
    fn status(&self) -> Status<C> {
        Status {
            config: self.config.clone(),
            message_len: self.message_len,
            lanes: self.lanes,
            counts: self.counts.lock().clone(),
        }
    }

    /// What the thread leaves; nothing if it panicked.
    fn end(self) -> Option<R> {
        self.stop.store(true, Relaxed);
        self.thread.join().ok()
    }
}

type Rings = Vec<Consumer<Record>>;

struct State {
    /// With the master while it runs.
    rings: Rings,
    master: Option<Running<MasterCounts, Rings>>,
    backup: Option<Running<BackupCounts, ()>>,
}

/// Both daemons of this host.
pub struct Daemon {
    state: Mutex<State>,
    deliver: Arc<dyn Deliver>,
    /// Whether masters speak version 0.
    old_version: Arc<AtomicBool>,
}

impl Daemon {
    /// Neither runs yet. `rings`: what workers tell, one of each.
    pub fn new(rings: Vec<Consumer<Record>>, deliver: Arc<dyn Deliver>) -> Self {
        let state = State { rings, master: None, backup: None };
        Self { state: Mutex::new(state), deliver, old_version: Arc::default() }
    }

    /// The version that a master speaks from now on [sync_version].
    pub fn set_version(&self, version: Version) {
        self.old_version.store(version == Version::V0, Relaxed);
    }

    /// Starts one [start_sync_thread].
    pub fn start(&self, role: Role, config: &DaemonConfig, tuning: &Tuning) -> Result<(), DaemonError> {
        let mut state = self.state.lock();
        let runs = match role {
            Role::Master => state.master.is_some(),
            Role::Backup => state.backup.is_some(),
        };
        if runs {
            return Err(DaemonError::Running(role));
        }
        config.check(tuning)?;
        let message_len = config.message_len(role, socket::mtu_of(&config.interface));
        match role {
            Role::Master => self.start_master(&mut state, config, tuning, message_len)?,
            Role::Backup => self.start_backup(&mut state, config, tuning, message_len)?,
        }
        tracing::info!(
            role = role.name(),
            interface = config.interface,
            syncid = config.syncid,
            group = %config.group,
            port = config.port,
            lanes = tuning.ports,
            "sync daemon started"
        );
        Ok(())
    }

    fn start_master(
        &self,
        state: &mut State,
        config: &DaemonConfig,
        tuning: &Tuning,
        message_len: u16,
    ) -> Result<(), DaemonError> {
        let sockets = socket::senders(config, tuning)?;
        let (counts, stop) = (Arc::default(), Arc::default());
        let master = MasterThread {
            // Shared until the thread has them, which may never be: there are no others.
            rings: Arc::new(Mutex::new(std::mem::take(&mut state.rings))),
            master: Master::new(config.syncid, message_len, tuning.ports, tuning.queue_max, 0),
            sockets,
            begun: Instant::now(),
            old_version: Arc::clone(&self.old_version),
            counts: Arc::clone(&counts),
            stop: Arc::clone(&stop),
        };
        let rings = Arc::clone(&master.rings);
        match Builder::new().name("sync-master".into()).spawn(move || master.run()) {
            Ok(thread) => {
                let config = config.clone();
                state.master =
                    Some(Running { config, message_len, lanes: tuning.ports, counts, stop, thread });
                Ok(())
            }
            Err(error) => {
                state.rings = std::mem::take(&mut rings.lock());
                Err(DaemonError::Thread(error))
            }
        }
    }

    fn start_backup(
        &self,
        state: &mut State,
        config: &DaemonConfig,
        tuning: &Tuning,
        message_len: u16,
    ) -> Result<(), DaemonError> {
        let (counts, stop) = (Arc::default(), Arc::default());
        let backup = BackupThread {
            sockets: socket::receivers(config, tuning)?,
            backup: Backup::new(config.syncid),
            buffer: vec![0; usize::from(message_len)],
            deliver: Arc::clone(&self.deliver),
            counts: Arc::clone(&counts),
            stop: Arc::clone(&stop),
        };
        let thread = Builder::new().name("sync-backup".into()).spawn(move || backup.run());
        let thread = thread.map_err(DaemonError::Thread)?;
        let config = config.clone();
        state.backup = Some(Running { config, message_len, lanes: tuning.ports, counts, stop, thread });
        Ok(())
    }

    /// Stops one and waits for its end.
    pub fn stop(&self, role: Role) -> Result<(), DaemonError> {
        let mut state = self.state.lock();
        let stopped = match role {
            Role::Master => {
                let rings = state.master.take().map(Running::end);
                rings.map(|rings| state.rings = rings.unwrap_or_default()).is_some()
            }
            Role::Backup => state.backup.take().map(Running::end).is_some(),
        };
        if !stopped {
            return Err(DaemonError::NotRunning(role));
        }
        tracing::info!(role = role.name(), "sync daemon stopped");
        Ok(())
    }

    /// The master, if it runs.
    pub fn master(&self) -> Option<Status<MasterCounts>> {
        self.state.lock().master.as_ref().map(Running::status)
    }

    /// The backup, if it runs.
    pub fn backup(&self) -> Option<Status<BackupCounts>> {
        self.state.lock().backup.as_ref().map(Running::status)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for role in [Role::Master, Role::Backup] {
            // One that does not run need not be stopped.
            let _ = self.stop(role);
        }
    }
}

struct MasterThread {
    rings: Arc<Mutex<Rings>>,
    master: Master,
    sockets: Vec<UdpSocket>,
    begun: Instant,
    old_version: Arc<AtomicBool>,
    counts: Arc<Mutex<MasterCounts>>,
    stop: Arc<AtomicBool>,
}

impl MasterThread {
    fn run(mut self) -> Rings {
        let mut rings = std::mem::take(&mut *self.rings.lock());
        // What a master before this one left behind is old.
        rings.iter_mut().for_each(|ring| while ring.pop().is_ok() {});
        while !self.stop.load(Relaxed) {
            self.turn(&mut rings);
            std::thread::sleep(LOOK);
        }
        rings
    }

    fn turn(&mut self, rings: &mut Rings) {
        let now_ms = self.begun.elapsed().as_millis() as u64;
        let version = if self.old_version.load(Relaxed) { Version::V0 } else { Version::V1 };
        for ring in rings {
            // As many as there are now: a worker that goes on and on does not keep messages from being sent.
            for _ in 0..ring.slots() {
                let Ok(record) = ring.pop() else { break };
                self.master.push(now_ms, version, &record);
            }
        }
        self.master.poll(now_ms, |lane, message| send(&self.sockets[lane], message));
        *self.counts.lock() = *self.master.counts();
    }
}

fn send(socket: &UdpSocket, message: &[u8]) -> Sent {
    match socket.send(message) {
        Ok(_) => Sent::Done,
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Sent::Busy,
            // An answer from the network to what was sent before: nobody listens there. This one was not sent yet.
            io::ErrorKind::ConnectionRefused => Sent::Busy,
            _ => {
                tracing::debug!(%error, "sync message not sent");
                Sent::Failed
            }
        },
    }
}

struct BackupThread {
    sockets: Vec<UdpSocket>,
    backup: Backup,
    buffer: Vec<u8>,
    deliver: Arc<dyn Deliver>,
    counts: Arc<Mutex<BackupCounts>>,
    stop: Arc<AtomicBool>,
}

impl BackupThread {
    fn run(mut self) {
        while !self.stop.load(Relaxed) {
            let mut ready: Vec<PollFd<'_>> =
                self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
            if let Err(error) = poll(&mut ready, Some(&LISTEN))
                && error != rustix::io::Errno::INTR
            {
                tracing::error!(%error, "sync daemon cannot wait for messages");
                std::thread::sleep(Duration::from_secs(1));
            }
            for lane in 0..self.sockets.len() {
                self.receive(lane);
            }
            self.counts.lock().clone_from(self.backup.counts());
        }
    }

    fn receive(&mut self, lane: usize) {
        for _ in 0..MESSAGES {
            match self.sockets[lane].recv(&mut self.buffer) {
                Ok(len) => {
                    let deliver = &self.deliver;
                    let datagram = self.buffer.get(..len).unwrap_or_default();
                    self.backup.read(datagram, |record| deliver.deliver(record));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::debug!(%error, "sync message not received");
                    return;
                }
            }
        }
    }
}
