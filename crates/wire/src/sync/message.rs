//! A message: its header, and the walk over its entries.

use core::iter::FusedIterator;

use crate::field::{get_u8, get_u16};
use crate::sync::entry::{self, EntryError};
use crate::sync::{Entry, Version};

/// Length of the header of version 0, in bytes.
pub(super) const V0_HEADER_LEN: usize = 4;
/// Length of the header of version 1, in bytes.
pub(super) const V1_HEADER_LEN: usize = 8;
/// The number that version 1 has in its header.
pub(super) const V1: u8 = 1;

/// Why a whole message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageError {
    /// Fewer bytes than the shortest header has.
    TooShort,
    /// The size in the header is not that of the datagram.
    BadSize,
    /// It is for backups with another sync id.
    OtherSyncId,
    /// Neither version 1 nor version 0.
    BadVersion,
    /// The spare field of version 1 is not 0.
    BadSpare,
}

impl MessageError {
    /// Every reason, in the order of the checks: for counters.
    pub const ALL: [Self; 5] =
        [Self::TooShort, Self::BadSize, Self::OtherSyncId, Self::BadVersion, Self::BadSpare];
}

/// A message whose header is right. Its entries are still to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Version.
    pub version: Version,
    /// Sync id of the master.
    pub syncid: u8,
    /// Entries that the header announces.
    pub count: u8,
    /// What follows the header.
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Checks the header of a datagram. `syncid` is the backup's; with 0 it listens to every master.
    ///
    /// What starts with another byte than 0 is version 0, which has its number of entries there.
    pub fn parse(datagram: &'a [u8], syncid: u8) -> Result<Self, MessageError> {
        if datagram.len() < V0_HEADER_LEN {
            return Err(MessageError::TooShort);
        }
        if usize::from(get_u16(datagram, 2)) != datagram.len() {
            return Err(MessageError::BadSize);
        }
        let sender = get_u8(datagram, 1);
        if syncid != 0 && sender != syncid {
            return Err(MessageError::OtherSyncId);
        }
        let body = |header_len: usize| datagram.get(header_len..).unwrap_or_default();
        match (get_u8(datagram, 0), get_u8(datagram, 5), get_u16(datagram, 6)) {
            (0, V1, 0) => Ok(Self {
                version: Version::V1,
                syncid: sender,
                count: get_u8(datagram, 4),
                body: body(V1_HEADER_LEN),
            }),
            (0, V1, _) => Err(MessageError::BadSpare),
            (0, _, _) => Err(MessageError::BadVersion),
            (count, _, _) => {
                Ok(Self { version: Version::V0, syncid: sender, count, body: body(V0_HEADER_LEN) })
            }
        }
    }

    /// The entries in their order, as many as the header announces.
    pub fn entries(&self) -> Entries<'a> {
        Entries { version: self.version, left: self.count, rest: self.body }
    }
}

/// The walk over a message's entries. Behind an error that [ends the message](EntryError::ends_message) nothing comes.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    version: Version,
    left: u8,
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    fn next_v0(&mut self) -> Result<Entry<'a>, EntryError> {
        let (bytes, rest) = split(self.rest, entry::v0_len(self.rest)?);
        self.rest = rest;
        entry::v0(bytes)
    }

    fn next_v1(&mut self) -> Result<Entry<'a>, EntryError> {
        let kind = get_u8(self.rest, 0);
        let len = entry::v1_len(self.rest)?;
        let (bytes, _) = split(self.rest, len);
        (_, self.rest) = split(self.rest, len.next_multiple_of(4));
        entry::v1(bytes, kind)
    }
}

/// Splits at `at`, or at the end if that is before.
fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, EntryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = match self.version {
            Version::V0 => self.next_v0(),
            Version::V1 => self.next_v1(),
        };
        if entry.is_err_and(EntryError::ends_message) {
            self.left = 0;
        }
        Some(entry)
    }
}

impl FusedIterator for Entries<'_> {}
