use conntab::{Key4, Key6};
use wire::testing::Frame;
use wire::{PacketBuf, VecBuf, tcp};

use super::*;
use crate::protocol::tcp::TcpState;
use crate::testing::{Hosts, director, families, services, snapshot};
use crate::{Cursor, DestId, Director, Limits, Protocol, Verdict};

const PORT: u16 = 40_000;
const MINUTE_MS: u64 = 60_000;

fn with(method: Method, side_records: u32) -> Director {
    let limits = Limits { connections: 16, side_records, services: 4, dests: 4, ..Limits::default() };
    director(snapshot(services(method)), &limits)
}

fn send(director: &mut Director, now_ms: u64, frame: &[u8]) -> (Verdict, VecBuf) {
    let Ok(wire::Parsed::Ip(info)) = wire::parse(frame) else { panic!("an IP packet") };
    let mut packet = VecBuf::new(frame);
    let verdict = director.local_in(now_ms, &mut packet, &info, inet::IfaceId(0));
    (verdict, packet)
}

fn syn(hosts: &Hosts, sport: u16, dport: u16) -> Vec<u8> {
    Frame::new(hosts.client, hosts.vip).tcp(sport, dport, tcp::SYN).build()
}

fn addr<K: FlowKey>(addr: std::net::IpAddr) -> K::Addr {
    K::addr(addr).expect("the family's address")
}

/// The client's control connection.
fn session<K: FlowKey>(director: &mut Director, hosts: &Hosts) -> ConnId {
    assert!(matches!(send(director, 0, &syn(hosts, PORT, 21)).0, Verdict::Tx(_)));
    let key = K::new(addr::<K>(hosts.client), addr::<K>(hosts.vip), PORT, 21, Protocol::Tcp.number());
    director.core.find_original(&key).expect("a connection")
}

/// A data connection from `client_port`, 0 for any, that the session tells of.
fn expected<K: FlowKey>(hosts: &Hosts, client_port: u16, server_port: u16) -> Expected<K> {
    let (client, vip) = (addr::<K>(hosts.client), addr::<K>(hosts.vip));
    Expected {
        original: K::new(client, vip, client_port, server_port, Protocol::Tcp.number()),
        server: (addr::<K>(hosts.server), server_port),
        state: TcpState::Listen.into(),
        timeout_ms: 2 * MINUTE_MS,
    }
}

fn expect<K: FlowKey>(
    director: &mut Director,
    by: ConnId,
    expected: &Expected<K>,
) -> Result<ConnId, DropReason> {
    let context = Context { snapshot: &director.snapshot, now_ms: 0, hook: crate::hooks::Hook::LocalIn };
    director.core.expect::<K>(&context, by, expected)
}

fn load(director: &Director, dest: u32) -> (u32, u32) {
    let counters = director.core.own().dest(DestId(dest)).expect("counters");
    (counters.load().total(), counters.refs())
}

fn each_family(method: Method, check: impl Fn(Director, Hosts, u32), check6: impl Fn(Director, Hosts, u32)) {
    let [v4, v6] = families();
    check(with(method, 16), v4, 0);
    check6(with(method, 16), v6, 1);
}

/// The first packet from the expected client gives the connection its port; then both directions find it.
fn filled<K: FlowKey>(mut director: Director, hosts: Hosts, dest: u32) {
    let by = session::<K>(&mut director, &hosts);
    let id = expect(&mut director, by, &expected::<K>(&hosts, 0, 50_000)).expect("room");
    assert_eq!(director.core.without_port, 1);
    let (verdict, packet) = send(&mut director, 10, &syn(&hosts, 41_000, 50_000));
    assert!(matches!(verdict, Verdict::Tx(_)), "{verdict:?}");
    let Ok(wire::Parsed::Ip(info)) = wire::parse(packet.bytes()) else { panic!("an IP packet") };
    assert_eq!((info.dst(packet.bytes()), info.dport), (hosts.server, 50_000));
    let conn = *K::table(&director.core.tables).get(id).expect("the same connection");
    assert_eq!((conn.original.sport(), conn.original.dport()), (41_000, 50_000));
    assert_eq!(director.core.without_port, 0);
    assert_eq!(director.core.find(&conn.original), Some((id, Direction::Original)));
    assert_eq!(director.core.find(&conn.reply), Some((id, Direction::Reply)));
    let other = syn(&hosts, 41_001, 50_000);
    assert_eq!(send(&mut director, 20, &other).0, Verdict::Accept, "one client only");
    assert_eq!(load(&director, dest), (2, 2));
}

#[test]
fn the_first_packet_fills_in_the_clients_port() {
    for method in [Method::Masquerade, Method::Fullnat] {
        each_family(method, filled::<Key4>, filled::<Key6>);
    }
}

/// A session whose time has come waits for its data connections, a minute at a time.
fn outlives<K: FlowKey>(mut director: Director, hosts: Hosts, dest: u32) {
    let by = session::<K>(&mut director, &hosts);
    let id = expect(&mut director, by, &expected::<K>(&hosts, 0, 50_000)).expect("room");
    let again = expect(&mut director, by, &expected::<K>(&hosts, 0, 50_000));
    assert_eq!(again, Ok(id), "told twice, expected once");
    let gone = |director: &Director, id| K::table(&director.core.tables).get(id).is_none();
    // SYN_RECV lasts a minute, the expected connection two.
    director.expire(MINUTE_MS + 500, 1000);
    assert!(!gone(&director, by) && !gone(&director, id));
    director.expire(2 * MINUTE_MS + 300, 1000);
    assert!(!gone(&director, by) && gone(&director, id), "the data connection first");
    director.expire(3 * MINUTE_MS + 1000, 1000);
    assert!(gone(&director, by));
    assert_eq!((load(&director, dest), director.core.side.len()), ((0, 0), 0));
    assert_eq!(director.core.without_port, 0);
}

#[test]
fn what_controls_goes_after_what_it_controls() {
    each_family(Method::Masquerade, outlives::<Key4>, outlives::<Key6>);
}

/// A known client's port gives the connection its keys at once.
fn known<K: FlowKey>(mut director: Director, hosts: Hosts, _: u32) {
    let by = session::<K>(&mut director, &hosts);
    let id = expect(&mut director, by, &expected::<K>(&hosts, 2000, 20)).expect("room");
    let conn = *K::table(&director.core.tables).get(id).expect("a connection");
    assert_eq!(director.core.find(&conn.reply), Some((id, Direction::Reply)));
    let from_server = Frame::new(hosts.server, hosts.client).tcp(20, 2000, tcp::SYN).build();
    let Ok(wire::Parsed::Ip(info)) = wire::parse(&from_server) else { panic!("an IP packet") };
    let mut packet = VecBuf::new(&from_server);
    assert_eq!(director.forward(5, &mut packet, &info, inet::IfaceId(0)), Verdict::Stop);
    assert_eq!(info.src(packet.bytes()), hosts.vip);
}

#[test]
fn an_active_data_connection_is_found_by_its_reply() {
    each_family(Method::Masquerade, known::<Key4>, known::<Key6>);
}

/// A flush takes what controls with the last that it controls, whichever place they are in.
fn flushed<K: FlowKey>(mut director: Director, hosts: Hosts, dest: u32) {
    let by = session::<K>(&mut director, &hosts);
    for port in [50_000, 50_001] {
        expect(&mut director, by, &expected::<K>(&hosts, 0, port)).expect("room");
    }
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor {
        cursor = director.flush(at, 1);
    }
    assert_eq!((director.connections(), load(&director, dest)), (0, (0, 0)));
    assert_eq!((director.core.side.len(), director.core.without_port), (0, 0));
}

#[test]
fn a_flush_leaves_nothing_behind() {
    each_family(Method::Masquerade, flushed::<Key4>, flushed::<Key6>);
}

/// A session that ends while it controls others makes room for another with its keys.
fn retired<K: FlowKey>(mut director: Director, hosts: Hosts, dest: u32) {
    let by = session::<K>(&mut director, &hosts);
    let id = expect(&mut director, by, &expected::<K>(&hosts, 0, 50_000)).expect("room");
    assert!(!director.core.remove::<K>(by), "it controls another");
    director.core.retire::<K>(by);
    assert_ne!(session::<K>(&mut director, &hosts), by);
    assert_eq!(load(&director, dest), (3, 3));
    director.core.remove_chain::<K>(id);
    assert!(K::table(&director.core.tables).get(by).is_none(), "nothing more to wait for");
    assert_eq!(load(&director, dest), (1, 1));
}

#[test]
fn a_session_that_begins_anew_waits_unseen_for_its_connections() {
    each_family(Method::Masquerade, retired::<Key4>, retired::<Key6>);
}

#[test]
fn a_full_side_table_expects_nothing_and_loses_nothing() {
    let [hosts, _] = families();
    let mut director = with(Method::Masquerade, 1);
    let by = session::<Key4>(&mut director, &hosts);
    let refused = expect(&mut director, by, &expected::<Key4>(&hosts, 0, 50_000));
    assert_eq!(refused, Err(DropReason::SideTableFull));
    assert_eq!((director.connections(), load(&director, 0)), (1, (1, 1)));
    assert!(director.core.remove::<Key4>(by));
    assert_eq!(director.core.side.len(), 0);
}
