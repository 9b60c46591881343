//! What the control core asks of a worker, and the answers.
//!
//! Requests are rare and looked at between bursts; the worker's side never waits. An answer channel has room for its
//! answer, so sending cannot block, and one whose receiver has gone is simply lost.

use std::sync::Arc;

use crossbeam::channel::Sender;
use crossbeam::queue::ArrayQueue;
use inet::{IfaceId, NeighbourView, News};
use ipvs::trace;
use ipvs::{ConnView, Cursor, ServiceId, Snapshot};

/// Requests that a mailbox holds before the control core must wait.
const REQUESTS: usize = 64;
/// News that waits for a worker; more is lost and learned again, by asking for the neighbour or from the path's routers.
const CHANGES: usize = 1024;

/// A piece of a worker's connection list.
#[derive(Debug)]
pub struct ConnectionPage {
    /// The connections.
    pub connections: Vec<ConnView>,
    /// Where the next piece starts; none: this was the last.
    pub next: Option<Cursor>,
}

/// A request to a worker.
pub(crate) enum Request {
    /// Use this snapshot from now on; the answer is the old one.
    Apply(Arc<Snapshot>, Sender<Arc<Snapshot>>),
    /// List connections from a cursor on, visiting at most so many.
    Connections { from: Cursor, budget: usize, answer: Sender<ConnectionPage> },
    /// Forget connections, of one service or all, from a cursor on, visiting at most so many; how many, and where to go on.
    FlushConnections {
        service: Option<ServiceId>,
        from: Cursor,
        budget: usize,
        answer: Sender<(usize, Option<Cursor>)>,
    },
    /// List neighbours.
    Neighbours(Sender<Vec<NeighbourView>>),
    /// Forget what was learned about neighbours, of one interface or all.
    FlushNeighbours(Option<IfaceId>, Sender<()>),
    /// Go on with another buffer for a trace, or end it; the answer is what was kept until now.
    Trace(Option<Box<trace::Buffer>>, Sender<Option<Box<trace::Buffer>>>),
    /// Receive nothing more from ports; finish what the host's kernel sent.
    Close(Sender<()>),
    /// Finish what fellow workers handed over.
    Settle(Sender<()>),
    /// End the loop.
    Stop,
}

/// A worker's two letter boxes.
pub(crate) struct Mailbox {
    pub(crate) requests: ArrayQueue<Request>,
    pub(crate) learned: ArrayQueue<News>,
}

impl Mailbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { requests: ArrayQueue::new(REQUESTS), learned: ArrayQueue::new(CHANGES) })
    }
}
