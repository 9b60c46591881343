//! A connection in words that every director understands: what passes between workers and the sync daemon.

use core::net::SocketAddr;

use wire::sync::{MAX_PE_DATA, Shifts, flags};

use crate::Engine;

/// What a persistence engine remembers of a template.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EngineData {
    /// The engine.
    pub engine: Engine,
    len: u8,
    bytes: [u8; MAX_PE_DATA],
}

impl EngineData {
    /// At most 255 bytes, at least one.
    pub fn new(engine: Engine, data: &[u8]) -> Option<Self> {
        let len = u8::try_from(data.len()).ok().filter(|len| *len > 0)?;
        let mut bytes = [0; MAX_PE_DATA];
        bytes.get_mut(..data.len())?.copy_from_slice(data);
        Some(Self { engine, len, bytes })
    }

    /// What it remembers.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl core::fmt::Debug for EngineData {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EngineData").field("engine", &self.engine).field("bytes", &self.bytes()).finish()
    }
}

/// A connection or a template of persistence [union ip_vs_sync_conn].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// IANA protocol number; 0 for the template of a service by mark.
    pub protocol: u8,
    /// What kind of connection it is: [`wire::sync::flags`].
    pub flags: u32,
    /// Its state: [`wire::sync::state`].
    pub state: u16,
    /// The client; of a template its masked address and port 0.
    pub client: SocketAddr,
    /// What the client connected to; of a mark's template the mark as an address.
    pub service: SocketAddr,
    /// The real server.
    pub destination: SocketAddr,
    /// Mark of its service, 0 without.
    pub fwmark: u32,
    /// Seconds that it is to live without a packet; 0: as long as its state says.
    pub timeout_s: u32,
    /// What the destination takes for the client (FULLNAT); Linux has no place for it.
    pub local: Option<SocketAddr>,
    /// How its sequence numbers are shifted.
    pub shifts: Option<Shifts>,
    /// What a persistence engine remembers of it.
    pub engine: Option<EngineData>,
    /// Spreads connections over the daemon's ports: all records of a connection have the same, so that they stay in order.
    pub lane: u32,
}

impl Record {
    /// Whether it is a template of persistence.
    pub fn is_template(&self) -> bool {
        self.flags & flags::TEMPLATE != 0
    }

    /// Whether it does not count as active.
    pub fn is_inactive(&self) -> bool {
        self.flags & flags::INACTIVE != 0
    }
}
