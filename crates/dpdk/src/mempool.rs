//! Where packets come from: a fixed number of mbufs, allocated at once.
//!
//! Invariant: a pool's memory outlives its mbufs. When the last handle goes, the pool is retired (see `eal.rs`), and
//! its memory is given back once all its mbufs are home.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as sys;

use crate::eal::Hold;
use crate::error::{Errno, NameError, c_name};
use crate::{Burst, Eal, EalError, HEADROOM, Mbuf};

/// Why there is no pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    #[error("mempool: {0}")]
    Name(#[from] NameError),
    #[error("mempool '{pool}': {option} = {value} is out of range {min}..={max}")]
    OutOfRange { pool: String, option: &'static str, value: u32, min: u32, max: u32 },
    #[error("mempool '{pool}' of {count} mbufs with {data_room} bytes each could not be made: {error}")]
    Create { pool: String, count: u32, data_room: u16, error: Errno },
    #[error(transparent)]
    Eal(#[from] EalError),
}

/// A pool of mbufs. Clones are handles to the same pool.
#[derive(Clone)]
pub struct Mempool {
    inner: Arc<Inner>,
}

struct Inner {
    pool: NonNull<sys::rte_mempool>,
    name: String,
    data_room: u16,
    hold: Hold,
}

// SAFETY: DPDK's pools are made for concurrent use from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Mempool {
    /// Room for a frame of the usual size: what most drivers expect, and enough for an MTU of 2022.
    pub const DATA_ROOM: u16 = 2048;

    /// The most: a buffer's length has 16 bits.
    pub const MOST_DATA_ROOM: u16 = u16::MAX - HEADROOM as u16;

    /// Makes a pool of `count` mbufs (one less than a power of two wastes no memory), each with [`HEADROOM`] and
    /// `data_room` bytes behind it. Every registered thread keeps up to `cache` of them at hand (0 to 512, at most
    /// two thirds of `count`). `socket` is the NUMA node, `None` for any. The name must be unique in the process.
    pub fn new(
        eal: &'static Eal,
        name: &str,
        count: u32,
        cache: u32,
        data_room: u16,
        socket: Option<u32>,
    ) -> Result<Self, MempoolError> {
        let c_name = c_name(name, sys::RVS_MEMPOOL_NAMESIZE)?;
        let max_cache = sys::RTE_MEMPOOL_CACHE_MAX_SIZE.min((u64::from(count) * 2 / 3) as u32);
        let max_room = u32::from(Self::MOST_DATA_ROOM);
        for (option, value, min, max) in [
            ("count", count, 1, u32::MAX - 1),
            ("cache", cache, 0, max_cache),
            ("data_room", u32::from(data_room), 64, max_room),
        ] {
            if value < min || value > max {
                return Err(MempoolError::OutOfRange { pool: name.to_owned(), option, value, min, max });
            }
        }
        let hold = eal.hold()?;
        eal.sweep();
        let socket = socket.map_or(sys::RVS_SOCKET_ID_ANY, |node| node as i32);
        // SAFETY: EAL runs and is kept running by `hold`; the name is a C string that the call copies.
        let pool = unsafe {
            sys::rte_pktmbuf_pool_create(
                c_name.as_ptr(),
                count,
                cache,
                0,
                data_room + HEADROOM as u16,
                socket,
            )
        };
        let Some(pool) = NonNull::new(pool) else {
            return Err(MempoolError::Create {
                pool: name.to_owned(),
                count,
                data_room,
                error: Errno::last(),
            });
        };
        Ok(Self { inner: Arc::new(Inner { pool, name: name.to_owned(), data_room, hold }) })
    }

    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Bytes for data behind the headroom of each mbuf.
    pub fn data_room(&self) -> u16 {
        self.inner.data_room
    }

    /// An empty packet, or `None` when the pool has no more.
    #[inline]
    pub fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as `inner`.
        let raw = unsafe { sys::rvs_pktmbuf_alloc(self.raw()) };
        // SAFETY: a fresh mbuf is well-formed and belongs to us alone.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    /// Adds `count` empty packets to a burst: all, or none when the pool has not as many or the burst no room.
    #[inline]
    pub fn alloc_burst<const N: usize>(&self, burst: &mut Burst<N>, count: usize) -> bool {
        let (slots, room) = burst.spare();
        if count > usize::from(room) {
            return false;
        }
        // SAFETY: the pool lives as long as `inner`; `count` slots may be written.
        let code = unsafe { sys::rvs_pktmbuf_alloc_bulk(self.raw(), slots, count as u32) };
        if code != 0 {
            return false;
        }
        // SAFETY: the call filled `count` slots with fresh mbufs.
        unsafe { burst.grow(count) };
        true
    }

    /// Mbufs that someone holds. Exact only while no thread allocates or frees.
    pub fn in_use(&self) -> usize {
        // SAFETY: the pool lives as long as `inner`.
        unsafe { sys::rte_mempool_in_use_count(self.raw()) as usize }
    }

    /// Mbufs that can still be had, threads' caches counted. Exact only while no thread allocates or frees.
    pub fn available(&self) -> usize {
        // SAFETY: the pool lives as long as `inner`.
        unsafe { sys::rte_mempool_avail_count(self.raw()) as usize }
    }

    #[inline]
    pub(crate) fn raw(&self) -> *mut sys::rte_mempool {
        self.inner.pool.as_ptr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hold.eal().retire(self.pool);
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool").field("name", &self.inner.name).field("in_use", &self.in_use()).finish()
    }
}
