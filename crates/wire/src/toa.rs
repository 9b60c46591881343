//! TOA: a TCP option with the client's address and port, for real servers that see the director as their client. The format
//! is that of DPVS, whose kernel module reads it there.
//!
//! It stands first among the options, so that no option of the client's can pass itself off as ours.

use core::net::SocketAddr;

use crate::buf::{NoRoom, PacketBuf};
use crate::checksum::Delta;
use crate::client_option;
use crate::field::{get_u16, put_u16};
use crate::info::{Fragment, PacketInfo};
use crate::insert::open_gap;
use crate::{protocol, tcp};

/// Number of the option.
pub const OPTION: u8 = 254;

/// What the option adds to a segment, in bytes: 8 for an IPv4 client, 20 for an IPv6 client.
pub const fn overhead(client: &SocketAddr) -> usize {
    client_option::len(client)
}

/// The client that a segment names.
pub fn find(tcp: &[u8]) -> Option<SocketAddr> {
    let option = tcp::options(tcp).find(|option| option.kind == OPTION)?;
    client_option::read(tcp.get(option.at..option.at + option.len)?, OPTION)
}

/// Whether the option fits beside those that a segment has.
pub fn fits(tcp: &[u8], client: &SocketAddr) -> bool {
    tcp::header_len(tcp) + overhead(client) <= tcp::MAX_HEADER_LEN
}

/// Puts the option in front of the others; lengths and checksums follow, a wrong checksum stays wrong. Returns what the segment
/// would be parsed as. Whether the route's MTU bears the longer packet is asked before.
///
/// `NoRoom`: no headroom, no room in the TCP header ([`fits`]), longer than an IP packet can be, or not a whole TCP segment;
/// the packet is as it was.
pub fn insert<B: PacketBuf>(
    packet: &mut B,
    info: &PacketInfo,
    client: &SocketAddr,
) -> Result<PacketInfo, NoRoom> {
    let tcp = info.upper(packet.bytes());
    let header_len = tcp::header_len(tcp);
    let whole = info.protocol == protocol::TCP && info.fragment == Fragment::No;
    if !whole || !(tcp::HEADER_LEN..=tcp.len()).contains(&header_len) || !fits(tcp, client) {
        return Err(NoRoom);
    }
    let count = overhead(client);
    let longer = open_gap(packet, info, usize::from(info.l4) + tcp::HEADER_LEN, count)?;
    let tcp = longer.upper_mut(packet.bytes_mut());
    let (fixed, options) = tcp.split_at_mut(tcp::HEADER_LEN);
    let option = options.get_mut(..count).unwrap_or_default();
    client_option::write(option, OPTION, client);
    let word = get_u16(fixed, 12);
    let longer_word = word + ((count as u16 / 4) << 12);
    put_u16(fixed, 12, longer_word);
    let delta = Delta::default()
        .u16(word, longer_word)
        .u16(info.upper_len() as u16, longer.upper_len() as u16)
        .bytes(&[0; client_option::V6_LEN][..count], option);
    tcp::apply(tcp, delta);
    Ok(longer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;
    use crate::testing::{Frame, info, verify_checksums};
    use proptest::prelude::*;

    fn header() -> tcp::Header {
        tcp::Header { sport: 40000, dport: 80, seq: 1, ack: 2, flags: tcp::ACK, window: 512 }
    }

    fn segment(options: &[u8]) -> Frame {
        Frame::v4("10.0.1.1", "10.0.2.11").tcp_header(header(), options)
    }

    fn client(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bytes_of_the_option() {
        for (name, client, want) in [
            ("IPv4", client("198.51.100.1:40000"), &[254, 8, 0x9c, 0x40, 198, 51, 100, 1][..]),
            (
                "IPv6",
                client("[2001:db8:c::1]:40000"),
                &[254, 20, 0x9c, 0x40, 0x20, 1, 0xd, 0xb8, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ),
        ] {
            let frame = segment(&[1, 1, 1, 1]).payload(b"GET").build();
            let mut packet = VecBuf::new(&frame);
            let longer = insert(&mut packet, &info(&frame), &client).unwrap();
            let tcp = longer.upper(packet.bytes());
            assert_eq!(&tcp[20..20 + want.len()], want, "{name}");
            assert_eq!(&tcp[20 + want.len()..], [1, 1, 1, 1, b'G', b'E', b'T'], "{name}");
            assert_eq!(find(tcp), Some(client), "{name}");
            assert_eq!(verify_checksums(packet.bytes()), Ok(()), "{name}");
        }
    }

    #[test]
    fn room_in_the_header() {
        for (name, options, client, want) in [
            ("IPv4, just enough", 32, client("198.51.100.1:1"), Ok(())),
            ("IPv4, too little", 36, client("198.51.100.1:1"), Err(NoRoom)),
            ("IPv6, just enough", 20, client("[2001:db8::1]:1"), Ok(())),
            ("IPv6, too little", 24, client("[2001:db8::1]:1"), Err(NoRoom)),
        ] {
            let frame = segment(&vec![1; options]).build();
            let mut packet = VecBuf::new(&frame);
            let packet_info = info(&frame);
            assert_eq!(fits(packet_info.upper(&frame), &client), want.is_ok(), "{name}");
            assert_eq!(insert(&mut packet, &packet_info, &client).map(|_| ()), want, "{name}");
            assert!(want.is_ok() || packet.bytes() == frame, "{name}");
        }
    }

    #[test]
    fn other_refusals_leave_the_packet_alone() {
        let (from, to) = ("10.0.1.1", "10.0.2.11");
        for (name, frame) in [
            ("UDP", Frame::v4(from, to).udp(1, 2).payload(&[0; 40]).build()),
            ("a fragment", Frame::v4(from, to).fragment(0, true).tcp_header(header(), &[]).build()),
            ("as long as can be", segment(&[]).payload(&[0; 65480]).build()),
        ] {
            let mut packet = VecBuf::new(&frame);
            assert_eq!(insert(&mut packet, &info(&frame), &client("198.51.100.1:1")), Err(NoRoom), "{name}");
            assert_eq!(packet.bytes(), frame, "{name}");
        }
        let frame = segment(&[]).build();
        let mut packet = VecBuf::new(&frame);
        packet.prepend(VecBuf::HEADROOM).unwrap();
        packet.bytes_mut()[..frame.len()].copy_from_slice(&frame);
        let before = packet.clone();
        assert_eq!(insert(&mut packet, &info(&frame), &client("198.51.100.1:1")), Err(NoRoom));
        assert_eq!(packet, before);
    }

    #[test]
    fn the_first_option_counts_and_odd_ones_do_not() {
        for (name, options, want) in [
            ("none", vec![1, 1, 1, 1], None),
            ("length 12", [&[254, 12][..], &[0; 10]].concat(), None),
            ("twice", [254, 8, 0, 1, 10, 0, 0, 1, 254, 8, 0, 2, 10, 0, 0, 2].to_vec(), Some("10.0.0.1:1")),
            (
                "behind padding",
                [&[1, 1][..], &[254, 8, 0, 1, 10, 0, 0, 1], &[0, 0]].concat(),
                Some("10.0.0.1:1"),
            ),
        ] {
            let frame = segment(&options).build();
            assert_eq!(find(info(&frame).upper(&frame)), want.map(client), "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_result_is_what_is_parsed(
            client: SocketAddr, v6: bool, options in 0usize..5, payload in prop::collection::vec(any::<u8>(), 0..60), padding in 0usize..8, wrong: bool,
        ) {
            let frame = if v6 { Frame::v6("2001:db8::1", "2001:db8::2").extension(60, &[1, 4, 0, 0, 0, 0]) } else { Frame::v4("10.0.1.1", "10.0.2.11").ip_options(&[1, 1, 1, 1]) };
            let frame = frame.tcp_header(header(), &vec![1; options * 4]).payload(&payload);
            let frame = if wrong { frame.bad_checksum() } else { frame }.build();
            let mut padded = frame.clone();
            padded.resize(frame.len() + padding, 0);
            let mut packet = VecBuf::new(&padded);
            let longer = insert(&mut packet, &info(&padded), &client).unwrap();
            prop_assert_eq!(longer, info(packet.bytes()));
            let tcp = longer.upper(packet.bytes());
            let found = find(tcp).map(|found| (found.ip(), found.port()));
            prop_assert_eq!((found, tcp::payload(tcp)), (Some((client.ip(), client.port())), &payload[..]));
            prop_assert_eq!(packet.bytes().len(), frame.len() + overhead(&client));
            prop_assert_eq!(verify_checksums(packet.bytes()).is_err(), wrong);
        }
    }
}
