//! IP in IP: IPv4 or IPv6 inside IPv4 (RFC 2003, RFC 4213) or inside IPv6 (RFC 2473), without options.

use crate::buf::{NoRoom, PacketBuf};
use crate::info::{Family, PacketInfo};
use crate::protocol;
use crate::tunnel::outer;

pub use crate::tunnel::Outer;

/// What the outer header adds to a packet, in bytes.
pub const fn overhead(outer: Family) -> usize {
    outer::header_len(outer)
}

/// Puts an outer IP header between the Ethernet header and the packet, and cuts Ethernet padding off.
///
/// The Ethernet header keeps its addresses and gets the outer EtherType. `NoRoom`: no headroom, the whole would be
/// longer than an IP packet can be, or the ends are of different families; the packet is as it was.
pub fn encap<B: PacketBuf>(packet: &mut B, info: &PacketInfo, outer: &Outer) -> Result<(), NoRoom> {
    outer::wrap(packet, info, outer, inner_protocol(info.family), 0).map(|_| ())
}

/// The protocol number that announces a packet of this family.
pub(super) const fn inner_protocol(inner: Family) -> u8 {
    match inner {
        Family::V4 => protocol::IPIP,
        Family::V6 => protocol::IPV6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;
    use crate::ether;
    use crate::testing::{Frame, info, verify_checksums};

    fn outer(src: &str, dst: &str) -> Outer {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        Outer { src, dst, ttl: 63, tos: 0x28, dont_fragment: true, id: 0 }
    }

    fn v4() -> Outer {
        outer("10.0.2.1", "10.0.2.11")
    }

    fn v6() -> Outer {
        outer("2001:db8:2::1", "2001:db8:2::b")
    }

    #[test]
    fn all_four_kinds() {
        let inner4 = Frame::v4("198.51.100.1", "192.0.2.100").tcp(3000, 80, 2).payload(b"hello").build();
        let inner6 = Frame::v6("2001:db8:c::1", "2001:db8:1::100").udp(3000, 53).payload(b"hello").build();
        for (name, inner, outer, protocol, ethertype) in [
            ("4 in 4", &inner4, v4(), protocol::IPIP, ether::IPV4),
            ("6 in 4", &inner6, v4(), protocol::IPV6, ether::IPV4),
            ("4 in 6", &inner4, v6(), protocol::IPIP, ether::IPV6),
            ("6 in 6", &inner6, v6(), protocol::IPV6, ether::IPV6),
        ] {
            let mut padded = inner.clone();
            padded.extend([0; 9]);
            let mut packet = VecBuf::new(&padded);
            encap(&mut packet, &info(inner), &outer).unwrap();
            let frame = packet.bytes();
            let got = info(frame);
            assert_eq!(ether::ethertype(frame), ethertype, "{name}");
            assert_eq!(frame[..12], inner[..12], "{name}: hardware addresses are the packet's");
            assert_eq!((got.protocol, got.ttl), (protocol, 63), "{name}");
            assert_eq!((got.src(frame), got.dst(frame)), (outer.src, outer.dst), "{name}");
            assert_eq!(got.upper(frame), &inner[ether::HEADER_LEN..], "{name}");
            assert_eq!(frame.len(), inner.len() + overhead(got.family), "{name}: padding is gone");
            assert_eq!(verify_checksums(frame), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_kernels_header() {
        let inner =
            Frame::v4("198.51.100.1", "192.0.2.100").ttl(63).dont_fragment().tcp(40000, 80, 2).build();
        let mut packet = VecBuf::new(&inner);
        encap(&mut packet, &info(&inner), &Outer { tos: 0, ..v4() }).unwrap();
        let want = [0x45, 0, 0, 0x3c, 0, 0, 0x40, 0, 0x3f, 4, 0x23, 0xb3, 10, 0, 2, 1, 10, 0, 2, 11];
        assert_eq!(packet.bytes()[14..34], want);
    }

    #[test]
    fn refusals_leave_the_packet_alone() {
        let inner = Frame::v4("198.51.100.1", "192.0.2.100").udp(1, 2).build();
        let mixed = Outer { src: v6().src, ..v4() };
        let mut packet = VecBuf::new(&inner);
        assert_eq!(encap(&mut packet, &info(&inner), &mixed), Err(NoRoom));
        assert_eq!(packet.bytes(), inner);

        let large = Frame::v4("198.51.100.1", "192.0.2.100").raw(253).payload(&[0; 65490]).build();
        let mut packet = VecBuf::new(&large);
        assert_eq!(encap(&mut packet, &info(&large), &v6()), Err(NoRoom));
        assert_eq!(packet.bytes(), large);

        let mut packet = VecBuf::new(&inner);
        packet.prepend(VecBuf::HEADROOM).unwrap();
        packet.bytes_mut()[..inner.len()].copy_from_slice(&inner);
        let before = packet.clone();
        assert_eq!(encap(&mut packet, &info(&inner), &v4()), Err(NoRoom));
        assert_eq!(packet, before);
    }
}
