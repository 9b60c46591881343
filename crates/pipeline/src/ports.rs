//! What a pipeline needs of the world: packets out, empty packets, word to its fellow workers.
//!
//! The data plane implements this over DPDK queues and rings; tests and replay implement it over vectors.
//! Every packet handed over belongs to the implementor, which counts what becomes of it.

use inet::reassembly::Cuts;
use inet::{News, PortIndex};
use ipvs::WorkerId;
use ipvs::sync::Record;
use wire::PacketBuf;

/// Why a packet goes to another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steered {
    /// That one owns its flow.
    Flow,
    /// The host sent it, and that one owns its flow.
    FromHost,
    /// It is a fragment, and that one gathers its datagram.
    Fragment,
    /// It was gathered from fragments that came like this, and that one owns its flow.
    Gathered(Cuts),
}

/// Where packets of one worker go.
pub trait Ports<B: PacketBuf> {
    /// An empty packet with the usual headroom, or none when the pool is exhausted.
    fn alloc(&mut self) -> Option<B>;

    /// An empty packet with room for a datagram of many fragments, or none when all are in use. There are few: none may be
    /// kept, and none may be sent on a port, whose driver might keep it.
    fn alloc_large(&mut self) -> Option<B>;

    /// Sends a complete frame on a port.
    fn tx(&mut self, port: PortIndex, packet: B);

    /// Gives a frame to the host's kernel, as if it had arrived there on that port.
    fn to_host(&mut self, port: PortIndex, packet: B);

    /// Whether the host's kernel has an interface on that port. Where it has none it gets no copies of what rvs takes in
    /// itself, and what is for it alone is dropped by [`Ports::to_host`].
    fn has_host(&self, port: PortIndex) -> bool;

    /// Hands a packet to another worker; `iface` is where it arrived or, from the host, where it was to leave; the VLAN tag is off.
    fn steer(&mut self, worker: WorkerId, iface: inet::IfaceId, why: Steered, packet: B);

    /// Tells the other workers what was learned.
    fn broadcast(&mut self, news: News);

    /// Tells the sync daemon of a connection. One that cannot take it loses it, counted.
    fn sync(&mut self, record: &Record);
}
