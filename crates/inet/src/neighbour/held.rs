//! Packets that wait: queues in one shared pool, so that their number is bounded in all and nothing is allocated.
//!
//! Invariant: each cell is in exactly one queue or in the list of free ones.

const NONE: u32 = u32::MAX;

/// A queue's ends; its cells are in the pool. Not to be dropped while it has packets: splice it into another.
#[derive(Debug)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }
}

#[derive(Debug)]
struct Cell<B> {
    packet: Option<B>,
    next: u32,
}

/// The pool.
#[derive(Debug)]
pub(super) struct Held<B> {
    cells: Vec<Cell<B>>,
    free: u32,
    len: usize,
}

impl<B> Held<B> {
    pub(super) fn new(capacity: usize) -> Self {
        let last = capacity.saturating_sub(1);
        let cell = |at: usize| Cell { packet: None, next: if at == last { NONE } else { at as u32 + 1 } };
        Self { cells: (0..capacity).map(cell).collect(), free: if capacity == 0 { NONE } else { 0 }, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_full(&self) -> bool {
        self.free == NONE
    }

    /// Puts a packet at the end; gives it back if the pool is full.
    pub(super) fn push(&mut self, queue: &mut Queue, packet: B) -> Result<(), B> {
        let at = self.free;
        if at == NONE {
            return Err(packet);
        }
        let cell = &mut self.cells[at as usize];
        self.free = cell.next;
        *cell = Cell { packet: Some(packet), next: NONE };
        match queue.tail {
            NONE => queue.head = at,
            tail => self.cells[tail as usize].next = at,
        }
        queue.tail = at;
        queue.len += 1;
        self.len += 1;
        Ok(())
    }

    /// Takes the packet at the front.
    pub(super) fn pop(&mut self, queue: &mut Queue) -> Option<B> {
        let at = queue.head;
        if at == NONE {
            return None;
        }
        let cell = &mut self.cells[at as usize];
        let packet = cell.packet.take();
        queue.head = cell.next;
        cell.next = self.free;
        self.free = at;
        if queue.head == NONE {
            queue.tail = NONE;
        }
        queue.len -= 1;
        self.len -= 1;
        packet
    }

    /// Moves all of `from` behind `to`.
    pub(super) fn splice(&mut self, to: &mut Queue, from: &mut Queue) {
        let from = core::mem::take(from);
        if from.head == NONE {
            return;
        }
        match to.tail {
            NONE => to.head = from.head,
            tail => self.cells[tail as usize].next = from.head,
        }
        to.tail = from.tail;
        to.len += from.len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_within_bounds() {
        let mut held = Held::new(3);
        let (mut a, mut b) = (Queue::default(), Queue::default());
        assert_eq!(held.push(&mut a, 1), Ok(()));
        assert_eq!(held.push(&mut b, 2), Ok(()));
        assert_eq!(held.push(&mut a, 3), Ok(()));
        assert!(held.is_full());
        assert_eq!(held.push(&mut b, 4), Err(4));
        held.splice(&mut b, &mut a);
        assert_eq!((a.len(), b.len(), held.len()), (0, 3, 3));
        assert_eq!(held.pop(&mut a), None);
        assert_eq!(
            [held.pop(&mut b), held.pop(&mut b), held.pop(&mut b), held.pop(&mut b)],
            [Some(2), Some(1), Some(3), None]
        );
        assert_eq!(held.push(&mut a, 5), Ok(()));
        assert_eq!(held.pop(&mut a), Some(5));
    }

    #[test]
    fn a_pool_of_none_holds_none() {
        assert_eq!(Held::new(0).push(&mut Queue::default(), 1), Err(1));
    }
}
