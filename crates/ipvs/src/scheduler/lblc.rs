//! Locality-based least connections [ip_vs_lblc]: an address that clients ask for stays with one server, a cache that
//! has its pages, until that server is overloaded while another is nearly idle; then, and at first, it goes to the one
//! that wlc picks. For services by mark, which have many addresses.
//!
//! As in Linux the upper threshold of the remembered server is not looked at. Each worker remembers for itself.

use super::locality::{FORGET_EVERY_MS, Server, Table, is_overloaded};
use super::{Request, wlc};
use crate::shared::Load;
use crate::{Dest, Rng};

/// The server of each address.
#[derive(Clone, Debug)]
pub(super) struct Memory(Table<Server>);

impl Memory {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self(Table::new(rng))
    }

    pub(super) fn pick(
        &mut self,
        request: &Request<'_>,
        dests: &[Dest],
        admits: impl FnMut(usize) -> bool,
        load: impl Fn(usize) -> Load,
    ) -> Option<usize> {
        let (addr, now_ms) = (request.flow.dst, request.now_ms);
        let idle_ms = request.settings.lblc_expiration_ms.saturating_add(FORGET_EVERY_MS);
        let known = self.0.get(addr, now_ms, idle_ms);
        if let Some(index) = known.and_then(|server| server.find(dests))
            && dests[index].weight > 0
            && !is_overloaded(index, dests, &load)
        {
            return Some(index);
        }
        let index = wlc::pick(dests, admits, load)?;
        self.0.set(addr, now_ms, Server::of(dests, index));
        Some(index)
    }
}
