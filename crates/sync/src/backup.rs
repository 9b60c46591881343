//! From messages to records, as a kernel backup reads them [ip_vs_process_message]. Pure.
//!
//! Nothing that a message says of lengths is believed (`wire::sync`). Entries before a broken one count.

use ipvs::Engine;
use ipvs::sync::{EngineData, Record};
use wire::sync::{Entry, EntryError, Message, MessageError, flags};

use crate::extra;

/// Names of the reasons for which entries are refused beyond those of [`EntryError`].
const OWN_REASONS: [&str; 1] = ["unknown persistence engine"];

/// What a backup has heard since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupCounts {
    /// Messages that were taken in.
    pub messages: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Entries that were passed on.
    pub records: u64,
    messages_refused: [u64; MessageError::ALL.len()],
    entries_refused: [u64; EntryError::ALL.len()],
    unknown_engine: u64,
}

impl BackupCounts {
    /// Messages that were refused, by reason.
    pub fn messages_refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        MessageError::ALL.iter().map(|reason| message_reason(*reason)).zip(self.messages_refused)
    }

    /// Entries that were refused, by reason.
    pub fn entries_refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let of_wire = EntryError::ALL.iter().map(|reason| entry_reason(*reason)).zip(self.entries_refused);
        of_wire.chain(OWN_REASONS.into_iter().zip([self.unknown_engine]))
    }
}

/// A backup, without its sockets.
#[derive(Debug)]
pub struct Backup {
    syncid: u8,
    counts: BackupCounts,
}

impl Backup {
    /// A backup that listens to masters of `syncid`, or with 0 to all.
    pub fn new(syncid: u8) -> Self {
        Self { syncid, counts: BackupCounts::default() }
    }

    /// Reads a message; its records go to `each`, in order.
    pub fn read(&mut self, datagram: &[u8], mut each: impl FnMut(Record)) {
        let message = match Message::parse(datagram, self.syncid) {
            Ok(message) => message,
            Err(reason) => {
                count(&mut self.counts.messages_refused, &MessageError::ALL, &reason);
                return;
            }
        };
        self.counts.messages += 1;
        self.counts.bytes += datagram.len() as u64;
        for entry in message.entries() {
            match entry {
                Ok(entry) => match record(&entry) {
                    Some(record) => {
                        self.counts.records += 1;
                        each(record);
                    }
                    None => self.counts.unknown_engine += 1,
                },
                Err(reason) => count(&mut self.counts.entries_refused, &EntryError::ALL, &reason),
            }
        }
    }

    /// What it has heard.
    pub fn counts(&self) -> &BackupCounts {
        &self.counts
    }
}

fn count<R: PartialEq>(counts: &mut [u64], reasons: &[R], reason: &R) {
    if let Some(count) = reasons.iter().position(|known| known == reason).and_then(|at| counts.get_mut(at)) {
        *count += 1;
    }
}

/// What an entry says. `None`: it has data of a persistence engine that is not here, or that it does not name.
fn record(entry: &Entry<'_>) -> Option<Record> {
    let engine = match entry.pe_data {
        None => None,
        Some(data) => {
            let name = entry.pe_name.map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default());
            let engine = name.and_then(|name| Engine::from_name(core::str::from_utf8(name).ok()?))?;
            Some(EngineData::new(engine, data)?)
        }
    };
    let (local, extra_shifts) = extra::decode(&entry.params);
    Some(Record {
        protocol: entry.protocol,
        flags: entry.flags & flags::BACKUP_MASK | flags::SYNC,
        state: entry.state,
        client: entry.client,
        service: entry.service,
        destination: entry.destination,
        fwmark: entry.fwmark,
        timeout_s: entry.timeout_s,
        local,
        shifts: extra_shifts.or(entry.shifts.filter(|_| entry.flags & flags::SEQUENCE != 0)),
        engine,
        lane: 0,
    })
}

fn message_reason(reason: MessageError) -> &'static str {
    match reason {
        MessageError::TooShort => "too short",
        MessageError::BadSize => "wrong size",
        MessageError::OtherSyncId => "other sync id",
        MessageError::BadVersion => "unknown version",
        MessageError::BadSpare => "spare field not 0",
    }
}

fn entry_reason(reason: EntryError) -> &'static str {
    match reason {
        EntryError::Truncated => "truncated",
        EntryError::BadLen => "length beyond the message",
        EntryError::BadVersion => "unknown version",
        EntryError::BadType => "unknown type",
        EntryError::TooShort => "length too short",
        EntryError::TruncatedOption => "truncated option",
        EntryError::BadOptionLen => "wrong length of an option",
        EntryError::BadShifts => "wrong sequence data",
        EntryError::BadPeData => "wrong engine data",
        EntryError::BadPeName => "wrong engine name",
        EntryError::UnknownOption => "unknown option",
        EntryError::OnePacket => "for one packet only",
        EntryError::UnknownProtocol => "unknown protocol",
        EntryError::BadState => "unknown state",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::sync::{Shift, Shifts, Version};

    use super::*;
    use crate::testing::record as plain;
    use crate::{Master, Sent};

    fn sent(records: &[Record], version: Version) -> Vec<Vec<u8>> {
        let mut master = Master::new(7, 1472, 1, 1000, 0);
        records.iter().for_each(|record| master.push(0, version, record));
        let mut out = Vec::new();
        for now_ms in [20, 2020] {
            master.poll(now_ms, |_, message| {
                out.push(message.to_vec());
                Sent::Done
            });
        }
        out
    }

    fn heard(backup: &mut Backup, messages: &[Vec<u8>]) -> Vec<Record> {
        let mut out = Vec::new();
        messages.iter().for_each(|message| backup.read(message, |record| out.push(record)));
        out
    }

    #[test]
    fn a_backup_hears_what_a_master_said() {
        let shift = Shift { initial: 5, delta: 7, previous_delta: 0 };
        let records = [
            plain(1),
            Record { local: Some("10.0.2.200:5000".parse().unwrap()), ..plain(2) },
            Record { shifts: Some(Shifts { input: shift, output: Shift::default() }), ..plain(3) },
            Record {
                flags: flags::TEMPLATE | flags::INACTIVE,
                engine: EngineData::new(Engine::Sip, b"call-1@example"),
                ..plain(0)
            },
            Record {
                client: "[2001:db8:c::1]:4000".parse().unwrap(),
                service: "[2001:db8:1::100]:80".parse().unwrap(),
                destination: "[2001:db8:2::b]:8080".parse().unwrap(),
                local: Some("[2001:db8:2::c8]:5001".parse().unwrap()),
                ..plain(4)
            },
        ];
        let mut backup = Backup::new(7);
        let got = heard(&mut backup, &sent(&records, Version::V1));
        let want = records.map(|record| Record { flags: record.flags | flags::SYNC, ..record });
        assert_eq!(got, want);
        assert_eq!((backup.counts().messages, backup.counts().records), (1, 5));
    }

    #[test]
    fn version_0_says_less() {
        let got = heard(&mut Backup::new(0), &sent(&[Record { fwmark: 9, ..plain(1) }], Version::V0));
        assert_eq!(got, [Record { flags: flags::SYNC, timeout_s: 0, ..plain(1) }]);
    }

    #[test]
    fn refusals_are_counted_by_reason() {
        let good = sent(&[plain(1)], Version::V1).remove(0);
        let changed = |at: usize, to: u8| {
            let mut message = good.clone();
            message[at] = to;
            message
        };
        let mut backup = Backup::new(7);
        let messages = [
            vec![1, 2],
            changed(3, 1),
            changed(1, 8),
            changed(5, 2),
            changed(6, 1),
            changed(9, 99),
            changed(8, 2),
        ];
        assert_eq!(heard(&mut backup, &messages), []);
        let counts = backup.counts();
        assert_eq!(counts.messages_refused().map(|(_, count)| count).collect::<Vec<_>>(), [1; 5]);
        let refused: Vec<_> = counts.entries_refused().filter(|(_, count)| *count > 0).collect();
        assert_eq!(refused, [("unknown type", 1), ("unknown protocol", 1)]);
    }

    #[test]
    fn data_of_an_engine_that_is_not_here_are_refused() {
        let template = Record { engine: EngineData::new(Engine::Sip, b"call"), ..plain(1) };
        let message = sent(&[template, plain(2)], Version::V1).remove(0);
        let at = message.windows(3).position(|window| window == b"sip").unwrap();
        let mut unknown = message.clone();
        unknown[at] = b'x';
        let mut backup = Backup::new(7);
        let got = heard(&mut backup, &[unknown]);
        assert_eq!(got.iter().map(|record| record.client.port()).collect::<Vec<_>>(), [2]);
        assert!(backup.counts().entries_refused().any(|refused| refused == (OWN_REASONS[0], 1)));
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..300), v1: bool, fit: bool) {
            // Random bytes hardly ever have a right header.
            if fit && bytes.len() >= 8 {
                let len = bytes.len() as u16;
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                if v1 {
                    bytes[0] = 0;
                    bytes[5..8].copy_from_slice(&[1, 0, 0]);
                }
            }
            let mut backup = Backup::new(0);
            let mut records = 0;
            backup.read(&bytes, |_| records += 1);
            let counts = backup.counts();
            prop_assert_eq!(records, counts.records);
            let refused: u64 = counts.messages_refused().map(|(_, count)| count).sum();
            prop_assert_eq!(refused + counts.messages, 1);
        }

        #[test]
        fn what_stands_before_the_damage_counts(at in 8..1448_usize, to: u8) {
            let records: Vec<Record> = (0..40).map(plain).collect();
            let mut message = sent(&records, Version::V1).remove(0);
            message[at] = to;
            let whole = (at - 8) / 36;
            let got = heard(&mut Backup::new(7), &[message]);
            prop_assert!(got.len() >= whole, "{} of {}", got.len(), whole);
            for (got, want) in got.iter().zip(&records).take(whole) {
                prop_assert_eq!(got.client, want.client);
            }
        }
    }
}
