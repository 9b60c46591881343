//! The host behind the director as a real server (local node) and as a client of services, by its exception ports.

use std::net::{IpAddr, SocketAddr};

use inet::DropReason;
use ipvs::{Dest, DestId, Method, Protocol};
use wire::testing::Frame;
use wire::{Family, MacAddr, ether, icmp, icmpv6, tcp};

use crate::cluster::{Cluster, Sent};
use crate::frames::{announce, answered, ask, from_client, from_server, packet, see, see_error, tagged};
use crate::site::{
    FAMILIES, LAN, LAN_MAC, METHODS, PROTOCOLS, ROUTER_MAC, SERVER_PORT, Site, VLAN_HOST_MAC, VLAN_ID, WAN,
    WAN_MAC, client, lan_address, local, server, server_mac, service_endpoint, vip, vlan_address, vlan_host,
    wan_address,
};

const WORKERS: [u16; 3] = [1, 2, 4];

/// Every service has the host as its one destination.
fn local_nodes(workers: u16) -> Site {
    let mut site = Site::new(workers);
    for service in &mut site.services {
        let old = &service.dests[0];
        let family = service.key.family();
        service.dests = [Dest::new(old.id, lan_address(family), old.port, old.method)].into();
    }
    site
}

/// What the host sends to `dst`, on the link that its own routes say.
fn from_host(protocol: Protocol, src: SocketAddr, dst: SocketAddr, flags: u8) -> Vec<u8> {
    let frame = Frame::new(src.ip(), dst.ip()).mac(WAN_MAC, ROUTER_MAC);
    packet(frame, protocol, (src, dst), flags, b"from the host")
}

fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let seen = see(frame);
    (seen.src, seen.dst)
}

/// The one frame for the host, on whichever port.
#[track_caller]
fn given(sent: &Sent) -> &[u8] {
    assert_eq!((sent.frames.len(), sent.host.len()), (0, 1), "frames sent, frames to the host");
    &sent.host[0].1
}

#[test]
fn the_host_serves_by_every_method() {
    for workers in WORKERS {
        let mut cluster = Cluster::new(&local_nodes(workers));
        for (family, protocol, method, n) in FAMILIES.into_iter().flat_map(|family| {
            PROTOCOLS.into_iter().flat_map(move |protocol| {
                METHODS.into_iter().flat_map(move |m| (0..6_u16).map(move |n| (family, protocol, m, n)))
            })
        }) {
            let name = format!("{method:?} {family:?} {protocol:?}, {workers} workers");
            let from = SocketAddr::new(client(family, n), 3000 + n);
            let service = service_endpoint(family, method);
            let request = from_client(protocol, from, service, tcp::SYN, b"hello");
            let sent = cluster.receive(usize::from(n % workers), WAN, &request);
            let seen = see(given(&sent));
            assert!(seen.ttl == 64 && seen.payload.ends_with(b"hello"), "{name}");
            let at_host = SocketAddr::new(lan_address(family), SERVER_PORT);
            match method {
                Method::Masquerade => assert_eq!((seen.src, seen.dst), (from, at_host), "{name}"),
                Method::Fullnat => {
                    assert_eq!((seen.src.ip(), seen.dst), (local(family), at_host), "{name}")
                }
                _ => assert_eq!((seen.src, seen.dst), (from, service), "{name}: as it is"),
            }

            let reply = from_host(protocol, seen.dst, seen.src, tcp::SYN | tcp::ACK);
            let sent = cluster.host_sends(WAN, &reply);
            let out = sent.only(WAN);
            assert_eq!(ends(out), (service, from), "{name}");
            assert_eq!((see(out).ttl, ether::dst(out)), (64, ROUTER_MAC), "{name}: as the host's own");
            let connections = cluster.connections();
            let wanted = |view: &&ipvs::ConnView| {
                (view.client, view.virtual_addr, view.protocol) == (from, service, Some(protocol))
            };
            let view = connections.iter().map(|(_, view)| view).find(wanted).expect("a connection");
            assert_eq!((view.in_pkts, view.out_pkts), (1, 1), "{name}");
        }
        assert_eq!(cluster.dropped_at_all(), 0);
    }
}

#[test]
fn a_hop_that_the_host_is_costs_no_ttl_and_has_no_mtu() {
    let mut site = local_nodes(2);
    site.net.ifaces.iter_mut().for_each(|iface| iface.mtu = 1400);
    let mut cluster = Cluster::new(&site);
    for family in FAMILIES {
        for method in METHODS {
            let service = service_endpoint(family, method);
            let packet = Frame::new(client(family, 1), service.ip()).mac(ROUTER_MAC, WAN_MAC).ttl(1);
            let packet = packet.dont_fragment().tcp(3000, service.port(), tcp::SYN).payload(&[0; 1420]);
            let sent = cluster.receive(0, WAN, &packet.build());
            assert_eq!(see(given(&sent)).ttl, 1, "{method:?} {family:?}");
        }
    }
}

#[test]
fn what_the_host_says_about_a_request_reaches_the_client_as_the_service() {
    for workers in WORKERS {
        let mut cluster = Cluster::new(&local_nodes(workers));
        for (family, method, n) in FAMILIES
            .into_iter()
            .flat_map(|family| METHODS.into_iter().flat_map(move |m| (0..4_u16).map(move |n| (family, m, n))))
        {
            let name = format!("{method:?} {family:?}, {workers} workers");
            let from = SocketAddr::new(client(family, n), 3000);
            let service = service_endpoint(family, method);
            let sent = cluster.receive(0, WAN, &from_client(Protocol::Udp, from, service, 0, b"anyone?"));
            let request = given(&sent).to_vec();
            let seen = see(&request);
            let (kind, code) = if family == Family::V4 {
                (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE)
            } else {
                (icmpv6::UNREACHABLE, icmpv6::PORT_UNREACHABLE)
            };
            let error = Frame::new(seen.dst.ip(), seen.src.ip()).mac(WAN_MAC, ROUTER_MAC);
            let error = error.icmp(kind, code, 0).quote(&request, 80).build();
            let sent = cluster.host_sends(WAN, &error);
            let told = see_error(sent.only(WAN));
            assert_eq!((told.from, told.to), (service.ip(), from.ip()), "{name}");
            assert_eq!(told.quoted, (from, service), "{name}");
        }
        assert_eq!(cluster.dropped_at_all(), 0);
    }
}

#[test]
fn errors_about_what_the_host_answered_reach_it_as_it_answered() {
    let mut cluster = Cluster::new(&local_nodes(2));
    for family in FAMILIES {
        for method in [Method::Masquerade, Method::DirectRouting] {
            let from = SocketAddr::new(client(family, 3), 3000);
            let service = service_endpoint(family, method);
            cluster.receive(0, WAN, &from_client(Protocol::Tcp, from, service, tcp::SYN, b""));
            let answer = from_client(Protocol::Tcp, service, from, tcp::SYN | tcp::ACK, b"");
            let kind = if family == Family::V4 { icmp::UNREACHABLE } else { icmpv6::UNREACHABLE };
            let error = Frame::new(client(family, 9), vip(family)).mac(ROUTER_MAC, WAN_MAC);
            let error = error.icmp(kind, 1, 0).quote(&answer, 80).build();
            let sent = cluster.receive(1, WAN, &error);
            let told = see_error(given(&sent));
            let host = match method {
                Method::Masquerade => SocketAddr::new(lan_address(family), SERVER_PORT),
                _ => service,
            };
            assert_eq!((told.to, told.quoted), (host.ip(), (host, from)), "{method:?} {family:?}");
        }
    }
}

#[test]
fn the_host_is_a_client_of_services() {
    for workers in WORKERS {
        let mut cluster = Cluster::new(&Site::new(workers));
        let mut servers = std::collections::HashSet::new();
        for (family, protocol, method, n) in FAMILIES.into_iter().flat_map(|family| {
            PROTOCOLS.into_iter().flat_map(move |protocol| {
                [Method::Masquerade, Method::Fullnat]
                    .into_iter()
                    .flat_map(move |m| (0..4_u16).map(move |n| (family, protocol, m, n)))
            })
        }) {
            let name = format!("{method:?} {family:?} {protocol:?}, {workers} workers");
            let host = SocketAddr::new(wan_address(family), 40_000 + n);
            let service = service_endpoint(family, method);
            let sent = cluster.host_sends(WAN, &from_host(protocol, host, service, tcp::SYN));
            let seen = see(sent.only(LAN));
            assert_eq!((seen.dst.port(), seen.ttl), (SERVER_PORT, 63), "{name}");
            let source = if method == Method::Fullnat { local(family) } else { host.ip() };
            assert_eq!(seen.src.ip(), source, "{name}");
            servers.insert(seen.dst);

            let number = if seen.dst.ip() == server(family, 1) { 1 } else { 2 };
            let flags = tcp::SYN | tcp::ACK;
            let reply = from_server(server_mac(number), protocol, seen.dst, seen.src, flags, b"reply");
            for worker in 0..usize::from(workers) {
                let sent = cluster.receive(worker, LAN, &reply);
                let back = given(&sent);
                assert_eq!(ends(back), (service, host), "{name}");
                assert_eq!(ether::dst(back), LAN_MAC, "{name}: the interface takes it in");
            }
        }
        assert_eq!(servers.len(), 4, "both servers of both families");
        assert_eq!(cluster.dropped_at_all(), 0);
    }
}

#[test]
fn the_host_hears_what_cannot_be_done_for_it() {
    let mut site = Site::new(2);
    site.service(Family::V4, Protocol::Tcp, Method::Masquerade).dests = Box::new([]);
    let mut cluster = Cluster::new(&site);
    let host = SocketAddr::new(wan_address(Family::V4), 40_000);
    let service = service_endpoint(Family::V4, Method::Masquerade);
    let sent = cluster.host_sends(WAN, &from_host(Protocol::Tcp, host, service, tcp::SYN));
    let told = see_error(given(&sent));
    assert_eq!((told.from, told.to), (service.ip(), host.ip()));
    assert_eq!((told.kind, told.code), (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE));
    assert_eq!(ether::dst(given(&sent)), WAN_MAC);
    assert_eq!(cluster.dropped(DropReason::NoDestination), 1);
    for family in FAMILIES {
        let (host, nobody) = (SocketAddr::new(wan_address(family), 1), SocketAddr::new(vip(family), 9999));
        cluster.host_sends(WAN, &from_host(Protocol::Tcp, host, nobody, tcp::SYN)).nothing();
    }
    assert_eq!(cluster.dropped(DropReason::HostToOwn), 2);
}

#[test]
fn clients_behind_the_host_are_served() {
    let mut cluster = Cluster::new(&Site::new(2));
    for family in FAMILIES {
        let from = SocketAddr::new(client(family, 9), 4000);
        let service = service_endpoint(family, Method::Masquerade);
        let sent = cluster.host_sends(WAN, &from_host(Protocol::Tcp, from, service, tcp::SYN));
        assert_eq!(see(sent.only(LAN)).src, from);
    }
}

#[test]
fn without_snat_reroute_replies_leave_where_the_host_sends_them() {
    for (snat_reroute, port, mac) in [(true, WAN, ROUTER_MAC), (false, LAN, server_mac(1))] {
        let mut site = local_nodes(1);
        site.settings.snat_reroute = snat_reroute;
        let mut cluster = Cluster::new(&site);
        for family in FAMILIES {
            let from = SocketAddr::new(client(family, 9), 4000);
            let service = service_endpoint(family, Method::Masquerade);
            let request = from_client(Protocol::Udp, from, service, 0, b"");
            let sent = cluster.receive(0, WAN, &request);
            let seen = see(given(&sent));
            let reply = Frame::new(seen.dst.ip(), from.ip()).mac(LAN_MAC, server_mac(1));
            let reply = packet(reply, Protocol::Udp, (seen.dst, from), 0, b"");
            let sent = cluster.host_sends(LAN, &reply);
            let out = sent.only(port);
            assert_eq!((ends(out), ether::dst(out)), ((service, from), mac), "{snat_reroute} {family:?}");
        }
    }
}

#[test]
fn vlans_of_the_host_are_known() {
    let mut cluster = Cluster::new(&Site::new(2));
    for family in FAMILIES {
        // As it is: to a neighbour, and on a VLAN that is the host's alone.
        let plain = Frame::new(vlan_address(family), vlan_host(family)).mac(LAN_MAC, VLAN_HOST_MAC);
        let plain = plain.udp(5, 6).build();
        for vid in [VLAN_ID, 7] {
            let frame = tagged(&plain, vid);
            assert_eq!(cluster.host_sends(LAN, &frame).only(LAN), frame);
        }
        // To a service.
        let (host, service) =
            (SocketAddr::new(vlan_address(family), 4000), service_endpoint(family, Method::Masquerade));
        let request = from_host(Protocol::Tcp, host, service, tcp::SYN);
        let sent = cluster.host_sends(LAN, &tagged(&request, VLAN_ID));
        assert_eq!(see(sent.only(LAN)).src, host);
    }
}

#[test]
fn what_the_host_asks_of_the_link_is_answered_where_only_rvs_could() {
    let mut cluster = Cluster::new(&Site::new(2));
    for family in FAMILIES {
        for target in [local(family), vip(family)] {
            let sent = cluster.host_sends(LAN, &ask(LAN_MAC, lan_address(family), target));
            let back = given(&sent);
            assert_eq!((answered(back), ether::dst(back)), (Some((target, LAN_MAC)), LAN_MAC));
        }
        let strange: Vec<Vec<u8>> = vec![
            ask(LAN_MAC, lan_address(family), server(family, 1)),
            announce(LAN_MAC, lan_address(family)),
            probe(family, LAN_MAC, lan_address(family)),
        ];
        for frame in strange {
            assert_eq!(cluster.host_sends(LAN, &frame).only(LAN), frame, "a question for the link");
        }
    }
    assert_eq!(cluster.dropped_at_all(), 0);
}

/// Asks whether anyone else has an address (RFC 5227, RFC 4862).
fn probe(family: Family, mac: MacAddr, addr: IpAddr) -> Vec<u8> {
    let nobody: IpAddr = if family == Family::V4 { "0.0.0.0" } else { "::" }.parse().expect("an address");
    ask(mac, nobody, addr)
}

#[test]
fn nothing_on_the_way_inwards_is_a_loop() {
    let mut site = Site::new(1);
    let id = DestId(9000);
    for (family, lo) in [(Family::V4, "127.0.0.1"), (Family::V6, "::1")] {
        let lo: IpAddr = lo.parse().expect("an address");
        for (n, method) in [Method::Masquerade, Method::DirectRouting, Method::Tunnel].into_iter().enumerate()
        {
            let dest = Dest::new(DestId(id.0 + n as u32 * 2 + u32::from(lo.is_ipv6())), lo, 0, method);
            site.service(family, Protocol::Tcp, method).dests = [dest].into();
        }
    }
    let mut cluster = Cluster::new(&site);
    for family in FAMILIES {
        let from = SocketAddr::new(client(family, 1), 4000);
        let request =
            |method| from_client(Protocol::Tcp, from, service_endpoint(family, method), tcp::SYN, b"");
        cluster.receive(0, WAN, &request(Method::Masquerade)).nothing();
        for method in [Method::DirectRouting, Method::Tunnel] {
            let frame = request(method);
            let sent = cluster.receive(0, WAN, &frame);
            assert_eq!(given(&sent), frame, "{method:?}: as it is");
        }
    }
    assert_eq!(cluster.dropped(DropReason::LocalNode), 2);
}
