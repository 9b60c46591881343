//! How services and destinations are called.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Family, ParseError, Protocol, parse_error, serde_as_str};

/// A virtual service's name: `tcp 192.0.2.100:80`, `udp [2001:db8::1]:53`, `fwmark 7`, `fwmark 7 -6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "KeyFields", into = "KeyFields")]
pub enum ServiceKey {
    /// What packets are addressed to. Port 0: every port that no other service names.
    Address { protocol: Protocol, address: IpAddr, port: u16 },
    /// Packets of one family with a mark, which is not 0.
    Mark { fwmark: u32, family: Family },
}

impl ServiceKey {
    /// Of its clients' packets.
    pub fn family(&self) -> Family {
        match *self {
            ServiceKey::Address { address, .. } => Family::of(address),
            ServiceKey::Mark { family, .. } => family,
        }
    }

    /// None for a mark, whose packets may be of any.
    pub fn protocol(&self) -> Option<Protocol> {
        match *self {
            ServiceKey::Address { protocol, .. } => Some(protocol),
            ServiceKey::Mark { .. } => None,
        }
    }

    /// None for a mark.
    pub fn address(&self) -> Option<IpAddr> {
        match *self {
            ServiceKey::Address { address, .. } => Some(address),
            ServiceKey::Mark { .. } => None,
        }
    }

    /// 0 where packets may have any, as with a mark.
    pub fn port(&self) -> u16 {
        match *self {
            ServiceKey::Address { port, .. } => port,
            ServiceKey::Mark { .. } => 0,
        }
    }

    /// The word for its protocol: `tcp`, or `fwmark`.
    pub fn kind(&self) -> &'static str {
        self.protocol().map_or(FWMARK, Protocol::as_str)
    }

    /// What stands behind [`ServiceKey::kind`]: `192.0.2.100:80`, or `7`, `7 -6`.
    pub fn rest(&self) -> String {
        match *self {
            ServiceKey::Address { address, port, .. } => SocketAddr::new(address, port).to_string(),
            ServiceKey::Mark { fwmark, family: Family::Ipv4 } => fwmark.to_string(),
            ServiceKey::Mark { fwmark, family: Family::Ipv6 } => format!("{fwmark} -6"),
        }
    }
}

/// What a service has instead of a protocol if a mark makes packets its own.
pub(crate) const FWMARK: &str = "fwmark";

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.rest())
    }
}

impl FromStr for ServiceKey {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const EXPECTED: &str = "a service such as `tcp 192.0.2.100:80`, `udp [2001:db8::1]:53` or `fwmark 7`";
        let err = || parse_error(text, EXPECTED);
        let (kind, rest) = text.split_once(' ').ok_or_else(err)?;
        let rest = rest.trim();
        if kind == FWMARK {
            let (mark, family) = match rest.strip_suffix("-6") {
                Some(mark) => (mark.trim_end(), Family::Ipv6),
                None => (rest, Family::Ipv4),
            };
            let fwmark = mark.parse().ok().filter(|mark| *mark != 0).ok_or_else(err)?;
            return Ok(ServiceKey::Mark { fwmark, family });
        }
        let endpoint: SocketAddr = rest.parse().map_err(|_| err())?;
        Ok(ServiceKey::Address { protocol: kind.parse()?, address: endpoint.ip(), port: endpoint.port() })
    }
}

/// A service's key as JSON has it: `protocol`, `address` and `port`, or `fwmark` and `family`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fwmark: Option<u32>,
    /// Of a mark; IPv4 unless it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
}

impl From<ServiceKey> for KeyFields {
    fn from(key: ServiceKey) -> KeyFields {
        match key {
            ServiceKey::Address { protocol, address, port } => KeyFields {
                protocol: Some(protocol),
                address: Some(address),
                port: Some(port),
                ..KeyFields::default()
            },
            ServiceKey::Mark { fwmark, family } => {
                KeyFields { fwmark: Some(fwmark), family: Some(family), ..KeyFields::default() }
            }
        }
    }
}

impl TryFrom<KeyFields> for ServiceKey {
    type Error = &'static str;

    fn try_from(fields: KeyFields) -> Result<ServiceKey, &'static str> {
        let KeyFields { protocol, address, port, fwmark, family } = fields;
        match (protocol, address, port, fwmark) {
            (Some(protocol), Some(address), Some(port), None) if family.is_none() => {
                Ok(ServiceKey::Address { protocol, address, port })
            }
            (None, None, None, Some(0)) => Err("found fwmark 0, expected 1 to 4294967295"),
            (None, None, None, Some(fwmark)) => {
                Ok(ServiceKey::Mark { fwmark, family: family.unwrap_or(Family::Ipv4) })
            }
            _ => Err("expected `protocol`, `address` and `port`, or `fwmark` and perhaps `family`"),
        }
    }
}

/// A destination's name within its service: `10.0.2.11:80`, `[2001:db8:2::11]:80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestKey {
    pub address: IpAddr,
    /// 0: the port that the client asked for.
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

/// Which bits of a client's address count for persistence: `255.255.255.0`, or so many leading ones: `24`, `64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Netmask {
    /// Of IPv4, in any pattern.
    Mask(Ipv4Addr),
    /// 0 to 32, or 1 to 128.
    Prefix(u8),
}

impl Netmask {
    pub const EXPECTED: &str = "a mask such as `255.255.255.0` or a prefix length such as `24` or `64`";

    /// The one way to write it for clients of `family`: a mask for IPv4, a prefix length for IPv6. None if it is not of that
    /// family.
    pub fn of_family(self, family: Family) -> Option<Netmask> {
        match (family, self) {
            (Family::Ipv4, Netmask::Mask(_)) => Some(self),
            (Family::Ipv4, Netmask::Prefix(len @ 0..=32)) => {
                let bits = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                Some(Netmask::Mask(Ipv4Addr::from_bits(bits)))
            }
            (Family::Ipv6, Netmask::Prefix(1..=128)) => Some(self),
            _ => None,
        }
    }

    /// Whether each address stays on its own.
    pub fn is_whole(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => matches!(self, Netmask::Mask(Ipv4Addr::BROADCAST) | Netmask::Prefix(32)),
            Family::Ipv6 => self == Netmask::Prefix(128),
        }
    }
}

impl fmt::Display for Netmask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Netmask::Mask(mask) => mask.fmt(f),
            Netmask::Prefix(len) => len.fmt(f),
        }
    }
}

impl FromStr for Netmask {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(mask) = text.parse() {
            return Ok(Netmask::Mask(mask));
        }
        let digits = text.strip_prefix('/').unwrap_or(text);
        let len = digits.parse().ok().filter(|len| *len <= 128 && !digits.starts_with('+'));
        len.map(Netmask::Prefix).ok_or_else(|| parse_error(text, Self::EXPECTED))
    }
}

serde_as_str!(Netmask);
