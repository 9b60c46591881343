//! From records to messages [sync_thread_master]. Pure: the time is an argument, sending a callback.
//!
//! Each port is a lane: a message that is being filled, and messages that wait to be sent. A lane wakes up once a second,
//! 20 ms after a first message waits, and at once when eight do; then it sends all that wait, and what is being filled if that
//! was begun two seconds ago.
//! Invariant: no lane has more messages waiting than it may; those beyond are lost, and their records counted.

use std::collections::VecDeque;

use ipvs::sync::Record;
use wire::sync::{Entry, Params, PushError, Version, Writer, message_len};

use crate::extra::{self, EXTRA_MAX};

/// Between two looks at what is being filled [IPVS_SYNC_CHECK_PERIOD].
const CHECK_MS: u64 = 1000;
/// How old what is being filled becomes at most before a look sends it [IPVS_SYNC_FLUSH_TIME].
const FLUSH_MS: u64 = 2000;
/// From a first message that waits to its sending [IPVS_SYNC_SEND_DELAY].
const SEND_DELAY_MS: u64 = 20;
/// Messages that are sent without delay [IPVS_SYNC_WAKEUP_RATE].
const WAKEUP_RATE: usize = 8;
/// Until a socket that could take nothing is asked again.
const BUSY_MS: u64 = 10;

/// What became of a message that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Done,
    /// The socket can take nothing at the moment.
    Busy,
    /// It cannot be sent.
    Failed,
}

/// What a master has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MasterCounts {
    /// Records that came from workers.
    pub records: u64,
    /// Records in messages that were sent.
    pub records_sent: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Records that the protocol cannot carry: families mixed, IPv6 in version 0.
    pub unsendable: u64,
    /// Records lost because too many messages were waiting.
    pub queue_full: u64,
    /// Records in messages that the socket refused.
    pub send_failed: u64,
}

/// The master of a group, without its sockets.
#[derive(Debug)]
pub struct Master {
    syncid: u8,
    maxlen: u16,
    queue_max: usize,
    lanes: Box<[Lane]>,
    counts: MasterCounts,
}

#[derive(Debug)]
struct Lane {
    filling: Option<Filling>,
    waiting: VecDeque<Message>,
    wake_ms: u64,
}

#[derive(Debug)]
struct Filling {
    writer: Writer<Vec<u8>>,
    version: Version,
    since_ms: u64,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    records: u64,
}

impl From<Filling> for Message {
    fn from(filling: Filling) -> Self {
        Self { bytes: filling.writer.bytes().to_vec(), records: filling.writer.count() as u64 }
    }
}

impl Master {
    /// A master that fills messages of `maxlen` bytes for `lanes` ports, of which there is at least one.
    pub fn new(syncid: u8, maxlen: u16, lanes: u16, queue_max: u32, now_ms: u64) -> Self {
        let lane = || Lane { filling: None, waiting: VecDeque::new(), wake_ms: now_ms };
        Self {
            syncid,
            maxlen,
            queue_max: queue_max as usize,
            lanes: (0..lanes.max(1)).map(|_| lane()).collect(),
            counts: MasterCounts::default(),
        }
    }

    /// Packs a record [ip_vs_sync_conn].
    pub fn push(&mut self, now_ms: u64, version: Version, record: &Record) {
        self.counts.records += 1;
        let mut extra = [0; EXTRA_MAX];
        let len = match version {
            Version::V1 => extra::encode(&mut extra, record.local, record.shifts),
            Version::V0 => 0,
        };
        let entry = entry(record, &extra[..len]);
        let index = record.lane as usize % self.lanes.len();
        if self.lanes[index].filling.as_ref().is_some_and(|filling| filling.version != version) {
            self.queue(now_ms, index);
        }
        if let Some(filling) = &mut self.lanes[index].filling {
            match filling.writer.push(&entry) {
                Ok(()) => return,
                Err(PushError::Full | PushError::TooLong) => self.queue(now_ms, index),
                Err(_) => return self.counts.unsendable += 1,
            }
        }
        match self.begin(version, &entry) {
            Some(writer) => {
                self.lanes[index].filling = Some(Filling { writer, version, since_ms: now_ms });
            }
            None => self.counts.unsendable += 1,
        }
    }

    /// A message with its first entry, which has room in it however short messages are to be.
    fn begin(&self, version: Version, entry: &Entry<'_>) -> Option<Writer<Vec<u8>>> {
        let needed = message_len(version, entry).ok()?;
        let mut writer = Writer::new(vec![0; needed.max(usize::from(self.maxlen))], version, self.syncid)?;
        writer.push(entry).ok()?;
        Some(writer)
    }

    /// What a lane has filled waits from now on, or is lost [sb_queue_tail].
    fn queue(&mut self, now_ms: u64, index: usize) {
        let lane = &mut self.lanes[index];
        let Some(filled) = lane.filling.take().map(Message::from) else { return };
        if lane.waiting.len() >= self.queue_max {
            self.counts.queue_full += filled.records;
            return;
        }
        if lane.waiting.is_empty() {
            lane.wake_ms = lane.wake_ms.min(now_ms + SEND_DELAY_MS);
        }
        lane.waiting.push_back(filled);
        if lane.waiting.len() == WAKEUP_RATE {
            lane.wake_ms = now_ms;
        }
    }

    /// Sends what is due: lane and message go to `send`.
    pub fn poll(&mut self, now_ms: u64, mut send: impl FnMut(usize, &[u8]) -> Sent) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if now_ms >= lane.wake_ms {
                lane.wake_ms = now_ms + CHECK_MS;
                lane.send(now_ms, &mut self.counts, |message| send(index, message));
            }
        }
    }

    /// When something may be due next.
    pub fn wake_ms(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.wake_ms).min().unwrap_or(u64::MAX)
    }

    /// What it has done.
    pub fn counts(&self) -> &MasterCounts {
        &self.counts
    }

    /// Messages that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }
}

impl Lane {
    fn send(&mut self, now_ms: u64, counts: &mut MasterCounts, mut send: impl FnMut(&[u8]) -> Sent) {
        loop {
            if self.waiting.is_empty()
                && let Some(old) = self.filling.take_if(|filling| now_ms >= filling.since_ms + FLUSH_MS)
            {
                self.waiting.push_back(old.into());
            }
            let Some(message) = self.waiting.front() else { return };
            match send(&message.bytes) {
                Sent::Done => {
                    counts.messages += 1;
                    counts.records_sent += message.records;
                    counts.bytes += message.bytes.len() as u64;
                }
                Sent::Failed => counts.send_failed += message.records,
                Sent::Busy => {
                    self.wake_ms = now_ms + BUSY_MS;
                    return;
                }
            }
            self.waiting.pop_front();
        }
    }
}

fn entry<'a>(record: &'a Record, extra: &'a [u8]) -> Entry<'a> {
    Entry {
        protocol: record.protocol,
        flags: record.flags,
        state: record.state,
        client: record.client,
        service: record.service,
        destination: record.destination,
        fwmark: record.fwmark,
        timeout_s: record.timeout_s,
        shifts: None,
        pe_data: record.engine.as_ref().map(|engine| engine.bytes()),
        pe_name: record.engine.as_ref().map(|engine| engine.engine.name().as_bytes()),
        params: Params::encoded(extra),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record;

    /// Sends what is due until `until_ms`, in steps of 10 ms; when, where and how much.
    fn run(master: &mut Master, from_ms: u64, until_ms: u64) -> Vec<(u64, usize, usize)> {
        let mut out = Vec::new();
        for now_ms in (from_ms..=until_ms).step_by(10) {
            master.poll(now_ms, |lane, message| {
                out.push((now_ms, lane, message.len()));
                Sent::Done
            });
        }
        out
    }

    #[test]
    fn what_is_not_full_goes_after_two_seconds_when_the_lane_looks() {
        for begun_ms in [0, 10, 990, 1500] {
            let mut master = Master::new(7, 1472, 1, 10, 0);
            assert_eq!(run(&mut master, 0, begun_ms), []);
            master.push(begun_ms, Version::V1, &record(1));
            let out = run(&mut master, begun_ms, 5000);
            let want_ms = (begun_ms + 2000).next_multiple_of(1000);
            assert_eq!(out, [(want_ms, 0, 44)], "begun at {begun_ms}");
        }
    }

    #[test]
    fn a_full_message_goes_at_once_and_is_as_full_as_the_kernels() {
        let mut master = Master::new(7, 1472, 1, 10, 0);
        run(&mut master, 0, 0);
        for port in 0..41 {
            master.push(100, Version::V1, &record(port));
        }
        assert_eq!(run(&mut master, 100, 1000), [(120, 0, 1448)]);
        assert_eq!(run(&mut master, 1010, 4000), [(2120, 0, 44)], "the lane's seconds count from there");
        let counts = master.counts();
        assert_eq!((counts.records, counts.records_sent, counts.messages), (41, 41, 2));
        assert_eq!(counts.bytes, 1448 + 44);
    }

    #[test]
    fn eight_messages_wait_for_nothing() {
        let mut master = Master::new(7, 1472, 1, 10, 0);
        run(&mut master, 0, 0);
        for port in 0..(8 * 40 + 1) {
            master.push(500, Version::V1, &record(port));
        }
        assert_eq!(run(&mut master, 500, 500).len(), 8);
    }

    #[test]
    fn a_connection_stays_in_its_lane() {
        let mut master = Master::new(7, 1472, 2, 10, 0);
        for lane in [0, 1, 2, 3, 1] {
            master.push(0, Version::V1, &Record { lane, ..record(1) });
        }
        let mut out = run(&mut master, 0, 5000);
        out.sort_by_key(|(_, lane, _)| *lane);
        assert_eq!(out, [(2000, 0, 8 + 2 * 36), (2000, 1, 8 + 3 * 36)]);
    }

    #[test]
    fn overload_loses_messages_and_counts_their_records() {
        let mut master = Master::new(7, 1472, 1, 2, 0);
        for port in 0..(5 * 40) {
            master.push(0, Version::V1, &record(port));
        }
        assert_eq!(master.counts().queue_full, 2 * 40, "two wait, two are lost, one is being filled");
        assert_eq!(master.waiting(), 2);
        let mut refused = 0;
        master.poll(20, |_, _| {
            refused += 1;
            Sent::Busy
        });
        assert_eq!((refused, master.waiting(), master.wake_ms()), (1, 2, 30), "asked once, and kept");
        master.poll(30, |_, _| Sent::Failed);
        assert_eq!((master.counts().send_failed, master.waiting()), (80, 0));
    }

    #[test]
    fn what_the_format_cannot_carry_is_counted() {
        let mut master = Master::new(7, 1472, 1, 10, 0);
        let mixed = Record { destination: "[2001:db8::1]:80".parse().unwrap(), ..record(1) };
        master.push(0, Version::V1, &mixed);
        master.push(0, Version::V1, &record(1));
        master.push(0, Version::V1, &mixed);
        assert_eq!(master.counts().unsendable, 2);
        assert_eq!(run(&mut master, 0, 3000), [(2000, 0, 44)]);
    }

    #[test]
    fn versions_are_not_mixed_in_a_message() {
        let mut master = Master::new(7, 1472, 1, 10, 0);
        run(&mut master, 0, 0);
        master.push(0, Version::V1, &record(1));
        master.push(0, Version::V0, &record(2));
        assert_eq!(run(&mut master, 10, 3000), [(20, 0, 44), (2020, 0, 28)]);
    }

    #[test]
    fn messages_that_are_to_be_short_have_one_entry() {
        let mut master = Master::new(7, 1, 1, 10, 0);
        for port in 0..3 {
            master.push(0, Version::V1, &record(port));
        }
        assert_eq!(run(&mut master, 0, 5000).iter().map(|out| out.2).collect::<Vec<_>>(), [44, 44, 44]);
    }
}
