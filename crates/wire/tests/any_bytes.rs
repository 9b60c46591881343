//! Nothing in this crate panics, whatever arrives: random bytes, and valid frames cut off anywhere or with bytes changed, go
//! through the parser and then through every accessor and rewrite.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use wire::arp::ArpPacket;
use wire::ipv6::Extensions;
use wire::ndp::Ndp;
use wire::rewrite::{self, Translate};
use wire::testing::Frame;
use wire::tunnel::ipip;
use wire::{Family, PacketBuf, PacketInfo, Parsed, Quoted, VecBuf};
use wire::{
    ah, checksum, esp, ether, icmp, icmpv6, ipv4, ipv6, parse, parse_quoted, protocol, sctp, tcp, udp, vlan,
};

/// Frames of every kind that the crate knows.
fn samples() -> Vec<Vec<u8>> {
    let v4 = || Frame::v4("198.51.100.1", "192.0.2.100");
    let v6 = || Frame::v6("2001:db8:c::1", "2001:db8:1::100");
    let tcp4 = v4().ip_options(&[1, 1, 1, 0]).tcp(3000, 80, tcp::ACK).payload(b"data").build();
    let tcp6 = v6().extension(0, &[1, 4, 0, 0, 0, 0]).tcp(3000, 80, tcp::ACK).payload(b"data").build();
    let syn = tcp::Header { sport: 1, dport: 2, flags: tcp::SYN, ..tcp::Header::default() };
    let mut arp = vec![0; wire::arp::FRAME_LEN];
    ether::write(&mut arp, &ether::MacAddr::BROADCAST, &ether::MacAddr([2, 0, 0, 0, 0, 1]), ether::ARP);
    let mac = ether::MacAddr([2, 0, 0, 0, 0, 1]);
    let solicitation = Ndp::Solicitation { target: "2001:db8::1".parse().unwrap(), source_mac: Some(mac) };
    let mut neighbour = vec![0; solicitation.frame_len()];
    let ends = wire::ndp::Ends {
        src_mac: mac,
        dst_mac: ether::MacAddr::BROADCAST,
        src: "2001:db8::2".parse().unwrap(),
        dst: "2001:db8::1".parse().unwrap(),
    };
    solicitation.write(&mut neighbour, &ends);
    let mut tagged = VecBuf::new(&tcp4);
    vlan::push(&mut tagged, 7).unwrap();
    vec![
        v4().icmp(icmp::UNREACHABLE, icmp::FRAG_NEEDED, 1400).quote(&tcp4, 200).build(),
        v6().icmp(icmpv6::PACKET_TOO_BIG, 0, 1400).quote(&tcp6, 200).build(),
        v4().tcp_header(syn, &[1, 2, 4, 5, 0xb4, 4, 2, 0]).build(),
        v4().udp(3000, 53).payload(b"question").build(),
        v4().udp(3000, 53).payload(b"question").no_checksum().build(),
        v6().extension(60, &[0; 14]).fragment(0, true).udp(3000, 53).payload(&[7; 24]).build(),
        v6().fragment(48, false).raw(17).payload(&[7; 24]).build(),
        v4().raw(132).payload(&[0; 12]).build(),
        v4().sctp(3000, 80, 1).payload(&[10, 0, 0, 5, 9, 0, 0, 0, 6, 0, 0, 4]).build(),
        v6().sctp(3000, 80, 1).payload(&[1, 0, 0, 4]).build(),
        v6().extension(51, &[0; 22]).raw(50).payload(&[1; 16]).build(),
        v4().raw(51).payload(&[6; 24]).build(),
        tagged.bytes().to_vec(),
        tcp4,
        tcp6,
        arp,
        neighbour,
    ]
}

/// Everything that reads or rewrites, with whatever the parser says. Returns whether the frame was an IP packet.
fn exercise(frame: &[u8]) -> bool {
    let mut packet = VecBuf::new(frame);
    let vid = vlan::pop(&mut packet);
    let _ = vlan::push(&mut packet, vid.unwrap_or(1));
    vlan::pop(&mut packet);
    let frame = packet.bytes().to_vec();
    let _ = (ether::dst(&frame), ether::src(&frame), ether::ethertype(&frame), ArpPacket::parse(&frame));
    headers(&frame);
    let Ok(Parsed::Ip(info)) = parse(&frame) else { return false };
    assert!(info.l3 <= info.l4 && info.l4 <= info.end && usize::from(info.end) <= frame.len());
    with_info(&frame, &info);
    if let Some(quoted) = parse_quoted(&frame, &info) {
        assert!(quoted.packet.l3 > quoted.icmp && quoted.packet.end == info.end);
        assert!(quoted.packet.l4 <= quoted.packet.end);
        with_quoted(&frame, &info, &quoted);
    }
    for at in [info.l3, info.l4, info.end] {
        headers(&frame[usize::from(at)..]);
    }
    true
}

/// Every accessor that takes a slice at a header, though it may start anywhere.
fn headers(bytes: &[u8]) {
    let _ = (
        ipv4::version(bytes),
        ipv4::header_len(bytes),
        ipv4::tos(bytes),
        ipv4::total_len(bytes),
        ipv4::id(bytes),
    );
    let _ = (
        ipv4::dont_fragment(bytes),
        ipv4::more_fragments(bytes),
        ipv4::fragment_offset(bytes),
        ipv4::ttl(bytes),
    );
    let _ = (ipv4::src(bytes), ipv4::dst(bytes), ipv4::verify_checksum(bytes));
    let _ =
        (ipv6::version(bytes), ipv6::traffic_class(bytes), ipv6::flow_label(bytes), ipv6::payload_len(bytes));
    let _ = (ipv6::next_header(bytes), ipv6::hop_limit(bytes), ipv6::src(bytes), ipv6::dst(bytes));
    let _ = (tcp::seq(bytes), tcp::ack(bytes), tcp::flags(bytes), tcp::payload(bytes), tcp::mss(bytes));
    let _ = (udp::len(bytes), udp::checksum(bytes), icmp::mtu(bytes), icmpv6::mtu(bytes), icmp::rest(bytes));
    let _ = (Extensions::walk(bytes), tcp::options(bytes).count(), icmp::verify_checksum(bytes));
    let _ = (sctp::lead(bytes), sctp::chunks(bytes).count(), sctp::verify_checksum(bytes));
    let _ = (ah::header_len(bytes), ah::next_header(bytes), esp::spi(bytes));
    let rewrites: [fn(&mut [u8]); 16] = [
        |b| sctp::set_ports(b, 1, 2),
        sctp::fill_checksum,
        ipv4::fill_checksum,
        ipv4::decrement_ttl,
        |b| ipv4::set_src(b, Ipv4Addr::LOCALHOST),
        |b| ipv4::set_tos(b, 1),
        |b| ipv4::set_fragment(b, 8, true),
        |b| ipv6::set_dst(b, &Ipv6Addr::LOCALHOST),
        |b| ipv6::set_traffic_class(b, 1),
        ipv6::decrement_hop_limit,
        |b| tcp::clamp_mss(b, 536),
        |b| tcp::set_seq(b, 1),
        |b| udp::write(b, 1, 2, 70000),
        icmp::fill_checksum,
        |b| icmp::set_kind(b, 0),
        |b| icmp::write(b, 3, 4, 0),
    ];
    for rewrite in rewrites {
        rewrite(&mut bytes.to_vec());
    }
}

fn address(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}

fn with_info(frame: &[u8], info: &PacketInfo) {
    let _ = (info.src(frame), info.dst(frame), info.ip(frame).len(), info.upper(frame).len());
    assert!(info.sctp.is_none() || info.protocol == protocol::SCTP);
    let _ = (checksum::upper(frame, info), udp::verify_checksum(frame, info), Ndp::parse(frame, info));
    let new = Translate::source(address(info.family), 1);
    let rewrites: [fn(&mut [u8], &PacketInfo); 4] =
        [tcp::fill_checksum, udp::fill_checksum, icmpv6::fill_checksum, rewrite::decrement_ttl];
    for rewrite in rewrites {
        rewrite(&mut frame.to_vec(), info);
    }
    assert_eq!(rewrite::translate(&mut frame.to_vec(), info, new), Ok(()));
    for family in [Family::V4, Family::V6] {
        let (src, dst) = (address(family), address(family));
        let outer = ipip::Outer { src, dst, ttl: 64, tos: 0, dont_fragment: false, id: 0 };
        let mut packet = VecBuf::new(frame);
        assert_eq!(ipip::encap(&mut packet, info, &outer), Ok(()));
        assert_eq!(packet.bytes().len(), usize::from(info.end) + ipip::overhead(family));
    }
}

fn with_quoted(frame: &[u8], info: &PacketInfo, quoted: &Quoted) {
    let new = Translate::destination(address(info.family), 1);
    assert_eq!(rewrite::translate_quoted(&mut frame.to_vec(), info, quoted, new, new), Ok(()));
    let _ = (quoted.packet.src(frame), quoted.packet.upper(frame).len());
}

/// What a frame tells must not be trusted when it is read from another one: a shorter frame, another family.
#[test]
fn info_of_another_frame() {
    let samples = samples();
    for frame in &samples {
        let Ok(Parsed::Ip(info)) = parse(frame) else { continue };
        for len in 0..frame.len() {
            let mut cut = frame[..len].to_vec();
            let _ = (info.src(&cut), info.dst(&cut), checksum::upper(&cut, &info), Ndp::parse(&cut, &info));
            let _ = parse_quoted(&cut, &info);
            let new = Translate::source(address(info.family), 1);
            assert_eq!(rewrite::translate(&mut cut, &info, new), Ok(()));
        }
    }
}

#[test]
fn samples_are_what_they_should_be() {
    let ip = samples().iter().filter(|frame| exercise(frame)).count();
    assert_eq!(ip, samples().len() - 1, "all but ARP");
}

#[test]
fn every_truncation_of_valid_frames() {
    for frame in samples() {
        for len in 0..frame.len() {
            exercise(&frame[..len]);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&bytes);
    }

    /// Random bytes behind a right EtherType, version and IPv4 header checksum get further than random bytes alone.
    #[test]
    fn random_packets(mut bytes in prop::collection::vec(any::<u8>(), 54..200), v4: bool, protocol in 0usize..11) {
        let protocol = [0, 1, 6, 17, 43, 44, 47, 50, 51, 58, 132][protocol];
        let len = bytes.len() - ether::HEADER_LEN;
        ether::set_ethertype(&mut bytes, if v4 { ether::IPV4 } else { ether::IPV6 });
        if v4 {
            bytes[14] = 0x45 + bytes[14] % 3;
            bytes[16..18].copy_from_slice(&(len as u16).to_be_bytes());
            bytes[23] = protocol;
            ipv4::fill_checksum(&mut bytes[14..]);
        } else {
            bytes[14] = 0x60;
            bytes[18..20].copy_from_slice(&((len - ipv6::HEADER_LEN) as u16).to_be_bytes());
            bytes[20] = protocol;
        }
        exercise(&bytes);
    }

    #[test]
    fn changed_bytes(which in 0usize..17, changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..6)) {
        let mut frame = samples().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        if ether::ethertype(&frame) == ether::IPV4 {
            ipv4::fill_checksum(&mut frame[ether::HEADER_LEN..]);
        }
        exercise(&frame);
    }
}
