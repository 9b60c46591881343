//! ARP for IPv4 over Ethernet (RFC 826).

use core::net::Ipv4Addr;

use crate::ether::{self, MacAddr};
use crate::field::{array, get_u16, put, put_u16};

/// Length of a whole frame without padding, in bytes.
pub const FRAME_LEN: usize = ether::HEADER_LEN + 28;

/// Hardware Ethernet, protocol IPv4, address lengths 6 and 4: the only kind there is here.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What the packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// What it is for.
    pub op: Op,
    /// Who sends it.
    pub sender_mac: MacAddr,
    /// The sender's address; unspecified in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// Whom it is for; meaningless in a request.
    pub target_mac: MacAddr,
    /// The address asked for, or that of the asker.
    pub target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// Reads a frame. `None`: it is cut off, not ARP for IPv4 over Ethernet, another operation, or the sender is a group.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let arp = frame.get(ether::HEADER_LEN..FRAME_LEN)?;
        if ether::ethertype(frame) != ether::ARP || array::<6>(arp, 0) != KIND {
            return None;
        }
        let op = match get_u16(arp, 6) {
            1 => Op::Request,
            2 => Op::Reply,
            _ => return None,
        };
        let packet = Self {
            op,
            sender_mac: MacAddr(array(arp, 8)),
            sender_ip: Ipv4Addr::from(array::<4>(arp, 14)),
            target_mac: MacAddr(array(arp, 18)),
            target_ip: Ipv4Addr::from(array::<4>(arp, 24)),
        };
        (!packet.sender_mac.is_multicast() && !packet.sender_ip.is_multicast()).then_some(packet)
    }

    /// Writes the whole frame from the sender to `dst`, [`FRAME_LEN`] bytes. A shorter slice is left as it is.
    pub fn write(&self, frame: &mut [u8], dst: &MacAddr) {
        let Some(frame) = frame.first_chunk_mut::<FRAME_LEN>() else { return };
        ether::write(frame, dst, &self.sender_mac, ether::ARP);
        let arp = &mut frame[ether::HEADER_LEN..];
        put(arp, 0, KIND);
        put_u16(
            arp,
            6,
            match self.op {
                Op::Request => 1,
                Op::Reply => 2,
            },
        );
        put(arp, 8, self.sender_mac.0);
        put(arp, 14, self.sender_ip.octets());
        put(arp, 18, self.target_mac.0);
        put(arp, 24, self.target_ip.octets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(op: Op) -> ArpPacket {
        ArpPacket {
            op,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_ip: Ipv4Addr::new(192, 0, 2, 1),
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: Ipv4Addr::new(192, 0, 2, 254),
        }
    }

    fn written(packet: &ArpPacket) -> Vec<u8> {
        let mut frame = vec![0xaa; FRAME_LEN];
        packet.write(&mut frame, &MacAddr::BROADCAST);
        frame
    }

    #[test]
    fn a_request_in_bytes() {
        let want = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0,
            0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 254,
        ];
        assert_eq!(written(&sample(Op::Request)), want);
    }

    #[test]
    fn round_trip_with_padding() {
        for op in [Op::Request, Op::Reply] {
            let mut frame = written(&sample(op));
            frame.extend([0; 18]);
            assert_eq!(ArpPacket::parse(&frame), Some(sample(op)));
        }
    }

    #[test]
    fn refuses_other_kinds() {
        let good = written(&sample(Op::Request));
        for (name, at, value) in [
            ("EtherType", 13, 0),
            ("hardware", 15, 6),
            ("protocol", 16, 0x86),
            ("hardware address length", 18, 8),
            ("protocol address length", 19, 16),
            ("operation", 21, 3),
            ("sender is a group on the link", 22, 1),
            ("sender is a group in IP", 28, 224),
        ] {
            let mut frame = good.clone();
            frame[at] = value;
            assert_eq!(ArpPacket::parse(&frame), None, "{name}");
        }
        for len in 0..good.len() {
            assert_eq!(ArpPacket::parse(&good[..len]), None, "{len} bytes");
        }
    }
}
