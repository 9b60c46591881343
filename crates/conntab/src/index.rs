//! The index: buckets of items, each item in its primary bucket or, if that was full, in its alternate.
//!
//! The alternate of a bucket under a tag is an involution (`f(tag) − bucket` modulo their number), so that an item can
//! be moved between its two buckets knowing its tag alone: making room never touches a connection. The primary counts
//! the items it sent away, and while it counts none, a look-up reads one line.

use crate::Key;
use crate::bucket::{Bucket, Item, PLACES, places};
use crate::hash::{Hash, Hasher, scale};
use crate::prefetch::prefetch;
use crate::region::{Array, Region};

/// Items per hundred places at most. At 0.8 one-level kicks always find room (measured over millions of items).
const MAX_LOAD_PERCENT: usize = 80;
/// Even the smallest table gets as many, so that two random buckets hardly ever both overflow.
const MIN_BUCKETS: usize = 8;

/// How many buckets hold `connections` connections, each indexed twice.
pub(crate) const fn buckets_for(connections: usize) -> usize {
    let buckets = (2 * connections * 100).div_ceil(PLACES * MAX_LOAD_PERCENT);
    if buckets < MIN_BUCKETS { MIN_BUCKETS } else { buckets }
}

pub(crate) struct Index {
    hasher: Hasher,
    buckets: Array<Bucket>,
    /// Items moved to make room for another, since start.
    pub(crate) kicks: u64,
}

impl Index {
    pub(crate) fn new(region: &mut Region, buckets: usize, hasher: Hasher) -> Option<Index> {
        Some(Index { hasher, buckets: region.cut(buckets, Bucket::default())?, kicks: 0 })
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        self.buckets.len() as u32
    }

    #[inline(always)]
    pub(crate) fn hash<K: Key>(&self, key: &K) -> Hash {
        self.hasher.hash(key, self.len())
    }

    #[inline(always)]
    pub(crate) fn hash_pair<K: Key>(&self, keys: [&K; 2]) -> [Hash; 2] {
        self.hasher.hash_pair(keys, self.len())
    }

    #[inline(always)]
    pub(crate) fn hash_burst<K: Key>(&self, keys: &[K], hashes: &mut [Hash]) {
        self.hasher.hash_burst(keys, self.len(), hashes);
    }

    /// The other bucket that an item with `tag` may be in.
    #[inline(always)]
    pub(crate) fn alternate(&self, bucket: u32, tag: u16) -> u32 {
        let sum = scale(u32::from(tag).wrapping_mul(0x9e37_79b1), self.len());
        // Wrapping is right: where the difference is negative, adding the number of buckets brings it back in range.
        if sum >= bucket { sum - bucket } else { sum.wrapping_sub(bucket).wrapping_add(self.len()) }
    }

    #[inline(always)]
    pub(crate) fn bucket(&self, at: u32) -> &Bucket {
        &self.buckets[at as usize]
    }

    #[inline(always)]
    pub(crate) fn prefetch_primary(&self, hash: Hash) {
        prefetch(self.bucket(hash.bucket));
    }

    #[inline(always)]
    pub(crate) fn prefetch_alternate(&self, hash: Hash) {
        prefetch(self.bucket(self.alternate(hash.bucket, hash.tag)));
    }

    /// The first item under `hash` that `wanted` accepts.
    #[inline(always)]
    pub(crate) fn find(&self, hash: Hash, mut wanted: impl FnMut(Item) -> bool) -> Option<Item> {
        let primary = self.bucket(hash.bucket);
        for place in places(primary.matches(hash.tag)) {
            let item = primary.item(place).at_home();
            if wanted(item) {
                return Some(item);
            }
        }
        if primary.displaced == 0 {
            return None;
        }
        let alternate = self.bucket(self.alternate(hash.bucket, hash.tag));
        for place in places(alternate.matches(hash.tag)) {
            let item = alternate.item(place).at_home();
            if wanted(item) {
                return Some(item);
            }
        }
        None
    }

    /// Puts `item` under `hash`. `false` if both buckets are full and no item in them can move out of the way; the
    /// index is then as before.
    #[inline(always)]
    pub(crate) fn place(&mut self, hash: Hash, item: Item) -> bool {
        let primary = &mut self.buckets[hash.bucket as usize];
        if let Some(place) = primary.free_place() {
            primary.set(place, hash.tag, item);
            return true;
        }
        self.place_elsewhere(hash, item)
    }

    /// `place` where the primary bucket is full.
    #[inline(never)]
    fn place_elsewhere(&mut self, hash: Hash, item: Item) -> bool {
        let (primary, tag) = (hash.bucket as usize, hash.tag);
        let alternate = self.alternate(hash.bucket, tag) as usize;
        if alternate == primary {
            return self.make_room(hash.bucket).is_some_and(|place| {
                self.buckets[primary].set(place, tag, item);
                true
            });
        }
        if let Some(place) = self.buckets[alternate].free_place() {
            self.place_displaced(primary, alternate, place, tag, item);
            return true;
        }
        if let Some(place) = self.make_room(hash.bucket) {
            self.buckets[primary].set(place, tag, item);
            return true;
        }
        if let Some(place) = self.make_room(alternate as u32) {
            self.place_displaced(primary, alternate, place, tag, item);
            return true;
        }
        false
    }

    fn place_displaced(&mut self, primary: usize, alternate: usize, place: usize, tag: u16, item: Item) {
        self.buckets[alternate].set(place, tag, item.displaced());
        self.buckets[primary].displaced += 1;
    }

    /// Moves one item of a full bucket to that item's other bucket, if one of them has room there. Gives the place.
    fn make_room(&mut self, bucket: u32) -> Option<usize> {
        for place in 0..PLACES {
            let (tag, item) = (self.bucket(bucket).tag(place), self.bucket(bucket).item(place));
            let other = self.alternate(bucket, tag);
            if other == bucket {
                continue;
            }
            let Some(free) = self.bucket(other).free_place() else { continue };
            if item.is_displaced() {
                self.buckets[other as usize].set(free, tag, item.at_home());
                self.buckets[other as usize].displaced -= 1;
            } else {
                self.buckets[other as usize].set(free, tag, item.displaced());
                self.buckets[bucket as usize].displaced += 1;
            }
            self.buckets[bucket as usize].clear(place);
            self.kicks += 1;
            return Some(place);
        }
        None
    }

    /// Where `item` is under `hash`: bucket and place.
    fn position(&self, hash: Hash, item: Item) -> Option<(u32, usize)> {
        if let Some(place) = self.bucket(hash.bucket).place_of(hash.tag, item) {
            return Some((hash.bucket, place));
        }
        let alternate = self.alternate(hash.bucket, hash.tag);
        Some((alternate, self.bucket(alternate).place_of(hash.tag, item.displaced())?))
    }

    /// Takes `item` out. `false` if it is not there.
    #[inline(always)]
    pub(crate) fn unplace(&mut self, hash: Hash, item: Item) -> bool {
        let primary = &mut self.buckets[hash.bucket as usize];
        if let Some(place) = primary.place_of(hash.tag, item) {
            primary.clear(place);
            return true;
        }
        self.unplace_displaced(hash, item)
    }

    /// `unplace` where the item is not in its primary bucket.
    #[inline(never)]
    fn unplace_displaced(&mut self, hash: Hash, item: Item) -> bool {
        let alternate = self.alternate(hash.bucket, hash.tag);
        let Some(place) = self.bucket(alternate).place_of(hash.tag, item.displaced()) else { return false };
        self.buckets[alternate as usize].clear(place);
        self.buckets[hash.bucket as usize].displaced -= 1;
        true
    }

    /// Puts `new` where `old` is. `false` if `old` is not there.
    pub(crate) fn replace(&mut self, hash: Hash, old: Item, new: Item) -> bool {
        let Some((bucket, place)) = self.position(hash, old) else { return false };
        let displaced = self.bucket(bucket).item(place).is_displaced();
        self.buckets[bucket as usize].set(place, hash.tag, if displaced { new.displaced() } else { new });
        true
    }
}

#[cfg(test)]
impl Index {
    /// Items in the index. Panics if a bucket's count of displaced items is wrong, given each item's hash.
    pub(crate) fn check(&self, mut hash_of: impl FnMut(Item) -> Hash) -> usize {
        let mut displaced = vec![0; self.buckets.len()];
        let mut items = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            for place in (0..PLACES).filter(|&place| bucket.tag(place) != 0) {
                let item = bucket.item(place);
                let hash = hash_of(item.at_home());
                assert_eq!(hash.tag, bucket.tag(place));
                if item.is_displaced() {
                    assert_eq!(self.alternate(hash.bucket, hash.tag) as usize, at);
                    displaced[hash.bucket as usize] += 1;
                } else {
                    assert_eq!(hash.bucket as usize, at);
                }
                items += 1;
            }
        }
        assert!(self.buckets.iter().map(|bucket| bucket.displaced).eq(displaced));
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, Key4};
    use std::net::Ipv4Addr;

    fn index(buckets: usize) -> Index {
        let mut region = Region::allocate(buckets * 64).unwrap();
        Index::new(&mut region, buckets, Hasher::new(&[7; 32])).unwrap()
    }

    fn hash(index: &Index, at: u32) -> Hash {
        index.hash(&Key4::new(Ipv4Addr::from_bits(at), Ipv4Addr::LOCALHOST, 1, 2, 6))
    }

    fn item(at: u32) -> Item {
        Item::new(at, Direction::Original)
    }

    #[test]
    fn the_alternate_of_the_alternate_is_the_primary() {
        for buckets in [1, 2, 3, 8, 250, 4096, 99_991] {
            let index = index(buckets);
            for at in 0..2000u32 {
                let bucket = at % buckets as u32;
                let tag = (at.wrapping_mul(40_503) as u16).max(1);
                let other = index.alternate(bucket, tag);
                assert!((other as usize) < buckets);
                assert_eq!(index.alternate(other, tag), bucket);
            }
        }
    }

    #[test]
    fn loads_of_four_fifths_always_fit_and_nine_tenths_nearly_always() {
        struct Case {
            name: &'static str,
            buckets: usize,
            load_percent: usize,
            refused_per_million: usize,
        }
        let cases = [
            Case { name: "small", buckets: 250, load_percent: 80, refused_per_million: 0 },
            Case { name: "sized", buckets: 20_011, load_percent: 80, refused_per_million: 0 },
            Case { name: "fuller", buckets: 20_011, load_percent: 90, refused_per_million: 100 },
        ];
        for Case { name, buckets, load_percent, refused_per_million } in cases {
            let mut index = index(buckets);
            let n = (buckets * PLACES * load_percent / 100) as u32;
            let placed: Vec<u32> = (0..n).filter(|&at| index.place(hash(&index, at), item(at))).collect();
            let refused = n as usize - placed.len();
            assert!(refused * 1_000_000 <= refused_per_million * n as usize, "{name}: {refused} of {n}");
            assert!(index.kicks > 0, "{name}: the case has kicks");
            assert_eq!(index.check(|item| hash(&index, item.slot())), placed.len());
            for &at in &placed {
                assert_eq!(index.find(hash(&index, at), |found| found == item(at)), Some(item(at)), "{name}");
            }
            for &at in &placed {
                assert!(index.unplace(hash(&index, at), item(at)), "{name}");
                assert!(!index.unplace(hash(&index, at), item(at)), "{name}: twice");
            }
            assert_eq!(index.check(|item| hash(&index, item.slot())), 0, "{name}: none left, no count left");
        }
    }

    #[test]
    fn a_full_index_refuses_and_stays_as_it_is() {
        let mut index = index(8);
        let placed: Vec<u32> = (0..1000).filter(|&at| index.place(hash(&index, at), item(at))).collect();
        assert!((60..=80).contains(&placed.len()), "{}", placed.len());
        let before = index.check(|item| hash(&index, item.slot()));
        assert_eq!(before, placed.len());
        for &at in &placed {
            let other = Item::new(at, Direction::Reply);
            assert!(index.replace(hash(&index, at), item(at), other));
            assert!(!index.replace(hash(&index, at), item(at), other), "it is not there any more");
            assert_eq!(index.find(hash(&index, at), |found| found == other), Some(other));
        }
        assert_eq!(index.check(|item| hash(&index, item.slot())), before);
    }
}
