//! The sync daemon between the data plane's rings and the control core.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::sync::{
    BackupCounts, Daemon, DaemonConfig, DaemonError, Deliver, MasterCounts, Role, SocketError, Status, Tuning,
};
use api::{SyncCounter, SyncDaemonView, SyncRole, SyncSpec};
use control::DataplaneError;
use ipvs::sync::{Imported, Record, owners};
use ipvs::{Snapshot, WorkerId};
use parking_lot::Mutex;
use pipeline::Counters;
use rtrb::Producer;

/// How long a record waits for a worker before it is given up.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at a worker's full ring.
const PAUSE: Duration = Duration::from_millis(1);

/// What a backup hears, on its way to the workers that are to have it.
pub(crate) struct Heard {
    rings: Mutex<Vec<Producer<Record>>>,
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    counts: Mutex<HeardCounts>,
}

#[derive(Clone, Copy, Default)]
struct HeardCounts {
    ownerless: u64,
    busy: u64,
}

impl Heard {
    pub(crate) fn new(rings: Vec<Producer<Record>>, snapshot: Arc<Mutex<Arc<Snapshot>>>) -> Arc<Self> {
        Arc::new(Self { rings: Mutex::new(rings), snapshot, counts: Mutex::default() })
    }

    fn push(&self, worker: WorkerId, record: Record) {
        let until = Instant::now() + PATIENCE;
        loop {
            let pushed = match self.rings.lock().get_mut(usize::from(worker.0)) {
                Some(ring) => ring.push(record).is_ok(),
                None => false,
            };
            if pushed {
                return;
            }
            if Instant::now() > until {
                self.counts.lock().busy += 1;
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Deliver for Heard {
    fn deliver(&self, record: Record) {
        let snapshot = Arc::clone(&self.snapshot.lock());
        let (owner, by_port) = owners(&snapshot, &record);
        drop(snapshot);
        match owner {
            None => self.counts.lock().ownerless += 1,
            Some(owner) => {
                self.push(owner, record);
                if let Some(by_port) = by_port {
                    self.push(by_port, record);
                }
            }
        }
    }
}

/// Starts one, in the control core's words.
pub(crate) fn start(
    daemon: &Daemon,
    spec: &SyncSpec,
    device: &str,
    tuning: &Tuning,
) -> Result<(), DaemonError> {
    let config = DaemonConfig {
        interface: device.to_owned(),
        syncid: spec.id,
        maxlen: spec.max_bytes,
        group: spec.group,
        port: spec.port,
        ttl: spec.ttl,
    };
    daemon.start(role(spec.role), &config, tuning)
}

pub(crate) fn role(role: SyncRole) -> Role {
    match role {
        SyncRole::Master => Role::Master,
        SyncRole::Backup => Role::Backup,
    }
}

/// Why not, in the control core's words.
pub(crate) fn refused(error: &DaemonError) -> DataplaneError {
    match error {
        DaemonError::Socket(SocketError::NoInterface(name)) => DataplaneError::NoDevice(name.clone()),
        error => DataplaneError::Sync(error.to_string()),
    }
}

/// The daemons that run.
pub(crate) fn views(daemon: &Daemon, heard: &Heard) -> Vec<SyncDaemonView> {
    let master =
        daemon.master().map(|status| view(SyncRole::Master, &status, master_counters(&status.counts)));
    let backup = daemon.backup().map(|status| {
        let mut counters = backup_counters(&status.counts);
        let HeardCounts { ownerless, busy } = *heard.counts.lock();
        counters.push(SyncCounter::new("entries without a service here", ownerless));
        counters.push(SyncCounter::new("entries lost, worker busy", busy));
        view(SyncRole::Backup, &status, counters)
    });
    master.into_iter().chain(backup).collect()
}

fn view<C>(role: SyncRole, status: &Status<C>, counters: Vec<SyncCounter>) -> SyncDaemonView {
    let DaemonConfig { interface, syncid, maxlen, group, port, ttl } = status.config.clone();
    SyncDaemonView {
        spec: SyncSpec {
            role,
            interface: interface.clone(),
            id: syncid,
            group,
            port,
            ttl,
            max_bytes: maxlen,
        },
        device: interface,
        message_bytes: status.message_len,
        ports: status.lanes,
        counters,
    }
}

fn master_counters(counts: &MasterCounts) -> Vec<SyncCounter> {
    [
        ("messages sent", counts.messages),
        ("bytes sent", counts.bytes),
        ("entries", counts.records),
        ("entries sent", counts.records_sent),
        ("entries lost, queue full", counts.queue_full),
        ("entries lost, send failed", counts.send_failed),
        ("entries that cannot be sent", counts.unsendable),
    ]
    .map(|(name, value)| SyncCounter::new(name, value))
    .into()
}

fn backup_counters(counts: &BackupCounts) -> Vec<SyncCounter> {
    let taken = [
        ("messages received", counts.messages),
        ("bytes received", counts.bytes),
        ("entries received", counts.records),
    ];
    let taken = taken.map(|(name, value)| SyncCounter::new(name, value));
    let messages = counts.messages_refused().map(|(why, count)| (format!("messages refused: {why}"), count));
    let entries = counts.entries_refused().map(|(why, count)| (format!("entries refused: {why}"), count));
    let refused = messages.chain(entries).map(|(name, value)| SyncCounter::new(name, value));
    taken.into_iter().chain(refused).collect()
}

/// What workers have counted.
pub(crate) fn worker_counters(workers: &[Arc<Counters>]) -> Vec<SyncCounter> {
    let sum = |of: &dyn Fn(&Counters) -> u64| workers.iter().map(|counters| of(counters)).sum();
    let told = [
        SyncCounter::new("connections told", sum(&|counters| counters.sync_records.get())),
        SyncCounter::new("connections not told, ring full", sum(&|counters| counters.sync_lost.get())),
    ];
    let imported = Imported::ALL.map(|imported| {
        let name = format!("connections heard of: {}", imported.name());
        SyncCounter::new(name, sum(&|counters| counters.imported_as(imported)))
    });
    told.into_iter().chain(imported).collect()
}
