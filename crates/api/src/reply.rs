//! What rvsd answers.
//!
//! Counters count since the daemon's start or since they were last zeroed, except where "now" is said.
//! Units are in the names.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::error::Diagnostic;
use crate::gauges::{Defence, Rates};
use crate::names::{AddrRange, Cidr, ConnMethod, ConnProtocol, Mac, PortRange, Protocol};
use crate::spec::{DestSpec, MarkSpec, ServiceSpec, SetSpec};
use crate::sync::SyncView;
use crate::sysctl::{Sysctl, SysctlValue};
use crate::trace::TraceView;

/// One reply or a part of one. In JSON an object with one field, the variant's name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What a change did.
    Applied(Applied),
    Services(Vec<ServiceView>),
    Destinations(Vec<DestView>),
    Pools(Vec<PoolView>),
    Addresses(Vec<AddressView>),
    Routes(Vec<RouteView>),
    Neighbours(Vec<NeighbourView>),
    Connections(Vec<ConnView>),
    ConnCount(ConnCount),
    Workers(Vec<WorkerView>),
    Ports(Vec<PortView>),
    Drops(Vec<DropView>),
    Total(Box<TotalView>),
    Sysctls(Vec<SysctlView>),
    /// Synchronisation daemons that run, and their counters.
    Sync(SyncView),
    Timeouts(Vec<TimeoutView>),
    /// Rules that mark packets.
    Marks(Vec<MarkSpec>),
    /// Sets that they name.
    Sets(Vec<SetSpec>),
    Trace(TraceView),
    Config(ConfigText),
    /// What a check found; without an element of severity `error` the text is good.
    Checked(Vec<Diagnostic>),
}

/// Two replies that are no parts of the same answer.
#[derive(Debug, thiserror::Error)]
#[error("the parts of the reply do not belong together")]
pub struct PartsMismatch;

impl Reply {
    /// Appends a later part of the same reply.
    pub fn append(&mut self, part: Reply) -> Result<(), PartsMismatch> {
        match (self, part) {
            (Reply::Services(all), Reply::Services(more)) => all.extend(more),
            (Reply::Destinations(all), Reply::Destinations(more)) => all.extend(more),
            (Reply::Pools(all), Reply::Pools(more)) => all.extend(more),
            (Reply::Addresses(all), Reply::Addresses(more)) => all.extend(more),
            (Reply::Routes(all), Reply::Routes(more)) => all.extend(more),
            (Reply::Neighbours(all), Reply::Neighbours(more)) => all.extend(more),
            (Reply::Connections(all), Reply::Connections(more)) => all.extend(more),
            (Reply::Trace(all), Reply::Trace(more)) => {
                all.packets.extend(more.packets);
                all.lost += more.lost;
            }
            (Reply::Config(all), Reply::Config(more)) => all.text.push_str(&more.text),
            (Reply::Checked(all), Reply::Checked(more)) => all.extend(more),
            _ => return Err(PartsMismatch),
        }
        Ok(())
    }
}

/// What a change did; `changes` is empty when everything already was as asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Of the snapshot that every worker now uses.
    pub generation: u64,
    pub changes: Vec<Change>,
    /// What is legal but probably not meant; all of severity `warning`.
    #[serde(default)]
    pub warnings: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// `service tcp 192.0.2.100:80`, `destination 10.0.2.11:80 of tcp 192.0.2.100:80`, `route default`, …
    pub item: String,
    /// For `changed`: `weight 1 → 2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Changed,
    Removed,
}

/// Traffic of a service, a destination or all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub connections: u64,
    /// From clients.
    pub packets_in: u64,
    /// To clients; 0 for methods whose replies pass rvs by.
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    #[serde(flatten)]
    pub spec: ServiceSpec,
    /// Stable while the service exists.
    pub id: u32,
    pub traffic: Traffic,
    #[serde(default)]
    pub rates: Rates,
    /// In the order of adding.
    pub destinations: Vec<DestView>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestView {
    #[serde(flatten)]
    pub spec: DestSpec,
    pub id: u32,
    pub traffic: Traffic,
    #[serde(default)]
    pub rates: Rates,
    /// Connections now that are established.
    pub active_connections: u64,
    /// Connections now in any other state.
    pub inactive_connections: u64,
    /// Templates now, which tie clients to it.
    #[serde(default)]
    pub persistent_connections: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    pub name: String,
    pub interface: String,
    pub addresses: Vec<AddrRange>,
    pub ports: PortRange,
    /// How many services have destinations that use it.
    pub services: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressView {
    pub interface: String,
    pub cidr: Cidr,
    pub role: AddressRole,
    /// For `local_pool`: the pool's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default)]
    pub origin: AddressOrigin,
}

/// Why an address is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressOrigin {
    /// The configuration says so.
    #[default]
    Configured,
    /// The host's kernel has it on the port's exception TAP.
    Host,
    /// Every interface with IPv6 has one, made from its MAC.
    LinkLocal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressRole {
    /// An address of the interface or a VIP; the host's kernel has it too.
    Host,
    /// A FULLNAT source address; the host's kernel never has it.
    LocalPool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteView {
    /// Without host bits; `0.0.0.0/0` and `::/0` are the default routes.
    pub to: Cidr,
    pub via: Option<IpAddr>,
    pub interface: String,
    pub source: Option<IpAddr>,
    pub mtu: Option<u16>,
    pub origin: RouteOrigin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteOrigin {
    /// Follows from an address's prefix.
    Connected,
    Static,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourView {
    /// Each worker has its own copy.
    pub worker: u16,
    pub interface: String,
    pub address: IpAddr,
    /// None while it is not known.
    pub mac: Option<Mac>,
    pub state: NeighbourState,
    /// Since it was last confirmed.
    pub age_ms: u64,
}

/// RFC 4861's states, for ARP too, and `static`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeighbourState {
    Static,
    Incomplete,
    Reachable,
    Stale,
    Delay,
    Probe,
    Failed,
}

impl NeighbourState {
    pub fn as_str(self) -> &'static str {
        match self {
            NeighbourState::Static => "static",
            NeighbourState::Incomplete => "incomplete",
            NeighbourState::Reachable => "reachable",
            NeighbourState::Stale => "stale",
            NeighbourState::Delay => "delay",
            NeighbourState::Probe => "probe",
            NeighbourState::Failed => "failed",
        }
    }
}

/// A connection, or a template: what ties a client to a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnView {
    pub worker: u16,
    pub protocol: ConnProtocol,
    /// Of a template the masked address, with port 0.
    pub client: SocketAddr,
    /// The service's address and port. Of a template port 0 stands for any, and a mark's address is the mark.
    pub service: SocketAddr,
    /// FULLNAT: what the destination sees as its client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<SocketAddr>,
    pub destination: SocketAddr,
    pub method: ConnMethod,
    /// As `ipvsadm -lc` writes it: `ESTABLISHED`, `FIN_WAIT`, …
    pub state: String,
    pub expires_in_ms: u64,
    pub packets_in: u64,
    pub flags: ConnFlags,
    /// Mark of the packet that it was made for; 0: none, or not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fwmark: u32,
    /// Connections that it controls, and that it outlives.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub controls: u32,
    /// Of a template: the Call-ID that it is for, as the engine `sip` found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
}

/// What is special about a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnFlags {
    /// It counts as inactive at its destination.
    pub inactive: bool,
    /// Its destination has been removed.
    pub no_destination: bool,
    /// No connection, but what ties a client to a destination.
    #[serde(skip_serializing_if = "is_false")]
    pub template: bool,
    /// It lives for one packet.
    #[serde(skip_serializing_if = "is_false")]
    pub one_packet: bool,
    /// Its client's port is not known yet.
    #[serde(skip_serializing_if = "is_false")]
    pub no_client_port: bool,
    /// Replies do not pass here, nor has one been seen.
    #[serde(skip_serializing_if = "is_false")]
    pub no_output: bool,
    /// Another director's message made it.
    #[serde(skip_serializing_if = "is_false")]
    pub synchronised: bool,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnCount {
    pub connections: u64,
}

/// Where packets came from and went. At any moment
/// `rx + from_host + from_ring + generated + cloned + split == tx + to_host + to_ring + dropped + consumed + merged + held`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketCounters {
    pub rx: u64,
    pub from_host: u64,
    /// Handed over by other workers.
    pub from_ring: u64,
    /// Made by rvs: probes, neighbour announcements, …
    pub generated: u64,
    pub cloned: u64,
    /// Further fragments of a packet that was cut.
    pub split: u64,
    pub tx: u64,
    pub to_host: u64,
    pub to_ring: u64,
    pub dropped: u64,
    /// Ended here as meant: ARP and ND heard, …
    pub consumed: u64,
    /// Fragments that became part of another packet.
    pub merged: u64,
    /// Now waiting for a neighbour.
    pub held: u64,
}

impl PacketCounters {
    /// The sum of two workers.
    pub fn plus(self, o: PacketCounters) -> PacketCounters {
        PacketCounters {
            rx: self.rx + o.rx,
            from_host: self.from_host + o.from_host,
            from_ring: self.from_ring + o.from_ring,
            generated: self.generated + o.generated,
            cloned: self.cloned + o.cloned,
            split: self.split + o.split,
            tx: self.tx + o.tx,
            to_host: self.to_host + o.to_host,
            to_ring: self.to_ring + o.to_ring,
            dropped: self.dropped + o.dropped,
            consumed: self.consumed + o.consumed,
            merged: self.merged + o.merged,
            held: self.held + o.held,
        }
    }

    /// Everything that came or was made.
    pub fn entered(&self) -> u64 {
        self.rx + self.from_host + self.from_ring + self.generated + self.cloned + self.split
    }

    /// Everything that went, and what is held now.
    pub fn left(&self) -> u64 {
        self.tx + self.to_host + self.to_ring + self.dropped + self.consumed + self.merged + self.held
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    pub id: u16,
    /// None if it is not bound to one.
    pub cpu: Option<u16>,
    /// Of the snapshot that it uses.
    pub generation: u64,
    pub packets: PacketCounters,
    /// Share of the time with packets to work on, over the last second: 0 to 100.
    pub busy_percent: f32,
    pub loop_turns: u64,
    /// Now.
    pub connections: u64,
    pub connections_limit: u64,
    /// Now, entries known.
    pub neighbours: u64,
    /// What is done against floods, now.
    #[serde(default)]
    pub defence: Defence,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortView {
    pub name: String,
    pub device: String,
    pub driver: String,
    pub mac: Mac,
    pub mtu: u16,
    pub link: LinkState,
    /// None if the driver does not say.
    pub speed_mbps: Option<u32>,
    pub rx_queues: u16,
    pub tx_queues: u16,
    /// Name of the TAP by which the host uses the port.
    pub exception: Option<String>,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    /// The queue was full.
    pub rx_missed: u64,
    pub rx_errors: u64,
    /// No buffer was free.
    pub rx_no_buffers: u64,
    pub tx_errors: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    Up,
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropView {
    /// Stable, snake_case.
    pub reason: String,
    /// One sentence: what it means and what to do.
    pub help: String,
    pub count: u64,
    /// `count` by worker; the index is the worker's id. Empty for what is lost between workers and host.
    pub workers: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TotalView {
    /// Of the daemon: `0.1.0`.
    pub version: String,
    pub uptime_ms: u64,
    pub generation: u64,
    pub services: u32,
    pub destinations: u32,
    /// Now.
    pub connections: u64,
    pub connections_limit: u64,
    pub traffic: Traffic,
    #[serde(default)]
    pub rates: Rates,
    /// Sum of all workers.
    pub packets: PacketCounters,
    #[serde(default)]
    pub host: HostCounters,
    /// FTP sessions in which one end named a third host for a data connection.
    #[serde(default)]
    pub third_hosts: u64,
}

/// What went between workers and the host's kernel, on exception ports. What workers gave to the host and is in none of these is on
/// its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostCounters {
    /// Written to TAPs.
    pub to_host: u64,
    /// Not taken by a TAP.
    pub to_host_dropped: u64,
    /// Read from TAPs.
    pub from_host: u64,
    /// Not taken by the first worker.
    pub from_host_dropped: u64,
}

/// A tunable of `net/ipv4/vs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SysctlView {
    pub name: Sysctl,
    pub value: SysctlValue,
    pub default: SysctlValue,
    /// What may be written to it, in words.
    pub range: String,
    /// What it does, in a sentence.
    pub help: String,
    /// Why it does nothing, if that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_effect: Option<String>,
}

/// How long a connection of a protocol may be idle in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutView {
    pub protocol: Protocol,
    pub state: String,
    pub timeout_s: u32,
    pub default_s: u32,
}

/// A configuration file's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText {
    pub text: String,
}
