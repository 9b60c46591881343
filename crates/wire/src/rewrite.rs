//! Address and port translation in place, with the checksums that follow.
//!
//! Invariant: a wrong checksum stays wrong, since every checksum changes by the difference only. One exception, as in the
//! kernel: UDP over IPv4 that came without a checksum gets one when it is translated.

use core::net::IpAddr;

use crate::checksum::Delta;
use crate::field::{get_u16, put_u16};
use crate::info::{Family, Fragment, PacketInfo, Quoted};
use crate::{icmp, icmpv6, ipv4, ipv6, protocol, tcp, udp};

/// The new ends of a packet; `None` leaves an end as it is. The port counts for TCP and UDP, other protocols keep theirs.
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

/// Gives a packet new ends: addresses, ports, and the checksums of IP, TCP, UDP and ICMPv6. Of a later fragment only the
/// addresses change.
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
                0 if info.family == Family::V4 && info.fragment == Fragment::No => {
                    udp::fill_checksum(frame, info)
                }
                0 => {}
                check => udp::set_checksum(upper, delta.apply_udp(check)),
            }
        }
        protocol::ICMPV6 => put_u16(upper, 2, delta.apply(icmpv6::checksum(upper))),
        _ => {}
    }
    Ok(())
}

/// Gives an ICMP error and the packet that it quotes new ends: `outer` for the error itself, `inner` for the quotation, whose
/// ports change if it is TCP or UDP. IP and ICMP checksums follow; the quoted upper-layer checksum stays, as the kernel
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
    if quoted.packet.fragment != Fragment::Later
        && matches!(quoted.packet.protocol, protocol::TCP | protocol::UDP)
    {
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
