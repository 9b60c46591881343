//! Neighbours: the hardware address behind each next hop (ARP, RFC 826; Neighbour Discovery, RFC 4861).
//!
//! One worker's table, bounded in entries and in packets that wait. States and constants are those of RFC 4861
//! section 7.3 and 10, for IPv4 too, as in Linux; with two differences. There is no DELAY: what it waits for,
//! confirmations from the upper layer, a director of half a connection does not see, so a stale neighbour in use is
//! probed at once, while packets keep going to its last known hardware address. And FAILED lasts a while: until then
//! packets to a dead next hop fail at once instead of each starting another resolution.
//!
//! Invariant: every entry but the permanent ones has a timer armed, and a packet is in exactly one queue.

mod held;
mod snapshot;
mod state;

use core::net::IpAddr;

use hashbrown::HashMap;
use wire::PacketBuf;
use wire::ether::MacAddr;
use wire::ndp::multicast_mac;

use crate::drop::DropReason;
use crate::iface::{IfaceId, PortIndex};
use crate::net::StaticNeighbour;
use crate::route::NextHop;
use crate::timers::Timers;
use held::{Held, Queue};
pub use state::{Confirm, NeighState};

/// RFC 4861 section 10: RETRANS_TIMER.
pub const RETRANSMIT_MS: u64 = 1_000;
/// RFC 4861 section 10: MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT.
pub const MAX_PROBES: u8 = 3;
/// RFC 4861 section 10: REACHABLE_TIME, of which 0.5 to 1.5 is drawn for each confirmation.
pub const REACHABLE_MS: u64 = 30_000;
/// How long a stale neighbour stays without use (Linux: gc_stale_time).
pub const STALE_UNUSED_MS: u64 = 60_000;
/// How long packets to a neighbour that did not answer are refused.
pub const FAILED_MS: u64 = 1_000;
/// Entries looked at for one to evict when the table is full.
const EVICT_SCAN: usize = 16;

/// Bounds of one worker's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighLimits {
    /// Entries, static ones included.
    pub entries: usize,
    /// Packets that wait for one neighbour (Linux: unres_qlen).
    pub held_per_entry: usize,
    /// Packets that wait in all.
    pub held: usize,
}

impl Default for NeighLimits {
    fn default() -> Self {
        Self { entries: 4096, held_per_entry: 101, held: 1024 }
    }
}

/// What [`Neighbours::resolve`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Send it there.
    Mac(MacAddr),
    /// Not known: [`Neighbours::hold`] the packet.
    Unresolved,
}

/// A question to put on the wire: [`crate::arp_nd::write_probe`] makes the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where to ask.
    pub iface: IfaceId,
    /// Whose hardware address is asked for.
    pub target: IpAddr,
    /// To ask the last known holder alone; none: everyone.
    pub unicast: Option<MacAddr>,
}

/// What [`Neighbours::poll`] wants done.
#[derive(Debug)]
pub enum NeighEvent<B> {
    /// Ask.
    Probe(Probe),
    /// Drop this packet, which waited, for this reason. Of [`DropReason::NeighbourUnreachable`] its sender should hear by
    /// ICMP host unreachable, as from Linux.
    Failed(B, DropReason),
}

/// A neighbour's hardware address as one worker learned it, to be told to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Where it is.
    pub iface: IfaceId,
    /// Its address.
    pub addr: IpAddr,
    /// Its hardware address.
    pub mac: MacAddr,
    /// How it was learned.
    pub confirm: Confirm,
}

/// What [`Neighbours::learn`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// A known hardware address was replaced by another one.
    pub changed: bool,
    /// Packets wait that can now be sent: [`Neighbours::take_held`].
    pub waiting: bool,
}

/// One neighbour, for listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourView {
    /// Where it is.
    pub iface: IfaceId,
    /// Its address.
    pub addr: IpAddr,
    /// Its hardware address, if known.
    pub mac: Option<MacAddr>,
    /// Its state.
    pub state: NeighState,
    /// Since it was last confirmed (never confirmed: since it was made).
    pub age_ms: u64,
    /// Packets that wait for it.
    pub held: usize,
}

#[derive(Debug)]
struct Entry {
    iface: IfaceId,
    addr: IpAddr,
    /// The last known hardware address; meaningless in states that have none.
    mac: MacAddr,
    state: NeighState,
    probes: u8,
    confirmed_ms: u64,
    used_ms: u64,
    queue: Queue,
}

/// One worker's neighbours; `B` is what waits for them.
#[derive(Debug)]
pub struct Neighbours<B> {
    limits: NeighLimits,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashMap<(IfaceId, IpAddr), u32>,
    timers: Timers,
    held: Held<B>,
    /// Packets whose next hop did not answer: `poll` hands them out.
    failed: Queue,
    /// Which traffic each interface id stood for at the last `apply`.
    ifaces: Vec<(PortIndex, Option<u16>)>,
    /// The static neighbours of that `apply`, as far as there was room.
    given: Vec<StaticNeighbour>,
    evict_at: usize,
    random: u64,
}

impl<B: PacketBuf> Neighbours<B> {
    /// An empty table; everything that it will ever need is allocated here. `seed` feeds the timers' jitter.
    pub fn new(limits: NeighLimits, seed: u64) -> Self {
        let entries = limits.entries.clamp(1, 1 << 24);
        let limits = NeighLimits { entries, ..limits };
        Self {
            limits,
            slots: (0..entries).map(|_| None).collect(),
            free: (0..entries as u32).rev().collect(),
            // More than twice the room: a map that stays below half full is tidied in place, and never grows, when removals
            // have left marks.
            index: HashMap::with_capacity(entries * 2 + 2),
            timers: Timers::new(entries),
            held: Held::new(limits.held.min(1 << 24)),
            failed: Queue::default(),
            ifaces: Vec::new(),
            given: Vec::new(),
            evict_at: 0,
            random: seed,
        }
    }

    /// The hardware address for packets to `hop`. Marks the neighbour as in use: a stale one will be probed.
    pub fn resolve(&mut self, now_ms: u64, hop: &NextHop) -> Resolution {
        let Some(&id) = self.index.get(&(hop.iface, hop.addr)) else {
            return group_mac(hop.addr).map_or(Resolution::Unresolved, Resolution::Mac);
        };
        let entry = entry(&mut self.slots, id);
        entry.used_ms = now_ms;
        match entry.state {
            NeighState::Incomplete | NeighState::Failed => return Resolution::Unresolved,
            NeighState::Stale => {
                entry.state = NeighState::Probe;
                entry.probes = 0;
                self.timers.set(id, now_ms);
            }
            NeighState::Reachable | NeighState::Probe | NeighState::Permanent => {}
        }
        Resolution::Mac(entry.mac)
    }

    /// Keeps `packet` until `hop` is resolved; the first one starts the resolution, and `poll` emits its probe.
    ///
    /// Packets to a neighbour that failed are kept too, for `poll` to hand out at once: their senders should hear of it. Of
    /// them there are as many as may wait for one neighbour.
    ///
    /// When it fails, the packet to drop comes back with the reason. That is the oldest one that waited for this
    /// neighbour if its queue is full (RFC 4861 section 7.2.2: new packets replace the oldest), else `packet`.
    pub fn hold(&mut self, now_ms: u64, hop: &NextHop, packet: B) -> Result<(), (B, DropReason)> {
        let id = match self.index.get(&(hop.iface, hop.addr)) {
            Some(&id) => id,
            None => match self.insert(now_ms, hop.iface, hop.addr) {
                Some(id) => id,
                None => return Err((packet, DropReason::NeighbourTableFull)),
            },
        };
        let entry = entry(&mut self.slots, id);
        entry.used_ms = now_ms;
        if entry.state == NeighState::Failed {
            let unreachable = |packet| (packet, DropReason::NeighbourUnreachable);
            if self.failed.len() >= self.limits.held_per_entry {
                return Err(unreachable(packet));
            }
            return self.held.push(&mut self.failed, packet).map_err(unreachable);
        }
        let full = entry.queue.len() >= self.limits.held_per_entry || self.held.is_full();
        let replaced = if full { self.held.pop(&mut entry.queue) } else { None };
        match (self.held.push(&mut entry.queue, packet), replaced) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(oldest)) => Err((oldest, DropReason::NeighbourQueueFull)),
            (Err(packet), _) => Err((packet, DropReason::NeighbourQueueFull)),
        }
    }

    /// Notes what a message, or another worker, said about a neighbour. The caller has checked that `addr` can be a
    /// neighbour on `iface`. Static neighbours never change.
    pub fn learn(
        &mut self,
        now_ms: u64,
        iface: IfaceId,
        addr: IpAddr,
        mac: MacAddr,
        confirm: Confirm,
    ) -> Update {
        let known = self.index.get(&(iface, addr)).copied();
        let id = match known {
            Some(id) => id,
            None if !confirm.creates() => return Update::default(),
            None => match self.insert(now_ms, iface, addr) {
                Some(id) => id,
                None => return Update::default(),
            },
        };
        let entry = entry(&mut self.slots, id);
        let had = entry.state.has_mac().then_some(entry.mac);
        let Some(next) = state::on_heard(entry.state, had == Some(mac), confirm) else {
            return Update::default();
        };
        let changed = next.takes_mac && had.is_some_and(|had| had != mac);
        if next.takes_mac {
            entry.mac = mac;
        }
        if entry.state != next.state || next.state == NeighState::Reachable {
            self.enter(now_ms, id, next.state);
        }
        Update { changed, waiting: self.held_for(id) > 0 }
    }

    /// The upper layer saw the neighbour answer: it is reachable for another while.
    pub fn confirm(&mut self, now_ms: u64, iface: IfaceId, addr: IpAddr) {
        if let Some(&id) = self.index.get(&(iface, addr)) {
            let state = entry(&mut self.slots, id).state;
            if state.has_mac() && state != NeighState::Permanent {
                self.enter(now_ms, id, NeighState::Reachable);
            }
        }
    }

    /// The last known hardware address, without marking the neighbour as in use.
    pub fn known_mac(&self, iface: IfaceId, addr: IpAddr) -> Option<MacAddr> {
        let id = *self.index.get(&(iface, addr))?;
        self.slots[id as usize].as_ref().filter(|entry| entry.state.has_mac()).map(|entry| entry.mac)
    }

    /// The oldest packet that waited for this neighbour, once its hardware address is known.
    pub fn take_held(&mut self, iface: IfaceId, addr: IpAddr) -> Option<B> {
        let id = *self.index.get(&(iface, addr))?;
        let entry = entry(&mut self.slots, id);
        if !entry.state.has_mac() {
            return None;
        }
        self.held.pop(&mut entry.queue)
    }

    /// The next thing to do, if any is due. Each one, and each timer that leads to nothing outside, takes one off `budget`.
    /// Timers come first, since of packets that fail there may be more every turn.
    pub fn poll(&mut self, now_ms: u64, budget: &mut usize) -> Option<NeighEvent<B>> {
        while *budget > 0
            && let Some(id) = self.timers.due(now_ms)
        {
            *budget -= 1;
            if let Some(probe) = self.on_timer(now_ms, id) {
                return Some(NeighEvent::Probe(probe));
            }
        }
        let packet = if *budget > 0 { self.held.pop(&mut self.failed) } else { None }?;
        *budget -= 1;
        Some(NeighEvent::Failed(packet, DropReason::NeighbourUnreachable))
    }

    /// When `poll` next has something to do, for a worker that wants to sleep.
    pub fn next_ms(&self) -> Option<u64> {
        if self.failed.len() > 0 { Some(0) } else { self.timers.next_ms() }
    }

    /// Forgets what was learned on one interface, or on all; what waits is dropped, static neighbours stay.
    pub fn flush(&mut self, iface: Option<IfaceId>) {
        let learned = |entry: &Entry| entry.state != NeighState::Permanent;
        let wanted = |entry: &Entry| learned(entry) && iface.is_none_or(|iface| iface == entry.iface);
        for id in 0..self.slots.len() as u32 {
            if self.slots[id as usize].as_ref().is_some_and(wanted) {
                self.remove(id);
            }
        }
    }

    /// Every packet that waits, one a call, for a worker that stops.
    pub fn drain(&mut self) -> Option<B> {
        self.flush(None);
        for entry in self.slots.iter_mut().flatten() {
            self.held.splice(&mut self.failed, &mut entry.queue);
        }
        self.held.pop(&mut self.failed)
    }

    /// All neighbours, in no order.
    pub fn iter(&self, now_ms: u64) -> impl Iterator<Item = NeighbourView> + '_ {
        self.slots.iter().flatten().map(move |entry| NeighbourView {
            iface: entry.iface,
            addr: entry.addr,
            mac: entry.state.has_mac().then_some(entry.mac),
            state: entry.state,
            age_ms: now_ms.saturating_sub(entry.confirmed_ms),
            held: entry.queue.len(),
        })
    }

    /// Entries in the table.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Packets that wait in all, those to be dropped included.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn held_for(&self, id: u32) -> usize {
        self.slots[id as usize].as_ref().map_or(0, |entry| entry.queue.len())
    }

    /// A new incomplete entry whose first probe is due now.
    fn insert(&mut self, now_ms: u64, iface: IfaceId, addr: IpAddr) -> Option<u32> {
        if self.free.is_empty() {
            self.evict(now_ms);
        }
        let id = self.free.pop()?;
        self.slots[id as usize] = Some(Entry {
            iface,
            addr,
            mac: MacAddr([0; 6]),
            state: NeighState::Incomplete,
            probes: 0,
            confirmed_ms: now_ms,
            used_ms: now_ms,
            queue: Queue::default(),
        });
        self.index.insert((iface, addr), id);
        self.timers.set(id, now_ms);
        Some(id)
    }

    /// Removes one failed or unused stale entry, if one of the next few is. Bounded work: a scan of a whole prefix by an
    /// outsider makes the table full at every packet.
    fn evict(&mut self, now_ms: u64) {
        for _ in 0..EVICT_SCAN.min(self.slots.len()) {
            let at = self.evict_at;
            self.evict_at = (at + 1) % self.slots.len();
            let idle = |entry: &Entry| match entry.state {
                NeighState::Failed => true,
                NeighState::Stale => now_ms.saturating_sub(entry.used_ms) >= RETRANSMIT_MS,
                _ => false,
            };
            if self.slots[at].as_ref().is_some_and(idle) {
                self.remove(at as u32);
                return;
            }
        }
    }

    fn remove(&mut self, id: u32) {
        if let Some(mut entry) = self.slots[id as usize].take() {
            self.held.splice(&mut self.failed, &mut entry.queue);
            self.index.remove(&(entry.iface, entry.addr));
            self.timers.clear(id);
            self.free.push(id);
        }
    }

    /// Puts an entry into a state and arms the state's timer.
    fn enter(&mut self, now_ms: u64, id: u32, state: NeighState) {
        let jittered = REACHABLE_MS / 2 + self.next_random() % REACHABLE_MS;
        let entry = entry(&mut self.slots, id);
        entry.state = state;
        entry.probes = 0;
        let due_ms = match state {
            NeighState::Reachable => {
                entry.confirmed_ms = now_ms;
                now_ms + jittered
            }
            NeighState::Stale => now_ms + STALE_UNUSED_MS,
            NeighState::Incomplete | NeighState::Probe => now_ms,
            NeighState::Failed => now_ms + FAILED_MS,
            NeighState::Permanent => return self.timers.clear(id),
        };
        self.timers.set(id, due_ms);
    }

    /// One entry's timer has come.
    fn on_timer(&mut self, now_ms: u64, id: u32) -> Option<Probe> {
        let entry = entry(&mut self.slots, id);
        match entry.state {
            NeighState::Incomplete | NeighState::Probe if entry.probes < MAX_PROBES => {
                entry.probes += 1;
                self.timers.set(id, now_ms + RETRANSMIT_MS);
                let unicast = (entry.state == NeighState::Probe).then_some(entry.mac);
                return Some(Probe { iface: entry.iface, target: entry.addr, unicast });
            }
            NeighState::Incomplete | NeighState::Probe => {
                self.held.splice(&mut self.failed, &mut entry.queue);
                self.enter(now_ms, id, NeighState::Failed);
            }
            NeighState::Reachable => {
                entry.state = NeighState::Stale;
                self.timers.set(id, now_ms + STALE_UNUSED_MS);
            }
            NeighState::Stale | NeighState::Failed => self.remove(id),
            NeighState::Permanent => self.timers.clear(id),
        }
        None
    }

    /// splitmix64: jitter needs to be spread, not secret.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The entry of an id taken from the index or the timers.
fn entry(slots: &mut [Option<Entry>], id: u32) -> &mut Entry {
    slots[id as usize].as_mut().expect("an indexed or timed slot is taken")
}

/// The hardware address of a group: IPv4 limited broadcast, IPv4 multicast (RFC 1112 6.4), IPv6 multicast.
fn group_mac(addr: IpAddr) -> Option<MacAddr> {
    match addr {
        IpAddr::V4(v4) if v4.is_broadcast() => Some(MacAddr([0xff; 6])),
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            Some(MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(v6) if v6.is_multicast() => Some(multicast_mac(&v6)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
