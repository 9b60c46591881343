//! Time for workers: the processor's time-stamp counter, calibrated against the system's monotonic clock.
//!
//! `rte_get_tsc_hz()` can be off by more than a part in a thousand on virtual machines, which would make a 15-minute
//! timeout a second wrong; measuring takes 20 ms once and is good to some ten parts in a million.

use std::time::{Duration, Instant};

use dpdk_sys as sys;

const CALIBRATION: Duration = Duration::from_millis(20);

/// Converts counter readings to time since calibration. Reading costs some 25 cycles: read once a loop turn.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start_cycles: u64,
    /// Counter ticks per second.
    hz: u64,
    /// Microseconds per tick, as a binary fraction of 64 bits.
    micros_per_cycle: u64,
}

impl Clock {
    /// Measures the counter's rate; takes 20 ms. Clocks of different workers agree only if they are copies of one.
    pub fn calibrate() -> Self {
        let (start, start_cycles) = sample();
        std::thread::sleep(CALIBRATION);
        let (end, end_cycles) = sample();
        Self::with_rate(start_cycles, end_cycles - start_cycles, end - start)
    }

    fn with_rate(start_cycles: u64, cycles: u64, elapsed: Duration) -> Self {
        let hz = (u128::from(cycles) * 1_000_000_000 / elapsed.as_nanos().max(1)) as u64;
        let hz = hz.max(1_000_001);
        Self { start_cycles, hz, micros_per_cycle: ((1_000_000u128 << 64) / u128::from(hz)) as u64 }
    }

    /// The counter now.
    #[inline]
    pub fn now_cycles(&self) -> u64 {
        read()
    }

    /// Counter ticks per second.
    pub fn hz(&self) -> u64 {
        self.hz
    }

    /// Microseconds from calibration to the reading `cycles`; 0 for readings before it.
    #[inline]
    pub fn micros(&self, cycles: u64) -> u64 {
        let elapsed = cycles.saturating_sub(self.start_cycles);
        ((u128::from(elapsed) * u128::from(self.micros_per_cycle)) >> 64) as u64
    }

    /// Milliseconds from calibration to the reading `cycles`; 0 for readings before it.
    #[inline]
    pub fn millis(&self, cycles: u64) -> u64 {
        self.micros(cycles) / 1000
    }
}

#[inline]
fn read() -> u64 {
    // SAFETY: reads the processor's counter; touches no memory.
    unsafe { sys::rvs_rdtsc() }
}

/// Both clocks at one moment: of several tries, the one in which the least time passed between the readings.
fn sample() -> (Instant, u64) {
    let mut best = (u64::MAX, Instant::now(), 0);
    for _ in 0..16 {
        let before = read();
        let now = Instant::now();
        let after = read();
        if after.wrapping_sub(before) < best.0 {
            best = (after.wrapping_sub(before), now, before + (after.wrapping_sub(before)) / 2);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_is_exact_to_the_microsecond_over_months() {
        let clock = Clock::with_rate(1_000, 2_600_000_000, Duration::from_secs(1));
        assert_eq!(clock.hz(), 2_600_000_000);
        let cases = [
            ("before the start", 0, 0),
            ("at the start", 1_000, 0),
            ("one second", 1_000 + 2_600_000_000, 1_000_000),
            ("100 days", 1_000 + 2_600_000_000 * 8_640_000, 8_640_000_000_000),
        ];
        for (name, cycles, want) in cases {
            let got = clock.micros(cycles);
            assert!(got.abs_diff(want) <= 1, "{name}: {got}, want {want}");
            assert_eq!(clock.millis(cycles), got / 1000, "{name}");
        }
    }

    #[test]
    fn it_runs_with_the_system_clock() {
        let clock = Clock::calibrate();
        let outer = Instant::now();
        let from = clock.now_cycles();
        let inner = Instant::now();
        std::thread::sleep(Duration::from_millis(50));
        let least = inner.elapsed().as_micros() as u64;
        let to = clock.now_cycles();
        let most = outer.elapsed().as_micros() as u64;
        let got = clock.micros(to) - clock.micros(from);
        let off = |micros: u64| micros / 1000 + 2;
        assert!(got + off(got) >= least && got <= most + off(most), "{got} us is not in {least}..={most} us");
    }
}
