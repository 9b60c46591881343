//! What schedulers promise that no recording shows: shares by weight, and few moves when a destination comes or goes.

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::*;

const CONSISTENT: [SchedulerKind; 2] = [SchedulerKind::Maglev, SchedulerKind::Conhash];
const FLOWS: u32 = 20_000;

fn bench(kind: SchedulerKind, weights: &[u32]) -> Bench {
    let mut bench = Bench::new(kind, 1, WorkerId(0));
    bench.change(|dests| dests.extend((1..).zip(weights).map(|(n, &weight)| dest(n, weight))));
    bench
}

fn flow_of(n: u32) -> Flow {
    let client = core::net::Ipv4Addr::from(0xc633_0000 + n).into();
    Flow { client, client_port: 20_000, dst: [192, 0, 2, 100].into(), dst_port: 80, protocol: 6 }
}

impl Bench {
    /// The server of each flow; nothing is bound.
    fn map(&mut self) -> Vec<u32> {
        let server = |bench: &mut Self, n| bench.choose(0, flow_of(n)).map(|at| bench.service.dests[at].id.0);
        (0..FLOWS).map(|n| server(self, n).unwrap_or(0)).collect()
    }
}

fn counts(map: &[u32]) -> BTreeMap<u32, u32> {
    map.iter().fold(BTreeMap::new(), |mut counts, &server| {
        *counts.entry(server).or_default() += 1;
        counts
    })
}

#[test]
fn consistent_hashing_gives_shares_by_weight() {
    for kind in CONSISTENT {
        for weights in [&[1, 1, 1, 1, 1][..], &[1, 2, 3, 4], &[100, 50, 100, 10], &[65_535, 1, 30_000]] {
            let counts = counts(&bench(kind, weights).map());
            let sum: u32 = weights.iter().sum();
            for (n, &weight) in (1..).zip(weights) {
                let want = f64::from(FLOWS) * f64::from(weight) / f64::from(sum);
                let got = f64::from(counts.get(&n).copied().unwrap_or(0));
                // A few percent, and what chance may add to a small count.
                let near = want * 0.06 + 4.0 * want.sqrt().max(3.0);
                assert!((got - want).abs() < near, "{} {weights:?} {n}: {got} of {want}", kind.name());
            }
        }
    }
}

#[test]
fn few_flows_of_others_move_when_a_destination_goes() {
    for (kind, most) in [(SchedulerKind::Maglev, 0.04), (SchedulerKind::Conhash, 0.0)] {
        let mut bench = bench(kind, &[2, 2, 2, 1, 2, 2, 2, 2]);
        let before = bench.map();
        bench.run(kind.name(), &[Del(3)]);
        let without = bench.map();
        let moved = before.iter().zip(&without).filter(|(was, is)| was != is && **was != 3).count();
        assert!(moved as f64 <= f64::from(FLOWS) * most, "{}: {moved}", kind.name());
        assert!(!without.contains(&3));
        bench.run(kind.name(), &[Add(3, 2)]);
        assert_eq!(bench.map(), before, "{}: back in another place of the list", kind.name());
        bench.run(kind.name(), &[Edit(3, 0)]);
        assert_eq!(bench.map(), without, "{}: weight 0 is as good as gone", kind.name());
    }
}

#[test]
fn flows_of_a_full_destination_spread_and_others_stay() {
    for kind in CONSISTENT {
        let mut bench = bench(kind, &[1; 8]);
        let before = bench.map();
        bench.run(kind.name(), &[Limit(3, 1, 1)]);
        bench.bind(2);
        let after = bench.map();
        assert!(before.iter().zip(&after).all(|(was, is)| if *was == 3 { *is != 3 } else { was == is }));
        let mut spread = counts(&after);
        spread.retain(|server, _| *server != 3);
        assert_eq!(spread.len(), 7, "{}", kind.name());
        assert!(spread.values().all(|&n| n < FLOWS / 4), "{}: {spread:?}", kind.name());
    }
}

#[test]
fn a_source_key_ignores_ports_and_a_5_tuple_does_not() {
    for kind in CONSISTENT {
        let mut bench = bench(kind, &[1; 4]);
        let one = |bench: &mut Bench, change: fn(&mut Flow, u16)| {
            let picked = (0..200).map(|n| {
                let mut flow = flow_of(1);
                change(&mut flow, n);
                bench.choose(0, flow).unwrap()
            });
            counts(&picked.map(|at| at as u32).collect::<Vec<_>>()).len()
        };
        let ports: [fn(&mut Flow, u16); 3] = [
            |flow, n| flow.client_port = n,
            |flow, n| flow.dst_port = n,
            |flow, n| flow.dst = [10, 77, 0, n as u8].into(),
        ];
        for change in ports {
            assert_eq!(one(&mut bench, change), 1, "{}", kind.name());
        }
        bench.run(kind.name(), &[Options(SchedulerOptions { port: true, ..Default::default() })]);
        for change in ports {
            assert_eq!(one(&mut bench, change), 4, "{}", kind.name());
        }
        let protocols = one(&mut bench, |flow, n| flow.protocol = n as u8);
        assert_eq!(protocols, 4, "{}", kind.name());
    }
}

#[test]
fn maglev_fills_a_table_of_any_size() {
    for table_size in [0, 1, 2, 5, 250, 251, 1000, 65_537] {
        let mut bench = bench(SchedulerKind::Maglev, &[1, 5, 2]);
        bench.run("maglev", &[Options(SchedulerOptions { table_size, ..Default::default() })]);
        assert!(bench.map().iter().all(|server| (1..=3).contains(server)), "{table_size}");
    }
}

/// 1000 destinations, of which only the lightest takes connections.
#[test]
fn the_last_destination_that_is_left_is_found() {
    for kind in CONSISTENT.into_iter().chain([SchedulerKind::Mh, SchedulerKind::Sh]) {
        let limits = Limits { services: 1, dests: 1001, ..Limits::default() };
        let mut bench = Bench::new(kind, 1, WorkerId(0));
        bench.schedulers = Schedulers::new(WorkerId(0), &limits, 1);
        bench.shared = vec![Arc::new(WorkerShared::new(&limits))];
        bench.service.scheduler_options.fallback = true;
        let many = |n: u32| Dest {
            id: DestId(n),
            addr: core::net::Ipv4Addr::from(0x0a00_0000 + n).into(),
            ..dest(1, 100)
        };
        bench.change(|dests| dests.extend((1..=1000).map(|n| Dest { upper: 1, ..many(n) })));
        (0..999).for_each(|at| bench.bind(at));
        for n in 0..200 {
            let at = bench.choose(0, flow_of(n));
            let must = CONSISTENT.contains(&kind);
            assert!(at == Some(999) || at.is_none() && !must, "{} {n}: {at:?}", kind.name());
        }
    }
}

#[test]
fn twos_draws_by_weight() {
    let mut bench = bench(SchedulerKind::Twos, &[1, 2, 0, 3]);
    let counts = counts(&bench.map());
    // Nothing is bound, so that the first draw decides: w of 6 + 1, and one more for the last added.
    for (server, parts) in [(1, 1.0), (2, 2.0), (4, 4.0)] {
        let want = f64::from(FLOWS) * parts / 7.0;
        let got = f64::from(counts[&server]);
        assert!((got - want).abs() < 4.0 * want.sqrt(), "{server}: {got} of {want}");
    }
    assert_eq!(counts.len(), 3);
}

#[test]
fn twos_takes_the_less_loaded_of_two() {
    let mut bench = bench(SchedulerKind::Twos, &[1, 1]);
    (0..9).for_each(|_| bench.bind(0));
    let counts = counts(&bench.map());
    // The loaded one is taken only where both draws hit it: (1/3)², the other one having two parts of three.
    let want = f64::from(FLOWS) / 9.0;
    assert!((f64::from(counts[&1]) - want).abs() < 4.0 * want.sqrt(), "{counts:?}");
}

/// More sets grow than there is room for; then everything is forgotten and grows again.
#[test]
fn lblcr_goes_on_when_its_sets_fill_the_room() {
    let mut bench = bench(SchedulerKind::Lblcr, &[1, 1, 100]);
    bench.settings.lblcr_expiration_ms = u64::MAX;
    let picked = |bench: &mut Bench, n: u32| {
        let dst = core::net::Ipv4Addr::from(0x0a4d_0000 + n).into();
        bench.choose(0, Flow { dst, ..flow_of(1) }).map(|at| at + 1)
    };
    let room = locality::CAPACITY as u32;
    for round in 0..3 {
        for n in 0..room + 100 {
            assert_eq!(picked(&mut bench, n), Some(3), "{round} {n}");
        }
        // Overloaded beside idle ones, so that each set grows; twice as often as there is room for.
        (0..101).for_each(|_| bench.bind(2));
        for n in 0..2 * room {
            assert!(picked(&mut bench, n).is_some_and(|server| server < 3), "{round} {n}");
        }
        (0..101).for_each(|_| bench.close(3));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the weights, thresholds and flags: who is picked has weight and, but for lblc, no overload; and there is a pick
    /// wherever a scheduler that looks at all destinations can make one.
    #[test]
    fn picks_admit_connections(
        kind in 0..SchedulerKind::ALL.len(),
        servers in proptest::collection::vec((0_u32..6, 0_u32..4), 0..8),
        (fallback, port) in any::<(bool, bool)>(),
        flows in proptest::collection::vec(0_u32..9, 1..40),
    ) {
        let kind = SchedulerKind::ALL[kind];
        let mut bench = Bench::new(kind, 1, WorkerId(0));
        bench.service.scheduler_options = SchedulerOptions { fallback, port, table_size: 251 };
        bench.change(|dests| {
            dests.extend((1..).zip(&servers).map(|(n, &(weight, upper))| Dest { upper, ..dest(n, weight) }));
        });
        for n in flows {
            let (carried, dests) = (bench.shared[0].clone(), bench.service.dests.clone());
            let active = |dest: &Dest| carried.dest(dest.id).unwrap().load().active;
            let admits = |dest: &Dest| dest.weight > 0 && (dest.upper == 0 || active(dest) < dest.upper);
            let any = dests.iter().any(admits);
            match bench.choose(0, flow_of(n)) {
                Some(at) => {
                    let (dest, remembered) = (&dests[at], kind == SchedulerKind::Lblc);
                    prop_assert!(admits(dest) || remembered && dest.weight > 0);
                    bench.bind(at);
                }
                None => {
                    use SchedulerKind::{Dh, Mh, Ovf, Sh};
                    prop_assert!(!any || matches!(kind, Dh | Mh | Ovf | Sh), "{}", kind.name());
                }
            }
        }
    }

    /// The order of adding makes no difference to consistent hashing.
    #[test]
    fn directors_agree(weights in proptest::collection::vec(0_u32..5, 1..6), turn in 0_usize..6) {
        for kind in CONSISTENT {
            let mut bench = bench(kind, &weights);
            let one = bench.map();
            bench.change(|dests| {
                let by = turn % dests.len();
                dests.rotate_left(by);
            });
            prop_assert_eq!(bench.map(), one);
        }
    }
}
