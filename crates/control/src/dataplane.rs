//! What the control core asks of the workers: the only way in which it reaches them.
//!
//! Nothing here is shared with a packet path: implementations use mailboxes and read counters.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use api::{
    ConnView, HostCounters, LinkState, Mac, NeighbourState, PacketCounters, ServiceKey, SyncRole, SyncSpec,
    SyncView,
};
use inet::IfaceId;
use ipvs::trace::{Buffer, Filter};
use ipvs::{ServiceId, Snapshot, WorkerShared};

/// The workers and their ports. Calls may block for a second or so and are made from one thread at a time or several.
pub trait Dataplane: Send + Sync {
    /// Gives every worker a snapshot; returns when all of them use it.
    ///
    /// On error some may use it already: the caller publishes the previous state again, as a later generation.
    fn publish(&self, snapshot: Arc<Snapshot>) -> Result<(), DataplaneError>;

    /// The directors' counters; the index is the worker's id. Always the same ones.
    fn shared(&self) -> &[Arc<WorkerShared>];

    /// What each worker has counted; the index is its id.
    fn workers(&self) -> Vec<WorkerSample>;

    /// What went between workers and the host's kernel since start.
    fn host(&self) -> HostCounters;

    /// What each port has counted, in the configuration's order.
    fn ports(&self) -> Result<Vec<PortSample>, DataplaneError>;

    /// Hands over connections, in batches, until there are no more or `each` breaks. Only those of `service` if it is
    /// given.
    fn connections(
        &self,
        service: Option<ServiceKey>,
        each: &mut dyn FnMut(Vec<ConnView>) -> ControlFlow<()>,
    ) -> Result<(), DataplaneError>;

    /// Drops every connection, or those of one service; how many.
    fn flush_connections(&self, service: Option<ServiceId>) -> Result<u64, DataplaneError>;

    /// Begins a trace of packets that match, at most so many at each worker, goes on with it, or ends it. Returns what
    /// each worker kept until now.
    fn trace(&self, of: Option<(Filter, u32)>) -> Result<Vec<Option<Box<Buffer>>>, DataplaneError>;

    /// Every worker's neighbours.
    fn neighbours(&self) -> Result<Vec<NeighbourSample>, DataplaneError>;

    /// Forgets learnt neighbours, of one interface or of all.
    fn flush_neighbours(&self, iface: Option<IfaceId>) -> Result<(), DataplaneError>;

    /// Starts the synchronisation daemon of a role that does not run, on an interface of the kernel.
    fn sync_start(&self, spec: &SyncSpec, device: &str, tuning: SyncTuning) -> Result<(), DataplaneError>;

    /// Stops one that runs.
    fn sync_stop(&self, role: SyncRole) -> Result<(), DataplaneError>;

    /// Those that run. The interface of each is the kernel's.
    fn sync(&self) -> SyncView;
}

/// What the tunables say about a synchronisation daemon when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncTuning {
    /// UDP ports.
    pub ports: u16,
    /// Messages that may wait to be sent, for each.
    pub queue_max: u32,
    /// Bytes of the sockets' buffers, 0: as the kernel has them.
    pub socket_bytes: u32,
}

/// Why the workers could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataplaneError {
    #[error("worker {worker} did not answer within {waited_ms} ms")]
    Timeout { worker: u16, waited_ms: u64 },
    #[error("port \"{port}\": {reason}")]
    Port { port: String, reason: String },
    #[error("{0}")]
    Sync(String),
    #[error("there is no network interface '{0}'")]
    NoDevice(String),
    #[error("the workers are stopping")]
    Stopping,
}

/// One worker's counters as plain numbers, since start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkerSample {
    /// None if it is not bound to one.
    pub cpu: Option<u16>,
    /// Of the snapshot in use.
    pub generation: u64,
    pub packets: PacketCounters,
    /// By [`inet::DropReason`].
    pub drops: Vec<u64>,
    /// 0 to 100, over the last second.
    pub busy_percent: f32,
    pub loop_turns: u64,
    /// Entries now.
    pub neighbours: u64,
}

/// One port's state and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSample {
    pub driver: String,
    pub mac: Mac,
    pub mtu: u16,
    pub link: LinkState,
    pub speed_mbps: Option<u32>,
    pub rx_queues: u16,
    pub tx_queues: u16,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_missed: u64,
    pub rx_errors: u64,
    pub rx_no_buffers: u64,
    pub tx_errors: u64,
}

/// One neighbour of one worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighbourSample {
    pub worker: u16,
    pub iface: IfaceId,
    pub address: IpAddr,
    pub mac: Option<Mac>,
    pub state: NeighbourState,
    pub age_ms: u64,
}
