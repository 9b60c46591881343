//! Fragments: which are gathered, at which worker, and what becomes of the datagram.
//!
//! The director needs datagrams whole, as in Linux. All fragments to an address of ours are gathered, in LOCAL_IN
//! [ip_local_deliver]; of those that pass through, as long as their family has a service, IPv4 that the director looks at, in
//! FORWARD [ip_vs_gather_frags], and all IPv6 [nf_defrag_ipv6]. The others pass as they are.
//!
//! A fragment names its datagram by addresses, protocol and identification; the steering's keyed hash of these names the
//! worker that gathers, since ports are in the first fragment only. The whole is a packet that just arrived: it goes to the
//! owner of its flow, over a second ring if need be, through the hooks as any packet, and is cut again where it leaves
//! ([`inet::reassembly::refragment`]) with what is known of how it came ([`Cuts`]). What the director makes of it, an ICMP error or
//! an echo reply, is not.
//!
//! Invariant: a large buffer is never sent nor kept. What leaves is copied to usual ones.

use inet::reassembly::{self, Accepted, Cuts, FragmentKey, Leaving, Released, Sizes};
use inet::{DropReason, IcmpError, IfaceId};
use ipvs::{Snapshot, Verdict};
use wire::parse::{Parsed, parse};
use wire::{Family, Fragment, PacketBuf, PacketInfo, ether, ipv4, ndp, rewrite};

use crate::martian;
use crate::pipeline::Pipeline;
use crate::ports::{Ports, Steered};

/// How a datagram that was gathered is to be cut again.
#[derive(Clone, Copy)]
pub(crate) struct Recut<'a> {
    pub(crate) cuts: &'a Cuts,
    /// Of which family it came.
    pub(crate) family: Family,
    pub(crate) sizes: Sizes,
}

impl<'a> Recut<'a> {
    /// Whether a packet must not be cut for so narrow a way: IPv4 that passed through, if the whole is too long and says so, however
    /// short its fragments were [ip_fragment]. Of what was delivered to this host the transmitter has asked that.
    pub(crate) fn forbidden(self, frame: &[u8], mtu: u16) -> bool {
        let ip = frame.get(ether::HEADER_LEN..).unwrap_or_default();
        self.family == Family::V4
            && self.sizes == Sizes::AsCame
            && ip.len() > usize::from(mtu)
            && ipv4::dont_fragment(ip)
    }

    pub(crate) fn leaving(self, mtu: u16, id: u32) -> Leaving<'a> {
        let Self { cuts, family, sizes } = self;
        Leaving { cuts, family, sizes, mtu, id }
    }
}

/// Whether a packet is a fragment, or has headers among which there may be that of an atomic one: what
/// [`Pipeline::fragment`] is for. Of all others nothing more is asked.
#[inline]
pub(crate) fn may_be_fragment(info: &PacketInfo) -> bool {
    info.fragment != Fragment::No || reassembly::may_be_atomic(info)
}

/// Whether the fragments of this one's datagram are gathered.
fn gathers(snapshot: &Snapshot, frame: &[u8], info: &PacketInfo) -> bool {
    let dst = info.dst(frame);
    // What is for a group is the host's, which gathers for itself.
    let to_group = ether::dst(frame).is_multicast() || snapshot.net.is_broadcast_or_multicast(dst);
    !to_group && (snapshot.net.own(dst).is_some() || ipvs::gathers_passing(snapshot, info))
}

impl<B: PacketBuf> Pipeline<B> {
    /// What [`may_be_fragment`], at the worker that received it.
    #[cold]
    pub(crate) fn fragment(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        mut packet: B,
        info: &PacketInfo,
        out: &mut impl Ports<B>,
    ) {
        let snapshot = self.director.snapshot();
        if !gathers(snapshot, packet.bytes(), info) || ndp::is_ndp(packet.bytes(), info) {
            return self.hand_to_owner(now_ms, iface, packet, info, None, out);
        }
        if info.fragment == Fragment::No {
            let bare = reassembly::take_header_off(&mut packet, info);
            return self.hand_to_owner(now_ms, iface, packet, bare.as_ref().unwrap_or(info), None, out);
        }
        let Some(key) = FragmentKey::of(packet.bytes(), info) else {
            return self.counters.discard(DropReason::FragmentInvalid);
        };
        let worker = snapshot.steering.gatherer(&key.words());
        if worker == self.worker {
            self.gather(now_ms, iface, packet, info, out);
        } else {
            out.steer(worker, iface, Steered::Fragment, packet);
        }
    }

    /// A fragment at the worker that gathers its datagram.
    pub(crate) fn gather(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        mut packet: B,
        info: &PacketInfo,
        out: &mut impl Ports<B>,
    ) {
        let net = &self.director.snapshot().net;
        if let Some(reason) = martian::fault(net, packet.bytes(), info) {
            return self.counters.discard(reason);
        }
        // IPv4 that passes through was routed before, each fragment of its own.
        let routed = info.family == Family::V4 && net.forwarding();
        if routed
            && net.own(info.dst(packet.bytes())).is_none()
            && let Err(refused) = self.way(&mut packet, info)
        {
            return self.settle(now_ms, refused, iface, packet, None, out);
        }
        let Self { reassembly, counters, .. } = self;
        let alloc = || out.alloc_large().inspect(|_| counters.generated.add(1));
        let accepted = reassembly.accept(now_ms, iface, packet, info, alloc, |released| match released {
            Released::Merged(_) => counters.merged.add(1),
            Released::Dropped(_, reason) => counters.discard(reason),
            Released::TimedOut { .. } => counters.discard(DropReason::FragmentTimeout),
        });
        self.count_held();
        match accepted {
            Accepted::AsItIs(packet) => self.hand_to_owner(now_ms, iface, packet, info, None, out),
            Accepted::Done(whole) => {
                self.hand_to_owner(now_ms, iface, whole.packet, &whole.info, Some(&whole.cuts), out)
            }
            Accepted::Held | Accepted::Refused(_) => {}
        }
    }

    /// Gives up the datagrams that have waited too long. Their senders are told, as far as their first fragment came: also
    /// those whose datagram was to pass through [ip_expire].
    pub(crate) fn give_up_fragments(&mut self, now_ms: u64, budget: usize, out: &mut impl Ports<B>) {
        let Self { reassembly, counters, director, link, .. } = self;
        let net = &director.snapshot().net;
        let done = reassembly.poll(now_ms, budget, |released| {
            counters.discard(DropReason::FragmentTimeout);
            let Released::TimedOut { mut packet, iface, time_exceeded: true } = released else { return };
            let Ok(Parsed::Ip(info)) = parse(packet.bytes()) else { return };
            if usize::from(iface.0) >= net.ifaces().len() {
                return;
            }
            if info.family == Family::V4 && net.own(info.dst(packet.bytes())).is_none() {
                // What is quoted has passed the hop that this host is.
                rewrite::decrement_ttl(packet.bytes_mut(), &info);
            }
            let (error, reason) = (IcmpError::ReassemblyTimeExceeded, DropReason::FragmentTimeout);
            if let Verdict::Answer(_) = link.refuse(net, &mut packet, &info, error, reason) {
                link.send_error(now_ms, net, iface, packet, out);
            }
        });
        if done > 0 {
            self.count_held();
        }
    }

    /// Lets go of all fragments: for a worker that stops.
    pub(crate) fn drop_fragments(&mut self) {
        let Self { reassembly, counters, .. } = self;
        reassembly.clear(DropReason::Shutdown, |_| counters.discard(DropReason::Shutdown));
    }

    /// Tells how many packets wait, for neighbours or for other fragments.
    pub(crate) fn count_held(&mut self) {
        self.link.fragments = self.reassembly.fragments();
        self.link.count_held();
    }
}

/// A short packet in a buffer of the usual size. None if there is no such buffer, or it has no room.
pub(crate) fn in_usual_buffer<B: PacketBuf>(packet: &B, out: &mut impl Ports<B>) -> Option<B> {
    let mut copy = out.alloc()?;
    copy.append(packet.bytes().len()).ok()?;
    copy.bytes_mut().copy_from_slice(packet.bytes());
    Some(copy)
}
