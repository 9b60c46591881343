//! How long connections may be idle: one value for every state of every protocol [ip_vs_proto_data.timeout_table].
//!
//! They start as the kernel's. Three of them are those of `ipvsadm --set`. A change applies to a connection from its next
//! packet on.

use crate::protocol::{gre, sctp, tcp, udp};
use crate::{Protocol, State};

/// Idle timeouts in milliseconds, by protocol and state; the names of states are [`Protocol::states`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    tcp: [u64; tcp::TcpState::ALL.len()],
    udp: [u64; 1],
    sctp: [u64; sctp::SctpState::ALL.len()],
    gre: [u64; 1],
}

impl Default for Timeouts {
    /// The kernel's: 900 seconds for established TCP and SCTP, 120 for FIN_WAIT, 300 for UDP, and so on.
    fn default() -> Self {
        Self { tcp: tcp::TIMEOUTS_MS, udp: udp::TIMEOUTS_MS, sctp: sctp::TIMEOUTS_MS, gre: gre::TIMEOUTS_MS }
    }
}

impl Timeouts {
    /// How long a connection in this state may be idle. A state that the protocol has not counts as its first.
    pub fn get(&self, protocol: Protocol, state: State) -> u64 {
        let row = self.row(protocol);
        row.get(usize::from(state.0)).or(row.first()).copied().unwrap_or(u64::MAX)
    }

    /// Changes one; a state that the protocol has not is left alone.
    pub fn set(&mut self, protocol: Protocol, state: State, timeout_ms: u64) {
        if let Some(slot) = self.row_mut(protocol).get_mut(usize::from(state.0)) {
            *slot = timeout_ms;
        }
    }

    /// What `ipvsadm --set` changes: TCP's ESTABLISHED and FIN_WAIT, and UDP; 0 leaves one as it is.
    pub fn set_common(&mut self, tcp_ms: u64, tcp_fin_ms: u64, udp_ms: u64) {
        let values = [tcp_ms, tcp_fin_ms, udp_ms];
        for ((protocol, state), timeout_ms) in COMMON.into_iter().zip(values) {
            if timeout_ms != 0 {
                self.set(protocol, state, timeout_ms);
            }
        }
    }

    /// The three of `ipvsadm --set`, in its order.
    pub fn common(&self) -> [u64; 3] {
        COMMON.map(|(protocol, state)| self.get(protocol, state))
    }

    /// AH and ESP keep the connection of their key exchange, which is UDP's.
    fn row(&self, protocol: Protocol) -> &[u64] {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Sctp => &self.sctp,
            Protocol::Gre => &self.gre,
            Protocol::Udp | Protocol::Ah | Protocol::Esp => &self.udp,
        }
    }

    fn row_mut(&mut self, protocol: Protocol) -> &mut [u64] {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Sctp => &mut self.sctp,
            Protocol::Gre => &mut self.gre,
            Protocol::Udp => &mut self.udp,
            Protocol::Ah | Protocol::Esp => &mut [],
        }
    }
}

const COMMON: [(Protocol, State); 3] = [
    (Protocol::Tcp, State(tcp::TcpState::Established as u8)),
    (Protocol::Tcp, State(tcp::TcpState::FinWait as u8)),
    (Protocol::Udp, udp::NORMAL),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_timeout_that_can_be_set_alone() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Gre] {
            for number in 0..protocol.states().len() as u8 {
                let mut timeouts = Timeouts::default();
                timeouts.set(protocol, State(number), 7);
                for other in 0..protocol.states().len() as u8 {
                    let want =
                        if other == number { 7 } else { Timeouts::default().get(protocol, State(other)) };
                    assert_eq!(timeouts.get(protocol, State(other)), want, "{protocol:?} {number} {other}");
                }
                assert!(Timeouts::default().get(protocol, State(number)) >= 2_000);
            }
        }
    }

    #[test]
    fn ipvsadm_sets_three_and_leaves_those_that_are_zero() {
        let mut timeouts = Timeouts::default();
        assert_eq!(timeouts.common(), [900_000, 120_000, 300_000]);
        timeouts.set_common(5_000, 0, 2_000);
        assert_eq!(timeouts.common(), [5_000, 120_000, 2_000]);
        timeouts.set_common(0, 3_000, 0);
        assert_eq!(timeouts.common(), [5_000, 3_000, 2_000]);
        assert_eq!(timeouts.get(Protocol::Esp, State::NONE), 2_000, "ESP keeps what its key exchange has");
    }

    #[test]
    fn states_that_are_not_there_change_nothing() {
        let mut timeouts = Timeouts::default();
        timeouts.set(Protocol::Tcp, State(11), 1);
        timeouts.set(Protocol::Ah, State(0), 1);
        assert_eq!(timeouts, Timeouts::default());
        assert_eq!(timeouts.get(Protocol::Sctp, State(99)), timeouts.get(Protocol::Sctp, State::NONE));
    }
}
