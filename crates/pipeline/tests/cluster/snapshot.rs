//! The configuration changes while connections live.

use std::net::{IpAddr, SocketAddr};

use inet::DropReason;
use ipvs::{Method, Protocol, ServiceId};
use wire::testing::Frame;
use wire::{Family, ether, tcp};

use crate::cluster::{Cluster, Sent};
use crate::frames::{answered, ask, from_client, from_server, inside, see};
use crate::site::{
    FAMILIES, LAN, METHODS, PROTOCOLS, ROUTER_MAC, SERVERS, Site, WAN, WAN_MAC, client, server_mac,
    service_endpoint, vip,
};

/// A connection as its two ends see it.
struct Session {
    family: Family,
    protocol: Protocol,
    method: Method,
    client: SocketAddr,
    /// Which server, what it sees as itself and as the client.
    server: (u8, SocketAddr, SocketAddr),
}

impl Session {
    /// Opens a connection.
    fn open(cluster: &mut Cluster, family: Family, protocol: Protocol, method: Method, n: u16) -> Self {
        let from = SocketAddr::new(client(family, n), 30_000 + n);
        let frame = from_client(protocol, from, service_endpoint(family, method), tcp::SYN, b"");
        let sent = cluster.receive(0, WAN, &frame);
        let mut session = Self { family, protocol, method, client: from, server: (0, from, from) };
        session.server = session.at_server(&sent);
        if !method.input_only() {
            session.reply(cluster, tcp::SYN | tcp::ACK).only(WAN);
        }
        session
    }

    #[track_caller]
    fn at_server(&self, sent: &Sent) -> (u8, SocketAddr, SocketAddr) {
        let out = sent.only(LAN);
        let number = (1..=SERVERS).find(|n| server_mac(*n) == ether::dst(out)).expect("to a server");
        let seen = see(&if self.method == Method::Tunnel { inside(out) } else { out.to_vec() });
        (number, seen.dst, seen.src)
    }

    fn send(&self, cluster: &mut Cluster, flags: u8) -> Sent {
        let service = service_endpoint(self.family, self.method);
        cluster.receive(1, WAN, &from_client(self.protocol, self.client, service, flags, b"more"))
    }

    fn reply(&self, cluster: &mut Cluster, flags: u8) -> Sent {
        let (number, server, client) = self.server;
        cluster.receive(1, LAN, &from_server(server_mac(number), self.protocol, server, client, flags, b""))
    }

    /// Both directions work, with the server that there has been.
    #[track_caller]
    fn goes_on(&self, cluster: &mut Cluster) {
        let sent = self.send(cluster, tcp::ACK);
        assert_eq!(self.at_server(&sent), self.server, "{:?} {:?}", self.method, self.protocol);
        if !self.method.input_only() {
            self.is_answered(cluster);
        }
    }

    #[track_caller]
    fn is_answered(&self, cluster: &mut Cluster) {
        let seen = see(self.reply(cluster, tcp::ACK).only(WAN));
        assert_eq!((seen.src, seen.dst), (service_endpoint(self.family, self.method), self.client));
    }
}

/// A session of every kind.
fn sessions(cluster: &mut Cluster) -> Vec<Session> {
    let mut sessions = Vec::new();
    for method in METHODS {
        for family in FAMILIES {
            for protocol in PROTOCOLS {
                sessions.push(Session::open(cluster, family, protocol, method, sessions.len() as u16));
            }
        }
    }
    sessions
}

fn next(site: &mut Site) {
    site.generation += 1;
}

#[test]
fn connections_of_unchanged_services_go_on() {
    let mut site = Site::new(4);
    let removed = site.services.split_off(site.services.len() / 2);
    let mut cluster = Cluster::new(&Site::new(4));
    let sessions = sessions(&mut cluster);
    let (stay, go) = sessions.split_at(site.services.len());
    next(&mut site);
    cluster.apply(&site).nothing();
    stay.iter().for_each(|session| session.goes_on(&mut cluster));
    for session in go {
        session.send(&mut cluster, tcp::ACK).nothing();
    }
    assert_eq!(cluster.dropped(DropReason::DestinationGone), go.len() as u64);
    // What begins now is the host's.
    let service = service_endpoint(Family::V4, Method::Tunnel);
    let from = SocketAddr::new(client(Family::V4, 99), 1);
    let syn = from_client(Protocol::Tcp, from, service, tcp::SYN, b"");
    assert_eq!(cluster.receive(0, WAN, &syn).only_host(WAN), syn);

    site.services.extend(removed);
    next(&mut site);
    cluster.apply(&site).nothing();
    sessions.iter().for_each(|session| session.goes_on(&mut cluster));
    assert_eq!(cluster.connections().len(), sessions.len());
    assert_eq!(cluster.dropped_at_all(), go.len() as u64);
}

#[test]
fn a_removed_sibling_disturbs_nobody() {
    for family in FAMILIES {
        for method in METHODS {
            let mut site = Site::new(2);
            let mut cluster = Cluster::new(&site);
            let all: Vec<_> =
                (0..4).map(|n| Session::open(&mut cluster, family, Protocol::Tcp, method, n)).collect();
            let full = site.service(family, Protocol::Tcp, method).dests.clone();
            site.service(family, Protocol::Tcp, method).dests = full[1..].into();
            next(&mut site);
            cluster.apply(&site);
            let (gone, stay): (Vec<_>, Vec<_>) = all.iter().partition(|session| session.server.0 == 1);
            assert!(!gone.is_empty() && !stay.is_empty());
            stay.iter().for_each(|session| session.goes_on(&mut cluster));
            for session in &gone {
                session.send(&mut cluster, tcp::ACK).nothing();
                if !method.input_only() {
                    // It may still answer what it took.
                    session.is_answered(&mut cluster);
                }
            }
            assert_eq!(cluster.dropped(DropReason::DestinationGone), gone.len() as u64);
            // New connections go to whom there is.
            for n in 10..14 {
                let session = Session::open(&mut cluster, family, Protocol::Tcp, method, n);
                assert_eq!(session.server.0, 2);
            }
            site.service(family, Protocol::Tcp, method).dests = full;
            next(&mut site);
            cluster.apply(&site);
            all.iter().for_each(|session| session.goes_on(&mut cluster));
        }
    }
}

#[test]
fn connections_of_removed_destinations_end_if_so_configured() {
    for family in FAMILIES {
        let mut site = Site::new(2);
        site.settings.expire_nodest_conn = true;
        let mut cluster = Cluster::new(&site);
        let all: Vec<_> =
            (0..4).map(|n| Session::open(&mut cluster, family, Protocol::Udp, Method::Fullnat, n)).collect();
        let service = site.service(family, Protocol::Udp, Method::Fullnat);
        service.dests = service.dests[1..].into();
        next(&mut site);
        cluster.apply(&site);
        // A datagram begins anew at the other server; the rest is swept away.
        let first = all.iter().find(|session| session.server.0 == 1).expect("one");
        let sent = first.send(&mut cluster, 0);
        assert_eq!(first.at_server(&sent).0, 2);
        assert_eq!(cluster.connections().len(), 4);
        cluster.advance(0);
        assert_eq!(cluster.connections().len(), 3);
        assert_eq!(cluster.dropped_at_all(), 0);
    }
}

#[test]
fn weight_0_takes_no_new_connections_and_keeps_the_old() {
    let mut site = Site::new(2);
    let mut cluster = Cluster::new(&site);
    let old: Vec<_> = (0..4)
        .map(|n| Session::open(&mut cluster, Family::V6, Protocol::Tcp, Method::Masquerade, n))
        .collect();
    let service = site.service(Family::V6, Protocol::Tcp, Method::Masquerade);
    service.dests[0].weight = 0;
    service.epoch += 1;
    next(&mut site);
    cluster.apply(&site);
    old.iter().for_each(|session| session.goes_on(&mut cluster));
    for n in 10..16 {
        let session = Session::open(&mut cluster, Family::V6, Protocol::Tcp, Method::Masquerade, n);
        assert_eq!(session.server.0, 2);
    }
}

#[test]
fn connections_keep_their_owner_when_their_service_changes_its_method() {
    for family in FAMILIES {
        let mut site = Site::new(4);
        let mut cluster = Cluster::new(&site);
        let old: Vec<_> = (0..16)
            .map(|n| Session::open(&mut cluster, family, Protocol::Tcp, Method::Masquerade, n))
            .collect();
        // The last masquerade destinations go, and with them the rule that found these connections' owners.
        site.services.retain(|service| !service.uses(Method::Masquerade));
        let mut changed = Site::new(4).service(family, Protocol::Tcp, Method::Masquerade).clone();
        for dest in &mut changed.dests {
            (dest.id.0, dest.method) = (dest.id.0 + 8, Method::Fullnat);
        }
        site.services.push(changed);
        next(&mut site);
        cluster.apply(&site);
        for session in &old {
            session.is_answered(&mut cluster);
            session.send(&mut cluster, tcp::ACK).nothing();
        }
        assert_eq!(cluster.dropped(DropReason::DestinationGone), 16);
        assert_eq!(cluster.dropped_at_all(), 16);
        assert_eq!(cluster.connections().len(), 16);
    }
}

#[test]
fn only_one_services_connections_are_flushed() {
    let site = Site::new(4);
    let mut cluster = Cluster::new(&site);
    let sessions = sessions(&mut cluster);
    let service: ServiceId = site.services[0].id;
    assert_eq!(cluster.flush_connections(Some(service)), 1);
    sessions[1..].iter().for_each(|session| session.goes_on(&mut cluster));
    assert_eq!(cluster.connections().len(), sessions.len() - 1);
}

#[test]
fn without_services_the_host_gets_everything() {
    let mut site = Site::new(2);
    let mut cluster = Cluster::new(&site);
    let sessions = sessions(&mut cluster);
    site.services.clear();
    next(&mut site);
    cluster.apply(&site);
    for session in &sessions {
        assert_eq!(session.send(&mut cluster, tcp::ACK).host.len(), 1);
    }
    assert_eq!(cluster.dropped_at_all(), 0);
}

#[test]
fn a_removed_address_is_no_more_ours() {
    for family in FAMILIES {
        let mut site = Site::new(2);
        let mut cluster = Cluster::new(&site);
        let kept = Session::open(&mut cluster, family, Protocol::Tcp, Method::Fullnat, 1);
        let gone = vip(family);
        let echo = Frame::new(client(family, 1), gone).mac(ROUTER_MAC, WAN_MAC).echo_request(1, 1).build();
        cluster.receive(0, WAN, &echo).only(WAN);
        site.net.addresses.retain(|address| address.addr != gone);
        next(&mut site);
        cluster.apply(&site).nothing();

        let question = ask(ROUTER_MAC, crate::site::router(family), gone);
        assert_eq!(answer_of(&cluster.receive(0, WAN, &question)), None);
        // It is another host on the wan link now, whom nobody has heard of.
        cluster.receive(0, WAN, &echo).nothing();
        kept.send(&mut cluster, tcp::ACK).nothing();
        assert_eq!(cluster.sum(|counters| &counters.held), 2);
        cluster.stop();

        let mut cluster = Cluster::new(&Site::new(2));
        let kept = Session::open(&mut cluster, family, Protocol::Tcp, Method::Fullnat, 1);
        cluster.apply(&site);
        cluster.apply(&Site::new(2)).frames.iter().for_each(|(port, _)| assert_eq!(*port, WAN));
        kept.goes_on(&mut cluster);
        assert_eq!(answer_of(&cluster.receive(0, WAN, &question)), Some(gone));
    }
}

fn answer_of(sent: &Sent) -> Option<IpAddr> {
    sent.frames.first().and_then(|(_, frame)| answered(frame)).map(|(addr, _)| addr)
}

#[test]
fn without_local_addresses_of_the_family_fullnat_makes_no_connection() {
    let mut site = Site::new(2);
    site.local_families = vec![Family::V6];
    let mut cluster = Cluster::new(&site);
    for family in FAMILIES {
        let from = SocketAddr::new(client(family, 1), 30_001);
        let to = service_endpoint(family, Method::Fullnat);
        let sent = cluster.receive(0, WAN, &from_client(Protocol::Tcp, from, to, tcp::SYN, b""));
        assert_eq!(sent.frames.len(), usize::from(family == Family::V6), "{family:?}");
    }
    assert_eq!((cluster.dropped(DropReason::NoLocalPool), cluster.connections().len()), (1, 1));
}
