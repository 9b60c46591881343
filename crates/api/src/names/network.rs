//! Prefixes, ranges and hardware addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{ParseError, parse_error, serde_as_str};

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

    /// The prefix of an address alone.
    pub fn host(address: IpAddr) -> Option<Cidr> {
        Cidr::new(address, max_prefix_len(address))
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

/// A port, or an inclusive range of ports: `80`, `1024-65535`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortMatch {
    pub first: u16,
    /// Not below `first`.
    pub last: u16,
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for PortMatch {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let err = || parse_error(text, "a port or a range of ports such as `80` or `1024-65535`");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first = first.parse().map_err(|_| err())?;
        let last = last.parse().map_err(|_| err())?;
        if last < first { Err(err()) } else { Ok(PortMatch { first, last }) }
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

serde_as_str!(Cidr, RouteTarget, AddrRange, PortRange, PortMatch, Mac);
