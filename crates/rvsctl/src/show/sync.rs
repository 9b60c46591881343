//! Synchronisation daemons.

use api::{SyncCounter, SyncDaemonView, SyncView};

use crate::table::Table;

/// `sync show`.
pub fn daemons(sync: &SyncView) -> String {
    if sync.daemons.is_empty() {
        return "no sync daemon runs\n".to_owned();
    }
    let mut table = Table::new([
        "Role",
        "Interface",
        ">Id",
        "Group",
        "Ports",
        ">TTL",
        ">Bytes",
        ">Messages",
        ">Entries",
        ">Refused",
    ]);
    for daemon in &sync.daemons {
        let SyncDaemonView { spec, device, message_bytes, ports, counters } = daemon;
        let interface = match &spec.interface {
            name if name == device => name.clone(),
            name => format!("{name} ({device})"),
        };
        let last = u32::from(spec.port) + u32::from(*ports) - 1;
        let port_range = if *ports > 1 { format!("{}-{last}", spec.port) } else { spec.port.to_string() };
        let sum = |wanted: &dyn Fn(&str) -> bool| -> u64 {
            counters.iter().filter(|counter| wanted(&counter.name)).map(|counter| counter.value).sum()
        };
        let passed = |name: &str| name == "entries sent" || name == "entries received";
        table.row([
            spec.role.name().to_owned(),
            interface,
            spec.id.to_string(),
            spec.group.to_string(),
            port_range,
            spec.ttl.to_string(),
            message_bytes.to_string(),
            sum(&|name| name == "messages sent" || name == "messages received").to_string(),
            sum(&passed).to_string(),
            sum(&|name| name.contains("refused") || name.contains("lost")).to_string(),
        ]);
    }
    table.take()
}

/// `sync stats`.
pub fn counters(sync: &SyncView) -> String {
    let mut table = Table::new(["Of", "What", ">Count"]);
    let mut rows = |of: &str, counters: &[SyncCounter]| {
        for counter in counters {
            table.row([of.to_owned(), counter.name.clone(), counter.value.to_string()]);
        }
    };
    for daemon in &sync.daemons {
        rows(daemon.spec.role.name(), &daemon.counters);
    }
    rows("workers", &sync.workers);
    table.take()
}

/// Without what is zero.
pub fn non_zero(mut sync: SyncView) -> SyncView {
    sync.workers.retain(|counter| counter.value > 0);
    sync.daemons.iter_mut().for_each(|daemon| daemon.counters.retain(|counter| counter.value > 0));
    sync
}
