//! Connections as the table stores them, one type for both families.
//!
//! A connection has two keys: what packets of the client carry, and what packets of its destination carry. Where the
//! director sees both directions (masquerade, FULLNAT) a packet of one direction is rewritten to the reverse of the
//! other direction's key, and so is what an ICMP error quotes: translation needs nothing else.
//! Invariant: an IPv4 connection and the table's own 12 bytes fill one cache line, an IPv6 connection two.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conntab::{ConnTable, Direction, Entry, Key, Key4, Key6};
use wire::{Family, PacketInfo};

use crate::{DestId, Method, Protocol, State};

/// A family's key, and where its connections are. Implemented by [`Key4`] and [`Key6`] only.
pub(crate) trait FlowKey: Key + Default {
    /// The family's addresses.
    type Addr: Copy + Eq + Into<IpAddr>;
    /// The family.
    const FAMILY: Family;

    /// A key of these endpoints; ports in host order.
    fn new(src: Self::Addr, dst: Self::Addr, sport: u16, dport: u16, protocol: u8) -> Self;
    /// The key that a packet carries, read from the frame that `info` was parsed from.
    fn of(frame: &[u8], info: &PacketInfo) -> Self;
    /// An address of this family; none if it is of the other.
    fn addr(addr: IpAddr) -> Option<Self::Addr>;
    /// Where packets with the key come from.
    fn src(&self) -> Self::Addr;
    /// Where packets with the key go to.
    fn dst(&self) -> Self::Addr;
    /// Source port, host order.
    fn sport(&self) -> u16;
    /// Destination port, host order.
    fn dport(&self) -> u16;
    /// IANA protocol number.
    fn protocol_number(&self) -> u8;
    /// The key of packets of the opposite direction if nothing is translated.
    fn reversed(&self) -> Self;

    /// The family's connections.
    fn table(tables: &Tables) -> &ConnTable<Connection<Self>>;
    /// The family's connections, to change.
    fn table_mut(tables: &mut Tables) -> &mut ConnTable<Connection<Self>>;
}

/// All connections of a worker.
pub(crate) struct Tables {
    pub(crate) v4: ConnTable<Connection<Key4>>,
    pub(crate) v6: ConnTable<Connection<Key6>>,
}

impl Tables {
    /// Connections of both families.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

/// One connection [ip_vs_conn].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Connection<K> {
    /// What the client's packets carry: client to virtual service.
    pub(crate) original: K,
    /// What the destination's packets carry: destination to client, or to the local address (FULLNAT). Where replies
    /// never pass it is not indexed and only remembers the destination, or nothing if that is of the other family.
    pub(crate) reply: K,
    /// The destination that the connection is bound to for its life.
    pub(crate) dest: DestId,
    /// Packets from the client.
    pub(crate) in_pkts: u32,
    /// Packets to the client.
    pub(crate) out_pkts: u32,
    /// What the protocol has seen.
    pub(crate) state: State,
    /// How packets reach the destination: as the destination was configured when the connection was made.
    pub(crate) method: Method,
    /// Replies that need not pass here have done so nevertheless, so the state follows both directions.
    pub(crate) overheard: bool,
}

impl<K: FlowKey> Connection<K> {
    /// The protocol; keys are only ever made of one that can be balanced.
    pub(crate) fn protocol(&self) -> Protocol {
        Protocol::from_number(self.original.protocol_number()).unwrap_or(Protocol::Tcp)
    }

    /// Whether the connection counts as active on its destination.
    pub(crate) fn is_active(&self) -> bool {
        self.protocol().is_active(self.state)
    }

    /// Whether only the client's packets have been seen, as is to be expected [IP_VS_CONN_F_NOOUTPUT].
    pub(crate) fn input_only(&self) -> bool {
        self.method.input_only() && !self.overheard
    }

    /// What a packet of `direction` is rewritten to carry, where both directions pass.
    pub(crate) fn translated(&self, direction: Direction) -> K {
        match direction {
            Direction::Original => self.reply.reversed(),
            Direction::Reply => self.original.reversed(),
        }
    }
}

impl<K: FlowKey> Default for Connection<K> {
    fn default() -> Self {
        Self {
            original: K::default(),
            reply: K::default(),
            dest: DestId(0),
            in_pkts: 0,
            out_pkts: 0,
            state: State::NONE,
            method: Method::Masquerade,
            overheard: false,
        }
    }
}

impl<K: FlowKey> Entry for Connection<K> {
    type Key = K;

    #[inline]
    fn key(&self, direction: Direction) -> Option<&K> {
        match direction {
            Direction::Original => Some(&self.original),
            Direction::Reply => (!self.method.input_only()).then_some(&self.reply),
        }
    }
}

/// What the keys' own methods share under the trait's names.
macro_rules! delegate {
    ($key:ident, $addr:ty, $table:ident) => {
        type Addr = $addr;

        #[inline]
        fn new(src: $addr, dst: $addr, sport: u16, dport: u16, protocol: u8) -> Self {
            $key::new(src, dst, sport, dport, protocol)
        }

        #[inline]
        fn src(&self) -> $addr {
            $key::src(self)
        }

        #[inline]
        fn dst(&self) -> $addr {
            $key::dst(self)
        }

        #[inline]
        fn sport(&self) -> u16 {
            $key::sport(self)
        }

        #[inline]
        fn dport(&self) -> u16 {
            $key::dport(self)
        }

        #[inline]
        fn protocol_number(&self) -> u8 {
            $key::protocol(self)
        }

        #[inline]
        fn reversed(&self) -> Self {
            $key::reversed(self)
        }

        #[inline]
        fn table(tables: &Tables) -> &ConnTable<Connection<Self>> {
            &tables.$table
        }

        #[inline]
        fn table_mut(tables: &mut Tables) -> &mut ConnTable<Connection<Self>> {
            &mut tables.$table
        }
    };
}

impl FlowKey for Key4 {
    const FAMILY: Family = Family::V4;
    delegate!(Key4, Ipv4Addr, v4);

    #[inline]
    fn of(frame: &[u8], info: &PacketInfo) -> Self {
        let l3 = usize::from(info.l3);
        Key4::new(
            bytes::<4>(frame, l3 + 12).into(),
            bytes::<4>(frame, l3 + 16).into(),
            info.sport,
            info.dport,
            info.protocol,
        )
    }

    fn addr(addr: IpAddr) -> Option<Ipv4Addr> {
        match addr {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        }
    }
}

impl FlowKey for Key6 {
    const FAMILY: Family = Family::V6;
    delegate!(Key6, Ipv6Addr, v6);

    #[inline]
    fn of(frame: &[u8], info: &PacketInfo) -> Self {
        let l3 = usize::from(info.l3);
        Key6::new(
            bytes::<16>(frame, l3 + 8).into(),
            bytes::<16>(frame, l3 + 24).into(),
            info.sport,
            info.dport,
            info.protocol,
        )
    }

    fn addr(addr: IpAddr) -> Option<Ipv6Addr> {
        match addr {
            IpAddr::V4(_) => None,
            IpAddr::V6(addr) => Some(addr),
        }
    }
}

/// `N` bytes of a frame; zeros where it is shorter, which what was parsed never is.
#[inline]
fn bytes<const N: usize>(frame: &[u8], at: usize) -> [u8; N] {
    frame.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_the_tables_own_bytes_fill_one_and_two_lines() {
        assert!(size_of::<Connection<Key4>>() <= 52, "{}", size_of::<Connection<Key4>>());
        assert!(size_of::<Connection<Key6>>() <= 116, "{}", size_of::<Connection<Key6>>());
    }

    #[test]
    fn only_what_passes_in_both_directions_is_indexed_in_both() {
        for method in [Method::Masquerade, Method::Fullnat, Method::Tunnel, Method::DirectRouting] {
            let conn = Connection::<Key4> { method, ..Connection::default() };
            assert!(conn.key(Direction::Original).is_some());
            assert_eq!(conn.key(Direction::Reply).is_some(), !method.input_only(), "{method:?}");
        }
    }
}
