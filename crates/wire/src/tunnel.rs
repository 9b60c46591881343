//! Tunnels: a packet inside another IP packet, for destinations that are not on our link.

use crate::buf::{NoRoom, PacketBuf};
use crate::info::{Family, PacketInfo};

pub mod gre;
pub mod gue;
pub mod ipip;
mod outer;

pub use outer::Outer;

/// A kind of tunnel with its settings, as a destination has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// IP in IP ([`ipip`]).
    #[default]
    Ipip,
    /// Generic routing encapsulation ([`gre`]).
    Gre {
        /// Whether it has a checksum.
        checksum: bool,
    },
    /// Generic UDP encapsulation ([`gue`]).
    Gue {
        /// UDP port of the real server.
        port: u16,
        /// Its checksum.
        checksum: gue::Checksum,
    },
}

impl Tunnel {
    /// What it adds to a packet, outer IP header and all, in bytes.
    pub const fn overhead(self, outer: Family) -> usize {
        match self {
            Self::Ipip => ipip::overhead(outer),
            Self::Gre { checksum } => gre::overhead(outer, checksum),
            Self::Gue { .. } => gue::overhead(outer),
        }
    }

    /// Puts the packet into the tunnel, as [`ipip::encap`] does. `flow_hash` is of the packet's flow; it spreads GUE over paths.
    pub fn encap<B: PacketBuf>(
        self,
        packet: &mut B,
        info: &PacketInfo,
        outer: &Outer,
        flow_hash: u32,
    ) -> Result<(), NoRoom> {
        match self {
            Self::Ipip => ipip::encap(packet, info, outer),
            Self::Gre { checksum } => gre::encap(packet, info, outer, checksum),
            Self::Gue { port, checksum } => {
                let ports = gue::Ports { src: gue::source_port(flow_hash), dst: port };
                gue::encap(packet, info, outer, ports, checksum)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;
    use crate::parse::{parse_encapsulated, parse_encapsulated_gue, parse_quoted};
    use crate::testing::{Frame, info, verify_checksums};
    use proptest::prelude::*;

    const GUE: Tunnel = Tunnel::Gue { port: 6080, checksum: gue::Checksum::None };
    const GUE_CHECKSUM: Tunnel = Tunnel::Gue { port: 6080, checksum: gue::Checksum::Full };

    fn kinds() -> impl Strategy<Value = Tunnel> {
        prop::sample::select(vec![
            Tunnel::Ipip,
            Tunnel::Gre { checksum: false },
            Tunnel::Gre { checksum: true },
            GUE,
            GUE_CHECKSUM,
        ])
    }

    #[test]
    fn overheads_are_those_that_the_kernel_reports() {
        // An MTU of 1500, less the reported one.
        for (name, tunnel, outer, want) in [
            ("ipip", Tunnel::Ipip, Family::V4, 1500 - 1480),
            ("GRE", Tunnel::Gre { checksum: false }, Family::V4, 1500 - 1476),
            ("GRE with checksum", Tunnel::Gre { checksum: true }, Family::V4, 1500 - 1472),
            ("GUE", GUE, Family::V4, 1500 - 1468),
            ("GUE with checksum", GUE_CHECKSUM, Family::V4, 1500 - 1468),
            ("v6 in v6", Tunnel::Ipip, Family::V6, 1500 - 1460),
            ("GUE over v6", GUE, Family::V6, 1500 - 1448),
        ] {
            assert_eq!(tunnel.overhead(outer), want, "{name}");
        }
    }

    #[test]
    fn quotations_are_followed_as_far_as_they_go() {
        let inner = Frame::v4("198.51.100.1", "192.0.2.100").tcp(40000, 80, 0x10).build();
        let (src, dst) = ("10.0.2.1".parse().unwrap(), "10.0.2.11".parse().unwrap());
        let outer = Outer { src, dst, ttl: 63, tos: 0, dont_fragment: true, id: 0 };
        for (name, tunnel) in [
            ("ipip", Tunnel::Ipip),
            ("GRE", Tunnel::Gre { checksum: false }),
            ("GRE with checksum", Tunnel::Gre { checksum: true }),
            ("GUE", GUE),
        ] {
            let mut packet = VecBuf::new(&inner);
            tunnel.encap(&mut packet, &info(&inner), &outer, 0).unwrap();
            let ports_end = tunnel.overhead(Family::V4) + 24;
            for (cut, want) in [(ports_end - 1, None), (ports_end, Some(80)), (500, Some(80))] {
                let error =
                    Frame::v4("10.0.2.11", "10.0.2.1").icmp(3, 4, 1400).quote(packet.bytes(), cut).build();
                let quoted = parse_quoted(&error, &info(&error)).unwrap().packet;
                let inside =
                    parse_encapsulated(&error, &quoted).or_else(|| parse_encapsulated_gue(&error, &quoted));
                assert_eq!(inside.map(|inside| inside.dport), want, "{name}, {cut} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn what_goes_in_is_found_inside(
            tunnel in kinds(), inner_v6: bool, outer_v6: bool, payload in prop::collection::vec(any::<u8>(), 0..100), hash: u32,
        ) {
            let inner = if inner_v6 { Frame::v6("2001:db8:c::1", "2001:db8:1::100") } else { Frame::v4("198.51.100.1", "192.0.2.100") };
            let inner = inner.tcp(40000, 80, 0x10).payload(&payload).build();
            let (src, dst) = if outer_v6 { ("2001:db8:2::1", "2001:db8:2::b") } else { ("10.0.2.1", "10.0.2.11") };
            let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
            let outer = Outer { src, dst, ttl: 63, tos: 0, dont_fragment: false, id: 7 };
            let mut packet = VecBuf::new(&inner);
            tunnel.encap(&mut packet, &info(&inner), &outer, hash).unwrap();
            let frame = packet.bytes();
            let whole = info(frame);
            prop_assert_eq!((whole.src(frame), whole.dst(frame)), (src, dst));
            prop_assert_eq!(&frame[..12], &inner[..12]);
            prop_assert_eq!(frame.len() - inner.len(), tunnel.overhead(whole.family));
            if tunnel != GUE || !outer_v6 {
                prop_assert_eq!(verify_checksums(frame), Ok(()));
            }
            let inside = match tunnel {
                Tunnel::Gue { .. } => parse_encapsulated_gue(frame, &whole),
                _ => parse_encapsulated(frame, &whole),
            };
            let inside = inside.unwrap();
            prop_assert_eq!(inside.ip(frame), &inner[14..]);
            prop_assert_eq!((inside.sport, inside.dport), (40000, 80));
        }

        #[test]
        fn nothing_panics_inside(mut frame in prop::collection::vec(any::<u8>(), 34..200), protocol in prop::sample::select(vec![4u8, 17, 41, 47])) {
            frame[12..14].copy_from_slice(&[8, 0]);
            frame[14] = 0x45;
            frame[20..22].fill(0);
            frame[23] = protocol;
            let len = (frame.len() - 14) as u16;
            frame[16..18].copy_from_slice(&len.to_be_bytes());
            crate::ipv4::fill_checksum(&mut frame[14..]);
            if let Ok(crate::Parsed::Ip(whole)) = crate::parse(&frame) {
                let found = parse_encapsulated(&frame, &whole).or_else(|| parse_encapsulated_gue(&frame, &whole));
                prop_assert!(found.is_none_or(|inside| inside.l4 <= inside.end && inside.end == whole.end));
            }
        }
    }
}
