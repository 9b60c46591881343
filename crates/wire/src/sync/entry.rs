//! One entry of a message, read with the eyes of a kernel backup.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::field::{array, get_u8, get_u16, get_u32};
use crate::sync::param::{self, Broken, Params, Split};
use crate::sync::{Entry, MAX_PE_NAME, Shift, Shifts, flags, state};

/// Length of an entry of version 0 without sequence numbers, in bytes.
pub(super) const V0_LEN: usize = 24;
/// Length of an IPv4 entry of version 1 without options, in bytes.
pub(super) const V4_LEN: usize = 36;
/// Length of an IPv6 entry without options, in bytes.
pub(super) const V6_LEN: usize = 72;
/// Length of the sequence numbers, in bytes.
pub(super) const SHIFTS_LEN: usize = 24;
/// Start of the addresses in an entry of version 1, in bytes.
pub(super) const ADDRESSES_AT: usize = 24;
/// Bit of the type: the addresses are IPv6.
pub(super) const TYPE_IPV6: u8 = 0x01;
/// The bits of the length's field that are the length.
pub(super) const LEN_MASK: u16 = 0x0fff;

/// Why an entry is refused. Most faults make everything behind them unreadable ([`EntryError::ends_message`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryError {
    /// The message ends within the entry's fixed part.
    Truncated,
    /// The entry's length reaches behind the message.
    BadLen,
    /// The entry's own version is not 0.
    BadVersion,
    /// The type is neither IPv4 nor IPv6.
    BadType,
    /// The entry's length is below that of its fixed part.
    TooShort,
    /// The entry ends within an option's type and length.
    TruncatedOption,
    /// An option's length is 0 or reaches behind the entry.
    BadOptionLen,
    /// The sequence numbers have another length than 24 bytes, or are there twice.
    BadShifts,
    /// The data of a persistence engine are there twice.
    BadPeData,
    /// The name of a persistence engine is longer than 16 bytes, or there twice.
    BadPeName,
    /// An option that is not known and must not be skipped.
    UnknownOption,
    /// A connection for one packet only: it is over by now. Recorded backups keep none such.
    OnePacket,
    /// A protocol that IPVS does not know.
    UnknownProtocol,
    /// A state that the protocol does not have.
    BadState,
}

impl EntryError {
    /// Every reason: for counters.
    pub const ALL: [Self; 14] = [
        Self::Truncated,
        Self::BadLen,
        Self::BadVersion,
        Self::BadType,
        Self::TooShort,
        Self::TruncatedOption,
        Self::BadOptionLen,
        Self::BadShifts,
        Self::BadPeData,
        Self::BadPeName,
        Self::UnknownOption,
        Self::OnePacket,
        Self::UnknownProtocol,
        Self::BadState,
    ];

    /// Whether it costs the rest of the message too.
    pub const fn ends_message(self) -> bool {
        !matches!(self, Self::UnknownOption | Self::OnePacket | Self::UnknownProtocol | Self::BadState)
    }
}

impl From<Broken> for EntryError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Truncated => Self::TruncatedOption,
            Broken::Length => Self::BadOptionLen,
        }
    }
}

/// The length of the entry of version 1 that starts here, in bytes, once it is known to be there.
pub(super) fn v1_len(bytes: &[u8]) -> Result<usize, EntryError> {
    if bytes.len() < V4_LEN {
        return Err(EntryError::Truncated);
    }
    let word = get_u16(bytes, 2);
    let len = usize::from(word & LEN_MASK);
    if len > bytes.len() {
        return Err(EntryError::BadLen);
    }
    if word & !LEN_MASK != 0 { Err(EntryError::BadVersion) } else { Ok(len) }
}

/// Reads an entry of version 1; `bytes` are its own, without padding.
pub(super) fn v1(bytes: &[u8], kind: u8) -> Result<Entry<'_>, EntryError> {
    let (address_len, len) = match kind {
        0 => (4, V4_LEN),
        kind if kind & TYPE_IPV6 != 0 => (16, V6_LEN),
        _ => return Err(EntryError::BadType),
    };
    let options = bytes.get(len..).ok_or(EntryError::TooShort)?;
    let end = |number: usize, port_at: usize| {
        let at = ADDRESSES_AT + number * address_len;
        let address = match address_len {
            4 => IpAddr::V4(Ipv4Addr::from(array::<4>(bytes, at))),
            _ => IpAddr::V6(Ipv6Addr::from(array::<16>(bytes, at))),
        };
        SocketAddr::new(address, get_u16(bytes, port_at))
    };
    let mut entry = Entry {
        protocol: get_u8(bytes, 1),
        flags: get_u32(bytes, 4),
        state: get_u16(bytes, 8),
        client: end(0, 10),
        service: end(1, 12),
        destination: end(2, 14),
        fwmark: get_u32(bytes, 16),
        timeout_s: get_u32(bytes, 20),
        shifts: None,
        pe_data: None,
        pe_name: None,
        params: Params::encoded(options),
    };
    read_options(&mut entry, options)?;
    check(entry)
}

fn read_options<'a>(entry: &mut Entry<'a>, mut options: &'a [u8]) -> Result<(), EntryError> {
    while let Some(split) = param::split(options) {
        let Split { kind, data, rest } = split?;
        options = rest;
        match kind & !param::SKIPPABLE {
            param::SHIFTS if data.len() == SHIFTS_LEN && entry.shifts.is_none() => {
                entry.shifts = Some(read_shifts(data, u32::from_be_bytes));
            }
            param::SHIFTS => return Err(EntryError::BadShifts),
            param::PE_DATA if entry.pe_data.is_none() => entry.pe_data = Some(data),
            param::PE_DATA => return Err(EntryError::BadPeData),
            param::PE_NAME if data.len() <= MAX_PE_NAME && entry.pe_name.is_none() => {
                entry.pe_name = Some(data);
            }
            param::PE_NAME => return Err(EntryError::BadPeName),
            _ if kind & param::SKIPPABLE == 0 => return Err(EntryError::UnknownOption),
            _ => {}
        }
    }
    Ok(())
}

/// The length of the entry of version 0 that starts here, in bytes, once it is known to be there.
pub(super) fn v0_len(bytes: &[u8]) -> Result<usize, EntryError> {
    let with_shifts = u32::from(get_u16(bytes, 20)) & flags::SEQUENCE != 0;
    let len = V0_LEN + if with_shifts { SHIFTS_LEN } else { 0 };
    if len > bytes.len() { Err(EntryError::Truncated) } else { Ok(len) }
}

/// Reads an entry of version 0; `bytes` are its own.
pub(super) fn v0(bytes: &[u8]) -> Result<Entry<'_>, EntryError> {
    let end = |address_at: usize, port_at: usize| {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::from(array::<4>(bytes, address_at))), get_u16(bytes, port_at))
    };
    check(Entry {
        protocol: get_u8(bytes, 1),
        flags: u32::from(get_u16(bytes, 20)),
        state: get_u16(bytes, 22),
        client: end(8, 2),
        service: end(12, 4),
        destination: end(16, 6),
        fwmark: 0,
        timeout_s: 0,
        // The kernel copies these as they lie in its memory.
        shifts: bytes.get(V0_LEN..V0_LEN + SHIFTS_LEN).map(|data| read_shifts(data, u32::from_ne_bytes)),
        pe_data: None,
        pe_name: None,
        params: Params::NONE,
    })
}

fn read_shifts(data: &[u8], number: fn([u8; 4]) -> u32) -> Shifts {
    let shift = |at: usize| Shift {
        initial: number(array(data, at)),
        delta: number(array(data, at + 4)),
        previous_delta: number(array(data, at + 8)),
    };
    Shifts { input: shift(0), output: shift(12) }
}

/// Checks what the fields mean; of a template the kernel asks neither protocol nor state.
fn check(entry: Entry<'_>) -> Result<Entry<'_>, EntryError> {
    if entry.flags & flags::ONE_PACKET != 0 {
        return Err(EntryError::OnePacket);
    }
    if entry.flags & flags::TEMPLATE != 0 {
        return Ok(entry);
    }
    match state::count(entry.protocol) {
        None => Err(EntryError::UnknownProtocol),
        Some(count) if entry.state >= count => Err(EntryError::BadState),
        Some(_) => Ok(entry),
    }
}
