//! A packet's way through one worker, in one direction and on one screen:
//!
//! ```text
//! receive ─ VLAN, MAC ─ parse ─ ARP? ─▶ neighbours
//!                         │
//!                    fragment? ─yes─▶ gather the datagram, at the worker that its addresses and id name
//!                         │no
//!                       owner? ─no─▶ steer to the worker that owns the flow
//!                         │yes
//!                     own address? ─no─▶ TTL, route, MTU ─ FORWARD hooks ─▶ out
//!                         │yes
//!                     ND ─ LOCAL_IN hooks ─ echo ─▶ the host
//!                                   └─ a verdict that sends ─▶ out
//! out ─ MTU, fragment ─ neighbour ─ Ethernet, VLAN ─▶ port
//! ```
//!
//! Stages borrow the packet and return a [`Verdict`]; only [`Pipeline::settle`] and what it calls send, hold or
//! drop a packet, so that each is accounted for once.

use std::sync::Arc;

use inet::arp_nd;
use inet::icmp::{self, IcmpError};
use inet::options::Filled;
use inet::reassembly::{Cuts, Sizes};
use inet::{
    AddressRole, DropReason, IfaceId, NeighEvent, NeighLimits, NeighbourView, News, NextHop, PortIndex,
    Reassembly, ReassemblyLimits, fragment,
};
use ipvs::sync::Record;
use ipvs::trace::Origin;
use ipvs::{Cursor, Director, ServiceId, Snapshot, Verdict, WorkerId};
use wire::parse::{Parsed, parse};
use wire::{PacketBuf, PacketInfo, ether, ndp, rewrite, vlan};

use crate::burst::Ways;
use crate::counters::Counters;
use crate::gather::{Recut, in_usual_buffer, may_be_fragment};
use crate::link::Link;
use crate::ports::{Ports, Steered};
use crate::{martian, options};

/// One worker's packet path, generic over what carries a packet.
pub struct Pipeline<B: PacketBuf> {
    pub(crate) worker: WorkerId,
    pub(crate) director: Director,
    pub(crate) reassembly: Reassembly<B>,
    pub(crate) link: Link<B>,
    pub(crate) ways: Ways,
    pub(crate) counters: Arc<Counters>,
}

/// Bounds and rates of what a pipeline does beside its director.
#[derive(Clone, Copy, Debug)]
pub struct PipelineLimits {
    /// The neighbour table.
    pub neighbours: NeighLimits,
    /// Fragments that wait for others.
    pub reassembly: ReassemblyLimits,
    /// ICMP errors a second; 0: no limit.
    pub icmp_per_second: u32,
}

impl<B: PacketBuf> Pipeline<B> {
    /// A pipeline around a director, for `worker`. `seed` feeds timers' jitter and packet identifications.
    pub fn new(
        worker: WorkerId,
        director: Director,
        limits: PipelineLimits,
        counters: Arc<Counters>,
        seed: u64,
    ) -> Self {
        let PipelineLimits { neighbours, reassembly, icmp_per_second } = limits;
        let reassembly = Reassembly::new(reassembly, seed);
        let mut link = Link::new(worker, neighbours, icmp_per_second, Arc::clone(&counters), seed);
        link.neighbours.apply(&director.snapshot().net);
        counters.generation.set(director.snapshot().generation);
        Self { worker, director, reassembly, link, ways: Ways::default(), counters }
    }

    /// A frame from a port.
    pub fn receive(&mut self, now_ms: u64, port: PortIndex, mut packet: B, out: &mut impl Ports<B>) {
        self.counters.rx.add(1);
        self.counters.rx_bytes.add(packet.bytes().len() as u64);
        match self.arrive(port, &mut packet) {
            Ok(iface) => self.frame(now_ms, iface, packet, out),
            Err(reason) => self.counters.discard(reason),
        }
    }

    /// A packet that another worker received, and why it comes here. It is steered no more, but for a fragment whose datagram is
    /// then whole: once.
    pub fn receive_steered(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        why: Steered,
        packet: B,
        out: &mut impl Ports<B>,
    ) {
        self.counters.from_ring.add(1);
        if usize::from(iface.0) >= self.director.snapshot().net.ifaces().len() {
            return self.counters.discard(DropReason::VlanUnknown);
        }
        let info = match parse(packet.bytes()) {
            Ok(Parsed::Ip(info)) => info,
            Ok(_) => return self.counters.discard(DropReason::UnknownEthertype),
            Err(error) => return self.counters.discard(error.into()),
        };
        let info = self.marked(iface, packet.bytes(), &info);
        if why != Steered::Fragment {
            self.director.tracer().came(Origin::Worker, iface, packet.bytes(), &info);
        }
        self.trace_mark(info.mark);
        match why {
            Steered::Flow => self.ip(now_ms, iface, packet, &info, None, out),
            Steered::FromHost => self.local_out(now_ms, iface, packet, &info, out),
            Steered::Fragment => self.gather(now_ms, iface, packet, &info, out),
            Steered::Gathered(cuts) => {
                let info = PacketInfo { largest_fragment: cuts.largest, ..info };
                self.ip(now_ms, iface, packet, &info, Some(&cuts), out)
            }
        }
    }

    /// The interface that a frame belongs to, with its VLAN tag taken off. One for another host ends here.
    fn arrive(&self, port: PortIndex, packet: &mut B) -> Result<IfaceId, DropReason> {
        let net = &self.director.snapshot().net;
        let iface = net.iface_of(port, vlan::pop(packet)).ok_or(DropReason::VlanUnknown)?;
        let to = ether::dst(packet.bytes());
        if to == net.iface(iface).mac || to.is_multicast() { Ok(iface) } else { Err(DropReason::NotForUsMac) }
    }

    /// Parses once, gathers fragments, then finds the owner of the flow.
    fn frame(&mut self, now_ms: u64, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let info = match parse(packet.bytes()) {
            Ok(Parsed::Ip(info)) => info,
            Ok(Parsed::Arp) => return self.arp(now_ms, iface, packet, out),
            Ok(Parsed::Other(_)) => return self.punt(iface, packet, out),
            Err(error) => return self.counters.discard(error.into()),
        };
        packet.truncate(usize::from(info.end));
        if may_be_fragment(&info) {
            return self.fragment(now_ms, iface, packet, &info, out);
        }
        self.hand_to_owner(now_ms, iface, packet, &info, None, out);
    }

    /// An IP packet at the worker that received it, or that put it together of fragments that came like `cuts`.
    pub(crate) fn hand_to_owner(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        packet: B,
        info: &PacketInfo,
        cuts: Option<&Cuts>,
        out: &mut impl Ports<B>,
    ) {
        let info = &self.marked(iface, packet.bytes(), info);
        self.director.tracer().came(Origin::Link, iface, packet.bytes(), info);
        self.trace_mark(info.mark);
        match ipvs::owner(self.director.snapshot(), packet.bytes(), info) {
            Some(owner) if owner != self.worker => {
                self.trace_steered(owner);
                let why = cuts.map_or(Steered::Flow, |cuts| Steered::Gathered(*cuts));
                out.steer(owner, iface, why, packet);
            }
            _ => self.ip(now_ms, iface, packet, info, cuts, out),
        }
    }

    /// An IP packet at the worker that owns its flow.
    fn ip(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        mut packet: B,
        info: &PacketInfo,
        cuts: Option<&Cuts>,
        out: &mut impl Ports<B>,
    ) {
        let net = &self.director.snapshot().net;
        if ndp::is_ndp(packet.bytes(), info) {
            if cuts.is_some() {
                // RFC 6980: never in fragments.
                return self.counters.discard(DropReason::NdInvalid);
            }
            return self.nd(now_ms, iface, packet, info, out);
        }
        let dst = info.dst(packet.bytes());
        if ether::dst(packet.bytes()).is_multicast() || net.is_broadcast_or_multicast(dst) {
            return self.punt(iface, packet, out);
        }
        if let Some(reason) = martian::fault(net, packet.bytes(), info) {
            return self.settle(now_ms, Verdict::Drop(reason), iface, packet, None, out);
        }
        let options = match options::arrive(net, now_ms, &mut packet, info) {
            Ok(options) => options,
            Err(fault) => return self.refuse_options(now_ms, iface, packet, info, fault, out),
        };
        let mut recut = cuts.map(|cuts| Recut { cuts, family: info.family, sizes: Sizes::Largest });
        let own = net.own(dst).map(|address| address.role);
        let verdict = match own.or_else(|| self.role_by_mark(info)) {
            Some(role) => {
                let verdict = self.local(now_ms, iface, role, &mut packet, info, &mut recut);
                self.tell(out);
                verdict
            }
            None => {
                recut.iter_mut().for_each(|recut| recut.sizes = Sizes::AsCame);
                self.forward(now_ms, iface, &mut packet, info, options.as_ref())
            }
        };
        if let Some(filled) = &options {
            options::settle(&mut packet, info, filled, verdict);
        }
        self.settle(now_ms, verdict, iface, packet, recut, out);
    }

    /// Passes on what the director has to say to others.
    pub(crate) fn tell(&mut self, out: &mut impl Ports<B>) {
        for record in self.director.take_records() {
            self.counters.sync_records.add(1);
            out.sync(&record);
        }
        if let Some(path) = self.director.take_path_mtu() {
            out.broadcast(News::PathMtu(path));
        }
    }

    /// LOCAL_IN: the director first, then what rvs answers for the host, which is not `recut`.
    fn local(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        role: AddressRole,
        packet: &mut B,
        info: &PacketInfo,
        recut: &mut Option<Recut<'_>>,
    ) -> Verdict {
        match self.director.local_in(now_ms, packet, info, iface) {
            Verdict::Accept | Verdict::Stop => {}
            verdict => return verdict,
        }
        let from = info.src(packet.bytes());
        if icmp::echo_reply(packet, info) {
            *recut = None;
            let hop = self.director.snapshot().net.route_from(iface, from);
            return hop.map_or(Verdict::Drop(DropReason::NoRoute), Verdict::Tx);
        }
        match role {
            AddressRole::Host => Verdict::ToHost,
            AddressRole::Local => Verdict::Drop(DropReason::NotConnection),
        }
    }

    /// FORWARD: as in any router, route, TTL and MTU come before the hooks.
    fn forward(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        packet: &mut B,
        info: &PacketInfo,
        options: Option<&Filled>,
    ) -> Verdict {
        let net = &self.director.snapshot().net;
        if !net.forwarding() && !self.director.concerns(packet.bytes(), info) {
            return Verdict::Drop(DropReason::ForwardingOff);
        }
        let hop = match self.way(packet, info) {
            Ok(hop) => hop,
            Err(refused) => return refused,
        };
        match self.director.forward(now_ms, packet, info, iface) {
            Verdict::Accept | Verdict::Stop => {
                // A helper may have changed how long the packet is.
                let info = PacketInfo { end: packet.bytes().len() as u16, ..*info };
                rewrite::decrement_ttl(packet.bytes_mut(), &info);
                if let Some(filled) = options {
                    options::pass(&self.director.snapshot().net, packet, &info, filled);
                }
                Verdict::Tx(hop)
            }
            verdict => verdict,
        }
    }

    /// The next hop of a packet that passes through, or what becomes of it instead. Of one that came in fragments the largest of
    /// them is what has to fit.
    pub(crate) fn way(&mut self, packet: &mut B, info: &PacketInfo) -> Result<NextHop, Verdict> {
        let net = &self.director.snapshot().net;
        if martian::is_link_scoped(packet.bytes(), info) {
            return Err(Verdict::Drop(DropReason::NotForwardable));
        }
        let (error, reason) = match net.route(info.dst(packet.bytes())) {
            None => (IcmpError::NetUnreachable, DropReason::NoRoute),
            Some(_) if info.ttl <= 1 => (IcmpError::TimeExceeded, DropReason::TtlExceeded),
            Some(hop) => {
                let fits = info.largest_len() <= usize::from(hop.mtu);
                if fits || fragment::may_fragment(packet.bytes(), info) {
                    return Ok(hop);
                }
                (IcmpError::FragmentationNeeded { mtu: hop.mtu }, DropReason::MtuExceeded)
            }
        };
        Err(self.link.refuse(net, packet, info, error, reason))
    }

    /// Ends a packet's way as its verdict says.
    pub(crate) fn settle(
        &mut self,
        now_ms: u64,
        verdict: Verdict,
        iface: IfaceId,
        packet: B,
        recut: Option<Recut<'_>>,
        out: &mut impl Ports<B>,
    ) {
        self.trace_end(verdict, packet.bytes());
        let net = &self.director.snapshot().net;
        match (verdict, recut) {
            (Verdict::Tx(hop), Some(recut)) if recut.forbidden(packet.bytes(), hop.mtu) => {
                let error = IcmpError::FragmentationNeeded { mtu: hop.mtu };
                self.refuse_late(now_ms, packet, error, DropReason::MtuExceeded, out);
            }
            (Verdict::Tx(hop), _) => self.link.send(now_ms, net, hop, packet, recut, out),
            (Verdict::Answer(reason), None) => {
                self.counters.discard(reason);
                self.link.send_error(now_ms, net, iface, packet, out);
            }
            (Verdict::Answer(reason), Some(_)) => {
                self.counters.discard(reason);
                if let Some(packet) = in_usual_buffer(&packet, out) {
                    self.link.send_error(now_ms, net, iface, packet, out);
                }
            }
            (Verdict::Drop(reason), _) => self.counters.discard(reason),
            (Verdict::Steer(worker), recut) => {
                let why = recut.map_or(Steered::Flow, |recut| Steered::Gathered(*recut.cuts));
                out.steer(worker, iface, why, packet)
            }
            (Verdict::ToHost | Verdict::Accept | Verdict::Stop, None) => self.punt(iface, packet, out),
            (Verdict::ToHost | Verdict::Accept | Verdict::Stop, Some(recut)) => {
                self.link.cut_for_host(net, iface, packet, recut, out)
            }
        }
    }

    /// What another worker learned.
    pub fn learn(&mut self, now_ms: u64, news: News, out: &mut impl Ports<B>) {
        self.ways.forget_neighbours();
        let learned = match news {
            News::Neighbour(learned) => learned,
            News::PathMtu(path) => return self.director.learn_path_mtu(now_ms, path),
        };
        let net = &self.director.snapshot().net;
        if usize::from(learned.iface.0) < net.ifaces().len() {
            self.link.neighbours.learn(now_ms, learned.iface, learned.addr, learned.mac, learned.confirm);
            self.link.release(now_ms, net, learned.iface, learned.addr, out);
        }
    }

    /// Time passes: connections expire, neighbours are asked for or given up, and fragments whose datagram stays away.
    pub fn tick(&mut self, now_ms: u64, budget: usize, out: &mut impl Ports<B>) {
        self.director.expire(now_ms, budget);
        let mut left = budget;
        while let Some(event) = self.link.neighbours.poll(now_ms, &mut left) {
            self.ways.forget_neighbours();
            match event {
                NeighEvent::Probe(probe) => self.link.probe(&self.director.snapshot().net, &probe, out),
                NeighEvent::Failed(packet, reason) => {
                    self.refuse_late(now_ms, packet, IcmpError::HostUnreachable, reason, out)
                }
            }
        }
        self.give_up_fragments(now_ms, budget, out);
        self.link.count_held();
    }

    /// A packet that cannot leave after all: its sender hears of it as the kernel would tell, by an error of this host that
    /// passes LOCAL_OUT, where the director puts the addresses right that it had rewritten. An error about a tunnel packet
    /// is to this host itself, which knows by LOCAL_IN whom to tell.
    fn refuse_late(
        &mut self,
        now_ms: u64,
        mut packet: B,
        error: IcmpError,
        reason: DropReason,
        out: &mut impl Ports<B>,
    ) {
        self.counters.discard(reason);
        let net = &self.director.snapshot().net;
        let Ok(Parsed::Ip(info)) = parse(packet.bytes()) else { return };
        if !matches!(self.link.refuse(net, &mut packet, &info, error, reason), Verdict::Answer(_)) {
            return;
        }
        let Ok(Parsed::Ip(info)) = parse(packet.bytes()) else { return };
        let verdict = self.director.local_out(now_ms, &mut packet, &info);
        let net = &self.director.snapshot().net;
        let to = info.dst(packet.bytes());
        let iface = match (verdict, net.own(to).map(|address| address.iface)) {
            (Verdict::Tx(hop), _) => Some(hop.iface),
            (Verdict::Accept | Verdict::Stop, None) => net.route(to).map(|hop| hop.iface),
            (Verdict::Accept | Verdict::Stop, Some(iface)) => {
                let verdict = self.director.local_in(now_ms, &mut packet, &info, iface);
                matches!(verdict, Verdict::Answer(_)).then_some(iface)
            }
            _ => None,
        };
        if let Some(iface) = iface {
            self.link.send_error(now_ms, &self.director.snapshot().net, iface, packet, out);
        }
    }

    /// Goes by another configuration from now on; returns the old one, for its maker to free. The first worker announces
    /// addresses that are new.
    pub fn apply(&mut self, snapshot: Arc<Snapshot>, out: &mut impl Ports<B>) -> Arc<Snapshot> {
        let old = self.director.apply(snapshot);
        self.ways.forget();
        let snapshot = self.director.snapshot();
        if self.link.neighbours.apply(&snapshot.net) {
            // What waited for one that is now given will hear of no answer. Time does not matter to one that is given.
            for neighbour in snapshot.net.neighbours() {
                self.link.release(0, &snapshot.net, neighbour.iface, neighbour.addr, out);
            }
            self.link.count_held();
        }
        self.counters.generation.set(snapshot.generation);
        self.announce_since(Some(&old), out);
        old
    }

    /// Announces the addresses that the configuration before `old` did not have: all, if there was none.
    pub fn announce_since(&mut self, old: Option<&Snapshot>, out: &mut impl Ports<B>) {
        if self.worker == WorkerId(0) {
            let net = &self.director.snapshot().net;
            for address in arp_nd::to_announce(old.map(|old| &old.net), net) {
                self.link.announce(net, address, out);
            }
        }
    }

    /// Takes in a connection that a master told of; what became of it is counted.
    pub fn import(&mut self, now_ms: u64, record: &Record) {
        let imported = self.director.import(now_ms, record);
        self.counters.count_import(imported);
    }

    /// The director, to look at.
    pub fn director(&self) -> &Director {
        &self.director
    }

    /// This worker's counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All neighbours this worker knows.
    pub fn neighbours(&self, now_ms: u64) -> Vec<NeighbourView> {
        self.link.neighbours.iter(now_ms).collect()
    }

    /// Forgets learned neighbours of one interface, or of all; what waited for them is dropped at the next tick.
    pub fn flush_neighbours(&mut self, iface: Option<IfaceId>) {
        self.link.neighbours.flush(iface);
        self.ways.forget_neighbours();
    }

    /// Forgets connections, all or those of one service, in the next `budget` places of the tables from `from` on. Returns
    /// how many there were, and where to go on: nowhere after the last place.
    pub fn flush_connections(
        &mut self,
        service: Option<ServiceId>,
        from: Cursor,
        budget: usize,
    ) -> (usize, Option<Cursor>) {
        let before = self.director.connections();
        let next = match service {
            Some(service) => self.director.flush_service(service, from, budget),
            None => self.director.flush(from, budget),
        };
        (before - self.director.connections(), next)
    }

    /// Lets go of every packet that waits: for a worker that stops.
    pub fn stop(&mut self) {
        self.drop_fragments();
        while self.link.neighbours.drain().is_some() {
            self.counters.discard(DropReason::Shutdown);
        }
        self.counters.held.set(0);
    }
}
