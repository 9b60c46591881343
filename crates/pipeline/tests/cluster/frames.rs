//! What tests put on links, and what they read off them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipvs::Protocol;
use wire::arp::{ArpPacket, FRAME_LEN, Op};
use wire::ndp::{Ends, Ndp, multicast_mac, solicited_node};
use wire::testing::{Frame, info, verify_checksums};
use wire::{MacAddr, PacketBuf, Parsed, VecBuf, ether, icmp, parse, protocol, sctp, tcp, udp, vlan};

use crate::site::{LAN_MAC, ROUTER_MAC, WAN_MAC};

pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A packet as it is on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub src: SocketAddr,
    pub dst: SocketAddr,
    pub protocol: u8,
    pub ttl: u8,
    pub payload: Vec<u8>,
}

/// Reads a frame, whose checksums must be right.
#[track_caller]
pub fn see(frame: &[u8]) -> Seen {
    assert_eq!(verify_checksums(frame), Ok(()));
    let info = info(frame);
    let upper = info.upper(frame);
    let payload = match info.protocol {
        protocol::TCP => tcp::payload(upper),
        protocol::UDP => &upper[udp::HEADER_LEN..],
        protocol::SCTP => &upper[sctp::HEADER_LEN + sctp::CHUNK_HEADER_LEN..],
        _ => upper,
    };
    Seen {
        src: SocketAddr::new(info.src(frame), info.sport),
        dst: SocketAddr::new(info.dst(frame), info.dport),
        protocol: info.protocol,
        ttl: info.ttl,
        payload: payload.to_vec(),
    }
}

/// The packet inside an IP-in-IP frame, as a frame.
#[track_caller]
pub fn inside(frame: &[u8]) -> Vec<u8> {
    assert_eq!(verify_checksums(frame), Ok(()));
    let info = info(frame);
    let ethertype = match info.protocol {
        protocol::IPIP => ether::IPV4,
        protocol::IPV6 => ether::IPV6,
        other => panic!("protocol {other} is no tunnel"),
    };
    with_ethernet(ethertype, info.upper(frame))
}

fn with_ethernet(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ether::HEADER_LEN];
    ether::set_ethertype(&mut frame, ethertype);
    frame.extend_from_slice(packet);
    frame
}

/// Type and code of an ICMP or ICMPv6 error, the four bytes behind its checksum, and whom it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenError {
    pub from: IpAddr,
    pub to: IpAddr,
    pub kind: u8,
    pub code: u8,
    pub rest: u32,
    pub quoted: (SocketAddr, SocketAddr),
}

/// Reads an error, whose checksums must be right.
#[track_caller]
pub fn see_error(frame: &[u8]) -> SeenError {
    assert_eq!(verify_checksums(frame), Ok(()));
    let info = info(frame);
    let quoted = wire::parse_quoted(frame, &info).expect("an ICMP error").packet;
    let message = info.upper(frame);
    SeenError {
        from: info.src(frame),
        to: info.dst(frame),
        kind: icmp::kind(message),
        code: icmp::code(message),
        rest: icmp::rest(message),
        quoted: (
            SocketAddr::new(quoted.src(frame), quoted.sport),
            SocketAddr::new(quoted.dst(frame), quoted.dport),
        ),
    }
}

/// A TCP packet with these flags, a UDP one, or one of SCTP with the chunk that means the same; from the wan side.
pub fn from_client(
    protocol: Protocol,
    src: SocketAddr,
    dst: SocketAddr,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    packet(Frame::new(src.ip(), dst.ip()).mac(ROUTER_MAC, WAN_MAC), protocol, (src, dst), flags, payload)
}

/// The same from the lan side.
pub fn from_server(
    mac: MacAddr,
    protocol: Protocol,
    src: SocketAddr,
    dst: SocketAddr,
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    packet(Frame::new(src.ip(), dst.ip()).mac(mac, LAN_MAC), protocol, (src, dst), flags, payload)
}

/// Puts ports and payload on.
pub fn packet(
    frame: Frame,
    protocol: Protocol,
    (src, dst): (SocketAddr, SocketAddr),
    flags: u8,
    payload: &[u8],
) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => frame.tcp(src.port(), dst.port(), flags).payload(payload).build(),
        Protocol::Udp => frame.udp(src.port(), dst.port()).payload(payload).build(),
        Protocol::Sctp => {
            let frame = frame.sctp(src.port(), dst.port(), 1);
            frame.payload(&[&chunk(flags, payload.len())[..], payload].concat()).build()
        }
        Protocol::Ah | Protocol::Esp | Protocol::Gre => panic!("{protocol:?} has no ports"),
    }
}

/// The header of the chunk that is to SCTP what these flags are to TCP.
fn chunk(flags: u8, payload: usize) -> [u8; sctp::CHUNK_HEADER_LEN] {
    let kind = match (flags & tcp::SYN != 0, flags & tcp::ACK != 0, flags & tcp::FIN != 0) {
        (true, false, _) => sctp::INIT,
        (true, true, _) => sctp::INIT_ACK,
        (false, _, true) => sctp::SHUTDOWN,
        (false, _, false) => sctp::DATA,
    };
    let len = (sctp::CHUNK_HEADER_LEN + payload) as u16;
    [kind, 0, len.to_be_bytes()[0], len.to_be_bytes()[1]]
}

/// The address that an ARP request or neighbour solicitation asks for, and who is asked.
pub fn asked(frame: &[u8]) -> Option<(IpAddr, MacAddr)> {
    let to = ether::dst(frame);
    if let Some(arp) = ArpPacket::parse(frame) {
        return (arp.op == Op::Request && arp.sender_ip != arp.target_ip)
            .then_some((arp.target_ip.into(), to));
    }
    match nd(frame)? {
        Ndp::Solicitation { target, .. } => Some((target.into(), to)),
        Ndp::Advertisement { .. } => None,
    }
}

/// The address that an ARP reply or solicited advertisement answers for, with the hardware address it gives.
pub fn answered(frame: &[u8]) -> Option<(IpAddr, MacAddr)> {
    if let Some(arp) = ArpPacket::parse(frame) {
        return (arp.op == Op::Reply).then_some((arp.sender_ip.into(), arp.sender_mac));
    }
    match nd(frame)? {
        Ndp::Advertisement { target, target_mac, solicited: true, .. } => Some((target.into(), target_mac?)),
        _ => None,
    }
}

/// The address that an ARP announcement or unsolicited advertisement tells of.
pub fn announced(frame: &[u8]) -> Option<IpAddr> {
    if let Some(arp) = ArpPacket::parse(frame) {
        return (arp.op == Op::Request && arp.sender_ip == arp.target_ip).then_some(arp.sender_ip.into());
    }
    match nd(frame)? {
        Ndp::Advertisement { target, solicited: false, .. } => Some(target.into()),
        _ => None,
    }
}

fn nd(frame: &[u8]) -> Option<Ndp> {
    match parse(frame) {
        Ok(Parsed::Ip(info)) => Ndp::parse(frame, &info).ok(),
        _ => None,
    }
}

fn write_nd(message: Ndp, ends: Ends) -> Vec<u8> {
    let mut frame = vec![0; message.frame_len()];
    message.write(&mut frame, &ends);
    frame
}

fn write_arp(op: Op, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr), to: MacAddr) -> Vec<u8> {
    let mut frame = vec![0; FRAME_LEN];
    ArpPacket { op, sender_mac: sender.0, sender_ip: sender.1, target_mac: target.0, target_ip: target.1 }
        .write(&mut frame, &to);
    frame
}

/// Asks for an address of the director, as a host on its link.
pub fn ask(mac: MacAddr, src: IpAddr, target: IpAddr) -> Vec<u8> {
    match (src, target) {
        (IpAddr::V4(src), IpAddr::V4(target)) => {
            write_arp(Op::Request, (mac, src), (MacAddr::UNSPECIFIED, target), MacAddr::BROADCAST)
        }
        (IpAddr::V6(src), IpAddr::V6(target)) => {
            let group = solicited_node(&target);
            let ends = Ends { src_mac: mac, dst_mac: multicast_mac(&group), src, dst: group };
            write_nd(Ndp::Solicitation { target, source_mac: Some(mac) }, ends)
        }
        _ => panic!("two families"),
    }
}

/// Answers the director's question.
#[track_caller]
pub fn answer(question: &[u8], mac: MacAddr) -> Vec<u8> {
    let to = ether::src(question);
    if let Some(arp) = ArpPacket::parse(question) {
        return write_arp(Op::Reply, (mac, arp.target_ip), (to, arp.sender_ip), to);
    }
    let Some(Ndp::Solicitation { target, .. }) = nd(question) else { panic!("no question") };
    let IpAddr::V6(dst) = info(question).src(question) else { panic!("no IPv6 packet") };
    let said =
        Ndp::Advertisement { target, target_mac: Some(mac), router: false, solicited: true, overrides: true };
    write_nd(said, Ends { src_mac: mac, dst_mac: to, src: target, dst })
}

/// Tells everyone on the link of an address: gratuitous ARP, unsolicited advertisement.
pub fn announce(mac: MacAddr, addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(addr) => {
            write_arp(Op::Request, (mac, addr), (MacAddr::UNSPECIFIED, addr), MacAddr::BROADCAST)
        }
        IpAddr::V6(target) => {
            let said = Ndp::Advertisement {
                target,
                target_mac: Some(mac),
                router: false,
                solicited: false,
                overrides: true,
            };
            let dst_mac = multicast_mac(&ALL_NODES);
            write_nd(said, Ends { src_mac: mac, dst_mac, src: target, dst: ALL_NODES })
        }
    }
}

/// The frame with a VLAN tag.
pub fn tagged(frame: &[u8], id: u16) -> Vec<u8> {
    let mut packet = VecBuf::new(frame);
    vlan::push(&mut packet, id).expect("headroom");
    packet.bytes().to_vec()
}

/// The VLAN of a frame, and the frame without its tag.
pub fn untagged(frame: &[u8]) -> (Option<u16>, Vec<u8>) {
    let mut packet = VecBuf::new(frame);
    let id = vlan::pop(&mut packet);
    (id, packet.bytes().to_vec())
}
