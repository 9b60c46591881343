//! A pipeline between links, as the machine was that Linux was recorded on: interfaces, addresses, static neighbours.
//! Beyond that machine it has a pool of local addresses, and commands know `--fullnat`.

mod configuration;
mod host;
mod listing;
mod network;
mod synchronisation;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use inet::{DropReason, IfaceId, NeighLimits, News, PortIndex, ReassemblyLimits};
use ipvs::marks::{MarkRule, Marks};
use ipvs::pool::Pools;
use ipvs::sync::Record;
use ipvs::{
    ConnView, Cursor, DestId, Director, Helpers, Limits, NatSteering, Service, ServiceId, ServiceKey,
    ServiceTable, Settings, Snapshot, Steering, Timeouts, TrafficStats, WorkerId, WorkerShared,
};
use pipeline::{Counters, Pipeline, PipelineLimits, Ports, Steered};
use wire::{PacketBuf, VecBuf, ether};

use crate::command::{self, Key, ServiceWords};
use crate::{Feature, Frame};

pub(crate) use configuration::Refusal;
pub(crate) use listing::Block;
pub use network::{LOCAL_ADDRS, LOCAL_PORTS};
pub(crate) use synchronisation::is_igmp;

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

/// The links: clients and routers, servers, synchronisation.
const SIDES: [char; 3] = ['c', 's', 'm'];

/// A director with the links and neighbours of the recordings. Time passes when it is told to.
pub struct Lab {
    /// What is tested.
    pub pipeline: Pipeline<VecBuf>,
    /// What the worker shows to others: gauges and statistics.
    pub shared: Arc<WorkerShared>,
    /// The switches; [`Self::publish`] makes changes known.
    pub settings: Settings,
    /// Which ports have a helper.
    pub helpers: Helpers,
    /// The time.
    pub now_ms: u64,
    /// Whether the host answers what it is given, as one that nobody listens on; else what it is given ends there.
    pub host_answers: bool,
    /// Whether frames go through the director as bursts do, of which each is one, or as single packets.
    pub in_bursts: bool,
    counters: Arc<Counters>,
    services: Vec<(ServiceWords, Service)>,
    /// What the director was last given: what follows goes by what was.
    table: ServiceTable,
    /// Services that rvs cannot have, and why.
    refused: HashMap<Key, Feature>,
    service_ids: HashMap<ServiceKey, ServiceId>,
    dest_ids: HashMap<(ServiceKey, SocketAddr), DestId>,
    zeroed: HashMap<listing::Counted, TrafficStats>,
    timeouts: Timeouts,
    mtu: [u16; SIDES.len()],
    /// Rules that mark packets.
    marks: Vec<MarkRule>,
    generation: u64,
    daemons: synchronisation::Daemons,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// With room for a thousand connections.
    pub fn new() -> Self {
        Self::with_connections(1000)
    }

    /// With room for so many connections.
    pub fn with_connections(connections: u32) -> Self {
        let limits = Limits { connections, services: 256, dests: 1024, ..Limits::default() };
        let (settings, timeouts, mtu) = (Settings::default(), Timeouts::default(), [1500; SIDES.len()]);
        let shared = Arc::new(WorkerShared::new(&limits));
        let snapshot = Arc::new(snapshot(0, mtu, ServiceTable::default(), settings, timeouts));
        let director =
            Director::new(WorkerId(0), &limits, snapshot, vec![Arc::clone(&shared)], 1).expect("memory");
        let counters = Arc::new(Counters::default());
        let limits = PipelineLimits {
            neighbours: NeighLimits::default(),
            reassembly: ReassemblyLimits::default(),
            icmp_per_second: 0,
        };
        Self {
            pipeline: Pipeline::new(WorkerId(0), director, limits, Arc::clone(&counters), 1),
            shared,
            settings,
            helpers: Helpers::NONE,
            now_ms: 0,
            host_answers: false,
            in_bursts: true,
            counters,
            services: Vec::new(),
            table: ServiceTable::default(),
            refused: HashMap::new(),
            service_ids: HashMap::new(),
            dest_ids: HashMap::new(),
            zeroed: HashMap::new(),
            timeouts,
            mtu,
            marks: Vec::new(),
            generation: 0,
            daemons: synchronisation::Daemons::default(),
        }
    }

    /// Time passes; what ends, ends. Returns what left meanwhile.
    pub fn advance_to(&mut self, now_ms: u64) -> Vec<Frame> {
        let before_ms = self.now_ms;
        self.now_ms = self.now_ms.max(now_ms);
        let mut wires = self.wires();
        self.pipeline.tick(self.now_ms, 100_000, &mut wires);
        let mut out: Vec<_> = wires.out.into_iter().map(|(side, bytes)| Frame { side, bytes }).collect();
        out.extend(self.daemons_until(before_ms, self.now_ms));
        out
    }

    /// A frame from a link, addressed to this host's interface there whatever it says.
    pub fn send(&mut self, side: char, frame: &[u8]) -> Outcome {
        let mut frame = frame.to_vec();
        ether::set_dst(&mut frame, &network::mac(port(side).0));
        self.receive(side, &frame)
    }

    /// A frame from a link.
    pub fn receive(&mut self, side: char, frame: &[u8]) -> Outcome {
        let dropped =
            |lab: &Self| DropReason::ALL.iter().map(|reason| lab.counters.dropped_for(*reason)).collect();
        let before: Vec<u64> = dropped(self);
        let made = self.counters.generated.get();
        let mut wires = self.wires();
        let packet = VecBuf::new(frame);
        match self.in_bursts {
            true => self.pipeline.receive_burst(self.now_ms, port(side), &mut [Some(packet)], &mut wires),
            false => self.pipeline.receive(self.now_ms, port(side), packet, &mut wires),
        }
        self.tell(std::mem::take(&mut wires.records));
        let to_host = !wires.to_host.is_empty();
        if to_host {
            self.host_receives(side, frame);
        }
        for given in std::mem::take(&mut wires.to_host).into_iter().filter(|_| self.host_answers) {
            let net = &self.pipeline.director().snapshot().net;
            if let Some((port, answer)) = host::answer(net, &given) {
                let port = PortIndex(port as u16);
                self.pipeline.receive_from_host(self.now_ms, port, VecBuf::new(&answer), &mut wires);
            }
        }
        let after: Vec<u64> = dropped(self);
        let (came, went) = self.counters.balance();
        assert_eq!(came, went, "every packet is accounted for once");
        Outcome {
            // Of what the host sends Linux repeats no more than of what the director makes.
            made: self.counters.generated.get() != made + wires.large || (to_host && !wires.out.is_empty()),
            out: wires.out,
            to_host,
            dropped: DropReason::ALL
                .iter()
                .zip(before.iter().zip(after))
                .find(|(_, (b, a))| *b != a)
                .map(|(r, _)| *r),
        }
    }

    fn wires(&self) -> Wires {
        let counters = Arc::clone(&self.counters);
        Wires { counters, out: Vec::new(), to_host: Vec::new(), records: Vec::new(), large: 0 }
    }

    /// Connections in the tables.
    pub fn connection_count(&self) -> usize {
        self.pipeline.director().connections()
    }

    /// Commands of ipvsadm and ip, separated by `;`, which must be of the kind that rvs can do.
    pub fn command(&mut self, line: &str) {
        for command in command::parse(line) {
            self.run(&command).unwrap_or_else(|refusal| panic!("`{line}`: {refusal:?}"));
        }
    }

    /// Hands the configuration to the director.
    pub fn publish(&mut self) {
        self.generation += 1;
        let served = |service: &Service| Service { helpers: self.helpers, ..service.clone() };
        let services = self.services.iter().map(|(_, service)| Arc::new(served(service))).collect();
        let table = ServiceTable::build_after(&self.table, services).expect("valid services");
        self.table = table.with_marks(Arc::new(Marks::new(self.marks.clone())));
        let snapshot = snapshot(self.generation, self.mtu, self.table.clone(), self.settings, self.timeouts);
        let mut wires = self.wires();
        self.pipeline.apply(Arc::new(snapshot), &mut wires);
        self.advance_to(self.now_ms);
    }

    /// Rows as in `/proc/net/ip_vs_conn`, and seconds left.
    pub fn connections(&self) -> Vec<(String, u64)> {
        self.rows(listing::connection)
    }

    /// The same as in `/proc/net/ip_vs_conn_sync`.
    pub fn connections_with_origin(&self) -> Vec<(String, u64)> {
        self.rows(listing::connection_with_origin)
    }

    fn rows(&self, row: impl Fn(&ConnView) -> (String, u64)) -> Vec<(String, u64)> {
        let mut rows = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            cursor = self.pipeline.director().list(self.now_ms, at, 64, |view| rows.push(row(&view)));
        }
        rows.sort();
        rows
    }
}

fn snapshot(
    generation: u64,
    mtu: [u16; SIDES.len()],
    services: ServiceTable,
    settings: Settings,
    timeouts: Timeouts,
) -> Snapshot {
    Snapshot {
        generation,
        net: network::net(mtu),
        services,
        pools: Pools::build(&[network::pool()]),
        steering: Steering::new(1, [7; 16], NatSteering::Address { v4_prefix: 32, v6_prefix: 128 }),
        timeouts,
        settings,
    }
}

/// What a pipeline sends, by link.
struct Wires {
    counters: Arc<Counters>,
    out: Vec<(char, Vec<u8>)>,
    to_host: Vec<Vec<u8>>,
    records: Vec<Record>,
    /// Large buffers that were asked for: they count as made, what is in them arrived.
    large: u64,
}

impl Ports<VecBuf> for Wires {
    fn alloc(&mut self) -> Option<VecBuf> {
        Some(VecBuf::new(&[]))
    }

    fn alloc_large(&mut self) -> Option<VecBuf> {
        self.large += 1;
        Some(VecBuf::large())
    }

    fn tx(&mut self, port: PortIndex, packet: VecBuf) {
        self.counters.tx.add(1);
        self.out.push((SIDES[usize::from(port.0)], packet.bytes().to_vec()));
    }

    fn to_host(&mut self, _: PortIndex, packet: VecBuf) {
        self.counters.to_host.add(1);
        self.to_host.push(packet.bytes().to_vec());
    }

    fn has_host(&self, _: PortIndex) -> bool {
        true
    }

    fn steer(&mut self, _: WorkerId, _: IfaceId, _: Steered, _: VecBuf) {
        panic!("there is one worker");
    }

    fn broadcast(&mut self, _: News) {}

    fn sync(&mut self, record: &Record) {
        self.records.push(*record);
    }
}

fn index(side: char) -> Option<usize> {
    SIDES.iter().position(|name| *name == side)
}

fn port(side: char) -> PortIndex {
    PortIndex(index(side).expect("a link of the laboratory") as u16)
}
