//! Services, destinations and address pools as control hands them to the workers.
//!
//! Everything is plain, validated data. Ids are dense, stable while the thing lives, bounded by
//! [`Limits`](crate::Limits), and not used again before every worker has let go of them: counters and scheduler
//! state are arrays indexed by them.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use wire::Family;

use crate::Protocol;

/// A virtual service: index into every array that is kept per service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);

/// A destination of one service: index into every array that is kept per destination. The same real server behind
/// two services has two ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestId(pub u32);

/// A pool of local addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u16);

/// A worker: dense from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// What makes a packet belong to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKey {
    /// Protocol, virtual address and port; port 0 stands for every port that no other service names.
    Address {
        /// Upper-layer protocol.
        protocol: Protocol,
        /// Virtual address (VIP).
        addr: IpAddr,
        /// Virtual port, 0 for any.
        port: u16,
    },
}

impl ServiceKey {
    /// Upper-layer protocol.
    pub fn protocol(&self) -> Protocol {
        match *self {
            Self::Address { protocol, .. } => protocol,
        }
    }

    /// Address family of the clients.
    pub fn family(&self) -> Family {
        match *self {
            Self::Address { addr, .. } => family_of(addr),
        }
    }
}

/// Forwarding method: how packets reach the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Destination rewritten; replies pass the director and are rewritten back [IP_VS_CONN_F_MASQ].
    Masquerade,
    /// Wrapped in IP-in-IP; replies go straight to the client [IP_VS_CONN_F_TUNNEL].
    Tunnel,
    /// Sent to the destination's link address unchanged; replies go straight to the client [IP_VS_CONN_F_DROUTE].
    DirectRouting,
    /// Source and destination rewritten: the destination sees a local address, and replies to it.
    Fullnat,
}

impl Method {
    /// Whether replies never pass the director [IP_VS_CONN_F_NOOUTPUT].
    pub fn input_only(self) -> bool {
        match self {
            Self::Tunnel | Self::DirectRouting => true,
            Self::Masquerade | Self::Fullnat => false,
        }
    }
}

/// How a service chooses the destination of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted failover: the heaviest.
    Fo,
    /// Weighted overflow: the heaviest that has connections to spare.
    Ovf,
    /// The less loaded of two drawn by weight.
    Twos,
    /// Source hashing.
    Sh,
    /// Destination hashing.
    Dh,
    /// Source hashing with Maglev's table, as Linux has it.
    Mh,
    /// Locality-based least connections.
    Lblc,
    /// Locality-based least connections with replication.
    Lblcr,
    /// Maglev hashing by whole addresses, in a table of a chosen size.
    Maglev,
    /// Consistent hashing on a ring.
    Conhash,
}

impl SchedulerKind {
    /// Every scheduler.
    pub const ALL: [Self; 16] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
        Self::Sh,
        Self::Dh,
        Self::Mh,
        Self::Lblc,
        Self::Lblcr,
        Self::Maglev,
        Self::Conhash,
    ];

    /// The name that operators give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
            Self::Sh => "sh",
            Self::Dh => "dh",
            Self::Mh => "mh",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Maglev => "maglev",
            Self::Conhash => "conhash",
        }
    }

    /// The scheduler of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What a service asks of its scheduler besides the kind. Schedulers ignore what they have no use for, as in Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SchedulerOptions {
    /// sh and mh: look for another destination where the client's takes none [sh-fallback, mh-fallback].
    pub fallback: bool,
    /// sh and mh: hash the client's port too [sh-port, mh-port]; maglev and conhash: the whole 5-tuple.
    pub port: bool,
    /// maglev: places in the table, within `MAGLEV_TABLE_SIZES`; a number that is not prime stands for the next that is.
    pub table_size: u32,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self { fallback: false, port: false, table_size: 65_537 }
    }
}

/// A virtual service [ip_vs_service].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its index.
    pub id: ServiceId,
    /// What belongs to it.
    pub key: ServiceKey,
    /// How it chooses destinations.
    pub scheduler: SchedulerKind,
    /// What the scheduler goes by besides the destinations.
    pub scheduler_options: SchedulerOptions,
    /// Where FULLNAT destinations take local addresses from.
    pub pool: Option<PoolId>,
    /// In order of adding; the kernel's list, which schedulers walk, is the reverse.
    pub dests: Box<[Dest]>,
    /// Grows with every change to the service or one of its destinations.
    pub epoch: u64,
}

impl Service {
    /// Whether any destination is reached by this method.
    pub fn uses(&self, method: Method) -> bool {
        self.dests.iter().any(|dest| dest.method == method)
    }
}

/// A destination: a real server of one service [ip_vs_dest].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dest {
    /// Its index.
    pub id: DestId,
    /// Address of the real server.
    pub addr: IpAddr,
    /// Port on the real server; 0 means the port that the client asked for.
    pub port: u16,
    /// How packets reach it.
    pub method: Method,
    /// Share of new connections; 0 takes none (existing ones go on).
    pub weight: u32,
    /// Connections at which it takes no more, 0 for no such limit [u_threshold].
    pub upper: u32,
    /// Connections below which it takes new ones again, 0 for three quarters of `upper` [l_threshold].
    pub lower: u32,
}

/// Local addresses and ports that FULLNAT connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPool {
    /// Its index.
    pub id: PoolId,
    /// Name in the configuration.
    pub name: Box<str>,
    /// IPv4 and IPv6 addresses, each at most once.
    pub addrs: Box<[IpAddr]>,
    /// Ports to use at each address.
    pub ports: RangeInclusive<u16>,
}

/// The family of an address. An IPv4-mapped IPv6 address is IPv6, as it is on the wire.
pub fn family_of(addr: IpAddr) -> Family {
    match addr {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}
