//! ARP for IPv4 over Ethernet (RFC 826), with the care of RFC 5227 about addresses in use.

use core::net::{IpAddr, Ipv4Addr};

use wire::PacketBuf;
use wire::arp::{ArpPacket, FRAME_LEN, Op};
use wire::ether::{self, MacAddr};

use super::{Action, FRAME_MAX, Received};
use crate::drop::DropReason;
use crate::iface::IfaceId;
use crate::neighbour::{Confirm, Learned, Neighbours, Probe};
use crate::net::{Net, is_host_addr, is_host_mac};

/// Takes an ARP frame that came in on `iface`: answers in place, learns.
pub fn receive_arp<B: PacketBuf, H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    buf: &mut B,
) -> Received {
    let frame = buf.bytes();
    let Some(arp) = ArpPacket::parse(frame) else {
        return Received::only(Action::Drop(DropReason::ArpInvalid));
    };
    let to_us = ether::dst(frame) == net.iface(iface).mac;
    if let Some(fault) = fault_of(net, iface, &arp) {
        return Received::only(Action::Drop(fault));
    }
    let asked = arp.op == Op::Request && net.own_on(iface, IpAddr::V4(arp.target_ip)).is_some();
    let mut received = learn(net, neighbours, now_ms, iface, &arp, asked, to_us);
    if asked {
        let reply = ArpPacket {
            op: Op::Reply,
            sender_mac: net.iface(iface).mac,
            sender_ip: arp.target_ip,
            target_mac: arp.sender_mac,
            target_ip: arp.sender_ip,
        };
        buf.truncate(FRAME_LEN);
        reply.write(buf.bytes_mut(), &arp.sender_mac);
        received.action = Action::Reply;
    }
    received
}

/// Answers a question that the host asks on a link for an address that rvs has, and the host has not, in place. False, and the
/// frame as it was, if it is no such question: the host's own addresses are asked for to find out whether another has them.
pub fn answer_host_arp<B: PacketBuf>(net: &Net, iface: IfaceId, buf: &mut B) -> bool {
    let Some(arp) = ArpPacket::parse(buf.bytes()) else { return false };
    let claims = arp.sender_ip.is_unspecified() || arp.sender_ip == arp.target_ip;
    if arp.op != Op::Request || claims || net.own(IpAddr::V4(arp.target_ip)).is_none() {
        return false;
    }
    let reply = ArpPacket {
        op: Op::Reply,
        sender_mac: net.iface(iface).mac,
        sender_ip: arp.target_ip,
        target_mac: arp.sender_mac,
        target_ip: arp.sender_ip,
    };
    buf.truncate(FRAME_LEN);
    reply.write(buf.bytes_mut(), &arp.sender_mac);
    true
}

/// What is wrong with a packet's sender, if anything. Address 0.0.0.0 is fine: a host that checks whether its address is free.
fn fault_of(net: &Net, iface: IfaceId, arp: &ArpPacket) -> Option<DropReason> {
    let addr = IpAddr::V4(arp.sender_ip);
    if arp.sender_mac == net.iface(iface).mac {
        return Some(DropReason::OwnFrame);
    }
    let possible = arp.sender_ip.is_unspecified() || is_host_addr(addr);
    if !is_host_mac(arp.sender_mac) || !possible || net.is_broadcast_or_multicast(addr) {
        return Some(DropReason::ArpInvalid);
    }
    net.own_on(iface, addr).map(|_| DropReason::DuplicateAddress)
}

/// Learns from the sender. A request for us makes an entry, as does a reply to us; anything else only updates one.
fn learn<H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    arp: &ArpPacket,
    asked: bool,
    to_us: bool,
) -> Received {
    let mut received = Received::only(Action::Consume);
    received.copy_to_host = !asked;
    let (mac, addr) = (arp.sender_mac, IpAddr::V4(arp.sender_ip));
    if arp.sender_ip.is_unspecified() || !net.on_link(iface, addr) || net.own(addr).is_some() {
        return received;
    }
    let confirm = match arp.op {
        Op::Reply if to_us => Confirm::Solicited { overrides: true },
        Op::Request if asked => Confirm::Asked,
        _ => Confirm::Unsolicited { overrides: true },
    };
    received.changed = neighbours.learn(now_ms, iface, addr, mac, confirm).changed;
    received.learned = Some(Learned { iface, addr, mac, confirm });
    received
}

pub(super) fn write_probe(
    net: &Net,
    probe: &Probe,
    target: Ipv4Addr,
    out: &mut [u8; FRAME_MAX],
) -> Option<usize> {
    let IpAddr::V4(source) = net.source_towards(probe.iface, probe.target)? else { return None };
    write_request(net, probe.iface, source, target, probe.unicast.unwrap_or(MacAddr::BROADCAST), out);
    Some(FRAME_LEN)
}

pub(super) fn write_announcement(
    net: &Net,
    iface: IfaceId,
    addr: Ipv4Addr,
    out: &mut [u8; FRAME_MAX],
) -> usize {
    write_request(net, iface, addr, addr, MacAddr::BROADCAST, out);
    FRAME_LEN
}

fn write_request(
    net: &Net,
    iface: IfaceId,
    sender_ip: Ipv4Addr,
    target_ip: Ipv4Addr,
    to: MacAddr,
    out: &mut [u8],
) {
    let sender_mac = net.iface(iface).mac;
    let target_mac = MacAddr([0; 6]);
    ArpPacket { op: Op::Request, sender_mac, sender_ip, target_mac, target_ip }.write(out, &to);
}
