//! The neighbour table follows the configuration: static neighbours, interfaces that come, go and change their number.

use hashbrown::HashMap;
use wire::PacketBuf;

use super::{Entry, NeighState, Neighbours, entry};
use crate::iface::IfaceId;
use crate::net::Net;

impl<B: PacketBuf> Neighbours<B> {
    /// Takes over a new snapshot: static neighbours come and go, entries follow their interface to its new id, and those
    /// whose interface is gone are dropped with what waited for them.
    pub fn apply(&mut self, net: &Net) {
        let ifaces: Vec<_> = net.ifaces().iter().map(|iface| (iface.port, iface.vlan)).collect();
        if ifaces != self.ifaces {
            self.renumber(net);
            self.ifaces = ifaces;
        }
        let given: HashMap<_, _> = net.neighbours().iter().map(|n| ((n.iface, n.addr), n.mac)).collect();
        for id in 0..self.slots.len() as u32 {
            let stays =
                |e: &Entry| e.state != NeighState::Permanent || given.contains_key(&(e.iface, e.addr));
            if self.slots[id as usize].as_ref().is_some_and(|entry| !stays(entry)) {
                self.remove(id);
            }
        }
        for neighbour in net.neighbours() {
            let known = self.index.get(&(neighbour.iface, neighbour.addr)).copied();
            if let Some(id) = known.or_else(|| self.insert(0, neighbour.iface, neighbour.addr)) {
                let entry = entry(&mut self.slots, id);
                entry.mac = neighbour.mac;
                entry.state = NeighState::Permanent;
                self.timers.clear(id);
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
