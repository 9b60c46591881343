//! A packet's bytes, whoever holds them.
//!
//! Invariant: a packet is one contiguous run of bytes, starting at its Ethernet header. What arrives in several
//! pieces is refused where it arrives, so that no stage needs to think of pieces.

/// There is no head- or tailroom left for the bytes asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// A packet that can be read, rewritten in place, and grown or cut at both ends.
pub trait PacketBuf {
    /// The frame, from its Ethernet header on.
    fn bytes(&self) -> &[u8];

    /// The frame, to rewrite in place.
    fn bytes_mut(&mut self) -> &mut [u8];

    /// Grows the frame by `count` bytes at its front; their content is unspecified until written.
    fn prepend(&mut self, count: usize) -> Result<(), NoRoom>;

    /// Cuts `count` bytes off the front. `count` must not exceed the length.
    fn adj(&mut self, count: usize);

    /// Grows the frame by `count` bytes at its end; their content is unspecified until written.
    fn append(&mut self, count: usize) -> Result<(), NoRoom>;

    /// Shortens the frame to `len` bytes; does nothing if it is no longer than that.
    fn truncate(&mut self, len: usize);
}

/// A packet in a plain vector, with the headroom that DPDK gives: for tests, replay and simulation.
///
/// What it grows by is [`VecBuf::STALE`], as the bytes that a packet before left in a DPDK buffer are anything: so that
/// tests show what is forgotten to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VecBuf {
    store: Vec<u8>,
    start: usize,
    tailroom: usize,
}

impl VecBuf {
    /// Headroom in front of a new packet, in bytes (RTE_PKTMBUF_HEADROOM).
    pub const HEADROOM: usize = 128;
    /// Bytes that a packet may grow to, headroom not counted.
    pub const ROOM: usize = 2048;
    /// Bytes that a large packet may grow to: what is left of the 16 bits in which DPDK keeps a buffer's length.
    pub const LARGE_ROOM: usize = u16::MAX as usize - Self::HEADROOM;
    /// What bytes are that have not been written.
    pub const STALE: u8 = 0xff;

    /// A packet with these bytes.
    pub fn new(frame: &[u8]) -> Self {
        let mut store = Vec::with_capacity(Self::HEADROOM + frame.len().max(Self::ROOM));
        store.resize(Self::HEADROOM, Self::STALE);
        store.extend_from_slice(frame);
        Self { store, start: Self::HEADROOM, tailroom: Self::ROOM.saturating_sub(frame.len()) }
    }

    /// An empty packet that has room for a datagram of many fragments.
    pub fn large() -> Self {
        let mut store = Vec::with_capacity(Self::HEADROOM + Self::LARGE_ROOM);
        store.resize(Self::HEADROOM, Self::STALE);
        Self { store, start: Self::HEADROOM, tailroom: Self::LARGE_ROOM }
    }
}

impl PacketBuf for VecBuf {
    fn bytes(&self) -> &[u8] {
        &self.store[self.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.store[self.start..]
    }

    fn prepend(&mut self, count: usize) -> Result<(), NoRoom> {
        let end = self.start;
        self.start = end.checked_sub(count).ok_or(NoRoom)?;
        self.store[self.start..end].fill(Self::STALE);
        Ok(())
    }

    fn adj(&mut self, count: usize) {
        self.start += count;
    }

    fn append(&mut self, count: usize) -> Result<(), NoRoom> {
        self.tailroom = self.tailroom.checked_sub(count).ok_or(NoRoom)?;
        self.store.resize(self.store.len() + count, Self::STALE);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        let now = self.store.len() - self.start;
        if len < now {
            self.tailroom += now - len;
            self.store.truncate(self.start + len);
        }
    }
}
