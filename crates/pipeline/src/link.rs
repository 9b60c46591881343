//! The last part of a packet's way: MTU, neighbour, Ethernet header, VLAN tag, port. And what rvs itself puts on links.

use core::net::IpAddr;
use std::cell::RefCell;
use std::sync::Arc;

use inet::icmp::{self, IcmpError};
use inet::reassembly::refragment;
use inet::{
    Address, DropReason, IcmpLimiter, IfaceId, NeighLimits, Neighbours, Net, NextHop, Probe, Resolution,
    arp_nd, fragment,
};
use ipvs::{Verdict, WorkerId};
use wire::ether::{self, MacAddr};
use wire::parse::{Parsed, parse};
use wire::{Family, PacketBuf, PacketInfo, icmp as icmp4, icmpv6, vlan};

use crate::counters::Counters;
use crate::gather::Recut;
use crate::ports::Ports;

/// What one worker knows of its links.
pub(crate) struct Link<B: PacketBuf> {
    pub(crate) neighbours: Neighbours<B>,
    /// Fragments that wait for others.
    pub(crate) fragments: usize,
    limiter: IcmpLimiter,
    ip_id: u16,
    fragment_id: FragmentId,
    counters: Arc<Counters>,
}

/// Identifications of the IPv6 packets that one worker fragments: the upper byte names the worker, since a receiver puts
/// together what has one identification, whichever worker it came from.
struct FragmentId {
    worker: u8,
    last: u32,
}

impl FragmentId {
    fn next(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        u32::from(self.worker) << 24 | self.last & 0x00ff_ffff
    }
}

impl<B: PacketBuf> Link<B> {
    pub(crate) fn new(
        worker: WorkerId,
        limits: NeighLimits,
        icmp_per_second: u32,
        counters: Arc<Counters>,
        seed: u64,
    ) -> Self {
        let limiter = IcmpLimiter::new(icmp_per_second, icmp_per_second.max(1));
        let fragment_id = FragmentId { worker: worker.0 as u8, last: (seed >> 16) as u32 };
        let neighbours = Neighbours::new(limits, seed);
        Self { neighbours, fragments: 0, limiter, ip_id: seed as u16, fragment_id, counters }
    }

    /// Sends a packet that is complete but for its Ethernet header; in pieces, if the way is too narrow and it allows that, or if
    /// it came so and is to be `recut`. An IPv6 packet from an address of ours that is too large here is a tunnel's or an echo
    /// reply: others were refused before.
    pub(crate) fn send(
        &mut self,
        now_ms: u64,
        net: &Net,
        hop: NextHop,
        packet: B,
        recut: Option<Recut<'_>>,
        out: &mut impl Ports<B>,
    ) {
        if recut.is_none() && packet.bytes().len() <= ether::HEADER_LEN + usize::from(hop.mtu) {
            return self.send_whole(now_ms, net, hop, packet, out);
        }
        let info = match parse(packet.bytes()) {
            Ok(Parsed::Ip(info)) => info,
            _ => return self.counters.discard(DropReason::MtuExceeded),
        };
        let own = info.family == Family::V6 && net.own(info.src(packet.bytes())).is_some();
        let id = self.fragment_id.next();
        let out = RefCell::new(out);
        let alloc = || out.borrow_mut().alloc();
        let mut pieces = 0;
        let emit = |piece| {
            pieces += 1;
            self.send_whole(now_ms, net, hop, piece, &mut **out.borrow_mut());
        };
        let done = match recut {
            Some(recut) => refragment(packet, &info, recut.leaving(hop.mtu, id), alloc, emit),
            None if own => fragment::fragment_own(packet, &info, hop.mtu, id, alloc, emit),
            None => fragment::fragment(packet, &info, hop.mtu, alloc, emit),
        };
        self.count_pieces(pieces, done);
    }

    /// Counts what became of a packet that was cut into so many pieces: one of them stands for the packet.
    fn count_pieces(&self, pieces: u64, done: Result<usize, (B, DropReason)>) {
        self.counters.split.add(if done.is_ok() { pieces - 1 } else { pieces });
        if let Err((_, reason)) = done {
            self.counters.discard(reason);
        }
    }

    /// To the host's kernel, on the port where it arrived.
    pub(crate) fn to_host(&self, net: &Net, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let iface = net.iface(iface);
        if let Some(vid) = iface.vlan
            && vlan::push(&mut packet, vid).is_err()
        {
            return self.counters.discard(DropReason::NoHeadroom);
        }
        out.to_host(iface.port, packet);
    }

    /// The same for a datagram that came in fragments: the host gathers them again.
    pub(crate) fn cut_for_host(
        &mut self,
        net: &Net,
        iface: IfaceId,
        packet: B,
        recut: Recut<'_>,
        out: &mut impl Ports<B>,
    ) {
        let Ok(Parsed::Ip(info)) = parse(packet.bytes()) else {
            return self.counters.discard(DropReason::FragmentInvalid);
        };
        let leaving = recut.leaving(net.iface(iface).mtu, self.fragment_id.next());
        let out = RefCell::new(out);
        let mut pieces = 0;
        let done = refragment(
            packet,
            &info,
            leaving,
            || out.borrow_mut().alloc(),
            |piece| {
                pieces += 1;
                self.to_host(net, iface, piece, &mut **out.borrow_mut());
            },
        );
        self.count_pieces(pieces, done);
    }

    fn send_whole(&mut self, now_ms: u64, net: &Net, hop: NextHop, packet: B, out: &mut impl Ports<B>) {
        match self.neighbours.resolve(now_ms, &hop) {
            Resolution::Mac(mac) => self.address(net, hop.iface, mac, packet, out),
            Resolution::Unresolved => {
                if let Err((_, reason)) = self.neighbours.hold(now_ms, &hop, packet) {
                    self.counters.discard(reason);
                }
                self.count_held();
            }
        }
    }

    /// Tells how many packets wait, fragments among them, and how many neighbours are known.
    pub(crate) fn count_held(&self) {
        self.counters.held.set((self.neighbours.held() + self.fragments) as u64);
        self.counters.neighbours.set(self.neighbours.len() as u64);
    }

    /// Writes hardware addresses and sends.
    fn address(&mut self, net: &Net, iface: IfaceId, to: MacAddr, mut packet: B, out: &mut impl Ports<B>) {
        let frame = packet.bytes_mut();
        ether::set_dst(frame, &to);
        ether::set_src(frame, &net.iface(iface).mac);
        self.transmit(net, iface, packet, out);
    }

    /// Sends a frame whose Ethernet header is complete but for the VLAN tag.
    pub(crate) fn transmit(&mut self, net: &Net, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let iface = net.iface(iface);
        if let Some(vid) = iface.vlan
            && vlan::push(&mut packet, vid).is_err()
        {
            return self.counters.discard(DropReason::NoHeadroom);
        }
        out.tx(iface.port, packet);
    }

    /// Turns a packet into the ICMP error about itself, or drops it where none may be sent.
    pub(crate) fn refuse(
        &mut self,
        net: &Net,
        packet: &mut B,
        info: &PacketInfo,
        error: IcmpError,
        reason: DropReason,
    ) -> Verdict {
        self.ip_id = self.ip_id.wrapping_add(1);
        match icmp::error(net, packet, info, error, None, self.ip_id) {
            Some(()) => Verdict::Answer(reason),
            None => Verdict::Drop(reason),
        }
    }

    /// Sends an ICMP error of our own, as far as the rate limit lets it: path MTU discovery is exempt.
    pub(crate) fn send_error(
        &mut self,
        now_ms: u64,
        net: &Net,
        iface: IfaceId,
        packet: B,
        out: &mut impl Ports<B>,
    ) {
        self.counters.generated.add(1);
        let Ok(Parsed::Ip(info)) = parse(packet.bytes()) else {
            return self.counters.discard(DropReason::IcmpInvalid);
        };
        if !is_too_big(packet.bytes(), &info) && !self.limiter.allow(now_ms, IcmpError::HostUnreachable) {
            return self.counters.discard(DropReason::IcmpRateLimited);
        }
        let to = info.dst(packet.bytes());
        match net.route_from(iface, to).filter(|_| net.own(to).is_none()) {
            Some(hop) => self.send(now_ms, net, hop, packet, None, out),
            None => self.counters.discard(DropReason::NoRoute),
        }
    }

    /// Sends what waited for a neighbour that is now known.
    pub(crate) fn release(
        &mut self,
        now_ms: u64,
        net: &Net,
        iface: IfaceId,
        addr: IpAddr,
        out: &mut impl Ports<B>,
    ) {
        while let Some(packet) = self.neighbours.take_held(iface, addr) {
            let hop = NextHop { iface, addr, mtu: net.iface(iface).mtu };
            self.send_whole(now_ms, net, hop, packet, out);
        }
        self.count_held();
    }

    /// Asks for a neighbour.
    pub(crate) fn probe(&mut self, net: &Net, probe: &Probe, out: &mut impl Ports<B>) {
        self.make(net, probe.iface, out, |frame| arp_nd::write_probe(net, probe, frame));
    }

    /// Tells a link of an address that is now ours.
    pub(crate) fn announce(&mut self, net: &Net, address: &Address, out: &mut impl Ports<B>) {
        self.make(net, address.iface, out, |frame| arp_nd::write_announcement(net, address, frame));
    }

    /// Sends a frame made from nothing. Without a buffer or a source address there is none: a probe is asked for again.
    fn make(
        &mut self,
        net: &Net,
        iface: IfaceId,
        out: &mut impl Ports<B>,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) {
        let Some(mut packet) = out.alloc() else { return };
        if packet.append(arp_nd::FRAME_MAX).is_err() {
            return;
        }
        if let Some(len) = write(packet.bytes_mut()) {
            packet.truncate(len);
            self.counters.generated.add(1);
            self.transmit(net, iface, packet, out);
        }
    }
}

/// Whether an ICMP error tells a path MTU.
fn is_too_big(frame: &[u8], info: &PacketInfo) -> bool {
    let message = info.upper(frame);
    match info.family {
        Family::V4 => {
            icmp4::kind(message) == icmp4::UNREACHABLE && icmp4::code(message) == icmp4::FRAG_NEEDED
        }
        Family::V6 => icmp4::kind(message) == icmpv6::PACKET_TOO_BIG,
    }
}
