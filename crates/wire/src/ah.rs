//! Authentication header (RFC 4302). Slices start at the header. A director reads it and never changes it.

use crate::field::{get_u8, get_u16, get_u32};

/// Length of the fields in front of the integrity check value, in bytes.
pub const FIXED_LEN: usize = 12;

/// Protocol of what follows.
#[inline]
pub fn next_header(ah: &[u8]) -> u8 {
    get_u8(ah, 0)
}

/// Length of the header with its integrity check value, in bytes: 8..=1028.
#[inline]
pub fn header_len(ah: &[u8]) -> usize {
    (usize::from(get_u8(ah, 1)) + 2) * 4
}

/// Reserved field; 0.
#[inline]
pub fn reserved(ah: &[u8]) -> u16 {
    get_u16(ah, 2)
}

/// Security parameters index: which association of the receiver this belongs to.
#[inline]
pub fn spi(ah: &[u8]) -> u32 {
    get_u32(ah, 4)
}

/// Sequence number.
#[inline]
pub fn sequence(ah: &[u8]) -> u32 {
    get_u32(ah, 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn reads_a_recorded_header() {
        let ah = hex("06040000 00000100 00000001 aaaaaaaaaaaaaaaaaaaaaaaa 0000000000000000");
        assert_eq!((next_header(&ah), header_len(&ah), reserved(&ah)), (6, 24, 0));
        assert_eq!((spi(&ah), sequence(&ah)), (0x100, 1));
        assert_eq!((spi(&ah[..7]), sequence(&[])), (0, 0), "what is not there reads as 0");
    }
}
