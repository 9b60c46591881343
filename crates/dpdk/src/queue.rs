//! Bursts in and out of a port's queues.
//!
//! DPDK's `rte_eth_rx_burst` and `rte_eth_tx_burst` are static inlines over the table `rte_eth_fp_ops`; the same is done
//! here in Rust, so that a burst costs one indirect call.
//!
//! Invariant: a queue's handle is the only one (`port.rs` gives each out once), and holds its port started.

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use dpdk_sys as sys;

use crate::Burst;
use crate::port::{PortId, Started};

/// One receiving queue of a started port; for one thread at a time.
pub struct RxQueue {
    port: Arc<Started>,
    ops: *const sys::rte_eth_fp_ops,
    queue: u16,
}

/// One sending queue of a started port; for one thread at a time.
pub struct TxQueue {
    port: Arc<Started>,
    ops: *const sys::rte_eth_fp_ops,
    queue: u16,
    /// The port computes checksums, for which some drivers want to look at the packets first.
    prepare: bool,
}

// SAFETY: a queue may be polled from any thread as long as it is one at a time, which ownership ensures; `ops` points
// into a static table.
unsafe impl Send for RxQueue {}
// SAFETY: as above.
unsafe impl Send for TxQueue {}

fn ops(port: PortId) -> *const sys::rte_eth_fp_ops {
    debug_assert!(u32::from(port.0) < sys::RTE_MAX_ETHPORTS);
    // SAFETY: DPDK's port numbers are below RTE_MAX_ETHPORTS, the size of the table; only its address is taken.
    unsafe { (&raw const sys::rte_eth_fp_ops).cast::<sys::rte_eth_fp_ops>().add(usize::from(port.0)) }
}

/// What a queue is to its driver, and the callbacks that someone put on it, if any.
///
/// # Safety
/// `data` must be the table of a started port that has the queue.
#[inline]
unsafe fn slots(data: &sys::rte_ethdev_qdata, queue: u16) -> (*mut std::ffi::c_void, *mut std::ffi::c_void) {
    // SAFETY: both arrays have an entry for each queue of the port, as the caller vouches.
    let (driver, callback) = unsafe { (*data.data.add(queue.into()), data.clbk.add(queue.into())) };
    // SAFETY: the slot is a valid, aligned pointer, changed by other threads only atomically.
    let callback = unsafe { AtomicPtr::from_ptr(callback) };
    (driver, callback.load(Ordering::Relaxed))
}

impl RxQueue {
    pub(crate) fn new(port: Arc<Started>, queue: u16) -> Self {
        let ops = ops(port.id());
        Self { port, ops, queue }
    }

    pub fn port(&self) -> PortId {
        self.port.id()
    }

    pub fn queue(&self) -> u16 {
        self.queue
    }

    /// Adds received packets to the burst and says how many. Give it an empty burst: many drivers give nothing to one
    /// that has room for fewer than 4.
    #[inline]
    pub fn burst<const N: usize>(&mut self, burst: &mut Burst<N>) -> usize {
        let (packets, room) = burst.spare();
        if room == 0 {
            return 0;
        }
        // SAFETY: the table's entry stays valid for the process's life; drivers may replace the functions in it while
        // they recover from errors, each by one aligned store, so that a copy is always one or the other.
        let (receive, queues) =
            unsafe { ((&raw const (*self.ops).rx_pkt_burst).read_volatile(), (*self.ops).rxq) };
        // SAFETY: the port is started and has this queue as long as we hold it.
        let (driver, callback) = unsafe { slots(&queues, self.queue) };
        let Some(receive) = receive else { return 0 };
        // SAFETY: the driver gets its own queue, which nobody else polls, and `room` slots to fill.
        let mut count = unsafe { receive(driver, packets, room) };
        if !callback.is_null() {
            count = self.call_back(packets, count, room, callback);
        }
        // SAFETY: the driver filled `count` slots with packets that are now ours.
        unsafe { burst.grow(count.into()) };
        count.into()
    }

    #[cold]
    fn call_back(
        &self,
        packets: *mut *mut sys::rte_mbuf,
        count: u16,
        room: u16,
        callback: *mut std::ffi::c_void,
    ) -> u16 {
        // SAFETY: as rte_eth_rx_burst does it: `count` packets received, `room` slots, the queue's own callbacks.
        unsafe {
            sys::rte_eth_call_rx_callbacks(self.port.id().0, self.queue, packets, count, room, callback)
        }
    }
}

impl TxQueue {
    pub(crate) fn new(port: Arc<Started>, queue: u16) -> Self {
        let (ops, prepare) = (ops(port.id()), port.fills_checksums());
        Self { port, ops, queue, prepare }
    }

    pub fn port(&self) -> PortId {
        self.port.id()
    }

    pub fn queue(&self) -> u16 {
        self.queue
    }

    /// Sends the burst's first packets, as many as the queue takes, and says how many. The others stay in the burst, for
    /// the caller to retry, or to count and free. A packet in several pieces must be linearized first: drivers send
    /// what they like of it.
    #[inline]
    pub fn send<const N: usize>(&mut self, burst: &mut Burst<N>) -> usize {
        if burst.is_empty() {
            return 0;
        }
        let (packets, mut count) = (burst.raw(), burst.len() as u16);
        // SAFETY: see `RxQueue::burst`.
        let (transmit, queues) =
            unsafe { ((&raw const (*self.ops).tx_pkt_burst).read_volatile(), (*self.ops).txq) };
        // SAFETY: the port is started and has this queue as long as we hold it.
        let (driver, callback) = unsafe { slots(&queues, self.queue) };
        if self.prepare {
            count = self.prepared(driver, packets, count);
        }
        if !callback.is_null() {
            count = self.call_back(packets, count, callback);
        }
        let Some(transmit) = transmit else { return 0 };
        // SAFETY: the driver gets its own queue, which nobody else uses, and `count` packets of ours, of which it takes
        // as many as it says.
        let sent = usize::from(unsafe { transmit(driver, packets, count) });
        // SAFETY: the driver owns the first `sent` packets.
        unsafe { burst.forget_front(sent) };
        sent
    }

    /// How many of the packets' wishes for checksums the driver can fulfil, from the first on.
    fn prepared(&self, driver: *mut std::ffi::c_void, packets: *mut *mut sys::rte_mbuf, count: u16) -> u16 {
        // SAFETY: see `RxQueue::burst`.
        let prepare = unsafe { (&raw const (*self.ops).tx_pkt_prepare).read_volatile() };
        // SAFETY: as rte_eth_tx_prepare does it, on packets of ours.
        prepare.map_or(count, |prepare| unsafe { prepare(driver, packets, count) })
    }

    #[cold]
    fn call_back(
        &self,
        packets: *mut *mut sys::rte_mbuf,
        count: u16,
        callback: *mut std::ffi::c_void,
    ) -> u16 {
        // SAFETY: as rte_eth_tx_burst does it: `count` packets of ours, the queue's own callbacks.
        unsafe { sys::rte_eth_call_tx_callbacks(self.port.id().0, self.queue, packets, count, callback) }
    }
}
