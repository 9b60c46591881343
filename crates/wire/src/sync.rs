//! IPVS sync messages: what a master tells its backups about connections, as Linux speaks it (versions 1 and 0).
//!
//! A [`Message`] is checked as a whole, its entries one by one as [`Entries`] gets to them, with the verdicts of a kernel
//! backup: some faults cost the entry, some all that follow, and what came before them counts. [`Writer`] packs entries up
//! to a size. Both borrow, neither allocates, and no length is believed before it was compared with what is there.
//!
//! Left to the backup, because bytes do not tell: who sent it and where to, whether a persistence engine of that name is
//! there, and which flags it takes over ([`flags::BACKUP_MASK`]).

use core::net::{Ipv4Addr, SocketAddr};

mod entry;
pub mod flags;
mod message;
mod param;
pub mod state;
mod writer;

pub use entry::EntryError;
pub use message::{Entries, Message, MessageError};
pub use param::{Params, encode_param};
pub use writer::{PushError, Writer, message_len};

/// Multicast group, unless another one is configured.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 81);
/// UDP port of the first sync thread, unless another one is configured; the others follow it.
pub const PORT: u16 = 8848;
/// Entries that a message can hold.
pub const MAX_ENTRIES: usize = u8::MAX as usize;
/// Length that the name of a persistence engine may have, in bytes.
pub const MAX_PE_NAME: usize = 16;
/// Length that the data of a persistence engine may have, in bytes.
pub const MAX_PE_DATA: usize = u8::MAX as usize;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Linux before 2.6.39: IPv4 only, no timeout, fwmark or persistence engine.
    V0,
    /// All since.
    V1,
}

/// What one rewritten direction of a TCP connection is shifted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Sequence number behind which `delta` counts, before it `previous_delta`.
    pub initial: u32,
    /// Bytes that rewrites have added; two's complement.
    pub delta: u32,
    /// Bytes that they had added before the last one; two's complement.
    pub previous_delta: u32,
}

/// The shifts of both directions, in the order in which they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shifts {
    /// From the client.
    pub input: Shift,
    /// From the server.
    pub output: Shift,
}

/// A connection, or a template of persistence, as a message carries it. The three addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Protocol; 0 for a template of an fwmark service.
    pub protocol: u8,
    /// What kind of connection it is: [`flags`], as sent.
    pub flags: u32,
    /// Its state: [`state`].
    pub state: u16,
    /// The client; of a template, its masked address and port 0.
    pub client: SocketAddr,
    /// The virtual service; of an fwmark template, the mark as an address.
    pub service: SocketAddr,
    /// The real server.
    pub destination: SocketAddr,
    /// Mark of its virtual service, 0 without.
    pub fwmark: u32,
    /// Seconds that it is to live; 0, and always so in version 0: as long as its state says.
    pub timeout_s: u32,
    /// How its sequence numbers are shifted. In version 0 it is there if [`flags::SEQUENCE`] says so.
    pub shifts: Option<Shifts>,
    /// What a persistence engine remembers of it.
    pub pe_data: Option<&'a [u8]>,
    /// The name of that engine.
    pub pe_name: Option<&'a [u8]>,
    /// Parameters that a backup which does not know them skips.
    pub params: Params<'a>,
}

#[cfg(test)]
mod tests;
