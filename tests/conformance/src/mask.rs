//! Frames without what Linux itself does not repeat.
//!
//! Cleared: id and header checksum of IPv4 packets that the director makes (ICMP, tunnel headers without DF), flow labels
//! and fragment ids of IPv6 packets that it makes, source ports of GUE
//! and of synchronisation. Ethernet padding is cut off. Everything else counts.

use std::ops::RangeInclusive;

use wire::{Family, Fragment, PacketInfo, Parsed, icmp, icmpv6, ipv4, parse, protocol};

/// The port that the recordings give GUE.
const GUE_PORT: u16 = 6080;
/// Where tunnel packets of the recordings come from.
const TUNNEL_SOURCES: [&str; 2] = ["10.0.2.1", "2001:db8:2::1"];
/// Ports of synchronisation messages.
pub(crate) const SYNC_PORTS: RangeInclusive<u16> = 8848..=8863;

/// A frame as it is compared. `made`: the director made it, instead of passing it on.
pub fn mask(frame: &[u8], made: bool) -> Vec<u8> {
    let Ok(Parsed::Ip(info)) = parse(frame) else { return frame.to_vec() };
    let mut frame = frame[..usize::from(info.end)].to_vec();
    let gue = info.protocol == protocol::UDP && info.dport == GUE_PORT;
    let wrapped = gue
        || is_rest_of_gue(&info, &frame)
        || matches!(info.protocol, protocol::IPIP | protocol::IPV6 | protocol::GRE);
    let sync =
        info.protocol == protocol::UDP && SYNC_PORTS.contains(&info.dport) && info.dst(&frame).is_multicast();
    let made = made || sync || is_echo_reply(&frame);
    if gue || sync {
        clear_source_port(&info, &mut frame);
    }
    let ip = info.ip_mut(&mut frame);
    match info.family {
        Family::V4 if made || (wrapped && !ipv4::dont_fragment(ip)) => ipv4::set_id(ip, 0),
        Family::V6 => {
            if made || gue {
                ip[1] &= 0xf0;
                ip[2..4].fill(0);
            }
            if ip[6] == protocol::FRAGMENT && (made || wrapped) {
                ip[44..48].fill(0);
            }
        }
        Family::V4 => {}
    }
    frame
}

/// Whether this is a later fragment of a GUE packet, which has no port to know it by: of the director's own UDP only tunnel
/// packets are large.
fn is_rest_of_gue(info: &PacketInfo, frame: &[u8]) -> bool {
    let own = TUNNEL_SOURCES.iter().any(|own| own.parse() == Ok(info.src(frame)));
    own && info.protocol == protocol::UDP && info.fragment == Fragment::Later
}

/// The identification in an IPv6 fragment header that follows the IP header.
pub fn fragment_id(frame: &[u8]) -> Option<u32> {
    let Ok(Parsed::Ip(info)) = parse(frame) else { return None };
    let ip = info.ip(frame);
    let fragment = info.family == Family::V6 && ip[6] == protocol::FRAGMENT;
    fragment.then(|| ip.get(44..)?.first_chunk().copied().map(u32::from_be_bytes)).flatten()
}

/// A frame without the identification of IPv6 fragments that the director chose, as it does when it cuts a datagram again:
/// any but the one that the frame had which led to this one.
pub fn without_new_fragment_id(frame: &[u8], arrived: Option<u32>) -> Vec<u8> {
    let mut masked = frame.to_vec();
    if fragment_id(frame).is_some_and(|id| Some(id) != arrived) {
        masked[58..62].fill(0);
    }
    masked
}

/// Whether a frame is an echo reply, or the first fragment of one.
pub fn is_echo_reply(frame: &[u8]) -> bool {
    let Ok(Parsed::Ip(info)) = parse(frame) else { return false };
    if info.fragment == Fragment::Later {
        return false;
    }
    let kind = || icmp::kind(info.upper(frame));
    match info.family {
        Family::V4 => info.protocol == protocol::ICMP && kind() == icmp::ECHO_REPLY,
        Family::V6 => info.protocol == protocol::ICMPV6 && kind() == icmpv6::ECHO_REPLY,
    }
}

/// Clears the source port of UDP, and the checksum that covers it unless there is none.
fn clear_source_port(info: &PacketInfo, frame: &mut [u8]) {
    let udp = info.upper_mut(frame);
    udp[..2].fill(0);
    if udp[6..8] != [0, 0] {
        udp[6..8].fill(0xff);
    }
}

#[cfg(test)]
mod tests {
    use wire::testing::Frame;

    use super::*;

    fn packet(src: &str, dst: &str) -> Frame {
        Frame::new(src.parse().expect("an address"), dst.parse().expect("an address"))
    }

    /// Whether two frames that differ at one byte are the same when masked.
    fn same_but_for(frame: &[u8], at: usize, made: bool) -> bool {
        let mut other = frame.to_vec();
        other[at] ^= 1;
        mask(frame, made) == mask(&other, made)
    }

    #[test]
    fn only_what_linux_does_not_repeat_is_cleared() {
        /// Where things are behind the Ethernet header.
        const FLOW_LABEL: usize = 14 + 3;
        const V6_SPORT: usize = 14 + 40;
        let passed = packet("2001:db8:c::1", "2001:db8:1::100").udp(1000, 53).payload(&[1]).build();
        let gue = packet("2001:db8:2::1", "2001:db8:2::b").udp(1000, GUE_PORT).payload(&[1]).build();
        let sync = packet("10.0.3.1", "224.0.0.81").udp(1000, 8848).payload(&[1]).build();
        let unicast = packet("10.0.3.1", "10.0.3.2").udp(1000, 8848).payload(&[1]).build();
        let table = [
            ("flow label, passed on", &passed, FLOW_LABEL, false, false),
            ("flow label, made", &passed, FLOW_LABEL, true, true),
            ("source port", &passed, V6_SPORT + 1, true, false),
            ("source port of GUE", &gue, V6_SPORT + 1, false, true),
            ("destination port of GUE", &gue, V6_SPORT + 3, false, false),
            ("source port of synchronisation", &sync, 14 + 20 + 1, false, true),
            ("what synchronisation says", &sync, 14 + 20 + 8, false, false),
            ("source port of other UDP", &unicast, 14 + 20 + 1, false, false),
        ];
        for (name, frame, at, made, want) in table {
            assert_eq!(same_but_for(frame, at, made), want, "{name}");
        }
    }

    #[test]
    fn ids_of_tunnel_packets_are_cleared_in_every_fragment() {
        let rest = |src: &str| {
            let later = packet(src, "10.0.2.11").fragment(1480, false).raw(protocol::UDP);
            let mut frame = later.payload(&[7; 8]).build();
            ipv4::set_id(&mut frame[14..], 1);
            frame
        };
        let other = |frame: &[u8]| {
            let mut frame = frame.to_vec();
            ipv4::set_id(&mut frame[14..], 2);
            frame
        };
        for (src, want) in [(TUNNEL_SOURCES[0], true), ("198.51.100.1", false)] {
            let frame = rest(src);
            assert_eq!(mask(&frame, false) == mask(&other(&frame), false), want, "{src}");
        }
    }

    #[test]
    fn ids_of_packets_that_are_made_are_cleared_with_the_checksum_over_them() {
        let packet = |id: u16| {
            let mut frame = packet("192.0.2.1", "198.51.100.1").echo_request(1, 1).build();
            ipv4::set_id(&mut frame[14..], id);
            frame
        };
        assert_eq!(mask(&packet(1), true), mask(&packet(2), true));
        assert_ne!(mask(&packet(1), false), mask(&packet(2), false));
    }

    #[test]
    fn identifications_of_fragments_are_cleared_where_they_are_new() {
        let fragment = |id| {
            packet("2001:db8::1", "2001:db8::2").id(id).raw(17).fragment(8, true).payload(&[1; 8]).build()
        };
        assert_eq!(fragment_id(&fragment(7)), Some(7));
        assert_eq!(fragment_id(&packet("2001:db8::1", "2001:db8::2").udp(1, 2).build()), None);
        let masked = |id| without_new_fragment_id(&fragment(id), Some(7));
        assert_eq!(masked(8), masked(9));
        assert_ne!(masked(7), masked(8));
        assert_eq!(masked(7), fragment(7));
    }

    #[test]
    fn padding_is_cut_off() {
        let frame = packet("192.0.2.1", "198.51.100.1").udp(1, 2).payload(&[1]).build();
        let padded = [&frame[..], &[0; 17]].concat();
        assert_eq!(mask(&padded, false), mask(&frame, false));
    }
}
