//! The memory of a table: one region, given by the caller or taken from the allocator, cut into arrays at start.
//!
//! Arrays hold plain data and indices, never pointers into the region, so that its content means the same wherever it
//! is mapped. Every array starts on a cache line. What an array holds at first is written before it can be read: all of it
//! at start, or as it grows into the part of the region that was set aside for it, so that memory that no connection
//! ever needed is never touched.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// The alignment of a region that is allocated here: a huge page, so that the kernel can back it with such.
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// The alignment of each array.
pub(crate) const LINE_BYTES: usize = 64;

/// A piece of memory that a table takes over whole.
pub struct Region {
    memory: Arc<Memory>,
    used: usize,
}

/// The memory itself; the region and every array cut from it keep it alive.
struct Memory {
    start: NonNull<u8>,
    len: usize,
    /// The allocation to give back, if it was made here.
    layout: Option<Layout>,
}

// SAFETY: it is only an address and a size, with no tie to the thread that made it; items are reached through arrays
// alone, each of which owns its part.
unsafe impl Send for Memory {}
// SAFETY: as above; nothing can be read or written through a shared `Memory`.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(layout) = self.layout {
            // SAFETY: `start` came from the allocator with this layout, and no array is left.
            unsafe { std::alloc::dealloc(self.start.as_ptr(), layout) }
        }
    }
}

impl Region {
    /// Memory from the process's allocator. `None` if there is not so much.
    pub fn allocate(bytes: usize) -> Option<Region> {
        let layout = Layout::from_size_align(bytes.max(LINE_BYTES), HUGE_PAGE_BYTES).ok()?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { std::alloc::alloc(layout) })?;
        let memory = Memory { start, len: layout.size(), layout: Some(layout) };
        Some(Region { memory: Arc::new(memory), used: 0 })
    }

    /// Memory that the caller mapped, on huge pages of the worker's NUMA node say, and that stays mapped.
    pub fn from_static(memory: &'static mut [MaybeUninit<u8>]) -> Region {
        let len = memory.len();
        let memory = Memory { start: NonNull::from(memory).cast(), len, layout: None };
        Region { memory: Arc::new(memory), used: 0 }
    }

    /// Asks the kernel to back the next `bytes` with huge pages, as far as they fill such, if the memory was allocated here.
    /// A hint, for what is read all over and written whole at start; not for what grows, where the first use of a huge
    /// page would keep a packet waiting while it is cleared.
    pub(crate) fn prefer_huge_pages(&self, bytes: usize) {
        #[cfg(all(target_os = "linux", not(miri)))]
        if self.memory.layout.is_some() {
            let from = self.used.next_multiple_of(HUGE_PAGE_BYTES);
            let end =
                self.used.saturating_add(bytes).min(self.memory.len) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
            if from < end {
                // SAFETY: the range is inside the allocation, which starts on a huge page, and the advice changes how
                // memory is backed, never what it holds. That it may be refused is all the same.
                unsafe {
                    libc::madvise(
                        self.memory.start.as_ptr().add(from).cast(),
                        end - from,
                        libc::MADV_HUGEPAGE,
                    )
                };
            }
        }
        #[cfg(not(all(target_os = "linux", not(miri))))]
        let _ = bytes;
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.memory.len
    }

    /// Whether it has no room at all.
    pub fn is_empty(&self) -> bool {
        self.memory.len == 0
    }

    /// Cuts off an array of `len` copies of `value`. `None` if the rest is too small.
    pub(crate) fn cut<T: Copy>(&mut self, len: usize, value: T) -> Option<Array<T>> {
        let mut array = self.set_aside(len)?;
        array.grow(len, value);
        Some(array)
    }

    /// Cuts off an array that is empty and can grow to `most` items. `None` if the rest is too small.
    pub(crate) fn set_aside<T: Copy>(&mut self, most: usize) -> Option<Array<T>> {
        const { assert!(align_of::<T>() <= LINE_BYTES) };
        let begin = self.memory.start.as_ptr() as usize;
        let from = (begin + self.used).next_multiple_of(LINE_BYTES) - begin;
        let end = most.checked_mul(size_of::<T>())?.checked_add(from)?;
        if end > self.memory.len {
            return None;
        }
        self.used = end;
        // SAFETY: `from` is inside the memory, which is one allocation.
        let start = unsafe { self.memory.start.add(from) }.cast::<T>();
        Some(Array { start, len: 0, most, _memory: Arc::clone(&self.memory), _owns: PhantomData })
    }
}

/// How many bytes an array of `len` items takes at most, alignment included.
pub(crate) const fn array_bytes<T>(len: usize) -> usize {
    (len * size_of::<T>()).next_multiple_of(LINE_BYTES)
}

/// An array in a region, used as a slice. Invariant: room for `most` items from `start` is this array's alone, aligned for
/// them, inside the memory; the first `len <= most` are written.
pub(crate) struct Array<T> {
    start: NonNull<T>,
    len: usize,
    most: usize,
    _memory: Arc<Memory>,
    _owns: PhantomData<T>,
}

// SAFETY: an array is the only owner of its part of the region, so it may move with its items.
unsafe impl<T: Send> Send for Array<T> {}

impl<T: Copy> Array<T> {
    /// Adds copies of `value` until there are `len`, or as many as there is room for.
    pub(crate) fn grow(&mut self, len: usize, value: T) {
        for at in self.len..len.min(self.most) {
            // SAFETY: `at < most`, so this is inside the part that is the array's alone, aligned for T.
            unsafe { self.start.add(at).write(value) };
            self.len = at + 1;
        }
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `grow` wrote exactly these items, and only this array reaches them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Array<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_aligned_apart_and_bounded() {
        let memory: &'static mut [MaybeUninit<u8>] = Box::leak(vec![MaybeUninit::uninit(); 1000].into());
        let mut region = Region::from_static(&mut memory[1..]);
        let mut a = region.cut(5, 7u16).unwrap();
        let mut b = region.cut(9, 1u64).unwrap();
        a[4] = 9;
        b[0] = 2;
        assert_eq!((&a[..], &b[..]), (&[7, 7, 7, 7, 9][..], &[2, 1, 1, 1, 1, 1, 1, 1, 1][..]));
        for start in [a.as_ptr() as usize, b.as_ptr() as usize] {
            assert_eq!(start % LINE_BYTES, 0);
        }
        assert!(region.cut(1000, 0u8).is_none(), "more than the rest");
        assert!(region.cut(usize::MAX, 0u64).is_none(), "an overflowing size");
        assert!(region.cut(100, 0u8).is_some(), "a refusal leaves the rest usable");
    }

    #[test]
    fn an_array_grows_into_what_was_set_aside_for_it_and_no_further() {
        let mut region = Region::allocate(640).unwrap();
        let mut growing = region.set_aside::<u32>(100).unwrap();
        let mut after = region.cut(10, 7u32).unwrap();
        assert_eq!(growing.len(), 0);
        growing.grow(60, 1);
        growing[59] = 2;
        growing.grow(50, 9);
        growing.grow(1000, 3);
        assert_eq!((growing.len(), growing[58], growing[59], growing[60], growing[99]), (100, 1, 2, 3, 3));
        after[0] = 8;
        assert_eq!((growing[99], after[9]), (3, 7));
    }

    #[test]
    fn an_allocation_that_cannot_be_had_is_refused() {
        assert!(Region::allocate(usize::MAX).is_none());
        let region = Region::allocate(0).unwrap();
        assert!(!region.is_empty());
    }
}
