//! Neighbour solicitations and advertisements (RFC 4861 sections 4.3, 4.4, 7). Routers' messages and redirects are the
//! host's business.

use core::net::{IpAddr, Ipv6Addr};

use wire::ether::MacAddr;
use wire::{Family, Fragment, PacketBuf, PacketInfo};

use super::{Action, FRAME_MAX, Received};
use crate::bytes::{self, ETHERNET, ETHERTYPE_IPV6, ICMPV6, IPV6};
use crate::drop::DropReason;
use crate::icmp::checksum_ok;
use crate::iface::IfaceId;
use crate::neighbour::{Confirm, Learned, Neighbours, Probe};
use crate::net::{Net, is_host_mac};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const HOP_LIMIT: u8 = 255;
/// Type, code, checksum, flags, target.
const BODY: usize = 24;
/// One link-layer address option for Ethernet.
const OPTION: usize = 8;
const MESSAGE: usize = BODY + OPTION;
const LEN: usize = ETHERNET + IPV6 + MESSAGE;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The fields of a solicitation or advertisement.
struct Nd {
    kind: u8,
    flags: u8,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    target: Ipv6Addr,
    /// The link-layer address option that goes with the kind.
    mac: Option<MacAddr>,
}

impl Nd {
    /// Reads a message that passes the checks of RFC 4861 sections 7.1.1 and 7.1.2.
    fn parse(frame: &[u8], info: &PacketInfo) -> Option<Self> {
        let message = frame.get(usize::from(info.l4)..usize::from(info.end))?;
        let (body, options) = message.split_first_chunk::<BODY>()?;
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (info.src(frame), info.dst(frame)) else { return None };
        let target = Ipv6Addr::from(*body[8..].first_chunk::<16>()?);
        let wanted = if body[0] == SOLICITATION { SOURCE_LINK_LAYER } else { TARGET_LINK_LAYER };
        let nd = Self { kind: body[0], flags: body[4], src, dst, target, mac: link_layer(options, wanted)? };
        let whole = info.ttl == HOP_LIMIT && body[1] == 0 && checksum_ok(frame, info);
        (whole && !target.is_multicast() && nd.is_allowed()).then_some(nd)
    }

    fn is_allowed(&self) -> bool {
        if self.kind == ADVERTISEMENT {
            let answers_a_group = self.dst.is_multicast() && self.flags & SOLICITED != 0;
            return !answers_a_group && !self.src.is_unspecified();
        }
        // Duplicate address detection: to the target's group, without a hardware address.
        !self.src.is_unspecified() || (is_solicited_node(self.dst) && self.mac.is_none())
    }

    /// Writes the whole frame.
    fn write(&self, from: MacAddr, to: MacAddr, frame: &mut [u8]) {
        frame[..6].copy_from_slice(&to.0);
        frame[6..12].copy_from_slice(&from.0);
        frame[12..14].copy_from_slice(&ETHERTYPE_IPV6.to_be_bytes());
        bytes::write_ipv6(&mut frame[ETHERNET..], MESSAGE, ICMPV6, HOP_LIMIT, self.src, self.dst);
        let message = &mut frame[ETHERNET + IPV6..LEN];
        message[..8].copy_from_slice(&[self.kind, 0, 0, 0, self.flags, 0, 0, 0]);
        message[8..BODY].copy_from_slice(&self.target.octets());
        message[BODY] = if self.kind == SOLICITATION { SOURCE_LINK_LAYER } else { TARGET_LINK_LAYER };
        message[BODY + 1] = 1;
        message[BODY + 2..].copy_from_slice(&from.0);
        let pseudo = bytes::pseudo_sum(IpAddr::V6(self.src), IpAddr::V6(self.dst), MESSAGE, ICMPV6);
        let checksum = bytes::checksum(pseudo, message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The hardware address in the first option of kind `wanted`. The outer none: options are malformed (a length of 0 or
/// beyond the message), the inner one: there is no such option.
fn link_layer(mut options: &[u8], wanted: u8) -> Option<Option<MacAddr>> {
    let mut found = None;
    while !options.is_empty() {
        let len = usize::from(*options.get(1)?) * 8;
        if len == 0 {
            return None;
        }
        let option = options.get(..len)?;
        if option[0] == wanted && len == OPTION && found.is_none() {
            found = option[2..].first_chunk().map(|bytes| MacAddr(*bytes));
        }
        options = &options[len..];
    }
    Some(found)
}

/// Whether a parsed packet is a neighbour solicitation or advertisement.
pub fn is_nd(frame: &[u8], info: &PacketInfo) -> bool {
    info.family == Family::V6
        && info.protocol == ICMPV6
        && info.fragment == Fragment::No
        && info.l4 < info.end
        && frame.get(usize::from(info.l4)).is_some_and(|kind| matches!(*kind, SOLICITATION | ADVERTISEMENT))
}

/// Takes a neighbour solicitation or advertisement ([`is_nd`]) that came in on `iface`: answers in place, learns.
pub fn receive_nd<B: PacketBuf, H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    buf: &mut B,
    info: &PacketInfo,
) -> Received {
    let frame = buf.bytes();
    let nd = if is_nd(frame, info) { Nd::parse(frame, info) } else { None };
    let sender = frame.get(6..12).and_then(|mac| mac.first_chunk().copied()).map(MacAddr);
    let (Some(nd), Some(sender)) = (nd, sender) else {
        return Received::only(Action::Drop(DropReason::NdInvalid));
    };
    let claimed = nd.mac.unwrap_or(sender);
    if claimed == net.iface(iface).mac || sender == net.iface(iface).mac {
        return Received::only(Action::Drop(DropReason::OwnFrame));
    }
    if !is_host_mac(claimed) || !is_host_mac(sender) {
        return Received::only(Action::Drop(DropReason::NdInvalid));
    }
    if nd.kind == ADVERTISEMENT {
        return on_advertisement(net, neighbours, now_ms, iface, &nd);
    }
    on_solicitation(net, neighbours, now_ms, iface, buf, &nd, sender)
}

fn on_solicitation<B: PacketBuf, H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    buf: &mut B,
    nd: &Nd,
    sender: MacAddr,
) -> Received {
    let mut received = Received::only(Action::Consume);
    let src = IpAddr::V6(nd.src);
    if net.own_on(iface, src).is_some() {
        return Received::only(Action::Drop(DropReason::DuplicateAddress));
    }
    if net.own_on(iface, IpAddr::V6(nd.target)).is_none() {
        return received;
    }
    if let Some(mac) = nd.mac
        && net.on_link(iface, src)
    {
        received.changed = neighbours.learn(now_ms, iface, src, mac, Confirm::Asked).changed;
        received.learned = Some(Learned { iface, addr: src, mac, confirm: Confirm::Asked });
    }
    // One that checks whether our address is free has no address to be answered at: everyone hears it (section 7.2.4).
    let (dst, to, solicited) = if nd.src.is_unspecified() {
        (ALL_NODES, bytes::ipv6_group_mac(ALL_NODES), 0)
    } else {
        (nd.src, nd.mac.unwrap_or(sender), SOLICITED)
    };
    let flags = OVERRIDE | solicited | router_flag(net);
    let reply = Nd { kind: ADVERTISEMENT, flags, src: nd.target, dst, target: nd.target, mac: None };
    buf.truncate(LEN);
    let missing = LEN - buf.bytes().len();
    if buf.append(missing).is_err() {
        received.action = Action::Drop(DropReason::NoHeadroom);
        return received;
    }
    reply.write(net.iface(iface).mac, to, buf.bytes_mut());
    received.action = Action::Reply;
    received
}

fn on_advertisement<H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    nd: &Nd,
) -> Received {
    let mut received = Received::only(Action::Consume);
    let addr = IpAddr::V6(nd.target);
    if net.own_on(iface, addr).is_some() {
        return Received::only(Action::Drop(DropReason::DuplicateAddress));
    }
    received.copy_to_host = true;
    // Without the option, the answer to a unicast question confirms what is known.
    let Some(mac) = nd.mac.or_else(|| neighbours.known_mac(iface, addr)) else { return received };
    if !net.on_link(iface, addr) || net.own(addr).is_some() {
        return received;
    }
    let overrides = nd.flags & OVERRIDE != 0;
    let confirm = match nd.flags & SOLICITED {
        0 => Confirm::Unsolicited { overrides },
        _ => Confirm::Solicited { overrides },
    };
    received.changed = neighbours.learn(now_ms, iface, addr, mac, confirm).changed;
    received.learned = Some(Learned { iface, addr, mac, confirm });
    received
}

fn router_flag(net: &Net) -> u8 {
    if net.forwarding() { ROUTER } else { 0 }
}

/// The group that solicitations for an address go to (RFC 4291 section 2.7.1).
fn solicited_node(addr: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = addr.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn is_solicited_node(addr: Ipv6Addr) -> bool {
    addr == solicited_node(addr)
}

pub(super) fn write_probe(
    net: &Net,
    probe: &Probe,
    target: Ipv6Addr,
    out: &mut [u8; FRAME_MAX],
) -> Option<usize> {
    let IpAddr::V6(src) = net.source_towards(probe.iface, probe.target)? else { return None };
    let (dst, to) = match probe.unicast {
        Some(mac) => (target, mac),
        None => (solicited_node(target), bytes::ipv6_group_mac(solicited_node(target))),
    };
    let question = Nd { kind: SOLICITATION, flags: 0, src, dst, target, mac: None };
    question.write(net.iface(probe.iface).mac, to, out);
    Some(LEN)
}

pub(super) fn write_announcement(
    net: &Net,
    iface: IfaceId,
    addr: Ipv6Addr,
    out: &mut [u8; FRAME_MAX],
) -> usize {
    let flags = OVERRIDE | router_flag(net);
    let notice = Nd { kind: ADVERTISEMENT, flags, src: addr, dst: ALL_NODES, target: addr, mac: None };
    notice.write(net.iface(iface).mac, bytes::ipv6_group_mac(ALL_NODES), out);
    LEN
}
