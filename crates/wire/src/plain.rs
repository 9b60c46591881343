//! The quick look at a frame that is what nearly all are: TCP or UDP, whole, behind an IP header without options.
//!
//! Invariant: what it says of a frame is what [`parse`](crate::parse::parse) says; of a frame that is otherwise, or wrong, it says nothing.

use crate::ether;
use crate::info::{Family, Fragment, PacketInfo};
use crate::protocol;

/// What a plain frame is; none if it may be anything else.
#[inline]
pub fn plain(frame: &[u8]) -> Option<PacketInfo> {
    let (link, rest) = frame.split_first_chunk::<14>()?;
    match u16::from_be_bytes([link[12], link[13]]) {
        ether::IPV4 => plain_v4(rest),
        ether::IPV6 => plain_v6(rest),
        _ => None,
    }
}

#[inline]
fn plain_v4(rest: &[u8]) -> Option<PacketInfo> {
    let (ip, upper) = rest.split_first_chunk::<20>()?;
    let upper = upper.get(..usize::from(u16::from_be_bytes([ip[2], ip[3]])).checked_sub(20)?)?;
    let (words, _) = ip.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_be_bytes(*word))).sum();
    let sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let right = (sum & 0xffff) + (sum >> 16) == 0xffff;
    let whole = (ip[6] & 0x3f) | ip[7] == 0;
    if ip[0] != 0x45 || !right || !whole {
        return None;
    }
    with_upper(Family::V4, 20, ip[9], ip[8], upper)
}

#[inline]
fn plain_v6(rest: &[u8]) -> Option<PacketInfo> {
    let (ip, upper) = rest.split_first_chunk::<40>()?;
    let upper = upper.get(..usize::from(u16::from_be_bytes([ip[4], ip[5]])))?;
    if ip[0] >> 4 != 6 {
        return None;
    }
    with_upper(Family::V6, 40, ip[6], ip[7], upper)
}

#[inline(always)]
fn with_upper(family: Family, header_len: u16, number: u8, ttl: u8, upper: &[u8]) -> Option<PacketInfo> {
    let header = upper.first_chunk::<8>()?;
    let tcp_flags = match number {
        protocol::TCP => {
            let header = upper.first_chunk::<20>()?;
            let len = usize::from(header[12] >> 4) * 4;
            if len < 20 || len > upper.len() {
                return None;
            }
            header[13]
        }
        protocol::UDP => {
            let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
            if len < 8 || len > upper.len() {
                return None;
            }
            0
        }
        _ => return None,
    };
    let l3 = ether::HEADER_LEN as u16;
    let l4 = l3 + header_len;
    Some(PacketInfo {
        family,
        l3,
        l4,
        end: u16::try_from(usize::from(l4) + upper.len()).ok()?,
        protocol: number,
        ttl,
        tcp_flags,
        sctp: None,
        call: None,
        fragment: Fragment::No,
        sport: u16::from_be_bytes([header[0], header[1]]),
        dport: u16::from_be_bytes([header[2], header[3]]),
        largest_fragment: 0,
        mark: 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse::{Parsed, parse};
    use crate::testing::Frame;

    fn frame(v6: bool, udp: bool, payload: &[u8], padding: usize) -> Vec<u8> {
        let frame =
            if v6 { Frame::v6("2001:db8::1", "2001:db8::2") } else { Frame::v4("198.51.100.1", "192.0.2.1") };
        let frame = if udp { frame.udp(7, 53) } else { frame.tcp(7, 80, 0x12) };
        let mut frame = frame.payload(payload).build();
        frame.resize(frame.len() + padding, 0);
        frame
    }

    proptest! {
        #[test]
        fn it_says_what_parsing_says(
            v6 in any::<bool>(),
            udp in any::<bool>(),
            payload in prop::collection::vec(any::<u8>(), 0..24),
            padding in 0..8_usize,
            damage in prop::option::of((0..80_usize, any::<u8>())),
            cut in prop::option::of(0..80_usize),
        ) {
            let mut frame = frame(v6, udp, &payload, padding);
            if let Some((at, value)) = damage && let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
            frame.truncate(cut.unwrap_or(usize::MAX));
            let parsed = parse(&frame);
            match plain(&frame) {
                Some(info) => prop_assert_eq!(parsed, Ok(Parsed::Ip(info))),
                None => prop_assert!(damage.is_some() || cut.is_some() || parsed.is_err(), "nothing is wrong with it"),
            }
        }
    }
}
