//! The neighbour table follows the configuration: static neighbours, interfaces that come, go and change their number.

use hashbrown::HashSet;
use wire::PacketBuf;

use super::{Entry, NeighState, Neighbours, entry};
use crate::iface::IfaceId;
use crate::net::{Net, StaticNeighbour};

impl<B: PacketBuf> Neighbours<B> {
    /// Takes over a new snapshot: static neighbours come and go, entries follow their interface to its new id, and those
    /// whose interface is gone are dropped with what waited for them. Whether anything of that changed: most snapshots leave
    /// the table alone, and cost a comparison.
    pub fn apply(&mut self, net: &Net) -> bool {
        let ifaces = || net.ifaces().iter().map(|iface| (iface.port, iface.vlan));
        let same_ifaces = ifaces().eq(self.ifaces.iter().copied());
        if same_ifaces && self.given == net.neighbours() {
            return false;
        }
        if !same_ifaces {
            self.renumber(net);
            self.ifaces = ifaces().collect();
        }
        self.give(net.neighbours());
        true
    }

    /// Makes these the static neighbours. What the table has no room for is tried again at the next snapshot.
    fn give(&mut self, neighbours: &[StaticNeighbour]) {
        let given: HashSet<_> = neighbours.iter().map(|n| (n.iface, n.addr)).collect();
        for id in 0..self.slots.len() as u32 {
            let stays = |e: &Entry| e.state != NeighState::Permanent || given.contains(&(e.iface, e.addr));
            if self.slots[id as usize].as_ref().is_some_and(|entry| !stays(entry)) {
                self.remove(id);
            }
        }
        self.given.clear();
        for neighbour in neighbours {
            let known = self.index.get(&(neighbour.iface, neighbour.addr)).copied();
            if let Some(id) = known.or_else(|| self.insert(0, neighbour.iface, neighbour.addr)) {
                let entry = entry(&mut self.slots, id);
                entry.mac = neighbour.mac;
                entry.state = NeighState::Permanent;
                self.timers.clear(id);
                self.given.push(*neighbour);
            }
        }
    }

    /// Gives entries the ids that their interfaces have in `net`.
    fn renumber(&mut self, net: &Net) {
        for id in 0..self.slots.len() as u32 {
            let Some(entry) = self.slots[id as usize].as_ref() else { continue };
            if self.new_id(net, entry.iface).is_none() {
                self.remove(id);
            }
        }
        // Only now: old and new ids overlap.
        self.index.clear();
        for id in 0..self.slots.len() {
            let Some((old, addr)) = self.slots[id].as_ref().map(|entry| (entry.iface, entry.addr)) else {
                continue;
            };
            if let (Some(iface), Some(entry)) = (self.new_id(net, old), &mut self.slots[id]) {
                entry.iface = iface;
                self.index.insert((iface, addr), id as u32);
            }
        }
    }

    /// The id in `net` of the interface that had `old` at the last `apply`.
    fn new_id(&self, net: &Net, old: IfaceId) -> Option<IfaceId> {
        let &(port, vlan) = self.ifaces.get(usize::from(old.0))?;
        net.iface_of(port, vlan)
    }
}
