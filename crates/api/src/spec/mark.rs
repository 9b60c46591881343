//! Rules that mark packets, and sets of prefixes that they name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::{Cidr, Family, PortMatch, Protocol};

/// A rule that gives a mark to packets that have everything that it says. As with iptables, the last rule that matches decides,
/// with a mask its bits only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkSpec {
    /// Not 0 without a mask, and within it.
    pub fwmark: u32,
    /// Bits of the mark that the rule decides, not 0; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<u32>,
    /// None: both, unless an address tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Cidr>,
    /// Name of a set that has the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_set: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Cidr>,
    /// Name of a set that has the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_set: Option<String>,
    /// With a protocol only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ports: Option<PortMatch>,
    /// With a protocol only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_ports: Option<PortMatch>,
    /// Where packets come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl MarkSpec {
    /// A rule that marks everything.
    pub fn new(fwmark: u32) -> MarkSpec {
        MarkSpec {
            fwmark,
            mask: None,
            family: None,
            protocol: None,
            source: None,
            source_set: None,
            destination: None,
            destination_set: None,
            source_ports: None,
            destination_ports: None,
            interface: None,
        }
    }
}

/// As `rvsctl mark add` takes it.
impl fmt::Display for MarkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Destructured, so that a new criterion cannot be forgotten here.
        let MarkSpec {
            fwmark,
            mask,
            family,
            protocol,
            source,
            source_set,
            destination,
            destination_set,
            source_ports,
            destination_ports,
            interface,
        } = self;
        write!(f, "{fwmark}")?;
        let text = |value: &Option<String>| value.clone();
        for (option, value) in [
            ("mask", mask.map(|v| v.to_string())),
            ("family", family.map(|v| v.to_string())),
            ("protocol", protocol.map(|v| v.to_string())),
            ("src", source.map(|v| v.to_string())),
            ("src-set", text(source_set)),
            ("dst", destination.map(|v| v.to_string())),
            ("dst-set", text(destination_set)),
            ("sports", source_ports.map(|v| v.to_string())),
            ("dports", destination_ports.map(|v| v.to_string())),
            ("in", text(interface)),
        ] {
            if let Some(value) = value {
                write!(f, " --{option} {value}")?;
            }
        }
        Ok(())
    }
}

/// A set of prefixes of either family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSpec {
    pub name: String,
    /// Without host bits.
    pub members: Vec<Cidr>,
}
