//! A [`Config`] as a file that reads back to the same: `rvsctl config show`.

use std::fmt::{self, Display, Write};

use api::sysctl::Range;
use api::{Helper, ServiceKey, SyncSpec, Sysctl, SysctlValue, TunnelChecksum, TunnelType};

use super::model::{Config, Hugepages, Idle, Limits, NatSteering, Placement, Port, Service};
use super::timeouts::timeout_keys;

/// The whole configuration, defaults included.
pub fn to_toml(config: &Config) -> String {
    let mut text = String::new();
    write(config, &mut text).expect("writing to a String cannot fail");
    text
}

fn write(c: &Config, out: &mut String) -> fmt::Result {
    writeln!(out, "[daemon]\nsocket = {}", quote(c.daemon.socket.to_string_lossy()))?;
    writeln!(out, "log = {}", quote(&c.daemon.log))?;
    writeln!(out, "\n[dpdk]\nhugepages = {}", quote(hugepages(c.dpdk.hugepages)))?;
    if let Some(mib) = c.dpdk.memory_mib {
        writeln!(out, "memory_mib = {mib}")?;
    }
    if !c.dpdk.eal_args.is_empty() {
        writeln!(out, "eal_args = {}", array(c.dpdk.eal_args.iter().map(quote)))?;
    }
    writeln!(out, "\n[workers]")?;
    match &c.workers.placement {
        Placement::Count(count) => writeln!(out, "count = {count}")?,
        Placement::Cpus(cpus) => writeln!(out, "cpus = {}", array(cpus))?,
    }
    writeln!(out, "idle = {}", quote(idle(c.workers.idle)))?;
    writeln!(out, "\n[limits]\nconnections = {}\nservices = {}", c.limits.connections, c.limits.services)?;
    writeln!(out, "destinations = {}\nneighbours = {}", c.limits.destinations, c.limits.neighbours)?;
    let Limits { fragments, fragments_per_datagram, fragments_per_sender, large_buffers, .. } = c.limits;
    writeln!(out, "fragments = {fragments}\nfragments_per_datagram = {fragments_per_datagram}")?;
    writeln!(out, "fragments_per_sender = {fragments_per_sender}\nlarge_buffers = {large_buffers}")?;
    c.ports.iter().try_for_each(|p| port(p, out))?;
    for v in &c.vlans {
        writeln!(out, "\n[[vlan]]\nname = {}\nport = {}\nid = {}", quote(&v.name), quote(&v.port), v.id)?;
    }
    network(c, out)?;
    marks(c, out)?;
    writeln!(out, "\n[ipvs]")?;
    timeouts(c, "ipvs", out)?;
    for &sysctl in Sysctl::ALL {
        writeln!(out, "{sysctl} = {}", sysctl_toml(sysctl, c.ipvs.sysctls.get(sysctl)))?;
    }
    writeln!(out, "\n[ipvs.timeouts]")?;
    timeouts(c, "ipvs.timeouts", out)?;
    writeln!(out, "\n[steering]\nnat = {}", quote(nat(c.steering.nat)))?;
    writeln!(
        out,
        "nat_prefix_v4 = {}\nnat_prefix_v6 = {}",
        c.steering.nat_prefix_v4, c.steering.nat_prefix_v6
    )?;
    c.sync.iter().try_for_each(|daemon| sync(daemon, out))?;
    c.services.iter().try_for_each(|s| service(s, out))
}

fn port(p: &Port, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[[port]]\nname = {}\ndevice = {}\nmtu = {}", quote(&p.name), quote(&p.device), p.mtu)?;
    optional(out, "exception", p.exception.as_deref().map(quote))?;
    optional(out, "rx_queues", p.rx_queues)?;
    writeln!(out, "rx_descriptors = {}\ntx_descriptors = {}", p.rx_descriptors, p.tx_descriptors)?;
    writeln!(out, "promiscuous = {}", p.promiscuous)?;
    optional(out, "mac", p.mac.map(quote))
}

fn network(c: &Config, out: &mut String) -> fmt::Result {
    for a in &c.addresses {
        writeln!(out, "\n[[address]]\ninterface = {}\ncidr = {}", quote(&a.interface), quote(a.cidr))?;
    }
    for r in &c.routes {
        writeln!(out, "\n[[route]]\nto = {}", quote(r.to))?;
        optional(out, "via", r.via.map(quote))?;
        optional(out, "interface", r.interface.as_deref().map(quote))?;
        optional(out, "source", r.source.map(quote))?;
        optional(out, "mtu", r.mtu)?;
    }
    for n in &c.neighbours {
        writeln!(
            out,
            "\n[[neighbour]]\ninterface = {}\naddress = {}",
            quote(&n.interface),
            quote(n.address)
        )?;
        writeln!(out, "mac = {}", quote(n.mac))?;
    }
    for p in &c.pools {
        writeln!(out, "\n[[local_pool]]\nname = {}\ninterface = {}", quote(&p.name), quote(&p.interface))?;
        writeln!(out, "addresses = {}\nports = {}", array(p.addresses.iter().map(quote)), quote(p.ports))?;
    }
    Ok(())
}

fn sync(daemon: &SyncSpec, out: &mut String) -> fmt::Result {
    let SyncSpec { role, interface, id, group, port, ttl, max_bytes } = daemon;
    writeln!(out, "\n[[sync]]\nrole = {}\ninterface = {}", quote(role.name()), quote(interface))?;
    writeln!(out, "id = {id}\ngroup = {}\nport = {port}\nttl = {ttl}", quote(group))?;
    writeln!(out, "max_bytes = {max_bytes}")
}

fn marks(c: &Config, out: &mut String) -> fmt::Result {
    for set in &c.sets {
        let members = array(set.members.iter().map(quote));
        writeln!(out, "\n[[ipset]]\nname = {}\nmembers = {members}", quote(&set.name))?;
    }
    for mark in &c.marks {
        writeln!(out, "\n[[mark]]\nfwmark = {}", mark.fwmark)?;
        optional(out, "mask", mark.mask)?;
        optional(out, "family", mark.family.map(quote))?;
        optional(out, "protocol", mark.protocol.map(quote))?;
        optional(out, "source", mark.source.map(quote))?;
        optional(out, "source_set", mark.source_set.as_deref().map(quote))?;
        optional(out, "destination", mark.destination.map(quote))?;
        optional(out, "destination_set", mark.destination_set.as_deref().map(quote))?;
        optional(out, "source_ports", mark.source_ports.map(quote))?;
        optional(out, "destination_ports", mark.destination_ports.map(quote))?;
        optional(out, "interface", mark.interface.as_deref().map(quote))?;
    }
    Ok(())
}

fn timeouts(c: &Config, table: &str, out: &mut String) -> fmt::Result {
    let mut keys = timeout_keys().iter().filter(|key| key.table == table);
    keys.try_for_each(|key| writeln!(out, "{} = {}", key.key, key.get_s(&c.ipvs.timeouts)))
}

fn service(s: &Service, out: &mut String) -> fmt::Result {
    let spec = &s.spec;
    match spec.key {
        ServiceKey::Address { protocol, address, port } => {
            writeln!(out, "\n[[service]]\nprotocol = {}\naddress = {}", quote(protocol), quote(address))?;
            writeln!(out, "port = {port}")?;
        }
        ServiceKey::Mark { fwmark, family } => {
            writeln!(out, "\n[[service]]\nfwmark = {fwmark}\nfamily = {}", quote(family))?;
        }
    }
    writeln!(out, "scheduler = {}", quote(spec.scheduler))?;
    if !spec.scheduler_flags.is_empty() {
        writeln!(out, "scheduler_flags = {}", array(spec.scheduler_flags.iter().map(quote)))?;
    }
    optional(out, "maglev_table_size", spec.maglev_table_size)?;
    optional(out, "local_pool", spec.local_pool.as_deref().map(quote))?;
    optional(out, "persistence_timeout_s", spec.persistence_timeout_s)?;
    optional(out, "persistence_netmask", spec.persistence_netmask.map(quote))?;
    optional(out, "persistence_engine", spec.persistence_engine.map(quote))?;
    optional(out, "ops", spec.ops.then_some(true))?;
    optional(out, "helper", (spec.helper != Helper::default()).then(|| quote(spec.helper)))?;
    for d in &s.dests {
        writeln!(out, "  [[service.destination]]\n  address = {}\n  port = {}", quote(d.address), d.port)?;
        writeln!(out, "  method = {}\n  weight = {}", quote(d.method), d.weight)?;
        if d.upper_threshold > 0 {
            writeln!(
                out,
                "  upper_threshold = {}\n  lower_threshold = {}",
                d.upper_threshold, d.lower_threshold
            )?;
        }
        if d.tunnel_type != TunnelType::default() {
            writeln!(out, "  tunnel_type = {}", quote(d.tunnel_type))?;
        }
        optional(out, "  tunnel_port", d.tunnel_port)?;
        if d.tunnel_checksum != TunnelChecksum::default() {
            writeln!(out, "  tunnel_checksum = {}", quote(d.tunnel_checksum))?;
        }
    }
    Ok(())
}

/// A tunable's value as the file has it: `true`, `3`, `[3, 50]`.
pub fn sysctl_toml(sysctl: Sysctl, value: SysctlValue) -> String {
    match (sysctl.about().range, value) {
        (Range::Switch, SysctlValue { first: first @ 0..=1, .. }) => (first == 1).to_string(),
        (_, SysctlValue { first, second: None }) => first.to_string(),
        (_, SysctlValue { first, second: Some(second) }) => format!("[{first}, {second}]"),
    }
}

fn optional(out: &mut String, key: &str, value: Option<impl Display>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(out, "{key} = {value}"))
}

fn array(items: impl IntoIterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn quote(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}

pub fn hugepages(value: Hugepages) -> &'static str {
    match value {
        Hugepages::Auto => "auto",
        Hugepages::On => "on",
        Hugepages::Off => "off",
    }
}

pub fn idle(value: Idle) -> &'static str {
    match value {
        Idle::Poll => "poll",
        Idle::Yield => "yield",
        Idle::Sleep => "sleep",
    }
}

pub fn nat(value: NatSteering) -> &'static str {
    match value {
        NatSteering::Address => "address",
        NatSteering::Endpoint => "endpoint",
    }
}
