//! The keyed hash: nobody who does not know the key can make connections that collide.
//!
//! Each 16-byte lane is mixed in and followed by four AES rounds under secret round keys, the construction of the
//! Pelican MAC (Daemen and Rijmen, 2005), whose differences through four rounds are too unlikely to search for. Where
//! the processor has no AES instructions SipHash-1-3 (Aumasson and Bernstein, 2012) does the same at a few times the
//! cost. CRC and Toeplitz are no substitute: their collisions hold under every key.

use crate::siphash::Sip;
use crate::{Direction, Key};

/// A key's hash in one table: its primary bucket and the tag that it has there. Good only for the table that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hash {
    pub(crate) bucket: u32,
    pub(crate) tag: u16,
}

/// The hashes of both keys of an entry; of a key that it does not have, of no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EntryHashes(pub(crate) [Hash; 2]);

impl EntryHashes {
    #[inline(always)]
    pub(crate) fn of(&self, direction: Direction) -> Hash {
        self.0[direction as usize]
    }
}

/// Which function, with its secret.
pub(crate) enum Hasher {
    #[cfg(target_arch = "x86_64")]
    Aes(aes::RoundKeys),
    Sip(SipKey),
}

impl Hasher {
    /// The fastest function that this processor has, keyed with `secret`.
    pub(crate) fn new(secret: &[u8; 32]) -> Hasher {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("aes") {
            return Hasher::Aes(aes::RoundKeys::derive(secret));
        }
        Hasher::portable(secret)
    }

    /// The function that needs nothing of the processor.
    pub(crate) fn portable(secret: &[u8; 32]) -> Hasher {
        Hasher::Sip(SipKey { k0: word(secret, 0) ^ word(secret, 16), k1: word(secret, 8) ^ word(secret, 24) })
    }

    /// Where `key` belongs among `buckets` buckets.
    #[inline(always)]
    pub(crate) fn hash<K: Key>(&self, key: &K, buckets: u32) -> Hash {
        let (high, tag) = match self {
            #[cfg(target_arch = "x86_64")]
            Hasher::Aes(keys) => keys.mix(key),
            Hasher::Sip(sip) => {
                let mixed = sip.mix(key);
                ((mixed >> 32) as u32, mixed as u16)
            }
        };
        Hash { bucket: scale(high, buckets), tag: tag.max(1) }
    }

    /// `hash` of both keys, which costs less than twice one.
    #[inline(always)]
    pub(crate) fn hash_pair<K: Key>(&self, keys: [&K; 2], buckets: u32) -> [Hash; 2] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Hasher::Aes(round_keys) => round_keys
                .mix_pair(keys)
                .map(|(high, tag)| Hash { bucket: scale(high, buckets), tag: tag.max(1) }),
            Hasher::Sip(_) => keys.map(|key| self.hash(key, buckets)),
        }
    }

    /// `hash` of each of `keys`, with one choice of function for all. The slices are equally long.
    #[inline]
    pub(crate) fn hash_burst<K: Key>(&self, keys: &[K], buckets: u32, hashes: &mut [Hash]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Hasher::Aes(round_keys) => round_keys.mix_burst(keys, buckets, hashes),
            Hasher::Sip(_) => {
                for (hash, key) in hashes.iter_mut().zip(keys) {
                    *hash = self.hash(key, buckets);
                }
            }
        }
    }
}

/// Spreads 32 uniform bits over `0..n` (Lemire's multiplication, without its rejection step).
#[inline(always)]
pub(crate) fn scale(bits: u32, n: u32) -> u32 {
    ((u64::from(bits) * u64::from(n)) >> 32) as u32
}

fn word(bytes: &[u8; 32], from: usize) -> u64 {
    (0..8).fold(0, |word, at| word | u64::from(bytes[from + at]) << (8 * at))
}

/// The key of a SipHash.
#[derive(Clone, Copy)]
pub(crate) struct SipKey {
    k0: u64,
    k1: u64,
}

impl SipKey {
    fn mix<K: Key>(&self, key: &K) -> u64 {
        let mut state = Sip::new(self.k0, self.k1);
        for at in 0..K::LANES {
            let [a, b, c, d] = key.lane(at).map(u64::from);
            state.absorb(a | b << 32);
            state.absorb(c | d << 32);
        }
        state.absorb((16 * K::LANES as u64) << 56);
        state.finish()
    }
}

#[cfg(target_arch = "x86_64")]
mod aes {
    //! The AES rounds. Constructed only after the processor was found to have them.

    use super::{Hash, scale, word};
    use crate::Key;
    use crate::siphash::Sip;
    use std::arch::x86_64::{
        __m128i, _mm_aesenc_si128, _mm_cvtsi128_si64, _mm_extract_epi16, _mm_set_epi32, _mm_set_epi64x,
        _mm_xor_si128,
    };

    /// A whitening key and four round keys. That one exists proves that the processor has AES.
    pub(crate) struct RoundKeys([__m128i; 5]);

    impl RoundKeys {
        /// Stretches the secret with SipHash. The caller has checked for AES.
        pub(super) fn derive(secret: &[u8; 32]) -> RoundKeys {
            let stretch = |at: u64| {
                let mut state = Sip::new(word(secret, 0), word(secret, 8));
                state.absorb(word(secret, 16));
                state.absorb(word(secret, 24));
                state.absorb(at);
                state.absorb(24 << 56);
                state.finish()
            };
            RoundKeys(std::array::from_fn(|at| {
                let [low, high] = [2 * at as u64, 2 * at as u64 + 1].map(stretch);
                // SAFETY: SSE2 belongs to every x86-64 processor.
                unsafe { _mm_set_epi64x(high as i64, low as i64) }
            }))
        }

        #[inline(always)]
        pub(super) fn mix<K: Key>(&self, key: &K) -> (u32, u16) {
            // SAFETY: a `RoundKeys` is made only where AES was detected.
            unsafe { mix(self, key) }
        }

        #[inline(always)]
        pub(super) fn mix_pair<K: Key>(&self, keys: [&K; 2]) -> [(u32, u16); 2] {
            // SAFETY: a `RoundKeys` is made only where AES was detected.
            unsafe { mix_pair(self, keys) }
        }

        #[inline(always)]
        pub(super) fn mix_burst<K: Key>(&self, keys: &[K], buckets: u32, hashes: &mut [Hash]) {
            // SAFETY: a `RoundKeys` is made only where AES was detected.
            unsafe { mix_burst(self, keys, buckets, hashes) }
        }
    }

    #[inline]
    #[target_feature(enable = "aes")]
    fn mix<K: Key>(round_keys: &RoundKeys, key: &K) -> (u32, u16) {
        mix_with(&round_keys.0, key)
    }

    #[inline]
    #[target_feature(enable = "aes")]
    fn mix_pair<K: Key>(round_keys: &RoundKeys, [a, b]: [&K; 2]) -> [(u32, u16); 2] {
        [mix_with(&round_keys.0, a), mix_with(&round_keys.0, b)]
    }

    #[inline]
    #[target_feature(enable = "aes")]
    fn mix_with<K: Key>(round_keys: &[__m128i; 5], key: &K) -> (u32, u16) {
        let mut state = round_keys[0];
        for at in 0..K::LANES {
            let [a, b, c, d] = key.lane(at).map(|word| word as i32);
            state = _mm_xor_si128(state, _mm_set_epi32(d, c, b, a));
            for round_key in &round_keys[1..] {
                state = _mm_aesenc_si128(state, *round_key);
            }
        }
        ((_mm_cvtsi128_si64(state) as u64 >> 32) as u32, _mm_extract_epi16::<7>(state) as u16)
    }

    #[inline]
    #[target_feature(enable = "aes")]
    fn mix_burst<K: Key>(round_keys: &RoundKeys, keys: &[K], buckets: u32, hashes: &mut [Hash]) {
        for (hash, key) in hashes.iter_mut().zip(keys) {
            let (high, tag) = mix_with(&round_keys.0, key);
            *hash = Hash { bucket: scale(high, buckets), tag: tag.max(1) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key4, Key6};
    use std::hash::Hasher as _;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const SECRET: [u8; 32] = *b"a secret for tests, 32 bytes lon";

    fn key4(at: u32) -> Key4 {
        Key4::new(Ipv4Addr::from_bits(0x0a00_0000 | at >> 4), Ipv4Addr::LOCALHOST, (at & 15) as u16, 80, 6)
    }

    fn both(secret: &[u8; 32]) -> [Hasher; 2] {
        [Hasher::new(secret), Hasher::portable(secret)]
    }

    #[test]
    fn sip_is_the_siphash_1_3_of_the_standard_library() {
        let key = Key6::new(Ipv6Addr::LOCALHOST, "2001:db8::7".parse().unwrap(), 1, 2, 17);
        let mut reference = std::collections::hash_map::DefaultHasher::new();
        for word in (0..Key6::LANES).flat_map(|at| key.lane(at)) {
            reference.write(&word.to_le_bytes());
        }
        assert_eq!(SipKey { k0: 0, k1: 0 }.mix(&key), reference.finish());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn aes_is_taken_where_there_is_aes() {
        let aes = matches!(Hasher::new(&SECRET), Hasher::Aes(_));
        assert_eq!(aes, std::arch::is_x86_feature_detected!("aes"));
    }

    #[test]
    fn hashes_spread_evenly_over_any_number_of_buckets() {
        for hasher in both(&SECRET) {
            for buckets in [1u32, 7, 1000] {
                let mut counts = vec![0u32; buckets as usize];
                let mut tags = std::collections::HashSet::new();
                let keys = 20_000;
                for at in 0..keys {
                    let Hash { bucket, tag } = hasher.hash(&key4(at), buckets);
                    counts[bucket as usize] += 1;
                    tags.insert(tag);
                    assert_ne!(tag, 0, "tag 0 marks a free place");
                }
                let mean = f64::from(keys) / f64::from(buckets);
                let chi2: f64 = counts.iter().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum();
                let freedom = f64::from(buckets - 1);
                assert!(chi2 < freedom + 5.0 * (2.0 * freedom).sqrt() + 1.0, "{buckets}: {chi2}");
                // 65535 × (1 − e^(−20000/65535)) ≈ 17240 tags are expected.
                assert!((17_000..17_500).contains(&tags.len()), "{}", tags.len());
            }
        }
    }

    #[test]
    fn every_bit_of_key_and_secret_counts() {
        for bit in 0..256 {
            let mut other = SECRET;
            other[bit / 8] ^= 1 << (bit % 8);
            for (a, b) in both(&SECRET).into_iter().zip(both(&other)) {
                let differ = (0..64).filter(|&at| a.hash(&key4(at), 1 << 20) != b.hash(&key4(at), 1 << 20));
                assert_eq!(differ.count(), 64, "secret bit {bit}");
            }
        }
        let src: u128 = 0x2001_0db8 << 96;
        for hasher in both(&SECRET) {
            let hash = |src: u128, dst: u128, ports: u32, rest: u32| {
                let (src, dst) = (Ipv6Addr::from_bits(src), Ipv6Addr::from_bits(dst));
                let key = Key6::new(src, dst, (ports >> 16) as u16, ports as u16, rest as u8);
                hasher.hash(&key.with_flags((rest >> 8) as u8).with_zone((rest >> 16) as u16), 1 << 31)
            };
            let base = hash(src, 0, 0, 0);
            for bit in 0..128 {
                assert_ne!(hash(src ^ 1 << bit, 0, 0, 0), base, "source bit {bit}");
                assert_ne!(hash(src, 1 << bit, 0, 0), base, "destination bit {bit}");
            }
            for bit in 0..32 {
                assert_ne!(hash(src, 0, 1 << bit, 0), base, "port bit {bit}");
                assert_ne!(hash(src, 0, 0, 1 << bit), base, "other bit {bit}");
            }
        }
    }

    #[test]
    fn a_burst_hashes_as_its_keys_do() {
        let keys: Vec<Key4> = (0..77).map(key4).collect();
        for hasher in both(&SECRET) {
            let mut hashes = vec![Hash::default(); keys.len()];
            hasher.hash_burst(&keys, 12_345, &mut hashes);
            let single: Vec<Hash> = keys.iter().map(|key| hasher.hash(key, 12_345)).collect();
            assert_eq!(hashes, single);
            for pair in keys.windows(2).zip(single.windows(2)) {
                assert_eq!(hasher.hash_pair([&pair.0[0], &pair.0[1]], 12_345), pair.1);
            }
        }
    }
}
