//! The data plane's threads: how they start, and that none dies unnoticed.

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};

use dpdk::{Eal, thread};

use crate::error::PlaneError;
use crate::exception::Exception;
use crate::worker::Worker;

/// What happens when a thread panics: its name is kept, and whoever has to know is told at once.
pub(crate) struct Alarm {
    first: OnceLock<String>,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl Alarm {
    pub(crate) fn new(ring: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { first: OnceLock::new(), ring: Box::new(ring) })
    }

    /// The thread that panicked first.
    pub(crate) fn first(&self) -> Option<&str> {
        self.first.get().map(String::as_str)
    }
}

/// On a thread's stack: raises the alarm if the thread panics.
struct Watch {
    name: String,
    alarm: Arc<Alarm>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Another may have been first.
            let _ = self.alarm.first.set(std::mem::take(&mut self.name));
            (self.alarm.ring)();
        }
    }
}

/// Threads that run.
#[derive(Default)]
pub(crate) struct Threads {
    pub(crate) workers: Vec<JoinHandle<()>>,
    pub(crate) exception: Option<JoinHandle<()>>,
}

pub(crate) fn spawn_worker(
    eal: &'static Eal,
    worker: Worker,
    cpu: Option<usize>,
    alarm: &Arc<Alarm>,
) -> Result<JoinHandle<()>, PlaneError> {
    let name = format!("worker-{}", worker.id.0);
    spawn(&name, alarm, move || {
        if let Some(cpu) = cpu
            && let Err(error) = thread::pin_to_cpu(cpu)
        {
            tracing::error!(%error, cpu, "worker is not pinned");
        }
        let _registration = register(eal);
        worker.run();
    })
}

pub(crate) fn spawn_exception(
    eal: &'static Eal,
    exception: Exception,
    alarm: &Arc<Alarm>,
) -> Result<JoinHandle<()>, PlaneError> {
    spawn("exception", alarm, move || {
        let _registration = register(eal);
        exception.run();
    })
}

/// Waits for a thread's end. A panic was reported when it happened.
pub(crate) fn join(thread: JoinHandle<()>) {
    let _ = thread.join();
}

/// Without registration a thread works too, only slower: it has no cache of packet buffers.
fn register(eal: &'static Eal) -> Option<thread::Registration> {
    thread::register(eal)
        .inspect_err(|error| tracing::warn!(%error, "thread has no packet buffer cache"))
        .ok()
}

fn spawn(
    name: &str,
    alarm: &Arc<Alarm>,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, PlaneError> {
    let watch = Watch { name: name.to_owned(), alarm: Arc::clone(alarm) };
    let run = move || {
        let _watch = watch;
        run();
    };
    let failed = |error: io::Error| PlaneError::Thread { name: name.to_owned(), error };
    Builder::new().name(name.to_owned()).spawn(run).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    #[test]
    fn a_panic_raises_the_alarm_and_an_ordinary_end_does_not() {
        let rung = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&rung);
        let alarm = Alarm::new(move || {
            count.fetch_add(1, Relaxed);
        });
        join(spawn("quiet", &alarm, || ()).unwrap());
        assert_eq!((alarm.first(), rung.load(Relaxed)), (None, 0));
        for name in ["first", "second"] {
            join(
                spawn(name, &alarm, || std::panic::resume_unwind(Box::new("a panic without its message")))
                    .unwrap(),
            );
        }
        assert_eq!((alarm.first(), rung.load(Relaxed)), (Some("first"), 2));
    }
}
