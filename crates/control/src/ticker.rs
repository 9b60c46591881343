//! What the control core does by the clock: estimating rates.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::control::Control;
use crate::estimator::INTERVAL;

/// The thread that does it; stops when dropped.
#[derive(Debug)]
pub struct Ticker {
    /// Closing it wakes the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn start(control: Arc<Control>) -> io::Result<Ticker> {
        let (stop, stopped) = channel();
        let thread =
            thread::Builder::new().name("rvs-ticker".into()).spawn(move || run(&control, &stopped))?;
        Ok(Ticker { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends the thread and waits for it.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that estimates rates panicked");
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shut();
    }
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
