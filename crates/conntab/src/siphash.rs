//! SipHash-1-3 (Aumasson, Bernstein 2012): a keyed hash that clients cannot steer without the key.

/// The 64-bit hash of `bytes` under `key`.
pub fn siphash13(key: &[u8; 16], bytes: &[u8]) -> u64 {
    let (k0, k1) = key.split_at(8);
    let mut sip = Sip::new(word(k0), word(k1));
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        sip.absorb(word(chunk));
    }
    let last = word(chunks.remainder()) | ((bytes.len() as u64) << 56);
    sip.absorb(last);
    sip.finish()
}

/// Up to eight bytes, little-endian, padded with zeros.
fn word(bytes: &[u8]) -> u64 {
    let mut padded = [0; 8];
    padded[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(padded)
}

/// A hash in the making, a word at a time: the last word absorbed must carry the number of bytes, modulo 256, in its top byte.
pub struct Sip([u64; 4]);

impl Sip {
    /// Begins a hash under the key whose little-endian halves are `k0` and `k1`.
    #[inline]
    pub fn new(k0: u64, k1: u64) -> Self {
        // "somepseudorandomlygeneratedbytes", as the paper has it.
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// Takes in eight bytes as a little-endian word.
    #[inline]
    pub fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    /// The hash.
    #[inline]
    pub fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        for _ in 0..3 {
            self.round();
        }
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    #[inline]
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    #[test]
    fn agrees_with_the_standard_librarys_under_the_zero_key() {
        let bytes: Vec<u8> = (0..64).collect();
        for len in 0..bytes.len() {
            // The standard hasher is SipHash-1-3 under an all-zero key.
            let mut std = std::hash::DefaultHasher::new();
            std.write(&bytes[..len]);
            assert_eq!(siphash13(&[0; 16], &bytes[..len]), std.finish(), "{len} bytes");
        }
    }

    #[test]
    fn the_key_matters() {
        assert_ne!(siphash13(&[1; 16], b"flow"), siphash13(&[2; 16], b"flow"));
    }
}
