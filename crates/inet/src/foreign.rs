//! A quick no to the question whether an address is one of ours, for the packets of established connections.
//!
//! A set of bits, by a hash of the address: a bit that is not set says for certain that the address is none of ours, nor a
//! broadcast address of our links. A bit that is set says nothing; what then asks the tables gets the right answer, only later.

use core::net::IpAddr;

/// Bits for each address, so that a strange one meets a set bit once in so many times.
const BITS_EACH: usize = 64;
/// The fewest bits, and the most.
const LEAST: usize = 4096;
const MOST: usize = 1 << 22;

/// The set.
#[derive(Debug)]
pub(crate) struct Foreign {
    words: Box<[u64]>,
}

impl Foreign {
    /// The set that has these addresses.
    pub(crate) fn build(ours: impl Iterator<Item = IpAddr> + Clone) -> Self {
        let bits = (ours.clone().count() * BITS_EACH).next_power_of_two().clamp(LEAST, MOST);
        let mut words = vec![0_u64; bits / 64].into_boxed_slice();
        for addr in ours {
            let bit = hash(addr) & (bits - 1);
            words[bit / 64] |= 1 << (bit % 64);
        }
        Self { words }
    }

    /// Whether the address is certainly not in the set.
    #[inline]
    pub(crate) fn has_not(&self, addr: IpAddr) -> bool {
        let bit = hash(addr) & (self.words.len() * 64 - 1);
        self.words[bit / 64] >> (bit % 64) & 1 == 0
    }
}

#[inline]
fn hash(addr: IpAddr) -> usize {
    let bits = match addr {
        IpAddr::V4(addr) => u64::from(addr.to_bits()),
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            (bits >> 64) as u64 ^ (bits as u64).rotate_left(17)
        }
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_never_counts_as_foreign_and_most_else_does() {
        let ours = |n: u32| IpAddr::V4((0x0a00_0000 + n * 7).into());
        let ours_v6 = |n: u32| IpAddr::V6(((0x2001_0db8 << 96) + u128::from(n)).into());
        let foreign = Foreign::build((0..1000).map(ours).chain((0..1000).map(ours_v6)));
        assert!((0..1000).all(|n| !foreign.has_not(ours(n)) && !foreign.has_not(ours_v6(n))));
        let strange = (0..10_000).filter(|&n| foreign.has_not(IpAddr::V4((0xc633_0000_u32 + n).into())));
        assert!(strange.count() > 9_000);
    }
}
