//! Neighbour solicitations and advertisements (RFC 4861 section 7). Routers' messages and redirects are the host's business.

use core::net::{IpAddr, Ipv6Addr};

use wire::ether::{self, MacAddr};
use wire::ndp::{Ends, Ndp, multicast_mac, solicited_node};
use wire::{PacketBuf, PacketInfo};

use super::{Action, FRAME_MAX, Received};
use crate::drop::DropReason;
use crate::iface::IfaceId;
use crate::neighbour::{Confirm, Learned, Neighbours, Probe};
use crate::net::{Net, is_host_addr, is_host_mac};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Takes a neighbour solicitation or advertisement ([`wire::ndp::is_ndp`]) that came in on `iface`: answers in place, learns.
pub fn receive_nd<B: PacketBuf, H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    buf: &mut B,
    info: &PacketInfo,
) -> Received {
    let frame = buf.bytes();
    let (Ok(nd), IpAddr::V6(src)) = (Ndp::parse(frame, info), info.src(frame)) else {
        return Received::only(Action::Drop(DropReason::NdInvalid));
    };
    let sender = ether::src(frame);
    let said = match nd {
        Ndp::Solicitation { source_mac, .. } => source_mac,
        Ndp::Advertisement { target_mac, .. } => target_mac,
    };
    let claimed = said.unwrap_or(sender);
    let ours = net.iface(iface).mac;
    if claimed == ours || sender == ours {
        return Received::only(Action::Drop(DropReason::OwnFrame));
    }
    let possible = src.is_unspecified() || is_host_addr(IpAddr::V6(src));
    if !is_host_mac(claimed) || !is_host_mac(sender) || !possible {
        return Received::only(Action::Drop(DropReason::NdInvalid));
    }
    match nd {
        Ndp::Solicitation { target, source_mac } => {
            let received = learn_from_solicitation(net, neighbours, now_ms, iface, target, src, source_mac);
            if received.action == Action::Reply {
                return answer(net, iface, buf, target, src, claimed, received);
            }
            received
        }
        Ndp::Advertisement { target, target_mac, solicited, overrides, .. } => {
            let confirm = match solicited {
                true => Confirm::Solicited { overrides },
                false => Confirm::Unsolicited { overrides },
            };
            on_advertisement(net, neighbours, now_ms, iface, target, target_mac, confirm)
        }
    }
}

/// As [`answer_host_arp`](super::answer_host_arp), for a neighbour solicitation.
pub fn answer_host_nd<B: PacketBuf>(net: &Net, iface: IfaceId, buf: &mut B, info: &PacketInfo) -> bool {
    let frame = buf.bytes();
    if !wire::ndp::is_ndp(frame, info) {
        return false;
    }
    let (Ok(Ndp::Solicitation { target, .. }), IpAddr::V6(asker)) =
        (Ndp::parse(frame, info), info.src(frame))
    else {
        return false;
    };
    if asker.is_unspecified() || asker == target || net.own(IpAddr::V6(target)).is_none() {
        return false;
    }
    let asker_mac = ether::src(frame);
    let received = answer(net, iface, buf, target, asker, asker_mac, Received::only(Action::Reply));
    received.action == Action::Reply
}

/// Learns from one who asks for us; the action says whether an answer is due. One who asks from an address of ours is a real
/// server that has the virtual address too and chose it for the question: it is answered at its hardware address, as by
/// Linux. Who claims that address for itself asks from no address, or advertises.
fn learn_from_solicitation<H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    target: Ipv6Addr,
    src: Ipv6Addr,
    source_mac: Option<MacAddr>,
) -> Received {
    let addr = IpAddr::V6(src);
    if net.own_on(iface, IpAddr::V6(target)).is_none() {
        return Received { copy_to_host: true, ..Received::only(Action::Consume) };
    }
    let mut received = Received::only(Action::Reply);
    if let Some(mac) = source_mac
        && net.on_link(iface, addr)
        && net.own(addr).is_none()
    {
        received.changed = neighbours.learn(now_ms, iface, addr, mac, Confirm::Asked).changed;
        received.learned = Some(Learned { iface, addr, mac, confirm: Confirm::Asked });
    }
    received
}

/// Turns a solicitation into its answer. One that checks whether our address is free has no address to be answered at:
/// everyone hears it (RFC 4861 section 7.2.4).
fn answer<B: PacketBuf>(
    net: &Net,
    iface: IfaceId,
    buf: &mut B,
    target: Ipv6Addr,
    asker: Ipv6Addr,
    asker_mac: MacAddr,
    received: Received,
) -> Received {
    let solicited = !asker.is_unspecified();
    let (dst, dst_mac) = if solicited { (asker, asker_mac) } else { (ALL_NODES, multicast_mac(&ALL_NODES)) };
    let reply = advertisement(net, iface, target, solicited);
    let len = reply.frame_len();
    buf.truncate(len);
    let missing = len - buf.bytes().len();
    if buf.append(missing).is_err() {
        return Received { action: Action::Drop(DropReason::NoHeadroom), ..received };
    }
    reply.write(buf.bytes_mut(), &Ends { src_mac: net.iface(iface).mac, dst_mac, src: target, dst });
    received
}

fn on_advertisement<H: PacketBuf>(
    net: &Net,
    neighbours: &mut Neighbours<H>,
    now_ms: u64,
    iface: IfaceId,
    target: Ipv6Addr,
    target_mac: Option<MacAddr>,
    confirm: Confirm,
) -> Received {
    let addr = IpAddr::V6(target);
    if net.own_on(iface, addr).is_some() {
        return Received::only(Action::Drop(DropReason::DuplicateAddress));
    }
    let mut received = Received { copy_to_host: true, ..Received::only(Action::Consume) };
    if !is_host_addr(addr) || !net.on_link(iface, addr) || net.own(addr).is_some() {
        return received;
    }
    // Without a hardware address, the answer to a unicast question confirms the known one.
    if let Some(mac) = target_mac.or_else(|| neighbours.known_mac(iface, addr)) {
        received.changed = neighbours.learn(now_ms, iface, addr, mac, confirm).changed;
        received.learned = Some(Learned { iface, addr, mac, confirm });
    }
    received
}

fn advertisement(net: &Net, iface: IfaceId, target: Ipv6Addr, solicited: bool) -> Ndp {
    let target_mac = Some(net.iface(iface).mac);
    Ndp::Advertisement { target, target_mac, router: net.forwarding(), solicited, overrides: true }
}

pub(super) fn write_probe(
    net: &Net,
    probe: &Probe,
    target: Ipv6Addr,
    out: &mut [u8; FRAME_MAX],
) -> Option<usize> {
    let IpAddr::V6(src) = net.source_towards(probe.iface, probe.target)? else { return None };
    let src_mac = net.iface(probe.iface).mac;
    let group = solicited_node(&target);
    let (dst, dst_mac) = probe.unicast.map_or((group, multicast_mac(&group)), |mac| (target, mac));
    let question = Ndp::Solicitation { target, source_mac: Some(src_mac) };
    question.write(out, &Ends { src_mac, dst_mac, src, dst });
    Some(question.frame_len())
}

pub(super) fn write_announcement(
    net: &Net,
    iface: IfaceId,
    addr: Ipv6Addr,
    out: &mut [u8; FRAME_MAX],
) -> usize {
    let notice = advertisement(net, iface, addr, false);
    let ends =
        Ends { src_mac: net.iface(iface).mac, dst_mac: multicast_mac(&ALL_NODES), src: addr, dst: ALL_NODES };
    notice.write(out, &ends);
    notice.frame_len()
}
