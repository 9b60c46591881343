//! Rules that mark packets, and the sets that they name.

use api::{Cidr, Family, MarkSpec, PortMatch, Protocol, SetSpec};
use toml::de::DeValue;

use super::network::{NAME, name};
use crate::config::section::{Section, integer, parse_str};

const PREFIX: &str = "an address or a prefix without host bits such as \"198.51.100.0/24\"";
const PORTS: &str = "a port or a range of ports such as 80 or \"1024-65535\"";

pub(super) fn set(s: &mut Section<'_, '_, '_>) -> Option<SetSpec> {
    let name = name(s);
    let members = s.list("members", PREFIX, prefix).unwrap_or_default();
    Some(SetSpec { name: name?, members })
}

pub(super) fn mark(s: &mut Section<'_, '_, '_>) -> Option<MarkSpec> {
    let fwmark = s.int("fwmark", 0..=u32::MAX);
    let fwmark = s.require("fwmark", fwmark, "a mark from 1 to 4294967295");
    let mask = s.int("mask", 1..=u32::MAX);
    let family = s.parsed::<Family>("family", Family::EXPECTED);
    let protocol = s.parsed::<Protocol>("protocol", Protocol::EXPECTED);
    let source = s.value("source", PREFIX, prefix);
    let source_set = s.string("source_set", NAME).map(String::from);
    let destination = s.value("destination", PREFIX, prefix);
    let destination_set = s.string("destination_set", NAME).map(String::from);
    let source_ports = s.value("source_ports", PORTS, ports);
    let destination_ports = s.value("destination_ports", PORTS, ports);
    let interface = s.string("interface", "the name of a [[port]] or [[vlan]]").map(String::from);
    Some(MarkSpec {
        fwmark: fwmark?,
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
    })
}

/// `"198.51.100.0/24"`, `"198.51.100.7"`.
fn prefix(value: &DeValue<'_>) -> Option<Cidr> {
    let text = value.as_str()?;
    let alone = || Cidr::host(text.parse().ok()?);
    text.parse::<Cidr>().ok().or_else(alone).filter(|prefix| prefix.network() == *prefix)
}

/// `80`, `"80"`, `"1024-65535"`.
fn ports(value: &DeValue<'_>) -> Option<PortMatch> {
    match integer(value) {
        Some(port) => u16::try_from(port).ok().map(|port| PortMatch { first: port, last: port }),
        None => parse_str(value),
    }
}
