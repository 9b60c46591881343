//! The tunables of Linux IPVS by the names that they have under `net/ipv4/vs`.
//!
//! One table says of each its default, what may be written to it and what it does; the configuration file, the command
//! line and the guide go by it.

use std::fmt;
use std::str::FromStr;

use crate::names::{ParseError, serde_as_str};

/// What may be written to a tunable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// 0 is off; everything else is on, though 1 is what one writes.
    Switch,
    /// From, to.
    Numbers(i32, i32),
    /// A power of two.
    PowerOfTwo,
    /// Two numbers, a period and a threshold below it: `3 50`; with a period of 0 any threshold.
    Threshold,
}

impl Range {
    fn holds(self, value: SysctlValue) -> bool {
        let SysctlValue { first, second } = value;
        match (self, second) {
            (Range::Switch, None) => true,
            (Range::Numbers(low, high), None) => (low..=high).contains(&first),
            (Range::PowerOfTwo, None) => first > 0 && first & (first - 1) == 0,
            (Range::Threshold, Some(period)) => first >= 0 && period >= 0 && (period == 0 || first < period),
            _ => false,
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Switch => f.write_str("0 or 1"),
            Range::Numbers(low, high) => write!(f, "{low} to {high}"),
            Range::PowerOfTwo => f.write_str("a power of two"),
            Range::Threshold => f.write_str("a threshold and a larger period"),
        }
    }
}

/// A tunable's value: one number, or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SysctlValue {
    pub first: i32,
    /// Of those that are two.
    pub second: Option<i32>,
}

impl SysctlValue {
    pub const fn one(first: i32) -> SysctlValue {
        SysctlValue { first, second: None }
    }

    /// Of a switch.
    pub fn is_on(self) -> bool {
        self.first != 0
    }
}

impl fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            Some(second) => write!(f, "{} {second}", self.first),
            None => self.first.fmt(f),
        }
    }
}

impl FromStr for SysctlValue {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let err =
            || ParseError { found: text.to_owned(), expected: "one number, or two with a blank between" };
        let mut words = text.split_whitespace().map(|word| word.parse().map_err(|_| err()));
        let first = words.next().ok_or_else(err)??;
        let second = words.next().transpose()?;
        if words.next().is_some() { Err(err()) } else { Ok(SysctlValue { first, second }) }
    }
}

serde_as_str!(SysctlValue);

/// What is known of a tunable.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub name: &'static str,
    /// The kernel's.
    pub default: SysctlValue,
    pub range: Range,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// Why it does nothing here, if that is so: it is accepted all the same.
    pub without_effect: Option<&'static str>,
}

macro_rules! sysctls {
    ($($variant:ident $name:literal $default:literal $(, $second:literal)?; $range:expr; $help:literal $(; without $why:literal)?)+) => {
        /// A tunable of Linux IPVS.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Sysctl { $(#[doc = $help] $variant),+ }

        const TABLE: &[About] = &[$(About {
            name: $name,
            default: SysctlValue {
                first: $default,
                second: { let second: Option<i32> = None; $(let second = { let _ = second; Some($second) };)? second },
            },
            range: $range,
            help: $help,
            without_effect: { let why: Option<&'static str> = None; $(let why = { let _ = why; Some($why) };)? why },
        }),+];

        impl Sysctl {
            /// Every tunable, by name.
            pub const ALL: &[Sysctl] = &[$(Sysctl::$variant),+];
            /// Every name, in the same order.
            pub const NAMES: &[&str] = &[$($name),+];
        }
    };
}

/// The largest number of seconds that the kernel takes where it counts in ticks of 4 ms.
const TICKS: Range = Range::Numbers(0, i32::MAX / 250);
const NATURAL: Range = Range::Numbers(0, i32::MAX);
const MODE: Range = Range::Numbers(0, 3);

sysctls! {
    AmDroprate "am_droprate" 10; NATURAL; "With drop_packet = 3: one packet of so many that would begin a connection is dropped."
    Amemthresh "amemthresh" 1024; NATURAL; "Free room below which defence begins, in pages of 4 KiB."
    BackupOnly "backup_only" 0; Range::Switch; "While this director is a backup, it balances nothing."
    CacheBypass "cache_bypass" 0; Range::Switch; "Packets of a service without a usable destination go where they were sent."
    ConnReuseMode "conn_reuse_mode" 1; Range::Numbers(i32::MIN, i32::MAX); "When a client port comes again: 0 keeps the old connection, bit 0 schedules anew if it had ended, bit 1 in FIN_WAIT too."
    Conntrack "conntrack" 0; Range::Switch; "Connection tracking of the host follows."; without "rvs has no connection tracking"
    DebugLevel "debug_level" 0; NATURAL; "Messages in the kernel's log."; without "rvs logs as `[daemon] log` says"
    DropEntry "drop_entry" 0; MODE; "Drop connections at random to make room: 0 never, 1 or 2 when there is little, 3 always."
    DropPacket "drop_packet" 0; MODE; "Drop packets that would begin a connection: 0 never, 1 or 2 when room is short, 3 always."
    ExpireNodestConn "expire_nodest_conn" 0; Range::Switch; "A connection whose destination was removed ends at its next packet."
    ExpireQuiescentTemplate "expire_quiescent_template" 0; Range::Switch; "Persistence forgets destinations whose weight is 0."
    IgnoreTunneled "ignore_tunneled" 0; Range::Switch; "Packets that came through a tunnel to this host are not balanced."; without "what the host takes out of a tunnel does not come back to rvs"
    LblcExpiration "lblc_expiration" 86400; TICKS; "Seconds after which lblc forgets an address that nobody asks for."
    LblcrExpiration "lblcr_expiration" 86400; TICKS; "The same for lblcr; also how long its sets of servers stay as they are before they shrink."
    NatIcmpSend "nat_icmp_send" 0; Range::Switch; "A NAT destination's packet that belongs to no connection is answered with port unreachable."
    PmtuDisc "pmtu_disc" 1; Range::Switch; "Senders hear of path MTUs that are too small; when off, tunnels fragment instead."
    RunEstimation "run_estimation" 1; Range::Switch; "Rates of connections, packets and bytes are estimated."
    ScheduleIcmp "schedule_icmp" 0; Range::Switch; "ICMP errors that concern no connection are scheduled to a destination."
    SecureTcp "secure_tcp" 0; MODE; "Stricter TCP states: 0 never, 1 or 2 when room is short, 3 always."
    SloppySctp "sloppy_sctp" 0; Range::Switch; "SCTP connections begin with any packet, not only INIT."
    SloppyTcp "sloppy_tcp" 0; Range::Switch; "TCP connections begin with any packet but RST, not only SYN."
    SnatReroute "snat_reroute" 1; Range::Switch; "Replies are routed by the virtual address that they now come from."
    SyncPersistMode "sync_persist_mode" 0; Range::Switch; "Of persistent services only templates are synchronised."
    SyncPorts "sync_ports" 1; Range::PowerOfTwo; "How many UDP ports synchronisation uses, from 8848 up; no more than 64 are."
    SyncQlenMax "sync_qlen_max" 4096; NATURAL; "Messages that wait to be sent before further ones are dropped. The kernel takes a 32nd of its free pages for a default."
    SyncRefreshPeriod "sync_refresh_period" 0; TICKS; "Seconds of a timer's change that make a connection worth another message; 0: sync_threshold's period decides."
    SyncRetries "sync_retries" 0; MODE; "How often a message is sent again, spread over sync_refresh_period."
    SyncSockSize "sync_sock_size" 0; NATURAL; "Bytes of the sockets' buffers; 0: the system's default."
    SyncThreshold "sync_threshold" 3, 50; Range::Threshold; "A connection is synchronised at so many packets, and again after each period of packets."
    SyncVersion "sync_version" 1; Range::Numbers(0, 1); "Format of synchronisation messages: 1, or 0 for kernels before 2.6.39."
}

impl Sysctl {
    pub fn about(self) -> &'static About {
        &TABLE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// The value that `value` means for it, now that it has `current`, or what was expected. As with the kernel, a single
    /// number leaves the second of two as it is.
    pub fn accept(self, value: SysctlValue, current: SysctlValue) -> Result<SysctlValue, String> {
        let value = SysctlValue { second: value.second.or(current.second), ..value };
        let range = self.about().range;
        if range.holds(value) { Ok(value) } else { Err(format!("found {value}, expected {range}")) }
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Sysctl {
    type Err = ParseError;

    /// Reads `sloppy_tcp`, and the name that sysctl(8) has for it: `net.ipv4.vs.sloppy_tcp`, `net/ipv4/vs/sloppy_tcp`.
    fn from_str(word: &str) -> Result<Self, ParseError> {
        let bare = ["net.ipv4.vs.", "net/ipv4/vs/"].iter().find_map(|prefix| word.strip_prefix(prefix));
        let bare = bare.unwrap_or(word);
        let found = Sysctl::ALL.iter().find(|sysctl| sysctl.name() == bare).copied();
        found.ok_or_else(|| ParseError { found: word.to_owned(), expected: "a name of net/ipv4/vs" })
    }
}

serde_as_str!(Sysctl);

/// A value for each tunable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sysctls([SysctlValue; Sysctl::ALL.len()]);

impl Default for Sysctls {
    fn default() -> Self {
        let mut values = [SysctlValue::one(0); Sysctl::ALL.len()];
        values.iter_mut().zip(TABLE).for_each(|(value, about)| *value = about.default);
        Sysctls(values)
    }
}

impl Sysctls {
    pub fn get(&self, sysctl: Sysctl) -> SysctlValue {
        self.0[sysctl as usize]
    }

    pub fn is_on(&self, sysctl: Sysctl) -> bool {
        self.get(sysctl).is_on()
    }

    /// Sets it, or says what was expected.
    pub fn set(&mut self, sysctl: Sysctl, value: SysctlValue) -> Result<(), String> {
        self.0[sysctl as usize] = sysctl.accept(value, self.get(sysctl))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_have_good_defaults() {
        assert!(Sysctl::NAMES.is_sorted());
        let defaults = Sysctls::default();
        for &sysctl in Sysctl::ALL {
            assert_eq!(sysctl.name().parse(), Ok(sysctl));
            assert_eq!(format!("net.ipv4.vs.{sysctl}").parse(), Ok(sysctl));
            let value = defaults.get(sysctl);
            assert_eq!(sysctl.accept(value, value), Ok(value), "{sysctl}");
            assert_eq!(value.to_string().parse(), Ok(value));
        }
        assert!("sloppy".parse::<Sysctl>().is_err());
    }

    #[test]
    fn values_are_taken_and_refused_as_by_the_kernel() {
        let cases = [
            ("sloppy_tcp", "5", Ok("5")),
            ("sloppy_tcp", "-1", Ok("-1")),
            ("sloppy_tcp", "1 2", Err("found 1 2, expected 0 or 1")),
            ("secure_tcp", "3", Ok("3")),
            ("secure_tcp", "4", Err("found 4, expected 0 to 3")),
            ("sync_version", "2", Err("found 2, expected 0 to 1")),
            ("sync_retries", "-1", Err("found -1, expected 0 to 3")),
            ("sync_ports", "4", Ok("4")),
            ("sync_ports", "0", Err("found 0, expected a power of two")),
            ("sync_ports", "6", Err("found 6, expected a power of two")),
            ("lblc_expiration", "8589934", Ok("8589934")),
            ("lblc_expiration", "2147483647", Err("found 2147483647, expected 0 to 8589934")),
            ("sync_threshold", "0 0", Ok("0 0")),
            ("sync_threshold", "5", Ok("5 50")),
            ("sync_threshold", "1 0", Ok("1 0")),
            ("sync_threshold", "50 3", Err("found 50 3, expected a threshold and a larger period")),
            ("sync_threshold", "3 3", Err("found 3 3, expected a threshold and a larger period")),
            ("sync_threshold", "-1 5", Err("found -1 5, expected a threshold and a larger period")),
        ];
        for (name, value, want) in cases {
            let mut sysctls = Sysctls::default();
            let sysctl: Sysctl = name.parse().unwrap();
            let got = sysctls.set(sysctl, value.parse().unwrap()).map(|()| sysctls.get(sysctl).to_string());
            assert_eq!(got, want.map(str::to_owned).map_err(str::to_owned), "{name} = {value}");
        }
        for value in ["", "x", "1 x", "1 2 3", "2147483648", "1,2"] {
            assert!(value.parse::<SysctlValue>().is_err(), "{value}");
        }
    }
}
