//! The schedulers against picks recorded from Linux 6.1; servers are numbered as they were added, 0 is none. Recordings
//! with half-open and with established connections have the same picks: both count as active.

mod hashing;
mod properties;

use wire::Family;

use super::*;
use crate::{DestId, Method, Protocol, SchedulerOptions, ServiceId, ServiceKey};

/// What an operator or a client does.
enum Step {
    Add(u32, u32),
    Edit(u32, u32),
    Del(u32),
    Scheduler(SchedulerKind),
    Options(SchedulerOptions),
    /// Milliseconds go by.
    Wait(u64),
    /// As `Add` and `Edit`, with an upper threshold.
    AddLimited(u32, u32, u32),
    Limit(u32, u32, u32),
    /// As `Add`, of an IPv6 server.
    AddV6(u32, u32),
    /// Picks for clients from this one on, from this port.
    Clients(usize, u16, &'static str),
    /// Picks for one client, from port 20000 on.
    Ports(usize, &'static str),
    /// Picks for one client that asks for addresses of the mark from this one on.
    Many(usize, usize, &'static str),
    /// Picks for one client, from port 20000 on, that asks for one address of the mark.
    Hot(usize, usize, &'static str),
    /// Connections that are made and stay.
    Picks(&'static str),
    /// A connection to this server goes.
    Close(u32),
}

use Step::{
    Add, AddLimited, AddV6, Clients, Close, Del, Edit, Hot, Limit, Many, Options, Picks, Ports,
    Scheduler as Sched, Wait,
};

/// A service with one worker, changed as an operator changes it: one snapshot a command.
struct Bench {
    service: Service,
    table: ServiceTable,
    schedulers: Schedulers,
    shared: Vec<Arc<WorkerShared>>,
    settings: Settings,
    now_ms: u64,
}

impl Bench {
    fn new(scheduler: SchedulerKind, workers: u16, worker: WorkerId) -> Self {
        let limits = Limits { services: 1, dests: 16, ..Limits::default() };
        let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: [192, 0, 2, 100].into(), port: 80 };
        let service = Service::new(ServiceId(0), key, scheduler);
        let shared = (0..workers).map(|_| Arc::new(WorkerShared::new(&limits))).collect();
        let schedulers = Schedulers::new(worker, &limits, 1);
        let settings = Settings::default();
        let table = ServiceTable::default();
        let mut bench = Self { service, table, schedulers, shared, settings, now_ms: 0 };
        bench.publish();
        bench
    }

    fn publish(&mut self) {
        self.service.epoch += 1;
        let new = ServiceTable::build_after(&self.table, vec![Arc::new(self.service.clone())]).unwrap();
        self.schedulers.apply(&self.table, &new);
        self.table = new;
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Dest>)) {
        let mut dests = self.service.dests.to_vec();
        change(&mut dests);
        self.service.dests = dests.into();
        self.publish();
    }

    fn pick(&mut self, now_ms: u64) -> u32 {
        self.pick_for(now_ms, flow("198.51.100.1", 20_000, "192.0.2.100", 80))
    }

    fn choose(&mut self, now_ms: u64, flow: Flow) -> Option<usize> {
        let request = Request { now_ms, flow, services: &self.table, settings: &self.settings };
        self.schedulers.pick(&request, &self.service, &self.shared)
    }

    fn pick_for(&mut self, now_ms: u64, flow: Flow) -> u32 {
        let Some(index) = self.choose(now_ms, flow) else { return 0 };
        self.bind(index);
        self.service.dests[index].id.0
    }

    fn bind(&mut self, index: usize) {
        let dest = &self.service.dests[index];
        self.shared[usize::from(self.schedulers.worker.0)].dest(dest.id).unwrap().bind(true);
        self.schedulers.bound(dest, &self.shared);
    }

    fn close(&mut self, server: u32) {
        self.shared[usize::from(self.schedulers.worker.0)].dest(DestId(server)).unwrap().unbind(true);
    }

    fn run(&mut self, name: &str, steps: &[Step]) {
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Add(server, weight) => self.change(|dests| dests.push(dest(server, weight))),
                Edit(server, weight) => {
                    self.change(|dests| dests.iter_mut().find(|d| d.id.0 == server).unwrap().weight = weight);
                }
                Del(server) => self.change(|dests| dests.retain(|d| d.id.0 != server)),
                Sched(kind) => {
                    self.service.scheduler = kind;
                    self.publish();
                }
                Picks(want) => {
                    let want: Vec<u32> = want.split_whitespace().map(|n| n.parse().unwrap()).collect();
                    let got: Vec<u32> = want.iter().map(|_| self.pick(0)).collect();
                    assert_eq!(got, want, "{name}, step {number}");
                }
                Close(server) => self.close(server),
                Options(options) => {
                    self.service.scheduler_options = options;
                    self.publish();
                }
                Wait(ms) => self.now_ms += ms,
                AddLimited(server, weight, upper) => {
                    self.change(|dests| dests.push(Dest { upper, ..dest(server, weight) }));
                }
                AddV6(server, weight) => self.change(|dests| dests.push(dest_v6(server, weight))),
                Limit(server, weight, upper) => self.change(|dests| {
                    let dest = dests.iter_mut().find(|d| d.id.0 == server).unwrap();
                    (dest.weight, dest.upper) = (weight, upper);
                }),
                Clients(first, port, want) => {
                    self.expect(name, number, want, |at, n| at.flow(first + n, port, 0));
                }
                Ports(client, want) => {
                    self.expect(name, number, want, |at, n| at.flow(client, 20_000 + n as u16, 0));
                }
                Many(client, first, want) => {
                    self.expect(name, number, want, |at, n| at.flow(client, 20_000, first + n));
                }
                Hot(client, host, want) => {
                    self.expect(name, number, want, |at, n| at.flow(client, 20_000 + n as u16, host));
                }
            }
        }
    }
}

impl Bench {
    /// From the n-th client to the virtual address, or if there is a host, to that address of the mark.
    fn flow(&self, client: usize, port: u16, host: usize) -> Flow {
        match (self.service.key.family(), host) {
            (Family::V4, 0) => flow(&format!("198.51.100.{client}"), port, "192.0.2.100", 80),
            (Family::V6, 0) => flow(&format!("2001:db8:c::{client:x}"), port, "2001:db8:1::100", 80),
            (Family::V4, _) => flow(&format!("198.51.100.{client}"), port, &format!("10.77.0.{host}"), 80),
            (Family::V6, _) => {
                flow(&format!("2001:db8:c::{client:x}"), port, &format!("2001:db8:77::{host:x}"), 80)
            }
        }
    }

    /// A digit is a pick.
    fn expect(&mut self, name: &str, step: usize, want: &str, flow: impl Fn(&Self, usize) -> Flow) {
        let mut got = String::new();
        for n in 0..want.len() {
            let flow = flow(self, n);
            got += &self.pick_for(self.now_ms, flow).to_string();
        }
        assert_eq!(got, want, "{name}, step {step}");
    }
}

fn flow(client: &str, client_port: u16, dst: &str, dst_port: u16) -> Flow {
    let addr = |text: &str| text.parse().unwrap();
    Flow { client: addr(client), client_port, dst: addr(dst), dst_port, protocol: 6 }
}

fn dest(server: u32, weight: u32) -> Dest {
    let addr = [10, 0, 2, 10 + server as u8].into();
    Dest { weight, ..Dest::new(DestId(server), addr, 80, Method::DirectRouting) }
}

fn dest_v6(server: u32, weight: u32) -> Dest {
    Dest { addr: format!("2001:db8:2::{:x}", 10 + server).parse().unwrap(), ..dest(server, weight) }
}

#[test]
fn picks_with_fixed_weights() {
    use SchedulerKind::{Fo, Lc, Nq, Ovf, Rr, Sed, Wlc, Wrr};
    let rotating = "3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2";
    let two = "2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1 2 1";
    let three_to_one = "2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1";
    let four = "4 3 2 1 4 3 2 1 4 3 2 1 4 3 2 1 4 3 2 1 4 3 2 1 4 3 2 1 4 3 2 1";
    let recorded: [(&str, SchedulerKind, &[u32], &'static str); 27] = [
        ("rr_1_1_1", Rr, &[1, 1, 1], rotating),
        ("rr_3_1_0", Rr, &[3, 1, 0], two),
        ("wrr_1_1_1", Wrr, &[1, 1, 1], rotating),
        ("wrr_1_2_3", Wrr, &[1, 2, 3], "3 2 1 3 3 2 3 2 1 3 3 2 3 2 1 3 3 2 3 2 1 3 3 2 3 2 1 3 3 2 3 2"),
        ("wrr_3_1_0", Wrr, &[3, 1, 0], three_to_one),
        (
            "wrr_4_2_6_1",
            Wrr,
            &[4, 2, 6, 1],
            "4 3 2 1 3 3 3 1 3 1 3 2 1 4 3 2 1 3 3 3 1 3 1 3 2 1 4 3 2 1 3 3",
        ),
        ("lc_1_2_3", Lc, &[1, 2, 3], rotating),
        ("lc_3_1_0_est", Lc, &[3, 1, 0], two),
        ("lc_4_2_6_1_est", Lc, &[4, 2, 6, 1], four),
        ("wlc_1_1_1", Wlc, &[1, 1, 1], rotating),
        ("wlc_1_2_3", Wlc, &[1, 2, 3], "3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2"),
        ("wlc_3_1_0", Wlc, &[3, 1, 0], three_to_one),
        (
            "wlc_4_2_6_1",
            Wlc,
            &[4, 2, 6, 1],
            "4 3 2 1 3 1 3 3 2 1 3 1 3 4 3 2 1 3 1 3 3 2 1 3 1 3 4 3 2 1 3 1",
        ),
        ("fo_1_2_3", Fo, &[1, 2, 3], "3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3"),
        ("fo_3_1_0", Fo, &[3, 1, 0], "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
        ("fo_4_2_6_1", Fo, &[4, 2, 6, 1], "3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3 3"),
        ("nq_1_1_1", Nq, &[1, 1, 1], "3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2"),
        ("nq_1_2_3", Nq, &[1, 2, 3], "3 2 1 3 3 2 3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2"),
        ("nq_3_1_0", Nq, &[3, 1, 0], "2 1 1 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1"),
        ("nq_4_2_6_1", Nq, &[4, 2, 6, 1], "4 3 2 1 3 3 1 3 1 3 3 2 1 3 1 3 3 2 1 3 1 3 4 3 2 1 3 1 3 3 2 1"),
        ("ovf_1_2_3", Ovf, &[1, 2, 3], "3 3 3 3 2 2 2 1 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"),
        ("ovf_3_1_0", Ovf, &[3, 1, 0], "1 1 1 1 2 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"),
        (
            "ovf_4_2_6_1",
            Ovf,
            &[4, 2, 6, 1],
            "3 3 3 3 3 3 3 1 1 1 1 1 2 2 2 4 4 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0",
        ),
        ("sed_1_1_1_est", Sed, &[1, 1, 1], "3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2 1 3 2"),
        ("sed_1_2_3", Sed, &[1, 2, 3], "3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2 3 3 2 1 3 2"),
        ("sed_3_1_0", Sed, &[3, 1, 0], "1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1 1 1 2 1"),
        (
            "sed_4_2_6_1_est",
            Sed,
            &[4, 2, 6, 1],
            "3 1 3 3 2 1 3 1 3 4 3 2 1 3 1 3 3 2 1 3 1 3 4 3 2 1 3 1 3 3 2 1",
        ),
    ];
    for (name, kind, weights, picks) in recorded {
        let mut bench = Bench::new(kind, 1, WorkerId(0));
        for (server, &weight) in (1..).zip(weights) {
            bench.run(name, &[Add(server, weight)]);
        }
        bench.run(name, &[Picks(picks)]);
    }
}

#[test]
fn picks_of_rr_while_servers_come_and_go() {
    Bench::new(SchedulerKind::Rr, 1, WorkerId(0)).run(
        "rr_edit",
        &[
            Add(1, 1),
            Add(2, 1),
            Add(3, 1),
            Picks("3 2 1 3"),
            Add(4, 1),
            Picks("2 1 4 3 2 1"),
            Del(3),
            Picks("4 2 1 4 2 1"),
            Edit(2, 0),
            Picks("4 1 4 1 4"),
            Edit(2, 1),
            Picks("2 1 4 2 1"),
            Sched(SchedulerKind::Wrr),
            Picks("4 2 1 4 2"),
            Sched(SchedulerKind::Rr),
            Picks("4 2 1 4 2"),
        ],
    );
}

#[test]
fn picks_of_wrr_while_weights_change() {
    Bench::new(SchedulerKind::Wrr, 1, WorkerId(0)).run(
        "wrr_edit",
        &[
            Add(1, 1),
            Add(2, 2),
            Add(3, 3),
            Picks("3 2 1 3 3"),
            Edit(1, 5),
            Picks("3 2 1 3 2 1 1 1"),
            Del(3),
            Picks("1 1 2 1 2 1 1 1"),
            Add(4, 2),
            Picks("1 1 4 2 1 4 2 1 1 1 1 4"),
            Edit(1, 0),
            Picks("4 2 4 2 4 2 4 2"),
        ],
    );
}

#[test]
fn thresholds_overload_and_recover() {
    let mut bench = Bench::new(SchedulerKind::Rr, 1, WorkerId(0));
    bench.change(|dests| {
        dests.push(Dest { upper: 3, lower: 2, ..dest(1, 1) });
        dests.push(Dest { upper: 2, lower: 0, ..dest(2, 1) });
    });
    bench.run("threshold", &[Picks("2 1 2 1 1 0 0 0"), Picks("0 0"), Close(2), Picks("2 0 0 0")]);
    // Beyond the recording: 3 connections, lower threshold 2.
    bench.run("threshold, lower", &[Close(1), Picks("0"), Close(1), Picks("1 1 0")]);
    bench.change(|dests| dests[0].upper = 4);
    bench.run("threshold raised", &[Picks("0"), Close(1), Close(1), Picks("1 1 1 0")]);
    bench.change(|dests| dests[0].upper = 0);
    bench.run("threshold gone", &[Picks("1 1 1")]);
}

#[test]
fn lower_thresholds_are_edited_under_connections() {
    let mut bench = Bench::new(SchedulerKind::Rr, 1, WorkerId(0));
    bench.change(|dests| dests.push(Dest { upper: 10, lower: 9, ..dest(1, 1) }));
    bench.run("ten", &[Ports(100, "111111111100")]);
    bench.change(|dests| (dests[0].upper, dests[0].lower) = (12, 5));
    bench.run("12, 5", &[Ports(101, "000")]);
    bench.change(|dests| (dests[0].upper, dests[0].lower) = (12, 11));
    bench.run("12, 11", &[Ports(102, "110")]);
}

#[test]
fn thresholds_are_edited_under_connections() {
    let mut bench = Bench::new(SchedulerKind::Rr, 1, WorkerId(0));
    let edits = [
        Add(1, 1),
        Ports(100, "1111111111"),
        Limit(1, 1, 3),
        Ports(101, "000"),
        Limit(1, 1, 20),
        Ports(102, "111"),
        Limit(1, 1, 14),
        Ports(103, "100"),
        Limit(1, 1, 15),
        Ports(104, "000"),
        Limit(1, 1, 100),
        Ports(105, "111"),
        Limit(1, 1, 5),
        Ports(106, "000"),
        Limit(1, 1, 0),
        Ports(107, "111"),
    ];
    bench.run("edited", &edits);
    let mut bench = Bench::new(SchedulerKind::Rr, 1, WorkerId(0));
    let removed = [
        Add(1, 1),
        Add(2, 1),
        Ports(100, "2121212121"),
        Del(2),
        Ports(101, "111"),
        AddLimited(2, 1, 3),
        Ports(102, "111111"),
        Del(2),
        Add(2, 1),
        Ports(103, "212121"),
        Del(2),
        AddLimited(2, 1, 100),
        Ports(104, "212121"),
    ];
    bench.run("removed and added again", &removed);
}

/// A connection may come to a destination without being scheduled, as one of a persistent client does.
#[test]
fn recovery_is_not_missed() {
    let mut bench = Bench::new(SchedulerKind::Rr, 1, WorkerId(0));
    bench.run("filled", &[AddLimited(1, 1, 8), Ports(1, "111111110")]);
    (0..3).for_each(|_| bench.close(1));
    (0..2).for_each(|_| bench.bind(0));
    bench.run("seven, five between", &[Ports(2, "10")]);
}

#[test]
fn nothing_is_picked_where_nothing_admits() {
    // Of those two, servers of weight 0 refuse their share of the clients.
    let refuses = |kind: &SchedulerKind| matches!(kind, SchedulerKind::Sh | SchedulerKind::Dh);
    for kind in SchedulerKind::ALL.into_iter().filter(|kind| !refuses(kind)) {
        let mut bench = Bench::new(kind, 1, WorkerId(0));
        bench.run(kind.name(), &[Picks("0"), Add(1, 0), Add(2, 0), Picks("0 0"), Edit(1, 1), Picks("1 1")]);
        bench.run(kind.name(), &[Del(1), Picks("0"), Del(2), Picks("0"), Add(3, 2), Picks("3 3")]);
    }
}

#[test]
fn one_snapshot_may_change_many_servers() {
    use SchedulerKind::{Lc, Nq, Rr, Sed, Twos, Wlc, Wrr};
    for kind in [Rr, Wrr, Lc, Wlc, Sed, Nq, Twos] {
        let mut bench = Bench::new(kind, 1, WorkerId(0));
        bench.change(|dests| dests.extend((1..=5).map(|n| dest(n, n))));
        for _ in 0..7 {
            bench.pick(0);
        }
        bench.change(|dests| {
            dests.retain(|d| d.id.0 % 2 == 0);
            dests.extend([dest(6, 3), dest(7, 1)]);
        });
        let picked: std::collections::BTreeSet<u32> = (0..60).map(|_| bench.pick(0)).collect();
        assert_eq!(picked, [2, 4, 6, 7].into(), "{}", kind.name());
    }
}

#[test]
fn other_workers_loads_count_and_are_read_again_each_millisecond() {
    for kind in [SchedulerKind::Lc, SchedulerKind::Wlc, SchedulerKind::Sed] {
        let mut bench = Bench::new(kind, 2, WorkerId(1));
        bench.run(kind.name(), &[Add(1, 1), Add(2, 1)]);
        let other = bench.shared[0].clone();
        for _ in 0..3 {
            other.dest(DestId(2)).unwrap().bind(true);
        }
        assert_eq!([bench.pick(0), bench.pick(0)], [1, 1], "{}", kind.name());
        for _ in 0..9 {
            other.dest(DestId(1)).unwrap().bind(true);
        }
        assert_eq!(bench.pick(0), 1, "the reading of this millisecond");
        assert_eq!(bench.pick(1), 2, "a new reading");
    }
}

#[test]
fn other_workers_connections_count_against_the_threshold() {
    let mut bench = Bench::new(SchedulerKind::Rr, 2, WorkerId(0));
    bench.change(|dests| dests.push(Dest { upper: 4, ..dest(1, 1) }));
    let other = bench.shared[1].clone();
    for _ in 0..3 {
        other.dest(DestId(1)).unwrap().bind(false);
    }
    assert_eq!([bench.pick(0), bench.pick(0)], [1, 0]);
    other.dest(DestId(1)).unwrap().unbind(false);
    assert_eq!(bench.pick(5), 0, "three quarters are still there");
    other.dest(DestId(1)).unwrap().unbind(false);
    assert_eq!(bench.pick(6), 1);
}

#[test]
fn a_service_that_went_leaves_no_state() {
    let mut bench = Bench::new(SchedulerKind::Rr, 1, WorkerId(0));
    bench.run("gone", &[Add(1, 1), Add(2, 1), Picks("2")]);
    let empty = ServiceTable::default();
    bench.schedulers.apply(&bench.table, &empty);
    assert_eq!(bench.choose(0, flow("198.51.100.1", 20_000, "192.0.2.100", 80)), None);
    bench.schedulers.apply(&empty, &bench.table);
    bench.run("again", &[Picks("2 1")]);
}

#[test]
fn a_shared_service_is_left_alone() {
    let mut bench = Bench::new(SchedulerKind::Rr, 1, WorkerId(0));
    bench.run("shared", &[Add(1, 1), Add(2, 1), Picks("2")]);
    let same = ServiceTable::build(bench.table.iter().cloned().collect()).unwrap();
    bench.schedulers.apply(&bench.table, &same);
    bench.run("shared", &[Picks("1 2")]);
}

mod shares {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Over a whole cycle wrr gives each server exactly its weight, whatever the history.
        #[test]
        fn wrr_gives_each_its_weight(
            before in proptest::collection::vec(0_u32..9, 0..6),
            weights in proptest::collection::vec(0_u32..9, 1..6),
            picks in 0_usize..20,
        ) {
            let mut bench = Bench::new(SchedulerKind::Wrr, 1, WorkerId(0));
            bench.change(|dests| dests.extend((1..).zip(&before).map(|(n, &w)| dest(n, w))));
            for _ in 0..picks {
                bench.pick(0);
            }
            bench.change(|dests| *dests = (1..).zip(&weights).map(|(n, &w)| dest(n, w)).collect());
            let step = weights.iter().copied().fold(0, crate::math::gcd).max(1);
            let cycle: u32 = weights.iter().map(|w| w / step).sum();
            // What is left of the cycle that the change has cut into.
            for _ in 0..cycle {
                bench.pick(0);
            }
            let mut got = vec![0; weights.len()];
            for _ in 0..cycle {
                got[bench.pick(0) as usize - 1] += 1;
            }
            let want: Vec<u32> = weights.iter().map(|w| w / step).collect();
            prop_assert_eq!(got, want);
        }

        /// Wlc never picks a server whose share is larger than another's.
        #[test]
        fn wlc_picks_the_least_share(
            servers in proptest::collection::vec((0_u32..5, 0_u32..20), 1..8),
        ) {
            let mut bench = Bench::new(SchedulerKind::Wlc, 1, WorkerId(0));
            bench.change(|dests| dests.extend((1..).zip(&servers).map(|(n, s)| dest(n, s.0))));
            for (n, &(_, conns)) in (1..).zip(&servers) {
                for _ in 0..conns {
                    bench.shared[0].dest(DestId(n)).unwrap().bind(true);
                }
            }
            let picked = bench.pick(0);
            prop_assert_eq!(picked == 0, servers.iter().all(|s| s.0 == 0));
            if let Some(&(weight, conns)) = (picked as usize).checked_sub(1).map(|n| &servers[n]) {
                prop_assert!(weight > 0);
                prop_assert!(servers.iter().filter(|s| s.0 > 0).all(|s| conns * s.0 <= s.1 * weight));
            }
        }
    }
}
