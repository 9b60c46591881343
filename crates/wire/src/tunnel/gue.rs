//! Generic UDP encapsulation (draft-ietf-intarea-gue, as Linux does it): a packet behind UDP and a header of four bytes.
//! Slices start at the GUE header, behind UDP.
//!
//! The source port stands for the packet's flow, so that routers that know UDP only spread the flows of one tunnel.

use core::net::IpAddr;

use crate::buf::{NoRoom, PacketBuf};
use crate::checksum::{self, Sum};
use crate::field::{get_u8, get_u16, get_u32, put_u8, put_u16};
use crate::info::{Family, PacketInfo};
use crate::tunnel::ipip::inner_protocol;
use crate::tunnel::outer::{self, Outer};
use crate::{protocol, udp};

/// Length of a header without optional fields, in bytes.
pub const HEADER_LEN: usize = 4;
/// Flag: private fields, their own four bytes of flags first.
const PRIVATE: u16 = 0x0001;
/// Private flag: remote checksum offload, four bytes.
const REMOTE_CHECKSUM: u32 = 0x8000_0000;
/// What both fields take: the least that a header with remote checksum offload has behind its first four bytes.
const REMOTE_CHECKSUM_LEN: usize = 8;

/// Lowest source port; [`SOURCE_PORTS_END`] is one above the highest. Linux takes them from `ip_local_port_range`.
pub const SOURCE_PORTS_START: u16 = 32768;
/// One above the highest source port.
pub const SOURCE_PORTS_END: u16 = 60999;

/// The UDP checksum of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// None (`--tun-nocsum`).
    #[default]
    None,
    /// Over the whole packet (`--tun-csum`).
    Full,
    /// Remote checksum offload (`--tun-remcsum`): the receiver is to complete the inner checksum from the outer one. It saves
    /// work where the inner checksum is still to be made; forwarded packets have theirs, so that here, as in the kernel,
    /// it is the same as [`Checksum::Full`].
    Remote,
}

/// UDP ports of an encapsulated packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source: stands for the flow ([`source_port`]).
    pub src: u16,
    /// Destination: where the real server listens.
    pub dst: u16,
}

/// The source port for a flow, from a hash of it.
#[inline]
pub const fn source_port(flow_hash: u32) -> u16 {
    // The upper bits decide, so the lower ones are mixed in.
    let hash = (flow_hash ^ flow_hash << 16) as u64;
    let ports = (SOURCE_PORTS_END - SOURCE_PORTS_START) as u64;
    SOURCE_PORTS_START + ((hash * ports) >> 32) as u16
}

/// Version: 0, or 1 if no GUE header but an IP header stands here.
#[inline]
pub fn version(gue: &[u8]) -> u8 {
    get_u8(gue, 0) >> 6
}

/// Whether it is a control message, which carries no packet.
#[inline]
pub fn is_control(gue: &[u8]) -> bool {
    get_u8(gue, 0) & 0x20 != 0
}

/// Length of the header with its optional fields, in bytes: 4..=128.
#[inline]
pub fn header_len(gue: &[u8]) -> usize {
    HEADER_LEN + usize::from(get_u8(gue, 0) & 0x1f) * 4
}

/// Protocol of what follows; of a control message, its type.
#[inline]
pub fn protocol(gue: &[u8]) -> u8 {
    get_u8(gue, 1)
}

/// Which optional fields there are.
#[inline]
pub fn flags(gue: &[u8]) -> u16 {
    get_u16(gue, 2)
}

/// Remote checksum offload: where the inner checksum starts and where its field is, in bytes from the end of the GUE header.
/// `None`: the header has no such field.
pub fn remote_checksum(gue: &[u8]) -> Option<(u16, u16)> {
    let fields = gue.get(HEADER_LEN..header_len(gue))?;
    let has = version(gue) == 0
        && flags(gue) == PRIVATE
        && fields.len() >= REMOTE_CHECKSUM_LEN
        && get_u32(fields, 0) & REMOTE_CHECKSUM != 0;
    has.then(|| (get_u16(fields, 4), get_u16(fields, 6)))
}

/// The family of the packet inside, and where it starts. `None`: another version, a control message, or not IP.
pub(crate) fn carries(gue: &[u8]) -> Option<(Family, usize)> {
    if gue.len() < HEADER_LEN || version(gue) != 0 || is_control(gue) {
        return None;
    }
    match protocol(gue) {
        protocol::IPIP => Some((Family::V4, header_len(gue))),
        protocol::IPV6 => Some((Family::V6, header_len(gue))),
        _ => None,
    }
}

/// What the tunnel adds to a packet, outer IP header and all, in bytes.
pub const fn overhead(outer: Family) -> usize {
    outer::header_len(outer) + udp::HEADER_LEN + HEADER_LEN
}

/// Puts the packet into the tunnel; errors and Ethernet header are those of [`crate::tunnel::ipip::encap`].
pub fn encap<B: PacketBuf>(
    packet: &mut B,
    info: &PacketInfo,
    outer: &Outer,
    ports: Ports,
    checksum: Checksum,
) -> Result<(), NoRoom> {
    let shim = udp::HEADER_LEN + HEADER_LEN;
    let datagram = outer::wrap(packet, info, outer, protocol::UDP, shim)?;
    udp::write(datagram, ports.src, ports.dst, HEADER_LEN + info.ip_len());
    let gue = datagram.get_mut(udp::HEADER_LEN..).unwrap_or_default();
    put_u8(gue, 0, 0);
    put_u8(gue, 1, inner_protocol(info.family));
    put_u16(gue, 2, 0);
    if checksum != Checksum::None {
        let check = pseudo_header(outer, datagram.len()).bytes(datagram).finish();
        udp::set_checksum(datagram, checksum::udp_field(check));
    }
    Ok(())
}

fn pseudo_header(outer: &Outer, len: usize) -> Sum {
    match (outer.src, outer.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => checksum::pseudo_v4(src, dst, protocol::UDP, len),
        (IpAddr::V6(src), IpAddr::V6(dst)) => checksum::pseudo_v6(&src, &dst, protocol::UDP, len),
        _ => Sum::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hex, info, verify_checksums};
    use crate::{VecBuf, ether};
    use proptest::prelude::*;

    const V4: &str = "0200000000010200000000fe0800 45000028001140003f064f26c6336401c0000264 \
        9c400050000003e8000000005002ffff22d10000";
    const V4_ODD: &str = "0200000000010200000000fe0800 4500002b000000003f068f34c6336401c0000264 \
        9c400050000003e9000000015018ffff4d450000626164";
    const V6: &str = "0200000000010200000000fe86dd 600000000014063f20010db8000c00000000000000000001 \
        20010db8000100000000000000000100 9c400050000003e8000000005002ffffb2ea0000";

    fn outer(src: &str, dst: &str) -> Outer {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        Outer { src, dst, ttl: 63, tos: 0, dont_fragment: true, id: 0 }
    }

    #[test]
    fn what_the_kernel_sent() {
        // Traces tun_gue_v4, tun_gue_csum_v4, tun_gue_remcsum_v4, tun_gue_v6.
        let v4 = || outer("10.0.2.1", "10.0.2.11");
        let full = "45000048000040003f11239a0a0002010a00020b b49917c0003407d1 00040000 \
            45000028001140003f064f26c6336401c00002649c400050000003e8000000005002ffff22d10000";
        for (name, frame, outer, sport, checksum, want) in [
            (
                "without checksum",
                V4,
                v4(),
                0xb499,
                Checksum::None,
                "45000048000040003f11239a0a0002010a00020b b49917c000340000 00040000 \
                 45000028001140003f064f26c6336401c00002649c400050000003e8000000005002ffff22d10000",
            ),
            ("with checksum", V4, v4(), 0xb499, Checksum::Full, full),
            ("with remote checksum", V4, v4(), 0xb499, Checksum::Remote, full),
            (
                "with checksum, over a wrong one of odd length",
                V4_ODD,
                Outer { dont_fragment: false, id: 0x6b64, ..v4() },
                0xb499,
                Checksum::Full,
                "4500004b6b6400003f11f8320a0002010a00020b b49917c0003716dd 00040000 \
                 4500002b000000003f068f34c6336401c00002649c400050000003e9000000015018ffff4d450000626164",
            ),
            (
                "over IPv6",
                V6,
                outer("2001:db8:2::1", "2001:db8:2::b"),
                0xd872,
                Checksum::None,
                "600000000048113f20010db800020000000000000000000120010db800020000000000000000000b \
                 d87217c000480000 00290000 600000000014063f20010db8000c00000000000000000001 \
                 20010db8000100000000000000000100 9c400050000003e8000000005002ffffb2ea0000",
            ),
        ] {
            let mut packet = VecBuf::new(&hex(frame));
            let ports = Ports { src: sport, dst: 6080 };
            encap(&mut packet, &info(&hex(frame)), &outer, ports, checksum).unwrap();
            assert_eq!(packet.bytes()[ether::HEADER_LEN..], hex(want), "{name}");
        }
    }

    #[test]
    fn checksums_over_ipv6() {
        let mut packet = VecBuf::new(&hex(V6));
        let ports = Ports { src: 40000, dst: 6080 };
        encap(&mut packet, &info(&hex(V6)), &outer("2001:db8::1", "2001:db8::2"), ports, Checksum::Full)
            .unwrap();
        assert_eq!(verify_checksums(packet.bytes()), Ok(()));
    }

    #[test]
    fn understands_headers() {
        for (name, bytes, len, want, remote) in [
            ("plain", "00040000", 4, Some((Family::V4, 4)), None),
            ("IPv6", "00290000", 4, Some((Family::V6, 4)), None),
            ("remote checksum", "02040001 80000000 00140010", 12, Some((Family::V4, 12)), Some((20, 16))),
            ("another private field", "02040001 40000000 00140010", 12, Some((Family::V4, 12)), None),
            ("private flags only", "01040001 80000000", 8, Some((Family::V4, 8)), None),
            ("remote checksum cut off", "02040001 80000000 0014", 12, Some((Family::V4, 12)), None),
            ("control message", "20040000", 4, None, None),
            ("version 1: IPv4", "45000028", 24, None, None),
            ("TCP inside", "00060000", 4, None, None),
            ("cut off", "000400", 4, None, None),
        ] {
            let gue = hex(bytes);
            assert_eq!((header_len(&gue), carries(&gue)), (len, want), "{name}");
            assert_eq!(remote_checksum(&gue), remote, "{name}");
        }
    }

    proptest! {
        #[test]
        fn source_ports_are_in_their_range(flow_hash: u32) {
            prop_assert!((SOURCE_PORTS_START..SOURCE_PORTS_END).contains(&source_port(flow_hash)));
        }
    }

    #[test]
    fn source_ports_depend_on_all_of_the_hash() {
        assert_eq!(source_port(0), SOURCE_PORTS_START);
        assert_ne!(source_port(0x0000_8000), source_port(0));
        assert_ne!(source_port(0x8000_0000), source_port(0));
    }
}
