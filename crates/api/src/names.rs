//! The small words that requests, replies and the configuration file share.
//!
//! Each has exactly one spelling, the same in JSON, TOML and on the command line: `Display` writes it,
//! `FromStr` reads it, serde uses those two.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A word that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found `{found}`, expected {expected}")]
pub struct ParseError {
    pub found: String,
    pub expected: &'static str,
}

fn parse_error(found: &str, expected: &'static str) -> ParseError {
    ParseError { found: found.to_owned(), expected }
}

macro_rules! serde_as_str {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

serde_as_str!(Protocol, Scheduler, SchedulerFlag, Method, Cidr, RouteTarget, AddrRange, PortRange, Mac);

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
    Protocol { Tcp = "tcp", Udp = "udp" } expected "`tcp` or `udp`"
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

/// A virtual service's name: `tcp 192.0.2.100:80`, `udp [2001:db8::1]:53`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceKey {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub port: u16,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, SocketAddr::new(self.address, self.port))
    }
}

impl FromStr for ServiceKey {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "a service such as `tcp 192.0.2.100:80` or `udp [2001:db8::1]:53`";
        let (protocol, endpoint) = text.split_once(' ').ok_or_else(|| parse_error(text, EXPECTED))?;
        let endpoint: SocketAddr = endpoint.trim().parse().map_err(|_| parse_error(text, EXPECTED))?;
        Ok(ServiceKey { protocol: protocol.parse()?, address: endpoint.ip(), port: endpoint.port() })
    }
}

/// A destination's name within its service: `10.0.2.11:80`, `[2001:db8:2::11]:80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestKey {
    pub address: IpAddr,
    pub port: u16,
}

impl fmt::Display for DestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

impl FromStr for DestKey {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "an endpoint such as `10.0.2.11:80` or `[2001:db8::11]:80`";
        let endpoint: SocketAddr = text.parse().map_err(|_| parse_error(text, EXPECTED))?;
        Ok(DestKey { address: endpoint.ip(), port: endpoint.port() })
    }
}

/// An address with its prefix length: `192.0.2.1/24`. Bits after the prefix are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    pub address: IpAddr,
    /// 0 to 32 or 0 to 128.
    pub prefix_len: u8,
}

impl Cidr {
    /// None if `prefix_len` is too long for the address's family.
    pub fn new(address: IpAddr, prefix_len: u8) -> Option<Cidr> {
        (prefix_len <= max_prefix_len(address)).then_some(Cidr { address, prefix_len })
    }

    /// The same prefix with every bit after it cleared.
    pub fn network(self) -> Cidr {
        let address = match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask))
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_len)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask))
            }
        };
        Cidr { address, prefix_len: self.prefix_len }
    }

    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && Cidr { address, prefix_len: self.prefix_len }.network() == self.network()
    }
}

fn max_prefix_len(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Cidr {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "an address with its prefix length such as `192.0.2.1/24` or `2001:db8::1/64`";
        let err = || parse_error(text, EXPECTED);
        let (address, len) = text.split_once('/').ok_or_else(err)?;
        let address: IpAddr = address.parse().map_err(|_| err())?;
        if !len.bytes().all(|b| b.is_ascii_digit()) {
            return Err(err());
        }
        Cidr::new(address, len.parse().map_err(|_| err())?).ok_or_else(err)
    }
}

/// What a route leads to: `default` (the family is its gateway's) or a prefix without host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteTarget {
    Default,
    Prefix(Cidr),
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteTarget::Default => f.write_str("default"),
            RouteTarget::Prefix(prefix) => prefix.fmt(f),
        }
    }
}

impl FromStr for RouteTarget {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "`default` or a prefix without host bits such as `198.51.100.0/24`";
        if text == "default" {
            return Ok(RouteTarget::Default);
        }
        match text.parse::<Cidr>() {
            Ok(prefix) if prefix.network() == prefix => Ok(RouteTarget::Prefix(prefix)),
            _ => Err(parse_error(text, EXPECTED)),
        }
    }
}

/// One address or an inclusive range of one family: `10.0.2.200-10.0.2.203`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddrRange {
    pub first: IpAddr,
    /// Same family as `first`, not below it.
    pub last: IpAddr,
}

impl AddrRange {
    /// None if the families differ or `last` is below `first`.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<AddrRange> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(AddrRange { first, last })
    }

    pub fn one(address: IpAddr) -> AddrRange {
        AddrRange { first: address, last: address }
    }

    /// How many addresses; saturates.
    pub fn count(self) -> u128 {
        match (self.first, self.last) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(b.to_bits() - a.to_bits()) + 1,
            (IpAddr::V6(a), IpAddr::V6(b)) => (b.to_bits() - a.to_bits()).saturating_add(1),
            _ => 0,
        }
    }

    /// The addresses, lowest first. Check [`AddrRange::count`] before collecting them.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        let count = self.count();
        (0..count).map(move |i| match self.first {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() + i as u32)),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() + i)),
        })
    }

    /// What is left of it without `other`: what lies below, what lies above.
    pub fn minus(self, other: AddrRange) -> [Option<AddrRange>; 2] {
        if self.first.is_ipv4() != other.first.is_ipv4() || other.last < self.first || self.last < other.first
        {
            return [Some(self), None];
        }
        let below = step(other.first, -1).and_then(|last| AddrRange::new(self.first, last));
        let above = step(other.last, 1).and_then(|first| AddrRange::new(first, self.last));
        [below, above]
    }

    /// The fewest ranges that hold exactly `addresses`: IPv4 first, lowest first.
    pub fn compress(addresses: impl IntoIterator<Item = IpAddr>) -> Vec<AddrRange> {
        let mut sorted: Vec<IpAddr> = addresses.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut ranges: Vec<AddrRange> = Vec::new();
        for address in sorted {
            match ranges.last_mut() {
                Some(range) if step(range.last, 1) == Some(address) => range.last = address,
                _ => ranges.push(AddrRange::one(address)),
            }
        }
        ranges
    }
}

/// The address `by` places on; None past the family's ends.
fn step(address: IpAddr, by: i8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => {
            a.to_bits().checked_add_signed(by.into()).map(|bits| Ipv4Addr::from_bits(bits).into())
        }
        IpAddr::V6(a) => {
            a.to_bits().checked_add_signed(by.into()).map(|bits| Ipv6Addr::from_bits(bits).into())
        }
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for AddrRange {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let err = || parse_error(text, "an address or a range such as `10.0.2.200-10.0.2.203`");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = first.trim().parse().map_err(|_| err())?;
        let last = last.trim().parse().map_err(|_| err())?;
        AddrRange::new(first, last).ok_or_else(err)
    }
}

/// An inclusive range of ports: `1024-65535`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    /// At least 1.
    pub first: u16,
    /// Not below `first`.
    pub last: u16,
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let err = || parse_error(text, "a range of ports from 1 to 65535 such as `1024-65535`");
        let (first, last) = text.split_once('-').ok_or_else(err)?;
        let first: u16 = first.trim().parse().map_err(|_| err())?;
        let last: u16 = last.trim().parse().map_err(|_| err())?;
        if first == 0 || last < first { Err(err()) } else { Ok(PortRange { first, last }) }
    }
}

/// An Ethernet address: `02:00:00:00:02:0b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let err = || parse_error(text, "a MAC address such as `02:00:00:00:02:0b`");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(err)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(err());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| err())?;
        }
        if parts.next().is_some() { Err(err()) } else { Ok(Mac(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: FromStr<Err = ParseError> + fmt::Display>(text: &str) -> String {
        match text.parse::<T>() {
            Ok(value) => value.to_string(),
            Err(e) => format!("! {}", e.found),
        }
    }

    #[test]
    fn every_word_is_written_as_it_is_read() {
        for word in ["tcp 192.0.2.100:80", "udp [2001:db8::1]:53"] {
            assert_eq!(round::<ServiceKey>(word), word);
        }
        for word in ["192.0.2.1/24", "0.0.0.0/0", "::/0", "2001:db8::1/128"] {
            assert_eq!(round::<Cidr>(word), word);
        }
        for word in ["10.0.0.1", "10.0.0.1-10.0.0.9", "2001:db8::1-2001:db8::ff"] {
            assert_eq!(round::<AddrRange>(word), word);
        }
        for word in ["default", "10.0.0.0/8", "2001:db8::/32"] {
            assert_eq!(round::<RouteTarget>(word), word);
        }
        assert_eq!(round::<Mac>("02:00:00:00:02:0B"), "02:00:00:00:02:0b");
        assert_eq!(round::<PortRange>("1024-65535"), "1024-65535");
        for word in Method::WORDS {
            assert_eq!(round::<Method>(word), *word);
        }
        for word in Scheduler::WORDS {
            assert_eq!(round::<Scheduler>(word), *word);
        }
        for word in SchedulerFlag::WORDS {
            assert_eq!(round::<SchedulerFlag>(word), *word);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "192.0.2.1", "192.0.2.1/33", "::1/129", "192.0.2.1/+4", "192.0.2.1/"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        for text in ["10.0.0.9-10.0.0.1", "10.0.0.1-::1", "-", "10.0.0.1-"] {
            assert!(text.parse::<AddrRange>().is_err(), "{text}");
        }
        for text in ["", "02:00", "02:00:00:00:00:00:00", "0200:00:00:00:00", "+2:00:00:00:00:00"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        for text in ["80", "0-1", "9-8", "1-65536"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
        for text in ["192.0.2.1/24", "defaults"] {
            assert!(text.parse::<RouteTarget>().is_err(), "{text}");
        }
        for text in ["tcp", "tcp 192.0.2.1", "sctp 192.0.2.1:80", "tcp 2001:db8::1:80:x"] {
            assert!(text.parse::<ServiceKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn prefixes_and_ranges_know_their_members() {
        let prefix: Cidr = "10.1.0.0/16".parse().unwrap();
        assert!(prefix.contains("10.1.255.255".parse().unwrap()));
        assert!(!prefix.contains("10.2.0.0".parse().unwrap()));
        assert!(!prefix.contains("::".parse().unwrap()));
        assert!("::/0".parse::<Cidr>().unwrap().contains("2001:db8::1".parse().unwrap()));
        let range: AddrRange = "10.0.0.254-10.0.1.1".parse().unwrap();
        assert_eq!(range.count(), 4);
        assert_eq!(AddrRange::compress(range.iter()), [range]);
        let cut = |a: &str, b: &str| {
            let (a, b): (AddrRange, AddrRange) = (a.parse().unwrap(), b.parse().unwrap());
            a.minus(b).into_iter().flatten().map(|r| r.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(cut("10.0.0.1-10.0.0.9", "10.0.0.4"), "10.0.0.1-10.0.0.3 10.0.0.5-10.0.0.9");
        assert_eq!(cut("10.0.0.1-10.0.0.9", "10.0.0.0-10.0.0.8"), "10.0.0.9");
        assert_eq!(cut("10.0.0.1", "10.0.0.1"), "");
        assert_eq!(cut("10.0.0.1", "10.0.0.2"), "10.0.0.1");
        assert_eq!(cut("0.0.0.0-255.255.255.255", "0.0.0.0-255.255.255.255"), "");
        assert_eq!(cut("::1-::9", "10.0.0.1"), "::1-::9");
        let whole: AddrRange = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
        assert_eq!(whole.count(), u128::MAX);
    }
}
