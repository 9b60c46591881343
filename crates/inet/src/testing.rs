//! What the tests share: the network of the kernel traces, and frames from hexadecimal.

use core::net::IpAddr;

use wire::ether::MacAddr;
use wire::{Family, Fragment, PacketInfo};

use crate::{Address, AddressRole, Iface, IfaceId, Net, NetConfig, NextHop, PortIndex, Route};

pub(crate) const C: IfaceId = IfaceId(0);
pub(crate) const S: IfaceId = IfaceId(1);
pub(crate) const MAC_C: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const MAC_S: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn iface(id: u16, name: &str, vlan: Option<u16>, mac: MacAddr) -> Iface {
    Iface { id: IfaceId(id), name: name.into(), port: PortIndex(id), vlan, mac, mtu: 1500 }
}

pub(crate) fn address(iface: IfaceId, cidr: &str) -> Address {
    let (addr, len) = cidr.split_once('/').expect("a prefix");
    Address { iface, addr: ip(addr), prefix_len: len.parse().expect("a length"), role: AddressRole::Host }
}

pub(crate) fn route(prefix: &str, iface: IfaceId, gateway: Option<&str>) -> Route {
    let (addr, len) = prefix.split_once('/').expect("a prefix");
    let prefix = (ip(addr), len.parse().expect("a length"));
    Route { prefix, iface, gateway: gateway.map(ip), source: None, mtu: None }
}

pub(crate) fn hop(iface: IfaceId, addr: &str) -> NextHop {
    NextHop { iface, addr: ip(addr), mtu: 1500 }
}

/// The director of the traces: NIC c towards clients with the VIPs, NIC s towards servers.
pub(crate) fn config() -> NetConfig {
    let local = Address { role: AddressRole::Local, ..address(S, "10.0.2.200/32") };
    NetConfig {
        ifaces: vec![iface(0, "c", None, MAC_C), iface(1, "s", None, MAC_S)],
        addresses: vec![
            address(C, "192.0.2.1/24"),
            address(C, "192.0.2.100/32"),
            address(C, "2001:db8:1::1/64"),
            address(C, "2001:db8:1::100/128"),
            address(S, "10.0.2.1/24"),
            address(S, "2001:db8:2::1/64"),
            local,
        ],
        routes: vec![route("0.0.0.0/0", C, Some("192.0.2.254")), route("::/0", C, Some("2001:db8:1::fe"))],
        ..NetConfig::default()
    }
}

pub(crate) fn net() -> Net {
    Net::build(config()).expect("a network")
}

/// A frame in hexadecimal, followed by `fill.1` times the byte `fill.0`.
pub(crate) fn frame(hex: &str, fill: (u8, usize)) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    let mut bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
    bytes.resize(bytes.len() + fill.1, fill.0);
    bytes
}

/// What parsing finds in an IP frame without extension headers.
pub(crate) fn info(frame: &[u8]) -> PacketInfo {
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let v4 = frame[14] >> 4 == 4;
    let (l4, end, protocol, ttl) = match v4 {
        true => (14 + u16::from(frame[14] & 0xf) * 4, 14 + word(16), frame[23], frame[22]),
        false => (54, 54 + word(18), frame[20], frame[21]),
    };
    let fragment = match v4.then(|| word(20) & 0x3fff) {
        None | Some(0) => Fragment::No,
        Some(0x2000) => Fragment::First,
        Some(_) => Fragment::Later,
    };
    let family = if v4 { Family::V4 } else { Family::V6 };
    PacketInfo {
        family,
        l3: 14,
        l4,
        end,
        protocol,
        ttl,
        tcp_flags: 0,
        sctp: None,
        call: None,
        fragment,
        sport: 0,
        dport: 0,
        largest_fragment: 0,
        mark: 0,
    }
}
