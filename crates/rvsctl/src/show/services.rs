//! Services and destinations; the list is laid out as ipvsadm's, which its users read without thinking.

use std::net::SocketAddr;

use api::{DestView, Helper, Rates, ServiceSpec, ServiceView, Traffic, TunnelChecksum, TunnelType};

use super::{NONE, or_none};
use crate::table::{Table, pairs};

fn endpoint(dest: &DestView) -> SocketAddr {
    SocketAddr::new(dest.spec.address, dest.spec.port)
}

/// `service list`: as `ipvsadm -Ln`.
pub fn list(services: &[ServiceView]) -> String {
    let mut table = Table::new(["Prot", "Service", "Scheduler", ">", ">", ">", "Pool", "Flags"]);
    table.row(["  ->", "Destination", "Forward", "Weight", "Active", "Inactive"]);
    for service in services {
        let spec = &service.spec;
        let (prot, at) = (spec.key.kind(), spec.key.rest());
        let pool = spec.local_pool.as_deref().unwrap_or_default();
        table.row([prot, &at, &scheduler(spec), "", "", "", pool, &flags(spec)]);
        for dest in &service.destinations {
            table.row([
                "  ->",
                &endpoint(dest).to_string(),
                &forward(dest),
                &dest.spec.weight.to_string(),
                &dest.active_connections.to_string(),
                &dest.inactive_connections.to_string(),
            ]);
        }
    }
    table.take()
}

/// The scheduler, with its flags as `ipvsadm` shows them.
fn scheduler(spec: &ServiceSpec) -> String {
    let flags: Vec<&str> = spec.scheduler_flags.iter().map(|flag| flag.as_str()).collect();
    let flags = if flags.is_empty() { String::new() } else { format!(" ({})", flags.join(",")) };
    let size = spec.maglev_table_size.map(|size| format!(" table {size}")).unwrap_or_default();
    format!("{}{flags}{size}", spec.scheduler)
}

/// What is special about a service, as `ipvsadm` shows it.
fn flags(spec: &ServiceSpec) -> String {
    let mut flags = Vec::new();
    if let Some(timeout) = spec.persistence_timeout_s {
        flags.push(format!("persistent {timeout}"));
        flags.extend(spec.persistence_netmask.map(|mask| format!("mask {mask}")));
        flags.extend(spec.persistence_engine.map(|engine| format!("pe {engine}")));
    }
    flags.extend(spec.ops.then(|| "ops".to_owned()));
    flags.extend((spec.helper != Helper::default()).then(|| format!("helper {}", spec.helper)));
    flags.join(" ")
}

/// How packets reach a destination: `nat`, `tunnel`, `tunnel gre csum`, `tunnel gue 6080`.
fn forward(dest: &DestView) -> String {
    let spec = &dest.spec;
    let mut text = spec.method.to_string();
    if spec.tunnel_type != TunnelType::default() {
        text.push_str(&format!(" {}", spec.tunnel_type));
    }
    if let Some(port) = spec.tunnel_port {
        text.push_str(&format!(" {port}"));
    }
    if spec.tunnel_checksum != TunnelChecksum::default() {
        text.push_str(&format!(" {}", spec.tunnel_checksum));
    }
    text
}

/// `service show`: all that is known.
pub fn details(services: &[ServiceView]) -> String {
    let one = |service: &ServiceView| {
        let (spec, traffic) = (&service.spec, &service.traffic);
        let head = pairs([
            ("Service", spec.key().to_string()),
            ("Id", service.id.to_string()),
            ("Scheduler", scheduler(spec)),
            ("Flags", Some(flags(spec)).filter(|flags| !flags.is_empty()).unwrap_or_else(|| NONE.to_owned())),
            ("Local pool", or_none(spec.local_pool.as_ref())),
            ("Connections", traffic.connections.to_string()),
            ("Packets in", traffic.packets_in.to_string()),
            ("Packets out", traffic.packets_out.to_string()),
            ("Bytes in", traffic.bytes_in.to_string()),
            ("Bytes out", traffic.bytes_out.to_string()),
        ]);
        format!("{head}\n{}", destinations(&service.destinations))
    };
    services.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// `dest list`.
pub fn destinations(dests: &[DestView]) -> String {
    let mut table = Table::new([
        "Destination",
        "Forward",
        ">Weight",
        ">Upper",
        ">Lower",
        ">Active",
        ">Inactive",
        ">Persistent",
        ">Connections",
        ">Packets in",
        ">Packets out",
        ">Bytes in",
        ">Bytes out",
    ]);
    for dest in dests {
        let (spec, traffic) = (&dest.spec, &dest.traffic);
        table.row([
            endpoint(dest).to_string(),
            forward(dest),
            spec.weight.to_string(),
            spec.upper_threshold.to_string(),
            spec.lower_threshold.to_string(),
            dest.active_connections.to_string(),
            dest.inactive_connections.to_string(),
            dest.persistent_connections.to_string(),
            traffic.connections.to_string(),
            traffic.packets_in.to_string(),
            traffic.packets_out.to_string(),
            traffic.bytes_in.to_string(),
            traffic.bytes_out.to_string(),
        ]);
    }
    table.take()
}

/// `stats services`: as `ipvsadm -Ln --stats`.
pub fn traffic(services: &[ServiceView]) -> String {
    let titles = [">Connections", ">Packets in", ">Packets out", ">Bytes in", ">Bytes out"];
    let row = |t: &Traffic| [t.connections, t.packets_in, t.packets_out, t.bytes_in, t.bytes_out];
    numbers(services, titles, |service| row(&service.traffic), |dest| row(&dest.traffic))
}

/// `stats services --rate`: as `ipvsadm -Ln --rate`.
pub fn rates(services: &[ServiceView]) -> String {
    let titles = [">Connections/s", ">Packets in/s", ">Packets out/s", ">Bytes in/s", ">Bytes out/s"];
    let row = |r: &Rates| {
        [r.connections_per_s, r.packets_in_per_s, r.packets_out_per_s, r.bytes_in_per_s, r.bytes_out_per_s]
    };
    numbers(services, titles, |service| row(&service.rates), |dest| row(&dest.rates))
}

/// Five numbers of each service and of its destinations.
fn numbers(
    services: &[ServiceView],
    titles: [&'static str; 5],
    of_service: impl Fn(&ServiceView) -> [u64; 5],
    of_dest: impl Fn(&DestView) -> [u64; 5],
) -> String {
    let [conns, packets_in, packets_out, bytes_in, bytes_out] = titles;
    let mut table = Table::new(["Prot", "Service", conns, packets_in, packets_out, bytes_in, bytes_out]);
    table.row(["  ->", "Destination"]);
    let row = |prot: &str, at: String, numbers: [u64; 5]| {
        let [a, b, c, d, e] = numbers.map(|number| number.to_string());
        [prot.to_owned(), at, a, b, c, d, e]
    };
    for service in services {
        let spec = &service.spec;
        table.row(row(spec.key.kind(), spec.key.rest(), of_service(service)));
        for dest in &service.destinations {
            table.row(row("  ->", endpoint(dest).to_string(), of_dest(dest)));
        }
    }
    table.take()
}
