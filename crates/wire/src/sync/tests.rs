//! Against recordings of the kernel's master and backup, and properties.

use core::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::testing::hex;

const RECORDED: &str = include_str!("../../testdata/sync_recorded.txt");
const CRAFTED: &str = include_str!("../../testdata/sync_crafted.txt");

/// The lines of a data file, comments left out.
fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

fn good<'a>(message: &Message<'a>) -> Vec<Entry<'a>> {
    message.entries().filter_map(Result::ok).collect()
}

fn write(buffer: &mut [u8], version: Version, syncid: u8, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(buffer, version, syncid).unwrap();
    for entry in entries {
        writer.push(entry).unwrap();
    }
    assert_eq!(writer.count(), entries.len());
    writer.bytes().to_vec()
}

#[test]
fn recorded_messages_are_read_and_written_back() {
    let mut entries_seen = 0;
    for line in lines(RECORDED) {
        let (name, text) = line.split_once(' ').unwrap();
        let datagram = hex(text);
        let message = Message::parse(&datagram, 0).unwrap();
        let entries: Result<Vec<_>, _> = message.entries().collect();
        let entries = entries.unwrap();
        assert_eq!(entries.len(), usize::from(message.count), "{name}");
        assert_eq!(write(&mut [0xee; 1472], message.version, message.syncid, &entries), datagram, "{name}");
        entries_seen += entries.len();
    }
    assert!(entries_seen > 150, "{entries_seen}");
}

#[test]
fn a_recorded_message_says() {
    let entry = |scenario: &str, number: usize| {
        let line = lines(RECORDED).find(|line| line.split(' ').next() == Some(scenario)).unwrap();
        let datagram = hex(line.split_once(' ').unwrap().1);
        let message = Message::parse(&datagram, 0).unwrap();
        let entry = message.entries().nth(number).unwrap().unwrap();
        (
            message.version,
            message.syncid,
            Entry { pe_data: None, pe_name: None, params: Params::NONE, ..entry },
        )
    };
    let address = |text: &str| text.parse().unwrap();
    let plain = Entry {
        protocol: 6,
        flags: flags::MASQUERADE,
        state: state::TCP_ESTABLISHED,
        client: address("198.51.100.1:40000"),
        service: address("192.0.2.100:80"),
        destination: address("10.0.2.11:8080"),
        fwmark: 0,
        timeout_s: 900,
        shifts: None,
        pe_data: None,
        pe_name: None,
        params: Params::NONE,
    };
    let udp6 = Entry {
        protocol: 17,
        flags: flags::MASQUERADE | flags::INACTIVE,
        state: state::UDP_NORMAL,
        client: address("[2001:db8:c::1]:3000"),
        service: address("[2001:db8:1::100]:53"),
        destination: address("[2001:db8:2::b]:53"),
        timeout_s: 300,
        ..plain
    };
    let route = Entry {
        flags: flags::DIRECT_ROUTE | flags::NO_OUTPUT,
        service: address("192.0.2.100:81"),
        destination: address("10.0.2.11:81"),
        ..plain
    };
    assert_eq!(entry("sync_master_mix_v4", 0), (Version::V1, 7, plain));
    assert_eq!(entry("sync_master_mix_v4", 1), (Version::V1, 7, route));
    assert_eq!(entry("sync_master_mix_v6", 3), (Version::V1, 7, udp6));
    assert_eq!(entry("sync_master_v0", 0), (Version::V0, 7, Entry { timeout_s: 0, ..plain }));
}

#[test]
fn a_persistence_engine_comes_with_its_data() {
    let line = lines(RECORDED).find(|line| line.starts_with("sync_backup_captured ")).unwrap();
    let datagram = hex(line.split_once(' ').unwrap().1);
    let entry = Message::parse(&datagram, 7).unwrap().entries().next().unwrap().unwrap();
    assert_eq!(entry.pe_name, Some(&b"sip"[..]));
    assert_eq!(entry.pe_data, Some(&b"abc123@198.51.100.1"[..]));
}

/// What a backup refuses for other reasons than the message: none of these is for the parser to judge.
const FOR_THE_BACKUP: [&str; 3] =
    ["pe name unknown", "sent to the port but unicast", "source is the guest itself"];

#[test]
fn crafted_messages_are_judged_as_by_the_kernel() {
    let mut cases = 0;
    for line in lines(CRAFTED) {
        let [name, ports, text] = line.split(';').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let want: Vec<u16> = ports.split_whitespace().map(|port| port.parse().unwrap()).collect();
        let datagram = hex(text);
        let got: Vec<_> = Message::parse(&datagram, 7).map(|message| good(&message)).unwrap_or_default();
        if FOR_THE_BACKUP.contains(&name) {
            assert_eq!((want.len(), got.len()), (0, 1), "{name}");
        } else {
            assert_eq!(got.iter().map(|entry| entry.client.port()).collect::<Vec<_>>(), want, "{name}");
        }
        cases += 1;
    }
    assert_eq!(cases, 59);
}

#[test]
fn crafted_messages_are_refused_for_their_reason() {
    let message = |name: &str| {
        let line = lines(CRAFTED).find(|line| line.split(';').next().map(str::trim) == Some(name)).unwrap();
        hex(line.rsplit_once(';').unwrap().1)
    };
    for (name, want) in [
        ("wrong syncid 8", MessageError::OtherSyncId),
        ("syncid 0", MessageError::OtherSyncId),
        ("version 0", MessageError::BadVersion),
        ("version 2", MessageError::BadVersion),
        ("size one too small", MessageError::BadSize),
        ("size one too big", MessageError::BadSize),
        ("spare not zero", MessageError::BadSpare),
        ("2 bytes", MessageError::TooShort),
        ("empty", MessageError::TooShort),
    ] {
        assert_eq!(Message::parse(&message(name), 7).unwrap_err(), want, "{name}");
    }
    for (name, number, want) in [
        ("reserved 1", 0, EntryError::UnknownProtocol), // so it is version 0, and the version the protocol
        ("nr_conns 2 of 1", 1, EntryError::Truncated),
        ("type 2 (reserved type bit)", 0, EntryError::BadType),
        ("truncated entry", 0, EntryError::Truncated),
        ("state 11 (LAST)", 0, EntryError::BadState),
        ("proto 99", 0, EntryError::UnknownProtocol),
        ("seq option with wrong length", 0, EntryError::BadShifts),
        ("same seq option twice", 0, EntryError::BadShifts),
        ("unknown option 9", 0, EntryError::UnknownOption),
        ("unknown option 0x89", 0, EntryError::UnknownOption),
        ("option length over the end", 0, EntryError::BadOptionLen),
        ("entry version 1", 0, EntryError::BadVersion),
        ("flags 0x2000", 0, EntryError::OnePacket),
        ("flags 0xffffe9ff", 0, EntryError::OnePacket),
    ] {
        let datagram = message(name);
        let got = Message::parse(&datagram, 7).unwrap().entries().nth(number).unwrap();
        assert_eq!(got.unwrap_err(), want, "{name}");
    }
}

#[test]
fn other_faults_of_an_entry() {
    let header = "0007 0000 02 01 0000";
    let fixed = "00000000 0001 0001 0050 0050 00000000 00000384 c6336401 c0000264 0a00020b";
    let second = format!("0006 0024 {fixed}");
    for (name, first, want, second_counts) in [
        ("length behind the message", format!("0006 0fff {fixed}"), EntryError::BadLen, false),
        ("length 0", format!("0006 0000 {fixed}"), EntryError::TooShort, false),
        ("length below the fixed part", format!("0006 0023 {fixed}"), EntryError::TooShort, false),
        ("IPv6 with the length of IPv4", format!("0106 0024 {fixed}"), EntryError::TooShort, false),
        ("half an option", format!("0006 0025 {fixed} 49000000"), EntryError::TruncatedOption, false),
        ("option of length 0", format!("0006 0026 {fixed} 49000000"), EntryError::BadOptionLen, false),
        (
            "data of an engine twice",
            format!("0006 002a {fixed} 0201aa0201bb0000"),
            EntryError::BadPeData,
            false,
        ),
        (
            "name of an engine twice",
            format!("0006 002a {fixed} 0301614301620000"),
            EntryError::BadPeName,
            false,
        ),
        (
            "name of 17 bytes",
            format!("0006 0037 {fixed} 0311 {} 00", "61".repeat(17)),
            EntryError::BadPeName,
            false,
        ),
        ("unknown option", format!("0006 0027 {fixed} 0901aa00"), EntryError::UnknownOption, true),
        ("protocol 0", format!("0000 0024 {fixed}"), EntryError::UnknownProtocol, true),
    ] {
        let mut datagram = hex(&format!("{header} {first} {second}"));
        datagram[3] = datagram.len() as u8;
        let got: Vec<_> = Message::parse(&datagram, 0).unwrap().entries().collect();
        assert_eq!(got[0].unwrap_err(), want, "{name}");
        assert_eq!(want.ends_message(), !second_counts, "{name}");
        assert_eq!(got.len(), if second_counts { 2 } else { 1 }, "{name}");
        assert!(!second_counts || got[1].is_ok(), "{name}");
    }
}

#[test]
fn parameters_that_may_be_skipped() {
    let mut encoded = [0; 32];
    let first = encode_param(&mut encoded, 9, b"abcd").unwrap();
    let both = first + encode_param(&mut encoded[first..], 10, &[1]).unwrap();
    let params = Params::encoded(&encoded[..both]);
    assert_eq!(params.iter().collect::<Vec<_>>(), [(9, &b"abcd"[..]), (10, &[1])]);
    for (name, room, kind, data) in [
        ("no room", 5, 9, &b"abcd"[..]),
        ("no data", 32, 9, b""),
        ("too much data", 512, 9, &[0; 256]),
        ("a type of the kernel", 32, 3, b"abcd"),
        ("a type that is marked already", 32, 0x49, b"abcd"),
    ] {
        assert_eq!(encode_param(&mut vec![0; room], kind, data), None, "{name}");
    }

    let line = lines(RECORDED).find(|line| line.starts_with("sync_master_mix_v4 ")).unwrap();
    let datagram = hex(line.split_once(' ').unwrap().1);
    let entry = Message::parse(&datagram, 0).unwrap().entries().next().unwrap().unwrap();
    let bytes = write(&mut [0; 100], Version::V1, 7, &[Entry { params, ..entry }]);
    assert_eq!(bytes[44..], [0x49, 4, b'a', b'b', b'c', b'd', 0x4a, 1, 1]);
    let got = Message::parse(&bytes, 7).unwrap().entries().next().unwrap().unwrap();
    assert_eq!(got.params, params);
}

fn plain(port: u16) -> Entry<'static> {
    Entry {
        protocol: 6,
        flags: 0,
        state: state::TCP_ESTABLISHED,
        client: SocketAddr::new("198.51.100.1".parse().unwrap(), port),
        service: "192.0.2.100:80".parse().unwrap(),
        destination: "10.0.2.11:80".parse().unwrap(),
        fwmark: 0,
        timeout_s: 900,
        shifts: None,
        pe_data: None,
        pe_name: None,
        params: Params::NONE,
    }
}

#[test]
fn a_full_message_is_as_full_as_the_kernels() {
    let mut buffer = [0; 1472];
    let mut writer = Writer::new(&mut buffer, Version::V1, 7).unwrap();
    assert!(writer.is_empty());
    let packed = (0..).take_while(|port| writer.push(&plain(*port)).is_ok()).count();
    assert_eq!((packed, writer.bytes().len()), (40, 1448));
    assert_eq!(writer.push(&plain(0)), Err(PushError::Full));
    let message = Message::parse(writer.bytes(), 7).unwrap();
    assert_eq!(good(&message).len(), 40);
}

#[test]
fn limits_of_the_writer() {
    assert!(Writer::new(&mut [0; 7], Version::V1, 7).is_none());
    assert!(Writer::new(&mut [0; 3], Version::V0, 7).is_none());

    let mut buffer = vec![0; 100_000];
    let mut writer = Writer::new(&mut buffer, Version::V1, 7).unwrap();
    assert_eq!((0..300).take_while(|port| writer.push(&plain(*port)).is_ok()).count(), MAX_ENTRIES);

    let mixed = Entry { destination: "[2001:db8::1]:80".parse().unwrap(), ..plain(1) };
    let end: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
    let v6 = Entry { client: end, service: end, destination: end, ..plain(1) };
    for (name, room, version, entry, want) in [
        ("an entry that no message of this size holds", 43, Version::V1, plain(1), PushError::TooLong),
        ("mixed families", 1472, Version::V1, mixed, PushError::Family),
        ("IPv6 in version 0", 1472, Version::V0, v6, PushError::Family),
        ("an empty name", 1472, Version::V1, Entry { pe_name: Some(b""), ..plain(1) }, PushError::BadOption),
        (
            "a name of 17 bytes",
            1472,
            Version::V1,
            Entry { pe_name: Some(&[b'a'; 17]), ..plain(1) },
            PushError::BadOption,
        ),
        (
            "data of 256 bytes",
            1472,
            Version::V1,
            Entry { pe_data: Some(&[0; 256]), ..plain(1) },
            PushError::BadOption,
        ),
    ] {
        let mut buffer = vec![0; room];
        let mut writer = Writer::new(&mut buffer, version, 7).unwrap();
        let before = writer.bytes().to_vec();
        assert_eq!(writer.push(&entry), Err(want), "{name}");
        assert_eq!(writer.bytes(), before, "{name}");
    }
}

#[test]
fn every_reason_is_listed_once() {
    let entries: std::collections::HashSet<_> = EntryError::ALL.into_iter().collect();
    let messages: std::collections::HashSet<_> = MessageError::ALL.into_iter().collect();
    assert_eq!((entries.len(), messages.len()), (EntryError::ALL.len(), MessageError::ALL.len()));
}

#[derive(Clone, Debug)]
struct Made {
    v6: bool,
    numbers: (u8, u32, u16, u32, u32),
    ends: [([u8; 16], u16); 3],
    shifts: Option<[u32; 6]>,
    pe: Option<(Vec<u8>, Vec<u8>)>,
    params: Vec<u8>,
}

impl Made {
    fn entry(&self, version: Version) -> Entry<'_> {
        let (protocol, flags, state, fwmark, timeout_s) = self.numbers;
        let v1 = version == Version::V1;
        let [client, service, destination] = self.ends.map(|(address, port)| {
            let [a, b, c, d, ..] = address;
            let address = if self.v6 && v1 { IpAddr::from(address) } else { IpAddr::from([a, b, c, d]) };
            SocketAddr::new(address, port)
        });
        let flags = (flags | flags::TEMPLATE) & !flags::ONE_PACKET;
        let flags = if v1 { flags } else { flags & 0xffff & !flags::SEQUENCE };
        let shifts = self.shifts.map(|[a, b, c, d, e, f]| Shifts {
            input: Shift { initial: a, delta: b, previous_delta: c },
            output: Shift { initial: d, delta: e, previous_delta: f },
        });
        Entry {
            protocol,
            flags: if !v1 && shifts.is_some() { flags | flags::INPUT_SEQUENCE } else { flags },
            state,
            client,
            service,
            destination,
            fwmark: if v1 { fwmark } else { 0 },
            timeout_s: if v1 { timeout_s } else { 0 },
            shifts,
            pe_data: self.pe.as_ref().filter(|_| v1).map(|(data, _)| &data[..]),
            pe_name: self.pe.as_ref().filter(|_| v1).map(|(_, name)| &name[..]),
            params: if v1 { Params::encoded(&self.params) } else { Params::NONE },
        }
    }
}

fn made() -> impl Strategy<Value = Made> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 1..=max);
    let params = prop::collection::vec((4u8..64, bytes(20usize)), 0..3).prop_map(|params| {
        let mut encoded = Vec::new();
        for (kind, data) in params {
            let mut one = [0; 32];
            let len = encode_param(&mut one, kind, &data).unwrap();
            encoded.extend_from_slice(&one[..len]);
        }
        encoded
    });
    let pe = prop::option::of((bytes(MAX_PE_DATA), bytes(MAX_PE_NAME)));
    let plain = any::<(bool, (u8, u32, u16, u32, u32), [([u8; 16], u16); 3], Option<[u32; 6]>)>();
    (plain, pe, params).prop_map(|((v6, numbers, ends, shifts), pe, params)| Made {
        v6,
        numbers,
        ends,
        shifts,
        pe,
        params,
    })
}

fn versions() -> impl Strategy<Value = Version> {
    prop::sample::select(vec![Version::V0, Version::V1])
}

proptest! {
    #[test]
    fn what_is_written_is_read(made in prop::collection::vec(made(), 1..6), version in versions(), syncid: u8) {
        let entries: Vec<_> = made.iter().map(|made| made.entry(version)).collect();
        let datagram = write(&mut [0xee; 4096], version, syncid, &entries);
        let message = Message::parse(&datagram, syncid).unwrap();
        prop_assert_eq!((message.version, message.syncid), (version, syncid));
        let got: Result<Vec<_>, _> = message.entries().collect();
        prop_assert_eq!(got.unwrap(), entries);
    }

    #[test]
    fn cut_off_behind_any_byte_the_entries_before_count(
        made in prop::collection::vec(made(), 1..6), version in versions(), cut in 8usize..2000,
    ) {
        let entries: Vec<_> = made.iter().map(|made| made.entry(version)).collect();
        let mut datagram = write(&mut [0; 4096], version, 7, &entries);
        datagram.truncate(cut);
        let len = datagram.len() as u16;
        datagram[2..4].copy_from_slice(&len.to_be_bytes());
        let got = good(&Message::parse(&datagram, 7).unwrap());
        let whole = (0..=entries.len())
            .take_while(|count| write(&mut [0; 4096], version, 7, &entries[..*count]).len() <= cut)
            .last()
            .unwrap_or(0);
        prop_assert_eq!(&got[..], &entries[..whole]);
    }

    #[test]
    fn random_bytes_do_no_harm(mut datagram in prop::collection::vec(any::<u8>(), 8..400), header in versions()) {
        let len = datagram.len() as u16;
        datagram[2..4].copy_from_slice(&len.to_be_bytes());
        if header == Version::V1 {
            datagram[0] = 0;
            datagram[5..8].copy_from_slice(&[1, 0, 0]);
        }
        if let Ok(message) = Message::parse(&datagram, 0) {
            prop_assert!(message.entries().count() <= usize::from(message.count));
        }
    }

    #[test]
    fn a_damaged_message_does_no_harm(made in prop::collection::vec(made(), 1..4), damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..8)) {
        let entries: Vec<_> = made.iter().map(|made| made.entry(Version::V1)).collect();
        let mut datagram = write(&mut [0; 4096], Version::V1, 7, &entries);
        for (at, value) in damage {
            let at = 8 + usize::from(at) % (datagram.len() - 8);
            datagram[at] = value;
        }
        let message = Message::parse(&datagram, 7).unwrap();
        for entry in good(&message) {
            let copy = [Entry { params: Params::NONE, ..entry }];
            prop_assert!(write(&mut [0; 4096], Version::V1, 7, &copy).len() <= datagram.len());
        }
    }
}
