//! The small words that requests, replies and the configuration file share.
//!
//! Each has exactly one spelling, the same in JSON, TOML and on the command line: `Display` writes it,
//! `FromStr` reads it, serde uses those two.

mod network;
mod service;
mod words;

pub use network::{AddrRange, Cidr, Mac, PortMatch, PortRange, RouteTarget};
pub(crate) use service::KeyFields;
pub use service::{DestKey, Netmask, ServiceKey};
pub use words::{
    ConnMethod, ConnProtocol, Engine, Family, Helper, Method, Protocol, Scheduler, SchedulerFlag,
    TunnelChecksum, TunnelType,
};

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

/// Serialises types as `Display` writes them and reads them by `FromStr`.
macro_rules! serde_as_str {
    ($($type:ty),+) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use serde_as_str;

#[cfg(test)]
mod tests;
