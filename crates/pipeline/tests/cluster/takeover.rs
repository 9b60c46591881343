//! A backup goes on with the connections of its master: by every method, both families, whatever the number of workers and
//! the secret of the steering on each side.

use std::net::SocketAddr;

use ipvs::sync::{Imported, Record};
use ipvs::{Method, Protocol, SyncSettings};
use proptest::prelude::*;
use sync::{Backup, Master, Sent};
use wire::sync::{Shift, Shifts, Version};
use wire::{Family, tcp};

use crate::cluster::{Bounds, Cluster};
use crate::frames::{Seen, from_client, from_server, inside, see};
use crate::site::{FAMILIES, LAN, METHODS, Site, WAN, client, server_mac, service_endpoint};

/// Clients of each service.
const CLIENTS: u16 = 8;

struct Flow {
    family: Family,
    method: Method,
    client: SocketAddr,
    /// What the destination got.
    seen: Seen,
}

fn flows() -> impl Iterator<Item = (Family, Method, SocketAddr)> {
    METHODS.into_iter().flat_map(|method| {
        FAMILIES.into_iter().flat_map(move |family| {
            (0..CLIENTS).map(move |n| (family, method, SocketAddr::new(client(family, n), 30_000 + n)))
        })
    })
}

/// What the destination gets of a client's packet.
fn ask(cluster: &mut Cluster, worker: usize, flow: (Family, Method, SocketAddr), flags: u8) -> Seen {
    let (family, method, client) = flow;
    let service = service_endpoint(family, method);
    let frame = from_client(Protocol::Tcp, client, service, flags, b"data");
    let sent = cluster.receive(worker, WAN, &frame);
    let out = sent.only(LAN);
    if method == Method::Tunnel { see(&inside(out)) } else { see(out) }
}

fn answer(cluster: &mut Cluster, worker: usize, flow: &Flow, flags: u8) {
    if flow.method.input_only() {
        return;
    }
    let frame = from_server(server_mac(1), Protocol::Tcp, flow.seen.dst, flow.seen.src, flags, b"answer");
    let sent = cluster.receive(worker, LAN, &frame);
    let got = see(sent.only(WAN));
    assert_eq!((got.src, got.dst), (service_endpoint(flow.family, flow.method), flow.client));
}

/// Connections that are established by way of a master, and what it says of them.
fn established(site: &Site) -> (Vec<Flow>, Vec<Vec<u8>>) {
    let mut site = site.clone();
    site.settings.sync = SyncSettings { master: true, ..SyncSettings::default() };
    let mut cluster = Cluster::new(&site);
    let mut daemon = Master::new(7, 1472, 1, 1000, 0);
    let mut all = Vec::new();
    for (n, (family, method, client)) in flows().enumerate() {
        let worker = n % usize::from(site.workers);
        let seen = ask(&mut cluster, worker, (family, method, client), tcp::SYN);
        let flow = Flow { family, method, client, seen };
        answer(&mut cluster, worker, &flow, tcp::SYN | tcp::ACK);
        for _ in 0..2 {
            ask(&mut cluster, worker, (family, method, client), tcp::ACK);
        }
        all.push(flow);
    }
    let told = cluster.told();
    assert_eq!(told.len(), all.len(), "each at its third packet");
    told.iter().for_each(|record| daemon.push(0, Version::V1, record));
    let mut messages = Vec::new();
    for now_ms in [20, 2020] {
        daemon.poll(now_ms, |_, message| {
            messages.push(message.to_vec());
            Sent::Done
        });
    }
    (all, messages)
}

#[test]
fn connections_go_on_at_the_backup() {
    for (name, masters, backups, key) in [
        ("one worker each", 1, 1, [1; 16]),
        ("the same on both sides", 4, 4, [9; 16]),
        ("another secret", 4, 4, [1; 16]),
        ("fewer workers", 4, 3, [1; 16]),
        ("more workers", 1, 4, [1; 16]),
    ] {
        let (flows, messages) = established(&Site::new(masters));
        let mut site = Site { key, ..Site::new(backups) };
        site.settings.sync = SyncSettings { backup: true, ..SyncSettings::default() };
        let mut cluster = Cluster::new(&site);
        cluster.redirects = true;
        let mut daemon = Backup::new(7);
        for message in &messages {
            daemon.read(message, |record| cluster.import(&record));
        }
        assert_eq!(daemon.counts().records, flows.len() as u64, "{name}");
        let kept = cluster.connections();
        assert_eq!(kept.len(), flows.len(), "{name}: each is shown once");
        assert!(kept.iter().all(|(_, view)| view.state == "ESTABLISHED" && view.active), "{name}");
        for refused in [Imported::MadeUnknown, Imported::Full, Imported::Stray, Imported::Unusable] {
            assert_eq!(cluster.imported(refused), 0, "{name}: {refused:?}");
        }
        for (n, flow) in flows.iter().enumerate() {
            let worker = n % usize::from(backups);
            let ends = (flow.family, flow.method, flow.client);
            let seen = ask(&mut cluster, worker, ends, tcp::ACK);
            assert_eq!((seen.src, seen.dst), (flow.seen.src, flow.seen.dst), "{name}: {ends:?}");
            answer(&mut cluster, (worker + 1) % usize::from(backups), flow, tcp::ACK);
        }
        assert_eq!(cluster.dropped_at_all(), 0, "{name}");
    }
}

#[test]
fn a_connection_is_told_again_only_when_it_is_time() {
    let (_, messages) = established(&Site::new(1));
    let mut site = Site::new(1);
    site.settings.sync = SyncSettings { master: true, backup: true, ..SyncSettings::default() };
    let mut cluster = Cluster::new(&site);
    messages.iter().for_each(|message| Backup::new(0).read(message, |record| cluster.import(&record)));
    let flow = flows().next().unwrap();
    let mut at = Vec::new();
    for n in 1..=60 {
        ask(&mut cluster, 0, flow, tcp::ACK);
        if !cluster.told().is_empty() {
            at.push(n);
        }
    }
    assert_eq!(at, [50], "it came with the packets at which it was told, 3 of 53");
    ask(&mut cluster, 0, flow, tcp::FIN | tcp::ACK);
    assert_eq!(cluster.told().len(), 1);
}

#[test]
fn a_full_table_takes_no_more() {
    let (flows, messages) = established(&Site::new(1));
    let mut cluster = Cluster::with_bounds(&Site::new(1), Bounds { connections: 5, ..Bounds::default() });
    messages.iter().for_each(|message| Backup::new(0).read(message, |record| cluster.import(&record)));
    assert_eq!(cluster.imported(Imported::Made), 5);
    assert_eq!(cluster.imported(Imported::Full), flows.len() as u64 - 5);
}

fn endpoint() -> impl Strategy<Value = SocketAddr> {
    let near = |n: u8, port| SocketAddr::new(client(FAMILIES[usize::from(n) % 2], n.into()), port);
    let service =
        |n: u8| service_endpoint(FAMILIES[usize::from(n) % 2], METHODS[usize::from(n / 2) % METHODS.len()]);
    prop_oneof![
        (0..4_u8, 0..4_u16).prop_map(move |(n, port)| near(n, port)),
        (0..8_u8).prop_map(service),
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from),
    ]
}

prop_compose! {
    fn any_record()(
        protocol in prop_oneof![Just(6_u8), Just(17), Just(0), any::<u8>()],
        flags: u32,
        state in prop_oneof![0..14_u16, any::<u16>()],
        ends in (endpoint(), endpoint(), endpoint()),
        local in proptest::option::of(endpoint()),
        numbers in any::<(u32, u32, bool)>(),
        timeout_s in prop_oneof![0..5_u32, any::<u32>()],
    ) -> Record {
        let (fwmark, shift, marked) = numbers;
        let shift = Shift { initial: shift, delta: shift.rotate_left(7), previous_delta: fwmark };
        Record {
            protocol,
            flags,
            state,
            client: ends.0,
            service: ends.1,
            destination: ends.2,
            fwmark: if marked { fwmark } else { 0 },
            timeout_s,
            local,
            shifts: marked.then_some(Shifts { input: shift, output: Shift::default() }),
            engine: None,
            lane: 0,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a master says: each record has one outcome, packets of such connections are accounted for, and all of it can
    /// be forgotten again.
    #[test]
    fn any_record_is_taken_in_or_refused(records in proptest::collection::vec(any_record(), 1..30), workers in 1..4_u16) {
        let mut site = Site::new(workers);
        site.settings.sync = SyncSettings { master: true, backup: true, ..SyncSettings::default() };
        let mut cluster = Cluster::new(&site);
        cluster.redirects = true;
        for record in &records {
            cluster.import(record);
        }
        let outcomes: u64 = Imported::ALL.into_iter().map(|imported| cluster.imported(imported)).sum();
        prop_assert!(outcomes <= 2 * records.len() as u64);
        if workers == 1 {
            prop_assert_eq!(outcomes, records.len() as u64);
        }
        for record in records.iter().filter(|record| record.client.is_ipv4() == record.service.is_ipv4()) {
            let frame = from_client(Protocol::Tcp, record.client, record.service, tcp::ACK, b"x");
            cluster.receive(0, WAN, &frame);
        }
        cluster.advance(1000);
        cluster.flush_connections(None);
        prop_assert_eq!(cluster.connections().len(), 0);
    }
}
