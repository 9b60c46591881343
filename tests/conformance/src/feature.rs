//! What scenarios ask of a director, where rvs may not have it yet.

use std::fmt;

macro_rules! features {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something that a scenario needs, by its name in verdicts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Feature {
            $($(#[$doc])* $variant,)*
        }

        impl Feature {
            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

features! {
    /// Templates: clients stay with their server.
    Persistence = "persistence",
    /// Services by firewall mark, rules that set marks, addresses that are local by route.
    Fwmark = "fwmark",
    /// One-packet scheduling.
    OnePacket = "ops",
    /// Persistence engines.
    PersistenceEngine = "pe",
    /// SCTP.
    Sctp = "sctp",
    /// AH and ESP.
    AhEsp = "ah_esp",
    /// The FTP helper.
    Ftp = "ftp",
    /// The director as a real server.
    LocalNode = "localnode",
    /// IP fragments.
    Fragments = "fragments",
    /// IP options that routers fill in.
    IpOptions = "ip_options",
    /// Connections from ICMP messages that concern none.
    ScheduleIcmp = "schedule_icmp",
    /// Connections from TCP packets that are not SYN.
    SloppyTcp = "sloppy_tcp",
    /// Packets of services without servers go where they were sent.
    CacheBypass = "cache_bypass",
    /// The state table under attack.
    SecureTcp = "secure_tcp",
    /// The synchronisation daemon.
    Sync = "sync",
    /// A setting that has no feature of its own here.
    Sysctl = "sysctl",
    /// Commands of stock ipvsadm, what it prints, and what it is refused.
    Ipvsadm = "ipvsadm",
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
