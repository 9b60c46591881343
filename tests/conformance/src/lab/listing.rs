//! What ipvsadm and `/proc` show, as rows whose words are separated by one blank.

use std::net::{IpAddr, SocketAddr};

use ipvs::{ConnFlags, ConnView, Dest, DestId, Method, Service, ServiceId, ServiceKey, TrafficStats};

use super::Lab;
use crate::command::{Listing, ServiceWords};

/// A service and its destinations.
pub(crate) type Block = (String, Vec<String>);

/// What has counters of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    Service(ServiceId),
    Dest(DestId),
}

impl Lab {
    /// Services as a listing has them, in order of adding, and destinations in the order that schedulers walk.
    pub(crate) fn list(&self, listing: Listing) -> Vec<Block> {
        let proc = listing == Listing::Proc;
        let service_row = |words: &ServiceWords, service: &Service| {
            let flags = match &words.scheduler_flags[..] {
                [] => String::new(),
                _ if proc => String::new(),
                flags => format!(" ({})", flags.join(",")),
            };
            let key = if proc { proc_key(&service.key) } else { shown_key(&service.key) };
            format!("{key} {}{flags}", service.scheduler.name())
        };
        let dest_row = |dest: &Dest| {
            let load = self.shared.dest(dest.id).expect("counters").load();
            let addr = SocketAddr::new(dest.addr, dest.port);
            let addr = if proc { proc_addr(addr) } else { addr.to_string() };
            let middle = match listing {
                Listing::Thresholds => format!("{} {}", dest.upper, dest.lower),
                _ => format!("{} {}", method(dest.method), dest.weight),
            };
            format!("-> {addr} {middle} {} {}", load.active, load.inactive)
        };
        self.blocks(service_row, dest_row)
    }

    /// Services as `ipvsadm -Ln --stats --exact` has them.
    pub(crate) fn stats(&self) -> Vec<Block> {
        let row = |counted| self.since_zero(counted).map(|column| format!(" {column}")).concat();
        self.blocks(
            |_, service| format!("{}{}", shown_key(&service.key), row(Counted::Service(service.id))),
            |dest| format!("-> {}{}", SocketAddr::new(dest.addr, dest.port), row(Counted::Dest(dest.id))),
        )
    }

    /// What `ipvsadm -L --timeout` says.
    pub(crate) fn timeouts(&self) -> String {
        let seconds = self.timeouts.common().map(|ms| ms / 1000);
        format!("Timeout (tcp tcpfin udp): {} {} {}", seconds[0], seconds[1], seconds[2])
    }

    /// Connections, packets and bytes of all services.
    pub(crate) fn totals(&self) -> [u64; 5] {
        let each = self.services.iter().map(|(_, service)| self.since_zero(Counted::Service(service.id)));
        each.fold([0; 5], |sum, columns| core::array::from_fn(|column| sum[column] + columns[column]))
    }

    /// Statistics start anew.
    pub(super) fn zero(&mut self) {
        let services = self.services.iter().map(|(_, service)| service);
        let counted: Vec<Counted> = services
            .flat_map(|service| {
                let dests = service.dests.iter().map(|dest| Counted::Dest(dest.id));
                dests.chain([Counted::Service(service.id)])
            })
            .collect();
        for counted in counted {
            self.zeroed.insert(counted, self.traffic(counted));
        }
    }

    fn traffic(&self, counted: Counted) -> TrafficStats {
        match counted {
            Counted::Service(id) => self.shared.service(id).expect("counters").read(),
            Counted::Dest(id) => self.shared.dest(id).expect("counters").traffic.read(),
        }
    }

    fn since_zero(&self, counted: Counted) -> [u64; 5] {
        let now = self.traffic(counted);
        let then = self.zeroed.get(&counted).copied().unwrap_or_default();
        [
            now.conns - then.conns,
            now.in_pkts - then.in_pkts,
            now.out_pkts - then.out_pkts,
            now.in_bytes - then.in_bytes,
            now.out_bytes - then.out_bytes,
        ]
    }

    fn blocks(
        &self,
        service_row: impl Fn(&ServiceWords, &Service) -> String,
        dest_row: impl Fn(&Dest) -> String,
    ) -> Vec<Block> {
        let block = |(words, service): &(ServiceWords, Service)| {
            (service_row(words, service), service.dests.iter().rev().map(&dest_row).collect())
        };
        self.services.iter().map(block).collect()
    }
}

/// A row of `/proc/net/ip_vs_conn`, and seconds left.
pub(super) fn connection(view: &ConnView) -> (String, u64) {
    let end = |at: SocketAddr| format!("{} {:04X}", conn_addr(at.ip()), at.port());
    let row = [
        view.protocol.map_or("IP", ipvs::Protocol::name).into(),
        end(view.client),
        end(view.virtual_addr),
        view.destination.map_or_else(String::new, end),
        view.state.into(),
    ];
    (row.join(" "), view.expires_in_ms / 1000)
}

/// A row of `/proc/net/ip_vs_conn_sync`, and seconds left.
pub(super) fn connection_with_origin(view: &ConnView) -> (String, u64) {
    let (row, seconds) = connection(view);
    let origin = if view.flags.has(ConnFlags::SYNC) { "SYNC" } else { "LOCAL" };
    (format!("{row} {origin}"), seconds)
}

fn shown_key(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            format!("{} {}", protocol.name(), SocketAddr::new(addr, port))
        }
        ServiceKey::Mark { mark, .. } => format!("FWM {mark}"),
    }
}

fn proc_key(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            format!("{} {}", protocol.name(), proc_addr(SocketAddr::new(addr, port)))
        }
        ServiceKey::Mark { mark, .. } => format!("FWM {mark:08X}"),
    }
}

fn proc_addr(at: SocketAddr) -> String {
    match at.ip() {
        ip @ IpAddr::V4(_) => format!("{}:{:04X}", conn_addr(ip), at.port()),
        ip @ IpAddr::V6(_) => format!("[{}]:{:04X}", conn_addr(ip), at.port()),
    }
}

fn conn_addr(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => format!("{:08X}", addr.to_bits()),
        IpAddr::V6(addr) => addr.segments().map(|segment| format!("{segment:04x}")).join(":"),
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Masquerade => "Masq",
        Method::Tunnel => "Tunnel",
        Method::DirectRouting => "Route",
        Method::Fullnat => "Fullnat",
    }
}
