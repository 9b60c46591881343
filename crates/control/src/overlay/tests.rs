use api::Severity;

use super::*;
use crate::config::parse;

const MACS: [Mac; 2] = [Mac([2, 0, 0, 0, 1, 1]), Mac([2, 0, 0, 0, 2, 1])];
/// What `wan` forms from its MAC.
const WAN_LINK_LOCAL: &str = "fe80::ff:fe00:101";

const CONFIG: &str = r#"
port = [
    { name = "wan", device = "net_null0", exception = "wan.host" },
    { name = "lan", device = "net_null1", exception = "lan.host", mtu = 1000 },
    { name = "dark", device = "net_null2" },
]
vlan = [{ name = "wan.100", port = "wan", id = 100 }]
address = [
    { interface = "wan", cidr = "192.0.2.1/24" },
    { interface = "wan", cidr = "2001:db8:1::1/64" },
    { interface = "lan", cidr = "10.0.2.1/24" },
]
route = [{ to = "default", via = "192.0.2.254" }]
neighbour = [{ interface = "wan", address = "192.0.2.77", mac = "02:00:00:00:00:77" }]
local_pool = [{ name = "pool", interface = "lan", addresses = ["10.0.2.200-10.0.2.203"] }]

[[service]]
protocol = "tcp"
address = "192.0.2.1"
port = 80
destination = [{ address = "10.0.2.11", method = "fullnat" }]
"#;

fn config() -> Config {
    let parsed = parse("test.toml", CONFIG);
    assert!(parsed.diagnostics.iter().all(|d| d.severity != Severity::Error), "{:?}", parsed.diagnostics);
    parsed.config.unwrap()
}

/// `192.0.2.5/32 wan.host` or `192.0.2.5/32 wan.host 100`.
fn host(text: &str) -> HostAddress {
    let mut words = text.split(' ');
    let (cidr, tap) = (words.next().unwrap(), words.next().unwrap());
    let vlan = words.next().map(|id| id.parse().unwrap());
    HostAddress { tap: tap.to_owned(), vlan, cidr: cidr.parse().unwrap() }
}

fn overlay(list: &[&str]) -> Overlay {
    let wanted: Vec<HostAddress> = list.iter().map(|text| host(text)).collect();
    Overlay::new(&config(), &wanted, &MACS)
}

fn show(list: &[AddressSpec]) -> Vec<String> {
    list.iter().map(|a| format!("{} {}", a.cidr, a.interface)).collect()
}

#[test]
fn each_address_is_taken_passed_over_or_refused() {
    for (address, taken, refused) in [
        ("192.0.2.150/32 wan.host", Some("192.0.2.150/32 wan"), None),
        ("2001:db8:1::150/128 wan.host", Some("2001:db8:1::150/128 wan"), None),
        ("198.51.100.1/24 wan.host 100", Some("198.51.100.1/24 wan.100"), None),
        ("10.0.3.1/24 lan.host", Some("10.0.3.1/24 lan"), None),
        ("fe80::1/64 wan.host", Some("fe80::1/64 wan"), None),
        // The configuration's own, and what rvs has by itself.
        ("192.0.2.1/24 wan.host", None, None),
        ("192.0.2.1/32 wan.host", None, None),
        ("fe80::ff:fe00:101/64 wan.host", None, None),
        // Without IPv6 of its own the VLAN has no link-local address but for the host's.
        ("fe80::ff:fe00:101/64 wan.host 100", Some("fe80::ff:fe00:101/64 wan.100"), None),
        ("192.0.2.9/24 eth0", None, None),
        ("198.51.100.1/24 wan.host 101", None, Some(Refusal::NoVlan)),
        ("224.0.0.5/32 wan.host", None, Some(Refusal::NotUnicast)),
        ("127.0.0.2/8 wan.host", None, Some(Refusal::NotUnicast)),
        ("2001:db8:2::1/64 lan.host", None, Some(Refusal::Mtu { mtu: 1000 })),
        ("10.0.2.201/32 lan.host", None, Some(Refusal::InPool("pool".into()))),
        ("10.0.2.201/32 wan.host", None, Some(Refusal::InPool("pool".into()))),
        ("10.0.2.1/24 wan.host", None, Some(Refusal::Elsewhere("lan".into()))),
        ("192.0.2.77/32 wan.host", None, Some(Refusal::Neighbour("wan".into()))),
        // The host takes the place of a destination, or is one: a local node.
        ("10.0.2.11/32 wan.host", Some("10.0.2.11/32 wan"), None),
        ("192.0.2.254/24 wan.host", None, Some(Refusal::Gateway)),
        (
            "192.0.2.250/28 lan.host",
            None,
            Some(Refusal::HidesGateway { via: "192.0.2.254".parse().unwrap(), interface: "wan".into() }),
        ),
        ("192.0.2.250/28 wan.host", Some("192.0.2.250/28 wan"), None),
        ("192.0.2.250/24 lan.host", Some("192.0.2.250/24 lan"), None),
        ("192.0.2.250/32 lan.host", Some("192.0.2.250/32 lan"), None),
    ] {
        let got = overlay(&[address]);
        assert_eq!(show(&got.taken), Vec::from_iter(taken), "{address}");
        let reasons: Vec<Refusal> = got.refused.into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(reasons, Vec::from_iter(refused), "{address}");
    }
}

#[test]
fn one_refusal_costs_nothing_else_and_the_first_interface_keeps_an_address() {
    let got = overlay(&[
        "192.0.2.150/32 wan.host",
        "192.0.2.254/24 wan.host",
        "192.0.2.150/32 lan.host",
        "10.0.2.150/32 lan.host",
    ]);
    assert_eq!(show(&got.taken), ["192.0.2.150/32 wan", "10.0.2.150/32 lan"]);
    let refused: Vec<String> = got.refused.iter().map(|(a, reason)| format!("{a}: {reason}")).collect();
    assert_eq!(
        refused,
        [
            "192.0.2.254/24 on wan.host: it is the gateway of a [[route]]",
            "192.0.2.150/32 on lan.host: it is on interface \"wan\" already",
        ]
    );
}

#[test]
fn there_is_a_limit() {
    let wanted: Vec<HostAddress> = (0..=HOST_ADDRESSES_MAX as u32)
        .map(|n| HostAddress {
            tap: "wan.host".into(),
            vlan: None,
            cidr: Cidr { address: IpAddr::V4((0xc633_6400 + n).into()), prefix_len: 32 },
        })
        .collect();
    let got = Overlay::new(&config(), &wanted, &MACS);
    assert_eq!(got.taken.len(), HOST_ADDRESSES_MAX);
    let named = got.named_without(&overlay(&["198.51.100.0/32 wan.host"]));
    assert!(named.starts_with("198.51.100.1/32 on wan, ") && named.ends_with(", and 1015 more"), "{named}");
    assert_eq!(got.refused, [(wanted.last().unwrap().clone(), Refusal::TooMany)]);
}

#[test]
fn the_configuration_keeps_its_meaning() {
    let config = config();
    assert!(matches!(overlay(&[]).over(&config), Cow::Borrowed(_)));
    // A longer prefix on another interface would lead an unnamed route there.
    let got = overlay(&["192.0.2.250/24 lan.host", "192.0.2.129/25 wan.host"]);
    let merged = got.over(&config);
    assert_eq!(merged.routes[0].interface.as_deref(), Some("wan"));
    assert_eq!(show(&merged.addresses[..3]), show(&config.addresses));
    assert_eq!(show(&merged.addresses[3..]), ["192.0.2.250/24 lan", "192.0.2.129/25 wan"]);
}

#[test]
fn an_interface_keeps_its_own_link_local_address_beside_the_hosts() {
    let config = config();
    let got = overlay(&["fe80::1/64 wan.host"]);
    let merged = got.over(&config);
    assert_eq!(show(&merged.addresses[3..]), [&format!("{WAN_LINK_LOCAL}/64 wan"), "fe80::1/64 wan"]);
    assert!(!got.is_same_for_workers(&overlay(&[])));
    assert!(got.is_same_for_workers(&overlay(&["fe80::1/64 wan.host", "192.0.2.1/24 wan.host"])));
}
