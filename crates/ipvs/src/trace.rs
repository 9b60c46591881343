//! Following packets on their way, for an operator who asks what becomes of them.
//!
//! While a trace is on, the steps of every packet are noted; kept are those of packets that the filter matches as they came or
//! as they left, so that a reply is seen too whose addresses were another's when it came. The room is given by whoever
//! starts the trace: a worker allocates nothing, and while none is on a step costs one comparison.

use core::net::IpAddr;

pub use conntab::Direction;
use inet::{IfaceId, NextHop};
use wire::PacketInfo;

use crate::protocol::State;
use crate::{DestId, Protocol, ServiceId, Verdict, WorkerId};

/// Steps of one packet that are noted; further ones are not.
const STEPS_MAX: usize = 24;
/// Steps that a worker holds between two collections.
const ROOM: usize = 4096;

/// Where netfilter would call the director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Addressed to this host.
    LocalIn,
    /// Passing through.
    Forward,
    /// Sent by the host, or an ICMP error made here.
    LocalOut,
}

impl Hook {
    /// Netfilter's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalIn => "LOCAL_IN",
            Self::Forward => "FORWARD",
            Self::LocalOut => "LOCAL_OUT",
        }
    }
}

/// A packet's headers as a trace shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Source address and port; 0 where there are no ports.
    pub src: (IpAddr, u16),
    /// Destination address and port.
    pub dst: (IpAddr, u16),
    /// IANA protocol number.
    pub protocol: u8,
    /// TCP flags, 0 for other protocols.
    pub tcp_flags: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Bytes of the IP packet.
    pub bytes: u16,
}

impl Headers {
    /// Those of the packet that `info` was parsed from.
    pub fn of(frame: &[u8], info: &PacketInfo) -> Self {
        Self {
            src: (info.src(frame), info.sport),
            dst: (info.dst(frame), info.dport),
            protocol: info.protocol,
            tcp_flags: info.tcp_flags,
            ttl: info.ttl,
            bytes: info.ip_len() as u16,
        }
    }
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A link.
    Link,
    /// Another worker, which does not own its flow.
    Worker,
    /// This host.
    Host,
}

/// One step of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It came, on this interface.
    Came {
        /// From where.
        origin: Origin,
        /// The interface that it came by first.
        iface: IfaceId,
        /// As it was.
        headers: Headers,
    },
    /// A rule gave it a mark.
    Marked(u32),
    /// Another worker owns its flow: it goes there.
    Steered(WorkerId),
    /// It is at a hook.
    At(Hook),
    /// It belongs to a connection, or is an ICMP error about one.
    Connection {
        /// The way that it goes.
        direction: Direction,
        /// The destination that the connection is bound to.
        dest: DestId,
    },
    /// A destination was chosen for a new connection.
    Scheduled {
        /// Of this service.
        service: ServiceId,
        /// The choice; none if there is none to give.
        dest: Option<DestId>,
    },
    /// It moved its connection's state, or left it as it was.
    State {
        /// What the states are of.
        protocol: Protocol,
        /// Before.
        from: State,
        /// After.
        to: State,
    },
    /// What is to become of it.
    Decided(Verdict),
    /// It leaves for this next hop: at once, or when that has answered.
    Leaves {
        /// Where to.
        hop: NextHop,
        /// As it is now.
        headers: Headers,
    },
}

/// Which packets are kept; every part that is given has to match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// IANA protocol number.
    pub protocol: Option<u8>,
    /// Source or destination lies in this prefix.
    pub host: Option<(IpAddr, u8)>,
    /// Source or destination port.
    pub port: Option<u16>,
}

impl Filter {
    fn matches(&self, headers: &Headers) -> bool {
        let ends = [headers.src, headers.dst];
        self.protocol.is_none_or(|protocol| protocol == headers.protocol)
            && self.host.is_none_or(|prefix| ends.iter().any(|end| holds(prefix, end.0)))
            && self.port.is_none_or(|port| ends.iter().any(|end| end.1 == port))
    }
}

fn holds((net, len): (IpAddr, u8), addr: IpAddr) -> bool {
    match (net, addr) {
        (IpAddr::V4(net), IpAddr::V4(addr)) => {
            let differ = net.to_bits() ^ addr.to_bits();
            differ.checked_shr(32_u32.saturating_sub(len.into())).unwrap_or(0) == 0
        }
        (IpAddr::V6(net), IpAddr::V6(addr)) => {
            let differ = net.to_bits() ^ addr.to_bits();
            differ.checked_shr(128_u32.saturating_sub(len.into())).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Room for a trace at one worker, and what was kept.
#[derive(Debug)]
pub struct Buffer {
    filter: Filter,
    /// Packets that are still to be kept.
    left: u32,
    /// Steps in the order of time; a packet's begin with [`Step::Came`].
    steps: Vec<Step>,
    /// Packets that would have been kept, had there been room.
    lost: u64,
}

impl Buffer {
    /// Empty, for at most so many packets.
    pub fn new(filter: Filter, packets: u32) -> Box<Self> {
        Box::new(Self { filter, left: packets, steps: Vec::with_capacity(ROOM), lost: 0 })
    }

    /// What was kept: packets one after the other, each beginning with [`Step::Came`].
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Packets that there was no room for.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// One worker's eye on its packets.
#[derive(Debug, Default)]
pub struct Tracer {
    buffer: Option<Box<Buffer>>,
    /// The packet that is on its way now.
    steps: [Option<Step>; STEPS_MAX],
    len: usize,
}

impl Tracer {
    /// Goes on with another buffer, or ends the trace; what was kept until now.
    pub fn swap(&mut self, buffer: Option<Box<Buffer>>) -> Option<Box<Buffer>> {
        self.len = 0;
        core::mem::replace(&mut self.buffer, buffer)
    }

    /// Whether steps are noted.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.buffer.is_some()
    }

    /// A packet comes.
    #[inline]
    pub fn came(&mut self, origin: Origin, iface: IfaceId, frame: &[u8], info: &PacketInfo) {
        if self.is_on() {
            self.len = 0;
            self.note(Step::Came { origin, iface, headers: Headers::of(frame, info) });
        }
    }

    /// The packet that came last has got so far.
    #[inline]
    pub fn step(&mut self, step: Step) {
        if self.is_on() && self.len > 0 {
            self.note(step);
        }
    }

    /// The packet's way is at its end here.
    #[inline]
    pub fn ends(&mut self) {
        if self.is_on() && self.len > 0 {
            self.keep();
        }
    }

    #[cold]
    fn note(&mut self, step: Step) {
        if let Some(place) = self.steps.get_mut(self.len) {
            *place = Some(step);
            self.len += 1;
        }
    }

    #[cold]
    fn keep(&mut self) {
        let steps = &self.steps[..core::mem::take(&mut self.len)];
        let Some(buffer) = self.buffer.as_deref_mut().filter(|buffer| buffer.left > 0) else { return };
        let matches = |step: &Step| match step {
            Step::Came { headers, .. } | Step::Leaves { headers, .. } => buffer.filter.matches(headers),
            _ => false,
        };
        if !steps.iter().flatten().any(matches) {
            return;
        }
        if buffer.steps.capacity() - buffer.steps.len() < steps.len() {
            buffer.lost += 1;
            return;
        }
        buffer.steps.extend(steps.iter().flatten());
        buffer.left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inet::DropReason;
    use wire::testing::{Frame, info};

    fn packet(src: &str, dst: &str, dport: u16) -> Vec<u8> {
        Frame::new(src.parse().unwrap(), dst.parse().unwrap()).tcp(4000, dport, 2).build()
    }

    fn pass(tracer: &mut Tracer, frame: &[u8]) {
        tracer.came(Origin::Link, IfaceId(1), frame, &info(frame));
        tracer.step(Step::At(Hook::LocalIn));
        tracer.step(Step::Decided(Verdict::Drop(DropReason::NoRoute)));
        tracer.ends();
    }

    #[test]
    fn filters_match_either_end() {
        let kept = |filter: Filter, frame: &[u8]| filter.matches(&Headers::of(frame, &info(frame)));
        let v4 = packet("198.51.100.7", "192.0.2.100", 80);
        let v6 = packet("2001:db8:c::7", "2001:db8:1::100", 80);
        let host = |text: &str, len| Filter { host: Some((text.parse().unwrap(), len)), ..Filter::default() };
        let table = [
            (Filter::default(), true, true),
            (host("198.51.100.7", 32), true, false),
            (host("198.51.100.8", 32), false, false),
            (host("198.51.100.8", 24), true, false),
            (host("192.0.2.100", 32), true, false),
            (host("0.0.0.0", 0), true, false),
            (host("2001:db8:c::", 64), false, true),
            (host("::", 0), false, true),
            (Filter { port: Some(80), ..Filter::default() }, true, true),
            (Filter { port: Some(4000), ..Filter::default() }, true, true),
            (Filter { port: Some(81), ..Filter::default() }, false, false),
            (Filter { protocol: Some(6), ..Filter::default() }, true, true),
            (Filter { protocol: Some(17), ..Filter::default() }, false, false),
            (Filter { port: Some(80), ..host("198.51.100.8", 32) }, false, false),
        ];
        for (filter, in_v4, in_v6) in table {
            assert_eq!((kept(filter, &v4), kept(filter, &v6)), (in_v4, in_v6), "{filter:?}");
        }
    }

    #[test]
    fn whole_packets_are_kept_as_many_as_were_asked_for() {
        let mut tracer = Tracer::default();
        let frame = packet("198.51.100.7", "192.0.2.100", 80);
        pass(&mut tracer, &frame);
        assert!(tracer.swap(Some(Buffer::new(Filter::default(), 2))).is_none(), "it was off");
        (0..3).for_each(|_| pass(&mut tracer, &frame));
        let kept = tracer.swap(None).expect("a buffer");
        assert_eq!((kept.steps().len(), kept.lost()), (6, 0));
        let headers = Headers::of(&frame, &info(&frame));
        assert_eq!(kept.steps()[0], Step::Came { origin: Origin::Link, iface: IfaceId(1), headers });
        assert_eq!(kept.steps()[3], kept.steps()[0]);
        assert!(!tracer.is_on());
    }

    #[test]
    fn a_packet_is_kept_for_how_it_leaves() {
        let mut tracer = Tracer::default();
        let filter = Filter { host: Some(("198.51.100.7".parse().unwrap(), 32)), ..Filter::default() };
        tracer.swap(Some(Buffer::new(filter, 9)));
        let (came, left) = (packet("10.0.2.11", "10.0.2.200", 80), packet("192.0.2.100", "198.51.100.7", 80));
        pass(&mut tracer, &came);
        tracer.came(Origin::Link, IfaceId(0), &came, &info(&came));
        let hop = NextHop { iface: IfaceId(0), addr: "192.0.2.254".parse().unwrap(), mtu: 1500 };
        tracer.step(Step::Leaves { hop, headers: Headers::of(&left, &info(&left)) });
        tracer.ends();
        assert_eq!(tracer.swap(None).expect("a buffer").steps().len(), 2, "the second only");
    }

    #[test]
    fn what_has_no_room_is_counted_and_nothing_is_allocated() {
        let mut tracer = Tracer::default();
        tracer.swap(Some(Buffer::new(Filter::default(), u32::MAX)));
        let frame = packet("198.51.100.7", "192.0.2.100", 80);
        let packets = ROOM as u64;
        (0..packets).for_each(|_| pass(&mut tracer, &frame));
        let kept = tracer.swap(None).expect("a buffer");
        assert!(kept.steps().len() <= kept.steps.capacity());
        assert_eq!(kept.steps().len() as u64 / 3 + kept.lost(), packets);
        assert!(kept.lost() > 0);
    }

    #[test]
    fn a_way_of_many_steps_is_cut() {
        let mut tracer = Tracer::default();
        tracer.swap(Some(Buffer::new(Filter::default(), 1)));
        let frame = packet("198.51.100.7", "192.0.2.100", 80);
        tracer.came(Origin::Host, IfaceId(1), &frame, &info(&frame));
        (0..100).for_each(|mark| tracer.step(Step::Marked(mark)));
        tracer.ends();
        assert_eq!(tracer.swap(None).expect("a buffer").steps().len(), STEPS_MAX);
    }
}
