//! Words of a fixed list: protocols, schedulers, forwarding methods.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{ParseError, parse_error, serde_as_str};

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? } expected $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[$name] = &[$($name::$variant),+];
            /// Every spelling, in the same order.
            pub const WORDS: &[&str] = &[$($word),+];
            /// What to tell somebody who wrote something else.
            pub const EXPECTED: &str = $expected;

            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(word: &str) -> Result<Self, ParseError> {
                match word {
                    $($word => Ok($name::$variant),)+
                    _ => Err(parse_error(word, Self::EXPECTED)),
                }
            }
        }
    };
}

word_enum! {
    /// The transport of a virtual service.
    Protocol { Tcp = "tcp", Udp = "udp", Sctp = "sctp" } expected "`tcp`, `udp` or `sctp`"
}

word_enum! {
    /// How packets of a connection are forwarded.
    ConnMethod {
        Fullnat = "fullnat",
        Nat = "nat",
        Dr = "dr",
        Tunnel = "tunnel",
        /// To the host, as another director said.
        Local = "local",
        /// To where they are addressed: its service has no destination.
        Bypass = "bypass",
    } expected "`fullnat`, `nat`, `dr`, `tunnel`, `local` or `bypass`"
}

word_enum! {
    /// The transport of a connection.
    ConnProtocol {
        Tcp = "tcp",
        Udp = "udp",
        Sctp = "sctp",
        /// GRE: the packets of a PPTP call.
        Gre = "gre",
        /// Any: of a template of a service by mark.
        Ip = "ip",
    } expected "`tcp`, `udp`, `sctp`, `gre` or `ip`"
}

word_enum! {
    /// How a service picks the destination of a new connection.
    Scheduler {
        /// Round robin.
        Rr = "rr",
        /// Weighted round robin.
        Wrr = "wrr",
        /// Least connections.
        Lc = "lc",
        /// Weighted least connections.
        Wlc = "wlc",
        /// Shortest expected delay.
        Sed = "sed",
        /// Never queue.
        Nq = "nq",
        /// Weighted failover: the heaviest.
        Fo = "fo",
        /// Weighted overflow: the heaviest that has connections to spare.
        Ovf = "ovf",
        /// The less loaded of two drawn by weight.
        Twos = "twos",
        /// Source hashing.
        Sh = "sh",
        /// Destination hashing.
        Dh = "dh",
        /// Source hashing with Maglev's table, as Linux has it.
        Mh = "mh",
        /// Locality-based least connections.
        Lblc = "lblc",
        /// Locality-based least connections with replication.
        Lblcr = "lblcr",
        /// Maglev hashing by whole addresses, in a table of a chosen size.
        Maglev = "maglev",
        /// Consistent hashing on a ring.
        Conhash = "conhash",
    } expected "`rr`, `wrr`, `lc`, `wlc`, `sed`, `nq`, `fo`, `ovf`, `twos`, `sh`, `dh`, `mh`, `lblc`, `lblcr`, `maglev` or `conhash`"
}

word_enum! {
    /// What a scheduler that hashes may be asked for.
    SchedulerFlag {
        /// `sh` and `mh`: another destination for a client whose own takes no connections.
        Fallback = "fallback",
        /// `sh` and `mh`: hash the client's port too; `maglev` and `conhash`: the whole 5-tuple.
        Port = "port",
    } expected "`fallback` or `port`"
}

word_enum! {
    /// How packets reach a destination.
    Method {
        /// Both endpoints rewritten: the destination sees an address of a local pool.
        Fullnat = "fullnat",
        /// Masquerading: the destination's endpoint rewritten; it answers through rvs.
        Nat = "nat",
        /// Direct routing: only the frame's addresses change; the destination owns the VIP.
        Dr = "dr",
        /// IP in IP to the destination, which owns the VIP.
        Tunnel = "tunnel",
    } expected "`fullnat`, `nat`, `dr` or `tunnel`"
}

word_enum! {
    /// Which version of IP.
    Family { Ipv4 = "ipv4", Ipv6 = "ipv6" } expected "`ipv4` or `ipv6`"
}

impl Family {
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }
}

word_enum! {
    /// What is around a packet in a tunnel, as `ipvsadm --tun-type` has it.
    #[derive(Default)]
    TunnelType {
        /// An IP header.
        #[default]
        Ipip = "ipip",
        /// IP and GRE.
        Gre = "gre",
        /// IP, UDP and GUE.
        Gue = "gue",
    } expected "`ipip`, `gre` or `gue`"
}

word_enum! {
    /// The checksum of what is around a packet in a tunnel, as `ipvsadm --tun-nocsum`, `--tun-csum` and `--tun-remcsum` have it.
    #[derive(Default)]
    TunnelChecksum {
        /// None.
        #[default]
        None = "nocsum",
        /// Of the GRE packet, or of the UDP packet around GUE.
        Full = "csum",
        /// GUE: of the UDP packet, the inner one's left to the receiver.
        Remote = "remcsum",
    } expected "`nocsum`, `csum` or `remcsum`"
}

word_enum! {
    /// A persistence engine: finds in a packet's content what belongs together.
    Engine {
        /// The Call-ID of SIP over UDP.
        Sip = "sip",
    } expected "`sip`"
}

word_enum! {
    /// What expects the further connections that those of a service lead to.
    #[derive(Default)]
    Helper {
        /// FTP's at port 21, TFTP's at port 69, PPTP's at port 1723.
        #[default]
        Auto = "auto",
        /// FTP's.
        Ftp = "ftp",
        /// TFTP's.
        Tftp = "tftp",
        /// PPTP's.
        Pptp = "pptp",
        /// None.
        None = "none",
    } expected "`auto`, `ftp`, `tftp`, `pptp` or `none`"
}

serde_as_str!(
    Protocol,
    ConnProtocol,
    ConnMethod,
    Scheduler,
    SchedulerFlag,
    Method,
    Family,
    TunnelType,
    TunnelChecksum,
    Engine,
    Helper
);
