//! What a poll loop does when a turn found nothing to do.
//!
//! A worker that has a core to itself polls on. On a shared core that starves its neighbours, so it may yield, or
//! sleep for a time that doubles from [`SHORTEST`] to [`LONGEST`] while nothing comes: an idle worker then
//! costs about one wake-up a millisecond, and the first packet waits no longer than that.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(1);
/// Empty turns before the first sleep: a packet is often followed by its answer.
const PATIENCE: u32 = 64;

/// How a thread waits for work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Poll again at once: for a core of one's own.
    #[default]
    Poll,
    /// Let other threads of this core run first.
    Yield,
    /// Sleep, longer while nothing comes.
    Sleep,
}

/// One thread's patience.
#[derive(Debug)]
pub(crate) struct Rest {
    idle: Idle,
    empty_turns: u32,
    next: Duration,
}

impl Rest {
    pub(crate) fn new(idle: Idle) -> Self {
        Self { idle, empty_turns: 0, next: SHORTEST }
    }

    /// After a turn: waits as the setting says if it found nothing to do.
    pub(crate) fn after_turn(&mut self, found_work: bool) {
        if found_work {
            self.empty_turns = 0;
            self.next = SHORTEST;
            return;
        }
        match self.idle {
            Idle::Poll => std::hint::spin_loop(),
            Idle::Yield => std::thread::yield_now(),
            Idle::Sleep if self.empty_turns < PATIENCE => {
                self.empty_turns += 1;
                std::thread::yield_now();
            }
            Idle::Sleep => {
                std::thread::sleep(self.next);
                self.next = (self.next * 2).min(LONGEST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_grow_to_the_longest_and_work_resets_them() {
        let mut rest = Rest::new(Idle::Sleep);
        for _ in 0..PATIENCE + 8 {
            rest.after_turn(false);
        }
        assert_eq!(rest.next, LONGEST);
        rest.after_turn(true);
        assert_eq!((rest.next, rest.empty_turns), (SHORTEST, 0));
    }
}
