//! UOA as an IPv4 option, for IPv4 clients and servers. Routers on the way may be slow with such packets, or drop them.

use core::net::{SocketAddr, SocketAddrV4};

use crate::buf::{NoRoom, PacketBuf};
use crate::checksum::Delta;
use crate::field::{get_u8, get_u16, put_u16};
use crate::info::{Family, PacketInfo};
use crate::insert::open_gap;
use crate::uoa::OPTION;
use crate::{client_option, ipv4};

/// What the option adds to a packet, in bytes.
pub const OVERHEAD: usize = client_option::V4_LEN;
/// The longest header that IPv4 can have, in bytes.
const MAX_HEADER_LEN: usize = 60;

/// The client that an IPv4 packet names; `ip` starts at its header.
pub fn find(ip: &[u8]) -> Option<SocketAddrV4> {
    let mut options = ip.get(ipv4::HEADER_LEN..ipv4::header_len(ip))?;
    while let [kind, rest @ ..] = options {
        options = match *kind {
            0 => return None,
            1 => rest,
            OPTION => match client_option::read(options, OPTION)? {
                SocketAddr::V4(client) => return Some(client),
                SocketAddr::V6(_) => return None,
            },
            _ => options.get(usize::from(get_u8(rest, 0)).max(2)..)?,
        };
    }
    None
}

/// Puts the option in front of the others; lengths and header checksum follow, a wrong checksum stays wrong. Returns what
/// the packet would be parsed as.
///
/// `NoRoom`: no headroom, no room in the IPv4 header, longer than an IP packet can be, a fragment, or IPv6; the packet is as
/// it was.
pub fn insert<B: PacketBuf>(
    packet: &mut B,
    info: &PacketInfo,
    client: SocketAddrV4,
) -> Result<PacketInfo, NoRoom> {
    let header_len = ipv4::header_len(info.ip(packet.bytes()));
    let fits = (ipv4::HEADER_LEN..=MAX_HEADER_LEN - OVERHEAD).contains(&header_len);
    if info.family != Family::V4 || !fits {
        return Err(NoRoom);
    }
    let longer = open_gap(packet, info, usize::from(info.l3) + ipv4::HEADER_LEN, OVERHEAD)?;
    let ip = longer.ip_mut(packet.bytes_mut());
    let word = get_u16(ip, 0);
    let longer_word = word + ((OVERHEAD as u16 / 4) << 8);
    put_u16(ip, 0, longer_word);
    let option = ip.get_mut(ipv4::HEADER_LEN..ipv4::HEADER_LEN + OVERHEAD).unwrap_or_default();
    client_option::write(option, OPTION, &SocketAddr::V4(client));
    let delta = Delta::default().u16(word, longer_word).bytes(&[0; OVERHEAD], option);
    ipv4::apply(ip, delta);
    Ok(PacketInfo { l4: longer.l4 + OVERHEAD as u16, ..longer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;
    use crate::testing::{Frame, info, verify_checksums};
    use proptest::prelude::*;

    fn client() -> SocketAddrV4 {
        "198.51.100.1:40000".parse().unwrap()
    }

    #[test]
    fn bytes_of_the_option() {
        let frame =
            Frame::v4("10.0.1.1", "10.0.2.11").ip_options(&[1, 1, 1, 0]).udp(1, 53).payload(b"?").build();
        let mut packet = VecBuf::new(&frame);
        let longer = insert(&mut packet, &info(&frame), client()).unwrap();
        let ip = longer.ip(packet.bytes());
        assert_eq!(ip[..4], [0x48, 0, 0, 41]);
        assert_eq!(ip[20..32], [31, 8, 0x9c, 0x40, 198, 51, 100, 1, 1, 1, 1, 0]);
        assert_eq!(find(ip), Some(client()));
        assert_eq!(verify_checksums(packet.bytes()), Ok(()));
    }

    #[test]
    fn refusals_leave_the_packet_alone() {
        let v4 = || Frame::v4("10.0.1.1", "10.0.2.11");
        for (name, frame) in [
            ("no room in the header", v4().ip_options(&[1; 36]).udp(1, 2).build()),
            ("a fragment", v4().fragment(0, true).udp(1, 2).payload(&[0; 16]).build()),
            ("IPv6", Frame::v6("2001:db8::1", "2001:db8::2").udp(1, 2).build()),
            ("as long as can be", v4().udp(1, 2).payload(&[0; 65490]).build()),
        ] {
            let mut packet = VecBuf::new(&frame);
            assert_eq!(insert(&mut packet, &info(&frame), client()), Err(NoRoom), "{name}");
            assert_eq!(packet.bytes(), frame, "{name}");
        }
        let just_enough = v4().ip_options(&[1; 32]).udp(1, 2).build();
        assert!(insert(&mut VecBuf::new(&just_enough), &info(&just_enough), client()).is_ok());
    }

    #[test]
    fn finds_it_behind_other_options() {
        let ours = [31, 8, 0x9c, 0x40, 198, 51, 100, 1];
        for (name, options, want) in [
            ("alone", ours.to_vec(), Some(client())),
            (
                "behind router alert and padding",
                [&[0x94, 4, 0, 0, 1, 1, 1, 1][..], &ours].concat(),
                Some(client()),
            ),
            ("behind the end", [&[0, 0, 0, 0][..], &ours].concat(), None),
            ("behind a length of 0", [&[7, 0][..], &ours, &[0, 0]].concat(), Some(client())),
            ("behind a length beyond the header", [&[7, 60, 0, 0][..], &ours].concat(), None),
            ("of another length", [&[31, 20, 0, 0][..], &[0; 16]].concat(), None),
            ("cut off", vec![1, 1, 31, 8], None),
        ] {
            let frame = Frame::v4("10.0.1.1", "10.0.2.11").ip_options(&options).udp(1, 2).build();
            assert_eq!(find(info(&frame).ip(&frame)), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_result_is_what_is_parsed(client: SocketAddrV4, options in 0usize..9, payload in prop::collection::vec(any::<u8>(), 0..60)) {
            let frame = Frame::v4("10.0.1.1", "10.0.2.11").ip_options(&vec![1; options * 4]).udp(1, 53).payload(&payload).build();
            let mut packet = VecBuf::new(&frame);
            let longer = insert(&mut packet, &info(&frame), client).unwrap();
            prop_assert_eq!(longer, info(packet.bytes()));
            prop_assert_eq!(find(longer.ip(packet.bytes())), Some(client));
            prop_assert_eq!(longer.upper(packet.bytes()), info(&frame).upper(&frame));
        }

        #[test]
        fn random_headers_do_no_harm(ip in prop::collection::vec(any::<u8>(), 0..70)) {
            prop_assert!(find(&ip).is_none() || ip.len() >= ipv4::HEADER_LEN + OVERHEAD);
        }
    }
}
