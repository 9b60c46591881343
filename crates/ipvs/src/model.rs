//! Services, destinations and address pools as control hands them to the workers.
//!
//! Everything is plain, validated data. Ids are dense, stable while the thing lives, bounded by
//! [`Limits`](crate::Limits), and not used again before every worker has let go of them: counters and scheduler
//! state are arrays indexed by them.

use core::net::{IpAddr, Ipv4Addr};
use core::ops::RangeInclusive;

use wire::Family;

pub use wire::tunnel::Tunnel;
pub use wire::tunnel::gue::Checksum as GueChecksum;

use crate::{Helpers, Protocol};

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
    /// A mark that match rules have put on packets of one family, whatever their protocol, addresses and ports.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// Family of the packets.
        family: Family,
    },
}

impl ServiceKey {
    /// Upper-layer protocol; none where a mark is the key.
    pub fn protocol(&self) -> Option<Protocol> {
        match *self {
            Self::Address { protocol, .. } => Some(protocol),
            Self::Mark { .. } => None,
        }
    }

    /// Address family of the clients.
    pub fn family(&self) -> Family {
        match *self {
            Self::Address { addr, .. } => family_of(addr),
            Self::Mark { family, .. } => family,
        }
    }

    /// Virtual address; none where a mark is the key.
    pub fn address(&self) -> Option<IpAddr> {
        match *self {
            Self::Address { addr, .. } => Some(addr),
            Self::Mark { .. } => None,
        }
    }

    /// Virtual port, 0 for any.
    pub fn port(&self) -> u16 {
        match *self {
            Self::Address { port, .. } => port,
            Self::Mark { .. } => 0,
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
    /// Given to this host's own stack as it is. Of connections only: what makes a destination local is its address
    /// [IP_VS_CONN_F_LOCALNODE].
    LocalNode,
    /// Sent on to where it is addressed, as there is no destination. Of connections only [IP_VS_CONN_F_BYPASS].
    Bypass,
}

impl Method {
    /// Whether replies never pass the director [IP_VS_CONN_F_NOOUTPUT].
    pub fn input_only(self) -> bool {
        match self {
            Self::Tunnel | Self::DirectRouting | Self::LocalNode => true,
            Self::Masquerade | Self::Fullnat | Self::Bypass => false,
        }
    }

    /// Whether packets are rewritten, in both directions, so that replies have a key of their own.
    pub fn translates(self) -> bool {
        matches!(self, Self::Masquerade | Self::Fullnat)
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

/// Clients stay with the destination that they were given once [IP_VS_SVC_F_PERSISTENT].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Persistence {
    /// How long a client is remembered after its last connection, in milliseconds.
    pub timeout_ms: u64,
    /// Which clients are one.
    pub mask: ClientMask,
}

/// What of a client's address counts where several clients are to be treated as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientMask {
    /// Bits of an IPv4 address, in any pattern.
    V4(Ipv4Addr),
    /// Leading bits of an IPv6 address, 1 to 128.
    V6(u8),
}

impl ClientMask {
    /// Each client on its own.
    pub fn whole(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4(Ipv4Addr::BROADCAST),
            Family::V6 => Self::V6(128),
        }
    }

    /// The address with only the bits that count; as it is if it is of the other family.
    pub fn apply(self, addr: IpAddr) -> IpAddr {
        match (self, addr) {
            (Self::V4(mask), IpAddr::V4(addr)) => IpAddr::V4(addr & mask),
            (Self::V6(prefix), IpAddr::V6(addr)) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
                IpAddr::V6((addr.to_bits() & mask).into())
            }
            _ => addr,
        }
    }
}

/// A persistence engine: it finds in a packet's content what belongs together [ip_vs_pe].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// The Call-ID of SIP over UDP [ip_vs_pe_sip].
    Sip,
}

impl Engine {
    /// The name that operators give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
        }
    }

    /// The engine of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sip].into_iter().find(|engine| engine.name() == name)
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
    /// Whether clients stay with their destination, and how long.
    pub persistence: Option<Persistence>,
    /// Every UDP packet is scheduled on its own, without a connection that lasts [IP_VS_SVC_F_ONEPACKET].
    pub one_packet: bool,
    /// What persistence goes by instead of the client's address.
    pub engine: Option<Engine>,
    /// Which of its connections have a helper, if both directions of them pass here [ip_vs_app].
    pub helpers: Helpers,
    /// In order of adding; the kernel's list, which schedulers walk, is the reverse.
    pub dests: Box<[Dest]>,
    /// Grows with every change to the service or one of its destinations.
    pub epoch: u64,
}

impl Service {
    /// A service without destinations, and without anything that has to be asked for.
    pub fn new(id: ServiceId, key: ServiceKey, scheduler: SchedulerKind) -> Self {
        Self {
            id,
            key,
            scheduler,
            scheduler_options: SchedulerOptions::default(),
            pool: None,
            persistence: None,
            one_packet: false,
            engine: None,
            helpers: Helpers::NONE,
            dests: Box::new([]),
            epoch: 0,
        }
    }

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
    /// How packets are wrapped, where the method is [`Method::Tunnel`].
    pub tunnel: Tunnel,
}

impl Dest {
    /// A destination of weight 1 without thresholds.
    pub fn new(id: DestId, addr: IpAddr, port: u16, method: Method) -> Self {
        Self { id, addr, port, method, weight: 1, upper: 0, lower: 0, tunnel: Tunnel::Ipip }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_what_counts_of_their_family() {
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        let table = [
            (ClientMask::V4([255, 255, 255, 0].into()), "198.51.100.7", "198.51.100.0"),
            (ClientMask::V4([255, 0, 255, 255].into()), "198.51.100.7", "198.0.100.7"),
            (ClientMask::V4([255, 255, 255, 0].into()), "2001:db8::7", "2001:db8::7"),
            (ClientMask::V6(64), "2001:db8:c::7", "2001:db8:c::"),
            (ClientMask::V6(1), "8000::7", "8000::"),
            (ClientMask::V6(128), "2001:db8::7", "2001:db8::7"),
            (ClientMask::whole(Family::V4), "198.51.100.7", "198.51.100.7"),
            (ClientMask::whole(Family::V6), "2001:db8::7", "2001:db8::7"),
        ];
        for (mask, client, want) in table {
            assert_eq!(mask.apply(addr(client)), addr(want), "{mask:?} {client}");
        }
    }
}
