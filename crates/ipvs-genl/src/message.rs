//! Messages: their header, and how answers are written. [nlmsghdr, genlmsghdr]

use crate::attr::align;

/// Bytes of a netlink header.
pub const NETLINK_HEADER: usize = 16;
/// Bytes of a generic netlink header behind it.
pub const GENERIC_HEADER: usize = 4;

pub const TYPE_ERROR: u16 = 2;
pub const TYPE_DONE: u16 = 3;
pub const FLAG_MULTI: u16 = 2;
pub const FLAG_ACK: u16 = 4;
/// Of an error: the message that it is about is cut after its header.
pub const FLAG_CAPPED: u16 = 0x100;
/// Both bits of it.
pub const FLAG_DUMP: u16 = 0x300;

/// What a message says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes with this header, as the message claims.
    pub length: u32,
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub port: u32,
}

impl Header {
    /// None if there are not enough bytes. Says nothing of whether `length` is true.
    pub fn parse(bytes: &[u8]) -> Option<Header> {
        let (&head, _) = bytes.split_first_chunk::<NETLINK_HEADER>()?;
        let u32_at = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let u16_at = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
        Some(Header {
            length: u32_at(0),
            kind: u16_at(4),
            flags: u16_at(6),
            sequence: u32_at(8),
            port: u32_at(12),
        })
    }

    /// Whether the sender wants a word that it was done.
    pub fn wants_ack(&self) -> bool {
        self.flags & FLAG_ACK != 0
    }

    /// Whether it asks for a list.
    pub fn is_dump(&self) -> bool {
        self.flags & FLAG_DUMP == FLAG_DUMP
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.length.to_ne_bytes());
        out.extend(self.kind.to_ne_bytes());
        out.extend(self.flags.to_ne_bytes());
        out.extend(self.sequence.to_ne_bytes());
        out.extend(self.port.to_ne_bytes());
    }
}

/// Writes messages that answer one request, one behind another.
#[derive(Debug)]
pub struct Writer {
    request: Header,
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new(request: Header) -> Writer {
        Writer { request, bytes: Vec::new() }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The datagram; the writer is empty again.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// A message of a family, with the attributes that `fill` writes.
    pub fn message(&mut self, kind: u16, command: u8, version: u8, fill: impl FnOnce(&mut Writer)) {
        let flags = if self.request.is_dump() { FLAG_MULTI } else { 0 };
        self.framed(kind, flags, |out| {
            out.bytes.extend([command, version, 0, 0]);
            fill(out);
        });
    }

    /// The end of a list. [NLMSG_DONE]
    pub fn done(&mut self) {
        self.framed(TYPE_DONE, FLAG_MULTI, |out| out.bytes.extend(0i32.to_ne_bytes()));
    }

    /// What came of the request: 0, or an errno. [NLMSG_ERROR]
    pub fn outcome(&mut self, errno: i32) {
        let request = self.request;
        self.framed(TYPE_ERROR, FLAG_CAPPED, |out| {
            out.bytes.extend(errno.wrapping_neg().to_ne_bytes());
            request.write(&mut out.bytes);
        });
    }

    fn framed(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        let Header { sequence, port, .. } = self.request;
        Header { length: 0, kind, flags, sequence, port }.write(&mut self.bytes);
        fill(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// An attribute, padded. Values are ours, and short: longer ones are cut.
    pub fn bytes(&mut self, kind: usize, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX) - 8)];
        self.bytes.extend(((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend((kind as u16).to_ne_bytes());
        self.bytes.extend(value);
        let padding = align(value.len()) - value.len();
        self.bytes.extend(&[0; 3][..padding]);
    }

    pub fn u8(&mut self, kind: usize, value: u8) {
        self.bytes(kind, &[value]);
    }

    pub fn u16(&mut self, kind: usize, value: u16) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    pub fn be16(&mut self, kind: usize, value: u16) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub fn u32(&mut self, kind: usize, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    pub fn u64(&mut self, kind: usize, value: u64) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// With its NUL.
    pub fn text(&mut self, kind: usize, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// An attribute that holds others.
    pub fn nested(&mut self, kind: usize, fill: impl FnOnce(&mut Writer)) {
        /// The bit that says so.
        const NESTED: u16 = 0x8000;
        let start = self.bytes.len();
        self.bytes.extend(0u16.to_ne_bytes());
        self.bytes.extend((kind as u16 | NESTED).to_ne_bytes());
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}
