//! What a socket for tunnel packets yields, cut down to the packet inside.

use wire::tunnel::{gre, gue};
use wire::{ether, protocol, udp};

/// The family of the outer packet, which decides what a raw socket hands over: IPv4 raw sockets return the header,
/// IPv6 ones do not (RFC 3542, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outer {
    /// The outer header comes first.
    V4,
    /// What it carries starts at once.
    V6,
}

/// What is around the packet inside, behind the outer IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shim {
    /// Nothing; the packet has this version (4 for protocol 4, 6 for protocol 41).
    None(u8),
    /// GRE (RFC 2784).
    Gre,
    /// UDP to this port, without a checksum, and GUE. With a checksum it is the kernel's to verify: [`gue_payload`].
    BareGue(u16),
}

/// The packet inside `received`, which a raw socket yielded; `None` if there is not at least its fixed header, it is of
/// another version, or a GRE checksum is wrong.
pub fn inner(outer: Outer, shim: Shim, received: &[u8]) -> Option<&[u8]> {
    let upper = match outer {
        Outer::V4 => received.get(usize::from(received.first()? & 0x0f) * 4..)?,
        Outer::V6 => received,
    };
    match shim {
        Shim::None(version) => packet(upper, version),
        Shim::Gre => {
            let version = match (upper.len() >= gre::HEADER_LEN).then(|| gre::ethertype(upper))? {
                ether::IPV4 => 4,
                ether::IPV6 => 6,
                _ => return None,
            };
            let right = gre::verify_checksum(upper);
            right.then(|| packet(upper.get(gre::header_len(upper)..)?, version)).flatten()
        }
        Shim::BareGue(port) => {
            let ours =
                upper.len() >= udp::HEADER_LEN && udp::dport(upper) == port && udp::checksum(upper) == 0;
            ours.then(|| gue_payload(&upper[udp::HEADER_LEN..])).flatten()
        }
    }
}

/// The packet inside what a UDP socket received on the port of a GUE tunnel.
pub fn gue_payload(datagram: &[u8]) -> Option<&[u8]> {
    if datagram.len() < gue::HEADER_LEN || gue::version(datagram) != 0 || gue::is_control(datagram) {
        return None;
    }
    let version = match gue::protocol(datagram) {
        protocol::IPIP => 4,
        protocol::IPV6 => 6,
        _ => return None,
    };
    packet(datagram.get(gue::header_len(datagram)..)?, version)
}

fn packet(packet: &[u8], version: u8) -> Option<&[u8]> {
    let header = if version == 4 { 20 } else { 40 };
    (packet.len() >= header && packet[0] >> 4 == version).then_some(packet)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use wire::testing::{Frame, info};
    use wire::tunnel::{Outer as Header, Tunnel};
    use wire::{Family, PacketBuf, VecBuf};

    use super::*;

    fn packet(version: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[0] = version << 4 | 5;
        bytes
    }

    #[test]
    fn the_outer_header_goes_and_only_the_named_version_passes() {
        let (v4, v6) = (Outer::V4, Outer::V6);
        for (name, outer, version, received, want) in [
            ("v4 in v4", v4, 4, [packet(4, 20), packet(4, 28)].concat(), Some(28)),
            ("v6 in v4", v4, 6, [packet(4, 20), packet(6, 48)].concat(), Some(48)),
            ("v6 in v6", v6, 6, packet(6, 40), Some(40)),
            ("other version", v6, 6, packet(4, 40), None),
            ("cut inner header", v4, 4, [packet(4, 20), packet(4, 19)].concat(), None),
            ("only an outer header", v4, 4, packet(4, 20), None),
            ("less than the header says", v4, 4, vec![0x4f], None),
            ("nothing", v4, 4, vec![], None),
        ] {
            assert_eq!(inner(outer, Shim::None(version), &received).map(<[u8]>::len), want, "{name}");
        }
    }

    /// What is behind the Ethernet header, and where it starts behind the outer IP header, of a packet of `inside` that the
    /// director put into a tunnel.
    fn tunnelled(tunnel: Tunnel, outside: Family, inside: Family) -> (Vec<u8>, usize, Vec<u8>) {
        let ends = |family| {
            if family == Family::V4 { ("10.0.2.1", "10.0.2.11") } else { ("2001:db8:2::1", "2001:db8:2::b") }
        };
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        let (src, dst) = ends(outside);
        let header = Header { src: addr(src), dst: addr(dst), ttl: 63, tos: 0, dont_fragment: false, id: 1 };
        let (src, dst) = ends(inside);
        let bare = Frame::new(addr(src), addr(dst)).udp(1000, 53).payload(b"odd").build();
        let mut packet = VecBuf::new(&bare);
        tunnel.encap(&mut packet, &info(&bare), &header, 7).unwrap();
        let from = if outside == Family::V4 { 0 } else { 40 };
        (packet.bytes()[14..].to_vec(), from, bare[14..].to_vec())
    }

    #[test]
    fn what_the_director_wraps_is_unwrapped() {
        let gue = |checksum| Tunnel::Gue { port: 6080, checksum };
        for (outside, inside) in
            [Family::V4, Family::V6].into_iter().flat_map(|f| [(f, Family::V4), (f, Family::V6)])
        {
            let outer = if outside == Family::V4 { Outer::V4 } else { Outer::V6 };
            for (tunnel, shim) in [
                (Tunnel::Gre { checksum: false }, Shim::Gre),
                (Tunnel::Gre { checksum: true }, Shim::Gre),
                (gue(gue::Checksum::None), Shim::BareGue(6080)),
            ] {
                let name = format!("{tunnel:?}, {inside:?} in {outside:?}");
                let (received, from, want) = tunnelled(tunnel, outside, inside);
                assert_eq!(inner(outer, shim, &received[from..]), Some(&want[..]), "{name}");
                for len in 0..received.len() - from {
                    let cut = inner(outer, shim, &received[from..from + len]);
                    assert!(cut.is_none_or(|packet| packet.len() < want.len()), "{name}, {len} bytes");
                }
            }
            let (received, from, want) = tunnelled(gue(gue::Checksum::Full), outside, inside);
            let upper = &received[if from == 0 { 20 } else { from }..];
            assert_eq!(gue_payload(&upper[udp::HEADER_LEN..]), Some(&want[..]));
            assert_eq!(inner(outer, Shim::BareGue(6080), &received[from..]), None, "has a checksum");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let (mut received, _, _) = tunnelled(Tunnel::Gre { checksum: true }, Family::V4, Family::V4);
        *received.last_mut().unwrap() ^= 1;
        assert_eq!(inner(Outer::V4, Shim::Gre, &received), None, "a wrong checksum");
        let (received, ..) =
            tunnelled(Tunnel::Gue { port: 6081, checksum: gue::Checksum::None }, Family::V4, Family::V4);
        assert_eq!(inner(Outer::V4, Shim::BareGue(6080), &received), None, "another port");
        assert_eq!(inner(Outer::V6, Shim::Gre, &[0, 0, 0x65, 0x58, 0, 0]), None, "Ethernet inside");
        assert_eq!(gue_payload(&[0x20, 4, 0, 0]), None, "a control message");
        assert_eq!(gue_payload(&[0x45, 0, 0, 0]), None, "another version");
    }
}
