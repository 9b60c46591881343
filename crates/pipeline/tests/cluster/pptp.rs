//! PPTP: a call's packets in GRE go to the server that answered it and come back from there, whichever worker receives them.

use std::net::{IpAddr, SocketAddr};

use inet::DropReason;
use ipvs::{Helpers, Method, Protocol, Rng, Service, ServiceKey};
use wire::testing::{Frame, info};
use wire::{Family, MacAddr, ether, protocol, tcp};

use crate::cluster::{Cluster, Sent};
use crate::frames::{from_client, from_server, see};
use crate::site::{FAMILIES, LAN, LAN_MAC, ROUTER_MAC, SERVERS, Site, WAN, WAN_MAC, client, server_mac, vip};

const PORT: u16 = 1723;
const WORKERS: u16 = 4;

/// A control message of this type, with a call's number and what follows it.
fn message(kind: u16, call: u16, rest: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 0, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d];
    message.extend(kind.to_be_bytes());
    message.extend([0, 0]);
    message.extend(call.to_be_bytes());
    message.extend(rest);
    message.resize(message.len().max(32), 0);
    let len = message.len() as u16;
    message[..2].copy_from_slice(&len.to_be_bytes());
    message
}

fn answer(own: u16, peers: u16) -> Vec<u8> {
    message(8, own, &[peers.to_be_bytes()[0], peers.to_be_bytes()[1], 1, 0])
}

/// A packet of a call, as PPTP has it in GRE.
fn gre(src: IpAddr, dst: IpAddr, (from, to): (MacAddr, MacAddr), call: u16) -> Vec<u8> {
    let [high, low] = call.to_be_bytes();
    let header = [0x30, 1, 0x88, 0x0b, 0, 2, high, low, 0, 0, 0, 1, 0xff, 3];
    Frame::new(src, dst).mac(from, to).raw(protocol::GRE).payload(&header).build()
}

struct Rig {
    cluster: Cluster,
    family: Family,
    rng: Rng,
}

/// A client's session, with the server that it was given.
struct Session {
    client: SocketAddr,
    server: SocketAddr,
    mac: MacAddr,
}

impl Rig {
    fn new(family: Family, method: Method) -> Self {
        let mut site = Site::new(WORKERS);
        let service = site.service(family, Protocol::Tcp, method);
        let key = ServiceKey::Address { protocol: Protocol::Tcp, addr: vip(family), port: PORT };
        let dests = service.dests.iter().map(|dest| ipvs::Dest { port: PORT, ..dest.clone() }).collect();
        *service = Service { key, dests, helpers: Helpers::well_known(), ..service.clone() };
        Self { cluster: Cluster::new(&site), family, rng: Rng::new(5) }
    }

    fn receive(&mut self, port: inet::PortIndex, frame: &[u8]) -> Sent {
        let worker = (self.rng.next_u64() % u64::from(WORKERS)) as usize;
        self.cluster.receive(worker, port, frame)
    }

    fn service(&self) -> SocketAddr {
        SocketAddr::new(vip(self.family), PORT)
    }

    fn says(&mut self, client: SocketAddr, flags: u8, data: &[u8]) -> Sent {
        let frame = from_client(Protocol::Tcp, client, self.service(), flags, data);
        self.receive(WAN, &frame)
    }

    fn answers(&mut self, session: &Session, flags: u8, data: &[u8]) -> Sent {
        let frame = from_server(session.mac, Protocol::Tcp, session.server, session.client, flags, data);
        self.receive(LAN, &frame)
    }

    /// An established control connection.
    fn session(&mut self, n: u16, port: u16) -> Session {
        let client = SocketAddr::new(client(self.family, n), port);
        let sent = self.says(client, tcp::SYN, b"");
        let out = sent.only(LAN);
        let session = Session { client, server: see(out).dst, mac: ether::dst(out) };
        self.answers(&session, tcp::SYN | tcp::ACK, b"").only(WAN);
        self.says(client, tcp::ACK, b"").only(LAN);
        session
    }

    /// The client sends a packet of a call to which the server gave this number.
    fn request(&mut self, client: SocketAddr, call: u16) -> Sent {
        let frame = gre(client.ip(), vip(self.family), (ROUTER_MAC, WAN_MAC), call);
        self.receive(WAN, &frame)
    }

    /// A packet of the call, from its server to the client, who gave it this number; source and destination as it arrives.
    fn reply(&mut self, session: &Session, call: u16) -> (IpAddr, IpAddr) {
        let frame = gre(session.server.ip(), session.client.ip(), (session.mac, LAN_MAC), call);
        let sent = self.receive(LAN, &frame);
        let packet = info(sent.only(WAN));
        assert_eq!(packet.call, Some(call));
        (packet.src(sent.only(WAN)), packet.dst(sent.only(WAN)))
    }

    fn reaches(&mut self, session: &Session, call: u16) {
        let sent = self.request(session.client, call);
        let out = sent.only(LAN);
        let packet = info(out);
        assert_eq!((packet.call, ether::dst(out)), (Some(call), session.mac));
        assert_eq!((packet.src(out), packet.dst(out)), (session.client.ip(), session.server.ip()));
    }
}

#[test]
fn calls_go_where_their_control_connection_goes() {
    for family in FAMILIES {
        let mut rig = Rig::new(family, Method::Masquerade);
        let sessions: Vec<Session> = (1..=8).map(|n| rig.session(n, 4000 + n)).collect();
        let macs: Vec<_> = sessions.iter().map(|session| session.mac).collect();
        assert!((1..=SERVERS).all(|n| macs.contains(&server_mac(n))), "every server has a share");
        for (n, session) in (0..).zip(&sessions) {
            // Servers number alike, and so do clients.
            let (servers, clients) = (7, 9);
            rig.request(session.client, servers).only_host(WAN);
            // Of no call, the server's packet passes as any other.
            assert_eq!(rig.reply(session, clients).0, session.server.ip());
            let messages = [message(5, 0, &[]), answer(servers, clients)].concat();
            for _ in 0..=n % 2 {
                rig.answers(session, tcp::ACK, &messages).only(WAN);
            }
            for _ in 0..3 {
                rig.reaches(session, servers);
                assert_eq!(rig.reply(session, clients), (vip(family), session.client.ip()));
            }
            rig.request(session.client, servers + 1).only_host(WAN);
        }
        let shown = rig.cluster.connections();
        let calls: Vec<_> =
            shown.iter().filter(|(_, conn)| conn.protocol == Some(Protocol::Gre)).map(|(_, c)| c).collect();
        assert_eq!((shown.len(), calls.len()), (16, 8));
        assert!(calls.iter().all(|call| (call.in_pkts, call.out_pkts) == (3, 3) && call.state == "GRE"));

        for session in &sessions {
            rig.answers(session, tcp::ACK, &message(13, 7, &[1, 0])).only(WAN);
            rig.request(session.client, 7).only_host(WAN);
        }
        assert_eq!(rig.cluster.connections().len(), 8);
        assert_eq!(rig.cluster.dropped_at_all(), 0);
    }
}

#[test]
fn a_call_lives_as_long_as_it_is_used_and_its_control_connection_no_shorter() {
    let mut rig = Rig::new(Family::V4, Method::Masquerade);
    let session = rig.session(1, 4000);
    rig.answers(&session, tcp::ACK, &answer(7, 9)).only(WAN);
    for _ in 0..3 {
        rig.cluster.advance(600_000);
        rig.reaches(&session, 7);
    }
    assert_eq!(rig.cluster.connections().len(), 2, "a session with a call stays");
    rig.cluster.advance(901_000);
    rig.request(session.client, 7).only_host(WAN);
    rig.cluster.advance(61_000);
    assert_eq!(rig.cluster.connections().len(), 0);
}

#[test]
fn two_servers_cannot_give_one_address_the_same_number() {
    for family in FAMILIES {
        let mut rig = Rig::new(family, Method::Masquerade);
        // Two clients behind one address, at two servers.
        let (first, second) = (rig.session(1, 4000), rig.session(1, 4001));
        assert_ne!(first.mac, second.mac);
        rig.answers(&first, tcp::ACK, &answer(7, 9)).only(WAN);
        rig.answers(&second, tcp::ACK, &answer(7, 10)).nothing();
        assert_eq!(rig.cluster.dropped(DropReason::PptpCallTaken), 1);
        rig.reaches(&first, 7);
        // Another number is as good as ever, and so is the number when the first call is over.
        rig.answers(&second, tcp::ACK, &answer(8, 10)).only(WAN);
        rig.reaches(&second, 8);
        rig.answers(&second, tcp::ACK, &message(13, 7, &[1, 0])).only(WAN);
        rig.reaches(&first, 7);
        rig.answers(&first, tcp::ACK, &message(13, 7, &[1, 0])).only(WAN);
        rig.answers(&second, tcp::ACK, &answer(7, 11)).only(WAN);
        rig.reaches(&second, 7);
        assert_eq!(rig.reply(&second, 11), (vip(family), second.client.ip()));
    }
}

#[test]
fn what_is_no_pptp_is_none_of_the_directors() {
    let mut rig = Rig::new(Family::V4, Method::Masquerade);
    let session = rig.session(1, 4000);
    // The client calls and does not answer; the answer is damaged, or not whole.
    let mut cut = answer(7, 9);
    cut.pop();
    rig.answers(&session, tcp::ACK, &cut).only(WAN);
    let frame = Frame::new(session.server.ip(), session.client.ip())
        .mac(session.mac, LAN_MAC)
        .tcp(session.server.port(), session.client.port(), tcp::ACK)
        .payload(&answer(7, 9))
        .bad_checksum()
        .build();
    rig.receive(LAN, &frame).only(WAN);
    rig.request(session.client, 7).only_host(WAN);
    // FULLNAT has no calls.
    let mut rig = Rig::new(Family::V4, Method::Fullnat);
    let client = SocketAddr::new(client(Family::V4, 1), 4000);
    let sent = rig.says(client, tcp::SYN, b"");
    let seen = see(sent.only(LAN));
    let local = Session { client: seen.src, server: seen.dst, mac: ether::dst(sent.only(LAN)) };
    rig.answers(&local, tcp::SYN | tcp::ACK, b"").only(WAN);
    rig.says(client, tcp::ACK, b"").only(LAN);
    rig.answers(&local, tcp::ACK, &answer(7, 9)).only(WAN);
    rig.request(client, 7).only_host(WAN);
}
