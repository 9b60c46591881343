//! Between the director and its host's kernel: what the host is given, and what it sends.
//!
//! The host sends frames that are complete for their link, and most go there as they are. Two kinds concern a service and pass
//! LOCAL_OUT first, at the worker that owns their connection: replies of a service on the host itself (local node), which
//! become the virtual service's, and what the host asks of a service as a client. A question by ARP or ND for an address
//! that rvs has and the host has not (a local pool's, a VIP) is answered here: nobody else could.

use inet::arp_nd;
use inet::{DropReason, IfaceId, PortIndex};
use ipvs::{Snapshot, Verdict};
use wire::parse::{Parsed, parse};
use wire::{PacketBuf, PacketInfo, ether, ndp, vlan};

use crate::pipeline::Pipeline;
use crate::ports::{Ports, Steered};

impl<B: PacketBuf> Pipeline<B> {
    /// To the host's kernel, on the port where it arrived.
    pub(crate) fn punt(&mut self, iface: IfaceId, packet: B, out: &mut impl Ports<B>) {
        self.link.to_host(&self.director.snapshot().net, iface, packet, out);
    }

    /// A frame that the host's kernel sends through the exception port of `port`: complete for its link as it is.
    pub fn receive_from_host(
        &mut self,
        now_ms: u64,
        port: PortIndex,
        mut packet: B,
        out: &mut impl Ports<B>,
    ) {
        self.counters.from_host.add(1);
        let vlan = vlan::pop(&mut packet);
        let Some(iface) = self.director.snapshot().net.iface_of(port, vlan) else {
            // Of a VLAN that the host has for itself.
            return match vlan.map_or(Ok(()), |vid| vlan::push(&mut packet, vid)) {
                Ok(()) => out.tx(port, packet),
                Err(_) => self.counters.discard(DropReason::NoHeadroom),
            };
        };
        let snapshot = self.director.snapshot();
        match parse(packet.bytes()) {
            Ok(Parsed::Ip(info)) if concerns_services(snapshot, packet.bytes(), &info) => {
                match ipvs::owner(snapshot, packet.bytes(), &info) {
                    Some(owner) if owner != self.worker => out.steer(owner, iface, Steered::FromHost, packet),
                    _ => self.local_out(now_ms, iface, packet, &info, out),
                }
            }
            Ok(Parsed::Ip(info)) if arp_nd::answer_host_nd(&snapshot.net, iface, &mut packet, &info) => {
                self.punt(iface, packet, out)
            }
            Ok(Parsed::Arp) if arp_nd::answer_host_arp(&snapshot.net, iface, &mut packet) => {
                self.punt(iface, packet, out)
            }
            _ => self.pass_out(iface, packet, out),
        }
    }

    /// LOCAL_OUT, and what becomes of the packet then.
    pub(crate) fn local_out(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        mut packet: B,
        info: &PacketInfo,
        out: &mut impl Ports<B>,
    ) {
        let verdict = self.director.local_out(now_ms, &mut packet, info);
        self.tell(out);
        let snapshot = self.director.snapshot();
        let own = |addr| snapshot.net.own(addr).is_some();
        let to = info.dst(packet.bytes());
        match verdict {
            // Between two addresses of ours, and no service's: nothing could come back.
            Verdict::Accept if own(to) && own(info.src(packet.bytes())) => {
                self.counters.discard(DropReason::HostToOwn)
            }
            Verdict::Accept => self.pass_out(iface, packet, out),
            Verdict::Stop if own(to) => self.give_back(iface, packet, out),
            Verdict::Stop if !snapshot.settings.snat_reroute => self.pass_out(iface, packet, out),
            Verdict::Stop => match snapshot.net.route_from(iface, to) {
                Some(hop) => self.link.send(now_ms, &snapshot.net, hop, packet, None, out),
                None => self.counters.discard(DropReason::NoRoute),
            },
            Verdict::Tx(hop) => self.link.send(now_ms, &snapshot.net, hop, packet, None, out),
            Verdict::Steer(worker) => out.steer(worker, iface, Steered::FromHost, packet),
            Verdict::ToHost => self.give_back(iface, packet, out),
            Verdict::Answer(reason) => {
                self.counters.discard(reason);
                self.counters.generated.add(1);
                self.give_back(iface, packet, out)
            }
            Verdict::Drop(reason) => self.counters.discard(reason),
        }
    }

    /// Sends what the host addressed itself, on the link that it chose.
    fn pass_out(&mut self, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let iface = self.director.snapshot().net.iface(iface);
        match iface.vlan.map_or(Ok(()), |vid| vlan::push(&mut packet, vid)) {
            Ok(()) => out.tx(iface.port, packet),
            Err(_) => self.counters.discard(DropReason::NoHeadroom),
        }
    }

    /// Gives the host what it sent, or an answer to it.
    fn give_back(&mut self, iface: IfaceId, mut packet: B, out: &mut impl Ports<B>) {
        let mac = self.director.snapshot().net.iface(iface).mac;
        ether::set_dst(packet.bytes_mut(), &mac);
        self.punt(iface, packet, out)
    }
}

/// Whether a packet of the host has to pass LOCAL_OUT: group traffic and Neighbour Discovery concern no service.
fn concerns_services(snapshot: &Snapshot, frame: &[u8], info: &PacketInfo) -> bool {
    let to_group =
        ether::dst(frame).is_multicast() || snapshot.net.is_broadcast_or_multicast(info.dst(frame));
    !to_group && !ndp::is_ndp(frame, info)
}
