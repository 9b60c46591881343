//! A thread that works beside the others until it is told to stop.

use std::io;
use std::thread::{self, JoinHandle};

/// A running thread, and what stops it: `S` is the end of a channel or pipe whose closing wakes the thread, which then
/// returns. Stops when dropped.
#[derive(Debug)]
pub(crate) struct Background<S> {
    stop: Option<S>,
    thread: Option<JoinHandle<()>>,
}

impl<S> Background<S> {
    /// Starts `work` on a thread with this name (15 bytes of it are shown by the system).
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub(crate) fn start(name: &str, stop: S, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Background { stop: Some(stop), thread: Some(thread) })
    }
}

impl<S> Drop for Background<S> {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!("thread {name} panicked");
            }
        }
    }
}
