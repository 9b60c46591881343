//! Generic routing encapsulation (RFC 2784): a packet behind an EtherType, with a checksum over both if one is wanted. Slices
//! start at the GRE header.
//!
//! Key and sequence number (RFC 2890) are understood, never written: IPVS has neither.

use crate::buf::{NoRoom, PacketBuf};
use crate::field::{get_u16, put_u16, put_u32};
use crate::info::{Family, PacketInfo};
use crate::tunnel::outer::{self, Outer};
use crate::{checksum, ether, protocol};

/// Length of a header without optional fields, in bytes.
pub const HEADER_LEN: usize = 4;
/// Length of each optional field, in bytes.
const FIELD_LEN: usize = 4;

/// Flag: there is a checksum.
const CHECKSUM: u16 = 0x8000;
/// Flag: there is a source route, of unknown length (RFC 1701).
const ROUTING: u16 = 0x4000;
/// Flag: there is a key.
const KEY: u16 = 0x2000;
/// Flag: there is a sequence number.
const SEQUENCE: u16 = 0x1000;
/// Version; 0, and 1 for PPTP (RFC 2637).
const VERSION: u16 = 0x0007;
/// The version of PPTP.
const PPTP_VERSION: u16 = 1;
/// Protocol type: PPP.
const PPP: u16 = 0x880b;

/// Flags and version.
#[inline]
pub fn flags(gre: &[u8]) -> u16 {
    get_u16(gre, 0)
}

/// EtherType of what follows.
#[inline]
pub fn ethertype(gre: &[u8]) -> u16 {
    get_u16(gre, 2)
}

/// The number that the receiver gave the call whose packet this is, if it is one of PPTP (RFC 2637, 4.1): version 1, with a
/// key of which the lower half is that number.
pub fn call_id(gre: &[u8]) -> Option<u16> {
    const OTHERS: u16 = CHECKSUM | ROUTING | KEY | VERSION;
    let enhanced = gre.len() >= HEADER_LEN + FIELD_LEN
        && flags(gre) & OTHERS == KEY | PPTP_VERSION
        && ethertype(gre) == PPP;
    enhanced.then(|| get_u16(gre, HEADER_LEN + 2))
}

/// Length of the header with its optional fields, in bytes: 4..=16.
#[inline]
pub fn header_len(gre: &[u8]) -> usize {
    HEADER_LEN + FIELD_LEN * (flags(gre) & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize
}

/// Whether the checksum is right, or absent.
pub fn verify_checksum(gre: &[u8]) -> bool {
    flags(gre) & CHECKSUM == 0 || checksum::of(gre) == 0
}

/// The family of the packet inside, and where it starts. `None`: another version, a source route, or not IP.
pub(crate) fn carries(gre: &[u8]) -> Option<(Family, usize)> {
    if gre.len() < HEADER_LEN || flags(gre) & (ROUTING | VERSION) != 0 {
        return None;
    }
    match ethertype(gre) {
        ether::IPV4 => Some((Family::V4, header_len(gre))),
        ether::IPV6 => Some((Family::V6, header_len(gre))),
        _ => None,
    }
}

/// What the tunnel adds to a packet, outer IP header and all, in bytes.
pub const fn overhead(outer: Family, checksum: bool) -> usize {
    outer::header_len(outer) + shim_len(checksum)
}

const fn shim_len(checksum: bool) -> usize {
    HEADER_LEN + if checksum { FIELD_LEN } else { 0 }
}

/// Puts the packet into the tunnel; errors and Ethernet header are those of [`crate::tunnel::ipip::encap`].
pub fn encap<B: PacketBuf>(
    packet: &mut B,
    info: &PacketInfo,
    outer: &Outer,
    checksum: bool,
) -> Result<(), NoRoom> {
    let gre = outer::wrap(packet, info, outer, protocol::GRE, shim_len(checksum))?;
    put_u16(gre, 0, if checksum { CHECKSUM } else { 0 });
    put_u16(gre, 2, if info.family == Family::V4 { ether::IPV4 } else { ether::IPV6 });
    if checksum {
        put_u32(gre, 4, 0);
        let check = checksum::of(gre);
        put_u16(gre, 4, check);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;
    use crate::testing::{Frame, hex, info};

    const FROM_CLIENT: &str = "0200000000010200000000fe0800 45000028001140003f064f26c6336401c0000264 \
        9c400050000003e8000000005002ffff22d10000";
    const FROM_CLIENT_BAD_CHECKSUM: &str = "0200000000010200000000fe0800 4500002b000000003f068f34c6336401c0000264 \
        9c400050000003e9000000015018ffff4d450000626164";

    fn outer() -> Outer {
        let (src, dst) = ("10.0.2.1".parse().unwrap(), "10.0.2.11".parse().unwrap());
        Outer { src, dst, ttl: 63, tos: 0, dont_fragment: true, id: 0 }
    }

    #[test]
    fn what_the_kernel_sent() {
        // Traces tun_gre_v4 and tun_gre_csum_v4. The client's packet is as it is behind TTL and before the tunnel.
        for (name, frame, outer, checksum, want) in [
            (
                "without checksum",
                FROM_CLIENT,
                outer(),
                false,
                "45000040000040003f2f23840a0002010a00020b 00000800 45000028001140003f064f26c6336401c0000264 \
                 9c400050000003e8000000005002ffff22d10000",
            ),
            (
                "with checksum",
                FROM_CLIENT,
                outer(),
                true,
                "45000044000040003f2f23800a0002010a00020b 8000080064b30000 45000028001140003f064f26c6336401c0000264 \
                 9c400050000003e8000000005002ffff22d10000",
            ),
            (
                "with checksum, over a wrong one of odd length",
                FROM_CLIENT_BAD_CHECKSUM,
                Outer { dont_fragment: false, id: 0xea60, ..outer() },
                true,
                "45000047ea6000003f2f791c0a0002010a00020b 8000080073c50000 4500002b000000003f068f34c6336401c0000264 \
                 9c400050000003e9000000015018ffff4d450000626164",
            ),
        ] {
            let mut packet = VecBuf::new(&hex(frame));
            encap(&mut packet, &info(&hex(frame)), &outer, checksum).unwrap();
            assert_eq!(packet.bytes()[ether::HEADER_LEN..], hex(want), "{name}");
        }
    }

    #[test]
    fn understands_optional_fields() {
        for (name, bytes, len, want) in [
            ("plain", "00000800", 4, Some((Family::V4, 4))),
            ("IPv6", "000086dd", 4, Some((Family::V6, 4))),
            ("checksum", "8000080012340000", 8, Some((Family::V4, 8))),
            ("key", "20000800 00000007", 8, Some((Family::V4, 8))),
            ("all", "b0000800 12340000 00000007 00000001", 16, Some((Family::V4, 16))),
            ("Ethernet inside", "00006558", 4, None),
            ("source route", "40000800", 4, None),
            ("PPTP", "3001880b 00000007 00000001", 12, None),
            ("PPTP without a key", "1001880b 00000001", 8, None),
            ("PPTP, cut off", "3001880b 000000", 12, None),
            ("cut off", "000008", 4, None),
        ] {
            let gre = hex(bytes);
            assert_eq!(call_id(&gre), (name == "PPTP").then_some(7), "{name}");
            assert_eq!((header_len(&gre), carries(&gre)), (len, want), "{name}");
        }
    }

    #[test]
    fn the_checksum_is_verified_where_there_is_one() {
        let inner = Frame::v4("198.51.100.1", "192.0.2.100").udp(1, 2).payload(b"odd").build();
        let mut packet = VecBuf::new(&inner);
        encap(&mut packet, &info(&inner), &outer(), true).unwrap();
        let mut frame = packet.bytes().to_vec();
        let whole = info(&frame);
        assert!(verify_checksum(whole.upper(&frame)));
        *frame.last_mut().unwrap() ^= 1;
        assert!(!verify_checksum(whole.upper(&frame)));
        assert!(verify_checksum(&hex("00000800 ffff")));
    }
}
