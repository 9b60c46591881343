//! The Internet checksum: whole (RFC 1071), with a pseudo-header, and by difference (RFC 1624).
//!
//! A difference keeps a wrong checksum wrong, so damage done before us is still found behind us.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field::get_u16;
use crate::info::PacketInfo;
use crate::protocol;

/// A ones-complement sum under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes; an odd last one counts as if a zero followed. Only the last run of a sum may be odd.
    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // Native order in the loop, swapped once: the sum does not depend on byte order (RFC 1071, 2 (B)). Any slice's
        // number of words is below 2^32 by far, so the carries fit the upper half.
        let (words, rest) = bytes.as_chunks::<4>();
        let mut sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        sum += u64::from(u32::from_ne_bytes(last));
        Self(self.0 + u64::from(u16::from_be(fold(sum))))
    }

    /// Adds a 16-bit number.
    #[inline]
    pub fn u16(self, value: u16) -> Self {
        Self(self.0 + u64::from(value))
    }

    /// Adds a 32-bit number, as two of 16 bits.
    #[inline]
    pub fn u32(self, value: u32) -> Self {
        Self(self.0 + u64::from(value))
    }

    /// The checksum: the complement of the sum. Over data that contains its checksum, 0 says that it is right.
    #[inline]
    pub fn finish(self) -> u16 {
        !fold(self.0)
    }
}

/// Folds the carries of a ones-complement sum into 16 bits.
#[inline]
const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum of bytes.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    Sum::default().bytes(bytes).finish()
}

/// The pseudo-header of TCP and UDP over IPv4 (RFC 793, RFC 768). `len` is that of upper-layer header and data.
#[inline]
pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: usize) -> Sum {
    Sum::default().u32(src.to_bits()).u32(dst.to_bits()).u16(u16::from(protocol)).u32(len as u32)
}

/// The pseudo-header over IPv6 (RFC 8200, 8.1). `len` is that of upper-layer header and data.
#[inline]
pub fn pseudo_v6(src: &Ipv6Addr, dst: &Ipv6Addr, protocol: u8, len: usize) -> Sum {
    Sum::default().bytes(&src.octets()).bytes(&dst.octets()).u32(len as u32).u16(u16::from(protocol))
}

/// The checksum over pseudo-header and upper-layer packet, with the checksum field as it stands there: 0 if that is right.
///
/// Of UDP the length field says how much is covered. The destination is that of the IP header: an unfinished routing
/// header (RFC 8200, 8.1) is not looked into.
pub fn upper(frame: &[u8], info: &PacketInfo) -> u16 {
    let mut upper = info.upper(frame);
    if info.protocol == protocol::UDP {
        let covered = usize::from(get_u16(upper, 4));
        upper = upper.get(..covered).unwrap_or(upper);
    }
    let pseudo = match (info.src(frame), info.dst(frame)) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => pseudo_v4(src, dst, info.protocol, upper.len()),
        (IpAddr::V6(src), IpAddr::V6(dst)) => pseudo_v6(&src, &dst, info.protocol, upper.len()),
        _ => Sum::default(),
    };
    pseudo.bytes(upper).finish()
}

/// The checksum after `old` became `new`. Both have the same even length and start at an even offset.
#[inline]
pub fn adjust(check: u16, old: &[u8], new: &[u8]) -> u16 {
    Delta::default().bytes(old, new).apply(check)
}

/// What changes do to a checksum: computed once, applied to every packet that gets the same changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u16);

impl Delta {
    #[inline]
    fn add(self, value: u64) -> Self {
        Self(fold(u64::from(self.0) + value))
    }

    /// Adds a changed 16-bit number.
    #[inline]
    pub fn u16(self, old: u16, new: u16) -> Self {
        if old == new { self } else { self.add(u64::from(!old) + u64::from(new)) }
    }

    /// Adds a changed 32-bit number.
    #[inline]
    pub fn u32(self, old: u32, new: u32) -> Self {
        if old == new { self } else { self.add(u64::from(!old) + u64::from(new)) }
    }

    /// Adds changed bytes, of the same even length and at an even offset.
    #[inline]
    pub fn bytes(self, old: &[u8], new: &[u8]) -> Self {
        if old == new { self } else { self.add(u64::from(of(old)) + u64::from(!of(new))) }
    }

    /// Adds a changed address.
    #[inline]
    pub fn address(self, old: IpAddr, new: IpAddr) -> Self {
        match (old, new) {
            (IpAddr::V4(old), IpAddr::V4(new)) => self.u32(old.to_bits(), new.to_bits()),
            (IpAddr::V6(old), IpAddr::V6(new)) => self.bytes(&old.octets(), &new.octets()),
            (IpAddr::V4(old), IpAddr::V6(new)) => self.bytes(&old.octets(), &new.octets()),
            (IpAddr::V6(old), IpAddr::V4(new)) => self.bytes(&old.octets(), &new.octets()),
        }
    }

    /// Adds all changes of another difference.
    #[inline]
    pub fn and(self, other: Self) -> Self {
        self.add(u64::from(other.0))
    }

    /// The difference that takes these changes back.
    #[inline]
    pub fn reverse(self) -> Self {
        if self.0 == 0 { self } else { Self(!self.0) }
    }

    /// The checksum after the changes (RFC 1624, equation 3).
    #[inline]
    pub fn apply(self, check: u16) -> u16 {
        !fold(u64::from(!check) + u64::from(self.0))
    }

    /// The same for UDP, where 0 would say that there is no checksum and 0xffff stands for it (RFC 768). Whether there
    /// is a checksum at all is the caller's to ask before.
    #[inline]
    pub fn apply_udp(self, check: u16) -> u16 {
        udp_field(self.apply(check))
    }
}

/// The value that a UDP header carries for a computed checksum.
#[inline]
pub const fn udp_field(check: u16) -> u16 {
    if check == 0 { 0xffff } else { check }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: 16-bit big-endian words, carries added back, complement.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for word in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(Delta::default().u16(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn extremes() {
        assert_eq!(of(&[]), 0xffff);
        assert_eq!(of(&[0xff; 65535]), plain(&[0xff; 65535]));
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0x1_0000_0001), 2);
    }

    #[test]
    fn udp_never_becomes_absent() {
        assert_eq!(Delta::default().u16(0x5555, 0x3285).apply_udp(0xdd2f), 0xffff);
        assert_eq!(Delta::default().apply_udp(0xffff), 0xffff);
    }

    #[test]
    fn nothing_changed_changes_nothing() {
        for check in [0, 1, 0xfffe, 0xffff] {
            assert_eq!(Delta::default().u16(7, 7).u32(8, 8).bytes(b"ab", b"ab").apply(check), check);
        }
    }

    proptest! {
        #[test]
        fn fast_is_plain(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(of(&bytes), plain(&bytes));
        }

        #[test]
        fn runs_add_up(head in prop::collection::vec(any::<u8>(), 0..50), tail in prop::collection::vec(any::<u8>(), 0..50)) {
            let head = &head[..head.len() & !1];
            let whole = [head, &tail].concat();
            prop_assert_eq!(Sum::default().bytes(head).bytes(&tail).finish(), of(&whole));
        }

        #[test]
        fn difference_is_recomputation(
            mut bytes in prop::collection::vec(any::<u8>(), 32..64),
            a: u16, b: u32, c: [u8; 16],
        ) {
            // No packet is all zeros: the protocol is in the sum. That tells the two zeros of ones complement apart.
            bytes[0] = 0x45;
            let check = of(&bytes);
            let delta = Delta::default()
                .u16(get_u16(&bytes, 2), a)
                .u32(u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]), b)
                .bytes(&bytes[8..24], &c);
            let old = bytes.clone();
            bytes[2..4].copy_from_slice(&a.to_be_bytes());
            bytes[4..8].copy_from_slice(&b.to_be_bytes());
            bytes[8..24].copy_from_slice(&c);
            prop_assert_eq!(delta.apply(check), of(&bytes));
            prop_assert_eq!(delta.reverse().apply(of(&bytes)), check);
            prop_assert_eq!(adjust(check, &old[2..24], &bytes[2..24]), of(&bytes));
            let parts = Delta::default().bytes(&old[2..8], &bytes[2..8]).and(Delta::default().bytes(&old[8..24], &c));
            prop_assert_eq!(parts.apply(check), of(&bytes));
        }

        #[test]
        fn wrong_stays_wrong_by_as_much(check: u16, old: u32, new: u32) {
            let delta = Delta::default().u32(old, new);
            prop_assume!(check != 0xffff && delta.apply(check) != 0xffff);
            prop_assert_eq!(delta.reverse().apply(delta.apply(check)), check);
        }
    }
}
