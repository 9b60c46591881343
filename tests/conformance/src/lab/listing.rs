//! What ipvsadm and `/proc` show, as rows whose words are separated by one blank.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipvs::{
    ClientMask, ConnFlags, ConnView, Cursor, Dest, DestId, GueChecksum, Method, Persistence, Service,
    ServiceId, ServiceKey, TrafficStats, Tunnel,
};
use wire::Family;

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
    /// Services as a listing has them, in the order of Linux's hash table, and destinations in the order that schedulers walk.
    pub(crate) fn list(&self, listing: Listing) -> Vec<Block> {
        let proc = listing == Listing::Proc;
        let service_row = |words: &ServiceWords, service: &Service| {
            let flags = match &words.scheduler_flags[..] {
                [] => String::new(),
                _ if proc => String::new(),
                flags => format!(" ({})", flags.join(",")),
            };
            if listing == Listing::Rate {
                return shown_key(&service.key);
            }
            let key = if proc { proc_key(&service.key) } else { shown_key(&service.key) };
            if listing == Listing::Saved {
                return saved_service(words, service);
            }
            let persistent =
                service.persistence.map_or(String::new(), |persistence| persistent(persistence, proc));
            // Linux leaves it out of `/proc` where the address is IPv6.
            let hidden = proc && matches!(service.key, ServiceKey::Address { addr: IpAddr::V6(_), .. });
            let one_packet = if service.one_packet && !hidden { " ops" } else { "" };
            let engine = service.engine.filter(|_| service.persistence.is_some());
            let engine = engine.map_or(String::new(), |engine| format!(" pe {}", engine.name()));
            let scheduler = service.scheduler.name();
            match proc {
                true => format!("{key} {scheduler}{one_packet}{persistent}"),
                false => format!("{key} {scheduler}{flags}{persistent}{engine}{one_packet}"),
            }
        };
        let dest_row = |dest: &Dest| {
            let load = self.shared.dest(dest.id).expect("counters").load();
            let addr = SocketAddr::new(dest.addr, dest.port);
            if listing == Listing::Saved {
                return saved_dest(addr, dest);
            }
            if listing == Listing::Rate {
                return format!("-> {addr}");
            }
            let addr = if proc { proc_addr(addr) } else { addr.to_string() };
            let middle = match listing {
                Listing::Thresholds => format!("{} {}", dest.upper, dest.lower),
                Listing::Persistent => format!("{} {}", dest.weight, self.templates(dest.id)),
                _ => format!("{} {}", method(dest.method), dest.weight),
            };
            format!("-> {addr} {middle} {} {}", load.active, load.inactive)
        };
        let mut blocks = self.blocks(service_row, dest_row);
        if let Listing::One(key) = listing {
            let mut places = self.in_order(ipvs::listing::SALT).into_iter();
            let at = places.position(|at| self.services[at].0.key == key);
            blocks = at.map(|at| blocks.swap_remove(at)).into_iter().collect();
        }
        blocks
    }

    /// Services as a listing has them that the kernel's order is seen in, with each salt that its hash may have.
    pub(crate) fn list_by_salt(&self, listing: Listing) -> impl Iterator<Item = Vec<Block>> {
        let listed = self.list(listing);
        let ours = self.in_order(ipvs::listing::SALT);
        (0..=u8::MAX).map(move |salt| {
            let place = |at| ours.iter().position(|ours| *ours == at).expect("the same services");
            self.in_order(salt).into_iter().map(|at| listed[place(at)].clone()).collect()
        })
    }

    /// Places of services in the order of listings.
    fn in_order(&self, salt: u8) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.services.len()).collect();
        ipvs::listing::order(&mut places, salt, |at| self.services[*at].1.key);
        places
    }

    /// Templates that a destination has.
    fn templates(&self, dest: DestId) -> usize {
        let mut count = 0;
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            cursor = self.pipeline.director().list(self.now_ms, at, 64, |view| {
                count += usize::from(view.dest == dest && view.flags.has(ConnFlags::TEMPLATE));
            });
        }
        count
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

    /// A service that is made again counts from nothing; its destinations, if they had connections, go on.
    pub(super) fn zero_service(&mut self, id: ServiceId) {
        let counted = Counted::Service(id);
        self.zeroed.insert(counted, self.traffic(counted));
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
        self.in_order(ipvs::listing::SALT).into_iter().map(|at| block(&self.services[at])).collect()
    }
}

/// How long and for whom a service remembers its clients. In `/proc` time is in ticks of Linux's clock, and an IPv6 prefix is
/// shown with its bytes the other way round.
fn persistent(persistence: Persistence, proc: bool) -> String {
    const TICK_MS: u64 = 4;
    let seconds = persistence.timeout_ms / 1000;
    match (persistence.mask, proc) {
        (ClientMask::V4(mask), true) => {
            format!(" persistent {} {:08X}", persistence.timeout_ms / TICK_MS, mask.to_bits())
        }
        (ClientMask::V6(prefix), true) => {
            let mask = u32::from(prefix).swap_bytes();
            format!(" persistent {} {mask:08X}", persistence.timeout_ms / TICK_MS)
        }
        (ClientMask::V4(Ipv4Addr::BROADCAST) | ClientMask::V6(128), false) => {
            format!(" persistent {seconds}")
        }
        (ClientMask::V4(mask), false) => format!(" persistent {seconds} mask {mask}"),
        (ClientMask::V6(prefix), false) => format!(" persistent {seconds} mask {prefix}"),
    }
}

/// A line of `ipvsadm -Sn`, without the service's name, which stands before destinations too.
fn saved_service(words: &ServiceWords, service: &Service) -> String {
    let persistent = service.persistence.map_or(String::new(), |p| format!(" -p {}", p.timeout_ms / 1000));
    let flags = match &words.scheduler_flags[..] {
        [] => String::new(),
        flags => format!(" -b {}", flags.join(",")),
    };
    let one_packet = if service.one_packet { " -o" } else { "" };
    let name = saved_key(&service.key);
    format!("-A {name} -s {}{persistent}{flags}{one_packet}", service.scheduler.name())
}

/// A line of `ipvsadm -Sn`, without the service that it belongs to.
fn saved_dest(addr: SocketAddr, dest: &Dest) -> String {
    let method = match dest.method {
        Method::Masquerade => "-m",
        Method::Tunnel => "-i",
        _ => "-g",
    };
    let tunnel = match dest.tunnel {
        Tunnel::Ipip => String::new(),
        Tunnel::Gre { checksum } => format!(" --tun-type gre{}", if checksum { " --tun-csum" } else { "" }),
        Tunnel::Gue { port, checksum } => {
            let checksum = match checksum {
                GueChecksum::None => "",
                GueChecksum::Full => " --tun-csum",
                GueChecksum::Remote => " --tun-remcsum",
            };
            format!(" --tun-type gue --tun-port {port}{checksum}")
        }
    };
    format!("-r {addr} {method} -w {}{tunnel}", dest.weight)
}

fn saved_key(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            let at = SocketAddr::new(addr, port);
            match protocol.name() {
                "TCP" => format!("-t {at}"),
                "UDP" => format!("-u {at}"),
                _ => format!("--sctp-service {at}"),
            }
        }
        ServiceKey::Mark { mark, family: Family::V4 } => format!("-f {mark}"),
        ServiceKey::Mark { mark, family: Family::V6 } => format!("-f {mark} -6"),
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
    let call = view.call.map_or(String::new(), |call| format!(" sip {}", call.id()));
    (row.join(" ") + &call, view.expires_in_ms / 1000)
}

/// A row of `/proc/net/ip_vs_conn_sync`, and seconds left.
pub(super) fn connection_with_origin(view: &ConnView) -> (String, u64) {
    let (row, seconds) = connection(&ConnView { call: None, ..*view });
    let origin = if view.flags.has(ConnFlags::SYNC) { "SYNC" } else { "LOCAL" };
    (format!("{row} {origin}"), seconds)
}

fn shown_key(key: &ServiceKey) -> String {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            format!("{} {}", protocol.name(), SocketAddr::new(addr, port))
        }
        ServiceKey::Mark { mark, family: Family::V4 } => format!("FWM {mark}"),
        ServiceKey::Mark { mark, family: Family::V6 } => format!("FWM {mark} IPv6"),
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
        Method::LocalNode => "Local",
        Method::Bypass => "Bypass",
    }
}
