//! Call-IDs of templates, in a table beside the connections, as their side records are.
//!
//! Invariant: a Call-ID belongs to one template, whose side record names it, and goes with it. The table never grows beyond
//! what it was made for; memory that no Call-ID has used yet is reserved, but not touched.

use conntab::siphash::siphash13;

use super::sip::CALL_ID_MAX;

/// Where the Call-ID of a template is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallIndex(u32);

/// A Call-ID, and the virtual port that its template is for, since the template's key has no room for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Call {
    bytes: [u8; CALL_ID_MAX],
    len: u8,
    port: u16,
}

impl Call {
    /// The first [`CALL_ID_MAX`] bytes, which is more than any that counts.
    pub(crate) fn new(id: &[u8], port: u16) -> Self {
        let mut bytes = [0; CALL_ID_MAX];
        let len = id.len().min(CALL_ID_MAX);
        bytes[..len].copy_from_slice(&id[..len]);
        Self { bytes, len: len as u8, port }
    }

    /// The Call-ID: signs of ASCII, without spaces.
    pub fn id(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The virtual port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl core::fmt::Debug for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} at port {}", self.id(), self.port)
    }
}

/// All Call-IDs of a worker.
pub(crate) struct Calls {
    calls: Vec<Call>,
    /// Places that were let go of, the next to use last.
    free: Vec<u32>,
    capacity: usize,
    /// Random, so that nobody outside knows which Call-IDs share a place.
    key: [u8; 16],
}

impl Calls {
    /// A table for so many.
    pub(crate) fn with_capacity(capacity: usize, key: [u8; 16]) -> Self {
        Self { calls: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity), capacity, key }
    }

    /// Where a template with this Call-ID is to be looked for, as its key has it instead of ports.
    pub(crate) fn hash(&self, id: &[u8], port: u16) -> u32 {
        (siphash13(&self.key, id) as u32).wrapping_add(u32::from(port))
    }

    /// Stores one; `None` if the table is full.
    pub(crate) fn insert(&mut self, id: &[u8], port: u16) -> Option<CallIndex> {
        let call = Call::new(id, port);
        if let Some(at) = self.free.pop() {
            self.calls[at as usize] = call;
            return Some(CallIndex(at));
        }
        if self.calls.len() >= self.capacity {
            return None;
        }
        self.calls.push(call);
        Some(CallIndex(self.calls.len() as u32 - 1))
    }

    pub(crate) fn get(&self, at: CallIndex) -> Option<&Call> {
        self.calls.get(at.0 as usize)
    }

    /// Whether this one is stored here.
    pub(crate) fn is(&self, at: CallIndex, id: &[u8], port: u16) -> bool {
        self.get(at).is_some_and(|call| call.port == port && call.as_bytes() == id)
    }

    /// Lets go of one that is in use.
    pub(crate) fn remove(&mut self, at: CallIndex) {
        self.free.push(at.0);
    }

    /// How many are in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.calls.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_refuses_until_one_goes() {
        let mut calls = Calls::with_capacity(2, [7; 16]);
        let first = calls.insert(b"a@x", 5060).expect("room");
        let second = calls.insert(b"b@x", 5060).expect("room");
        assert_eq!(calls.insert(b"c@x", 5060), None);
        assert!(
            calls.is(first, b"a@x", 5060) && !calls.is(first, b"a@x", 5061) && !calls.is(first, b"b@x", 5060)
        );
        calls.remove(first);
        let third = calls.insert(b"c@x", 5060).expect("room");
        assert_eq!((third, calls.len()), (first, 2), "the place is used again");
        assert_eq!(calls.get(third).map(Call::id), Some("c@x"));
        assert_eq!(calls.get(second).map(Call::id), Some("b@x"));
    }

    #[test]
    fn ports_and_call_ids_lead_to_different_places() {
        let calls = Calls::with_capacity(0, [7; 16]);
        let of = |id: &[u8], port| calls.hash(id, port);
        assert_eq!(of(b"a@x", 5060), of(b"a@x", 5060));
        assert!(of(b"a@x", 5060) != of(b"a@x", 5061) && of(b"a@x", 5060) != of(b"b@x", 5060));
    }
}
