//! UOA as a protocol between IP and UDP, for every combination of families. Slices start at its header: version and reserved
//! bits, protocol of what follows, length (header and option), then the option.

use core::net::SocketAddr;

use crate::buf::{NoRoom, PacketBuf};
use crate::field::{get_u8, get_u16, put_u8, put_u16};
use crate::info::{Family, PacketInfo};
use crate::insert::open_gap;
use crate::uoa::OPTION;
use crate::{client_option, ipv4, ipv6, protocol};

/// Its protocol number, one that IANA has not assigned.
pub const PROTOCOL: u8 = 248;
/// Length of the header in front of the option, in bytes.
const HEADER_LEN: usize = 4;
/// Version, in the upper half of the first byte: an IPv4 client.
const V4: u8 = 1;
/// Version: an IPv6 client.
const V6: u8 = 2;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opp {
    /// The client.
    pub client: SocketAddr,
    /// Protocol of what follows.
    pub next_header: u8,
    /// Length of header and option, in bytes.
    pub len: usize,
}

/// What it adds to a packet, in bytes: 12 for an IPv4 client, 24 for an IPv6 client.
pub const fn overhead(client: &SocketAddr) -> usize {
    HEADER_LEN + client_option::len(client)
}

/// Reads a header. `None`: its lengths, version and option do not agree, or it is cut off.
pub fn parse(opp: &[u8]) -> Option<Opp> {
    let len = usize::from(get_u16(opp, 2));
    let client = client_option::read(opp.get(HEADER_LEN..len)?, OPTION)?;
    let agree = len == overhead(&client) && get_u8(opp, 0) >> 4 == version(&client);
    agree.then(|| Opp { client, next_header: get_u8(opp, 1), len })
}

const fn version(client: &SocketAddr) -> u8 {
    match client {
        SocketAddr::V4(_) => V4,
        SocketAddr::V6(_) => V6,
    }
}

/// Puts the header in front of UDP, whose checksum does not count it; IP lengths and checksum follow. Returns what the packet
/// would be parsed as.
///
/// `NoRoom`: no headroom, longer than an IP packet can be, a fragment, or not UDP; the packet is as it was.
pub fn insert<B: PacketBuf>(
    packet: &mut B,
    info: &PacketInfo,
    client: &SocketAddr,
) -> Result<PacketInfo, NoRoom> {
    if info.protocol != protocol::UDP {
        return Err(NoRoom);
    }
    let count = overhead(client);
    let longer = open_gap(packet, info, usize::from(info.l4), count)?;
    let frame = packet.bytes_mut();
    let opp = longer.upper_mut(frame);
    put_u8(opp, 0, version(client) << 4);
    put_u8(opp, 1, info.protocol);
    put_u16(opp, 2, count as u16);
    client_option::write(opp.get_mut(HEADER_LEN..).unwrap_or_default(), OPTION, client);
    let ip = longer.ip_mut(frame);
    match info.family {
        Family::V4 => ipv4::set_protocol(ip, PROTOCOL),
        Family::V6 => {
            let at = ipv6::announced_at(ip, usize::from(info.l4 - info.l3));
            put_u8(ip, at, PROTOCOL);
        }
    }
    Ok(PacketInfo { protocol: PROTOCOL, sport: 0, dport: 0, ..longer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;
    use crate::testing::{Frame, hex, info, verify_checksums};
    use proptest::prelude::*;

    #[test]
    fn bytes_of_the_header() {
        for (name, client, want) in [
            ("IPv4", "198.51.100.1:40000", "1011000c 1f089c40 c6336401"),
            ("IPv6", "[2001:db8:c::1]:40000", "20110018 1f149c40 20010db8000c00000000000000000001"),
        ] {
            let client = client.parse().unwrap();
            let frame = Frame::v4("10.0.1.1", "10.0.2.11").udp(1, 53).payload(b"?").build();
            let mut packet = VecBuf::new(&frame);
            let longer = insert(&mut packet, &info(&frame), &client).unwrap();
            let upper = longer.upper(packet.bytes());
            let (opp, udp) = upper.split_at(overhead(&client));
            assert_eq!(opp, hex(want), "{name}");
            assert_eq!(udp, info(&frame).upper(&frame), "{name}");
            assert_eq!(parse(upper), Some(Opp { client, next_header: 17, len: opp.len() }), "{name}");
            assert_eq!(verify_checksums(packet.bytes()), Ok(()), "{name}");
        }
    }

    #[test]
    fn refuses_what_does_not_agree() {
        for (name, bytes) in [
            ("nothing", ""),
            ("cut off", "1011000c 1f089c40 c63364"),
            ("version of the other family", "2011000c 1f089c40 c6336401"),
            ("longer than its option", "10110010 1f089c40 c6336401 00000000"),
            ("shorter than its option", "10110008 1f089c40 c6336401"),
            ("length below the header", "10110003 1f089c40 c6336401"),
            ("another option", "1011000c fe089c40 c6336401"),
        ] {
            assert_eq!(parse(&hex(bytes)), None, "{name}");
        }
    }

    #[test]
    fn refusals_leave_the_packet_alone() {
        let v6 = || Frame::v6("2001:db8::1", "2001:db8::2");
        for (name, frame) in [
            ("TCP", v6().tcp(1, 2, 0).build()),
            ("a fragment", v6().fragment(0, true).udp(1, 2).payload(&[0; 16]).build()),
            ("as long as can be", v6().udp(1, 2).payload(&[0; 65470]).build()),
        ] {
            let mut packet = VecBuf::new(&frame);
            let client = "198.51.100.1:40000".parse().unwrap();
            assert_eq!(insert(&mut packet, &info(&frame), &client), Err(NoRoom), "{name}");
            assert_eq!(packet.bytes(), frame, "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_result_is_what_is_parsed(client: SocketAddr, v6: bool, headers in 0usize..4, payload in prop::collection::vec(any::<u8>(), 0..60)) {
            let client = SocketAddr::new(client.ip(), client.port());
            let frame = if v6 { Frame::v6("2001:db8::1", "2001:db8::2") } else { Frame::v4("10.0.1.1", "10.0.2.11") };
            let headers = if v6 { headers } else { 0 };
            let frame = (0..headers).fold(frame, |frame, number| frame.extension(60, &vec![0; 6 + 8 * number]));
            let frame = frame.udp(1, 53).payload(&payload).build();
            let mut packet = VecBuf::new(&frame);
            let longer = insert(&mut packet, &info(&frame), &client).unwrap();
            prop_assert_eq!(longer, info(packet.bytes()));
            let opp = parse(longer.upper(packet.bytes())).unwrap();
            prop_assert_eq!((opp.client, opp.next_header), (client, 17));
        }

        #[test]
        fn random_bytes_do_no_harm(opp in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(parse(&opp).is_none_or(|found| found.len <= opp.len()));
        }
    }
}
