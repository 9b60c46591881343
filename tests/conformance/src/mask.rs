//! Frames without what Linux itself does not repeat.
//!
//! Cleared: id and header checksum of IPv4 packets that the director makes (ICMP, tunnel headers without DF), flow labels
//! and fragment ids of IPv6 packets that it makes, source ports of GUE
//! and of synchronisation. Ethernet padding is cut off. Everything else counts.

use std::ops::RangeInclusive;

use wire::{Family, PacketInfo, Parsed, icmp, icmpv6, ipv4, parse, protocol};

/// The port that the recordings give GUE.
const GUE_PORT: u16 = 6080;
/// Ports of synchronisation messages.
const SYNC_PORTS: RangeInclusive<u16> = 8848..=8863;

/// A frame as it is compared. `made`: the director made it, instead of passing it on.
pub fn mask(frame: &[u8], made: bool) -> Vec<u8> {
    let Ok(Parsed::Ip(info)) = parse(frame) else { return frame.to_vec() };
    let mut frame = frame[..usize::from(info.end)].to_vec();
    let gue = info.protocol == protocol::UDP && info.dport == GUE_PORT;
    let wrapped = gue || matches!(info.protocol, protocol::IPIP | protocol::IPV6 | protocol::GRE);
    let sync =
        info.protocol == protocol::UDP && SYNC_PORTS.contains(&info.dport) && info.dst(&frame).is_multicast();
    let made = made || sync || is_echo_reply(&info, &frame);
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

fn is_echo_reply(info: &PacketInfo, frame: &[u8]) -> bool {
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
