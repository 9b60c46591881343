//! Which worker owns a packet's connection: a pure function of packet and configuration.
//!
//! A *slot* (one of 256) comes from the client, by a keyed hash of its endpoint or of its masked address; a map says
//! which worker owns a slot. Both directions of a connection, and ICMP errors about either, lead to the same slot:
//!
//! | packet | slot from |
//! | --- | --- |
//! | to a local address (FULLNAT reply) | low byte of the local port, which was chosen to be the slot |
//! | to a service | the client: its endpoint, or by the NAT rule if the service has a masquerade destination |
//! | reply of a masquerade destination | the client, by the NAT rule: a reply does not name its service |
//! | ICMP error | the packet that it quotes, reversed |
//!
//! The NAT rule is one for all services. Later fragments carry no ports and have no owner here; they stay where they are.

use core::net::{IpAddr, Ipv4Addr};

use wire::{Fragment, PacketInfo, parse};

use crate::siphash::siphash13;
use crate::{Protocol, Snapshot, WorkerId};

/// Number of slots: a slot is a byte, so that a port can carry it.
pub const SLOTS: usize = 256;

/// A share of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub u8);

/// The rule for connections whose replies only name the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatSteering {
    /// By the client's address under a prefix: all connections of a client (or of its network) at one worker.
    Address {
        /// Bits of an IPv4 address that count, at most 32.
        v4_prefix: u8,
        /// Bits of an IPv6 address that count, at most 128.
        v6_prefix: u8,
    },
    /// By the client's address and port.
    Endpoint,
}

/// How connections are divided among workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering {
    workers: u16,
    key: [u8; 16],
    slot_map: Box<[WorkerId; SLOTS]>,
    by_worker: Box<[Box<[Slot]>]>,
    nat: NatSteering,
}

impl Steering {
    /// Slots in turn to `workers` workers, of which there must be 1 to 256. The key is to be random, and the same as long
    /// as connections live.
    pub fn new(workers: u16, key: [u8; 16], nat: NatSteering) -> Self {
        assert!((1..=SLOTS as u16).contains(&workers), "{workers} workers; there must be 1 to {SLOTS}");
        let slot_map = Box::new(core::array::from_fn(|slot| WorkerId(slot as u16 % workers)));
        let of =
            |worker| (0..=u8::MAX).map(Slot).filter(|slot| u16::from(slot.0) % workers == worker).collect();
        let by_worker = (0..workers).map(of).collect();
        Self { workers, key, slot_map, by_worker, nat }
    }

    /// Number of workers.
    pub fn workers(&self) -> u16 {
        self.workers
    }

    /// The rule for masquerade destinations.
    pub fn nat(&self) -> NatSteering {
        self.nat
    }

    /// The worker that owns a slot.
    pub fn owner_of(&self, slot: Slot) -> WorkerId {
        self.slot_map[usize::from(slot.0)]
    }

    /// The slots that a worker owns; none if there is no such worker.
    pub fn slots(&self, worker: WorkerId) -> &[Slot] {
        self.by_worker.get(usize::from(worker.0)).map_or(&[], |slots| slots)
    }

    /// The slot of a client's connections to a service. `masquerades` says whether the service has a masquerade
    /// destination.
    pub fn client_slot(&self, addr: IpAddr, port: u16, masquerades: bool) -> Slot {
        match self.nat {
            NatSteering::Address { v4_prefix, v6_prefix } if masquerades => {
                let masked = match addr {
                    IpAddr::V4(addr) => IpAddr::V4((addr.to_bits() & mask_v4(v4_prefix)).into()),
                    IpAddr::V6(addr) => IpAddr::V6((addr.to_bits() & mask_v6(v6_prefix)).into()),
                };
                self.hash(masked, 0)
            }
            _ => self.hash(addr, port),
        }
    }

    fn hash(&self, addr: IpAddr, port: u16) -> Slot {
        let mut bytes = [0; 18];
        let len = match addr {
            IpAddr::V4(addr) => {
                bytes[..4].copy_from_slice(&addr.octets());
                4
            }
            IpAddr::V6(addr) => {
                bytes[..16].copy_from_slice(&addr.octets());
                16
            }
        };
        bytes[len..len + 2].copy_from_slice(&port.to_be_bytes());
        Slot((siphash13(&self.key, &bytes[..len + 2]) >> 56) as u8)
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0)
}

/// The worker that owns the connection which this packet belongs to or could begin; `None` if any worker may handle
/// it. `frame` is the one that `info` was parsed from.
pub fn owner(snapshot: &Snapshot, frame: &[u8], info: &PacketInfo) -> Option<WorkerId> {
    slot(snapshot, frame, info).map(|slot| snapshot.steering.owner_of(slot))
}

/// The slot that decides the owner.
pub fn slot(snapshot: &Snapshot, frame: &[u8], info: &PacketInfo) -> Option<Slot> {
    match Flow::of(frame, info) {
        Some(flow) => flow_slot(snapshot, &flow),
        None => quoted_flow(frame, info).and_then(|flow| quoted_slot(snapshot, &flow)),
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    protocol: Protocol,
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
}

impl Flow {
    fn of(frame: &[u8], info: &PacketInfo) -> Option<Self> {
        let protocol = Protocol::from_number(info.protocol)?;
        if info.fragment == Fragment::Later {
            return None;
        }
        let (src, dst) = ((info.src(frame), info.sport), (info.dst(frame), info.dport));
        Some(Self { protocol, src, dst })
    }

    fn reversed(self) -> Self {
        Self { protocol: self.protocol, src: self.dst, dst: self.src }
    }
}

fn flow_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    local_slot(snapshot, flow).or_else(|| service_slot(snapshot, flow)).or_else(|| reply_slot(snapshot, flow))
}

/// To a FULLNAT local address.
fn local_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    let own = snapshot.net.own(flow.dst.0)?;
    (own.role == inet::AddressRole::Local).then_some(Slot(flow.dst.1 as u8))
}

/// From a client to a service.
fn service_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    let masquerades = snapshot.services.masquerades(flow.protocol, flow.dst.0, flow.dst.1)?;
    Some(snapshot.steering.client_slot(flow.src.0, flow.src.1, masquerades))
}

/// From a masquerade destination to a client. One that was removed still has its connections: so while there is any
/// masquerade destination, whatever passes through is taken for a reply.
fn reply_slot(snapshot: &Snapshot, flow: &Flow) -> Option<Slot> {
    let passes = || snapshot.services.any_masquerade() && snapshot.net.own(flow.dst.0).is_none();
    let reply = snapshot.services.is_real_server(flow.protocol, flow.src.0, flow.src.1) || passes();
    reply.then(|| snapshot.steering.client_slot(flow.dst.0, flow.dst.1, true))
}

/// The packet that an ICMP error is about, or the one inside it if that was a tunnel's.
fn quoted_flow(frame: &[u8], info: &PacketInfo) -> Option<Flow> {
    let quoted = parse::parse_quoted(frame, info)?;
    Flow::of(frame, &quoted.packet).or_else(|| {
        let packet = frame.get(usize::from(quoted.packet.l4)..usize::from(quoted.packet.end))?;
        tunnelled_flow(quoted.packet.protocol, packet)
    })
}

/// The flow of a packet inside an IP-in-IP header with this protocol number; four bytes behind its header suffice.
fn tunnelled_flow(outer_protocol: u8, packet: &[u8]) -> Option<Flow> {
    const IPV4_IN_IP: u8 = 4;
    const IPV6_IN_IP: u8 = 41;
    let (number, src, dst, l4): (u8, IpAddr, IpAddr, usize) = match outer_protocol {
        IPV4_IN_IP => {
            let header = packet.first_chunk::<20>()?;
            let address =
                |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]).into();
            (header[9], address(12), address(16), usize::from(header[0] & 15) * 4)
        }
        IPV6_IN_IP => {
            let (header, _) = packet.split_first_chunk::<40>()?;
            let address = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok();
            (header[6], address(&header[8..24])?, address(&header[24..40])?, 40)
        }
        _ => return None,
    };
    let ports = packet.get(l4..)?.first_chunk::<4>()?;
    let (sport, dport) = (u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]]));
    Some(Flow { protocol: Protocol::from_number(number)?, src: (src, sport), dst: (dst, dport) })
}

/// An error about a packet goes to whom its reply goes. What the director sends to a destination without a change (DR,
/// inside a tunnel) names the service as it stands.
fn quoted_slot(snapshot: &Snapshot, quoted: &Flow) -> Option<Slot> {
    let reply = quoted.reversed();
    local_slot(snapshot, &reply)
        .or_else(|| service_slot(snapshot, &reply))
        .or_else(|| service_slot(snapshot, quoted))
        .or_else(|| reply_slot(snapshot, &reply))
}
