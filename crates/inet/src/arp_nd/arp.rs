//! ARP for IPv4 over Ethernet (RFC 826), with the care of RFC 5227 about addresses in use.

use core::net::{IpAddr, Ipv4Addr};

use wire::PacketBuf;
use wire::ether::MacAddr;

use super::{Action, FRAME_MAX, Received};
use crate::bytes::{ETHERNET, ETHERTYPE_ARP};
use crate::drop::DropReason;
use crate::iface::IfaceId;
use crate::neighbour::{Confirm, Learned, Neighbours, Probe};
use crate::net::{Net, is_host_addr, is_host_mac};

const LEN: usize = ETHERNET + 28;
/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const BROADCAST: MacAddr = MacAddr([0xff; 6]);

/// The fields of an ARP packet.
struct Arp {
    operation: u16,
    sender: (MacAddr, Ipv4Addr),
    target: (MacAddr, Ipv4Addr),
}

impl Arp {
    fn parse(frame: &[u8]) -> Option<Self> {
        let body: &[u8; LEN - ETHERNET] = frame.get(ETHERNET..LEN)?.try_into().ok()?;
        let mac = |at: usize| body[at..].first_chunk().map(|bytes| MacAddr(*bytes));
        let addr = |at: usize| body[at..].first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes));
        let operation = u16::from_be_bytes([body[6], body[7]]);
        let known = body[..6] == ETHERNET_IPV4 && matches!(operation, REQUEST | REPLY);
        known.then_some(Self { operation, sender: (mac(8)?, addr(14)?), target: (mac(18)?, addr(24)?) })
    }

    fn write(&self, to: MacAddr, frame: &mut [u8]) {
        frame[..6].copy_from_slice(&to.0);
        frame[6..12].copy_from_slice(&self.sender.0.0);
        frame[12..14].copy_from_slice(&ETHERTYPE_ARP.to_be_bytes());
        frame[14..20].copy_from_slice(&ETHERNET_IPV4);
        frame[20..22].copy_from_slice(&self.operation.to_be_bytes());
        for (at, (mac, addr)) in [(22, self.sender), (32, self.target)] {
            frame[at..at + 6].copy_from_slice(&mac.0);
            frame[at + 6..at + 10].copy_from_slice(&addr.octets());
        }
    }
}

/// Takes an ARP frame that came in on `iface`: answers in place, learns.
pub fn receive_arp<B: PacketBuf, H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    buf: &mut B,
) -> Received {
    let frame = buf.bytes();
    let Some(arp) = Arp::parse(frame) else {
        return Received::only(Action::Drop(DropReason::ArpInvalid));
    };
    let to_us = frame.starts_with(&net.iface(iface).mac.0);
    if let Some(fault) = fault_of(net, iface, &arp) {
        return Received::only(Action::Drop(fault));
    }
    let asked = arp.operation == REQUEST && net.own_on(iface, IpAddr::V4(arp.target.1)).is_some();
    let mut received = learn(net, neighbours, now_ms, iface, &arp, asked, to_us);
    if asked {
        let ours = net.iface(iface).mac;
        let reply = Arp { operation: REPLY, sender: (ours, arp.target.1), target: arp.sender };
        buf.truncate(LEN);
        reply.write(arp.sender.0, buf.bytes_mut());
        received.action = Action::Reply;
    }
    received
}

/// What is wrong with a packet's sender, if anything. Address 0.0.0.0 is fine: a host that checks whether its address is free.
fn fault_of(net: &Net, iface: IfaceId, arp: &Arp) -> Option<DropReason> {
    let (mac, addr) = arp.sender;
    if mac == net.iface(iface).mac {
        return Some(DropReason::OwnFrame);
    }
    let possible = addr.is_unspecified() || is_host_addr(IpAddr::V4(addr));
    if !is_host_mac(mac) || !possible || net.is_broadcast_or_multicast(IpAddr::V4(addr)) {
        return Some(DropReason::ArpInvalid);
    }
    net.own_on(iface, IpAddr::V4(addr)).map(|_| DropReason::DuplicateAddress)
}

/// Learns from the sender. A request for us makes an entry, as does a reply to us; anything else only updates one.
fn learn<H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    arp: &Arp,
    asked: bool,
    to_us: bool,
) -> Received {
    let mut received = Received::only(Action::Consume);
    let (mac, addr) = (arp.sender.0, IpAddr::V4(arp.sender.1));
    received.copy_to_host = !asked;
    if arp.sender.1.is_unspecified() || !net.on_link(iface, addr) || net.own(addr).is_some() {
        return received;
    }
    let confirm = match arp.operation {
        REPLY if to_us => Confirm::Solicited { overrides: true },
        REQUEST if asked => Confirm::Asked,
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
    let ours = net.iface(probe.iface).mac;
    let IpAddr::V4(source) = net.source_towards(probe.iface, probe.target)? else { return None };
    let request = Arp { operation: REQUEST, sender: (ours, source), target: (MacAddr([0; 6]), target) };
    request.write(probe.unicast.unwrap_or(BROADCAST), out);
    Some(LEN)
}

pub(super) fn write_announcement(
    net: &Net,
    iface: IfaceId,
    addr: Ipv4Addr,
    out: &mut [u8; FRAME_MAX],
) -> usize {
    let ours = net.iface(iface).mac;
    let request = Arp { operation: REQUEST, sender: (ours, addr), target: (MacAddr([0; 6]), addr) };
    request.write(BROADCAST, out);
    LEN
}
