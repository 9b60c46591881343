//! Where the director meets packets, and in which order its steps see them. Nothing else calls them.
//!
//! | hook | steps, in order |
//! | --- | --- |
//! | LOCAL_IN | output [ip_vs_out], then input [ip_vs_in]; ICMP: out_icmp, then in_icmp |
//! | LOCAL_OUT | output [ip_vs_out], then input [ip_vs_in]; ICMP: out_icmp, then in_icmp |
//! | FORWARD | forward_icmp [ip_vs_forward_icmp] at 99, then output [ip_vs_out] at 100 |
//! | POST_ROUTING | what a step handled has a verdict that ends the packet's way through the hooks: nothing else may change it |
//!
//! The order at LOCAL_IN is that of Linux 6.1: a reply is recognised before a request. Without any service there are no
//! hooks, as in Linux, where the first service registers them and the last one takes them away. There is no PRE_ROUTING
//! step in here: what comes before a packet is local or not (fragments, marks) decides its owner too, and is the pipeline's.
//!
//! LOCAL_OUT sees what the host sends through its exception port: replies of a service on the host itself, and what it asks
//! of services as a client; and errors that the director makes itself.
//!
//! Verdicts: [`Verdict::Accept`] lets the packet go on its way unchanged, [`Verdict::Stop`] says that it has been handled and goes
//! on by routing, [`Verdict::Tx`] and [`Verdict::ToHost`] that it is stolen: everything about it is decided.

use conntab::{Direction, Key4, Key6};
use inet::IfaceId;
use wire::{Family, Fragment, PacketBuf, PacketInfo, protocol};

use crate::connection::FlowKey;
use crate::director::{Core, Director};
use crate::trace::Step;
use crate::{Protocol, Snapshot, Verdict};

pub(crate) use crate::trace::Hook;

/// What a packet's steps go by.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) now_ms: u64,
    pub(crate) hook: Hook,
}

/// What a packet is to the director.
enum Kind {
    /// Of a protocol that is balanced, or that follows one that is.
    Balanced(Protocol),
    /// ICMP of the packet's family.
    Icmp,
    /// Neither.
    Other,
}

impl Kind {
    fn of(info: &PacketInfo) -> Self {
        if is_icmp(info) {
            return Self::Icmp;
        }
        Protocol::of(info).map_or(Self::Other, Self::Balanced)
    }
}

/// Whether fragments that only pass through are gathered, so that the hooks see the datagram: of IPv4 those whose protocol the
/// director knows and does not tell to leave alone [ip_vs_out, dont_defrag], of IPv6 all [nf_defrag_ipv6], as long as the
/// family has a service. Those to an address of this host always are.
pub fn gathers_passing(snapshot: &Snapshot, info: &PacketInfo) -> bool {
    snapshot.services.any_of(info.family)
        && match info.family {
            Family::V4 => is_icmp(info) || gathers(snapshot, info.protocol),
            Family::V6 => true,
        }
}

/// Whether the director needs a datagram of this protocol whole [dont_defrag].
fn gathers(snapshot: &Snapshot, number: u8) -> bool {
    match Protocol::from_number(number) {
        Some(Protocol::Tcp | Protocol::Udp | Protocol::Sctp) => true,
        // A later fragment does not tell whether it is of a call.
        Some(Protocol::Gre) => snapshot.services.expects_calls(),
        Some(Protocol::Ah | Protocol::Esp) | None => false,
    }
}

/// Whether a packet is ICMP of its family.
pub(crate) fn is_icmp(info: &PacketInfo) -> bool {
    match info.family {
        Family::V4 => info.protocol == protocol::ICMP,
        Family::V6 => info.protocol == protocol::ICMPV6,
    }
}

impl Director {
    /// LOCAL_IN: a packet for an address of this host. `info` is what parsing this frame gave; TTL and checksums are as
    /// they arrived.
    pub fn local_in<B: PacketBuf>(
        &mut self,
        now_ms: u64,
        packet: &mut B,
        info: &PacketInfo,
        _iface: IfaceId,
    ) -> Verdict {
        self.at(now_ms, Hook::LocalIn, packet, info)
    }

    /// FORWARD: a packet that passes through. It has a route, its TTL lets it go on and it fits the route's MTU; after
    /// [`Verdict::Accept`] and [`Verdict::Stop`] the caller decrements the TTL and sends it.
    pub fn forward<B: PacketBuf>(
        &mut self,
        now_ms: u64,
        packet: &mut B,
        info: &PacketInfo,
        _iface: IfaceId,
    ) -> Verdict {
        self.at(now_ms, Hook::Forward, packet, info)
    }

    /// LOCAL_OUT: a packet that the host sends, or an ICMP error that was made here about a packet as it left the director.
    pub fn local_out<B: PacketBuf>(&mut self, now_ms: u64, packet: &mut B, info: &PacketInfo) -> Verdict {
        self.at(now_ms, Hook::LocalOut, packet, info)
    }

    /// Whether a packet that passes through is a destination's reply, or an ICMP error about a connection: what goes on even
    /// where nothing else is forwarded.
    pub fn concerns(&self, frame: &[u8], info: &PacketInfo) -> bool {
        match info.family {
            Family::V4 => self.core.concerns::<Key4>(frame, info),
            Family::V6 => self.core.concerns::<Key6>(frame, info),
        }
    }

    fn at<B: PacketBuf>(&mut self, now_ms: u64, hook: Hook, packet: &mut B, info: &PacketInfo) -> Verdict {
        self.core.tracer.step(Step::At(hook));
        if self.snapshot.services.is_empty() {
            return Verdict::Accept;
        }
        let context = Context { snapshot: &self.snapshot, now_ms, hook };
        match info.family {
            Family::V4 => self.core.hook::<Key4, B>(&context, packet, info),
            Family::V6 => self.core.hook::<Key6, B>(&context, packet, info),
        }
    }
}

impl Core {
    fn concerns<K: FlowKey>(&self, frame: &[u8], info: &PacketInfo) -> bool {
        match Kind::of(info) {
            Kind::Balanced(_) => {
                K::table(&self.tables).lookup_in(&K::of(frame, info), Direction::Reply).is_some()
            }
            Kind::Icmp => self.quotes_connection::<K>(frame, info),
            Kind::Other => false,
        }
    }

    fn hook<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
    ) -> Verdict {
        let idle = context.snapshot.settings.is_idle();
        match (context.hook, Kind::of(info)) {
            (_, Kind::Other) => Verdict::Accept,
            // Fragments were gathered before, all but those that cannot be. Such a one that lacks its ports is nobody's.
            (_, Kind::Balanced(protocol))
                if info.fragment == Fragment::Later && !protocol.goes_by_address() =>
            {
                Verdict::Accept
            }
            // What the host itself cuts is not gathered.
            (Hook::LocalOut, Kind::Balanced(_)) if info.fragment != Fragment::No => Verdict::Accept,
            (Hook::LocalIn | Hook::LocalOut, Kind::Balanced(protocol)) => {
                let key = K::of(packet.bytes(), info);
                match self.find(&key) {
                    Some((id, Direction::Reply)) => self.output::<K, B>(context, packet, info, id),
                    Some((id, Direction::Original)) if !idle => self.input::<K, B>(context, packet, info, id),
                    Some(_) => Verdict::Accept,
                    None if context.hook == Hook::LocalOut && self.overhear(context, info, &key) => {
                        Verdict::Accept
                    }
                    None => match self.begun_by_server(context, packet.bytes(), info, &key) {
                        Some(begun) => self.output_of::<K, B>(context, packet, info, begun),
                        None => match self.stray(context, packet, info, protocol) {
                            Some(verdict) => verdict,
                            None if idle => Verdict::Accept,
                            None => self.schedule(context, packet, info, &key, protocol),
                        },
                    },
                }
            }
            (Hook::LocalIn | Hook::LocalOut, Kind::Icmp) => self
                .out_icmp::<K, B>(context, packet, info)
                .or_else(|| if idle { None } else { self.in_icmp::<K, B>(context, packet, info) })
                .unwrap_or(Verdict::Accept),
            (Hook::Forward, Kind::Icmp) => (!idle)
                .then(|| self.in_icmp::<K, B>(context, packet, info))
                .flatten()
                .or_else(|| self.out_icmp::<K, B>(context, packet, info))
                .unwrap_or(Verdict::Accept),
            (Hook::Forward, Kind::Balanced(protocol)) => {
                let key = K::of(packet.bytes(), info);
                match K::table(&self.tables).lookup_in(&key, Direction::Reply) {
                    Some(id) => self.output::<K, B>(context, packet, info, id),
                    None => match self.begun_by_server(context, packet.bytes(), info, &key) {
                        Some(begun) => self.output_of::<K, B>(context, packet, info, begun),
                        None if self.overhear(context, info, &key) => Verdict::Accept,
                        None => self.stray(context, packet, info, protocol).unwrap_or(Verdict::Accept),
                    },
                }
            }
        }
    }
}
