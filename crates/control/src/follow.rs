//! Follows the addresses that the host's administrator or its daemons (keepalived) put on exception TAPs.
//!
//! One thread listens to rtnetlink in the daemon's network namespace and hands the whole list of addresses on when it has
//! changed and come to rest. When the kernel says that events were lost, everything is asked for anew; until then what
//! was handed on last stays in force. The socket is in [`rtnetlink`], what messages mean in [`kernel`], when to act in
//! [`debounce`].

mod debounce;
mod kernel;
mod rtnetlink;

use std::collections::HashSet;
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_DUMP_INTR, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use self::debounce::Debounce;
use self::kernel::Kernel;
use self::rtnetlink::{Dump, Rtnetlink};
use crate::background::Background;
use crate::overlay::HostAddress;

/// Without a change for so long, changes are handed on.
const QUIET: Duration = Duration::from_millis(20);
/// At the latest after so long.
const MOST: Duration = Duration::from_millis(200);
/// Between two attempts to hand on what was refused.
const RETRY: Duration = Duration::from_secs(1);
/// Before everything is asked for anew, so that a storm of events can pass.
const RESYNC_PAUSE: Duration = Duration::from_millis(100);
/// Between two attempts to get a socket.
const REOPEN_PAUSE: Duration = Duration::from_secs(30);

/// The following thread; stops when dropped.
#[derive(Debug)]
pub struct Follower {
    _thread: Background<OwnedFd>,
}

impl Follower {
    /// Follows the addresses on `taps`, in the network namespace of the calling thread. `sink` is given all of them
    /// whenever they have changed; what it refuses it is given again. Nothing is handed on while there are none.
    pub fn start<E: Display>(
        taps: HashSet<String>,
        sink: impl FnMut(Vec<HostAddress>) -> Result<(), E> + Send + 'static,
    ) -> io::Result<Follower> {
        let (woken, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let debounce = Debounce::new(QUIET, MOST);
        let listener = Listener { taps, sink, woken, debounce, told: Vec::new(), is_silent: false };
        let thread = Background::start("rvs-follow", stop, move || listener.run())?;
        Ok(Follower { _thread: thread })
    }

    /// Ends the thread and waits for it. What it handed on last stays in force.
    pub fn stop(self) {}
}

/// Why listening has ended.
#[derive(Debug)]
enum Ended {
    Stopped,
    /// No socket, or the kernel refuses to dump.
    Unable(io::Error),
    /// There was something that we have not heard.
    Lost(io::Error),
}

/// What is said on one socket: two dumps, then events.
#[derive(Debug)]
struct Conversation {
    kernel: Kernel,
    /// Under way; none once both dumps are through.
    dump: Option<Dump>,
}

/// What to do after a message.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Listen on; whether something has changed.
    Listen { changed: bool },
    /// Ask for the second dump.
    Ask(Dump),
}

impl Conversation {
    fn new(taps: HashSet<String>) -> Conversation {
        Conversation { kernel: Kernel::new(taps), dump: Some(Dump::Links) }
    }

    /// Takes the next message. Events that come during a dump are in order with it.
    fn take(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) -> Result<Next, Ended> {
        let (header, payload) = message.into_parts();
        if header.flags & NLM_F_DUMP_INTR != 0 {
            return Err(Ended::Lost(io::Error::other("a dump was overtaken by changes")));
        }
        match payload {
            NetlinkPayload::InnerMessage(inner) => {
                let changed = self.kernel.learn(inner);
                Ok(Next::Listen { changed: changed && self.dump.is_none() })
            }
            NetlinkPayload::Done(_) if self.dump == Some(Dump::Links) => {
                self.dump = Some(Dump::Addresses);
                Ok(Next::Ask(Dump::Addresses))
            }
            NetlinkPayload::Done(_) => {
                let changed = self.dump.take().is_some();
                Ok(Next::Listen { changed })
            }
            NetlinkPayload::Error(error) if error.code.is_some() => Err(Ended::Unable(error.to_io())),
            NetlinkPayload::Overrun(_) => Err(Ended::Lost(io::Error::other("the kernel says overrun"))),
            _ => Ok(Next::Listen { changed: false }),
        }
    }
}

/// What the thread has.
struct Listener<S> {
    taps: HashSet<String>,
    sink: S,
    woken: OwnedFd,
    debounce: Debounce,
    /// Handed on last.
    told: Vec<HostAddress>,
    /// It was said already that nothing can be followed.
    is_silent: bool,
}

impl<E: Display, S: FnMut(Vec<HostAddress>) -> Result<(), E>> Listener<S> {
    fn run(mut self) {
        loop {
            let pause = match self.listen() {
                Ended::Stopped => return,
                Ended::Lost(e) => {
                    tracing::debug!("asking the kernel for all addresses anew: {e}");
                    RESYNC_PAUSE
                }
                Ended::Unable(e) => {
                    if !std::mem::replace(&mut self.is_silent, true) {
                        tracing::warn!("the host's addresses on exception ports are not followed: {e}");
                    }
                    REOPEN_PAUSE
                }
            };
            if self.is_stopped_within(pause) {
                return;
            }
        }
    }

    /// Listens on a new socket until told to stop or something goes wrong.
    fn listen(&mut self) -> Ended {
        let mut conversation = Conversation::new(self.taps.clone());
        // The end of the dumps counts as a change; until then nothing is complete enough to be handed on.
        self.debounce = Debounce::new(QUIET, MOST);
        let opened = Rtnetlink::open().and_then(|socket| socket.ask(Dump::Links).map(|()| socket));
        let mut socket = match opened {
            Ok(socket) => socket,
            Err(e) => return Ended::Unable(e),
        };
        loop {
            match self.wait(&socket) {
                Ok(Woken::ToStop) => return Ended::Stopped,
                Ok(Woken::ToWork) => {}
                Err(e) => return Ended::Unable(e.into()),
            }
            if let Err(ended) = self.hear(&mut socket, &mut conversation) {
                return ended;
            }
            if self.debounce.take(Instant::now()) {
                self.tell(conversation.kernel.addresses());
            }
        }
    }

    /// Takes what has come, but not without end, so that others' changes cannot keep us from our work.
    fn hear(&mut self, socket: &mut Rtnetlink, conversation: &mut Conversation) -> Result<(), Ended> {
        for _ in 0..256 {
            let Some(messages) = socket.receive().map_err(Ended::Lost)? else { break };
            for message in messages {
                match conversation.take(message)? {
                    Next::Ask(dump) => socket.ask(dump).map_err(Ended::Unable)?,
                    Next::Listen { changed: true } => self.debounce.touch(Instant::now()),
                    Next::Listen { changed: false } => {}
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, addresses: Vec<HostAddress>) {
        if std::mem::take(&mut self.is_silent) {
            tracing::info!("the host's addresses on exception ports are followed again");
        }
        if addresses == self.told {
            return;
        }
        match (self.sink)(addresses.clone()) {
            Ok(()) => self.told = addresses,
            Err(e) => {
                tracing::warn!("the host's addresses have not changed here, trying again: {e}");
                self.debounce.retry(Instant::now() + RETRY);
            }
        }
    }

    fn wait(&self, socket: &Rtnetlink) -> rustix::io::Result<Woken> {
        let left = self.debounce.left(Instant::now()).map(timespec);
        let socket = socket.as_fd();
        let mut fds = [PollFd::new(&self.woken, PollFlags::IN), PollFd::new(&socket, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
        Ok(if fds[0].revents().is_empty() { Woken::ToWork } else { Woken::ToStop })
    }

    fn is_stopped_within(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = timespec(until.saturating_duration_since(Instant::now()));
            match poll(&mut [PollFd::new(&self.woken, PollFlags::IN)], Some(&left)) {
                Err(Errno::INTR) => {}
                woken => return woken != Ok(0),
            }
        }
    }
}

/// What ended a wait.
#[derive(Debug)]
enum Woken {
    ToStop,
    ToWork,
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests;
