//! A whole burst at once, in stages: every packet is parsed and its bucket of the connection table asked for; then every connection
//! is asked for; then each packet, in the order in which they came, goes its way. So a burst waits for memory together, not one
//! packet after another.
//!
//! A packet of a connection under way takes the short way ([`ipvs::Lookup`]): no step is left out that could decide otherwise. All
//! others, and whatever is special, take [`Pipeline::receive`], the way that packets take one at a time, and find
//! their memory there already. Invariant: what comes of a burst is what comes of its packets one after another.

mod ways;

use core::net::IpAddr;

use inet::{IfaceId, Net, PortIndex};
use ipvs::Lookup;
use wire::plain::plain;
use wire::{MacAddr, PacketBuf, PacketInfo, ether};

use crate::pipeline::Pipeline;
use crate::ports::Ports;

use ways::Way;
pub(crate) use ways::Ways;

/// Packets that go through the stages together.
const STAGE: usize = 32;

/// What the first stage found out of a packet that may take the short way.
struct Seen {
    info: PacketInfo,
    lookup: Lookup,
}

/// Where a burst came from.
struct Arrival {
    now_ms: u64,
    iface: IfaceId,
    mac: MacAddr,
}

impl<B: PacketBuf> Pipeline<B> {
    /// Frames from a port, in their order. Takes all packets out of the slots.
    pub fn receive_burst(
        &mut self,
        now_ms: u64,
        port: PortIndex,
        packets: &mut [Option<B>],
        out: &mut impl Ports<B>,
    ) {
        let net = &self.director.snapshot().net;
        let iface = net.iface_of(port, None).filter(|_| self.director.may_pass_fast());
        let Some(iface) = iface else {
            for packet in packets.iter_mut().filter_map(Option::take) {
                self.receive(now_ms, port, packet, out);
            }
            return;
        };
        let arrival = Arrival { now_ms, iface, mac: net.iface(iface).mac };
        for packets in packets.chunks_mut(STAGE) {
            let mut seen = [const { None }; STAGE];
            for (seen, packet) in seen.iter_mut().zip(&*packets) {
                *seen = packet.as_ref().and_then(|packet| self.see(&arrival, packet.bytes()));
            }
            for seen in seen.iter_mut().flatten() {
                self.director.approach(&mut seen.lookup);
            }
            for (seen, packet) in seen.iter().zip(&mut *packets) {
                let Some(packet) = packet.take() else { continue };
                match seen {
                    Some(seen) => self.pass(&arrival, port, packet, seen, out),
                    None => self.receive(now_ms, port, packet, out),
                }
            }
        }
    }

    /// The first stage. None for a packet that is not a plain one: fragment, options, wrong address, about to die, or
    /// marked.
    #[inline]
    fn see(&self, arrival: &Arrival, frame: &[u8]) -> Option<Seen> {
        let info = plain(frame)?;
        if info.ttl <= 1 || ether::dst(frame) != arrival.mac {
            return None;
        }
        let lookup = self.director.foresee(frame, &info)?;
        let info = self.marked(arrival.iface, frame, &info);
        (info.mark == 0).then_some(Seen { info, lookup })
    }

    /// The last stage.
    #[inline]
    fn pass(
        &mut self,
        arrival: &Arrival,
        port: PortIndex,
        mut packet: B,
        seen: &Seen,
        out: &mut impl Ports<B>,
    ) {
        match self.pass_established(arrival, &mut packet, seen) {
            Some(way) => {
                packet.truncate(usize::from(seen.info.end));
                let frame = packet.bytes_mut();
                ether::set_dst(frame, &way.to);
                ether::set_src(frame, &way.from);
                if self.director.snapshot().settings.sync.master {
                    self.tell(out);
                }
                out.tx(way.port, packet);
            }
            None => self.receive(arrival.now_ms, port, packet, out),
        }
    }

    #[inline]
    fn pass_established(&mut self, arrival: &Arrival, packet: &mut B, seen: &Seen) -> Option<Way> {
        let Self { director, ways, link, counters, .. } = self;
        let info = &seen.info;
        let (src, dst) = (info.src(packet.bytes()), info.dst(packet.bytes()));
        let net = &director.snapshot().net;
        if !(is_usual(src) && is_usual(dst) && net.is_surely_foreign(src)) {
            return None;
        }
        let own = ways.is_own(net, dst)?;
        let len = packet.bytes().len() as u64;
        let mut way = None;
        let fits = |net: &Net, target| {
            way = ways.to(net, &mut link.neighbours, arrival.now_ms, target, info.ip_len());
            way.is_some()
        };
        if !director.pass_established(arrival.now_ms, packet, info, &seen.lookup, own, fits) {
            return None;
        }
        counters.rx.add(1);
        counters.rx_bytes.add(len);
        way
    }
}

/// Whether an address is one that a host elsewhere can have: so that neither [`martian`](crate::martian) nor a router's rules would
/// find fault with it.
#[inline]
fn is_usual(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => {
            let [first, ..] = addr.octets();
            (1..224).contains(&first) && first != 127 && !addr.is_link_local()
        }
        IpAddr::V6(addr) => {
            let first = addr.segments()[0];
            first != 0 && first & 0xff00 != 0xff00 && first & 0xffc0 != 0xfe80
        }
    }
}
