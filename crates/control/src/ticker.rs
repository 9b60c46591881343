//! What the control core does by the clock: estimating rates.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use crate::background::Background;
use crate::control::Control;
use crate::estimator::INTERVAL;

/// The thread that does it; stops when dropped.
#[derive(Debug)]
pub struct Ticker {
    _thread: Background<Sender<()>>,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn start(control: Arc<Control>) -> io::Result<Ticker> {
        let (stop, stopped) = channel();
        let thread = Background::start("rvs-ticker", stop, move || run(&control, &stopped))?;
        Ok(Ticker { _thread: thread })
    }

    /// Ends the thread and waits for it.
    pub fn stop(self) {}
}

/// At even intervals, so that a late one does not move those that follow.
fn run(control: &Control, stopped: &Receiver<()>) {
    let mut next = Instant::now() + INTERVAL;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        control.estimate();
        next += INTERVAL;
    }
}
