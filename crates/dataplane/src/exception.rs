//! The thread between the workers and the host's kernel.
//!
//! Each port that wants one has a TAP of the same hardware address. What workers give to the host comes over rings and is
//! written to the TAP; what the host sends is read from it and goes to the first worker, as it is. System calls are
//! made here only, never by a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

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

/// How far the thread is on its way to the end. Workers must not stop before it has closed, nor it end before they stopped:
/// what is on the rings between them would be lost uncounted.
#[derive(Debug, Default)]
pub(crate) struct Phase(AtomicU8);

impl Phase {
    const RUNS: u8 = 0;
    const CLOSING: u8 = 1;
    const CLOSED: u8 = 2;
    const ENDING: u8 = 3;

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Release);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Acquire)
    }

    /// Asks the thread to take nothing more from TAPs, and waits until it does so; at most for `patience`.
    pub(crate) fn close(&self, patience: Duration) {
        let until = Instant::now() + patience;
        self.set(Self::CLOSING);
        while self.get() == Self::CLOSING && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Lets the thread deliver what workers left, and end.
    pub(crate) fn end(&self) {
        self.set(Self::ENDING);
    }
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
    pub(crate) phase: Arc<Phase>,
}

impl Exception {
    /// Turns until told to end. It sleeps when idle whatever the workers do: it has no core of its own.
    pub(crate) fn run(mut self) {
        let mut rest = Rest::new(Idle::Sleep);
        let mut burst = Burst::new();
        loop {
            let mut moved = 0;
            match self.phase.get() {
                Phase::RUNS => moved += self.collect(&mut burst),
                Phase::CLOSING => self.phase.set(Phase::CLOSED),
                Phase::CLOSED => {}
                _ => break,
            }
            moved += self.deliver(&mut burst);
            rest.after_turn(moved > 0);
        }
        while self.deliver(&mut burst) > 0 {}
    }

    /// Writes to TAPs what workers have for the host.
    fn deliver(&mut self, burst: &mut Burst) -> usize {
        let mut moved = 0;
        for ring in &mut self.from_workers {
            moved += ring.pop_burst(burst);
            let (taps, counters) = (&mut self.taps, &self.counters);
            let mut together = Burst::new();
            let mut port = 0;
            for packet in burst.drain() {
                let next = (packet.mark() & 0xffff) as usize;
                if next != port {
                    write(taps, counters, port, &mut together);
                    port = next;
                }
                // As large as the burst that is drained.
                let _ = together.push(packet);
            }
            write(taps, counters, port, &mut together);
        }
        moved
    }

    /// Reads what the host sent from TAPs.
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

/// Writes packets to one port's TAP; what it does not take is dropped.
fn write(taps: &mut [Option<Tap>], counters: &ExceptionCounters, port: usize, packets: &mut Burst) {
    let sent = match taps.get_mut(port) {
        Some(Some(tap)) => tap.tx.send(packets),
        _ => 0,
    };
    counters.to_host.add(sent as u64);
    counters.to_host_dropped.add(packets.len() as u64);
    packets.clear();
}
