//! The connection table alone, beside a general-purpose hash map (`hashbrown`) from key to slot with a slab.
//!
//! Flows are asked for in shuffled order, half in each direction, each of its two keys indexed; the key to ask for is
//! made from the flow's number outside of what is timed. A packet's look-up includes hashing, the verified key, reading
//! the other direction's key (the rewrite) and writing the expiry. Times are per connection or packet.

use conntab::{ConnId, ConnTable, Direction, Entry, EntryHashes, Expire, Hash, Key4, Key6, Probe};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

const FLOWS: [u32; 4] = [1_000, 100_000, 1_000_000, 10_000_000];
const BURST: usize = 32;
/// Connections beyond the standing ones, for inserting and removing.
const CHURN: u32 = 4096;
/// The first of their numbers.
const BEYOND: u32 = 1 << 24;
const SECRET: [u8; 32] = [0x5a; 32];

/// A key of either family, made from a flow's number.
trait FlowKey: conntab::Key + std::hash::Hash + Default + 'static {
    const FAMILY: &str;

    fn original(flow: u32) -> Self;
    fn reply(flow: u32) -> Self;
    /// A key like this one that no connection has.
    fn unknown(self) -> Self;
}

/// Sixteen flows a client, some ports apart.
fn client(flow: u32) -> (u32, u16) {
    (flow >> 4, 1024 + (flow & 15) as u16 * 3001)
}

impl FlowKey for Key4 {
    const FAMILY: &str = "v4";

    fn original(flow: u32) -> Key4 {
        let (host, port) = client(flow);
        Key4::new(Ipv4Addr::from_bits(0x0a00_0000 + host), Ipv4Addr::new(198, 51, 100, 1), port, 443, 6)
    }

    fn reply(flow: u32) -> Key4 {
        let (host, port) = client(flow);
        let server = Ipv4Addr::from_bits(0xc0a8_0000 | flow.wrapping_mul(2_654_435_761) >> 24);
        Key4::new(server, Ipv4Addr::from_bits(0x0a00_0000 + host), 8080, port, 6)
    }

    fn unknown(self) -> Key4 {
        self.with_zone(1)
    }
}

impl FlowKey for Key6 {
    const FAMILY: &str = "v6";

    fn original(flow: u32) -> Key6 {
        let (host, port) = client(flow);
        let net = 0x2001_0db8_u128 << 96;
        Key6::new(Ipv6Addr::from_bits(net | u128::from(host)), Ipv6Addr::LOCALHOST, port, 443, 6)
    }

    fn reply(flow: u32) -> Key6 {
        let (host, port) = client(flow);
        let net = 0x2001_0db8_u128 << 96;
        let server = Ipv6Addr::from_bits(net | 1 << 80 | u128::from(flow.wrapping_mul(2_654_435_761) >> 24));
        Key6::new(server, Ipv6Addr::from_bits(net | u128::from(host)), 8080, port, 6)
    }

    fn unknown(self) -> Key6 {
        self.with_zone(1)
    }
}

/// A connection of the size that rvs has: one line for IPv4, two for IPv6.
#[derive(Clone, Copy, Default)]
struct Conn<K> {
    keys: [K; 2],
    packets: u32,
    other: [u32; 4],
}

impl<K: FlowKey> Conn<K> {
    fn new(flow: u32) -> Conn<K> {
        Conn { keys: [K::original(flow), K::reply(flow)], packets: 0, other: black_box([flow; 4]) }
    }
}

impl<K: FlowKey> Entry for Conn<K> {
    type Key = K;

    #[inline]
    fn key(&self, direction: Direction) -> Option<&K> {
        Some(&self.keys[direction as usize])
    }
}

/// The map to compare with: from key to slot and direction, and a slab that has no generations or timers.
struct Plain<K> {
    map: HashMap<K, u32>,
    slab: Vec<(Conn<K>, u64)>,
    free: Vec<u32>,
}

impl<K: FlowKey> Plain<K> {
    fn new(capacity: u32) -> Plain<K> {
        Plain {
            map: HashMap::with_capacity(2 * capacity as usize),
            slab: vec![(Conn::default(), 0); capacity as usize],
            free: (0..capacity).rev().collect(),
        }
    }

    fn insert(&mut self, conn: Conn<K>, expiry: u64) -> Option<u32> {
        if self.map.contains_key(&conn.keys[0]) {
            return None;
        }
        let slot = self.free.pop()?;
        self.map.insert(conn.keys[0], slot << 1);
        self.map.insert(conn.keys[1], slot << 1 | 1);
        self.slab[slot as usize] = (conn, expiry);
        Some(slot)
    }

    fn remove(&mut self, slot: u32) {
        let keys = std::mem::take(&mut self.slab[slot as usize]).0.keys;
        for key in &keys {
            self.map.remove(key);
        }
        self.free.push(slot);
    }
}

/// A small generator, so that runs are alike.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (((self.0 >> 32) * u64::from(n)) >> 32) as u32
    }
}

/// Timeouts of a few minutes that are not all alike, so that the wheel is in use.
fn timeout_ms(flow: u32) -> u64 {
    400_000 + u64::from(flow.wrapping_mul(7919) % 100_000)
}

fn shuffled(flows: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..flows).collect();
    let mut rng = Rng(7);
    for at in (1..order.len()).rev() {
        order.swap(at, rng.below(at as u32 + 1) as usize);
    }
    order
}

/// Bursts of keys of standing flows without end, in shuffled order.
struct Traffic {
    order: Vec<u32>,
    at: usize,
}

impl Traffic {
    fn next<K: FlowKey>(&mut self, keys: &mut [K; BURST]) {
        for key in keys {
            let flow = self.order[self.at];
            self.at = if self.at + 1 == self.order.len() { 0 } else { self.at + 1 };
            *key = if flow & 1 == 0 { K::original(flow) } else { K::reply(flow) };
        }
    }

    /// Times `work` on `packets` packets, what makes the keys taken off.
    fn time<K: FlowKey>(&mut self, packets: u64, mut work: impl FnMut(&[K; BURST])) -> Duration {
        let mut keys = [K::default(); BURST];
        let bursts = packets.div_ceil(BURST as u64);
        let begin = Instant::now();
        for _ in 0..bursts {
            self.next(&mut keys);
            black_box(&keys);
        }
        let making = begin.elapsed();
        let begin = Instant::now();
        for _ in 0..bursts {
            self.next(&mut keys);
            work(black_box(&keys));
        }
        begin.elapsed().saturating_sub(making).mul_f64(packets as f64 / (bursts * BURST as u64) as f64)
    }
}

/// What a forwarder does with a connection that it found.
#[inline(always)]
fn use_connection<K: FlowKey>(
    table: &mut ConnTable<Conn<K>>,
    found: Option<(ConnId, Direction)>,
    now_ms: u64,
) {
    if let Some((id, direction)) = found
        && let Some(conn) = table.touch(id, now_ms + 300_000)
    {
        conn.packets += 1;
        black_box(conn.keys[direction.opposite() as usize]);
    }
}

/// A look-up held between two bursts.
struct Held<K> {
    keys: [K; BURST],
    probes: [Probe; BURST],
}

/// One turn of the pipeline: ask for the new burst's buckets, finish the old burst, probe the new one.
#[inline(always)]
fn turn<K: FlowKey>(table: &mut ConnTable<Conn<K>>, held: &mut Held<K>, keys: &[K; BURST], now_ms: u64) {
    let mut hashes = [Hash::default(); BURST];
    table.hash_burst(keys, &mut hashes);
    hashes.iter().for_each(|&hash| table.prefetch_bucket(hash));
    for (key, probe) in held.keys.iter().zip(&held.probes) {
        let found = table.get_verified(key, probe);
        use_connection(table, found, now_ms);
    }
    for (probe, &hash) in held.probes.iter_mut().zip(&hashes) {
        *probe = table.probe(hash);
        table.prefetch_candidate(probe);
    }
    for probe in &mut held.probes {
        if probe.wants_alternate() {
            table.probe_alternate(probe);
            table.prefetch_candidate(probe);
        }
    }
    held.keys = *keys;
}

fn filled<K: FlowKey>(flows: u32) -> (ConnTable<Conn<K>>, Traffic) {
    let mut table = ConnTable::with_capacity((flows + CHURN) as usize, SECRET).unwrap();
    let order = shuffled(flows);
    for &flow in &order {
        table.insert(Conn::new(flow), 0, timeout_ms(flow)).unwrap();
    }
    (table, Traffic { order: shuffled(flows), at: 0 })
}

fn look_up<K: FlowKey>(group: &mut BenchmarkGroup<'_, WallTime>, flows: u32) {
    let (mut table, mut traffic) = filled::<K>(flows);
    let bytes = table.memory_bytes() as f64 / table.capacity() as f64;
    println!("bytes-per-conn-{}: {bytes:.1} (a table for {})", K::FAMILY, table.capacity());
    group.bench_function(BenchmarkId::new("one at a time", flows), |bencher| {
        bencher.iter_custom(|n| {
            traffic.time(n, |keys: &[K; BURST]| {
                for key in keys {
                    let found = table.lookup(key);
                    use_connection(&mut table, found, 1);
                }
            })
        });
    });
    group.bench_function(BenchmarkId::new("staged", flows), |bencher| {
        let mut found = [None; BURST];
        bencher.iter_custom(|n| {
            traffic.time(n, |keys: &[K; BURST]| {
                table.lookup_burst(keys, &mut found);
                found.iter().for_each(|&found| use_connection(&mut table, found, 1));
            })
        });
    });
    group.bench_function(BenchmarkId::new("pipelined", flows), |bencher| {
        let mut held = Held { keys: [K::default(); BURST], probes: [Probe::default(); BURST] };
        bencher.iter_custom(|n| traffic.time(n, |keys: &[K; BURST]| turn(&mut table, &mut held, keys, 1)));
    });
    group.bench_function(BenchmarkId::new("staged, none found", flows), |bencher| {
        let mut found = [None; BURST];
        bencher.iter_custom(|n| {
            traffic.time(n, |keys: &[K; BURST]| {
                table.lookup_burst(&keys.map(K::unknown), &mut found);
                assert_eq!(black_box(found), [None; BURST]);
            })
        });
    });
    drop(table);
    let mut plain = Plain::<K>::new(flows + CHURN);
    for &flow in &traffic.order {
        plain.insert(Conn::new(flow), 300_000).unwrap();
    }
    group.bench_function(BenchmarkId::new("hashbrown", flows), |bencher| {
        bencher.iter_custom(|n| {
            traffic.time(n, |keys: &[K; BURST]| {
                for key in keys {
                    let Some(&found) = plain.map.get(key) else { continue };
                    let (conn, expiry) = &mut plain.slab[(found >> 1) as usize];
                    *expiry = 300_001;
                    conn.packets += 1;
                    black_box(conn.keys[(found & 1 ^ 1) as usize]);
                }
            })
        });
    });
}

/// Times `CHURN` connections beyond the standing ones coming and going, as often as `n` asks; the part that is asked
/// for is timed.
fn churn(n: u64, mut round: impl FnMut(&[u32]) -> Duration) -> Duration {
    let order: Vec<u32> = shuffled(CHURN).into_iter().map(|flow| flow + BEYOND).collect();
    let rounds = n.div_ceil(u64::from(CHURN));
    let total: Duration = (0..rounds).map(|_| round(&order)).sum();
    total.mul_f64(n as f64 / (rounds * u64::from(CHURN)) as f64)
}

fn insert_remove(group: &mut BenchmarkGroup<'_, WallTime>, flows: u32) {
    let mut table = ConnTable::with_capacity((flows + CHURN) as usize, SECRET).unwrap();
    let mut ids: Vec<ConnId> = (0..flows + CHURN)
        .map(|flow| table.insert(Conn::<Key4>::new(flow), 0, timeout_ms(flow)).unwrap())
        .collect();
    // The free slots are all over the slab, as they are in a table that has been in use.
    let mut rng = Rng(3);
    for _ in 0..CHURN {
        table.remove(ids.swap_remove(rng.below(ids.len() as u32) as usize));
    }
    let insert = |table: &mut ConnTable<Conn<Key4>>, order: &[u32], ids: &mut Vec<ConnId>, staged: bool| {
        ids.clear();
        let begin = Instant::now();
        for flows in order.chunks(BURST) {
            let mut conns = [(Conn::default(), EntryHashes::default()); BURST];
            for (ahead, ((conn, hashes), &flow)) in conns.iter_mut().zip(flows).enumerate() {
                *conn = Conn::new(flow);
                *hashes = if staged { table.prefetch_insert(conn, ahead) } else { table.hash_entry(conn) };
            }
            ids.extend(conns[..flows.len()].iter().filter_map(|(conn, hashes)| {
                table.insert_hashed(*conn, *hashes, 0, timeout_ms(conn.other[0])).ok()
            }));
        }
        let time = begin.elapsed();
        assert_eq!(ids.len(), order.len());
        time
    };
    let remove = |table: &mut ConnTable<Conn<Key4>>, ids: &[ConnId], staged: bool| {
        let begin = Instant::now();
        for ids in ids.chunks(BURST) {
            if staged {
                ids.iter().for_each(|&id| table.prefetch_entry(id));
                ids.iter().for_each(|&id| table.prefetch_remove(id));
            }
            for &id in ids {
                black_box(table.remove(id));
            }
        }
        begin.elapsed()
    };
    for (name, staged) in [("one at a time", false), ("staged", true)] {
        group.bench_function(BenchmarkId::new(format!("insert/{name}"), flows), |bencher| {
            bencher.iter_custom(|n| {
                churn(n, |order| {
                    let time = insert(&mut table, order, &mut ids, staged);
                    remove(&mut table, &ids, true);
                    time
                })
            });
        });
        group.bench_function(BenchmarkId::new(format!("remove/{name}"), flows), |bencher| {
            bencher.iter_custom(|n| {
                churn(n, |order| {
                    insert(&mut table, order, &mut ids, true);
                    remove(&mut table, &ids, staged)
                })
            });
        });
    }
    let mut now_ms = 0;
    group.bench_function(BenchmarkId::new("expire", flows), |bencher| {
        bencher.iter_custom(|n| {
            churn(n, |order| {
                insert(&mut table, order, &mut ids, true);
                for &id in &ids {
                    table.set_expiry(id, now_ms);
                }
                now_ms += conntab::TICK_MS;
                let begin = Instant::now();
                let removed = table.expire(now_ms, usize::MAX, |_, conn| {
                    // A long run reaches the timeouts of the standing ones.
                    if conn.other[0] < BEYOND { Expire::KeepUntil(u64::MAX) } else { Expire::Remove }
                });
                let time = begin.elapsed();
                assert_eq!(removed, order.len());
                time
            })
        });
    });
    drop(table);
    let mut plain = Plain::<Key4>::new(flows + CHURN);
    for flow in shuffled(flows) {
        plain.insert(Conn::new(flow), 0).unwrap();
    }
    group.bench_function(BenchmarkId::new("insert and remove/hashbrown", flows), |bencher| {
        bencher.iter_custom(|n| {
            churn(n, |order| {
                let begin = Instant::now();
                let slots: Vec<u32> =
                    order.iter().filter_map(|&flow| plain.insert(Conn::new(flow), 0)).collect();
                slots.into_iter().for_each(|slot| plain.remove(slot));
                begin.elapsed()
            })
        });
    });
}

fn all(criterion: &mut Criterion) {
    for flows in FLOWS {
        let mut group = criterion.benchmark_group("conntab/lookup IPv4");
        look_up::<Key4>(group.throughput(Throughput::Elements(1)), flows);
        group.finish();
        let mut group = criterion.benchmark_group("conntab/lookup IPv6");
        look_up::<Key6>(group.throughput(Throughput::Elements(1)), flows);
        group.finish();
        let mut group = criterion.benchmark_group("conntab/churn");
        insert_remove(group.throughput(Throughput::Elements(1)), flows);
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = all
}
criterion_main!(benches);
