//! Look-ups in stages. Each stage asks for the memory of the next and goes on to another packet meanwhile.
//!
//! ```text
//! hash, prefetch_bucket ─▶ probe ─▶ (probe_alternate) ─▶ prefetch_candidate ─▶ get_verified
//! ```
//!
//! Between two stages the table may change as it likes: a probe is only a hint, and what is verified at the end is what
//! a look-up at that moment finds. So stages may lie bursts apart, and a packet may follow the one that opened its
//! connection in the same burst.

use crate::Direction;
use crate::bucket::{Bucket, Item, places};
use crate::hash::{EntryHashes, Hash};
use crate::slab::{ConnId, Entry};
use crate::table::ConnTable;

/// Packets that `lookup_burst` takes through the stages together.
const BURST: usize = 32;

/// A look-up on its way.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    hash: Hash,
    candidate: Candidate,
}

/// What a probe has found so far: an item, or one of two things that no item is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate(u32);

impl Candidate {
    /// No connection that is worth a prefetch.
    const NONE: Candidate = Candidate(u32::MAX);
    /// Perhaps in the alternate bucket, which has been asked for.
    const ALTERNATE: Candidate = Candidate(u32::MAX - 1);

    #[inline(always)]
    fn first(bucket: &Bucket, tag: u16) -> Option<Candidate> {
        places(bucket.matches(tag)).next().map(|place| Candidate(bucket.item(place).at_home().to_bits()))
    }

    /// Items have the top bit clear when they are at home.
    #[inline(always)]
    fn item(self) -> Option<Item> {
        (self.0 < Candidate::ALTERNATE.0).then(|| Item::from_bits(self.0))
    }
}

impl Default for Probe {
    fn default() -> Probe {
        Probe { hash: Hash::default(), candidate: Candidate::NONE }
    }
}

impl Probe {
    /// The hash that the probe was made with.
    #[inline]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether [`ConnTable::probe_alternate`] is worth its while.
    #[inline]
    pub fn wants_alternate(&self) -> bool {
        self.candidate == Candidate::ALTERNATE
    }
}

impl<E: Entry> ConnTable<E> {
    /// A key's hash in this table.
    #[inline]
    pub fn hash(&self, key: &E::Key) -> Hash {
        self.index.hash(key)
    }

    /// The hashes of an entry's keys in this table.
    #[inline]
    pub fn hash_entry(&self, entry: &E) -> EntryHashes {
        EntryHashes(match Direction::BOTH.map(|direction| entry.key(direction)) {
            [Some(original), Some(reply)] => self.index.hash_pair([original, reply]),
            keys => keys.map(|key| key.map_or(Hash::default(), |key| self.hash(key))),
        })
    }

    /// The hash of each of `keys`, faster than one at a time. The slices are equally long; of unequal ones the rest of
    /// the longer is left alone.
    #[inline]
    pub fn hash_burst(&self, keys: &[E::Key], hashes: &mut [Hash]) {
        self.index.hash_burst(keys, hashes);
    }

    /// Asks for the bucket that [`probe`](Self::probe) reads.
    #[inline]
    pub fn prefetch_bucket(&self, hash: Hash) {
        self.index.prefetch_primary(hash);
    }

    /// Looks for a candidate in the primary bucket. If it may be in the alternate, asks for that.
    #[inline]
    pub fn probe(&self, hash: Hash) -> Probe {
        let bucket = self.index.bucket(hash.bucket);
        let candidate = Candidate::first(bucket, hash.tag).unwrap_or_else(|| {
            if bucket.displaced == 0 {
                return Candidate::NONE;
            }
            self.index.prefetch_alternate(hash);
            Candidate::ALTERNATE
        });
        Probe { hash, candidate }
    }

    /// First stage of a look-up in two, of a key alone: its hash, and a request for its bucket.
    #[inline]
    pub fn begin(&self, key: &E::Key) -> Probe {
        let hash = self.hash(key);
        self.prefetch_bucket(hash);
        Probe { hash, candidate: Candidate::NONE }
    }

    /// Second stage: looks for a candidate in both buckets, and asks for its lines.
    #[inline]
    pub fn approach(&self, probe: &mut Probe) {
        *probe = self.probe(probe.hash);
        self.probe_alternate(probe);
        self.prefetch_candidate(probe);
    }

    /// Looks for a candidate in the alternate bucket, if the probe says that one may be there.
    #[inline]
    pub fn probe_alternate(&self, probe: &mut Probe) {
        if probe.wants_alternate() {
            let Hash { bucket, tag } = probe.hash;
            let bucket = self.index.bucket(self.index.alternate(bucket, tag));
            probe.candidate = Candidate::first(bucket, tag).unwrap_or(Candidate::NONE);
        }
    }

    /// Asks for the candidate's lines.
    #[inline]
    pub fn prefetch_candidate(&self, probe: &Probe) {
        if let Some(item) = probe.candidate.item() {
            self.slab.prefetch(item.slot());
        }
    }

    /// What [`lookup`](Self::lookup) of `key` finds now; fast if the probe's candidate is it.
    #[inline]
    pub fn get_verified(&self, key: &E::Key, probe: &Probe) -> Option<(ConnId, Direction)> {
        if let Some(item) = probe.candidate.item()
            && !self.crossed
            && self.answers(item, key)
        {
            return Some((self.slab.id(item.slot()), item.direction()));
        }
        self.lookup_hashed(key, probe.hash)
    }

    /// Whether the item, which may be out of date, is the one that answers for `key`.
    #[inline(always)]
    fn answers(&self, item: Item, key: &E::Key) -> bool {
        self.slab.slot(item.slot()).link.state.answers(item.direction()) && self.slab.has_key(item, key)
    }

    /// Looks up each of `keys`, in stages. The slices are equally long; of unequal ones the rest of the longer is left
    /// alone.
    pub fn lookup_burst(&self, keys: &[E::Key], found: &mut [Option<(ConnId, Direction)>]) {
        for (keys, found) in keys.chunks(BURST).zip(found.chunks_mut(BURST)) {
            let mut hashes = [Hash::default(); BURST];
            let mut probes = [Probe::default(); BURST];
            let hashes = &mut hashes[..keys.len()];
            self.hash_burst(keys, hashes);
            for &hash in &*hashes {
                self.prefetch_bucket(hash);
            }
            for (probe, &hash) in probes.iter_mut().zip(&*hashes) {
                *probe = self.probe(hash);
                self.prefetch_candidate(probe);
            }
            for probe in &mut probes[..keys.len()] {
                if probe.wants_alternate() {
                    self.probe_alternate(probe);
                    self.prefetch_candidate(probe);
                }
            }
            for ((found, key), probe) in found.iter_mut().zip(keys).zip(&probes) {
                *found = self.get_verified(key, probe);
            }
        }
    }

    /// Asks for what inserting `entry` touches, if `ahead` other connections are inserted before it. Gives what
    /// [`insert_hashed`](Self::insert_hashed) needs.
    #[inline]
    pub fn prefetch_insert(&self, entry: &E, ahead: usize) -> EntryHashes {
        if let Some(at) = self.slab.upcoming_free(ahead) {
            self.slab.prefetch(at);
            self.wheel.prefetch_home(at);
        }
        let hashes = self.hash_entry(entry);
        for hash in hashes.0 {
            self.index.prefetch_primary(hash);
            self.index.prefetch_alternate(hash);
        }
        hashes
    }

    /// Asks for a connection's lines.
    #[inline]
    pub fn prefetch_entry(&self, id: ConnId) {
        self.slab.prefetch(id.index);
        self.wheel.prefetch_home(id.index);
    }

    /// Asks for the buckets that removing a connection touches. Reads its entry.
    #[inline]
    pub fn prefetch_remove(&self, id: ConnId) {
        if let Some(slot) = self.slab.live(id) {
            self.prefetch_keys(&slot.entry);
        }
    }

    #[inline]
    pub(crate) fn prefetch_keys(&self, entry: &E) {
        for hash in self.hash_entry(entry).0 {
            self.index.prefetch_primary(hash);
        }
    }
}
