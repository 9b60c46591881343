//! The options behind an entry: a type, a length, and so many bytes, over and over.

use crate::field::put_u8;

/// Option: sequence numbers, 24 bytes.
pub(super) const SHIFTS: u8 = 1;
/// Option: data of a persistence engine.
pub(super) const PE_DATA: u8 = 2;
/// Option: name of a persistence engine.
pub(super) const PE_NAME: u8 = 3;
/// Bit of a type: whoever does not know it may skip it.
pub(super) const SKIPPABLE: u8 = 0x40;

/// Length of type and length, in bytes.
pub(super) const HEADER_LEN: usize = 2;

/// Why options cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The entry ends behind a type.
    Truncated,
    /// The length is 0 or reaches behind the entry.
    Length,
}

/// An option, split off from those behind it.
pub(super) struct Split<'a> {
    /// Its type.
    pub(super) kind: u8,
    /// Its data, at least one byte.
    pub(super) data: &'a [u8],
    /// What follows it.
    pub(super) rest: &'a [u8],
}

/// Splits off the first option. `None`: there is none.
pub(super) fn split(options: &[u8]) -> Option<Result<Split<'_>, Broken>> {
    let (kind, len, rest) = match options {
        [] => return None,
        [_] => return Some(Err(Broken::Truncated)),
        [kind, len, rest @ ..] => (*kind, usize::from(*len), rest),
    };
    Some(match rest.split_at_checked(len) {
        Some((data, rest)) if len > 0 => Ok(Split { kind, data, rest }),
        _ => Err(Broken::Length),
    })
}

/// Whether this is none of the types that the protocol defines.
pub(super) const fn is_extra(kind: u8) -> bool {
    !matches!(kind & !SKIPPABLE, SHIFTS | PE_DATA | PE_NAME)
}

/// Parameters beyond those that the kernel knows, encoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// No parameters.
    pub const NONE: Self = Self(&[]);

    /// Those that [`encode_param`] wrote, or the options of an entry, one behind the other.
    pub const fn encoded(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The types, without the bit that allows to skip them, and the data, in their order. Ends at the first broken one.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut options = self.0;
        core::iter::from_fn(move || {
            let Split { kind, data, rest } = split(options)?.ok()?;
            options = rest;
            Some((kind, data))
        })
        .filter(|(kind, _)| is_extra(*kind))
        .map(|(kind, data)| (kind & !SKIPPABLE, data))
    }
}

impl PartialEq for Params<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Params<'_> {}

/// Writes a parameter to the start of `out`, marked as skippable, and returns its length there. `None`: no room, no data,
/// more than 255 bytes of it, or a type that is taken or that does not fit beside the mark.
pub fn encode_param(out: &mut [u8], kind: u8, data: &[u8]) -> Option<usize> {
    if kind & SKIPPABLE != 0 || !is_extra(kind) {
        return None;
    }
    encode(out, kind | SKIPPABLE, data)
}

/// Writes an option to the start of `out` and returns its length there. `None`: no room, no data, or too much.
pub(super) fn encode(out: &mut [u8], kind: u8, data: &[u8]) -> Option<usize> {
    let len = u8::try_from(data.len()).ok().filter(|len| *len > 0)?;
    let end = HEADER_LEN + data.len();
    let out = out.get_mut(..end)?;
    put_u8(out, 0, kind);
    put_u8(out, 1, len);
    out.get_mut(HEADER_LEN..)?.copy_from_slice(data);
    Some(end)
}
