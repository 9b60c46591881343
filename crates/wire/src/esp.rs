//! Encapsulating security payload (RFC 4303): the two fields that are readable on the way. Slices start at the header.

use crate::field::get_u32;

/// Length of the readable fields, in bytes.
pub const HEADER_LEN: usize = 8;

/// Security parameters index: which association of the receiver this belongs to.
#[inline]
pub fn spi(esp: &[u8]) -> u32 {
    get_u32(esp, 0)
}

/// Sequence number.
#[inline]
pub fn sequence(esp: &[u8]) -> u32 {
    get_u32(esp, 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn reads_a_recorded_header() {
        let esp = hex("00000100 00000001 eeeeeeeeeeeeeeee");
        assert_eq!((spi(&esp), sequence(&esp)), (0x100, 1));
        assert_eq!((spi(&esp[..3]), sequence(&esp[..4])), (0, 0), "what is not there reads as 0");
    }
}
