//! What helpers know of the connections that they help, in a table beside the connections, as their side records are.
//!
//! Invariant: a session belongs to one connection, whose side record names it, and goes with it. So there are never more than
//! side records, and the table need not be asked whether it is full.

use super::sequence::Sequence;
use super::{Helper, ftp};

/// Where a connection's session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionIndex(u32);

/// What a client asked for, whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The server is to say in this form where it listens.
    Listening(ftp::Form),
    /// The server is to answer from a port that nobody knows.
    Transfer,
}

/// A connection with a helper.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) helper: Helper,
    pub(crate) awaited: Option<Awaited>,
    /// The client's stream.
    pub(crate) input: Sequence,
    /// The server's.
    pub(crate) output: Sequence,
}

impl Session {
    fn new(helper: Helper) -> Self {
        Self { helper, awaited: None, input: Sequence::default(), output: Sequence::default() }
    }
}

/// All sessions of a worker.
pub(crate) struct Sessions {
    sessions: Vec<Session>,
    /// Places that were let go of, the next to use last.
    free: Vec<u32>,
}

impl Sessions {
    /// A table for so many sessions. Memory that none has used yet is reserved, but not touched.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { sessions: Vec::with_capacity(capacity), free: Vec::with_capacity(capacity) }
    }

    /// A session for a connection that begins.
    pub(crate) fn insert(&mut self, helper: Helper) -> SessionIndex {
        let session = Session::new(helper);
        if let Some(at) = self.free.pop() {
            self.sessions[at as usize] = session;
            return SessionIndex(at);
        }
        debug_assert!(self.sessions.len() < self.sessions.capacity(), "one session a side record");
        self.sessions.push(session);
        SessionIndex(self.sessions.len() as u32 - 1)
    }

    pub(crate) fn get(&self, at: SessionIndex) -> Option<&Session> {
        self.sessions.get(at.0 as usize)
    }

    pub(crate) fn get_mut(&mut self, at: SessionIndex) -> Option<&mut Session> {
        self.sessions.get_mut(at.0 as usize)
    }

    /// Lets go of a session that is in use.
    pub(crate) fn remove(&mut self, at: SessionIndex) {
        self.free.push(at.0);
    }

    /// Sessions in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sessions.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_come_back_clean() {
        let mut sessions = Sessions::with_capacity(2);
        let (first, second) = (sessions.insert(Helper::Ftp), sessions.insert(Helper::Tftp));
        sessions.get_mut(first).expect("in use").awaited = Some(Awaited::Transfer);
        sessions.remove(first);
        assert_eq!(sessions.len(), 1);
        let third = sessions.insert(Helper::Ftp);
        let session = sessions.get(third).expect("in use");
        assert_eq!((third, session.helper, session.awaited), (first, Helper::Ftp, None));
        assert_eq!(sessions.get(second).map(|session| session.helper), Some(Helper::Tftp));
    }
}
