//! ARP and Neighbour Discovery as they arrive, and what they let go of.

use inet::arp_nd::{self, Action, Received};
use inet::{IfaceId, News};
use wire::{PacketBuf, PacketInfo};

use crate::pipeline::Pipeline;
use crate::ports::Ports;

impl<B: PacketBuf> Pipeline<B> {
    pub(crate) fn arp(&mut self, now_ms: u64, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let net = &self.director.snapshot().net;
        let received = arp_nd::receive_arp(net, &mut self.link.neighbours, now_ms, iface, &mut packet);
        self.neighbour_message(now_ms, iface, received, packet, out);
    }

    pub(crate) fn nd(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        mut packet: B,
        info: &PacketInfo,
        out: &mut impl Ports<B>,
    ) {
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
        self.ways.forget_neighbours();
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
}
