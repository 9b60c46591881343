//! Ethernet II headers (IEEE 802.3): two addresses and an EtherType.

use core::fmt;
use core::str::FromStr;

use crate::field::{array, get_u16, put, put_u16};

/// Length of an untagged Ethernet header, in bytes.
pub const HEADER_LEN: usize = 14;
/// Length that one VLAN tag adds, in bytes.
pub const VLAN_LEN: usize = 4;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// Tag protocol of a customer VLAN (IEEE 802.1Q).
pub const VLAN: u16 = 0x8100;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Tag protocol of a service VLAN (IEEE 802.1ad).
pub const QINQ: u16 = 0x88a8;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// All zeros: no address.
    pub const UNSPECIFIED: Self = Self([0; 6]);

    /// Whether this names a group of stations; the broadcast address does.
    #[inline]
    pub const fn is_multicast(&self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this names all stations.
    #[inline]
    pub fn is_broadcast(&self) -> bool {
        *self == Self::BROADCAST
    }

    /// Whether this is the all-zero address.
    #[inline]
    pub fn is_unspecified(&self) -> bool {
        *self == Self::UNSPECIFIED
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text is not an Ethernet address: six pairs of hexadecimal digits with colons between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMacAddr;

impl fmt::Display for BadMacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not an Ethernet address: expected six pairs of hexadecimal digits, as in 02:00:00:00:00:01",
        )
    }
}

impl core::error::Error for BadMacAddr {}

impl FromStr for MacAddr {
    type Err = BadMacAddr;

    fn from_str(text: &str) -> Result<Self, BadMacAddr> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or(BadMacAddr)?;
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(BadMacAddr);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| BadMacAddr)?;
        }
        if parts.next().is_some() { Err(BadMacAddr) } else { Ok(Self(octets)) }
    }
}

/// Destination address.
#[inline]
pub fn dst(frame: &[u8]) -> MacAddr {
    MacAddr(array(frame, 0))
}

/// Source address.
#[inline]
pub fn src(frame: &[u8]) -> MacAddr {
    MacAddr(array(frame, 6))
}

/// EtherType; of a tagged frame, its tag protocol.
#[inline]
pub fn ethertype(frame: &[u8]) -> u16 {
    get_u16(frame, 12)
}

/// Sets the destination address.
#[inline]
pub fn set_dst(frame: &mut [u8], dst: &MacAddr) {
    put(frame, 0, dst.0);
}

/// Sets the source address.
#[inline]
pub fn set_src(frame: &mut [u8], src: &MacAddr) {
    put(frame, 6, src.0);
}

/// Sets the EtherType.
#[inline]
pub fn set_ethertype(frame: &mut [u8], ethertype: u16) {
    put_u16(frame, 12, ethertype);
}

/// Writes a whole untagged header.
#[inline]
pub fn write(frame: &mut [u8], dst: &MacAddr, src: &MacAddr, ethertype: u16) {
    set_dst(frame, dst);
    set_src(frame, src);
    set_ethertype(frame, ethertype);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_text() {
        let address = MacAddr([0x02, 0, 0, 0xab, 0xcd, 0xfe]);
        assert_eq!(address.to_string(), "02:00:00:ab:cd:fe");
        assert_eq!("02:00:00:ab:cd:fe".parse(), Ok(address));
        assert_eq!("02:00:00:AB:CD:FE".parse(), Ok(address));
        for bad in [
            "",
            "02",
            "02:00:00:ab:cd",
            "02:00:00:ab:cd:fe:00",
            "2:0:0:ab:cd:fe",
            "+2:00:00:ab:cd:fe",
            "g2:00:00:ab:cd:fe",
        ] {
            assert_eq!(bad.parse::<MacAddr>(), Err(BadMacAddr), "{bad}");
        }
    }

    #[test]
    fn groups() {
        for (text, multicast, broadcast) in [
            ("ff:ff:ff:ff:ff:ff", true, true),
            ("33:33:ff:00:00:01", true, false),
            ("01:00:5e:00:00:01", true, false),
            ("02:00:00:00:00:01", false, false),
        ] {
            let address: MacAddr = text.parse().unwrap();
            assert_eq!((address.is_multicast(), address.is_broadcast()), (multicast, broadcast), "{text}");
        }
    }

    #[test]
    fn header_round_trip() {
        let (to, from) = (MacAddr([1, 2, 3, 4, 5, 6]), MacAddr([7, 8, 9, 10, 11, 12]));
        let mut frame = [0; HEADER_LEN];
        write(&mut frame, &to, &from, IPV6);
        assert_eq!(frame, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x86, 0xdd]);
        assert_eq!((dst(&frame), src(&frame), ethertype(&frame)), (to, from, IPV6));
    }
}
