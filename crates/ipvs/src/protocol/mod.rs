//! Protocols that can be balanced, and what a packet does to the state of its connection [ip_vs_protocol].
//!
//! A connection keeps a [`State`], which means something only together with its [`Protocol`]. After each packet:
//! `state = protocol.transition(...)`, then the timer is set to `protocol.timeout_ms(state, ...)`. Whether the
//! connection counts as active follows from the state alone; new connections count as inactive until their first
//! transition [IP_VS_CONN_F_INACTIVE].

pub(crate) mod ah;
pub mod esp;
pub mod gre;
pub mod sctp;
pub mod tcp;
pub mod udp;

use wire::PacketInfo;

use crate::Timeouts;

/// An upper-layer protocol that the director deals with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// SCTP (RFC 9260).
    Sctp,
    /// AH (RFC 4302): follows the connection of its key exchange.
    Ah,
    /// ESP (RFC 4303): follows the connection of its key exchange.
    Esp,
    /// GRE of PPTP (RFC 2637): follows the control connection.
    Gre,
}

/// A connection's state: numbers are the kernel's, as sync messages carry them, per protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State(pub u8);

impl State {
    /// Before the first transition.
    pub const NONE: Self = Self(0);
}

/// Which way a packet goes through a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client, where the director sees replies as well.
    Input,
    /// From the destination.
    Output,
    /// From the client, where replies do not pass the director.
    InputOnly,
}

impl Direction {
    /// The direction of a client's packet on a connection; `input_only` if the director has seen no reply and expects none.
    pub fn from_client(input_only: bool) -> Self {
        if input_only { Self::InputOnly } else { Self::Input }
    }
}

/// What tells a packet's connection besides its addresses: the upper-layer protocol and the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// IANA number of the connection's protocol.
    pub(crate) protocol: u8,
    /// Port at the sender.
    pub(crate) sport: u16,
    /// Port at the receiver.
    pub(crate) dport: u16,
}

impl Ports {
    /// Those of a packet: its own, but AH and ESP belong to the connection of their key exchange [ah_esp_conn_fill_param].
    #[inline]
    pub(crate) fn of(info: &PacketInfo) -> Self {
        match info.protocol {
            wire::protocol::AH | wire::protocol::ESP => {
                Self { protocol: wire::protocol::UDP, sport: esp::IKE_PORT, dport: esp::IKE_PORT }
            }
            wire::protocol::GRE => {
                Self { protocol: info.protocol, sport: gre::SENDER, dport: info.call.unwrap_or(0) }
            }
            protocol => Self { protocol, sport: info.sport, dport: info.dport },
        }
    }
}

/// Whether a connection looks as if nobody would come back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It is half open.
    Yes,
    /// If it has long been idle, and few packets have come.
    Perhaps,
    /// It is closing, or will end soon by itself.
    No,
}

/// How long a connection lives that has seen no transition yet, in milliseconds.
pub const NEW_TIMEOUT_MS: u64 = 3_000;

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 6] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Ah, Self::Esp, Self::Gre];

    /// Those that services have. The others follow connections of these.
    pub const BALANCED: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// IANA protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => wire::protocol::TCP,
            Self::Udp => wire::protocol::UDP,
            Self::Sctp => wire::protocol::SCTP,
            Self::Ah => wire::protocol::AH,
            Self::Esp => wire::protocol::ESP,
            Self::Gre => wire::protocol::GRE,
        }
    }

    /// The protocol of this IANA number, if the director deals with it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }

    /// What a packet is of, if the director deals with it.
    pub fn of(info: &PacketInfo) -> Option<Self> {
        match Self::from_number(info.protocol) {
            Some(Self::Ah) if !ah::follows(info) => None,
            Some(Self::Gre) if info.call.is_none() => None,
            protocol => protocol,
        }
    }

    /// Name in capitals, as listings show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Ah => "AH",
            Self::Esp => "ESP",
            Self::Gre => "GRE",
        }
    }

    /// Whether a fragment says all that tells its connection, so that it need not be gathered [dont_defrag].
    pub fn goes_by_address(self) -> bool {
        match self {
            Self::Tcp | Self::Udp | Self::Sctp | Self::Gre => false,
            Self::Ah | Self::Esp => true,
        }
    }

    /// The state of a connection after this packet [ip_vs_set_state]; `secure` is whether `secure_tcp` is in force.
    pub fn transition(self, state: State, direction: Direction, packet: &PacketInfo, secure: bool) -> State {
        match self {
            Self::Tcp => tcp::transition(state.into(), direction, packet.tcp_flags, secure).into(),
            Self::Sctp => sctp::transition(state.into(), direction, packet.sctp).into(),
            Self::Udp => udp::NORMAL,
            Self::Gre => gre::NORMAL,
            Self::Ah | Self::Esp => state,
        }
    }

    /// Whether a connection that went from one state to another by a packet of this direction shows that its client means
    /// it, so that a template that controls it is kept when memory is short [ip_vs_control_assure_ct].
    pub fn assures(self, before: State, after: State, direction: conntab::Direction) -> bool {
        match self {
            Self::Tcp => before != after && after == tcp::TcpState::Established.into(),
            Self::Sctp => before != after && after == sctp::SctpState::Established.into(),
            Self::Udp => direction == conntab::Direction::Reply,
            Self::Ah | Self::Esp | Self::Gre => false,
        }
    }

    /// How long a connection in this state may be idle, in milliseconds.
    pub fn timeout_ms(self, state: State, timeouts: &Timeouts) -> u64 {
        timeouts.get(self, state)
    }

    /// Whether a connection in this state counts as active.
    pub fn is_active(self, state: State) -> bool {
        match self {
            Self::Tcp => tcp::is_active(state.into()),
            Self::Sctp => sctp::is_active(state.into()),
            Self::Udp | Self::Ah | Self::Esp | Self::Gre => false,
        }
    }

    /// Whether a connection in this state may go when room is needed [ip_vs_random_dropentry].
    pub fn abandoned(self, state: State) -> Abandoned {
        use sctp::SctpState;
        use tcp::TcpState;
        match self {
            Self::Tcp => match TcpState::from(state) {
                TcpState::SynRecv | TcpState::SynAck => Abandoned::Yes,
                TcpState::Established => Abandoned::Perhaps,
                _ => Abandoned::No,
            },
            Self::Sctp => match SctpState::from(state) {
                SctpState::Init1 | SctpState::Init => Abandoned::Yes,
                SctpState::Established => Abandoned::Perhaps,
                _ => Abandoned::No,
            },
            Self::Udp | Self::Ah | Self::Esp | Self::Gre => Abandoned::Perhaps,
        }
    }

    /// Names of the states, by number, as listings show them and as their timeouts are set.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Self::Tcp => &tcp::TcpState::NAMES,
            Self::Udp => &udp::NAMES,
            Self::Gre => &gre::NAMES,
            Self::Sctp => &sctp::SctpState::NAMES,
            Self::Ah | Self::Esp => &[],
        }
    }

    /// The state's name, as listings show it; what is none of this protocol's is shown as the kernel shows it.
    pub fn state_name(self, state: State) -> &'static str {
        self.states().get(usize::from(state.0)).copied().unwrap_or("ERR!")
    }

    /// The state of this name.
    pub fn state(self, name: &str) -> Option<State> {
        self.states().iter().position(|&state| state == name).map(|number| State(number as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::testing::{Frame, info};

    #[test]
    fn numbers_name_protocols_both_ways() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_number(protocol.number()), Some(protocol));
        }
        assert_eq!(Protocol::from_number(1), None);
    }

    #[test]
    fn names_name_states_both_ways() {
        for protocol in Protocol::ALL {
            for (number, name) in protocol.states().iter().enumerate() {
                assert_eq!(protocol.state(name), Some(State(number as u8)));
                assert_eq!(protocol.state_name(State(number as u8)), *name);
            }
            assert_eq!(protocol.state_name(State(99)), "ERR!");
        }
        assert_eq!(Protocol::Udp.state("ESTABLISHED"), None);
    }

    #[test]
    fn states_are_as_many_as_sync_messages_know() {
        for protocol in Protocol::BALANCED {
            assert_eq!(wire::sync::state::count(protocol.number()), Some(protocol.states().len() as u16));
        }
    }

    #[test]
    fn udp_has_one_state_that_never_counts_as_active() {
        let packet = info(&Frame::v4("198.51.100.1", "192.0.2.100").udp(1, 2).build());
        let timeouts = Timeouts::default();
        for direction in [Direction::Input, Direction::Output, Direction::InputOnly] {
            let state = Protocol::Udp.transition(State::NONE, direction, &packet, true);
            assert_eq!(Protocol::Udp.state_name(state), "UDP");
            assert_eq!(Protocol::Udp.timeout_ms(state, &timeouts), 300_000);
            assert!(!Protocol::Udp.is_active(state));
        }
    }

    #[test]
    fn ah_and_esp_belong_to_the_connection_of_their_key_exchange() {
        let ike = Ports { protocol: 17, sport: 500, dport: 500 };
        let v4 = || Frame::v4("198.51.100.1", "192.0.2.100");
        let v6 = || Frame::v6("2001:db8:c::1", "2001:db8:1::100");
        for (name, frame, protocol, ports) in [
            ("ESP", v4().raw(50).payload(&[0; 8]).build(), Some(Protocol::Esp), ike),
            ("ESP, IPv6", v6().raw(50).payload(&[0; 8]).build(), Some(Protocol::Esp), ike),
            (
                "a fragment",
                v4().fragment(64, false).raw(50).payload(&[0; 8]).build(),
                Some(Protocol::Esp),
                ike,
            ),
            ("AH", v4().raw(51).payload(&[0; 24]).build(), Some(Protocol::Ah), ike),
            ("AH, IPv6, cut off", v6().raw(51).payload(&[6, 4, 0]).build(), None, ike),
            (
                "SCTP",
                v4().sctp(7, 9, 0).build(),
                Some(Protocol::Sctp),
                Ports { protocol: 132, sport: 7, dport: 9 },
            ),
        ] {
            let info = info(&frame);
            assert_eq!((Protocol::of(&info), Ports::of(&info)), (protocol, ports), "{name}");
        }
    }
}
