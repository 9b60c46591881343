//! A pipeline between two links, as the machine was that Linux was recorded on: interfaces, addresses, static neighbours.
//! Beyond that machine it has a pool of local addresses, and commands know `--fullnat`.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use inet::{
    Address, AddressRole, DropReason, Iface, IfaceId, NeighLimits, Net, NetConfig, News, PortIndex, Route,
    StaticNeighbour,
};
use ipvs::pool::Pools;
use ipvs::{
    Cursor, Dest, DestId, Director, Limits, LocalPool, Method, NatSteering, PoolId, Protocol, SchedulerKind,
    Service, ServiceId, ServiceKey, ServiceTable, Settings, Snapshot, Steering, Timeouts, Traffic,
    TrafficStats, WorkerId, WorkerShared,
};
use pipeline::{Counters, Pipeline, PipelineLimits, Ports};
use wire::{MacAddr, PacketBuf, VecBuf, ether};

/// What became of a frame.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    /// What left, and where.
    pub out: Vec<(char, Vec<u8>)>,
    /// It was for the host's own stack.
    pub to_host: bool,
    /// What left was made here, not passed on.
    pub made: bool,
    /// Why it, or what it was made of, ended here.
    pub dropped: Option<DropReason>,
}

/// The links: clients and routers on one side, servers on the other.
const SIDES: [char; 2] = ['c', 's'];

/// Addresses of the FULLNAT pool.
pub const LOCAL_ADDRS: [&str; 3] = ["10.0.2.200", "10.0.2.201", "2001:db8:2::c8"];
/// Ports of the FULLNAT pool.
pub const LOCAL_PORTS: RangeInclusive<u16> = 5000..=5003;

pub struct Lab {
    pub pipeline: Pipeline<VecBuf>,
    counters: Arc<Counters>,
    pub shared: Arc<WorkerShared>,
    pub settings: Settings,
    services: Vec<Service>,
    service_ids: HashMap<ServiceKey, ServiceId>,
    dest_ids: HashMap<(ServiceKey, SocketAddr), DestId>,
    zeroed: HashMap<String, TrafficStats>,
    timeouts: Timeouts,
    mtu: [u16; 2],
    generation: u64,
    pub now_ms: u64,
}

impl Lab {
    pub fn new(sysctls: &[(String, u64)]) -> Lab {
        Lab::with_connections(1000, sysctls)
    }

    /// With room for so many connections.
    pub fn with_connections(connections: u32, sysctls: &[(String, u64)]) -> Lab {
        let limits = Limits { connections, services: 16, dests: 64, ..Limits::default() };
        let mut settings = Settings::default();
        for (name, value) in sysctls {
            match name.as_str() {
                "conn_reuse_mode" => settings.conn_reuse_mode = *value as u8,
                "expire_nodest_conn" => settings.expire_nodest_conn = *value != 0,
                "nat_icmp_send" => settings.nat_icmp_send = *value != 0,
                other => panic!("unknown setting {other}"),
            }
        }
        let shared = Arc::new(WorkerShared::new(&limits));
        let mtu = [1500; 2];
        let snapshot = Arc::new(snapshot(0, mtu, &[], settings, Timeouts::default()));
        let director =
            Director::new(WorkerId(0), &limits, snapshot, vec![Arc::clone(&shared)], 1).expect("memory");
        let counters = Arc::new(Counters::default());
        let limits = PipelineLimits { neighbours: NeighLimits::default(), icmp_per_second: 0 };
        let pipeline = Pipeline::new(WorkerId(0), director, limits, Arc::clone(&counters), 1);
        Lab {
            pipeline,
            counters,
            shared,
            services: Vec::new(),
            service_ids: HashMap::new(),
            dest_ids: HashMap::new(),
            zeroed: HashMap::new(),
            settings,
            timeouts: Timeouts::default(),
            mtu,
            generation: 0,
            now_ms: 0,
        }
    }

    /// Time passes; what ends, ends.
    pub fn advance_to(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        let mut wires = self.wires();
        self.pipeline.tick(self.now_ms, 100_000, &mut wires);
    }

    /// A frame from a link, addressed to this host's interface there whatever it says.
    pub fn send(&mut self, side: char, frame: &[u8]) -> Outcome {
        let mut frame = frame.to_vec();
        ether::set_dst(&mut frame, &mac(port(side).0));
        self.receive(side, &frame)
    }

    /// A frame from a link.
    pub fn receive(&mut self, side: char, frame: &[u8]) -> Outcome {
        let dropped =
            |lab: &Self| DropReason::ALL.iter().map(|reason| lab.counters.dropped_for(*reason)).collect();
        let before: Vec<u64> = dropped(self);
        let made = self.counters.generated.get();
        let mut wires = self.wires();
        self.pipeline.receive(self.now_ms, port(side), VecBuf::new(frame), &mut wires);
        let after: Vec<u64> = dropped(self);
        let (came, went) = self.counters.balance();
        assert_eq!(came, went, "every packet is accounted for once");
        Outcome {
            out: wires.out,
            to_host: wires.to_host,
            made: self.counters.generated.get() != made,
            dropped: DropReason::ALL
                .iter()
                .zip(before.iter().zip(after))
                .find(|(_, (b, a))| *b != a)
                .map(|(r, _)| *r),
        }
    }

    fn wires(&self) -> Wires {
        Wires { counters: Arc::clone(&self.counters), out: Vec::new(), to_host: false }
    }

    /// Connections in the tables.
    pub fn connection_count(&self) -> usize {
        self.pipeline.director().connections()
    }

    /// Commands of ipvsadm and ip, separated by `;`.
    pub fn command(&mut self, line: &str) {
        for command in line.split("; ") {
            let words: Vec<&str> = command.split(' ').collect();
            match words[..] {
                ["ip", "link", "set", "dev", side, "mtu", mtu] => {
                    self.mtu[usize::from(side == "s")] = mtu.parse().expect("an MTU");
                }
                ["ipvsadm", "-C"] => self.services.clear(),
                ["ipvsadm", "-Z"] => self.zero(),
                ["ipvsadm", "--set", tcp, fin, udp] => {
                    let set = |to: &mut u64, seconds: &str| match seconds.parse().expect("seconds") {
                        0 => {}
                        seconds => *to = 1000 * seconds,
                    };
                    set(&mut self.timeouts.tcp_ms, tcp);
                    set(&mut self.timeouts.tcp_fin_ms, fin);
                    set(&mut self.timeouts.udp_ms, udp);
                }
                ["ipvsadm", verb, protocol, service, ref rest @ ..] => {
                    let protocol = if protocol == "-t" { Protocol::Tcp } else { Protocol::Udp };
                    let service: SocketAddr = service.parse().expect("address and port");
                    self.ipvsadm(verb, protocol, service, rest);
                }
                _ => panic!("unknown command {command}"),
            }
        }
        self.publish();
    }

    fn ipvsadm(&mut self, verb: &str, protocol: Protocol, service: SocketAddr, rest: &[&str]) {
        let key = ServiceKey::Address { protocol, addr: service.ip(), port: service.port() };
        let option = |name| rest.iter().position(|word| *word == name).map(|at| rest[at + 1]);
        let at = self.services.iter().position(|service| service.key == key);
        match verb {
            "-A" => {
                let next = ServiceId(self.service_ids.len() as u32);
                let id = *self.service_ids.entry(key).or_insert(next);
                let scheduler = option("-s").and_then(SchedulerKind::from_name).expect("a scheduler");
                self.services.push(Service {
                    id,
                    key,
                    scheduler,
                    scheduler_options: ipvs::SchedulerOptions::default(),
                    pool: Some(PoolId(0)),
                    dests: Box::new([]),
                    epoch: 0,
                });
            }
            "-D" => {
                self.services.remove(at.expect("the service"));
            }
            _ => {
                let dest = option("-r").expect("a destination");
                let mut dest = dest
                    .parse()
                    .unwrap_or_else(|_| SocketAddr::new(dest.parse().expect("an address"), service.port()));
                let method = method(rest);
                if method.input_only() && matches!(verb, "-a" | "-e") {
                    dest.set_port(service.port());
                }
                let weight = option("-w").map_or(1, |weight| weight.parse().expect("a weight"));
                let next = DestId(self.dest_ids.len() as u32);
                let id = *self.dest_ids.entry((key, dest)).or_insert(next);
                let upper = option("-x").map_or(0, |upper| upper.parse().expect("a threshold"));
                let made = Dest { id, addr: dest.ip(), port: dest.port(), method, weight, upper, lower: 0 };
                let service = &mut self.services[at.expect("the service")];
                service.epoch += 1;
                let mut dests = std::mem::take(&mut service.dests).into_vec();
                match verb {
                    "-a" => dests.push(made),
                    "-e" => *dests.iter_mut().find(|dest| dest.id == id).expect("the destination") = made,
                    "-d" => dests.retain(|dest| dest.id != id),
                    other => panic!("unknown verb {other}"),
                }
                service.dests = dests.into();
            }
        }
    }

    /// Hands the configuration to the director.
    pub fn publish(&mut self) {
        self.generation += 1;
        let snapshot = snapshot(self.generation, self.mtu, &self.services, self.settings, self.timeouts);
        let mut wires = self.wires();
        self.pipeline.apply(Arc::new(snapshot), &mut wires);
        self.advance_to(self.now_ms);
    }

    /// Rows as in `/proc/net/ip_vs_conn`, and seconds left.
    pub fn connections(&self) -> Vec<(String, u64)> {
        let mut rows = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            cursor = self.pipeline.director().list(self.now_ms, at, 64, |view| {
                let end = |addr: SocketAddr| format!("{} {:04X}", hex(addr.ip()), addr.port());
                let row = [
                    view.protocol.name().into(),
                    end(view.client),
                    end(view.virtual_addr),
                    view.destination.map_or_else(String::new, end),
                    view.state.into(),
                ];
                rows.push((row.join(" "), view.expires_in_ms / 1000));
            });
        }
        rows.sort();
        rows
    }

    /// Rows as `ipvsadm -Ln` has them.
    pub fn list(&self) -> Vec<String> {
        self.rows(
            |service| format!(" {}", service.scheduler.name()),
            |dest| {
                let load = self.shared.dest(dest.id).expect("counters").load();
                let method = match dest.method {
                    Method::Masquerade => "Masq",
                    Method::Tunnel => "Tunnel",
                    Method::DirectRouting => "Route",
                    Method::Fullnat => "Fullnat",
                };
                format!(" {method} {} {} {}", dest.weight, load.active, load.inactive)
            },
        )
    }

    /// Rows as `ipvsadm -Ln --stats` has them.
    pub fn stats(&self) -> Vec<String> {
        self.rows(
            |service| self.since_zero(&format!("{:?}", service.id), self.shared.service(service.id)),
            |dest| {
                self.since_zero(
                    &format!("{:?}", dest.id),
                    self.shared.dest(dest.id).map(|dest| &dest.traffic),
                )
            },
        )
    }

    fn since_zero(&self, name: &str, traffic: Option<&Traffic>) -> String {
        let now = traffic.expect("counters").read();
        let then = self.zeroed.get(name).copied().unwrap_or_default();
        let columns = [
            now.conns - then.conns,
            now.in_pkts - then.in_pkts,
            now.out_pkts - then.out_pkts,
            now.in_bytes - then.in_bytes,
            now.out_bytes - then.out_bytes,
        ];
        columns.map(|column| format!(" {column}")).concat()
    }

    fn zero(&mut self) {
        for service in &self.services {
            let traffic = self.shared.service(service.id).expect("counters");
            self.zeroed.insert(format!("{:?}", service.id), traffic.read());
            for dest in &service.dests {
                let traffic = &self.shared.dest(dest.id).expect("counters").traffic;
                self.zeroed.insert(format!("{:?}", dest.id), traffic.read());
            }
        }
    }

    fn rows(
        &self,
        service_row: impl Fn(&Service) -> String,
        dest_row: impl Fn(&Dest) -> String,
    ) -> Vec<String> {
        let mut blocks: Vec<Vec<String>> = Vec::new();
        for service in &self.services {
            let ServiceKey::Address { protocol, addr, port } = service.key;
            let mut rows =
                vec![format!("{} {}{}", protocol.name(), SocketAddr::new(addr, port), service_row(service))];
            for dest in &service.dests {
                rows.push(format!("-> {}{}", SocketAddr::new(dest.addr, dest.port), dest_row(dest)));
            }
            blocks.push(rows);
        }
        blocks.concat()
    }
}

/// What a pipeline sends, by link.
struct Wires {
    counters: Arc<Counters>,
    out: Vec<(char, Vec<u8>)>,
    to_host: bool,
}

impl Ports<VecBuf> for Wires {
    fn alloc(&mut self) -> Option<VecBuf> {
        Some(VecBuf::new(&[]))
    }

    fn tx(&mut self, port: PortIndex, packet: VecBuf) {
        self.counters.tx.add(1);
        self.out.push((SIDES[usize::from(port.0)], packet.bytes().to_vec()));
    }

    fn to_host(&mut self, _: PortIndex, _: VecBuf) {
        self.counters.to_host.add(1);
        self.to_host = true;
    }

    fn has_host(&self, _: PortIndex) -> bool {
        true
    }

    fn steer(&mut self, _: WorkerId, _: IfaceId, _: VecBuf) {
        panic!("there is one worker");
    }

    fn broadcast(&mut self, _: News) {}
}

/// The hardware address of an interface.
fn mac(iface: u16) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, iface as u8 + 1])
}

fn port(side: char) -> PortIndex {
    PortIndex(u16::from(side == 's'))
}

fn method(words: &[&str]) -> Method {
    words
        .iter()
        .find_map(|word| match *word {
            "-m" => Some(Method::Masquerade),
            "-i" => Some(Method::Tunnel),
            "-g" => Some(Method::DirectRouting),
            "--fullnat" => Some(Method::Fullnat),
            _ => None,
        })
        .unwrap_or(Method::DirectRouting)
}

fn snapshot(
    generation: u64,
    mtu: [u16; 2],
    services: &[Service],
    settings: Settings,
    timeouts: Timeouts,
) -> Snapshot {
    let services = services.iter().cloned().map(Arc::new).collect();
    let pool = LocalPool {
        id: PoolId(0),
        name: "lan".into(),
        addrs: LOCAL_ADDRS.iter().map(|addr| addr.parse().expect("an address")).collect(),
        ports: LOCAL_PORTS,
    };
    Snapshot {
        generation,
        net: net(mtu),
        services: ServiceTable::build(services).expect("valid services"),
        pools: Pools::build(&[pool]),
        steering: Steering::new(1, [7; 16], NatSteering::Address { v4_prefix: 32, v6_prefix: 128 }),
        timeouts,
        settings,
    }
}

fn net(mtu: [u16; 2]) -> Net {
    let iface = |id: u16, name: &str| Iface {
        id: IfaceId(id),
        name: name.into(),
        port: PortIndex(id),
        vlan: None,
        mac: mac(id),
        mtu: mtu[usize::from(id)],
    };
    let local = |addr: &&str| {
        let addr: IpAddr = addr.parse().expect("an address");
        let prefix_len = if addr.is_ipv4() { 32 } else { 128 };
        Address { iface: IfaceId(1), addr, prefix_len, role: AddressRole::Local }
    };
    let address = |iface, addr: &str, prefix_len| Address {
        iface: IfaceId(iface),
        addr: addr.parse().expect("an address"),
        prefix_len,
        role: AddressRole::Host,
    };
    let default = |any: &str, via: &str| Route {
        prefix: (any.parse().expect("an address"), 0),
        iface: IfaceId(0),
        gateway: Some(via.parse().expect("an address")),
        source: None,
        mtu: None,
    };
    let hosts = [
        address(0, "192.0.2.1", 24),
        address(0, "192.0.2.100", 32),
        address(0, "2001:db8:1::1", 64),
        address(0, "2001:db8:1::100", 128),
        address(1, "10.0.2.1", 24),
        address(1, "2001:db8:2::1", 64),
    ];
    Net::build(NetConfig {
        ifaces: vec![iface(0, "c"), iface(1, "s")],
        addresses: hosts.into_iter().chain(LOCAL_ADDRS.iter().map(local)).collect(),
        neighbours: neighbours(),
        routes: vec![default("0.0.0.0", "192.0.2.254"), default("::", "2001:db8:1::fe")],
        ..NetConfig::default()
    })
    .expect("a valid network")
}

/// All neighbours are static: the default gateway, and real servers by the last byte of their address.
fn neighbours() -> Vec<StaticNeighbour> {
    let neighbour = |iface, addr: String, last: [u8; 2]| StaticNeighbour {
        iface: IfaceId(iface),
        addr: addr.parse().expect("an address"),
        mac: MacAddr([2, 0, 0, 0, last[0], last[1]]),
    };
    let gateways = ["192.0.2.254", "2001:db8:1::fe"].map(|addr| neighbour(0, addr.into(), [0, 0xfe]));
    let servers = (11..=18).chain([254]).flat_map(|n: u8| {
        [format!("10.0.2.{n}"), format!("2001:db8:2::{n:x}")].map(|addr| neighbour(1, addr, [2, n]))
    });
    gateways.into_iter().chain(servers).collect()
}

fn hex(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(addr) => format!("{:08X}", addr.to_bits()),
        IpAddr::V6(addr) => addr.segments().map(|segment| format!("{segment:04x}")).join(":"),
    }
}
