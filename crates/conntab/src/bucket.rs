//! One cache line of the index: ten tags, ten items, and how many items that belong here live elsewhere.

/// Places in a bucket.
pub(crate) const PLACES: usize = 10;
const ALL: u32 = (1 << PLACES) - 1;

/// What a place holds: a slot and one of its directions, and whether it sits in its alternate bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub(crate) struct Item(u32);

impl Item {
    const DISPLACED: u32 = 1 << 31;
    /// Slots that an item can name.
    pub(crate) const MAX_SLOTS: usize = 1 << 30;

    #[inline(always)]
    pub(crate) fn new(slot: u32, direction: crate::Direction) -> Item {
        Item(slot << 1 | direction as u32)
    }

    #[inline(always)]
    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn from_bits(bits: u32) -> Item {
        Item(bits)
    }

    #[inline(always)]
    pub(crate) fn slot(self) -> u32 {
        (self.0 & !Self::DISPLACED) >> 1
    }

    #[inline(always)]
    pub(crate) fn direction(self) -> crate::Direction {
        if self.0 & 1 == 0 { crate::Direction::Original } else { crate::Direction::Reply }
    }

    #[inline(always)]
    pub(crate) fn is_displaced(self) -> bool {
        self.0 & Self::DISPLACED != 0
    }

    #[inline(always)]
    pub(crate) fn displaced(self) -> Item {
        Item(self.0 | Self::DISPLACED)
    }

    #[inline(always)]
    pub(crate) fn at_home(self) -> Item {
        Item(self.0 & !Self::DISPLACED)
    }
}

/// A bucket. Tag 0 marks a free place.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    tags: [u16; PLACES],
    /// Items whose primary bucket this is and that sit in their alternate. Only if there are any is that one read.
    pub(crate) displaced: u32,
    items: [Item; PLACES],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// The places that hold `tag`, as bits.
    #[inline(always)]
    pub(crate) fn matches(&self, tag: u16) -> u32 {
        #[cfg(target_arch = "x86_64")]
        return self.matches_sse2(tag);
        #[cfg(not(target_arch = "x86_64"))]
        return self.matches_scalar(tag);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn matches_sse2(&self, tag: u16) -> u32 {
        use std::arch::x86_64::{
            _mm_cmpeq_epi16, _mm_load_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
        };
        let line = std::ptr::from_ref(self).cast();
        // SAFETY: SSE2 belongs to every x86-64 processor; the bucket is aligned to 64 bytes and as long, so its first
        // 32, which the tags begin, can be loaded in two aligned halves.
        let equal = unsafe {
            let wanted = _mm_set1_epi16(tag as i16);
            let low = _mm_cmpeq_epi16(_mm_load_si128(line), wanted);
            let high = _mm_cmpeq_epi16(_mm_load_si128(line.add(1)), wanted);
            _mm_movemask_epi8(_mm_packs_epi16(low, high))
        };
        equal as u32 & ALL
    }

    #[cfg(any(test, not(target_arch = "x86_64")))]
    fn matches_scalar(&self, tag: u16) -> u32 {
        self.tags.iter().enumerate().fold(0, |bits, (at, &held)| bits | u32::from(held == tag) << at) & ALL
    }

    /// The first free place.
    #[inline(always)]
    pub(crate) fn free_place(&self) -> Option<usize> {
        let free = self.matches(0);
        (free != 0).then(|| free.trailing_zeros() as usize)
    }

    #[inline(always)]
    pub(crate) fn item(&self, place: usize) -> Item {
        self.items[place]
    }

    #[inline(always)]
    pub(crate) fn tag(&self, place: usize) -> u16 {
        self.tags[place]
    }

    #[inline(always)]
    pub(crate) fn set(&mut self, place: usize, tag: u16, item: Item) {
        self.tags[place] = tag;
        self.items[place] = item;
    }

    #[inline(always)]
    pub(crate) fn clear(&mut self, place: usize) {
        self.tags[place] = 0;
    }

    /// The place of exactly this item under `tag`.
    #[inline]
    pub(crate) fn place_of(&self, tag: u16, item: Item) -> Option<usize> {
        places(self.matches(tag)).find(|&place| self.items[place] == item)
    }
}

/// The places that are set in `bits`, lowest first.
#[inline(always)]
pub(crate) fn places(mut bits: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = bits.trailing_zeros() as usize;
        // Also holds for an endless caller: 0 & (0 - 1) would stay 0, with `place` 32.
        (bits != 0).then(|| {
            bits &= bits - 1;
            place
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn vector_and_scalar_compare_agree(
            tags in proptest::array::uniform10(0u16..4),
            displaced: u32,
            items in proptest::array::uniform10(0u32..4),
            tag in 0u16..4,
        ) {
            let bucket = Bucket { tags, displaced, items: items.map(Item) };
            let want = (0..PLACES).filter(|&at| tags[at] == tag).fold(0, |bits, at| bits | 1 << at);
            prop_assert_eq!(bucket.matches(tag), want);
            prop_assert_eq!(bucket.matches_scalar(tag), want);
            prop_assert_eq!(bucket.free_place(), tags.iter().position(|&held| held == 0));
            prop_assert!(places(want).eq((0..PLACES).filter(|&at| tags[at] == tag)));
        }
    }

    #[test]
    fn a_tag_in_the_count_or_the_items_is_no_match() {
        let bucket = Bucket { tags: [1; PLACES], displaced: 0x0007_0007, items: [Item(0x0007_0007); PLACES] };
        assert_eq!((bucket.matches(7), bucket.matches_scalar(7)), (0, 0));
        assert_eq!(bucket.matches(1), ALL);
    }

    #[test]
    fn items_keep_slot_direction_and_place_apart() {
        for direction in Direction::BOTH {
            let item = Item::new(Item::MAX_SLOTS as u32 - 1, direction);
            assert_eq!((item.slot(), item.direction(), item.is_displaced()), (0x3fff_ffff, direction, false));
            let away = item.displaced();
            assert_eq!((away.slot(), away.direction(), away.is_displaced()), (0x3fff_ffff, direction, true));
            assert_eq!(away.at_home(), item);
        }
    }
}
