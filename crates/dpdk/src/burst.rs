//! A handful of packets that travel together, without heap.
//!
//! Invariant: the first `len` slots hold packets, the others nothing. An [`Mbuf`] is a transparent pointer, so that the
//! slots are the array of pointers that DPDK's burst functions want.

use std::mem::MaybeUninit;

use dpdk_sys as sys;

use crate::Mbuf;

/// Packets in a burst, unless asked otherwise: what drivers are tuned for.
pub const BURST: usize = 32;

/// Packets that a burst can be made to hold.
pub const MAX_BURST: usize = 64;

/// Up to `N` packets, in order. Dropping it frees what it holds.
pub struct Burst<const N: usize = BURST> {
    len: usize,
    slots: [MaybeUninit<Mbuf>; N],
}

impl<const N: usize> Burst<N> {
    /// An empty burst.
    #[inline]
    pub fn new() -> Self {
        const { assert!(N > 0 && N <= MAX_BURST, "a burst holds 1 to 64 packets") }
        Self { len: 0, slots: [const { MaybeUninit::uninit() }; N] }
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == N
    }

    /// Adds a packet at the end; gives it back when the burst is full.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        match self.slots.get_mut(self.len) {
            Some(slot) => {
                slot.write(mbuf);
                self.len += 1;
                Ok(())
            }
            None => Err(mbuf),
        }
    }

    #[inline]
    pub fn as_slice(&self) -> &[Mbuf] {
        // SAFETY: the first `len` slots hold packets.
        unsafe { std::slice::from_raw_parts(self.slots.as_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [Mbuf] {
        // SAFETY: the first `len` slots hold packets.
        unsafe { std::slice::from_raw_parts_mut(self.slots.as_mut_ptr().cast(), self.len) }
    }

    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Mbuf> {
        self.as_slice().iter()
    }

    #[inline]
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Mbuf> {
        self.as_mut_slice().iter_mut()
    }

    /// Takes all packets out, in order; those that the iterator does not reach are freed.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_, N> {
        let end = std::mem::take(&mut self.len);
        Drain { burst: self, next: 0, end }
    }

    /// Frees all packets.
    #[inline]
    pub fn clear(&mut self) {
        self.drain();
    }

    /// The free slots behind the packets: where they begin, and how many there are.
    #[inline]
    pub(crate) fn spare(&mut self) -> (*mut *mut sys::rte_mbuf, u16) {
        (self.slots[self.len..].as_mut_ptr().cast(), (N - self.len) as u16)
    }

    /// # Safety
    /// The first `count` slots of [`Self::spare`] must now hold packets that the burst is to own.
    #[inline]
    pub(crate) unsafe fn grow(&mut self, count: usize) {
        debug_assert!(self.len + count <= N);
        self.len += count;
    }

    /// The packets as an array of pointers.
    #[inline]
    pub(crate) fn raw(&mut self) -> *mut *mut sys::rte_mbuf {
        self.slots.as_mut_ptr().cast()
    }

    /// Moves what is behind the first `count` packets to the front.
    ///
    /// # Safety
    /// `count` must not exceed `len`, and the first `count` packets must have been given away.
    #[inline]
    pub(crate) unsafe fn forget_front(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        let left = self.len - count;
        if count > 0 && left > 0 {
            let base = self.slots.as_mut_ptr();
            // SAFETY: both ranges lie within the slots; slots are plain pointers.
            unsafe { std::ptr::copy(base.add(count), base, left) }
        }
        self.len = left;
    }
}

impl<const N: usize> Default for Burst<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Drop for Burst<N> {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl<'a, const N: usize> IntoIterator for &'a mut Burst<N> {
    type Item = &'a mut Mbuf;
    type IntoIter = std::slice::IterMut<'a, Mbuf>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<'a, const N: usize> IntoIterator for &'a Burst<N> {
    type Item = &'a Mbuf;
    type IntoIter = std::slice::Iter<'a, Mbuf>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The packets of a burst on their way out of it.
pub struct Drain<'a, const N: usize> {
    burst: &'a mut Burst<N>,
    /// Slots `next..end` still hold packets.
    next: usize,
    end: usize,
}

impl<const N: usize> Iterator for Drain<'_, N> {
    type Item = Mbuf;

    #[inline]
    fn next(&mut self) -> Option<Mbuf> {
        if self.next == self.end {
            return None;
        }
        // SAFETY: slots next..end hold packets, and this one is not looked at again.
        let mbuf = unsafe { self.burst.slots[self.next].assume_init_read() };
        self.next += 1;
        Some(mbuf)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl<const N: usize> ExactSizeIterator for Drain<'_, N> {}

impl<const N: usize> Drop for Drain<'_, N> {
    #[inline]
    fn drop(&mut self) {
        let left = self.end - self.next;
        if left > 0 {
            // SAFETY: slots next..end hold packets that the burst no longer counts, so that they are freed once.
            unsafe { sys::rte_pktmbuf_free_bulk(self.burst.raw().add(self.next), left as u32) }
        }
    }
}
