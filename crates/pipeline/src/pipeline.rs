//! A packet's way through one worker, in one direction and on one screen:
//!
//! ```text
//! receive ─ VLAN, MAC ─ parse ─ ARP? ─▶ neighbours
//!                         │
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

use inet::arp_nd::{self, Action, Received};
use inet::icmp::{self, IcmpError};
use inet::{
    AddressRole, DropReason, IfaceId, NeighEvent, NeighLimits, NeighbourView, News, PortIndex, fragment,
};
use ipvs::sync::Record;
use ipvs::{Cursor, Director, ServiceId, Snapshot, Verdict, WorkerId};
use wire::parse::{Parsed, parse};
use wire::{PacketBuf, PacketInfo, ether, ndp, rewrite, vlan};

use crate::counters::Counters;
use crate::link::Link;
use crate::martian;
use crate::ports::Ports;

/// One worker's packet path, generic over what carries a packet.
pub struct Pipeline<B: PacketBuf> {
    worker: WorkerId,
    director: Director,
    link: Link<B>,
    counters: Arc<Counters>,
}

/// Bounds and rates of what a pipeline does beside its director.
#[derive(Clone, Copy, Debug)]
pub struct PipelineLimits {
    /// The neighbour table.
    pub neighbours: NeighLimits,
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
        let PipelineLimits { neighbours, icmp_per_second } = limits;
        let mut link = Link::new(worker, neighbours, icmp_per_second, Arc::clone(&counters), seed);
        link.neighbours.apply(&director.snapshot().net);
        counters.generation.set(director.snapshot().generation);
        Self { worker, director, link, counters }
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

    /// A packet that another worker received and this one owns: it is never steered again.
    pub fn receive_steered(&mut self, now_ms: u64, iface: IfaceId, packet: B, out: &mut impl Ports<B>) {
        self.counters.from_ring.add(1);
        if usize::from(iface.0) >= self.director.snapshot().net.ifaces().len() {
            return self.counters.discard(DropReason::VlanUnknown);
        }
        match parse(packet.bytes()) {
            Ok(Parsed::Ip(info)) => self.ip(now_ms, iface, packet, &info, out),
            Ok(_) => self.counters.discard(DropReason::UnknownEthertype),
            Err(error) => self.counters.discard(error.into()),
        }
    }

    /// A frame that the host's kernel sends through the exception port of `port`: complete for its link as it is. The host
    /// is no client of rvs's services: between two addresses of rvs's own nothing can come back.
    pub fn receive_from_host(&mut self, port: PortIndex, packet: B, out: &mut impl Ports<B>) {
        self.counters.from_host.add(1);
        let own = |addr| self.director.snapshot().net.own(addr).is_some();
        match parse(packet.bytes()) {
            Ok(Parsed::Ip(info)) if own(info.src(packet.bytes())) && own(info.dst(packet.bytes())) => {
                self.counters.discard(DropReason::HostToOwn)
            }
            _ => out.tx(port, packet),
        }
    }

    /// The interface that a frame belongs to, with its VLAN tag taken off. One for another host ends here.
    fn arrive(&self, port: PortIndex, packet: &mut B) -> Result<IfaceId, DropReason> {
        let net = &self.director.snapshot().net;
        let iface = net.iface_of(port, vlan::pop(packet)).ok_or(DropReason::VlanUnknown)?;
        let to = ether::dst(packet.bytes());
        if to == net.iface(iface).mac || to.is_multicast() { Ok(iface) } else { Err(DropReason::NotForUsMac) }
    }

    /// Parses once, then finds the owner of the flow.
    fn frame(&mut self, now_ms: u64, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let info = match parse(packet.bytes()) {
            Ok(Parsed::Ip(info)) => info,
            Ok(Parsed::Arp) => return self.arp(now_ms, iface, packet, out),
            Ok(Parsed::Other(_)) => return self.punt(iface, packet, out),
            Err(error) => return self.counters.discard(error.into()),
        };
        packet.truncate(usize::from(info.end));
        match ipvs::owner(self.director.snapshot(), packet.bytes(), &info) {
            Some(owner) if owner != self.worker => out.steer(owner, iface, packet),
            _ => self.ip(now_ms, iface, packet, &info, out),
        }
    }

    /// An IP packet at the worker that owns its flow.
    fn ip(&mut self, now_ms: u64, iface: IfaceId, mut packet: B, info: &PacketInfo, out: &mut impl Ports<B>) {
        let net = &self.director.snapshot().net;
        if ndp::is_ndp(packet.bytes(), info) {
            return self.nd(now_ms, iface, packet, info, out);
        }
        let dst = info.dst(packet.bytes());
        if ether::dst(packet.bytes()).is_multicast() || net.is_broadcast_or_multicast(dst) {
            return self.punt(iface, packet, out);
        }
        if let Some(reason) = martian::fault(net, packet.bytes(), info) {
            return self.counters.discard(reason);
        }
        let verdict = match net.own(dst).map(|address| address.role) {
            Some(role) => {
                let verdict = self.local(now_ms, iface, role, &mut packet, info);
                for record in self.director.take_records() {
                    self.counters.sync_records.add(1);
                    out.sync(&record);
                }
                if let Some(path) = self.director.take_path_mtu() {
                    out.broadcast(News::PathMtu(path));
                }
                verdict
            }
            None => self.forward(now_ms, iface, &mut packet, info),
        };
        self.settle(now_ms, verdict, iface, packet, out);
    }

    /// LOCAL_IN: the director first, then what rvs answers for the host.
    fn local(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        role: AddressRole,
        packet: &mut B,
        info: &PacketInfo,
    ) -> Verdict {
        match self.director.local_in(now_ms, packet, info, iface) {
            Verdict::Accept | Verdict::Stop => {}
            verdict => return verdict,
        }
        let from = info.src(packet.bytes());
        if icmp::echo_reply(packet, info) {
            let hop = self.director.snapshot().net.route_from(iface, from);
            return hop.map_or(Verdict::Drop(DropReason::NoRoute), Verdict::Tx);
        }
        match role {
            AddressRole::Host => Verdict::ToHost,
            AddressRole::Local => Verdict::Drop(DropReason::NotConnection),
        }
    }

    /// FORWARD: as in any router, route, TTL and MTU come before the hooks.
    fn forward(&mut self, now_ms: u64, iface: IfaceId, packet: &mut B, info: &PacketInfo) -> Verdict {
        let net = &self.director.snapshot().net;
        if !net.forwarding() && !self.director.concerns(packet.bytes(), info) {
            return Verdict::Drop(DropReason::ForwardingOff);
        }
        if martian::is_link_scoped(packet.bytes(), info) {
            return Verdict::Drop(DropReason::NotForwardable);
        }
        let Some(hop) = net.route(info.dst(packet.bytes())) else {
            return self.link.refuse(net, packet, info, IcmpError::NetUnreachable, DropReason::NoRoute);
        };
        if info.ttl <= 1 {
            return self.link.refuse(net, packet, info, IcmpError::TimeExceeded, DropReason::TtlExceeded);
        }
        if fragment::exceeds(info, hop.mtu) && !fragment::may_fragment(packet.bytes(), info) {
            let error = IcmpError::FragmentationNeeded { mtu: hop.mtu };
            return self.link.refuse(net, packet, info, error, DropReason::MtuExceeded);
        }
        match self.director.forward(now_ms, packet, info, iface) {
            Verdict::Accept | Verdict::Stop => {
                // A helper may have changed how long the packet is.
                let info = PacketInfo { end: packet.bytes().len() as u16, ..*info };
                rewrite::decrement_ttl(packet.bytes_mut(), &info);
                Verdict::Tx(hop)
            }
            verdict => verdict,
        }
    }

    /// Ends a packet's way as its verdict says.
    fn settle(&mut self, now_ms: u64, verdict: Verdict, iface: IfaceId, packet: B, out: &mut impl Ports<B>) {
        let net = &self.director.snapshot().net;
        match verdict {
            Verdict::Tx(hop) => self.link.send(now_ms, net, hop, packet, out),
            Verdict::Answer(reason) => {
                self.counters.discard(reason);
                self.link.send_error(now_ms, net, iface, packet, out);
            }
            Verdict::Drop(reason) => self.counters.discard(reason),
            Verdict::Steer(worker) => out.steer(worker, iface, packet),
            Verdict::ToHost | Verdict::Accept | Verdict::Stop => self.punt(iface, packet, out),
        }
    }

    fn arp(&mut self, now_ms: u64, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let net = &self.director.snapshot().net;
        let received = arp_nd::receive_arp(net, &mut self.link.neighbours, now_ms, iface, &mut packet);
        self.neighbour_message(now_ms, iface, received, packet, out);
    }

    fn nd(&mut self, now_ms: u64, iface: IfaceId, mut packet: B, info: &PacketInfo, out: &mut impl Ports<B>) {
        let net = &self.director.snapshot().net;
        let received = arp_nd::receive_nd(net, &mut self.link.neighbours, now_ms, iface, &mut packet, info);
        self.neighbour_message(now_ms, iface, received, packet, out);
    }

    /// What an ARP or ND message led to: an answer, a copy for the host, news for the others, packets that waited.
    fn neighbour_message(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        received: Received,
        packet: B,
        out: &mut impl Ports<B>,
    ) {
        let net = &self.director.snapshot().net;
        match received.action {
            Action::Reply => self.link.transmit(net, iface, packet, out),
            Action::Consume if received.copy_to_host && out.has_host(net.iface(iface).port) => {
                self.punt(iface, packet, out)
            }
            Action::Consume => self.counters.consumed.add(1),
            Action::Drop(reason) => self.counters.discard(reason),
        }
        if let Some(learned) = received.learned {
            out.broadcast(News::Neighbour(learned));
            let net = &self.director.snapshot().net;
            self.link.release(now_ms, net, learned.iface, learned.addr, out);
        }
    }

    /// To the host's kernel, on the port where it arrived.
    fn punt(&mut self, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let iface = self.director.snapshot().net.iface(iface);
        if let Some(vid) = iface.vlan
            && vlan::push(&mut packet, vid).is_err()
        {
            return self.counters.discard(DropReason::NoHeadroom);
        }
        out.to_host(iface.port, packet);
    }

    /// What another worker learned.
    pub fn learn(&mut self, now_ms: u64, news: News, out: &mut impl Ports<B>) {
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

    /// Time passes: connections expire, neighbours are asked for or given up.
    pub fn tick(&mut self, now_ms: u64, budget: usize, out: &mut impl Ports<B>) {
        self.director.expire(now_ms, budget);
        let mut left = budget;
        while let Some(event) = self.link.neighbours.poll(now_ms, &mut left) {
            match event {
                NeighEvent::Probe(probe) => self.link.probe(&self.director.snapshot().net, &probe, out),
                NeighEvent::Failed(packet, reason) => self.unreachable(now_ms, packet, reason, out),
            }
        }
        self.link.count_held();
    }

    /// A packet whose next hop did not answer: its sender hears of it as the kernel would tell, by an error of this host that
    /// passes LOCAL_OUT, where the director puts the addresses right that it had rewritten. An error about a tunnel packet
    /// is to this host itself, which knows by LOCAL_IN whom to tell.
    fn unreachable(&mut self, now_ms: u64, mut packet: B, reason: DropReason, out: &mut impl Ports<B>) {
        self.counters.discard(reason);
        let net = &self.director.snapshot().net;
        let Ok(Parsed::Ip(info)) = parse(packet.bytes()) else { return };
        let error = IcmpError::HostUnreachable;
        if !matches!(self.link.refuse(net, &mut packet, &info, error, reason), Verdict::Answer(_)) {
            return;
        }
        let Ok(Parsed::Ip(info)) = parse(packet.bytes()) else { return };
        let to = info.dst(packet.bytes());
        let own = net.own(to).map(|address| address.iface);
        let iface = match (self.director.local_out(now_ms, &mut packet, &info), own) {
            (Verdict::Tx(hop), _) => Some(hop.iface),
            (Verdict::Accept | Verdict::Stop, None) => {
                self.director.snapshot().net.route(to).map(|hop| hop.iface)
            }
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
        while self.link.neighbours.drain().is_some() {
            self.counters.discard(DropReason::Shutdown);
        }
        self.counters.held.set(0);
    }
}
