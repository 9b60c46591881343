//! The packet path allocates nothing: counted by the allocator itself, for this thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use inet::{IfaceId, NeighLimits, News, PortIndex, ReassemblyLimits};
use ipvs::sync::Record;
use ipvs::{Director, Limits, Method, Protocol, SchedulerKind, SyncSettings, WorkerId, WorkerShared};
use pipeline::{Counters, Pipeline, PipelineLimits, Ports, Steered};
use wire::testing::{Frame, fragments, info};
use wire::{Family, PacketBuf, VecBuf, tcp};

use crate::frames::{from_client, from_server, inside};
use crate::site::{
    FAMILIES, LAN, METHODS, PROTOCOLS, ROUTER_MAC, Site, WAN, WAN_MAC, client, lan_address, server_mac,
    service_endpoint, vip,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract; counting touches only a
// constant-initialised thread-local without a destructor, and so neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises about `layout` are what the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` or `realloc` above, and so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as for `dealloc`; the caller promises that `size` is not zero.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Keeps the last packet sent.
#[derive(Default)]
struct Slot {
    sent: Option<VecBuf>,
    to_host: Option<VecBuf>,
    told: Option<Record>,
    /// Empty packets, with their room.
    stock: Vec<VecBuf>,
    large: Vec<VecBuf>,
}

impl Ports<VecBuf> for Slot {
    fn alloc(&mut self) -> Option<VecBuf> {
        self.stock.pop()
    }

    fn alloc_large(&mut self) -> Option<VecBuf> {
        self.large.pop()
    }

    fn tx(&mut self, _: PortIndex, packet: VecBuf) {
        self.sent = Some(packet);
    }

    fn has_host(&self, _: PortIndex) -> bool {
        true
    }

    fn to_host(&mut self, _: PortIndex, packet: VecBuf) {
        self.to_host = Some(packet);
    }

    fn steer(&mut self, _: WorkerId, _: IfaceId, _: Steered, packet: VecBuf) {
        self.sent = Some(packet);
    }

    fn broadcast(&mut self, _: News) {}

    fn sync(&mut self, record: &Record) {
        self.told = Some(*record);
    }
}

struct Bench {
    pipeline: Pipeline<VecBuf>,
    slot: Slot,
    now_ms: u64,
}

impl Bench {
    fn new(workers: u16) -> Self {
        Self::of(&Site::new(workers), workers)
    }

    fn of(site: &Site, workers: u16) -> Self {
        let limits = Limits { connections: 4096, services: 64, dests: 256, ..Limits::default() };
        let shared: Vec<_> = (0..workers).map(|_| Arc::new(WorkerShared::new(&limits))).collect();
        let snapshot = site.snapshot(None);
        let director = Director::new(WorkerId(0), &limits, snapshot, shared, 1).expect("memory");
        let limits = PipelineLimits {
            neighbours: NeighLimits::default(),
            reassembly: ReassemblyLimits::default(),
            icmp_per_second: 0,
        };
        let pipeline = Pipeline::new(WorkerId(0), director, limits, Arc::new(Counters::default()), 1);
        Self { pipeline, slot: Slot::default(), now_ms: 1_000 }
    }

    /// What is sent for a frame, and how often memory was allocated meanwhile.
    fn receive(&mut self, port: PortIndex, frame: &[u8]) -> (u64, VecBuf) {
        let packet = VecBuf::new(frame);
        let before = ALLOCATIONS.get();
        self.pipeline.receive_burst(self.now_ms, port, &mut [Some(packet)], &mut self.slot);
        let made = ALLOCATIONS.get() - before;
        let out = self.slot.sent.take().or_else(|| self.slot.to_host.take());
        (made, out.expect("a packet goes on"))
    }
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn connections_are_made_and_served_without_an_allocation() {
    let mut bench = Bench::new(1);
    for method in METHODS {
        for family in FAMILIES {
            for protocol in PROTOCOLS {
                for n in 0..20 {
                    serve(&mut bench, family, protocol, method, n);
                }
            }
        }
    }
}

#[test]
fn backups_are_told_without_an_allocation() {
    let mut site = Site::new(1);
    site.settings.sync = SyncSettings { master: true, threshold: 1, period: 2, ..SyncSettings::default() };
    let mut bench = Bench::of(&site, 1);
    for method in METHODS {
        for family in FAMILIES {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                serve(&mut bench, family, protocol, method, 1);
                assert!(bench.slot.told.take().is_some(), "{method:?} {family:?} {protocol:?}");
            }
        }
    }
}

#[test]
fn every_scheduler_picks_without_an_allocation() {
    for scheduler in SchedulerKind::ALL {
        let mut site = Site::new(1);
        for family in FAMILIES {
            let service = site.service(family, Protocol::Tcp, Method::Fullnat);
            service.scheduler = scheduler;
            service.dests.iter_mut().for_each(|dest| dest.weight = 100);
        }
        let mut bench = Bench::of(&site, 1);
        for family in FAMILIES {
            (0..40).for_each(|n| serve(&mut bench, family, Protocol::Tcp, Method::Fullnat, n));
        }
    }
}

fn serve(bench: &mut Bench, family: Family, protocol: Protocol, method: Method, n: u16) {
    let from = SocketAddr::new(client(family, n), 5000 + n);
    let service = service_endpoint(family, method);
    for (flags, payload) in [(tcp::SYN, &b""[..]), (tcp::ACK, b"GET /"), (tcp::ACK, &[7; 1000])] {
        let frame = from_client(protocol, from, service, flags, payload);
        let (made, out) = bench.receive(WAN, &frame);
        assert_eq!(made, 0, "{method:?} {family:?} {protocol:?}, to the server");
        if method.input_only() {
            let whole = if method == Method::Tunnel { inside(out.bytes()) } else { out.bytes().to_vec() };
            assert_eq!(info(&whole).dport, service.port());
            continue;
        }
        let seen = crate::frames::see(out.bytes());
        let frame = from_server(server_mac(1), protocol, seen.dst, seen.src, flags | tcp::ACK, payload);
        let (made, out) = bench.receive(LAN, &frame);
        assert_eq!(made, 0, "{method:?} {family:?} {protocol:?}, to the client");
        assert_eq!(crate::frames::see(out.bytes()).dst, from);
    }
    let before = ALLOCATIONS.get();
    bench.now_ms += 50;
    bench.pipeline.tick(bench.now_ms, 256, &mut bench.slot);
    assert_eq!(ALLOCATIONS.get() - before, 0, "timers");
}

#[test]
fn passing_echo_errors_and_steering_allocate_nothing() {
    let mut one = Bench::new(1);
    let mut two = Bench::new(2);
    for family in FAMILIES {
        let frame = |src, dst| Frame::new(src, dst).mac(ROUTER_MAC, WAN_MAC);
        let (from, to) = (client(family, 1), crate::site::server(family, 1));
        for (name, frame) in [
            ("forwarded", frame(from, to).udp(9, 9).build()),
            ("echo", frame(from, vip(family)).echo_request(1, 1).payload(b"ping").build()),
            ("time exceeded", frame(from, to).udp(9, 9).ttl(1).build()),
            ("to the host", frame(from, lan_address(family)).tcp(9, 22, tcp::SYN).build()),
        ] {
            let (made, _) = one.receive(WAN, &frame);
            assert_eq!(made, 0, "{name}, {family:?}");
        }
        let service = service_endpoint(family, Method::Fullnat);
        for n in 0..20 {
            let from = SocketAddr::new(client(family, n), 1000);
            let (made, _) = two.receive(WAN, &from_client(Protocol::Udp, from, service, 0, b""));
            assert_eq!(made, 0, "steered or served, {family:?}");
        }
    }
}

#[test]
fn fragments_are_gathered_and_cut_without_an_allocation() {
    let mut bench = Bench::new(1);
    bench.slot.stock = (0..64).map(|_| VecBuf::new(&[])).collect();
    bench.slot.large = (0..8).map(|_| VecBuf::large()).collect();
    for family in FAMILIES {
        for method in METHODS {
            let service = service_endpoint(family, method);
            let packets: Vec<VecBuf> = datagram(client(family, 1), service, 3000, 1400);
            let before = ALLOCATIONS.get();
            for packet in packets {
                bench.pipeline.receive(bench.now_ms, WAN, packet, &mut bench.slot);
            }
            assert_eq!(ALLOCATIONS.get() - before, 0, "{family:?} {method:?}");
            assert!(bench.slot.sent.take().is_some(), "{family:?} {method:?}");
        }
        // What waits in vain is answered.
        let service = service_endpoint(family, Method::Fullnat);
        let first = datagram(client(family, 2), service, 3000, 1400).swap_remove(0);
        bench.pipeline.receive(bench.now_ms, WAN, first, &mut bench.slot);
        let before = ALLOCATIONS.get();
        bench.now_ms += 60_000;
        bench.pipeline.tick(bench.now_ms, 256, &mut bench.slot);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{family:?}");
        assert!(bench.slot.sent.take().is_some(), "{family:?}");
    }
}

/// The fragments of a UDP datagram, as they arrive.
fn datagram(from: IpAddr, to: SocketAddr, len: usize, size: usize) -> Vec<VecBuf> {
    let frame = Frame::new(from, to.ip()).mac(ROUTER_MAC, WAN_MAC).id(7);
    let whole = frame.udp(4000, to.port()).payload(&vec![7; len - 8]).build();
    fragments(&whole, &[size, size]).iter().map(|piece| VecBuf::new(piece)).collect()
}
