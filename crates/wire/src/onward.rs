//! One hop and a translation in one go, for plain packets: what [`rewrite`](crate::rewrite) does in steps that each look for
//! their place, done once for TCP and UDP behind an IP header without options.
//!
//! Invariant: what comes out is, byte for byte, what [`rewrite::decrement_ttl`](crate::rewrite::decrement_ttl) and
//! [`rewrite::translate`](crate::rewrite::translate) make of the packet; a packet that is not plain is left as it was.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::checksum::udp_field;
use crate::info::PacketInfo;
use crate::protocol;

/// New ends of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
}

impl<A> Ends<A> {
    fn ports(&self) -> u32 {
        u32::from(self.sport) << 16 | u32::from(self.dport)
    }
}

/// A ones-complement sum of changes that has not been folded.
#[derive(Clone, Copy)]
struct Change(u64);

impl Change {
    #[inline(always)]
    fn word(self, old: u32, new: u32) -> Self {
        Self(self.0 + u64::from(!old) + u64::from(new))
    }

    #[inline(always)]
    fn apply(self, check: u16) -> u16 {
        let mut sum = self.0 + u64::from(!check);
        sum = (sum & 0xffff_ffff) + (sum >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }
}

/// Sends an IPv4 packet on: TTL down by one, these ends. `false` if it is not plain, or keeps its ends.
#[inline]
pub fn v4(frame: &mut [u8], info: &PacketInfo, ends: &Ends<Ipv4Addr>) -> bool {
    let Some(rest) = frame.get_mut(usize::from(info.l3)..usize::from(info.end)) else { return false };
    let Some((ip, upper)) = rest.split_first_chunk_mut::<20>() else { return false };
    let (src, dst) = (word(ip, 12), word(ip, 16));
    let change = Change(0).word(src, ends.src.to_bits()).word(dst, ends.dst.to_bits());
    let same = src == ends.src.to_bits() && dst == ends.dst.to_bits();
    if ip[0] != 0x45 || ip[8] == 0 || !upper_layer(upper, info.protocol, ends.ports(), change, same) {
        return false;
    }
    let ttl = u32::from(ip[8]) << 8;
    let check = change.word(ttl, ttl - 0x100).apply(u16::from_be_bytes([ip[10], ip[11]]));
    ip[8] -= 1;
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    ip[12..16].copy_from_slice(&ends.src.octets());
    ip[16..20].copy_from_slice(&ends.dst.octets());
    true
}

/// The same for IPv6 and the hop limit.
#[inline]
pub fn v6(frame: &mut [u8], info: &PacketInfo, ends: &Ends<Ipv6Addr>) -> bool {
    let Some(rest) = frame.get_mut(usize::from(info.l3)..usize::from(info.end)) else { return false };
    let Some((ip, upper)) = rest.split_first_chunk_mut::<40>() else { return false };
    let mut new = [0; 32];
    new[..16].copy_from_slice(&ends.src.octets());
    new[16..].copy_from_slice(&ends.dst.octets());
    let mut change = Change(0);
    for at in (0..32).step_by(4) {
        change = change.word(word(ip, 8 + at), word(&new, at));
    }
    let same = ip[8..] == new;
    if ip[6] != info.protocol || ip[7] == 0 || !upper_layer(upper, info.protocol, ends.ports(), change, same)
    {
        return false;
    }
    ip[7] -= 1;
    ip[8..].copy_from_slice(&new);
    true
}

/// Ports and checksum of the upper layer; `false` if that is for others to do.
#[inline(always)]
fn upper_layer(upper: &mut [u8], number: u8, ports: u32, change: Change, same_addresses: bool) -> bool {
    let at = match number {
        protocol::UDP => 6,
        protocol::TCP => 16,
        _ => return false,
    };
    let Some(header) = upper.get_mut(..at + 2) else { return false };
    let old = word(header, 0);
    let check = u16::from_be_bytes([header[at], header[at + 1]]);
    let no_checksum = number == protocol::UDP && check == 0;
    if no_checksum || (same_addresses && old == ports) {
        return false;
    }
    let check = change.word(old, ports).apply(check);
    let check = if number == protocol::UDP { udp_field(check) } else { check };
    header[..4].copy_from_slice(&ports.to_be_bytes());
    header[at..].copy_from_slice(&check.to_be_bytes());
    true
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use proptest::prelude::*;

    use super::*;
    use crate::rewrite::{Translate, decrement_ttl, translate};
    use crate::testing::{Frame, info};

    fn onward(frame: &mut [u8], info: &PacketInfo, src: (IpAddr, u16), dst: (IpAddr, u16)) -> bool {
        let (sport, dport) = (src.1, dst.1);
        match (src.0, dst.0) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => v4(frame, info, &Ends { src, dst, sport, dport }),
            (IpAddr::V6(src), IpAddr::V6(dst)) => v6(frame, info, &Ends { src, dst, sport, dport }),
            _ => false,
        }
    }

    /// Few values, so that some stay the same and sums come out at their ends.
    fn addr(v6: bool, bits: u128) -> IpAddr {
        if v6 { IpAddr::V6(bits.into()) } else { IpAddr::V4((bits as u32).into()) }
    }

    fn bits() -> impl Strategy<Value = u128> {
        prop_oneof![Just(0x0a00_0001), Just(0x0a00_0002), Just(u128::MAX >> 1), any::<u128>()]
    }

    fn port() -> impl Strategy<Value = u16> {
        prop_oneof![Just(0), Just(80), Just(u16::MAX), any::<u16>()]
    }

    proptest! {
        #[test]
        fn it_is_what_the_steps_make(
            v6 in any::<bool>(),
            udp in any::<bool>(),
            addrs in prop::array::uniform4(bits()),
            ports in prop::array::uniform4(port()),
            check in prop_oneof![Just(0_u16), Just(0xffff), any::<u16>()],
            payload in prop::collection::vec(any::<u8>(), 0..9),
            ttl in 2..=255_u8,
        ) {
            let [a, b, c, d] = addrs.map(|bits| addr(v6, bits));
            let frame = Frame::new(a, b).ttl(ttl);
            let frame = if udp { frame.udp(ports[0], ports[1]) } else { frame.tcp(ports[0], ports[1], 16) };
            let mut frame = frame.payload(&payload).build();
            let info = info(&frame);
            let at = usize::from(info.l4) + if udp { 6 } else { 16 };
            frame[at..at + 2].copy_from_slice(&check.to_be_bytes());
            let mut steps = frame.clone();
            decrement_ttl(&mut steps, &info);
            let (src, dst) = ((c, ports[2]), (d, ports[3]));
            translate(&mut steps, &info, Translate { src: Some(src), dst: Some(dst) }).unwrap();
            let mut once = frame.clone();
            if onward(&mut once, &info, src, dst) {
                prop_assert_eq!(once, steps);
            } else {
                prop_assert_eq!(&once, &frame, "left as it was");
                let same = (a, ports[0], b, ports[1]) == (c, ports[2], d, ports[3]);
                prop_assert!(same || udp && check == 0, "only these are not plain");
            }
        }
    }
}
