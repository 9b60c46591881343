//! Rules that mark packets, in the director's words.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Cidr, Family, MarkSpec, PortMatch};
use inet::IfaceId;
use ipvs::marks::{Addresses, MarkRule, Marks, PrefixSet};

use super::BuildError;
use super::service::protocol;
use crate::config::Config;

pub(super) fn marks(config: &Config) -> Result<Marks, BuildError> {
    let ifaces: HashMap<&str, IfaceId> = config.interface_names().zip((0..).map(IfaceId)).collect();
    let set = |set: &api::SetSpec| {
        let members = set.members.iter().map(|member| (member.address, member.prefix_len));
        (set.name.clone(), Arc::new(PrefixSet::new(members)))
    };
    let sets: HashMap<String, Arc<PrefixSet>> = config.sets.iter().map(set).collect();
    let rule = |mark: &MarkSpec| {
        let missing =
            |name: &String| BuildError::NoInterface { item: format!("mark {mark}"), name: name.clone() };
        let iface = mark
            .interface
            .as_ref()
            .map(|name| ifaces.get(name.as_str()).copied().ok_or_else(|| missing(name)));
        let side = |prefix: Option<Cidr>, name: &Option<String>| {
            let prefix = prefix.map(|prefix| Addresses::Prefix(prefix.address, prefix.prefix_len));
            let set = name.as_ref().map(|name| Addresses::Set(sets.get(name).cloned().unwrap_or_default()));
            prefix.into_iter().chain(set).collect()
        };
        let ports = |ports: Option<PortMatch>| ports.map(|ports| (ports.first, ports.last));
        Ok(MarkRule {
            mark: mark.fwmark,
            mask: mark.mask.unwrap_or(u32::MAX),
            family: mark.family.map(|family| match family {
                Family::Ipv4 => wire::Family::V4,
                Family::Ipv6 => wire::Family::V6,
            }),
            protocol: mark.protocol.map(|of| protocol(of).number()),
            src: side(mark.source, &mark.source_set),
            dst: side(mark.destination, &mark.destination_set),
            sports: ports(mark.source_ports),
            dports: ports(mark.destination_ports),
            iface: iface.transpose()?,
        })
    };
    Ok(Marks::new(config.marks.iter().map(rule).collect::<Result<_, BuildError>>()?))
}
