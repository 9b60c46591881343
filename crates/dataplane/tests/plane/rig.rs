//! A data plane whose ports are wires to the test: each is one end of a memif link, whose other end the test holds. A frame
//! can be put into any receive queue, and all that is sent can be read.
//!
//! DPDK starts once per process, so each test runs in one of its own; see [`isolated`].

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{Idle, Plane, PlaneConfig, PortSetup};
use dpdk::{Burst, EalConfig, Hugepages, LogLevel, Mempool, Port, PortConfig, RxQueue, TxQueue};
use inet::{
    Address, AddressRole, DropReason, Iface, IfaceId, NeighLimits, Net, NetConfig, PortIndex,
    ReassemblyLimits, Route, StaticNeighbour,
};
use ipvs::pool::Pools;
use ipvs::{
    Cursor, Dest, DestId, Limits, LocalPool, Method, NatSteering, PoolId, Protocol, SchedulerKind, Service,
    ServiceId, ServiceKey, ServiceTable, Settings, Snapshot, Steering, Timeouts, WorkerId,
};
use wire::{MacAddr, PacketBuf};

/// How long anything may take.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Frames on their way at a time: fewer than a queue holds, so that none is lost for want of room.
const WINDOW: usize = 256;
/// The virtual addresses; port 80 is served by FULLNAT, port 81 by masquerading.
pub const VIPS: [&str; 2] = ["192.0.2.100", "2001:db8:1::100"];

/// Runs a test's body in a process of its own.
pub fn isolated(test: &str, body: impl FnOnce()) {
    const CHILD: &str = "RVS_ISOLATED_TEST";
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let program = std::env::current_exe().expect("a running program has a name");
    let output = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("this program can be run");
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{test} in its own process: {}\n{text}", output.status);
}

/// Which side of the data plane: clients, or servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Wan,
    Lan,
}

impl Side {
    /// The interface's hardware address.
    pub fn mac(self) -> MacAddr {
        MacAddr([2, 0, 0, 0, 0, self as u8 + 1])
    }
}

/// What a rig is made of.
pub struct Shape {
    pub workers: u16,
    /// Receive queues of each port.
    pub queues: u16,
    /// Packets that rings hold.
    pub ring_size: u32,
}

/// The test's end of a wire.
struct End {
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
    _port: Port,
}

/// A running data plane and the far ends of its wires.
pub struct Rig {
    pub plane: Plane,
    pub snapshot: Arc<Snapshot>,
    workers: u16,
    pool: Mempool,
    ends: [End; 2],
}

impl Rig {
    /// The rig stays until the process ends: memif's two ends in one process free each other's memory when they close,
    /// on two threads at once.
    pub fn start(shape: &Shape) -> &'static mut Rig {
        Self::start_with(shape, |_| ())
    }

    /// The same, with the configuration changed.
    pub fn start_with(shape: &Shape, change: impl FnOnce(&mut PlaneConfig)) -> &'static mut Rig {
        let mut config = config(shape);
        change(&mut config);
        let mut plane = Plane::open(config).expect("the data plane opens");
        let eal = plane.eal();
        let pool = Mempool::new(eal, "ends", 8191, 64, 4096, None).expect("memory for the ends");
        let ends = ["net_memif2", "net_memif3"].map(|device| end(eal, device, shape, &pool));
        let snapshot = snapshot(1, shape.workers);
        plane.start(&snapshot, || panic!("a thread of the data plane panicked")).expect("the workers start");
        Box::leak(Box::new(Rig { plane, snapshot, workers: shape.workers, pool, ends }))
    }

    /// Puts a frame into a receive queue, waiting while the wire is full.
    pub fn inject(&mut self, side: Side, queue: u16, frame: &[u8]) {
        self.inject_burst(side, queue, std::slice::from_ref(&frame.to_vec()));
    }

    /// Puts up to 32 frames into a receive queue at once.
    pub fn inject_burst(&mut self, side: Side, queue: u16, frames: &[Vec<u8>]) {
        let mut burst: Burst = Burst::new();
        for frame in frames {
            let mut packet = self.pool.alloc().expect("the ends have packets");
            packet.append(frame.len()).expect("a frame fits");
            packet.bytes_mut().copy_from_slice(frame);
            assert!(burst.push(packet).is_ok(), "at most a burst");
        }
        let until = Instant::now() + DEADLINE;
        while !burst.is_empty() {
            self.ends[side as usize].tx[usize::from(queue)].send(&mut burst);
            assert!(Instant::now() < until, "the wire stays full");
        }
    }

    /// All TCP frames that were sent on one side since the last look. What the data plane makes itself (ARP, ND) is left out.
    pub fn sent(&mut self, side: Side) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut burst: Burst = Burst::new();
        for queue in &mut self.ends[side as usize].rx {
            while queue.burst(&mut burst) > 0 {
                frames.extend(
                    burst.drain().map(|packet| packet.bytes().to_vec()).filter(|frame| is_tcp(frame)),
                );
            }
        }
        frames
    }

    /// Puts frames in on one side, each into its queue, and waits until `want` have come out on the other, in that order.
    pub fn exchange(&mut self, from: Side, frames: &[(u16, Vec<u8>)], want: usize) -> Vec<Vec<u8>> {
        let to = if from == Side::Wan { Side::Lan } else { Side::Wan };
        let (mut out, mut put) = (Vec::new(), 0);
        let until = Instant::now() + DEADLINE;
        while out.len() < want {
            while put < frames.len() && put < out.len() + WINDOW {
                let (queue, frame) = &frames[put];
                self.inject(from, *queue, frame);
                put += 1;
            }
            out.extend(self.sent(to));
            assert!(Instant::now() < until, "{} of {want} frames came out; {}", out.len(), self.story());
            std::thread::yield_now();
        }
        out
    }

    /// All connections, with the worker that has them.
    pub fn connections(&self) -> Vec<(WorkerId, ipvs::ConnView)> {
        let mut all = Vec::new();
        for worker in (0..self.workers).map(WorkerId) {
            let mut cursor = Some(Cursor::default());
            while let Some(from) = cursor {
                let page = self.plane.connections(worker, from).expect("the worker answers");
                all.extend(page.connections.into_iter().map(|view| (worker, view)));
                cursor = page.next;
            }
        }
        all
    }

    /// Packets dropped for a reason, by all workers.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.plane.counters().iter().map(|counters| counters.dropped_for(reason)).sum()
    }

    /// Packets handed from worker to worker: pushed, and taken.
    pub fn handed_over(&self) -> (u64, u64) {
        let all = self.plane.counters();
        (
            all.iter().map(|worker| worker.to_ring.get()).sum(),
            all.iter().map(|worker| worker.from_ring.get()).sum(),
        )
    }

    /// Stops, and holds every worker to the conservation law, and all of them together to that of the rings.
    pub fn stop(&mut self) {
        self.plane.stop();
        for (worker, counters) in self.plane.counters().iter().enumerate() {
            let (came, went) = counters.balance();
            assert_eq!(came, went, "worker {worker}: {counters:?}");
        }
        let (pushed, taken) = self.handed_over();
        assert_eq!(pushed, taken, "nothing is left on rings");
    }

    /// What was dropped, in words.
    pub fn story(&self) -> String {
        let drops = DropReason::ALL.iter().map(|&reason| (reason.name(), self.dropped(reason)));
        format!("drops: {:?}", drops.filter(|(_, count)| *count > 0).collect::<Vec<_>>())
    }
}

fn is_tcp(frame: &[u8]) -> bool {
    matches!(wire::parse::parse(frame), Ok(wire::parse::Parsed::Ip(info)) if info.protocol == wire::protocol::TCP)
}

fn config(shape: &Shape) -> PlaneConfig {
    let port = |name: &str, id: u16| PortSetup {
        name: name.to_owned(),
        device: format!("net_memif{id},role=server,id={id},{}", socket()),
        mtu: 1500,
        mac: None,
        rx_queues: Some(shape.queues),
        rx_descriptors: None,
        tx_descriptors: None,
        promiscuous: true,
        exception: None,
    };
    let far = |id: u16| format!("--vdev=net_memif{},role=client,id={id},{}", id + 2, socket());
    PlaneConfig {
        eal: EalConfig { extra_args: vec![far(0), far(1)], ..eal() },
        ports: vec![port("wan", 0), port("lan", 1)],
        ..plane_config(shape.workers, shape.ring_size)
    }
}

/// An abstract socket that no other process has.
fn socket() -> String {
    format!("socket=rvs-test-{},socket-abstract=yes", std::process::id())
}

pub fn eal() -> EalConfig {
    EalConfig {
        hugepages: Hugepages::Off,
        memory_mib: 160,
        log_level: LogLevel::Error,
        ..EalConfig::default()
    }
}

/// A configuration without ports.
pub fn plane_config(workers: u16, ring_size: u32) -> PlaneConfig {
    PlaneConfig {
        eal: eal(),
        ports: Vec::new(),
        workers: vec![None; usize::from(workers)],
        idle: Idle::Sleep,
        limits: Limits { connections: 4096, services: 16, dests: 64, ..Limits::default() },
        neighbours: NeighLimits::default(),
        reassembly: ReassemblyLimits::default(),
        large_mbufs: 16,
        icmp_per_second: 0,
        mbufs: 16383,
        ring_size,
        seed: 7,
    }
}

fn end(eal: &'static dpdk::Eal, device: &str, shape: &Shape, pool: &Mempool) -> End {
    let idle = Port::by_device_name(eal, device).expect("the far end is there");
    let config = PortConfig {
        // The data plane has a transmit queue for each worker, which is a receive queue here.
        rx_queues: shape.workers,
        tx_queues: shape.queues,
        ..PortConfig::new(device)
    };
    let port = idle.configure(&config, pool).expect("the far end starts");
    let until = Instant::now() + DEADLINE;
    while !port.link().is_ok_and(|link| link.up) {
        assert!(Instant::now() < until, "the wire does not come up");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut rx: Vec<_> =
        (0..shape.workers).map(|queue| port.rx_queue(queue).expect("an own queue")).collect();
    // A memif client gives its peer room for frames when it polls.
    rx.iter_mut().for_each(|queue| assert_eq!(queue.burst(&mut Burst::<32>::new()), 0));
    let tx = (0..shape.queues).map(|queue| port.tx_queue(queue).expect("an own queue")).collect();
    End { rx, tx, _port: port }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The configuration that all tests have; only the generation differs.
pub fn snapshot(generation: u64, workers: u16) -> Arc<Snapshot> {
    let pool = LocalPool {
        id: PoolId(0),
        name: "lan".into(),
        addrs: ["10.0.2.200", "2001:db8:2::c8"].map(address).into(),
        ports: 1024..=65535,
    };
    Arc::new(Snapshot {
        generation,
        net: net(),
        services: ServiceTable::build(services(generation)).expect("valid services"),
        pools: Pools::build(&[pool]),
        steering: Steering::new(workers, [7; 16], NatSteering::Address { v4_prefix: 32, v6_prefix: 128 }),
        timeouts: Timeouts::default(),
        settings: Settings::default(),
    })
}

/// Each virtual address with two services of two destinations each; the generation changes their weights.
fn services(generation: u64) -> Vec<Arc<Service>> {
    let service = |index: u32| {
        let (vip, masquerades) = (address(VIPS[index as usize / 2]), index % 2 == 1);
        let dest = |place: u32| {
            let last = 11 + index * 2 + place;
            let addr = if vip.is_ipv4() { format!("10.0.2.{last}") } else { format!("2001:db8:2::{last:x}") };
            let method = if masquerades { Method::Masquerade } else { Method::Fullnat };
            Dest {
                weight: 1 + (generation as u32 + place) % 3,
                ..Dest::new(DestId(index * 2 + place), address(&addr), 8080, method)
            }
        };
        let port = if masquerades { 81 } else { 80 };
        let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: vip, port };
        Arc::new(Service {
            pool: Some(PoolId(0)),
            dests: [dest(0), dest(1)].into(),
            epoch: generation,
            ..Service::new(ServiceId(index), key, SchedulerKind::Wrr)
        })
    };
    (0..4).map(service).collect()
}

fn net() -> Net {
    let iface = |side: Side, name: &str| Iface {
        id: IfaceId(side as u16),
        name: name.into(),
        port: PortIndex(side as u16),
        vlan: None,
        mac: side.mac(),
        mtu: 1500,
    };
    let own = |side: Side, addr: &str, prefix_len, role| Address {
        iface: IfaceId(side as u16),
        addr: address(addr),
        prefix_len,
        role,
    };
    let default = |any: &str, via: &str| Route {
        prefix: (address(any), 0),
        iface: IfaceId(0),
        gateway: Some(address(via)),
        source: None,
        mtu: None,
    };
    Net::build(NetConfig {
        ifaces: vec![iface(Side::Wan, "wan"), iface(Side::Lan, "lan")],
        addresses: vec![
            own(Side::Wan, "192.0.2.1", 24, AddressRole::Host),
            own(Side::Wan, VIPS[0], 32, AddressRole::Host),
            own(Side::Wan, "2001:db8:1::1", 64, AddressRole::Host),
            own(Side::Wan, VIPS[1], 128, AddressRole::Host),
            own(Side::Lan, "10.0.2.1", 24, AddressRole::Host),
            own(Side::Lan, "2001:db8:2::1", 64, AddressRole::Host),
            own(Side::Lan, "10.0.2.200", 32, AddressRole::Local),
            own(Side::Lan, "2001:db8:2::c8", 128, AddressRole::Local),
        ],
        routes: vec![default("0.0.0.0", "192.0.2.254"), default("::", "2001:db8:1::fe")],
        neighbours: neighbours(),
        ..NetConfig::default()
    })
    .expect("a valid network")
}

/// Everyone is known, so that no frame waits.
fn neighbours() -> Vec<StaticNeighbour> {
    let known = |side: Side, addr: String| StaticNeighbour {
        iface: IfaceId(side as u16),
        addr: address(&addr),
        mac: MacAddr([2, 0, 0, 0, 9, side as u8]),
    };
    let gateways = ["192.0.2.254", "2001:db8:1::fe"].map(|addr| known(Side::Wan, addr.into()));
    let servers = (11..=18).flat_map(|last| {
        [known(Side::Lan, format!("10.0.2.{last}")), known(Side::Lan, format!("2001:db8:2::{last:x}"))]
    });
    gateways.into_iter().chain(servers).collect()
}

/// The client of a flow: every flow has its own endpoint, some share an address.
pub fn client(flow: u32) -> SocketAddr {
    let port = 20_000 + flow as u16;
    let host = flow % 61 + 1;
    let addr = if flow % 4 < 2 { format!("198.51.100.{host}") } else { format!("2001:db8:9::{host:x}") };
    SocketAddr::new(address(&addr), port)
}

/// The service of a flow.
pub fn service(flow: u32) -> SocketAddr {
    SocketAddr::new(address(VIPS[(flow % 4 / 2) as usize]), 80 + (flow % 2) as u16)
}
