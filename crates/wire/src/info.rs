//! What one look at a frame finds out: done once per packet, then passed along by value.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Address family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 (RFC 791).
    V4,
    /// IPv6 (RFC 8200).
    V6,
}

/// Whether a packet is a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// A whole packet.
    No,
    /// The first fragment: it has the start of the upper-layer header.
    First,
    /// A later fragment: no upper-layer header, ports are 0.
    Later,
}

/// Where the parts of an IP packet lie in its frame. Offsets count from the start of the frame, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// Address family.
    pub family: Family,
    /// Start of the IP header.
    pub l3: u16,
    /// Start of the upper-layer header (behind IPv4 options or IPv6 extension headers).
    pub l4: u16,
    /// End of the IP packet; what follows in the frame is Ethernet padding.
    pub end: u16,
    /// Upper-layer protocol (IANA number).
    pub protocol: u8,
    /// TTL or hop limit as it arrived.
    pub ttl: u8,
    /// TCP flags (byte 13 of the header), 0 for other protocols.
    pub tcp_flags: u8,
    /// Whether this is a fragment.
    pub fragment: Fragment,
    /// Source port (TCP, UDP, SCTP), else 0.
    pub sport: u16,
    /// Destination port (TCP, UDP, SCTP), else 0.
    pub dport: u16,
}

impl PacketInfo {
    /// Source address, read from the frame that this was parsed from.
    pub fn src(&self, frame: &[u8]) -> IpAddr {
        self.address(frame, 12, 8)
    }

    /// Destination address, read from the frame that this was parsed from.
    pub fn dst(&self, frame: &[u8]) -> IpAddr {
        self.address(frame, 16, 24)
    }

    fn address(&self, frame: &[u8], v4: usize, v6: usize) -> IpAddr {
        let l3 = usize::from(self.l3);
        match self.family {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&frame[l3 + v4..l3 + v4 + 4]).expect("4 bytes"))),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&frame[l3 + v6..l3 + v6 + 16]).expect("16 bytes"))),
        }
    }
}

/// The packet that an ICMP error quotes; it may be cut off behind four bytes of its upper-layer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// The quoted packet; `end` is where the quotation ends in the frame.
    pub packet: PacketInfo,
    /// Start of the ICMP header that quotes it.
    pub icmp: u16,
}
