//! Fields of a header: big-endian numbers and arrays at an offset, without panics.
//!
//! A field outside the slice reads as zeros, writing one does nothing. [`crate::parse`] has checked the lengths by then,
//! so this is only what keeps a mistake from taking the worker down.

/// `N` bytes at `at`.
#[inline]
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(<[u8]>::first_chunk::<N>).copied().unwrap_or([0; N])
}

/// Writes `value` at `at`.
#[inline]
pub(crate) fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(field) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<N>) {
        *field = value;
    }
}

#[inline]
pub(crate) fn get_u8(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

#[inline]
pub(crate) fn get_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(bytes, at))
}

#[inline]
pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(bytes, at))
}

#[inline]
pub(crate) fn put_u8(bytes: &mut [u8], at: usize, value: u8) {
    put(bytes, at, [value]);
}

#[inline]
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    put(bytes, at, value.to_be_bytes());
}

#[inline]
pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_the_slice_reads_as_zero_and_writes_nothing() {
        let mut bytes = [0xff; 5];
        for at in [4, 5, 6, usize::MAX] {
            assert_eq!(get_u16(&bytes, at), 0, "{at}");
            put_u16(&mut bytes, at, 0x1234);
            assert_eq!(bytes, [0xff; 5], "{at}");
        }
        put_u16(&mut bytes, 3, 0x1234);
        assert_eq!(bytes, [0xff, 0xff, 0xff, 0x12, 0x34]);
        assert_eq!(get_u32(&bytes, 1), 0xffff_1234);
    }
}
