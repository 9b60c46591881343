//! What a client and rvsd say to each other over the unix socket.
//!
//! One JSON object a line ([`codec`]). A client sends [`Request`]s, one at a time; each is answered by any
//! number of `part` lines and then one `done` or `error` line. Every line carries the protocol
//! [`VERSION`], so that either side can refuse a stranger in words instead of misreading it.
//!
//! Field names are stable: `docs/api.md` lists them. Requests refuse unknown fields (a typing error must not
//! be ignored), replies tolerate them (a newer daemon may say more).

#![forbid(unsafe_code)]

mod client;
pub mod codec;
mod error;
mod gauges;
mod names;
mod reply;
mod request;
mod spec;
mod sync;
pub mod sysctl;
mod trace;

pub use client::{Client, ClientError};
pub use error::{Diagnostic, Error, ErrorCode, Severity};
pub use gauges::{Defence, Rates};
pub use names::{
    AddrRange, Cidr, ConnMethod, ConnProtocol, DestKey, Engine, Family, Helper, Mac, Method, Netmask,
    ParseError, PortMatch, PortRange, Protocol, RouteTarget, Scheduler, SchedulerFlag, ServiceKey,
    TunnelChecksum, TunnelType,
};
pub use reply::{
    AddressOrigin, AddressRole, AddressView, Applied, Change, ChangeKind, ConfigText, ConnCount, ConnFlags,
    ConnView, DestView, DropView, HostCounters, LinkState, NeighbourState, NeighbourView, PacketCounters,
    PoolView, PortView, Reply, RouteOrigin, RouteView, ServiceView, SysctlView, TimeoutView, TotalView,
    Traffic, WorkerView,
};
pub use request::{ConnFilter, Request, SysctlSetting, TimeoutSetting};
pub use spec::{
    AddressSpec, DestEdit, DestSpec, MarkSpec, NeighbourKey, NeighbourSpec, PoolSpec, RouteKey, RouteSpec,
    ServiceEdit, ServiceSpec, SetSpec, WEIGHT_MAX,
};
pub use sync::{SyncCounter, SyncDaemonView, SyncRole, SyncSpec, SyncView};
pub use sysctl::{Sysctl, SysctlValue, Sysctls};
pub use trace::{TraceFilter, TraceStep, TraceView, TracedPacket};

/// The protocol's version; it grows only when an old peer would misread a new one.
pub const VERSION: u32 = 1;

/// Where rvsd listens unless its configuration or `rvsctl -s` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/rvs/rvsd.sock";
