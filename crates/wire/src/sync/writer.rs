//! Packing of entries into a message of limited size.
//!
//! Invariant: what is written is a whole message at any time; an entry that does not fit leaves it as it was.

use core::net::{IpAddr, SocketAddr};

use crate::field::{put, put_u8, put_u16, put_u32};
use crate::sync::entry::{ADDRESSES_AT, LEN_MASK, SHIFTS_LEN, TYPE_IPV6, V0_LEN, V4_LEN, V6_LEN};
use crate::sync::message::{V0_HEADER_LEN, V1, V1_HEADER_LEN};
use crate::sync::{Entry, MAX_ENTRIES, MAX_PE_DATA, MAX_PE_NAME, Shift, Shifts, Version, flags, param};

/// Why an entry was not packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushError {
    /// The message is full: send it, and pack the entry into the next.
    Full,
    /// The entry is too long for any message of this size.
    TooLong,
    /// Addresses of different families, or IPv6 in version 0: the format has no place for them.
    Family,
    /// Data or name of a persistence engine are empty or too long.
    BadOption,
}

/// A message under construction, in a buffer, borrowed or its own, whose length is the limit of its size.
#[derive(Debug)]
pub struct Writer<B> {
    buffer: B,
    version: Version,
    limit: usize,
    len: usize,
    count: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Writer<B> {
    /// An empty message. `None`: the buffer has no room for a header. Of a buffer beyond 65535 bytes the rest stays unused.
    pub fn new(mut buffer: B, version: Version, syncid: u8) -> Option<Self> {
        let bytes = buffer.as_mut();
        let limit = bytes.len().min(usize::from(u16::MAX));
        let len = header_len(version);
        bytes.get_mut(..len)?.fill(0);
        put_u8(bytes, 1, syncid);
        if version == Version::V1 {
            put_u8(bytes, 5, V1);
        }
        let mut writer = Self { buffer, version, limit, len, count: 0 };
        writer.write_header();
        Some(writer)
    }

    /// The message.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_ref().get(..self.len).unwrap_or_default()
    }

    /// Entries in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether it has no entries; such a message is not worth sending.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Packs an entry behind the others.
    pub fn push(&mut self, entry: &Entry<'_>) -> Result<(), PushError> {
        let len = entry_len(self.version, entry)?;
        if header_len(self.version) + len > self.limit {
            return Err(PushError::TooLong);
        }
        let start = match self.version {
            Version::V0 => self.len,
            Version::V1 => self.len.next_multiple_of(4),
        };
        if self.count == MAX_ENTRIES || start + len > self.limit {
            return Err(PushError::Full);
        }
        let buffer = self.buffer.as_mut();
        buffer.get_mut(self.len..start).unwrap_or_default().fill(0);
        let out = buffer.get_mut(start..start + len).unwrap_or_default();
        match self.version {
            Version::V0 => write_v0(out, entry),
            Version::V1 => write_v1(out, entry),
        }
        self.len = start + len;
        self.count += 1;
        self.write_header();
        Ok(())
    }

    fn write_header(&mut self) {
        let count_at = match self.version {
            Version::V0 => 0,
            Version::V1 => 4,
        };
        let buffer = self.buffer.as_mut();
        put_u16(buffer, 2, self.len as u16);
        put_u8(buffer, count_at, self.count as u8);
    }
}

const fn header_len(version: Version) -> usize {
    match version {
        Version::V0 => V0_HEADER_LEN,
        Version::V1 => V1_HEADER_LEN,
    }
}

/// The length of a message with nothing in it but this entry, in bytes.
pub fn message_len(version: Version, entry: &Entry<'_>) -> Result<usize, PushError> {
    Ok(header_len(version) + entry_len(version, entry)?)
}

/// The length that an entry takes, in bytes.
fn entry_len(version: Version, entry: &Entry<'_>) -> Result<usize, PushError> {
    let ends = [entry.client, entry.service, entry.destination];
    let v4 = ends.iter().all(SocketAddr::is_ipv4);
    if !v4 && (version == Version::V0 || ends.iter().any(SocketAddr::is_ipv4)) {
        return Err(PushError::Family);
    }
    let len = match version {
        Version::V0 if entry.flags & flags::SEQUENCE != 0 => V0_LEN + SHIFTS_LEN,
        Version::V0 => V0_LEN,
        Version::V1 => (if v4 { V4_LEN } else { V6_LEN }) + options_len(entry)?,
    };
    if version == Version::V1 && len > usize::from(LEN_MASK) { Err(PushError::TooLong) } else { Ok(len) }
}

fn options_len(entry: &Entry<'_>) -> Result<usize, PushError> {
    let mut len = if entry.shifts.is_some() { param::HEADER_LEN + SHIFTS_LEN } else { 0 };
    for (option, max) in [(entry.pe_data, MAX_PE_DATA), (entry.pe_name, MAX_PE_NAME)] {
        let Some(data) = option else { continue };
        if !(1..=max).contains(&data.len()) {
            return Err(PushError::BadOption);
        }
        len += param::HEADER_LEN + data.len();
    }
    Ok(len + entry.params.iter().map(|(_, data)| param::HEADER_LEN + data.len()).sum::<usize>())
}

/// Writes an entry of version 1 into bytes that are just enough.
fn write_v1(out: &mut [u8], entry: &Entry<'_>) {
    let v4 = entry.client.is_ipv4();
    let (address_len, fixed_len) = if v4 { (4, V4_LEN) } else { (16, V6_LEN) };
    let len = out.len() as u16 & LEN_MASK;
    put_u8(out, 0, if v4 { 0 } else { TYPE_IPV6 });
    put_u8(out, 1, entry.protocol);
    put_u16(out, 2, len);
    put_u32(out, 4, entry.flags);
    put_u16(out, 8, entry.state);
    put_u32(out, 16, entry.fwmark);
    put_u32(out, 20, entry.timeout_s);
    for (number, end) in [entry.client, entry.service, entry.destination].into_iter().enumerate() {
        put_u16(out, 10 + number * 2, end.port());
        put_address(out, ADDRESSES_AT + number * address_len, end.ip());
    }
    write_options(out.get_mut(fixed_len..).unwrap_or_default(), entry);
}

/// Writes the options, in the kernel's order, what it does not know last.
fn write_options(out: &mut [u8], entry: &Entry<'_>) {
    let mut at = 0;
    let mut write = |kind: u8, data: &[u8]| {
        at += param::encode(out.get_mut(at..).unwrap_or_default(), kind, data).unwrap_or(0);
    };
    if let Some(shifts) = entry.shifts {
        write(param::SHIFTS, &shift_bytes(shifts, u32::to_be_bytes));
    }
    if let Some(data) = entry.pe_data {
        write(param::PE_DATA, data);
    }
    if let Some(name) = entry.pe_name {
        write(param::PE_NAME, name);
    }
    for (kind, data) in entry.params.iter() {
        write(kind | param::SKIPPABLE, data);
    }
}

/// Writes an entry of version 0 into bytes that are just enough.
fn write_v0(out: &mut [u8], entry: &Entry<'_>) {
    put_u8(out, 0, 0);
    put_u8(out, 1, entry.protocol);
    for (number, end) in [entry.client, entry.service, entry.destination].into_iter().enumerate() {
        put_u16(out, 2 + number * 2, end.port());
        put_address(out, 8 + number * 4, end.ip());
    }
    put_u16(out, 20, entry.flags as u16);
    put_u16(out, 22, entry.state);
    // As they lie in memory, like the kernel.
    put(out, V0_LEN, shift_bytes(entry.shifts.unwrap_or_default(), u32::to_ne_bytes));
}

fn put_address(out: &mut [u8], at: usize, address: IpAddr) {
    match address {
        IpAddr::V4(address) => put(out, at, address.octets()),
        IpAddr::V6(address) => put(out, at, address.octets()),
    }
}

fn shift_bytes(shifts: Shifts, bytes: fn(u32) -> [u8; 4]) -> [u8; SHIFTS_LEN] {
    let mut out = [0; SHIFTS_LEN];
    for (at, Shift { initial, delta, previous_delta }) in [(0, shifts.input), (12, shifts.output)] {
        put(&mut out, at, bytes(initial));
        put(&mut out, at + 4, bytes(delta));
        put(&mut out, at + 8, bytes(previous_delta));
    }
    out
}
