//! The table against a plain model: the standard library's maps, and a list of connections by reply key.
//!
//! After every step each key of the small universe is asked for in every way there is, also through probes that were
//! made before the step, and the table's own structures are walked.

use crate::burst::Probe;
use crate::hash::Hasher;
use crate::slab::State;
use crate::wheel::TICK_MS;
use crate::{ConnId, ConnTable, Cursor, Direction, Entry, Expire, InsertError, Key4, Region};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;

/// Keys in the universe: few, so that they repeat, in both directions.
const KEYS: u8 = 12;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Conn {
    keys: [Key4; 2],
    has: [bool; 2],
    value: u32,
}

impl Entry for Conn {
    type Key = Key4;

    fn key(&self, direction: Direction) -> Option<&Key4> {
        self.has[direction as usize].then_some(&self.keys[direction as usize])
    }
}

impl Conn {
    fn new(original: Option<u8>, reply: Option<u8>, value: u32) -> Conn {
        Conn {
            keys: [original.map(key).unwrap_or_default(), reply.map(key).unwrap_or_default()],
            has: [original.is_some(), reply.is_some()],
            value,
        }
    }
}

fn key(at: u8) -> Key4 {
    Key4::new(Ipv4Addr::new(10, 0, 0, at), Ipv4Addr::new(10, 0, 0, 255), u16::from(at), 80, 6)
}

#[derive(Clone, Debug)]
enum Step {
    Insert { original: Option<u8>, reply: Option<u8>, timeout_ms: u64 },
    Remove(usize),
    Rekey { which: usize, original: Option<u8>, reply: Option<u8> },
    IndexReply(usize),
    UnindexReply(usize),
    Extend { which: usize, by_ms: u64 },
    Pass { ms: u64, budget: usize, keep: bool },
    Drain { ms: u64, budget: usize },
    Clear { slots: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![1 => Just(None), 5 => (0..KEYS).prop_map(Some)];
    let timeout = || {
        prop_oneof![
            4 => 0..3_000u64,
            2 => 3_000..900_000u64,
            1 => 86_400_000..3_000_000_000u64,
            1 => Just(u64::MAX),
        ]
    };
    let pass = || prop_oneof![6 => 0..2_000u64, 2 => 2_000..600_000u64, 1 => 600_000..100_000_000u64];
    let budget = || prop_oneof![1 => 0..20usize, 3 => Just(10_000_000)];
    let step = prop_oneof![
        8 => (key(), key(), timeout()).prop_map(|(original, reply, timeout_ms)| Step::Insert { original, reply, timeout_ms }),
        3 => any::<usize>().prop_map(Step::Remove),
        3 => (any::<usize>(), key(), key()).prop_map(|(which, original, reply)| Step::Rekey { which, original, reply }),
        1 => any::<usize>().prop_map(Step::IndexReply),
        1 => any::<usize>().prop_map(Step::UnindexReply),
        3 => (any::<usize>(), timeout()).prop_map(|(which, by_ms)| Step::Extend { which, by_ms }),
        3 => (pass(), budget(), any::<bool>()).prop_map(|(ms, budget, keep)| Step::Pass { ms, budget, keep }),
        1 => (pass(), budget()).prop_map(|(ms, budget)| Step::Drain { ms, budget }),
        1 => (1..8usize).prop_map(|slots| Step::Clear { slots }),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the table should hold.
#[derive(Default)]
struct Model {
    conns: BTreeMap<ConnId, (Conn, u64)>,
    originals: HashMap<Key4, ConnId>,
    /// Those with a reply key, oldest first.
    replies: HashMap<Key4, Vec<ConnId>>,
    gone: HashSet<ConnId>,
}

impl Model {
    fn add_keys(&mut self, id: ConnId, conn: &Conn, old: Option<&Conn>) {
        let fresh = |direction| {
            conn.key(direction).filter(|&key| old.and_then(|old| old.key(direction)) != Some(key))
        };
        if let Some(key) = fresh(Direction::Original) {
            self.originals.insert(*key, id);
        }
        if let Some(key) = fresh(Direction::Reply) {
            self.replies.entry(*key).or_default().push(id);
        }
    }

    fn drop_keys(&mut self, id: ConnId, conn: &Conn, new: Option<&Conn>) {
        let stale = |direction| {
            conn.key(direction).filter(|&key| new.and_then(|new| new.key(direction)) != Some(key))
        };
        if let Some(key) = stale(Direction::Original) {
            self.originals.remove(key);
        }
        if let Some(key) = stale(Direction::Reply)
            && let Some(ids) = self.replies.get_mut(key)
        {
            ids.retain(|&other| other != id);
        }
    }

    fn remove(&mut self, id: ConnId) {
        let (conn, _) = self.conns.remove(&id).expect("only what the model holds goes");
        self.drop_keys(id, &conn, None);
        self.gone.insert(id);
    }

    /// The one with the reply key that still has it indexed, newest first.
    fn reply(&self, key: &Key4) -> Option<ConnId> {
        self.replies.get(key).and_then(|ids| ids.last().copied())
    }

    fn pick(&self, which: usize) -> Option<ConnId> {
        let ids: Vec<ConnId> = self.conns.keys().chain(&self.gone).copied().collect();
        (!ids.is_empty()).then(|| ids[which % ids.len()])
    }
}

struct Bench {
    table: ConnTable<Conn>,
    model: Model,
    now_ms: u64,
    made: u32,
}

impl Bench {
    fn new(capacity: usize, buckets: usize, portable: bool, start_ms: u64) -> Bench {
        let region = Region::allocate(ConnTable::<Conn>::region_bytes(capacity).unwrap()).unwrap();
        let hasher = if portable { Hasher::portable(&[3; 32]) } else { Hasher::new(&[3; 32]) };
        let table = ConnTable::build(region, capacity, buckets, hasher).unwrap();
        Bench { table, model: Model::default(), now_ms: start_ms, made: 0 }
    }

    fn run(&mut self, steps: Vec<Step>) {
        for step in steps {
            let probes: Vec<Probe> =
                (0..KEYS).map(|at| self.table.probe(self.table.hash(&key(at)))).collect();
            self.step(step);
            self.check(probes);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Insert { original, reply, timeout_ms } => self.insert(original, reply, timeout_ms),
            Step::Remove(which) => {
                let Some(id) = self.model.pick(which) else { return };
                let want = self.model.conns.get(&id).map(|(conn, _)| *conn);
                assert_eq!(self.table.remove(id), want);
                if want.is_some() {
                    self.model.remove(id);
                }
            }
            Step::Rekey { which, original, reply } => self.rekey(which, original, reply),
            Step::IndexReply(which) => {
                let Some(id) = self.model.pick(which) else { return };
                let Some(entry) = self.table.get(id).copied() else {
                    assert_eq!(self.table.index_reply(id), Ok(false));
                    return;
                };
                let indexed = self.indexed(id);
                if self.table.index_reply(id).is_ok() {
                    self.model.add_keys(id, &entry, Some(&indexed));
                }
            }
            Step::UnindexReply(which) => {
                let Some(id) = self.model.pick(which) else { return };
                let live = self.model.conns.get(&id).map(|(conn, _)| *conn);
                assert_eq!(self.table.unindex_reply(id), live.is_some());
                if let Some(conn) = live {
                    self.model.drop_keys(id, &conn, Some(&Conn { has: [conn.has[0], false], ..conn }));
                }
            }
            Step::Extend { which, by_ms } => {
                let Some(id) = self.model.pick(which) else { return };
                let at_ms = self.now_ms.saturating_add(by_ms);
                let live = self.model.conns.get_mut(&id);
                assert_eq!(self.table.set_expiry(id, at_ms), live.is_some());
                if let Some((_, expiry)) = live {
                    *expiry = at_ms;
                }
            }
            Step::Pass { ms, budget, keep } => self.pass(ms, budget, keep),
            Step::Drain { ms, mut budget } => {
                self.now_ms += ms;
                while let Some(id) = self.table.next_expired(self.now_ms, &mut budget) {
                    assert!(self.model.conns[&id].1 <= self.now_ms, "early");
                    assert!(self.table.remove(id).is_some());
                    self.model.remove(id);
                }
            }
            Step::Clear { slots } => {
                let mut gone = Vec::new();
                self.table.clear(Cursor::default(), slots, |id, _| gone.push(id));
                assert!(gone.iter().all(|id| id.index() < slots));
                assert!(self.model.conns.keys().all(|id| id.index() >= slots || gone.contains(id)));
                gone.into_iter().for_each(|id| self.model.remove(id));
            }
        }
    }

    /// The connection with only those keys that the model has indexed.
    fn indexed(&self, id: ConnId) -> Conn {
        let (conn, _) = self.model.conns[&id];
        let reply = conn.has[1] && self.model.replies.get(&conn.keys[1]).is_some_and(|ids| ids.contains(&id));
        Conn { has: [conn.has[0], reply], ..conn }
    }

    fn insert(&mut self, original: Option<u8>, reply: Option<u8>, timeout_ms: u64) {
        self.made += 1;
        let conn = Conn::new(original, reply, self.made);
        let exists = conn.key(Direction::Original).and_then(|key| self.model.originals.get(key).copied());
        match self.table.insert(conn, self.now_ms, timeout_ms) {
            Ok(id) => {
                assert_eq!(exists, None);
                assert!(!self.model.gone.contains(&id), "an id came twice");
                let expiry = self.now_ms.saturating_add(timeout_ms);
                assert_eq!(self.model.conns.insert(id, (conn, expiry)), None);
                self.model.add_keys(id, &conn, None);
            }
            Err(InsertError::Exists(id)) => assert_eq!(exists, Some(id)),
            Err(InsertError::Full) => {
                assert_eq!((exists, self.model.conns.len()), (None, self.table.capacity()));
            }
            Err(InsertError::BucketsFull) => assert_eq!(exists, None),
        }
    }

    fn rekey(&mut self, which: usize, original: Option<u8>, reply: Option<u8>) {
        let Some(id) = self.model.pick(which) else { return };
        self.made += 1;
        let conn = Conn::new(original, reply, self.made);
        let holder = conn.key(Direction::Original).and_then(|key| self.model.originals.get(key).copied());
        let live = self.model.conns.contains_key(&id);
        match self.table.rekey(id, conn) {
            Ok(found) => {
                assert_eq!(found, live);
                if live {
                    assert!(holder.is_none_or(|holder| holder == id));
                    let old = self.indexed(id);
                    self.model.drop_keys(id, &old, Some(&conn));
                    self.model.add_keys(id, &conn, Some(&old));
                    self.model.conns.get_mut(&id).unwrap().0 = conn;
                }
            }
            Err(InsertError::Exists(other)) => assert!(other != id && holder == Some(other)),
            Err(InsertError::BucketsFull) => assert!(live),
            Err(InsertError::Full) => panic!("a rekey takes no slot"),
        }
    }

    fn pass(&mut self, ms: u64, budget: usize, keep: bool) {
        self.now_ms += ms;
        let now_ms = self.now_ms;
        let mut asked = Vec::new();
        let removed = self.table.expire(now_ms, budget, |id, conn| {
            asked.push(id);
            if keep && conn.value.is_multiple_of(2) {
                Expire::KeepUntil(now_ms + 700)
            } else {
                Expire::Remove
            }
        });
        assert!(asked.len() <= budget, "bounded");
        for &id in &asked {
            let (conn, expiry) = self.model.conns.get_mut(&id).unwrap();
            assert!(*expiry <= now_ms, "early");
            if keep && conn.value.is_multiple_of(2) {
                *expiry = now_ms + 700;
            } else {
                self.model.remove(id);
            }
        }
        assert_eq!(removed, asked.iter().filter(|id| !self.model.conns.contains_key(id)).count());
        if budget > 1_000_000 {
            let late =
                self.model.conns.values().filter(|(_, expiry)| expiry.saturating_add(2 * TICK_MS) <= now_ms);
            // What was given an expiry in the past just now is looked at in the next tick.
            assert!(late.count() == 0 || ms < TICK_MS, "late");
        }
    }

    fn check(&mut self, probes: Vec<Probe>) {
        let keys: Vec<Key4> = (0..KEYS).map(key).collect();
        let mut burst = vec![None; keys.len()];
        self.table.lookup_burst(&keys, &mut burst);
        for ((key, probe), burst) in keys.iter().zip(probes).zip(burst) {
            let original = self.model.originals.get(key).copied();
            let reply = self.model.reply(key);
            assert_eq!(self.table.lookup_in(key, Direction::Original), original);
            assert_eq!(self.table.lookup_in(key, Direction::Reply), reply);
            let want = reply
                .map(|id| (id, Direction::Reply))
                .or_else(|| original.map(|id| (id, Direction::Original)));
            assert_eq!(self.table.lookup(key), want);
            assert_eq!(self.table.get_verified(key, &probe), want, "a probe from before the step");
            assert_eq!(burst, want);
        }
        for (&id, (conn, expiry)) in &self.model.conns {
            assert_eq!(self.table.get(id), Some(conn));
            let told = self.table.expiry(id).unwrap();
            let never = *expiry == u64::MAX && told > self.now_ms + (1 << 38);
            assert!(never || (*expiry..*expiry + TICK_MS).contains(&told), "{told} for {expiry}");
        }
        for &id in &self.model.gone {
            assert_eq!((self.table.get(id), self.table.expiry(id)), (None, None));
        }
        assert_eq!(
            (self.table.len(), self.table.is_empty()),
            (self.model.conns.len(), self.model.conns.is_empty())
        );
        let (mut seen, mut from) = (BTreeMap::new(), Some(Cursor::default()));
        while let Some(cursor) = from {
            from = self.table.scan(cursor, 3, |id, conn| assert_eq!(seen.insert(id, *conn), None));
        }
        assert!(seen.into_iter().eq(self.model.conns.iter().map(|(&id, (conn, _))| (id, *conn))));
        self.check_structures();
    }

    fn check_structures(&self) {
        let (table, slab) = (&self.table, &self.table.slab);
        let items = table.index.check(|item| {
            let slot = slab.slot(item.slot());
            assert!(
                slot.link.state.has(State::indexed(item.direction())),
                "only what is indexed is in the index"
            );
            table.hash(slot.entry.key(item.direction()).unwrap())
        });
        let replies = self.model.replies.values().filter(|ids| !ids.is_empty()).count();
        assert_eq!(items, self.model.originals.len() + replies, "one item a key and direction");
        let mut armed = table.wheel.check();
        armed.sort();
        for &(slot, wheel_slot) in &armed {
            let link = slab.slot(slot).link;
            assert_eq!(link.armed, wheel_slot);
            let due = table.wheel.tick_of(link.armed);
            assert!(
                due <= link.expiry || link.expiry <= table.epoch.tick_now(self.now_ms),
                "looked at no later than the expiry"
            );
        }
        let live: Vec<u32> = self.model.conns.keys().map(|id| id.index).collect();
        assert!(armed.into_iter().map(|(slot, _)| slot).eq(live), "armed exactly once");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn the_table_does_what_the_model_does(
        steps in steps(),
        capacity in 1..40usize,
        buckets in 1..6usize,
        portable: bool,
        start_ms in prop_oneof![Just(0), 0..10_000_000_000u64, Just(1 << 60)],
    ) {
        Bench::new(capacity, buckets, portable, start_ms).run(steps);
    }
}
