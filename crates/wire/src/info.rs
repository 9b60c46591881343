//! What one look at a frame finds out: done once per packet, then passed along by value.

use core::net::IpAddr;

use crate::{ipv4, ipv6, sctp};

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
    /// What the chunks of SCTP say; `None` for other protocols, fragments and quotations, and if there is no chunk.
    pub sctp: Option<sctp::Lead>,
    /// GRE as PPTP has it: the number that the receiver gave the call; `None` for other protocols and for later fragments.
    pub call: Option<u16>,
    /// Whether this is a fragment.
    pub fragment: Fragment,
    /// Source port (TCP, UDP, SCTP), else 0.
    pub sport: u16,
    /// Destination port (TCP, UDP, SCTP), else 0.
    pub dport: u16,
    /// Length of the largest fragment's IP packet, if this packet was gathered from fragments (parsing does not tell), else 0.
    pub largest_fragment: u16,
    /// What match rules have marked the packet with; 0 from parsing.
    pub mark: u32,
}

impl PacketInfo {
    /// Source address, read from the frame that this was parsed from.
    #[inline]
    pub fn src(&self, frame: &[u8]) -> IpAddr {
        match self.family {
            Family::V4 => IpAddr::V4(ipv4::src(self.ip(frame))),
            Family::V6 => IpAddr::V6(ipv6::src(self.ip(frame))),
        }
    }

    /// Destination address, read from the frame that this was parsed from.
    #[inline]
    pub fn dst(&self, frame: &[u8]) -> IpAddr {
        match self.family {
            Family::V4 => IpAddr::V4(ipv4::dst(self.ip(frame))),
            Family::V6 => IpAddr::V6(ipv6::dst(self.ip(frame))),
        }
    }

    /// Length of the IP packet, headers and all: what is compared with an MTU.
    #[inline]
    pub fn ip_len(&self) -> usize {
        usize::from(self.end.saturating_sub(self.l3))
    }

    /// Length of the largest IP packet that came: of the largest fragment if this was gathered from fragments, else of the
    /// packet itself.
    #[inline]
    pub fn largest_len(&self) -> usize {
        match self.largest_fragment {
            0 => self.ip_len(),
            largest => usize::from(largest),
        }
    }

    /// Length of upper-layer header and data.
    #[inline]
    pub fn upper_len(&self) -> usize {
        usize::from(self.end.saturating_sub(self.l4))
    }

    /// The IP packet, without Ethernet header and padding.
    #[inline]
    pub fn ip<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(usize::from(self.l3)..usize::from(self.end)).unwrap_or_default()
    }

    /// The IP packet, to rewrite in place.
    #[inline]
    pub fn ip_mut<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        frame.get_mut(usize::from(self.l3)..usize::from(self.end)).unwrap_or_default()
    }

    /// Upper-layer header and data.
    #[inline]
    pub fn upper<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(usize::from(self.l4)..usize::from(self.end)).unwrap_or_default()
    }

    /// Upper-layer header and data, to rewrite in place.
    #[inline]
    pub fn upper_mut<'a>(&self, frame: &'a mut [u8]) -> &'a mut [u8] {
        frame.get_mut(usize::from(self.l4)..usize::from(self.end)).unwrap_or_default()
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
