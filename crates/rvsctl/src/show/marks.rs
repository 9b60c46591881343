//! Rules that mark packets, and sets.

use std::net::IpAddr;

use api::{Cidr, MarkSpec, SetSpec};

use super::or_none;
use crate::table::Table;

/// `mark list`.
pub fn rules(marks: &[MarkSpec]) -> String {
    let mut table =
        Table::new([">Mark", "Family", "Prot", "Interface", "Source", "Ports", "Destination", "Ports"]);
    let side = |prefix: Option<Cidr>, set: &Option<String>| {
        let set = set.as_ref().map(|name| format!("ipset {name}"));
        let both: Vec<String> = prefix.map(|prefix| prefix.to_string()).into_iter().chain(set).collect();
        if both.is_empty() { or_none(None::<String>) } else { both.join(" ") }
    };
    for mark in marks {
        table.row([
            mark.mask.map_or_else(|| mark.fwmark.to_string(), |mask| format!("{}/{mask:#x}", mark.fwmark)),
            or_none(mark.family),
            or_none(mark.protocol),
            or_none(mark.interface.as_ref()),
            side(mark.source, &mark.source_set),
            or_none(mark.source_ports),
            side(mark.destination, &mark.destination_set),
            or_none(mark.destination_ports),
        ]);
    }
    table.take()
}

/// `ipset list`.
pub fn sets(sets: &[SetSpec]) -> String {
    let mut table = Table::new(["Set", "Members"]);
    for set in sets {
        let members: Vec<String> = set.members.iter().map(Cidr::to_string).collect();
        table.row([set.name.clone(), members.join(" ")]);
    }
    table.take()
}

/// `ipset test`.
pub fn member(sets: &[SetSpec], address: IpAddr) -> String {
    let line = |set: &SetSpec| {
        let has = set.members.iter().any(|member| member.contains(address));
        format!("{address} is {}in set {}\n", if has { "" } else { "not " }, set.name)
    };
    sets.iter().map(line).collect()
}
