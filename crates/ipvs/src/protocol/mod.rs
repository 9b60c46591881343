//! Protocols that can be balanced, and what a packet does to the state of its connection [ip_vs_protocol].
//!
//! A connection keeps a [`State`], which means something only together with its [`Protocol`]. After each packet:
//! `state = protocol.transition(...)`, then the timer is set to `protocol.timeout_ms(state, ...)`. Whether the
//! connection counts as active follows from the state alone; new connections count as inactive until their first
//! transition [IP_VS_CONN_F_INACTIVE].

pub mod tcp;
pub mod udp;

use crate::Timeouts;

/// An upper-layer protocol that services can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP (RFC 9293).
    Tcp,
    /// UDP (RFC 768).
    Udp,
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

/// How long a connection lives that has seen no transition yet, in milliseconds.
pub const NEW_TIMEOUT_MS: u64 = 3_000;

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// IANA protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The protocol of this IANA number, if it can be balanced.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }

    /// Name in capitals, as listings show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// The state after a packet with these TCP flags (0 for other protocols) [ip_vs_set_state].
    pub fn transition(self, state: State, direction: Direction, tcp_flags: u8) -> State {
        match self {
            Self::Tcp => tcp::transition(state.into(), direction, tcp_flags).into(),
            Self::Udp => udp::NORMAL,
        }
    }

    /// Whether a connection that went from one state to another by a packet of this direction shows that its client means
    /// it, so that a template that controls it is kept when memory is short [ip_vs_control_assure_ct].
    pub fn assures(self, before: State, after: State, direction: conntab::Direction) -> bool {
        match self {
            Self::Tcp => before != after && after == tcp::TcpState::Established.into(),
            Self::Udp => direction == conntab::Direction::Reply,
        }
    }

    /// How long a connection in this state may be idle, in milliseconds.
    pub fn timeout_ms(self, state: State, timeouts: &Timeouts) -> u64 {
        match self {
            Self::Tcp => tcp::timeout_ms(state.into(), timeouts),
            Self::Udp => timeouts.udp_ms,
        }
    }

    /// Whether a connection in this state counts as active.
    pub fn is_active(self, state: State) -> bool {
        match self {
            Self::Tcp => tcp::is_active(state.into()),
            Self::Udp => false,
        }
    }

    /// The state's name, as listings show it.
    pub fn state_name(self, state: State) -> &'static str {
        match self {
            Self::Tcp => tcp::TcpState::from(state).name(),
            Self::Udp => udp::NAME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_protocols_both_ways() {
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::from_number(protocol.number()), Some(protocol));
        }
        assert_eq!(Protocol::from_number(132), None);
    }

    #[test]
    fn udp_has_one_state_that_never_counts_as_active() {
        let timeouts = Timeouts { udp_ms: 2_000, ..Timeouts::default() };
        for direction in [Direction::Input, Direction::Output, Direction::InputOnly] {
            let state = Protocol::Udp.transition(State::NONE, direction, 0);
            assert_eq!(Protocol::Udp.state_name(state), "UDP");
            assert_eq!(Protocol::Udp.timeout_ms(state, &timeouts), 2_000);
            assert!(!Protocol::Udp.is_active(state));
        }
    }

    #[test]
    fn the_default_udp_timeout_is_five_minutes() {
        assert_eq!(Protocol::Udp.timeout_ms(udp::NORMAL, &Timeouts::default()), 300_000);
    }
}
