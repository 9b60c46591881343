//! Workers, ports, drops, and all together.

use api::{Defence, DropView, LinkState, PacketCounters, PortView, TotalView, WorkerView};

use super::{NONE, or_none};
use crate::table::{Table, pairs};

/// `worker list`.
pub fn workers(workers: &[WorkerView]) -> String {
    let mut table = Table::new([
        ">Worker",
        ">CPU",
        ">Busy %",
        ">Connections",
        ">Limit",
        ">Neighbours",
        ">Generation",
        ">Loop turns",
        "Defence",
    ]);
    for worker in workers {
        table.row([
            worker.id.to_string(),
            or_none(worker.cpu),
            format!("{:.1}", worker.busy_percent),
            worker.connections.to_string(),
            worker.connections_limit.to_string(),
            worker.neighbours.to_string(),
            worker.generation.to_string(),
            worker.loop_turns.to_string(),
            defence(&worker.defence),
        ]);
    }
    table.take()
}

/// Which defences are on, by the names of their settings.
fn defence(defence: &Defence) -> String {
    let Defence { short: _, drop_entry, drop_packet, secure_tcp } = *defence;
    let on = [
        drop_entry.then(|| "drop_entry".to_owned()),
        (drop_packet > 0).then(|| format!("drop_packet 1/{drop_packet}")),
        secure_tcp.then(|| "secure_tcp".to_owned()),
    ];
    let on: Vec<String> = on.into_iter().flatten().collect();
    if on.is_empty() { NONE.to_owned() } else { on.join(", ") }
}

/// `stats workers`: what came, what went, and the sum of several workers.
pub fn worker_packets(workers: &[WorkerView]) -> String {
    let mut table = Table::new([
        ">worker",
        ">rx",
        ">from_host",
        ">from_ring",
        ">generated",
        ">cloned",
        ">split",
        ">tx",
        ">to_host",
        ">to_ring",
        ">dropped",
        ">consumed",
        ">merged",
        ">held",
    ]);
    let row = |name: String, packets: &PacketCounters| {
        // Destructured, so that a new counter cannot be forgotten here.
        let PacketCounters {
            rx,
            from_host,
            from_ring,
            generated,
            cloned,
            split,
            tx,
            to_host,
            to_ring,
            dropped,
            consumed,
            merged,
            held,
        } = packets;
        let counts = [rx, from_host, from_ring, generated, cloned, split, tx, to_host, to_ring, dropped];
        let mut cells = [const { String::new() }; 14];
        let counts = counts.into_iter().chain([consumed, merged, held]).map(u64::to_string);
        cells.iter_mut().zip(std::iter::once(name).chain(counts)).for_each(|(cell, text)| *cell = text);
        cells
    };
    for worker in workers {
        table.row(row(worker.id.to_string(), &worker.packets));
    }
    if workers.len() > 1 {
        let sum = workers.iter().fold(PacketCounters::default(), |sum, worker| sum.plus(worker.packets));
        table.row(row("total".to_owned(), &sum));
    }
    table.take()
}

/// `port list`.
pub fn ports(ports: &[PortView]) -> String {
    let mut table = Table::new([
        "Port",
        "MAC",
        ">MTU",
        "Link",
        ">Mbit/s",
        ">Rx queues",
        ">Tx queues",
        "Exception",
        "Driver",
        "Device",
    ]);
    for port in ports {
        let link = match port.link {
            LinkState::Up => "up",
            LinkState::Down => "down",
        };
        table.row([
            port.name.clone(),
            port.mac.to_string(),
            port.mtu.to_string(),
            link.to_owned(),
            or_none(port.speed_mbps),
            port.rx_queues.to_string(),
            port.tx_queues.to_string(),
            or_none(port.exception.as_ref()),
            port.driver.clone(),
            port.device.clone(),
        ]);
    }
    table.take()
}

/// `stats ports`.
pub fn port_packets(ports: &[PortView]) -> String {
    let mut table = Table::new([
        "Port",
        ">Rx packets",
        ">Rx bytes",
        ">Rx missed",
        ">Rx errors",
        ">Rx no buffers",
        ">Tx packets",
        ">Tx bytes",
        ">Tx errors",
    ]);
    for port in ports {
        table.row([
            port.name.clone(),
            port.rx_packets.to_string(),
            port.rx_bytes.to_string(),
            port.rx_missed.to_string(),
            port.rx_errors.to_string(),
            port.rx_no_buffers.to_string(),
            port.tx_packets.to_string(),
            port.tx_bytes.to_string(),
            port.tx_errors.to_string(),
        ]);
    }
    table.take()
}

/// `stats drops`.
pub fn drops(drops: &[DropView]) -> String {
    if drops.is_empty() {
        return "nothing was dropped\n".to_owned();
    }
    let mut table = Table::new([">Packets", "Reason", "What it means"]);
    for drop in drops {
        table.row([drop.count.to_string(), drop.reason.clone(), drop.help.clone()]);
    }
    table.take()
}

/// `stats total`.
pub fn total(total: &TotalView) -> String {
    let (traffic, rates, packets, host) = (&total.traffic, &total.rates, &total.packets, &total.host);
    pairs([
        ("Version", total.version.clone()),
        ("Uptime", duration(total.uptime_ms)),
        ("Generation", total.generation.to_string()),
        ("Services", total.services.to_string()),
        ("Destinations", total.destinations.to_string()),
        ("Connections now", format!("{} of {}", total.connections, total.connections_limit)),
        ("Connections made", traffic.connections.to_string()),
        ("Packets in", traffic.packets_in.to_string()),
        ("Packets out", traffic.packets_out.to_string()),
        ("Bytes in", traffic.bytes_in.to_string()),
        ("Bytes out", traffic.bytes_out.to_string()),
        ("Connections/s", rates.connections_per_s.to_string()),
        ("Packets/s", format!("{} in, {} out", rates.packets_in_per_s, rates.packets_out_per_s)),
        ("Bytes/s", format!("{} in, {} out", rates.bytes_in_per_s, rates.bytes_out_per_s)),
        ("Received", packets.rx.to_string()),
        ("Sent", packets.tx.to_string()),
        ("From host", packets.from_host.to_string()),
        ("To host", packets.to_host.to_string()),
        ("Between workers", packets.to_ring.to_string()),
        ("Dropped", packets.dropped.to_string()),
        ("Lost to host", host.to_host_dropped.to_string()),
        ("Lost from host", host.from_host_dropped.to_string()),
        ("FTP third hosts", total.third_hosts.to_string()),
    ])
}

/// `1d 02:03:04`, without days when there are none.
fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match seconds / 86_400 {
        0 => clock,
        days => format!("{days}d {clock}"),
    }
}
