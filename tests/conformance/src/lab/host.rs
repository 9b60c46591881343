//! The host behind the director, without anyone who listens: what its stack answers to what it is given.

use inet::{IcmpError, Net, icmp};
use wire::testing::{self, Frame, verify_checksums};
use wire::{Family, MacAddr, PacketBuf, PacketInfo, VecBuf, ether, protocol, tcp};

/// The answer of the host to a frame, and the link that it sends it to. Damaged packets, resets and ICMP have none; to
/// packets with options or extension headers it is the comparison's to say what a host answers.
pub(super) fn answer(net: &Net, frame: &[u8]) -> Option<(usize, Vec<u8>)> {
    let info = testing::info(frame);
    let plain = info.l4 - info.l3 == if info.family == Family::V4 { 20 } else { 40 };
    if verify_checksums(frame).is_err() || info.fragment != wire::Fragment::No || !plain {
        return None;
    }
    let mut answer = match info.protocol {
        protocol::TCP if info.tcp_flags & tcp::RST != 0 => return None,
        protocol::TCP => reset(frame, &info),
        protocol::UDP => unreachable(net, frame, &info)?,
        _ => return None,
    };
    let to = info.src(frame);
    let hop = net.route(to)?;
    let mac = net.neighbours().iter().find(|neighbour| neighbour.addr == hop.addr)?.mac;
    ether::set_dst(&mut answer, &mac);
    ether::set_src(&mut answer, &net.iface(hop.iface).mac);
    Some((usize::from(net.iface(hop.iface).port.0), answer))
}

/// A reset, as Linux sends it where there is no socket [tcp_v4_send_reset].
fn reset(frame: &[u8], info: &PacketInfo) -> Vec<u8> {
    let upper = info.upper(frame);
    let len = tcp::payload(upper).len() as u32;
    let counted = |flag| u32::from(info.tcp_flags & flag != 0);
    let (flags, seq, ack) = match info.tcp_flags & tcp::ACK {
        0 => (
            tcp::RST | tcp::ACK,
            0,
            tcp::seq(upper).wrapping_add(len + counted(tcp::SYN) + counted(tcp::FIN)),
        ),
        _ => (tcp::RST, tcp::ack(upper), 0),
    };
    let header = tcp::Header { sport: info.dport, dport: info.sport, seq, ack, flags, window: 0 };
    let packet = Frame::new(info.dst(frame), info.src(frame)).mac(MacAddr([0; 6]), MacAddr([0; 6]));
    packet.dont_fragment().id(0).tcp_header(header, &[]).build()
}

fn unreachable(net: &Net, frame: &[u8], info: &PacketInfo) -> Option<Vec<u8>> {
    let mut packet = VecBuf::new(frame);
    icmp::error(net, &mut packet, info, IcmpError::PortUnreachable, None, 1)?;
    Some(packet.bytes().to_vec())
}
