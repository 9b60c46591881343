//! Address and port translation in place, with the checksums that follow.
//!
//! Invariant: a wrong checksum stays wrong, since every checksum changes by the difference only. Two exceptions, as in the
//! kernel: UDP over IPv4 that came without a checksum gets one when it is translated, and the CRC of SCTP is computed afresh
//! when a port changes.

use core::net::IpAddr;

use crate::checksum::Delta;
use crate::field::{get_u16, put_u16};
use crate::info::{Family, Fragment, PacketInfo, Quoted};
use crate::{icmp, icmpv6, ipv4, ipv6, protocol, sctp, tcp, udp};

/// The new ends of a packet; `None` leaves an end as it is. The port counts for TCP, UDP and SCTP, other protocols
/// have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translate {
    /// New source address and port.
    pub src: Option<(IpAddr, u16)>,
    /// New destination address and port.
    pub dst: Option<(IpAddr, u16)>,
}

/// A new address is not of the packet's family; the packet is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongFamily;

impl Translate {
    /// New source only.
    pub fn source(address: IpAddr, port: u16) -> Self {
        Self { src: Some((address, port)), dst: None }
    }

    /// New destination only.
    pub fn destination(address: IpAddr, port: u16) -> Self {
        Self { src: None, dst: Some((address, port)) }
    }

    /// The translation for packets in the other direction: source and destination exchanged.
    pub fn swapped(self) -> Self {
        Self { src: self.dst, dst: self.src }
    }

    fn check(&self, family: Family) -> Result<(), WrongFamily> {
        let fits = |end: Option<(IpAddr, u16)>| {
            end.is_none_or(|(address, _)| address.is_ipv4() == (family == Family::V4))
        };
        if fits(self.src) && fits(self.dst) { Ok(()) } else { Err(WrongFamily) }
    }
}

/// Gives a packet new ends: addresses, ports, and the checksums of IP, TCP, UDP, SCTP and ICMPv6. Of a later fragment only
/// the addresses change. `info` keeps the ports that it was parsed with.
pub fn translate(frame: &mut [u8], info: &PacketInfo, new: Translate) -> Result<(), WrongFamily> {
    new.check(info.family)?;
    let delta = set_addresses(frame, info, new);
    if info.fragment == Fragment::Later {
        return Ok(());
    }
    let upper = info.upper_mut(frame);
    match info.protocol {
        protocol::TCP => {
            let delta = set_ports(upper, new, delta);
            tcp::apply(upper, delta);
        }
        protocol::UDP => {
            let delta = set_ports(upper, new, delta);
            match udp::checksum(upper) {
                // Over IPv6 none is an error (RFC 8200 section 8.1), which Linux repairs all the same.
                0 if info.fragment == Fragment::No => udp::fill_checksum(frame, info),
                0 => {}
                check => udp::set_checksum(upper, delta.apply_udp(check)),
            }
        }
        protocol::SCTP if info.fragment == Fragment::No => {
            let port = |end: Option<(IpAddr, u16)>, old: u16| end.map_or(old, |(_, port)| port);
            sctp::set_ports(upper, port(new.src, sctp::sport(upper)), port(new.dst, sctp::dport(upper)));
        }
        protocol::SCTP => {
            set_ports(upper, new, delta);
        }
        protocol::ICMPV6 => put_u16(upper, 2, delta.apply(icmpv6::checksum(upper))),
        _ => {}
    }
    Ok(())
}

/// Gives an ICMP error and the packet that it quotes new ends: `outer` for the error itself, `inner` for the quotation, whose
/// ports change if it has any. IP and ICMP checksums follow; the quoted upper-layer checksum stays, as the kernel
/// leaves it.
pub fn translate_quoted(
    frame: &mut [u8],
    info: &PacketInfo,
    quoted: &Quoted,
    outer: Translate,
    inner: Translate,
) -> Result<(), WrongFamily> {
    outer.check(info.family)?;
    inner.check(quoted.packet.family)?;
    let ip = usize::from(quoted.packet.l3);
    let before = get_u16(frame, ip + 10);
    let mut delta = set_addresses(frame, &quoted.packet, inner);
    if quoted.packet.family == Family::V4 {
        delta = delta.u16(before, get_u16(frame, ip + 10));
    }
    if quoted.packet.fragment != Fragment::Later && protocol::has_ports(quoted.packet.protocol) {
        delta = set_ports(quoted.packet.upper_mut(frame), inner, delta);
    }
    let pseudo = set_addresses(frame, info, outer);
    if info.family == Family::V6 {
        delta = delta.and(pseudo);
    }
    let icmp = info.upper_mut(frame);
    put_u16(icmp, 2, delta.apply(icmp::checksum(icmp)));
    Ok(())
}

/// Takes one off the TTL or hop limit. At 0 it stays: whether that may be sent is asked before.
#[inline]
pub fn decrement_ttl(frame: &mut [u8], info: &PacketInfo) {
    let ip = info.ip_mut(frame);
    match info.family {
        Family::V4 => ipv4::decrement_ttl(ip),
        Family::V6 => ipv6::decrement_hop_limit(ip),
    }
}

/// Sets the addresses, with the IPv4 header checksum; the difference is what checksums with a pseudo-header change by.
fn set_addresses(frame: &mut [u8], info: &PacketInfo, new: Translate) -> Delta {
    let mut delta = Delta::default();
    if let Some((src, _)) = new.src {
        delta = delta.address(info.src(frame), src);
    }
    if let Some((dst, _)) = new.dst {
        delta = delta.address(info.dst(frame), dst);
    }
    let ip = info.ip_mut(frame);
    match new.src {
        Some((IpAddr::V4(src), _)) => ipv4::set_src(ip, src),
        Some((IpAddr::V6(src), _)) => ipv6::set_src(ip, &src),
        None => {}
    }
    match new.dst {
        Some((IpAddr::V4(dst), _)) => ipv4::set_dst(ip, dst),
        Some((IpAddr::V6(dst), _)) => ipv6::set_dst(ip, &dst),
        None => {}
    }
    delta
}

/// Sets the ports and adds their change.
fn set_ports(upper: &mut [u8], new: Translate, mut delta: Delta) -> Delta {
    for (at, end) in [(0, new.src), (2, new.dst)] {
        if let Some((_, port)) = end {
            delta = delta.u16(get_u16(upper, at), port);
            put_u16(upper, at, port);
        }
    }
    delta
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ether;
    use crate::parse::parse_quoted;
    use crate::testing::{Frame, hex, info, verify_checksums};
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Frames into and out of a Linux 6.1 director, TTL decremented, compared without their Ethernet headers.
    #[test]
    fn what_the_kernel_does_to_udp() {
        for (name, frame, new, want) in [
            (
                "request without checksum gets one",
                "0200000000010200000000fe0800450000220004000040118e2dc6336402c00002640bb80035000e00006e6f6373756d",
                Translate::destination(ip("10.0.2.12"), 53),
                "02000000020c020000000002080045000022000400003f114586c63364020a00020c0bb80035000e76536e6f6373756d",
            ),
            (
                "reply without checksum gets one",
                "02000000000202000000020c080045000022000000004011448a0a00020cc633640200350bb8000e00006e6f6373756d",
                Translate::source(ip("192.0.2.100"), 53),
                "0200000000fe020000000001080045000022000000003f118f31c0000264c633640200350bb8000ebffa6e6f6373756d",
            ),
            (
                "wrong stays wrong",
                "0200000000010200000000fe0800450000210000000040118e2fc6336405c00002640bb80035000dc495626164636b",
                Translate::destination(ip("10.0.2.11"), 5353),
                "02000000020b020000000002080045000021000000003f114589c63364050a00020b0bb814e9000d663b626164636b",
            ),
        ] {
            let mut frame = hex(frame);
            let info = info(&frame);
            translate(&mut frame, &info, new).unwrap();
            decrement_ttl(&mut frame, &info);
            assert_eq!(frame[ether::HEADER_LEN..], hex(want)[ether::HEADER_LEN..], "{name}");
        }
    }

    #[test]
    fn what_the_kernel_does_to_icmp_errors() {
        for (name, frame, outer, inner, want) in [
            (
                "v4 from a router near the client, four bytes of TCP quoted",
                "0200000000010200000000fe0800450000340005000040017c56cb007109c00002640303606c000000004500008c004d4000\
                 32065b86c0000264c633640100509c40",
                Translate::destination(ip("10.0.2.11"), 0),
                Translate::source(ip("10.0.2.11"), 8080),
                "02000000020b020000000002080045000034000500003f0133b0cb0071090a00020b0303412c000000004500008c004d4000\
                 320611e00a00020bc63364011f909c40",
            ),
            (
                "v4 from the real server",
                "02000000000202000000020b08004500003800050000400144810a00020bc633640103033d43000000004500008c004e4000\
                 320611dfc63364010a00020b9c401f90000003e9",
                Translate::source(ip("192.0.2.100"), 0),
                Translate::destination(ip("192.0.2.100"), 80),
                "0200000000fe020000000001080045000038000500003f018f27c0000264c633640103035c83000000004500008c004e4000\
                 32065b85c6336401c00002649c400050000003e9",
            ),
            (
                "v6 from a router near the client, four bytes of TCP quoted",
                "0200000000010200000000fe86dd6000000000343a4020010db800090000000000000000000920010db80001000000000000\
                 000001000104424d00000000600000000078063220010db800010000000000000000010020010db8000c0000000000000000\
                 000100509c40",
                Translate::destination(ip("2001:db8:2::b"), 0),
                Translate::source(ip("2001:db8:2::b"), 8080),
                "02000000020b02000000000286dd6000000000343a3f20010db800090000000000000000000920010db80002000000000000\
                 0000000b010424f500000000600000000078063220010db800020000000000000000000b20010db8000c0000000000000000\
                 00011f909c40",
            ),
        ] {
            let mut frame = hex(frame);
            let info = info(&frame);
            let quoted = parse_quoted(&frame, &info).unwrap();
            translate_quoted(&mut frame, &info, &quoted, outer, inner).unwrap();
            decrement_ttl(&mut frame, &info);
            assert_eq!(frame[ether::HEADER_LEN..], hex(want)[ether::HEADER_LEN..], "{name}");
        }
    }

    #[test]
    fn fragments() {
        let new = Translate::destination(ip("10.0.2.11"), 5353);
        let later =
            Frame::v4("198.51.100.1", "192.0.2.100").fragment(64, false).raw(17).payload(&[7; 24]).build();
        let mut frame = later.clone();
        let packet = info(&frame);
        translate(&mut frame, &packet, new).unwrap();
        assert_eq!(packet.dst(&frame), ip("10.0.2.11"));
        assert_eq!(packet.upper(&frame), packet.upper(&later), "a later fragment has no ports");
        assert!(ipv4::verify_checksum(packet.ip(&frame)));

        let first = Frame::v4("198.51.100.1", "192.0.2.100")
            .fragment(0, true)
            .udp(1, 2)
            .no_checksum()
            .payload(&[7; 24]);
        let mut frame = first.build();
        let packet = info(&frame);
        translate(&mut frame, &packet, new).unwrap();
        let udp = packet.upper(&frame);
        assert_eq!((udp::dport(udp), udp::checksum(udp)), (5353, 0), "the whole is not here to be summed");
    }

    #[test]
    fn other_protocols_keep_their_payload() {
        let new = Translate { src: Some((ip("2001:db8::5"), 5)), dst: Some((ip("2001:db8::6"), 6)) };
        for protocol in [protocol::ESP, protocol::AH, protocol::GRE, 253] {
            let mut frame = Frame::v6("2001:db8::1", "2001:db8::2").raw(protocol).payload(&[9; 24]).build();
            let info = info(&frame);
            translate(&mut frame, &info, new).unwrap();
            assert_eq!(
                (info.src(&frame), info.dst(&frame)),
                (ip("2001:db8::5"), ip("2001:db8::6")),
                "{protocol}"
            );
            assert_eq!(info.upper(&frame), [9; 24], "{protocol}");
        }
        let mut echo = Frame::v6("2001:db8::1", "2001:db8::2").echo_request(1, 2).build();
        let info = info(&echo);
        translate(&mut echo, &info, new).unwrap();
        assert_eq!(verify_checksums(&echo), Ok(()));
    }

    #[test]
    fn what_the_kernel_does_to_sctp() {
        // Trace sctp_nat_v4: INIT with a right and with a wrong CRC to the server, INIT ACK back.
        for (name, frame, new, want) in [
            (
                "INIT",
                "0200000000010200000000fe0800450000340000000040848dadc6336401c000026413880050000000016b6931200100001400\
                 0000010000ffff000a000a00000001",
                Translate::destination(ip("10.0.2.11"), 8080),
                "02000000020b020000000002080045000034000000003f844507c63364010a00020b13881f90000000012a671cc20100001400\
                 0000010000ffff000a000a00000001",
            ),
            (
                "INIT with a wrong CRC",
                "0200000000010200000000fe0800450000340000000040848da8c6336406c000026413880050000000016a6931200100001400\
                 0000010000ffff000a000a00000001",
                Translate::destination(ip("10.0.2.11"), 8080),
                "02000000020b020000000002080045000034000000003f844502c63364060a00020b13881f90000000012a671cc20100001400\
                 0000010000ffff000a000a00000001",
            ),
            (
                "INIT ACK",
                "02000000000202000000020b08004500003400000000408444070a00020bc63364011f90138800000002805f78e90200001400\
                 0000020000ffff000a000a00000001",
                Translate::source(ip("192.0.2.100"), 80),
                "0200000000fe020000000001080045000034000000003f848eadc0000264c63364010050138800000002f95cb5a90200001400\
                 0000020000ffff000a000a00000001",
            ),
        ] {
            let mut frame = hex(frame);
            let info = info(&frame);
            translate(&mut frame, &info, new).unwrap();
            decrement_ttl(&mut frame, &info);
            assert_eq!(frame[ether::HEADER_LEN..], hex(want)[ether::HEADER_LEN..], "{name}");
        }
    }

    #[test]
    fn sctp_keeps_its_crc_while_its_ports_stay() {
        let sctp = [0, 1, 0, 2, 0, 0, 0, 3, 0xba, 0xad, 0xba, 0xad, 11, 0, 0, 4];
        let mut frame = Frame::v6("2001:db8::1", "2001:db8::2").raw(protocol::SCTP).payload(&sctp).build();
        let packet = info(&frame);
        translate(&mut frame, &packet, Translate::destination(ip("2001:db8::3"), 2)).unwrap();
        assert_eq!((packet.dst(&frame), packet.upper(&frame)), (ip("2001:db8::3"), &sctp[..]));

        let first =
            Frame::v6("2001:db8::1", "2001:db8::2").fragment(0, true).raw(protocol::SCTP).payload(&sctp);
        let mut frame = first.build();
        let packet = info(&frame);
        translate(&mut frame, &packet, Translate::destination(ip("2001:db8::3"), 4)).unwrap();
        let upper = packet.upper(&frame);
        assert_eq!((sctp::dport(upper), &upper[8..]), (4, &sctp[8..]), "the whole is not here to be summed");
    }

    #[test]
    fn the_other_family_is_refused() {
        let frame = Frame::v4("198.51.100.1", "192.0.2.100").icmp(icmp::UNREACHABLE, 0, 0);
        let frame = frame.quote(&Frame::v4("192.0.2.100", "198.51.100.1").udp(1, 2).build(), 28).build();
        let packet = info(&frame);
        let quoted = parse_quoted(&frame, &packet).unwrap();
        let (fits, other) = (Translate::source(ip("10.0.0.1"), 1), Translate::destination(ip("::1"), 1));
        let mut got = frame.clone();
        assert_eq!(translate(&mut got, &packet, other), Err(WrongFamily));
        assert_eq!(translate_quoted(&mut got, &packet, &quoted, fits, other), Err(WrongFamily));
        assert_eq!(translate_quoted(&mut got, &packet, &quoted, other, fits), Err(WrongFamily));
        assert_eq!(got, frame);
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let ends = prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ];
        let payload = prop::collection::vec(any::<u8>(), 0..60);
        (ends, any::<(u16, u16, bool)>(), payload).prop_map(|((src, dst), (sport, dport, tcp), payload)| {
            let frame = Frame::new(src, dst);
            let frame = if tcp { frame.tcp(sport, dport, tcp::ACK) } else { frame.udp(sport, dport) };
            frame.payload(&payload).build()
        })
    }

    fn fit(address: [u8; 16], like: IpAddr) -> IpAddr {
        match like {
            IpAddr::V4(_) => IpAddr::from([address[0], address[1], address[2], address[3]]),
            IpAddr::V6(_) => IpAddr::from(address),
        }
    }

    proptest! {
        #[test]
        fn right_stays_right_and_back_is_back(
            frame in any_frame(),
            src: Option<([u8; 16], u16)>,
            dst: Option<([u8; 16], u16)>,
        ) {
            let info = info(&frame);
            let (old_src, old_dst) = (info.src(&frame), info.dst(&frame));
            let new = Translate {
                src: src.map(|(address, port)| (fit(address, old_src), port)),
                dst: dst.map(|(address, port)| (fit(address, old_dst), port)),
            };
            let mut got = frame.clone();
            translate(&mut got, &info, new).unwrap();
            prop_assert_eq!(verify_checksums(&got), Ok(()));
            let there = crate::testing::info(&got);
            prop_assert_eq!((there.src(&got), there.sport), new.src.unwrap_or((old_src, info.sport)));
            prop_assert_eq!((there.dst(&got), there.dport), new.dst.unwrap_or((old_dst, info.dport)));
            let back = Translate { src: Some((old_src, info.sport)), dst: Some((old_dst, info.dport)) };
            translate(&mut got, &there, back).unwrap();
            prop_assert_eq!(got, frame);
        }

        #[test]
        fn quotations_keep_the_icmp_checksum(frame in any_frame(), address: [u8; 16], port: u16, cut in 44usize..120) {
            let quoted_info = info(&frame);
            let outside = Frame::new(fit(address, quoted_info.src(&frame)), quoted_info.src(&frame));
            let kind = if quoted_info.family == Family::V4 { icmp::UNREACHABLE } else { icmpv6::UNREACHABLE };
            let mut error = outside.icmp(kind, 1, 0).quote(&frame, cut).build();
            let packet = info(&error);
            let quoted = parse_quoted(&error, &packet).unwrap();
            let to = fit(address, quoted_info.src(&frame));
            translate_quoted(&mut error, &packet, &quoted, Translate::destination(to, 0), Translate::source(to, port)).unwrap();
            prop_assert_eq!(verify_checksums(&error), Ok(()));
            let quoted = parse_quoted(&error, &packet).unwrap().packet;
            prop_assert_eq!((quoted.src(&error), quoted.sport, packet.dst(&error)), (to, port, to));
            prop_assert!(quoted.family == Family::V6 || ipv4::verify_checksum(quoted.ip(&error)));
        }
    }
}
