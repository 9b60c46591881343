//! Connections as the table stores them, one type for both families.
//!
//! A connection has two keys: what packets of the client carry, and what packets of its destination carry. Where the
//! director sees both directions (masquerade, FULLNAT) a packet of one direction is rewritten to the reverse of the
//! other direction's key, and so is what an ICMP error quotes: translation needs nothing else.
//!
//! Two kinds of keys are no packet's, and differ from every packet's by a flag: that of a template, and that of a
//! connection whose client's port is not known yet, which has port 0 for it.
//! Invariant: an IPv4 connection and the table's own 12 bytes fill one cache line, an IPv6 connection two.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use conntab::{ConnTable, Direction, Entry, Key, Key4, Key6};
use wire::onward::{self, Ends};
use wire::{Family, PacketInfo, protocol};

use crate::protocol::Ports;
use crate::side::SideIndex;
use crate::{ConnFlags, DestId, Method, Protocol, State};

/// Flag of the key of a template.
pub(crate) const TEMPLATE_KEY: u8 = 1;
/// Flag of the key of a connection whose client's port is not known yet.
const ANY_CLIENT_PORT_KEY: u8 = 2;
/// Flags of the key of a template for what an engine found, which has a hash of that for ports.
const CALL_KEY: u8 = TEMPLATE_KEY | 4;
/// Templates that are no good any more are shown with this port [ip_vs_check_template].
const INVALID_PORT: u16 = 0xffff;

/// What is indexed by a key of its own, and by no reply.
const NO_REPLIES: ConnFlags = ConnFlags::TEMPLATE.union(ConnFlags::NO_CLIENT_PORT);

/// A family's key, and where its connections are. Implemented by [`Key4`] and [`Key6`] only.
pub(crate) trait FlowKey: Key + Default {
    /// The family's addresses.
    type Addr: Copy + Eq + Into<IpAddr>;
    /// The family.
    const FAMILY: Family;

    /// A key of these endpoints; ports in host order.
    fn new(src: Self::Addr, dst: Self::Addr, sport: u16, dport: u16, protocol: u8) -> Self;
    /// The key of the connection that a packet can be of, read from the frame that `info` was parsed from: what it
    /// carries, but for AH and ESP, which follow another ([`Ports`]).
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
    /// What stands for a mark in place of a template's virtual address.
    fn of_mark(mark: u32) -> Self::Addr;
    /// The same key with these flags.
    fn flagged(&self, flags: u8) -> Self;

    /// The key of the connections that wait for a client of this address from whatever port.
    fn with_any_port(&self) -> Self {
        let key = Self::new(self.src(), self.dst(), 0, self.dport(), self.protocol_number());
        key.flagged(ANY_CLIENT_PORT_KEY)
    }

    /// The key of the template for a client, or network of clients, of a virtual address and port.
    fn of_template(client: Self::Addr, virtual_addr: Self::Addr, port: u16, protocol: u8) -> Self {
        Self::new(client, virtual_addr, 0, port, protocol).flagged(TEMPLATE_KEY)
    }

    /// The key of a template that is `key`'s and besides for something whose hash this is.
    fn of_call(key: &Self, hash: u32) -> Self {
        let ports = ((hash >> 16) as u16, hash as u16);
        Self::new(key.src(), key.dst(), ports.0, ports.1, key.protocol_number()).flagged(CALL_KEY)
    }

    /// Sends a plain packet on with these ends; `false`, and the packet as it was, if it is not plain ([`onward`]).
    fn send_on(&self, frame: &mut [u8], info: &PacketInfo) -> bool;

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
    /// What the destination's packets carry: destination to client, or to the local address (FULLNAT). Where nothing is
    /// translated it is not indexed and only remembers the destination, whose address is zero if it is of the other family or
    /// there is none.
    pub(crate) reply: K,
    /// The destination that the connection is bound to for its life, or [`DestId::UNKNOWN`].
    pub(crate) dest: DestId,
    /// Packets from the client.
    pub(crate) in_pkts: u32,
    /// Packets to the client.
    pub(crate) out_pkts: u32,
    /// What few connections have besides.
    pub(crate) side: SideIndex,
    /// What it is besides its state.
    pub(crate) flags: ConnFlags,
    /// What the protocol has seen; of a template whether it is assured.
    pub(crate) state: State,
    /// How packets reach the destination: as the destination was configured when the connection was made.
    pub(crate) method: Method,
}

impl<K: FlowKey> Connection<K> {
    /// A connection as it is before its first packet, to be found by its keys.
    pub(crate) fn new(original: K, reply: K, dest: DestId, method: Method) -> Self {
        let flags = ConnFlags::HASHED | ConnFlags::INACTIVE;
        let flags = flags.with(ConnFlags::NO_OUTPUT, method.input_only());
        Self { original, reply, dest, method, flags, ..Self::default() }
    }

    /// The protocol; keys are only ever made of one that can be balanced, but for a template of a mark.
    pub(crate) fn protocol(&self) -> Protocol {
        Protocol::from_number(self.original.protocol_number()).unwrap_or(Protocol::Tcp)
    }

    /// Whether the connection counts as active on its destination.
    pub(crate) fn is_active(&self) -> bool {
        !self.flags.has(ConnFlags::INACTIVE)
    }

    /// Whether both directions pass here under the director's translation, packet by packet: only then a helper can do anything.
    pub(crate) fn may_have_helper(&self) -> bool {
        let translated = matches!(self.method, Method::Masquerade | Method::Fullnat);
        translated && !self.flags.any(ConnFlags::TEMPLATE.union(ConnFlags::ONE_PACKET))
    }

    /// Whether the destination sees a local address instead of the client's.
    pub(crate) fn is_fullnat(&self) -> bool {
        self.method == Method::Fullnat
    }

    /// Whether this is a template.
    pub(crate) fn is_template(&self) -> bool {
        self.flags.has(ConnFlags::TEMPLATE)
    }

    /// Whether only the client's packets have been seen, as is to be expected [IP_VS_CONN_F_NOOUTPUT].
    pub(crate) fn input_only(&self) -> bool {
        self.flags.has(ConnFlags::NO_OUTPUT)
    }

    /// What a packet of `direction` is rewritten to carry, where both directions pass.
    pub(crate) fn translated(&self, direction: Direction) -> K {
        match direction {
            Direction::Original => self.reply.reversed(),
            Direction::Reply => self.original.reversed(),
        }
    }

    /// Whether the client's packets come from port 0, although the protocol has ports. Each of them is the first of another
    /// connection, as in Linux, where port 0 stands for one that is not known yet; replies are found all the same.
    fn has_no_port(&self) -> bool {
        let has_ports =
            matches!(self.original.protocol_number(), protocol::TCP | protocol::UDP | protocol::SCTP);
        self.original.sport() == 0 && has_ports && !self.flags.any(NO_REPLIES)
    }

    /// The same, found by no packet any more.
    pub(crate) fn unhashed(self) -> Self {
        Self { flags: self.flags.with(ConnFlags::HASHED, false), ..self }
    }

    /// The same template, no good any more [ip_vs_check_template].
    pub(crate) fn invalidated(self) -> Self {
        let (original, reply) = (self.original, self.reply);
        let protocol = original.protocol_number();
        Self {
            original: K::of_template(original.src(), original.dst(), INVALID_PORT, protocol),
            reply: K::new(reply.src(), reply.dst(), INVALID_PORT, 0, protocol),
            ..self.unhashed()
        }
    }

    /// The same connection, whose client turned out to use `port` [ip_vs_conn_fill_cport].
    pub(crate) fn with_client_port(self, port: u16) -> Self {
        let (original, reply) = (self.original, self.reply);
        let protocol = original.protocol_number();
        let reply = match self.method {
            // The destination sees the local port.
            Method::Fullnat => reply,
            _ => K::new(reply.src(), reply.dst(), reply.sport(), port, protocol),
        };
        Self {
            original: K::new(original.src(), original.dst(), port, original.dport(), protocol),
            reply,
            flags: self.flags.with(ConnFlags::NO_CLIENT_PORT, false),
            ..self
        }
    }
}

impl<K: FlowKey> Default for Connection<K> {
    fn default() -> Self {
        Self {
            original: K::default(),
            reply: K::default(),
            dest: DestId::UNKNOWN,
            in_pkts: 0,
            out_pkts: 0,
            side: SideIndex::NONE,
            flags: ConnFlags::empty(),
            state: State::NONE,
            method: Method::Masquerade,
        }
    }
}

impl<K: FlowKey> Entry for Connection<K> {
    type Key = K;

    #[inline]
    fn key(&self, direction: Direction) -> Option<&K> {
        let hashed = self.flags.has(ConnFlags::HASHED);
        match direction {
            Direction::Original => {
                let unfound = self.has_no_port() || self.flags.has(ConnFlags::REPLIES_ONLY);
                (hashed && !unfound).then_some(&self.original)
            }
            Direction::Reply => {
                let replies = hashed && !self.flags.any(NO_REPLIES) && self.method.translates();
                replies.then_some(&self.reply)
            }
        }
    }
}

/// What the keys' own methods share under the trait's names.
macro_rules! delegate {
    ($key:ident, $addr:ty, $table:ident, $onward:path) => {
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
        fn flagged(&self, flags: u8) -> Self {
            self.with_flags(flags)
        }

        #[inline]
        fn send_on(&self, frame: &mut [u8], info: &PacketInfo) -> bool {
            let (sport, dport) = (self.sport(), self.dport());
            $onward(frame, info, &Ends { src: self.src(), dst: self.dst(), sport, dport })
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
    delegate!(Key4, Ipv4Addr, v4, onward::v4);

    #[inline]
    fn of(frame: &[u8], info: &PacketInfo) -> Self {
        let l3 = usize::from(info.l3);
        let Ports { protocol, sport, dport } = Ports::of(info);
        let (src, dst) = (bytes::<4>(frame, l3 + 12).into(), bytes::<4>(frame, l3 + 16).into());
        Key4::new(src, dst, sport, dport, protocol)
    }

    fn of_mark(mark: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(mark)
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
    delegate!(Key6, Ipv6Addr, v6, onward::v6);

    #[inline]
    fn of(frame: &[u8], info: &PacketInfo) -> Self {
        let l3 = usize::from(info.l3);
        let Ports { protocol, sport, dport } = Ports::of(info);
        let (src, dst) = (bytes::<16>(frame, l3 + 8).into(), bytes::<16>(frame, l3 + 24).into());
        Key6::new(src, dst, sport, dport, protocol)
    }

    fn of_mark(mark: u32) -> Ipv6Addr {
        // The first of its four words, as the kernel has it.
        Ipv6Addr::from_bits(u128::from(mark) << 96)
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

    fn conn(method: Method) -> Connection<Key4> {
        let [client, vip, server] = [[198, 51, 100, 1], [192, 0, 2, 100], [10, 0, 2, 11]].map(Ipv4Addr::from);
        let original = Key4::new(client, vip, 40_000, 80, 6);
        Connection::new(original, Key4::new(server, client, 8080, 40_000, 6), DestId(1), method)
    }

    #[test]
    fn only_what_passes_in_both_directions_is_indexed_in_both() {
        use Method::{Bypass, DirectRouting, Fullnat, LocalNode, Masquerade, Tunnel};
        for method in [Masquerade, Fullnat, Tunnel, DirectRouting, LocalNode, Bypass] {
            let conn = conn(method);
            assert!(conn.key(Direction::Original).is_some());
            assert_eq!(conn.key(Direction::Reply).is_some(), method.translates(), "{method:?}");
            assert_eq!(conn.input_only(), method.input_only(), "{method:?}");
            assert!(Direction::BOTH.iter().all(|&direction| conn.unhashed().key(direction).is_none()));
        }
    }

    #[test]
    fn keys_that_are_no_packets_are_equal_to_none() {
        let conn = conn(Method::Masquerade);
        let original = conn.original;
        let from_0 = Key4::new(original.src(), original.dst(), 0, 80, 6);
        let template = Key4::of_template(original.src(), original.dst(), 80, 6);
        assert_eq!((template.sport(), template.dport()), (0, 80));
        assert!(template != from_0 && original.with_any_port() != from_0);
        assert_ne!(original.with_any_port(), template);
    }

    #[test]
    fn a_port_that_is_filled_in_later_gives_the_keys_of_that_port() {
        for method in [Method::Masquerade, Method::Fullnat] {
            let known = conn(method);
            let mut reply = known.reply;
            if method == Method::Masquerade {
                reply = Key4::new(reply.src(), reply.dst(), reply.sport(), 0, 6);
            }
            let waiting = Connection {
                original: known.original.with_any_port(),
                reply,
                flags: known.flags | ConnFlags::NO_CLIENT_PORT,
                ..known
            };
            assert!(waiting.key(Direction::Reply).is_none(), "nobody to reply to");
            let filled = waiting.with_client_port(40_000);
            assert_eq!((filled.original, filled.reply), (known.original, known.reply), "{method:?}");
            assert_eq!(filled.flags, known.flags, "{method:?}");
        }
    }

    #[test]
    fn an_invalid_template_is_found_no_more_and_shows_it() {
        let conn = conn(Method::Masquerade);
        let (client, vip) = (conn.original.src(), conn.original.dst());
        let template = Connection {
            original: Key4::of_template(client, vip, 80, 6),
            flags: conn.flags | ConnFlags::TEMPLATE,
            ..conn
        };
        assert!(template.key(Direction::Original).is_some() && template.key(Direction::Reply).is_none());
        let invalid = template.invalidated();
        assert!(invalid.key(Direction::Original).is_none() && invalid.is_template());
        assert_eq!((invalid.original.dport(), invalid.reply.sport()), (0xffff, 0xffff));
        assert_eq!((invalid.original.src(), invalid.reply.dst()), (client, client));
    }
}
