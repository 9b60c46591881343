use netlink_packet_route::address::AddressHeaderFlags;
use netlink_packet_route::link::InfoKind;

use super::*;

const TAP: u32 = 5;
const VLAN: u32 = 6;
const OTHER: u32 = 7;

fn link(index: u32, name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    message.attributes.extend(attributes);
    message
}

fn vlan(index: u32, name: &str, parent: u32, id: u16, protocol: VlanProtocol) -> LinkMessage {
    let data = InfoData::Vlan(vec![InfoVlan::Protocol(protocol), InfoVlan::Id(id)]);
    let info = vec![LinkInfo::Kind(InfoKind::Vlan), LinkInfo::Data(data)];
    link(index, name, vec![LinkAttribute::Link(parent), LinkAttribute::LinkInfo(info)])
}

/// As the kernel tells of `cidr`: IPv4 with IFA_LOCAL and IFA_ADDRESS, IPv6 with the latter only.
fn address(link: u32, cidr: &str, flags: AddressFlags) -> AddressMessage {
    let cidr: Cidr = cidr.parse().unwrap();
    let mut message = AddressMessage::default();
    message.header.index = link;
    message.header.prefix_len = cidr.prefix_len;
    message.header.flags = AddressHeaderFlags::from_bits_retain(flags.bits() as u8);
    message.attributes.push(AddressAttribute::Address(cidr.address));
    if cidr.address.is_ipv4() {
        message.attributes.push(AddressAttribute::Local(cidr.address));
    }
    message.attributes.push(AddressAttribute::Flags(flags));
    message
}

fn add(link: u32, cidr: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewAddress(address(link, cidr, AddressFlags::Permanent))
}

fn add_with(link: u32, cidr: &str, flags: AddressFlags) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewAddress(address(link, cidr, flags))
}

fn delete(link: u32, cidr: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(address(link, cidr, AddressFlags::Permanent))
}

/// A kernel with a TAP, a VLAN device on it, and a device that is no business of ours.
fn kernel() -> Kernel {
    let mut kernel = Kernel::new(HashSet::from(["wan.host".to_owned()]));
    // A VLAN device may be told of before its parent.
    for message in [
        vlan(VLAN, "v100", TAP, 100, VlanProtocol::Ieee8021Q),
        link(TAP, "wan.host", Vec::new()),
        link(OTHER, "eth0", Vec::new()),
    ] {
        assert!(kernel.learn(RouteNetlinkMessage::NewLink(message)));
    }
    kernel
}

fn show(kernel: &Kernel) -> Vec<String> {
    kernel.addresses().iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_on_taps_and_their_vlans_come_and_go() {
    let mut kernel = kernel();
    for (message, changed, want) in [
        (add(TAP, "192.0.2.150/32"), true, &["192.0.2.150/32 on wan.host"][..]),
        (add(TAP, "192.0.2.150/32"), false, &["192.0.2.150/32 on wan.host"]),
        (add(OTHER, "203.0.113.1/24"), true, &["192.0.2.150/32 on wan.host"]),
        (
            add(VLAN, "2001:db8::1/64"),
            true,
            &["192.0.2.150/32 on wan.host", "2001:db8::1/64 on wan.host VLAN 100"],
        ),
        (
            delete(TAP, "192.0.2.150/24"),
            false,
            &["192.0.2.150/32 on wan.host", "2001:db8::1/64 on wan.host VLAN 100"],
        ),
        (delete(TAP, "192.0.2.150/32"), true, &["2001:db8::1/64 on wan.host VLAN 100"]),
        // The same address with two prefixes: once ours as long as one of them is there.
        (
            add(TAP, "192.0.2.9/24"),
            true,
            &["2001:db8::1/64 on wan.host VLAN 100", "192.0.2.9/24 on wan.host"],
        ),
        (
            add(TAP, "192.0.2.9/32"),
            true,
            &["2001:db8::1/64 on wan.host VLAN 100", "192.0.2.9/24 on wan.host"],
        ),
        (
            delete(TAP, "192.0.2.9/24"),
            true,
            &["2001:db8::1/64 on wan.host VLAN 100", "192.0.2.9/32 on wan.host"],
        ),
    ] {
        let text = format!("{message:?}");
        assert_eq!(kernel.learn(message), changed, "{text}");
        assert_eq!(show(&kernel), want, "{text}");
    }
}

#[test]
fn an_address_counts_once_it_is_known_to_be_unique() {
    let tentative = AddressFlags::Tentative;
    for (name, flags, want) in [
        ("being checked", tentative, false),
        ("optimistic, still being checked", tentative | AddressFlags::Optimistic, false),
        ("a duplicate", AddressFlags::Dadfailed | tentative, false),
        ("checked", AddressFlags::Permanent, true),
        ("not to be used for new flows", AddressFlags::Deprecated, true),
    ] {
        let mut kernel = kernel();
        kernel.learn(add_with(TAP, "2001:db8::5/64", flags));
        assert_eq!(!kernel.addresses().is_empty(), want, "{name}");
        kernel.learn(add(TAP, "2001:db8::5/64"));
        assert_eq!(show(&kernel), ["2001:db8::5/64 on wan.host"], "{name}");
    }
}

#[test]
fn a_prefix_that_is_not_on_link_here_is_not_taken() {
    let mut kernel = kernel();
    kernel.learn(add_with(TAP, "192.0.2.5/24", AddressFlags::Noprefixroute));
    let mut peer = address(TAP, "10.9.9.9/31", AddressFlags::Permanent);
    peer.attributes.push(AddressAttribute::Local("10.1.1.1".parse().unwrap()));
    kernel.learn(RouteNetlinkMessage::NewAddress(peer));
    assert_eq!(show(&kernel), ["192.0.2.5/32 on wan.host", "10.1.1.1/32 on wan.host"]);
}

#[test]
fn links_are_followed_by_name_and_lost_with_their_addresses() {
    let mut kernel = kernel();
    kernel.learn(add(TAP, "192.0.2.5/24"));
    kernel.learn(add(VLAN, "198.51.100.5/24"));
    let both = ["192.0.2.5/24 on wan.host", "198.51.100.5/24 on wan.host VLAN 100"];
    assert_eq!(show(&kernel), both);

    let mut of_bridge = link(TAP, "wan.host", Vec::new());
    of_bridge.header.interface_family = AddressFamily::Bridge;
    assert!(!kernel.learn(RouteNetlinkMessage::DelLink(of_bridge.clone())), "it only left a bridge");
    assert!(!kernel.learn(RouteNetlinkMessage::NewLink(of_bridge)));
    assert!(!kernel.learn(RouteNetlinkMessage::NewLink(link(TAP, "wan.host", Vec::new()))));
    assert_eq!(show(&kernel), both);

    assert!(kernel.learn(RouteNetlinkMessage::NewLink(link(TAP, "renamed", Vec::new()))));
    assert!(show(&kernel).is_empty());
    kernel.learn(RouteNetlinkMessage::NewLink(link(TAP, "wan.host", Vec::new())));
    assert_eq!(show(&kernel), both);

    assert!(kernel.learn(RouteNetlinkMessage::DelLink(link(VLAN, "v100", Vec::new()))));
    assert_eq!(show(&kernel), both[..1]);
    kernel.learn(RouteNetlinkMessage::NewLink(vlan(VLAN, "v100", TAP, 100, VlanProtocol::Ieee8021Q)));
    assert_eq!(show(&kernel), both[..1], "an index used again does not inherit addresses");
}

#[test]
fn only_8021q_directly_on_a_tap_of_this_namespace_counts() {
    let elsewhere = {
        let mut message = vlan(10, "x", TAP, 100, VlanProtocol::Ieee8021Q);
        message.attributes.push(LinkAttribute::LinkNetNsId(0));
        message
    };
    for (name, message) in [
        ("802.1ad", vlan(10, "x", TAP, 100, VlanProtocol::Ieee8021Ad)),
        ("on a VLAN device", vlan(10, "x", VLAN, 100, VlanProtocol::Ieee8021Q)),
        ("on another device", vlan(10, "x", OTHER, 100, VlanProtocol::Ieee8021Q)),
        ("on a device of another namespace", elsewhere),
        ("a macvlan", link(10, "x", vec![LinkAttribute::Link(TAP)])),
    ] {
        let mut kernel = kernel();
        kernel.learn(RouteNetlinkMessage::NewLink(message));
        kernel.learn(add(10, "198.51.100.5/24"));
        assert_eq!(show(&kernel), [] as [&str; 0], "{name}");
    }
}
