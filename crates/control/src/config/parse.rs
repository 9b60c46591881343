//! From the file's text to a [`Config`], with every error at once.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use api::{
    AddrRange, AddressSpec, Cidr, DestSpec, Diagnostic, Mac, Method, NeighbourSpec, PortRange, Protocol,
    RouteSpec, RouteTarget, Scheduler, SchedulerFlag, ServiceSpec, Severity,
};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::{self, Names};
use super::model::{
    Config, Daemon, Dpdk, Hugepages, Idle, Ipvs, Limits, NatSteering, Placement, Pool, Port, Service,
    Steering, Vlan, WORKERS_MAX, Workers,
};
use super::place::{Issue, Place};
use super::section::{Report, Section, Verdict, integer, parse_str};

const ADDRESS: &str = "an address such as \"192.0.2.1\" or \"2001:db8::1\"";
const CIDR: &str = "an address with its prefix length such as \"192.0.2.1/24\" or \"2001:db8::1/64\"";
const TARGET: &str = "\"default\" or a prefix without host bits such as \"198.51.100.0/24\"";
const RANGE: &str = "an address or a range such as \"10.0.2.200-10.0.2.203\"";
const PORTS: &str = "a range of ports from 1 to 65535 such as \"1024-65535\"";
const MAC: &str = "a unicast MAC address such as \"02:00:00:00:02:0b\"";
pub const NAME: &str = "a name of 1 to 63 letters, digits, `.`, `_`, `-`";
const TAP: &str = "an interface name of 1 to 15 letters, digits, `.`, `_`, `-`";
const INTERFACE: &str = "the name of a [[port]] or [[vlan]]";

/// What a text turned out to be.
#[derive(Debug)]
pub struct Parsed {
    /// Only if there is no error.
    pub config: Option<Config>,
    /// Errors and warnings in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and checks a configuration. `file` is its name for the diagnostics.
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut report = Report::new(file, text);
    let (root, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let offset = error.span().map_or(0, |span| span.start);
        report.push(Severity::Error, offset, String::new(), one_line(error.message()));
    }
    let mut reader = Reader::default();
    let config = reader.config(root.get_ref(), &mut report);
    // A text that is no TOML has been read in part only: what seems to be missing may be there.
    if syntax.is_empty() {
        for issue in check::check(&config, &Names { unreadable: reader.unreadable.clone() }, None) {
            let place = reader.in_file(issue.place);
            let Issue { severity, subject, message, .. } = issue;
            let message = if subject.is_empty() { message } else { format!("{subject}: {message}") };
            report.push(severity, place.offset(root.get_ref()), place.to_string(), message);
        }
    }
    let diagnostics = report.into_diagnostics();
    let good = diagnostics.iter().all(|d| d.severity == Severity::Warning);
    Parsed { config: good.then_some(config), diagnostics }
}

/// A text as a configuration that nobody has checked, or what is wrong with its keys and values.
#[cfg(test)]
pub fn read_only(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let mut report = Report::new("", text);
    let (root, syntax) = DeTable::parse_recoverable(text);
    assert!(syntax.is_empty(), "{syntax:?}");
    let config = Reader::default().config(root.get_ref(), &mut report);
    let diagnostics = report.into_diagnostics();
    if diagnostics.is_empty() { Ok(config) } else { Err(diagnostics) }
}

fn one_line(message: &str) -> String {
    message.trim().replace('\n', ", ")
}

/// Remembers which tables could not be read: the others' indices in the file, and names that do exist.
#[derive(Default)]
struct Reader {
    /// Indices in the file of the good tables of each array of tables, if some were bad.
    kept: Vec<(&'static str, Vec<usize>)>,
    /// The same of each service's destinations.
    kept_dests: Vec<(usize, Vec<usize>)>,
    unreadable: HashSet<String>,
}

impl Reader {
    /// A place in the configuration as a place in the file.
    fn in_file(&self, place: Place) -> Place {
        let kept = self.kept.iter().find(|(table, _)| *table == place.table);
        let (Some((_, kept)), Some(index)) = (kept, place.index) else { return place };
        let Some(&in_file) = kept.get(index) else { return place };
        let dests = self.kept_dests.iter().find(|(service, _)| *service == in_file);
        let destination = match (place.destination, dests) {
            (Some(dest), Some((_, kept))) => kept.get(dest).copied(),
            (dest, _) => dest,
        };
        Place { index: Some(in_file), destination, ..place }
    }

    fn config<'s>(&mut self, root: &'s DeTable<'s>, report: &mut Report<'_>) -> Config {
        let mut top = Section::new(root, 0..0, Place::default(), report);
        let config = Config {
            daemon: single(&mut top, "daemon", daemon),
            dpdk: single(&mut top, "dpdk", dpdk),
            workers: single(&mut top, "workers", workers),
            limits: single(&mut top, "limits", limits),
            ports: self.items(&mut top, "port", |s| port(s)),
            vlans: self.items(&mut top, "vlan", |s| vlan(s)),
            addresses: self.items(&mut top, "address", |s| address(s)),
            routes: self.items(&mut top, "route", |s| route(s)),
            neighbours: self.items(&mut top, "neighbour", |s| neighbour(s)),
            pools: self.items(&mut top, "local_pool", |s| pool(s)),
            ipvs: single(&mut top, "ipvs", ipvs),
            steering: single(&mut top, "steering", steering),
            services: self.services(&mut top),
        };
        top.finish();
        config
    }

    /// Every good table of `[[key]]`.
    fn items<'s, T>(
        &mut self,
        top: &mut Section<'s, '_, '_>,
        key: &'static str,
        read: impl Fn(&mut Section<'s, '_, '_>) -> Option<T>,
    ) -> Vec<T> {
        let tables = top.tables(key, "");
        let mut kept = Vec::with_capacity(tables.len());
        let mut items = Vec::with_capacity(tables.len());
        for (index, table) in tables {
            let Some(mut section) = section_of(table, Place::item(key, index), top.report()) else {
                continue;
            };
            let item = read(&mut section);
            match (section.finish(), item) {
                (Verdict::Good, Some(item)) => {
                    kept.push(index);
                    items.push(item);
                }
                _ => self
                    .unreadable
                    .extend(table.get_ref().get("name").and_then(|n| Some(n.get_ref().as_str()?.into()))),
            }
        }
        self.kept.push((key, kept));
        items
    }

    fn services<'s>(&mut self, top: &mut Section<'s, '_, '_>) -> Vec<Arc<Service>> {
        let tables = top.tables("service", "");
        let mut kept = Vec::with_capacity(tables.len());
        let mut services = Vec::with_capacity(tables.len());
        for (index, table) in tables {
            let Some(mut section) = section_of(table, Place::item("service", index), top.report()) else {
                continue;
            };
            let spec = service(&mut section);
            let port = spec.as_ref().map(|spec| spec.port);
            let dest_tables = section.tables("destination", "service");
            let total = dest_tables.len();
            let mut kept_dests = Vec::with_capacity(total);
            let mut dests = Vec::with_capacity(total);
            for (dest_index, table) in dest_tables {
                let place = Place::destination(index, dest_index);
                let Some(mut of_dest) = section_of(table, place, section.report()) else { continue };
                let dest = destination(&mut of_dest, port);
                if let (Verdict::Good, Some(dest)) = (of_dest.finish(), dest) {
                    kept_dests.push(dest_index);
                    dests.push(dest);
                }
            }
            if kept_dests.len() < total {
                self.kept_dests.push((index, kept_dests));
            }
            section.finish();
            if let Some(spec) = spec {
                kept.push(index);
                services.push(Arc::new(Service { spec, dests }));
            }
        }
        self.kept.push(("service", kept));
        services
    }
}

fn section_of<'s, 'r, 'a>(
    value: &'s Spanned<DeValue<'s>>,
    place: Place,
    report: &'r mut Report<'a>,
) -> Option<Section<'s, 'r, 'a>> {
    Some(Section::new(value.get_ref().as_table()?, value.span(), place, report))
}

/// The table `[key]`, or its defaults.
fn single<'s, T: Default>(
    top: &mut Section<'s, '_, '_>,
    key: &'static str,
    read: impl Fn(&mut Section<'s, '_, '_>) -> T,
) -> T {
    let Some(value) = top.raw(key) else { return T::default() };
    if value.get_ref().as_table().is_none() {
        let message = format!("found {}, expected a table written as [{key}]", value.get_ref().type_str());
        top.error(value.span().start, key, message);
    }
    let Some(mut section) = section_of(value, Place::table(key), top.report()) else { return T::default() };
    let value = read(&mut section);
    section.finish();
    value
}

fn daemon(s: &mut Section<'_, '_, '_>) -> Daemon {
    let default = Daemon::default();
    let socket = s.value("socket", "an absolute path of at most 100 bytes", |v| {
        v.as_str().filter(|p| p.starts_with('/') && p.len() <= 100 && !p.contains('\0'))
    });
    Daemon {
        socket: socket.map_or(default.socket, Into::into),
        log: s.string("log", "a log filter such as \"info\"").map_or(default.log, Into::into),
    }
}

fn dpdk(s: &mut Section<'_, '_, '_>) -> Dpdk {
    let default = Dpdk::default();
    let words = [("auto", Hugepages::Auto), ("on", Hugepages::On), ("off", Hugepages::Off)];
    Dpdk {
        hugepages: s.word("hugepages", &words).unwrap_or(default.hugepages),
        memory_mib: s.int("memory_mib", 64..=1 << 20).unwrap_or(default.memory_mib),
        eal_args: s.list("eal_args", "string", |v| Some(v.as_str()?.to_owned())).unwrap_or_default(),
    }
}

fn workers(s: &mut Section<'_, '_, '_>) -> Workers {
    let default = Workers::default();
    let count = s.int("count", 1..=WORKERS_MAX);
    let cpus = s.list("cpus", "CPU number", |v| u16::try_from(integer(v)?).ok().filter(|cpu| *cpu < 1024));
    if let (Some(_), Some(cpus)) = (count, s.raw("cpus")) {
        s.error(cpus.span().start, "cpus", "found both `count` and `cpus`, expected one of them".to_owned());
    }
    if let (Some(list), Some(value)) = (&cpus, s.raw("cpus")) {
        let distinct: HashSet<_> = list.iter().collect();
        if list.is_empty() || list.len() > usize::from(WORKERS_MAX) || distinct.len() < list.len() {
            let message = format!("found {list:?}, expected 1 to {WORKERS_MAX} different CPU numbers");
            s.error(value.span().start, "cpus", message);
        }
    }
    let words = [("poll", Idle::Poll), ("yield", Idle::Yield), ("sleep", Idle::Sleep)];
    Workers {
        placement: cpus.map(Placement::Cpus).or(count.map(Placement::Count)).unwrap_or(default.placement),
        idle: s.word("idle", &words).unwrap_or(default.idle),
    }
}

fn limits(s: &mut Section<'_, '_, '_>) -> Limits {
    let default = Limits::default();
    Limits {
        connections: s.int("connections", 1024..=1_000_000_000).unwrap_or(default.connections),
        services: s.int("services", 1..=1_000_000).unwrap_or(default.services),
        destinations: s.int("destinations", 1..=10_000_000).unwrap_or(default.destinations),
        neighbours: s.int("neighbours", 16..=1_000_000).unwrap_or(default.neighbours),
    }
}

/// A name of a port, VLAN or pool: [`NAME`].
pub fn is_name(name: &str) -> bool {
    is_plain(name, 63)
}

/// Without anything that a shell, a path or a table would mind.
fn is_plain(name: &str, max: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=max).contains(&name.len()) && name.bytes().all(plain) && name != "." && name != ".."
}

fn name(s: &mut Section<'_, '_, '_>) -> Option<String> {
    let name = s.value("name", NAME, |v| v.as_str().filter(|n| is_name(n)));
    s.require("name", name, NAME).map(Into::into)
}

fn interface(s: &mut Section<'_, '_, '_>) -> Option<String> {
    let name = s.string("interface", INTERFACE);
    s.require("interface", name, INTERFACE).map(Into::into)
}

fn unicast_mac(v: &DeValue<'_>) -> Option<Mac> {
    parse_str(v).filter(|mac: &Mac| mac.0[0] & 1 == 0 && mac.0 != [0; 6])
}

fn port(s: &mut Section<'_, '_, '_>) -> Option<Port> {
    let name = name(s);
    let device = s.string("device", "a DPDK device");
    let device = s.require(
        "device",
        device,
        "a DPDK device such as \"net_af_packet0,iface=eth0\" or \"0000:03:00.0\"",
    );
    let mtu = s.int("mtu", 576..=9600).unwrap_or(1500);
    let exception = s.value("exception", TAP, |v| v.as_str().filter(|n| is_plain(n, 15)).map(String::from));
    let rx_queues = s.int("rx_queues", 1..=WORKERS_MAX);
    let descriptors = 64..=32_768_u16;
    let rx_descriptors = s.int("rx_descriptors", descriptors.clone()).unwrap_or(1024);
    let tx_descriptors = s.int("tx_descriptors", descriptors).unwrap_or(1024);
    let promiscuous = s.boolean("promiscuous").unwrap_or(true);
    let mac = s.value("mac", MAC, unicast_mac);
    Some(Port {
        name: name?,
        device: device?.to_owned(),
        mtu,
        exception,
        rx_queues,
        rx_descriptors,
        tx_descriptors,
        promiscuous,
        mac,
    })
}

fn vlan(s: &mut Section<'_, '_, '_>) -> Option<Vlan> {
    let name = name(s);
    let port = s.string("port", "the name of a [[port]]");
    let port = s.require("port", port, "the name of a [[port]]");
    let id = s.int("id", 1..=4094);
    let id = s.require("id", id, "a VLAN from 1 to 4094");
    Some(Vlan { name: name?, port: port?.to_owned(), id: id? })
}

fn address(s: &mut Section<'_, '_, '_>) -> Option<AddressSpec> {
    let interface = interface(s);
    let cidr = s.parsed::<Cidr>("cidr", CIDR);
    let cidr = s.require("cidr", cidr, CIDR);
    Some(AddressSpec { interface: interface?, cidr: cidr? })
}

fn route(s: &mut Section<'_, '_, '_>) -> Option<RouteSpec> {
    let to = s.parsed::<RouteTarget>("to", TARGET);
    let to = s.require("to", to, TARGET);
    let via = s.parsed("via", ADDRESS);
    let interface = s.string("interface", INTERFACE).map(String::from);
    let source = s.parsed("source", ADDRESS);
    let mtu = s.int("mtu", 576..=9600);
    Some(RouteSpec { to: to?, via, interface, source, mtu })
}

fn neighbour(s: &mut Section<'_, '_, '_>) -> Option<NeighbourSpec> {
    let interface = interface(s);
    let address = s.parsed::<IpAddr>("address", ADDRESS);
    let address = s.require("address", address, ADDRESS);
    let mac = s.value("mac", MAC, unicast_mac);
    let mac = s.require("mac", mac, MAC);
    Some(NeighbourSpec { interface: interface?, address: address?, mac: mac? })
}

fn pool(s: &mut Section<'_, '_, '_>) -> Option<Pool> {
    let name = name(s);
    let interface = interface(s);
    let addresses = s.list("addresses", RANGE, parse_str::<AddrRange>);
    let addresses = s.require("addresses", addresses, "an array of addresses and ranges");
    let ports = s.parsed::<PortRange>("ports", PORTS).unwrap_or(Pool::DEFAULT_PORTS);
    Some(Pool { name: name?, interface: interface?, addresses: addresses?, ports })
}

fn ipvs(s: &mut Section<'_, '_, '_>) -> Ipvs {
    let default = Ipvs::default();
    let seconds = 1..=31 * 86_400_u32;
    Ipvs {
        tcp_timeout_s: s.int("tcp_timeout_s", seconds.clone()).unwrap_or(default.tcp_timeout_s),
        tcp_fin_timeout_s: s.int("tcp_fin_timeout_s", seconds.clone()).unwrap_or(default.tcp_fin_timeout_s),
        udp_timeout_s: s.int("udp_timeout_s", seconds).unwrap_or(default.udp_timeout_s),
        expire_nodest_conn: s.boolean("expire_nodest_conn").unwrap_or(default.expire_nodest_conn),
    }
}

fn steering(s: &mut Section<'_, '_, '_>) -> Steering {
    let default = Steering::default();
    let words = [("address", NatSteering::Address), ("endpoint", NatSteering::Endpoint)];
    Steering {
        nat: s.word("nat", &words).unwrap_or(default.nat),
        nat_prefix_v4: s.int("nat_prefix_v4", 1..=32).unwrap_or(default.nat_prefix_v4),
        nat_prefix_v6: s.int("nat_prefix_v6", 1..=128).unwrap_or(default.nat_prefix_v6),
    }
}

fn service(s: &mut Section<'_, '_, '_>) -> Option<ServiceSpec> {
    let protocol = s.parsed::<Protocol>("protocol", Protocol::EXPECTED);
    let protocol = s.require("protocol", protocol, Protocol::EXPECTED);
    let address = s.parsed::<IpAddr>("address", ADDRESS);
    let address = s.require("address", address, ADDRESS);
    let port = s.int("port", 1..=u16::MAX);
    let port = s.require("port", port, "a port from 1 to 65535");
    let scheduler = s.parsed::<Scheduler>("scheduler", Scheduler::EXPECTED);
    let scheduler_absent = s.raw("scheduler").is_none();
    let scheduler_flags =
        s.list("scheduler_flags", SchedulerFlag::EXPECTED, parse_str::<SchedulerFlag>).unwrap_or_default();
    let maglev_table_size = s.int("maglev_table_size", 0..=u32::MAX);
    let local_pool = s.string("local_pool", "the name of a [[local_pool]]").map(String::from);
    let scheduler = if scheduler_absent { Some(Scheduler::Wlc) } else { scheduler };
    Some(ServiceSpec {
        protocol: protocol?,
        address: address?,
        port: port?,
        scheduler: scheduler?,
        scheduler_flags: scheduler_flags.into_iter().collect(),
        maglev_table_size,
        local_pool,
    })
}

/// `service_port`: what a destination has that says none; None if the service itself could not be read.
fn destination(s: &mut Section<'_, '_, '_>, service_port: Option<u16>) -> Option<DestSpec> {
    let address = s.parsed::<IpAddr>("address", ADDRESS);
    let address = s.require("address", address, ADDRESS);
    let port = s.int("port", 1..=u16::MAX).or(service_port);
    let method = s.parsed::<Method>("method", Method::EXPECTED);
    let method = s.require("method", method, Method::EXPECTED);
    let weight = s.int("weight", 0..=65_535).unwrap_or(1);
    let upper_threshold = s.int("upper_threshold", 0..=u32::MAX).unwrap_or(0);
    let lower_threshold = s.int("lower_threshold", 0..=u32::MAX).unwrap_or(0);
    Some(DestSpec {
        address: address?,
        port: port?,
        method: method?,
        weight,
        upper_threshold,
        lower_threshold,
    })
}
