//! Waits until changes have come to rest, so that many at once become one.

use std::time::{Duration, Instant};

/// When to act on changes: once there was none for a while, but not later than a longer while after the first.
#[derive(Debug)]
pub struct Debounce {
    quiet: Duration,
    most: Duration,
    waiting: Option<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    since: Instant,
    due: Instant,
}

impl Debounce {
    /// Acts after `quiet` without a change, and `most` after the first one at the latest.
    pub fn new(quiet: Duration, most: Duration) -> Debounce {
        Debounce { quiet, most, waiting: None }
    }

    /// Something has changed.
    pub fn touch(&mut self, now: Instant) {
        let since = self.waiting.map_or(now, |waiting| waiting.since);
        let due = (now + self.quiet).min(since + self.most);
        self.waiting = Some(Waiting { since, due });
    }

    /// Acting has failed: to be done again at `due`, or when there are changes.
    pub fn retry(&mut self, due: Instant) {
        self.waiting = Some(Waiting { since: due, due });
    }

    /// How long to wait from now on; none if nothing has changed.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.waiting.map(|waiting| waiting.due.saturating_duration_since(now))
    }

    /// Whether it is time; says so once.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.waiting.is_some_and(|waiting| now >= waiting.due);
        if due {
            self.waiting = None;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(20);
    const MOST: Duration = Duration::from_millis(100);

    /// Milliseconds at which it acts, when it is asked every millisecond and changes come at `touches`.
    fn acts(touches: &[u64]) -> Vec<u64> {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, MOST);
        let mut acts = Vec::new();
        for ms in 0..400 {
            let now = start + Duration::from_millis(ms);
            if touches.contains(&ms) {
                debounce.touch(now);
            }
            if debounce.take(now) {
                acts.push(ms);
            }
        }
        acts
    }

    #[test]
    fn changes_that_follow_each_other_count_as_one() {
        let steady: Vec<u64> = (0..250).step_by(10).collect();
        for (name, touches, want) in [
            ("nothing", &[][..], &[][..]),
            ("one", &[5], &[25]),
            ("three at once", &[5, 6, 7], &[27]),
            ("two apart", &[0, 50], &[20, 70]),
            ("just within", &[0, 19], &[39]),
            ("without end", &steady, &[100, 210, 260]),
        ] {
            assert_eq!(acts(touches), want, "{name}");
        }
    }

    #[test]
    fn a_failure_is_tried_again_later_or_with_the_next_change() {
        let now = Instant::now();
        let mut debounce = Debounce::new(QUIET, MOST);
        assert_eq!(debounce.left(now), None);
        debounce.retry(now + MOST);
        assert_eq!(debounce.left(now), Some(MOST));
        assert!(!debounce.take(now));
        debounce.touch(now);
        assert_eq!(debounce.left(now), Some(QUIET));
        assert!(debounce.take(now + QUIET) && !debounce.take(now + MOST));
    }
}
