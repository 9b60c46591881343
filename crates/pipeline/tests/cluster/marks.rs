//! Services by mark: what rules mark is the director's, whatever its address, at whichever worker it arrives.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use ipvs::marks::{Addresses, MarkRule};
use ipvs::{
    ClientMask, Dest, DestId, Method, Persistence, Protocol, SchedulerKind, Service, ServiceId, ServiceKey,
};
use wire::{Family, tcp};

use crate::cluster::Cluster;
use crate::frames::{from_client, from_server, see};
use crate::site::{
    FAMILIES, LAN, SERVER_PORT, SERVERS, Site, WAN, client, server, server_mac, service_endpoint,
};

/// An address of nobody here, in the prefix that is marked.
fn marked_vip(family: Family) -> IpAddr {
    match family {
        Family::V4 => "203.0.113.9".parse().unwrap(),
        Family::V6 => "2001:db8:77::9".parse().unwrap(),
    }
}

fn rule(mark: u32, prefix: &str, len: u8) -> MarkRule {
    MarkRule {
        mark,
        mask: u32::MAX,
        family: None,
        protocol: None,
        src: Vec::new(),
        dst: vec![Addresses::Prefix(prefix.parse().unwrap(), len)],
        sports: None,
        dports: None,
        iface: None,
    }
}

fn site(method: Method, persistence: bool) -> Site {
    let mut site = Site::new(4);
    site.marks = vec![rule(7, "203.0.113.0", 24), rule(7, "2001:db8:77::", 64)];
    for family in FAMILIES {
        let id = ServiceId(site.services.len() as u32);
        let port = if method == Method::Masquerade { SERVER_PORT } else { 0 };
        let dest = |n: u8| Dest::new(DestId(id.0 * 16 + u32::from(n)), server(family, n), port, method);
        let mask = ClientMask::whole(family);
        site.services.push(Service {
            dests: (1..=SERVERS).map(dest).collect(),
            persistence: persistence.then_some(Persistence { timeout_ms: 60_000, mask }),
            ..Service::new(id, ServiceKey::Mark { mark: 7, family }, SchedulerKind::Rr)
        });
    }
    site
}

#[test]
fn marked_packets_of_any_protocol_and_port_are_balanced_and_their_replies_go_back() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(Method::Masquerade, false));
        for n in 0..32 {
            let worker = usize::from(n) % 4;
            let protocol = if n % 2 == 0 { Protocol::Tcp } else { Protocol::Udp };
            let from = SocketAddr::new(client(family, n), 40_000 + n);
            let vip = SocketAddr::new(marked_vip(family), 1000 + n);
            let sent = cluster.receive(worker, WAN, &from_client(protocol, from, vip, tcp::SYN, b"hello"));
            let seen = see(sent.only(LAN));
            assert_eq!((seen.src, seen.dst.port()), (from, SERVER_PORT));
            let reply = from_server(server_mac(1), protocol, seen.dst, from, tcp::SYN | tcp::ACK, b"hi");
            let sent = cluster.receive((worker + 1) % 4, LAN, &reply);
            let back = see(sent.only(WAN));
            assert_eq!((back.src, back.dst), (vip, from));
        }
        assert_eq!(cluster.connections().len(), 32);
        cluster.check();
    }
}

#[test]
fn a_client_of_a_persistent_mark_stays_with_its_server_whichever_worker_its_packets_come_to() {
    for family in FAMILIES {
        let mut cluster = Cluster::new(&site(Method::DirectRouting, true));
        let mut used = HashSet::new();
        for n in 0..16 {
            let mut servers = HashSet::new();
            for port in 0..8 {
                let from = SocketAddr::new(client(family, n), 40_000 + port);
                let vip = SocketAddr::new(marked_vip(family), 1000 + port);
                let frame = from_client(Protocol::Tcp, from, vip, tcp::SYN, b"");
                let sent = cluster.receive(usize::from(port) % 4, WAN, &frame);
                servers.insert(sent.only(LAN)[..6].to_vec());
            }
            assert_eq!(servers.len(), 1, "client {n}");
            used.extend(servers);
        }
        assert_eq!(used.len(), usize::from(SERVERS), "clients are spread");
        cluster.check();
    }
}

#[test]
fn a_client_of_a_persistent_address_stays_with_its_server_too() {
    for family in FAMILIES {
        let mut site = Site::new(4);
        let service = site.service(family, Protocol::Tcp, Method::DirectRouting);
        let mask = ClientMask::whole(family);
        service.persistence = Some(Persistence { timeout_ms: 60_000, mask });
        let mut cluster = Cluster::new(&site);
        for n in 0..16 {
            let mut servers = HashSet::new();
            for port in 0..8 {
                let from = SocketAddr::new(client(family, n), 40_000 + port);
                let vip = service_endpoint(family, Method::DirectRouting);
                let frame = from_client(Protocol::Tcp, from, vip, tcp::SYN, b"");
                let sent = cluster.receive(usize::from(port) % 4, WAN, &frame);
                servers.insert(sent.only(LAN)[..6].to_vec());
            }
            assert_eq!(servers.len(), 1, "client {n}");
        }
        cluster.check();
    }
}

#[test]
fn what_no_rule_marks_or_no_service_wants_is_routed_as_ever() {
    let mut site = site(Method::Masquerade, false);
    site.marks = vec![rule(8, "203.0.113.0", 24)];
    let mut cluster = Cluster::new(&site);
    let from = SocketAddr::new(client(Family::V4, 1), 40_000);
    let vip = SocketAddr::new(marked_vip(Family::V4), 80);
    let frame = from_client(Protocol::Tcp, from, vip, tcp::SYN, b"");
    let sent = cluster.receive(0, WAN, &frame);
    assert_eq!(see(sent.only(WAN)).dst, vip, "by the default route");
    assert_eq!(cluster.connections().len(), 0);
    cluster.check();
}
