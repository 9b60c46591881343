//! Keys: a packet's two endpoints, its protocol and its zone, as whole words so that comparing and hashing need no
//! branch.
//!
//! A connection has up to two keys, one for each direction, and each is what a packet of that direction carries. So the
//! key of the other direction is also what a translated packet is rewritten to (reversed).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Which way a packet goes through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// As the connection was opened: client to service.
    Original = 0,
    /// Back: destination to client.
    Reply = 1,
}

impl Direction {
    /// Both, in the order of their numbers.
    pub const BOTH: [Direction; 2] = [Direction::Original, Direction::Reply];

    /// The other direction.
    #[inline]
    pub fn opposite(self) -> Direction {
        match self {
            Direction::Original => Direction::Reply,
            Direction::Reply => Direction::Original,
        }
    }
}

/// What a table can be asked for. Plain data, hashed as whole 16-byte lanes.
pub trait Key: Copy + Eq {
    /// How many lanes make up the key.
    const LANES: usize;

    /// Lane `at`, for `at < LANES`; the last is padded with zeros.
    fn lane(&self, at: usize) -> [u32; 4];
}

/// An IPv4 key, 16 bytes.
#[derive(Clone, Copy, Eq, Default)]
#[repr(transparent)]
pub struct Key4([u32; 4]);

impl Key4 {
    /// A key in zone 0 with no flags. Ports in host order; a protocol without ports passes 0.
    #[inline]
    pub fn new(src: Ipv4Addr, dst: Ipv4Addr, sport: u16, dport: u16, protocol: u8) -> Key4 {
        Key4([src.to_bits(), dst.to_bits(), ports(sport, dport), u32::from(protocol)])
    }

    /// The address that packets come from.
    #[inline]
    pub fn src(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0[0])
    }

    /// The address that packets go to.
    #[inline]
    pub fn dst(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0[1])
    }

    #[inline]
    fn ports_and_rest(&self) -> (u32, u32) {
        (self.0[2], self.0[3])
    }

    #[inline]
    fn rest_mut(&mut self) -> &mut u32 {
        &mut self.0[3]
    }

    /// The key that packets of the opposite direction carry if nothing is translated.
    #[inline]
    pub fn reversed(&self) -> Key4 {
        Key4([self.0[1], self.0[0], self.0[2].rotate_left(16), self.0[3]])
    }
}

impl Key for Key4 {
    const LANES: usize = 1;

    #[inline(always)]
    fn lane(&self, _at: usize) -> [u32; 4] {
        self.0
    }
}

/// An IPv6 key, 40 bytes.
#[derive(Clone, Copy, Eq, Default)]
#[repr(transparent)]
pub struct Key6([u32; 10]);

impl Key6 {
    /// A key in zone 0 with no flags. Ports in host order; a protocol without ports passes 0.
    #[inline]
    pub fn new(src: Ipv6Addr, dst: Ipv6Addr, sport: u16, dport: u16, protocol: u8) -> Key6 {
        let [s0, s1, s2, s3] = words(src);
        let [d0, d1, d2, d3] = words(dst);
        Key6([s0, s1, s2, s3, d0, d1, d2, d3, ports(sport, dport), u32::from(protocol)])
    }

    /// The address that packets come from.
    #[inline]
    pub fn src(&self) -> Ipv6Addr {
        address([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    /// The address that packets go to.
    #[inline]
    pub fn dst(&self) -> Ipv6Addr {
        address([self.0[4], self.0[5], self.0[6], self.0[7]])
    }

    #[inline]
    fn ports_and_rest(&self) -> (u32, u32) {
        (self.0[8], self.0[9])
    }

    #[inline]
    fn rest_mut(&mut self) -> &mut u32 {
        &mut self.0[9]
    }

    /// The key that packets of the opposite direction carry if nothing is translated.
    #[inline]
    pub fn reversed(&self) -> Key6 {
        let [s0, s1, s2, s3, d0, d1, d2, d3, ports, rest] = self.0;
        Key6([d0, d1, d2, d3, s0, s1, s2, s3, ports.rotate_left(16), rest])
    }
}

impl Key for Key6 {
    const LANES: usize = 3;

    #[inline(always)]
    fn lane(&self, at: usize) -> [u32; 4] {
        match at {
            0 => [self.0[0], self.0[1], self.0[2], self.0[3]],
            1 => [self.0[4], self.0[5], self.0[6], self.0[7]],
            _ => [self.0[8], self.0[9], 0, 0],
        }
    }
}

/// What the two families share: ports, protocol, zone and flags sit in the last two words.
macro_rules! common {
    ($key:ident) => {
        // Without a branch until the end: a comparison is nearly always of equal keys, and one of arrays is a call.
        impl PartialEq for $key {
            #[inline(always)]
            fn eq(&self, other: &$key) -> bool {
                self.0.iter().zip(&other.0).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
            }
        }

        impl std::hash::Hash for $key {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl $key {
            /// The source port, host order.
            #[inline]
            pub fn sport(&self) -> u16 {
                (self.ports_and_rest().0 >> 16) as u16
            }

            /// The destination port, host order.
            #[inline]
            pub fn dport(&self) -> u16 {
                self.ports_and_rest().0 as u16
            }

            /// The IP protocol number.
            #[inline]
            pub fn protocol(&self) -> u8 {
                self.ports_and_rest().1 as u8
            }

            /// Bits that the owner of the table gives a meaning (a template, say); keys that differ in them differ.
            #[inline]
            pub fn flags(&self) -> u8 {
                (self.ports_and_rest().1 >> 8) as u8
            }

            /// The zone: the same endpoints in another zone are another key.
            #[inline]
            pub fn zone(&self) -> u16 {
                (self.ports_and_rest().1 >> 16) as u16
            }

            /// The same key with these flags.
            #[inline]
            pub fn with_flags(mut self, flags: u8) -> Self {
                let rest = self.rest_mut();
                *rest = (*rest & !0xff00) | u32::from(flags) << 8;
                self
            }

            /// The same key in this zone.
            #[inline]
            pub fn with_zone(mut self, zone: u16) -> Self {
                let rest = self.rest_mut();
                *rest = (*rest & 0xffff) | u32::from(zone) << 16;
                self
            }
        }

        impl std::fmt::Debug for $key {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($key))
                    .field("src", &self.src())
                    .field("sport", &self.sport())
                    .field("dst", &self.dst())
                    .field("dport", &self.dport())
                    .field("protocol", &self.protocol())
                    .field("flags", &self.flags())
                    .field("zone", &self.zone())
                    .finish()
            }
        }
    };
}

common!(Key4);
common!(Key6);

#[inline]
fn ports(sport: u16, dport: u16) -> u32 {
    u32::from(sport) << 16 | u32::from(dport)
}

#[inline]
fn words(address: Ipv6Addr) -> [u32; 4] {
    let bits = address.to_bits();
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

#[inline]
fn address(words: [u32; 4]) -> Ipv6Addr {
    let [a, b, c, d] = words.map(u128::from);
    Ipv6Addr::from_bits(a << 96 | b << 64 | c << 32 | d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_give_back_what_they_were_made_of() {
        let (a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 200));
        let key = Key4::new(a, b, 40_000, 443, 6).with_zone(0xabcd).with_flags(0x81);
        assert_eq!((key.src(), key.dst(), key.sport(), key.dport()), (a, b, 40_000, 443));
        assert_eq!((key.protocol(), key.zone(), key.flags()), (6, 0xabcd, 0x81));
        let back = key.reversed();
        assert_eq!((back.src(), back.dst(), back.sport(), back.dport()), (b, a, 443, 40_000));
        assert_eq!((back.protocol(), back.zone(), back.flags()), (6, 0xabcd, 0x81));
        assert_eq!(back.reversed(), key);

        let (a, b): (Ipv6Addr, Ipv6Addr) =
            ("2001:db8:1:2:3:4:5:6".parse().unwrap(), "2001:db8:f:e:d:c:b:a".parse().unwrap());
        let key = Key6::new(a, b, 65_535, 53, 17).with_flags(1).with_zone(7);
        assert_eq!((key.src(), key.dst(), key.sport(), key.dport()), (a, b, 65_535, 53));
        assert_eq!((key.protocol(), key.zone(), key.flags()), (17, 7, 1));
        let back = key.reversed();
        assert_eq!((back.src(), back.dst(), back.sport(), back.dport()), (b, a, 53, 65_535));
        assert_eq!(back.reversed(), key);
    }

    #[test]
    fn every_word_of_a_key_reaches_a_lane() {
        let key = Key6([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let lanes: Vec<u32> = (0..Key6::LANES).flat_map(|at| key.lane(at)).collect();
        assert_eq!(lanes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0]);
        assert_eq!(Key4([1, 2, 3, 4]).lane(0), [1, 2, 3, 4]);
    }

    #[test]
    fn keys_have_the_promised_sizes() {
        assert_eq!((size_of::<Key4>(), size_of::<Key6>()), (16, 40));
    }
}
