//! Attributes: length, type, value, padding to four bytes. [nlattr]

/// A length that its place does not have, or a value of another size than its attribute's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The attributes of one level, the last of each type. Types above [`Attrs::TYPE_MAX`] are skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attrs<'a> {
    values: [Option<&'a [u8]>; Attrs::TYPE_MAX + 1],
}

/// Bits of a type that are no part of it: "nested" and "network order".
const TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 4;

impl<'a> Attrs<'a> {
    pub const TYPE_MAX: usize = 15;

    /// Takes apart what a message or another attribute holds.
    pub fn parse(mut rest: &'a [u8]) -> Result<Attrs<'a>, Malformed> {
        let mut attrs = Attrs::default();
        while rest.len() >= HEADER {
            let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
            let kind = usize::from(u16::from_ne_bytes([rest[2], rest[3]]) & TYPE_MASK);
            let value = rest.get(HEADER..length).ok_or(Malformed)?;
            if let Some(place) = attrs.values.get_mut(kind) {
                *place = Some(value);
            }
            rest = rest.get(align(length)..).unwrap_or_default();
        }
        Ok(attrs)
    }

    pub fn bytes(&self, kind: usize) -> Option<&'a [u8]> {
        self.values.get(kind).copied().flatten()
    }

    /// A value of exactly N bytes.
    pub fn array<const N: usize>(&self, kind: usize) -> Result<Option<[u8; N]>, Malformed> {
        self.bytes(kind).map(|value| value.try_into().map_err(|_| Malformed)).transpose()
    }

    pub fn u8(&self, kind: usize) -> Result<Option<u8>, Malformed> {
        Ok(self.array::<1>(kind)?.map(|[value]| value))
    }

    pub fn u16(&self, kind: usize) -> Result<Option<u16>, Malformed> {
        Ok(self.array(kind)?.map(u16::from_ne_bytes))
    }

    /// In network order.
    pub fn be16(&self, kind: usize) -> Result<Option<u16>, Malformed> {
        Ok(self.array(kind)?.map(u16::from_be_bytes))
    }

    pub fn u32(&self, kind: usize) -> Result<Option<u32>, Malformed> {
        Ok(self.array(kind)?.map(u32::from_ne_bytes))
    }

    /// A string, which may end with NUL.
    pub fn text(&self, kind: usize) -> Result<Option<&'a str>, Malformed> {
        let Some(value) = self.bytes(kind) else { return Ok(None) };
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        std::str::from_utf8(&value[..end]).map(Some).map_err(|_| Malformed)
    }

    pub fn nested(&self, kind: usize) -> Result<Option<Attrs<'a>>, Malformed> {
        self.bytes(kind).map(Attrs::parse).transpose()
    }
}

/// The next multiple of four.
pub(crate) fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}
