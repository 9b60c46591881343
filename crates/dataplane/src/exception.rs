//! The thread between the workers and the host's kernel.
//!
//! Each port that wants one has a TAP of the same hardware address. What workers give to the host comes over rings and is
//! written to the TAP; what the host sends is read from it and goes to the first worker, as it is. System calls are
//! made here only, never by a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dpdk::{Burst, Consumer, Producer, RxQueue, TxQueue};
use pipeline::Counter;

use crate::idle::{Idle, Rest};

/// What became of packets between workers and host: counted by the exception thread.
#[derive(Debug, Default)]
pub struct ExceptionCounters {
    /// Written to TAPs.
    pub to_host: Counter,
    /// Not taken by a TAP: the host is slow, or the interface down.
    pub to_host_dropped: Counter,
    /// Read from TAPs.
    pub from_host: Counter,
    /// Not taken by the first worker's ring.
    pub from_host_dropped: Counter,
}

/// One port's TAP.
pub(crate) struct Tap {
    pub(crate) rx: RxQueue,
    pub(crate) tx: TxQueue,
}

pub(crate) struct Exception {
    /// By port.
    pub(crate) taps: Vec<Option<Tap>>,
    pub(crate) from_workers: Vec<Consumer>,
    pub(crate) to_worker: Producer,
    pub(crate) counters: Arc<ExceptionCounters>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Exception {
    /// Turns until told to stop. It sleeps when idle whatever the workers do: it has no core of its own.
    pub(crate) fn run(mut self) {
        let mut rest = Rest::new(Idle::Sleep);
        let mut burst = Burst::new();
        while !self.stop.load(Relaxed) {
            let moved = self.deliver(&mut burst) + self.collect(&mut burst);
            rest.after_turn(moved > 0);
        }
    }

    fn deliver(&mut self, burst: &mut Burst) -> usize {
        let mut moved = 0;
        for ring in &mut self.from_workers {
            moved += ring.pop_burst(burst);
            for packet in burst.drain() {
                let port = (packet.mark() & 0xffff) as usize;
                let mut one: Burst = Burst::new();
                let _ = one.push(packet);
                let sent = match self.taps.get_mut(port) {
                    Some(Some(tap)) => tap.tx.send(&mut one),
                    _ => 0,
                };
                self.counters.to_host.add(sent as u64);
                self.counters.to_host_dropped.add(1 - sent as u64);
            }
        }
        moved
    }

    fn collect(&mut self, burst: &mut Burst) -> usize {
        let mut moved = 0;
        for (port, tap) in self.taps.iter_mut().enumerate() {
            let Some(tap) = tap else { continue };
            moved += tap.rx.burst(burst);
            burst.iter_mut().for_each(|packet| packet.set_mark(port as u32));
            let passed = self.to_worker.push_burst(burst);
            self.counters.from_host.add(passed as u64);
            self.counters.from_host_dropped.add(burst.len() as u64);
            burst.clear();
        }
        moved
    }
}
