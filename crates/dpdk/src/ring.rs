//! Handing packets from one thread to another: one producer, one consumer, no lock (`rte_ring`).

use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as sys;

use crate::eal::Hold;
use crate::error::{Errno, NameError, c_name};
use crate::{Burst, Eal, EalError, MAX_BURST, Mbuf};

/// Why there is no ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    #[error("ring: {0}")]
    Name(#[from] NameError),
    #[error("ring '{ring}': size = {size} is out of range 1..={max}")]
    OutOfRange { ring: String, size: u32, max: u32 },
    #[error("ring '{ring}' of {size} packets could not be made: {error}")]
    Create { ring: String, size: u32, error: Errno },
    #[error(transparent)]
    Eal(#[from] EalError),
}

/// A ring between two threads, owned by its two ends together. When both are gone, what is inside is freed.
pub struct Ring {
    ring: NonNull<sys::rte_ring>,
    size: u32,
    /// Keeps the memory under the ring.
    _hold: Hold,
}

// SAFETY: the ring's memory belongs to no thread; who may do what with it is up to the two ends.
unsafe impl Send for Ring {}
// SAFETY: shared, it offers only the two ends' operations, which rte_ring synchronises with each other.
unsafe impl Sync for Ring {}

/// The end that packets go in. One thread at a time: methods take `&mut self`, and there is no second one.
pub struct Producer {
    ring: Arc<Ring>,
}

/// The end that packets come out of. One thread at a time: methods take `&mut self`, and there is no second one.
pub struct Consumer {
    ring: Arc<Ring>,
}

impl Ring {
    /// Makes a ring for `size` packets. The name must be unique in the process.
    pub fn spsc(eal: &'static Eal, name: &str, size: u32) -> Result<(Producer, Consumer), RingError> {
        let c_name = c_name(name, sys::RVS_RING_NAMESIZE)?;
        // Sizes are rounded up to a power of two, of which 2^31 does not exist.
        let max = (sys::RTE_RING_SZ_MASK >> 1) - 1;
        if size == 0 || size > max {
            return Err(RingError::OutOfRange { ring: name.to_owned(), size, max });
        }
        let hold = eal.hold()?;
        let flags = sys::RING_F_SP_ENQ | sys::RING_F_SC_DEQ | sys::RING_F_EXACT_SZ;
        // SAFETY: EAL runs and is kept running by `hold`; the name is a C string that the call copies.
        let ring = unsafe { sys::rte_ring_create(c_name.as_ptr(), size, sys::RVS_SOCKET_ID_ANY, flags) };
        let Some(ring) = NonNull::new(ring) else {
            return Err(RingError::Create { ring: name.to_owned(), size, error: Errno::last() });
        };
        let ring = Arc::new(Self { ring, size, _hold: hold });
        Ok((Producer { ring: Arc::clone(&ring) }, Consumer { ring }))
    }

    fn len(&self) -> usize {
        // SAFETY: the ring lives as long as `self`; the call only reads its two counters.
        unsafe { sys::rvs_ring_count(self.ring.as_ptr()) as usize }
    }
}

impl Producer {
    /// Hands over the burst's first packets, as many as there is room for, and says how many; the others stay.
    #[inline]
    pub fn push_burst<const N: usize>(&mut self, burst: &mut Burst<N>) -> usize {
        // SAFETY: the ring lives as long as `self`, and `&mut self` makes us its only producer; the first `len` slots
        // are packets of ours.
        let sent = unsafe {
            sys::rvs_ring_sp_enqueue_burst(self.ring.ring.as_ptr(), burst.raw().cast(), burst.len() as u32)
                as usize
        };
        // SAFETY: the first `sent` packets now belong to the ring.
        unsafe { burst.forget_front(sent) };
        sent
    }

    /// Hands over one packet; gives it back when the ring is full.
    #[inline]
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        let raw = mbuf.into_raw();
        let slot = [raw.as_ptr().cast()];
        // SAFETY: as in `push_burst`, with one packet of ours.
        let sent = unsafe { sys::rvs_ring_sp_enqueue_burst(self.ring.ring.as_ptr(), slot.as_ptr(), 1) };
        if sent == 1 {
            return Ok(());
        }
        // SAFETY: the ring did not take it, so that it is still ours alone.
        Err(unsafe { Mbuf::from_raw(raw) })
    }

    /// Packets inside. The consumer may be taking some.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packets that fit.
    pub fn capacity(&self) -> usize {
        self.ring.size as usize
    }
}

impl Consumer {
    /// Adds packets to the burst, as many as there are and fit, in the order they were pushed; says how many.
    #[inline]
    pub fn pop_burst<const N: usize>(&mut self, burst: &mut Burst<N>) -> usize {
        let (slots, room) = burst.spare();
        // SAFETY: the ring lives as long as `self`, and `&mut self` makes us its only consumer; `room` slots may be
        // written.
        let count = unsafe {
            sys::rvs_ring_sc_dequeue_burst(self.ring.ring.as_ptr(), slots.cast(), u32::from(room)) as usize
        };
        // SAFETY: the call filled `count` slots with packets that the producer gave away.
        unsafe { burst.grow(count) };
        count
    }

    /// Packets inside. The producer may be adding some.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut mbufs = [std::ptr::null_mut(); MAX_BURST];
        loop {
            // SAFETY: both ends are gone, so that the ring is ours; the array has room for MAX_BURST pointers.
            let count = unsafe {
                sys::rvs_ring_sc_dequeue_burst(self.ring.as_ptr(), mbufs.as_mut_ptr(), MAX_BURST as u32)
            };
            if count == 0 {
                break;
            }
            // SAFETY: the ring owned these packets alone.
            unsafe { sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr().cast(), count) };
        }
        // SAFETY: made by rte_ring_create, empty, and nobody refers to it any more.
        unsafe { sys::rte_ring_free(self.ring.as_ptr()) };
    }
}
