//! IPv4 options on a packet's way: filled in where it arrives, put right where it leaves, as it came for the host.

use core::net::IpAddr;

use inet::options::{self, Fault, Filled, Here};
use inet::{DropReason, IcmpError, IfaceId, Net};
use ipvs::Verdict;
use wire::{Family, PacketBuf, PacketInfo, ether, icmp};

use crate::pipeline::Pipeline;
use crate::ports::Ports;

/// Looks at the options of a packet that arrived. `None`: it has none, as nearly all.
#[inline]
pub(crate) fn arrive<B: PacketBuf>(
    net: &Net,
    now_ms: u64,
    packet: &mut B,
    info: &PacketInfo,
) -> Result<Option<Filled>, Fault> {
    if info.family != Family::V4 || !options::has_any(info.ip(packet.bytes())) {
        return Ok(None);
    }
    fill(net, now_ms, packet, info).map(Some)
}

#[cold]
fn fill<B: PacketBuf>(net: &Net, now_ms: u64, packet: &mut B, info: &PacketInfo) -> Result<Filled, Fault> {
    let (src, dst) = (info.src(packet.bytes()), info.dst(packet.bytes()));
    let addr = if net.own(dst).is_some() { Some(dst) } else { net.source_to(src) };
    let Some(IpAddr::V4(addr)) = addr else { return Ok(Filled::default()) };
    let here = Here { addr, now_ms, is_own: |addr| net.own(IpAddr::V4(addr)).is_some() };
    options::fill(info.ip_mut(packet.bytes_mut()), &here)
}

/// A packet that is routed on has the address that it leaves by: its own source, if that is ours by now.
pub(crate) fn pass<B: PacketBuf>(net: &Net, packet: &mut B, info: &PacketInfo, filled: &Filled) {
    let (src, dst) = (info.src(packet.bytes()), info.dst(packet.bytes()));
    let addr = if net.own(src).is_some() { Some(src) } else { net.source_to(dst) };
    if let Some(IpAddr::V4(addr)) = addr {
        options::leave(info.ip_mut(packet.bytes_mut()), filled, addr);
    }
}

/// What is left to do when a packet's way is decided. A tunnel packet has no options, and the one inside is right already.
pub(crate) fn settle<B: PacketBuf>(packet: &mut B, info: &PacketInfo, filled: &Filled, verdict: Verdict) {
    match verdict {
        Verdict::ToHost | Verdict::Accept | Verdict::Stop | Verdict::Steer(_) => {
            options::restore(info.ip_mut(packet.bytes_mut()), filled)
        }
        Verdict::Tx(_) if ether::ethertype(packet.bytes()) == ether::IPV4 => {
            options::finish(info.ip_mut(packet.bytes_mut()), filled)
        }
        Verdict::Tx(_) | Verdict::Answer(_) | Verdict::Drop(_) => {}
    }
}

impl<B: PacketBuf> Pipeline<B> {
    /// A packet whose IPv4 options end its way: who sent it hears where they contradict themselves, but not of a source route.
    #[cold]
    pub(crate) fn refuse_options(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        mut packet: B,
        info: &PacketInfo,
        fault: Fault,
        out: &mut impl Ports<B>,
    ) {
        let net = &self.director.snapshot().net;
        let verdict = match fault {
            Fault::SourceRoute => Verdict::Drop(DropReason::SourceRoute),
            Fault::Malformed { at } => {
                let kind = icmp::PARAMETER_PROBLEM;
                let error = IcmpError::Other { kind, code: 0, rest: [at, 0, 0, 0] };
                self.link.refuse(net, &mut packet, info, error, DropReason::IpOptionsInvalid)
            }
        };
        self.settle(now_ms, verdict, iface, packet, None, out);
    }
}
