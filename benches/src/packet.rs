//! Packets without DPDK: buffers of one size from a pool that gives out first what came back last, as a mempool's cache does.

use wire::{NoRoom, PacketBuf};

/// Bytes in front of a frame, as DPDK has them.
const HEADROOM: usize = 128;
/// Bytes of a buffer, headroom included.
const ROOM: usize = 512;

/// A packet in a buffer of a [`Pool`].
pub struct Packet {
    store: Box<[u8; ROOM]>,
    start: u16,
    end: u16,
}

impl Packet {
    fn new() -> Self {
        Self { store: Box::new([0; ROOM]), start: HEADROOM as u16, end: HEADROOM as u16 }
    }

    /// The same buffer with this frame in it, which must fit.
    #[inline]
    pub fn fill(&mut self, frame: &[u8]) {
        (self.start, self.end) = (HEADROOM as u16, (HEADROOM + frame.len()) as u16);
        self.bytes_mut().copy_from_slice(frame);
    }
}

impl PacketBuf for Packet {
    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.store[usize::from(self.start)..usize::from(self.end)]
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.store[usize::from(self.start)..usize::from(self.end)]
    }

    fn prepend(&mut self, count: usize) -> Result<(), NoRoom> {
        self.start = self.start.checked_sub(count as u16).ok_or(NoRoom)?;
        Ok(())
    }

    fn adj(&mut self, count: usize) {
        self.start += count as u16;
    }

    fn append(&mut self, count: usize) -> Result<(), NoRoom> {
        let end = usize::from(self.end) + count;
        if end > ROOM {
            return Err(NoRoom);
        }
        self.end = end as u16;
        Ok(())
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len.min(ROOM) as u16));
    }
}

/// Buffers that are not in use.
#[derive(Default)]
pub struct Pool {
    free: Vec<Packet>,
}

impl Pool {
    /// A buffer, made if there is none.
    #[inline]
    pub fn take(&mut self) -> Packet {
        self.free.pop().unwrap_or_else(Packet::new)
    }

    /// A buffer comes back.
    #[inline]
    pub fn give(&mut self, packet: Packet) {
        self.free.push(packet);
    }
}
