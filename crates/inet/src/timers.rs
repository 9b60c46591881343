//! Due times of numbered things: a binary heap that knows where each number sits.
//!
//! Invariant: a number is in the heap at most once, so the heap never grows beyond the numbers there are and never
//! allocates after construction.

const ABSENT: u32 = u32::MAX;

/// Due times of the numbers `0..count`.
#[derive(Debug)]
pub(crate) struct Timers {
    heap: Vec<u32>,
    place: Vec<u32>,
    due_ms: Vec<u64>,
}

impl Timers {
    pub(crate) fn new(count: usize) -> Self {
        Self { heap: Vec::with_capacity(count), place: vec![ABSENT; count], due_ms: vec![0; count] }
    }

    /// Arms `number`, or moves its due time.
    pub(crate) fn set(&mut self, number: u32, due_ms: u64) {
        self.due_ms[number as usize] = due_ms;
        let at = match self.place[number as usize] {
            ABSENT => {
                self.heap.push(number);
                self.heap.len() - 1
            }
            at => at as usize,
        };
        let at = self.up(at);
        self.down(at);
    }

    /// Disarms `number`.
    pub(crate) fn clear(&mut self, number: u32) {
        let at = self.place[number as usize];
        if at == ABSENT {
            return;
        }
        self.place[number as usize] = ABSENT;
        let last = self.heap.pop();
        if let Some(last) = last.filter(|&last| last != number) {
            self.heap[at as usize] = last;
            let at = self.up(at as usize);
            self.down(at);
        }
    }

    /// The number due first, if its time has come; it stays armed.
    pub(crate) fn due(&self, now_ms: u64) -> Option<u32> {
        self.heap.first().copied().filter(|&number| self.due_ms[number as usize] <= now_ms)
    }

    /// When the next one is due.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.heap.first().map(|&number| self.due_ms[number as usize])
    }

    fn key(&self, at: usize) -> u64 {
        self.due_ms[self.heap[at] as usize]
    }

    fn up(&mut self, mut at: usize) -> usize {
        while at > 0 && self.key(at) < self.key((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        self.place[self.heap[at] as usize] = at as u32;
        at
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.key(child) < self.key(least) {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.place[self.heap[a] as usize] = a as u32;
        self.place[self.heap[b] as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_sorted_map(steps in prop::collection::vec((0..16u32, 0..3u8, 0..50u64), 1..200)) {
            let mut timers = Timers::new(16);
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (number, action, ms) in steps {
                match action {
                    0 => {
                        timers.clear(number);
                        model.remove(&number);
                    }
                    _ => {
                        timers.set(number, ms);
                        model.insert(number, ms);
                    }
                }
                let first = model.values().min().copied();
                prop_assert_eq!(timers.next_ms(), first);
                let due = timers.due(ms);
                prop_assert_eq!(due.map(|n| model[&n]), first.filter(|&f| f <= ms));
            }
        }
    }
}
