use super::*;
use crate::testing::{C, MAC_C, MAC_S, S, address, config, hop, iface, ip, net, route};

#[test]
fn routes_by_longest_prefix_with_connected_ones() {
    let mut config = config();
    config.routes.push(Route { mtu: Some(1400), ..route("198.51.100.0/24", S, Some("10.0.2.254")) });
    config.routes.push(Route { mtu: Some(9000), ..route("198.51.100.128/25", S, None) });
    let net = Net::build(config).expect("a network");
    for (dst, want) in [
        ("203.0.113.1", Some((C, "192.0.2.254", 1500))),
        ("192.0.2.7", Some((C, "192.0.2.7", 1500))),
        ("10.0.2.11", Some((S, "10.0.2.11", 1500))),
        ("198.51.100.1", Some((S, "10.0.2.254", 1400))),
        ("198.51.100.129", Some((S, "198.51.100.129", 1500))),
        ("2001:db8:2::b", Some((S, "2001:db8:2::b", 1500))),
        ("2001:db8:c::1", Some((C, "2001:db8:1::fe", 1500))),
    ] {
        let want = want.map(|(iface, addr, mtu)| NextHop { iface, addr: ip(addr), mtu });
        assert_eq!(net.route(ip(dst)), want, "{dst}");
    }
    assert_eq!(net.route_from(S, ip("fe80::7")), Some(hop(S, "fe80::7")));
    assert_eq!(net.route_from(C, ip("10.0.2.11")), net.route(ip("10.0.2.11")));
}

#[test]
fn no_route_without_a_default() {
    let net = Net::build(NetConfig { routes: vec![], ..config() }).expect("a network");
    assert_eq!(net.route(ip("203.0.113.1")), None);
    assert_eq!(net.route(ip("2001:db8:c::1")), None);
    assert_eq!(net.route(ip("fe80::1")), None);
}

#[test]
fn knows_its_own() {
    let net = net();
    for (addr, iface) in
        [("192.0.2.100", Some(C)), ("10.0.2.200", Some(S)), ("10.0.2.11", None), ("2001:db8:1::100", Some(C))]
    {
        assert_eq!(net.own(ip(addr)).map(|a| a.iface), iface, "{addr}");
    }
    assert!(net.own_on(C, ip("192.0.2.100")).is_some());
    assert!(net.own_on(S, ip("192.0.2.100")).is_none());
    // Formed from the hardware addresses, one per interface.
    assert!(net.own_on(C, ip("fe80::ff:fe00:1")).is_some());
    assert!(net.own_on(S, ip("fe80::ff:fe00:2")).is_some());
    for (addr, want) in [
        ("192.0.2.255", true),
        ("10.0.2.255", true),
        ("255.255.255.255", true),
        ("10.0.2.254", false),
        ("ff02::1", true),
    ] {
        assert_eq!(net.is_broadcast_or_multicast(ip(addr)), want, "{addr}");
    }
}

#[test]
fn finds_interfaces_by_port_and_vlan() {
    let vlan = Iface { port: PortIndex(0), ..iface(2, "c.100", Some(100), MAC_C) };
    let mut config = config();
    config.ifaces.push(vlan);
    let net = Net::build(config).expect("a network");
    for (port, vlan, want) in [
        (0, None, Some(0)),
        (0, Some(100), Some(2)),
        (0, Some(101), None),
        (1, Some(100), None),
        (7, None, None),
    ] {
        assert_eq!(net.iface_of(PortIndex(port), vlan), want.map(IfaceId), "{port} {vlan:?}");
    }
}

#[test]
fn chooses_sources_as_linux_does() {
    let mut config = config();
    config.ifaces.push(iface(2, "vips", None, MAC_S));
    config.ifaces.push(iface(3, "bare", None, MAC_S));
    config.addresses.push(address(S, "172.16.0.1/16"));
    config.addresses.push(address(IfaceId(2), "203.0.113.7/32"));
    config
        .routes
        .push(Route { source: Some(ip("192.0.2.100")), ..route("198.51.100.0/24", C, Some("192.0.2.254")) });
    let net = Net::build(config).expect("a network");
    for (at, addr, want) in [
        (C, "192.0.2.254", "192.0.2.1"),
        (S, "10.0.2.11", "10.0.2.1"),
        (S, "172.16.3.3", "172.16.0.1"),
        (S, "8.8.8.8", "10.0.2.1"),
        (IfaceId(2), "203.0.113.9", "203.0.113.7"),
        (IfaceId(3), "203.0.113.9", "192.0.2.1"),
    ] {
        assert_eq!(net.source_towards(at, ip(addr)), Some(ip(want)), "{addr}");
    }
    assert_eq!(net.source_towards(S, ip("2001:db8:2::b")), Some(ip("2001:db8:2::1")));
    assert_eq!(net.source_towards(S, ip("fe80::b")), Some(ip("fe80::ff:fe00:2")));
    assert_eq!(net.source_to(ip("198.51.100.1")), Some(ip("192.0.2.100")));
    assert_eq!(net.source_to(ip("203.0.113.1")), Some(ip("192.0.2.1")));
}

#[test]
fn refuses_what_contradicts_itself() {
    type Change = fn(&mut NetConfig);
    let table: &[(&str, Change, &str)] = &[
        ("id", |c| c.ifaces[1].id = IfaceId(5), "interface s: its id is 5, its place in the list is 1"),
        ("name", |c| c.ifaces[1].name = "c".into(), "interface c: there is another one of this name"),
        ("clash", |c| c.ifaces[1].port = PortIndex(0), "interface s: c has the same port and VLAN"),
        ("vlan", |c| c.ifaces[1].vlan = Some(4095), "interface s: VLAN id 4095 is not in 1 to 4094"),
        ("mtu", |c| c.ifaces[1].mtu = 60, "interface s: MTU 60 is below 68"),
        ("v6 mtu", |c| c.ifaces[1].mtu = 1279, "interface s: MTU 1279 is below 1280"),
        (
            "mac",
            |c| c.ifaces[1].mac.0[0] = 3,
            "interface s: 03:00:00:00:00:02 is not a unicast hardware address",
        ),
        ("iface", |c| c.addresses[0].iface = IfaceId(9), "address 192.0.2.1: there is no interface 9"),
        ("len", |c| c.addresses[0].prefix_len = 33, "address 192.0.2.1: prefix length 33 is above 32"),
        ("group", |c| c.addresses[0].addr = ip("224.0.0.1"), "address 224.0.0.1: not a unicast address"),
        ("twice", |c| c.addresses.push(address(S, "192.0.2.1/24")), "address 192.0.2.1: given twice"),
        ("route twice", |c| c.routes.push(route("0.0.0.0/0", S, None)), "route 0.0.0.0/0: given twice"),
        (
            "family",
            |c| c.routes[0].gateway = Some(ip("2001:db8:1::9")),
            "route 0.0.0.0/0: 2001:db8:1::9 is of another address family",
        ),
        (
            "gateway",
            |c| c.routes[0].gateway = Some(ip("10.0.2.9")),
            "route 0.0.0.0/0: gateway 10.0.2.9 is not on-link on interface c",
        ),
        (
            "own gateway",
            |c| c.routes[0].gateway = Some(ip("192.0.2.1")),
            "route 0.0.0.0/0: gateway 192.0.2.1 is not on-link on interface c",
        ),
        (
            "source",
            |c| c.routes[0].source = Some(ip("192.0.2.9")),
            "route 0.0.0.0/0: source 192.0.2.9 is not an address of this host",
        ),
        ("route mtu", |c| c.routes[1].mtu = Some(1000), "route ::/0: MTU 1000 is below 1280"),
        ("routes", |c| c.max_routes = 5, "6 routes, connected ones included; the limit is 5"),
        (
            "neighbour",
            |c| {
                c.neighbours.push(StaticNeighbour { iface: S, addr: ip("10.0.2.9"), mac: MacAddr([0xff; 6]) })
            },
            "neighbour 10.0.2.9: ff:ff:ff:ff:ff:ff is not a unicast hardware address, or the address is not unicast",
        ),
        (
            "neighbour twice",
            |c| c.neighbours = vec![StaticNeighbour { iface: S, addr: ip("10.0.2.9"), mac: MAC_C }; 2],
            "neighbour 10.0.2.9: given twice on one interface",
        ),
    ];
    assert!(Net::build(config()).is_ok());
    for (name, change, want) in table {
        let mut config = config();
        change(&mut config);
        let error = Net::build(config).expect_err(name);
        assert_eq!(error.to_string(), *want, "{name}");
    }
}

#[test]
fn a_given_route_takes_the_place_of_a_connected_one() {
    let mut config = config();
    config.routes.push(Route { mtu: Some(1300), ..route("10.0.2.0/24", S, None) });
    let net = Net::build(config).expect("a network");
    assert_eq!(net.route(ip("10.0.2.11")).map(|hop| hop.mtu), Some(1300));
    assert_eq!(net.routes().iter().filter(|r| r.prefix.0 == ip("10.0.2.0")).count(), 1);
}

#[test]
fn a_link_local_gateway_is_on_link() {
    let routes = vec![route("::/0", C, Some("fe80::fe"))];
    let net = Net::build(NetConfig { routes, ..config() }).expect("a network");
    assert_eq!(net.route(ip("2001:db8:c::1")), Some(hop(C, "fe80::fe")));
}

#[test]
fn knows_impossible_sources() {
    let net = net();
    for (src, martian) in [
        ("198.51.100.1", false),
        ("0.1.2.3", true),
        ("127.0.0.1", true),
        ("224.0.0.5", true),
        ("255.255.255.255", true),
        ("10.0.2.255", true),
        ("2001:db8:c::1", false),
        ("fe80::1", false),
        ("::", true),
        ("::1", true),
        ("ff02::1", true),
    ] {
        assert_eq!(net.is_martian_source(ip(src)), martian, "{src}");
    }
}

#[test]
fn addresses_that_no_host_has() {
    for (addr, want) in [
        ("192.0.2.1", true),
        ("0.0.0.1", false),
        ("127.0.0.1", false),
        ("224.0.0.1", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
        ("2001:db8::1", true),
        ("::", false),
        ("::1", false),
        ("ff02::1", false),
    ] {
        assert_eq!(is_host_addr(ip(addr)), want, "{addr}");
    }
}
