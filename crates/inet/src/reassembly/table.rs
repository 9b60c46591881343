//! Where fragments wait: datagrams found by key, each with its fragments in order, and both in the order in which they
//! fall due.
//!
//! Invariant: all room is taken at construction; every fragment is in exactly one datagram's list or its place is
//! free, and the fragments of a list do not overlap. Of one family all datagrams wait equally long, so the order of
//! their arrival is that of their ends: one list per family is all the timers there are.

use super::piece::{FragmentKey, Piece};
use crate::iface::IfaceId;

const NONE: u32 = u32::MAX;

/// A datagram of which fragments are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DatagramId(u32);

/// What is known of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    pub(super) key: FragmentKey,
    pub(super) due_ms: u64,
    /// Where its last fragment came from.
    pub(super) iface: IfaceId,
    /// Bytes of its fragmentable part, once the last fragment told.
    pub(super) total: Option<u32>,
    /// Bytes held.
    pub(super) got: u32,
    /// Fragments held.
    pub(super) count: u16,
    /// Length of the largest fragment's IP packet, and of the largest that routers must not fragment.
    pub(super) largest: u16,
    pub(super) largest_whole: u16,
    /// Which values of the ECN bits were seen: bit n stands for value n.
    pub(super) ecn: u8,
    /// Where its sender's fragments are counted.
    share: u32,
    bucket: u32,
    bucket_next: u32,
    older: u32,
    newer: u32,
    first: u32,
    last: u32,
}

impl Datagram {
    /// Whether every byte is there.
    pub(super) fn is_whole(&self) -> bool {
        self.total == Some(self.got)
    }

    fn family(&self) -> usize {
        usize::from(self.key.src.is_ipv6())
    }

    /// Notes what a fragment says of the whole.
    fn note(&mut self, piece: &Piece) {
        if !piece.more {
            self.total = Some(piece.end);
        }
        self.got += piece.end - piece.start;
        self.count += 1;
        self.largest = self.largest.max(piece.ip_len);
        if piece.dont_fragment {
            self.largest_whole = self.largest_whole.max(piece.ip_len);
        }
        self.ecn |= 1 << piece.ecn;
    }
}

/// A fragment with its packet.
#[derive(Debug)]
pub(super) struct Held<B> {
    pub(super) packet: B,
    pub(super) piece: Piece,
    /// Where the run starts that it is of: fragments that came in order, one behind the other.
    run: u32,
}

#[derive(Debug)]
struct Place<B> {
    held: Option<Held<B>>,
    next: u32,
}

/// How a fragment fits the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It brings new bytes; it goes behind this one.
    New(Behind),
    /// All its bytes are there, in one run.
    Duplicate,
    /// Some of its bytes are there.
    Overlap,
    /// It contradicts what is known of the datagram's end.
    Contradiction,
}

impl Fit {
    /// The first of its datagram to arrive.
    pub(super) const FIRST: Self = Self::New(Behind(NONE));
}

/// A place in a datagram's order: behind this fragment, or in front of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind(u32);

/// The oldest and the newest datagram of a family.
#[derive(Clone, Copy, Debug)]
struct Age {
    oldest: u32,
    newest: u32,
}

/// Datagrams and fragments of one worker.
#[derive(Debug)]
pub(super) struct Table<B> {
    buckets: Vec<u32>,
    datagrams: Vec<Datagram>,
    free_datagrams: Vec<u32>,
    places: Vec<Place<B>>,
    free_places: Vec<u32>,
    ages: [Age; 2],
    /// Fragments held by what senders hash to. Two that meet share a share, which costs them and nobody else.
    shares: Vec<u16>,
    secret: [u64; 2],
}

impl<B> Table<B> {
    pub(super) fn new(datagrams: usize, fragments: usize, seed: u64) -> Self {
        let secret = [seed ^ 0x9e37_79b9_7f4a_7c15, seed.rotate_left(29) ^ 0xd1b5_4a32_d192_ed03];
        Self {
            buckets: vec![NONE; (datagrams * 2).next_power_of_two()],
            datagrams: Vec::with_capacity(datagrams),
            free_datagrams: Vec::with_capacity(datagrams),
            places: (0..fragments).map(|_| Place { held: None, next: NONE }).collect(),
            free_places: (0..fragments as u32).rev().collect(),
            ages: [Age { oldest: NONE, newest: NONE }; 2],
            shares: vec![0; (fragments * 2).next_power_of_two()],
            secret,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.datagrams.len() - self.free_datagrams.len()
    }

    pub(super) fn fragments(&self) -> usize {
        self.places.len() - self.free_places.len()
    }

    pub(super) fn has_room_for_datagram(&self) -> bool {
        self.len() < self.datagrams.capacity()
    }

    pub(super) fn has_room_for_fragment(&self) -> bool {
        !self.free_places.is_empty()
    }

    pub(super) fn get(&self, id: DatagramId) -> &Datagram {
        &self.datagrams[id.0 as usize]
    }

    /// Fragments that this sender has here.
    pub(super) fn share_of(&self, key: &FragmentKey) -> u16 {
        self.shares[self.share(key)]
    }

    pub(super) fn find(&self, key: &FragmentKey) -> Option<DatagramId> {
        let mut at = self.buckets[self.bucket(key)];
        while at != NONE {
            let datagram = &self.datagrams[at as usize];
            if datagram.key == *key {
                return Some(DatagramId(at));
            }
            at = datagram.bucket_next;
        }
        None
    }

    /// The datagram that falls due first; `except` is passed over.
    pub(super) fn oldest(&self, except: Option<DatagramId>) -> Option<DatagramId> {
        let of = |age: Age| {
            let at = match except {
                Some(DatagramId(at)) if at == age.oldest && at != NONE => self.datagrams[at as usize].newer,
                _ => age.oldest,
            };
            (at != NONE).then_some(DatagramId(at))
        };
        let [v4, v6] = self.ages.map(of);
        match (v4, v6) {
            (Some(a), Some(b)) => Some(if self.get(a).due_ms <= self.get(b).due_ms { a } else { b }),
            (one, other) => one.or(other),
        }
    }

    /// Opens a datagram without fragments. There has to be room.
    pub(super) fn open(&mut self, key: FragmentKey, due_ms: u64) -> DatagramId {
        let bucket = self.bucket(&key);
        let mut datagram = Datagram {
            key,
            due_ms,
            iface: IfaceId(0),
            total: None,
            got: 0,
            count: 0,
            largest: 0,
            largest_whole: 0,
            ecn: 0,
            share: self.share(&key) as u32,
            bucket: bucket as u32,
            bucket_next: self.buckets[bucket],
            older: NONE,
            newer: NONE,
            first: NONE,
            last: NONE,
        };
        let family = datagram.family();
        datagram.older = self.ages[family].newest;
        let at = match self.free_datagrams.pop() {
            Some(at) => {
                self.datagrams[at as usize] = datagram;
                at
            }
            None => {
                self.datagrams.push(datagram);
                (self.datagrams.len() - 1) as u32
            }
        };
        self.buckets[bucket] = at;
        match datagram.older {
            NONE => self.ages[family].oldest = at,
            older => self.datagrams[older as usize].newer = at,
        }
        self.ages[family].newest = at;
        DatagramId(at)
    }

    /// How a fragment fits into a datagram.
    pub(super) fn fit(&self, id: DatagramId, piece: &Piece) -> Fit {
        let datagram = self.get(id);
        let reach = self.piece(datagram.last).map_or(0, |last| last.end);
        let contradicts = match datagram.total {
            Some(total) => piece.end > total || !piece.more && piece.end != total,
            None => !piece.more && piece.end < reach,
        };
        if contradicts {
            return Fit::Contradiction;
        }
        if piece.start >= reach {
            return Fit::New(Behind(datagram.last));
        }
        let (mut behind, mut next) = (NONE, datagram.first);
        while self.piece(next).is_some_and(|held| held.start <= piece.start) {
            (behind, next) = (next, self.places[next as usize].next);
        }
        let Some((held, run)) = self.piece_and_run(behind).filter(|(held, _)| held.end > piece.start) else {
            let free = self.piece(next).is_none_or(|held| piece.end <= held.start);
            return if free { Fit::New(Behind(behind)) } else { Fit::Overlap };
        };
        let mut reach = held.end;
        while let Some((held, _)) = self.piece_and_run(next).filter(|&(_, other)| other == run) {
            reach = held.end;
            next = self.places[next as usize].next;
        }
        if piece.end <= reach { Fit::Duplicate } else { Fit::Overlap }
    }

    /// Takes a fragment at the place that [`Table::fit`] found. There has to be room.
    pub(super) fn insert(&mut self, id: DatagramId, behind: Behind, piece: Piece, packet: B) {
        let Some(at) = self.free_places.pop() else { return };
        let before = self.piece_and_run(self.datagrams[id.0 as usize].last);
        let run = before.filter(|(last, _)| last.end == piece.start).map_or(piece.start, |(_, run)| run);
        let datagram = &mut self.datagrams[id.0 as usize];
        let next = match behind.0 {
            NONE => core::mem::replace(&mut datagram.first, at),
            behind => core::mem::replace(&mut self.places[behind as usize].next, at),
        };
        if next == NONE {
            datagram.last = at;
        }
        datagram.note(&piece);
        self.shares[datagram.share as usize] += 1;
        self.places[at as usize] = Place { held: Some(Held { packet, piece, run }), next };
    }

    /// Notes where the fragment came from that a datagram has just got.
    pub(super) fn came_from(&mut self, id: DatagramId, iface: IfaceId) {
        self.datagrams[id.0 as usize].iface = iface;
    }

    /// Takes the first fragment out of a datagram.
    pub(super) fn pop_first(&mut self, id: DatagramId) -> Option<Held<B>> {
        let datagram = &mut self.datagrams[id.0 as usize];
        let at = datagram.first;
        if at == NONE {
            return None;
        }
        let place = &mut self.places[at as usize];
        datagram.first = core::mem::replace(&mut place.next, NONE);
        self.shares[datagram.share as usize] -= 1;
        self.free_places.push(at);
        place.held.take()
    }

    /// Closes a datagram that has no more fragments.
    pub(super) fn close(&mut self, id: DatagramId) {
        let datagram = self.datagrams[id.0 as usize];
        let age = datagram.family();
        match datagram.older {
            NONE => self.ages[age].oldest = datagram.newer,
            older => self.datagrams[older as usize].newer = datagram.newer,
        }
        match datagram.newer {
            NONE => self.ages[age].newest = datagram.older,
            newer => self.datagrams[newer as usize].older = datagram.older,
        }
        self.unchain(id, datagram.bucket as usize, datagram.bucket_next);
        self.free_datagrams.push(id.0);
    }

    /// Takes a datagram out of its bucket.
    fn unchain(&mut self, id: DatagramId, bucket: usize, next: u32) {
        if self.buckets[bucket] == id.0 {
            self.buckets[bucket] = next;
            return;
        }
        let mut at = self.buckets[bucket];
        while self.datagrams[at as usize].bucket_next != id.0 {
            at = self.datagrams[at as usize].bucket_next;
        }
        self.datagrams[at as usize].bucket_next = next;
    }

    /// Room taken, list by list.
    #[cfg(test)]
    pub(super) fn capacities(&self) -> [usize; 6] {
        let lists = [self.buckets.capacity(), self.free_datagrams.capacity(), self.free_places.capacity()];
        let [buckets, free_datagrams, free_places] = lists;
        let [datagrams, places] = [self.datagrams.capacity(), self.places.capacity()];
        [buckets, free_datagrams, free_places, datagrams, places, self.shares.capacity()]
    }

    fn piece(&self, at: u32) -> Option<Piece> {
        self.piece_and_run(at).map(|(piece, _)| piece)
    }

    fn piece_and_run(&self, at: u32) -> Option<(Piece, u32)> {
        self.places.get(at as usize)?.held.as_ref().map(|held| (held.piece, held.run))
    }

    fn bucket(&self, key: &FragmentKey) -> usize {
        let hash = key.words().iter().fold(self.secret[0], |hash, word| self.stir(hash, *word));
        hash as usize & (self.buckets.len() - 1)
    }

    fn share(&self, key: &FragmentKey) -> usize {
        self.stir(self.secret[1], key.sender()) as usize & (self.shares.len() - 1)
    }

    /// One step of a keyed hash: both halves of a 128-bit product.
    fn stir(&self, hash: u64, word: u64) -> u64 {
        let product = u128::from(hash ^ word ^ self.secret[1]) * u128::from(self.secret[0] | 1);
        (product as u64 ^ (product >> 64) as u64).wrapping_add(self.secret[1])
    }
}
