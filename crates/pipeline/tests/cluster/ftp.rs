//! FTP's active data connections: what a client names leads the server that it told to the client, whichever worker
//! receives what, and whatever other servers and earlier transfers know the same port of the client by.

use std::net::{IpAddr, SocketAddr};

use ipvs::{Helpers, Method, Protocol, Rng, Service, ServiceKey};
use wire::{Family, MacAddr, ether, tcp};

use crate::cluster::{Cluster, Sent};
use crate::frames::{from_client, from_server, see};
use crate::site::{FAMILIES, LAN, Site, WAN, client, vip};

const PORT: u16 = 21;
const WORKERS: u16 = 4;
/// Where the client listens, again and again.
const LISTENS: u16 = 51_214;

struct Rig {
    cluster: Cluster,
    family: Family,
    rng: Rng,
}

/// A control connection: its client, the server that it was given, and whom that takes for the client.
struct Session {
    client: SocketAddr,
    server: SocketAddr,
    seen_as: SocketAddr,
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

    fn client_sends(&mut self, from: SocketAddr, port: u16, flags: u8, data: &[u8]) -> Sent {
        let to = SocketAddr::new(vip(self.family), port);
        self.receive(WAN, &from_client(Protocol::Tcp, from, to, flags, data))
    }

    fn server_sends(&mut self, of: &Session, port: u16, to: SocketAddr, flags: u8) -> Sent {
        let from = SocketAddr::new(of.server.ip(), port);
        self.receive(LAN, &from_server(of.mac, Protocol::Tcp, from, to, flags, b""))
    }

    fn session(&mut self, port: u16) -> Session {
        let client = SocketAddr::new(client(self.family, 1), port);
        let sent = self.client_sends(client, PORT, tcp::SYN, b"");
        let seen = see(sent.only(LAN));
        let mac = ether::dst(sent.only(LAN));
        let session = Session { client, server: seen.dst, seen_as: seen.src, mac };
        self.server_sends(&session, PORT, session.seen_as, tcp::SYN | tcp::ACK).only(WAN);
        self.client_sends(client, PORT, tcp::ACK, b"").only(LAN);
        session
    }

    /// The client says where it listens. Returns what the server hears.
    fn names(&mut self, session: &Session) -> SocketAddr {
        let said = written(SocketAddr::new(session.client.ip(), LISTENS));
        let sent = self.client_sends(session.client, PORT, tcp::ACK, said.as_bytes());
        let heard = String::from_utf8(see(sent.only(LAN)).payload).expect("text");
        let addr = session.seen_as.ip();
        let ports = (1..=u16::MAX).map(|port| SocketAddr::new(addr, port));
        ports.into_iter().find(|&at| written(at) == heard).expect("an endpoint of whom the server knows")
    }

    /// The server connects there, and both ends close, the server first.
    fn transfers(&mut self, session: &Session, to: SocketAddr) {
        let (data, listens) = (PORT - 1, SocketAddr::new(session.client.ip(), LISTENS));
        let vip = SocketAddr::new(vip(self.family), data);
        for (server, client) in [(tcp::SYN, tcp::SYN | tcp::ACK), (tcp::FIN | tcp::ACK, tcp::FIN | tcp::ACK)]
        {
            let sent = self.server_sends(session, data, to, server);
            let seen = see(sent.only(WAN));
            assert_eq!((seen.src, seen.dst), (vip, listens), "to the client, from the virtual address");
            let sent = self.client_sends(listens, data, client, b"");
            let seen = see(sent.only(LAN));
            assert_eq!((seen.src, seen.dst), (to, SocketAddr::new(session.server.ip(), data)));
            assert_eq!(ether::dst(sent.only(LAN)), session.mac);
        }
    }
}

/// `PORT` or `EPRT`.
fn written(at: SocketAddr) -> String {
    match at.ip() {
        IpAddr::V4(addr) => {
            let [a, b, c, d] = addr.octets();
            format!("PORT {a},{b},{c},{d},{},{}\r\n", at.port() >> 8, at.port() & 0xff)
        }
        IpAddr::V6(addr) => format!("EPRT |2|{addr}|{}|\r\n", at.port()),
    }
}

#[test]
fn sessions_with_different_servers_may_name_one_port() {
    for family in FAMILIES {
        for method in [Method::Masquerade, Method::Fullnat] {
            let mut rig = Rig::new(family, method);
            let (first, second) = (rig.session(4000), rig.session(4001));
            assert_ne!(first.mac, second.mac, "in turn");
            for session in [&first, &second] {
                let named = rig.names(session);
                rig.transfers(session, named);
            }
            // A third has the first server again.
            let third = rig.session(4002);
            assert_eq!(third.mac, first.mac);
            let named = rig.names(&third);
            rig.transfers(&third, named);
            // What the fourth's server waits for does not keep the fifth's from coming.
            let (fourth, fifth) = (rig.session(4003), rig.session(4004));
            rig.names(&fourth);
            let named = rig.names(&fifth);
            rig.transfers(&fifth, named);
            assert_eq!(rig.cluster.dropped_at_all(), 0);
        }
    }
}

#[test]
fn under_fullnat_a_server_is_not_asked_for_endpoints_that_it_still_holds() {
    for family in FAMILIES {
        let mut rig = Rig::new(family, Method::Fullnat);
        let mut named = std::collections::HashSet::new();
        for n in 0..16 {
            let session = rig.session(4000 + n);
            let at = rig.names(&session);
            assert!(named.insert((session.server, at)), "{at} again");
            rig.transfers(&session, at);
        }
        assert_eq!(rig.cluster.dropped_at_all(), 0);
    }
}
