//! SCTP's states, as a director sees them that may know only one direction [ip_vs_proto_sctp].
//!
//! The first chunk of a packet moves the association, or an ABORT behind a cookie ([`wire::sctp::Lead`]); chunks that are
//! none of the handshake's or the shutdown's count as data, which changes nothing. The rules are those of recorded Linux
//! connections (`testdata`), odd ones too; where no packet leads to a state, from the kernel's documentation.

use wire::sctp::{self, Lead};

use super::{Direction, State};

/// An association's state; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SctpState {
    /// Just made.
    None = 0,
    /// The client's first INIT.
    Init1 = 1,
    /// The client's later INIT.
    Init = 2,
    /// The destination's INIT ACK.
    CookieSent = 3,
    /// The client's cookie behind it.
    CookieReplied = 4,
    /// The destination's INIT, or the client's INIT ACK.
    CookieWait = 5,
    /// The client's INIT ACK behind it.
    Cookie = 6,
    /// The destination's cookie; or the client's INIT ACK, seen from its side only.
    CookieEchoed = 7,
    /// Data may flow.
    Established = 8,
    /// The destination shuts down.
    ShutdownSent = 9,
    /// The client shuts down.
    ShutdownReceived = 10,
    /// The destination agrees.
    ShutdownAckSent = 11,
    /// The destination refused.
    Rejected = 12,
    /// Over.
    Closed = 13,
}

use SctpState::{
    Closed, Cookie, CookieEchoed, CookieReplied, CookieSent, CookieWait, Established, Init, Init1,
    None as New, Rejected, ShutdownAckSent, ShutdownReceived, ShutdownSent,
};

impl SctpState {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        New,
        Init1,
        Init,
        CookieSent,
        CookieReplied,
        CookieWait,
        Cookie,
        CookieEchoed,
        Established,
        ShutdownSent,
        ShutdownReceived,
        ShutdownAckSent,
        Rejected,
        Closed,
    ];

    /// Names in listings, by number.
    pub const NAMES: [&str; 14] = [
        "NONE",
        "INIT1",
        "INIT",
        "C-SENT",
        "C-REPLIED",
        "C-WAIT",
        "COOKIE",
        "C-ECHOED",
        "ESTABLISHED",
        "S-SENT",
        "S-RECEIVED",
        "S-ACK-SENT",
        "REJECTED",
        "CLOSED",
    ];

    /// Whether the handshake is not over yet.
    fn opening(self) -> bool {
        self < Established
    }
}

impl From<SctpState> for State {
    fn from(state: SctpState) -> Self {
        Self(state as u8)
    }
}

impl From<State> for SctpState {
    /// A number that is no SCTP state reads as NONE.
    fn from(state: State) -> Self {
        Self::ALL.get(usize::from(state.0)).copied().unwrap_or(New)
    }
}

/// Idle timeouts in milliseconds, by state [sctp_timeouts]: those of retransmission, a little longer.
pub const TIMEOUTS_MS: [u64; 14] = {
    let mut timeouts = [61_000; 14];
    timeouts[New as usize] = 2_000;
    timeouts[Init1 as usize] = 4_000;
    timeouts[Rejected as usize] = 4_000;
    timeouts[Established as usize] = 900_000;
    timeouts
};

/// The state after a packet that starts with these chunks [set_sctp_state]; one without chunks changes nothing.
pub fn transition(state: SctpState, direction: Direction, lead: Option<Lead>) -> SctpState {
    let Some(chunk) = lead.map(Lead::kind) else { return state };
    match direction {
        Direction::Input => from_client(state, chunk),
        Direction::Output => from_destination(state, chunk),
        Direction::InputOnly => from_client_alone(state, chunk).unwrap_or_else(|| from_client(state, chunk)),
    }
}

/// What the client sends.
fn from_client(state: SctpState, chunk: u8) -> SctpState {
    match (chunk, state) {
        (sctp::INIT, New) => Init1,
        (sctp::INIT, Init1 | Rejected | Closed) => Init,
        (sctp::INIT_ACK, New | Init1 | Init) => CookieWait,
        (sctp::INIT_ACK, CookieWait) => Cookie,
        (sctp::COOKIE_ECHO, New | CookieSent) => CookieReplied,
        (sctp::COOKIE_ECHO | sctp::SHUTDOWN_ACK, Init1) => Init,
        (sctp::COOKIE_ACK, New | CookieEchoed) => Established,
        (sctp::SHUTDOWN, New | Established) => ShutdownReceived,
        (sctp::SHUTDOWN_ACK, New | ShutdownSent | ShutdownAckSent) => Closed,
        (sctp::SHUTDOWN_COMPLETE, New | Init1 | Init | ShutdownAckSent) => Closed,
        (sctp::ERROR, New | CookieEchoed) => Closed,
        (sctp::ABORT, CookieWait) => Rejected,
        (sctp::ABORT, _) => Closed,
        (_, New) => Established,
        (_, state) => state,
    }
}

/// Where the client's packets mean more because nothing is seen of what they answer.
fn from_client_alone(state: SctpState, chunk: u8) -> Option<SctpState> {
    Some(match (chunk, state) {
        (sctp::INIT, CookieSent | CookieReplied | CookieWait) => Init,
        (sctp::INIT_ACK, New | Init1 | Init | CookieSent | CookieReplied | CookieWait) => CookieEchoed,
        (sctp::COOKIE_ECHO, New | Init1 | Init | CookieSent | CookieReplied) => Established,
        (sctp::COOKIE_ACK, CookieSent | CookieReplied | Cookie) => Established,
        (sctp::SHUTDOWN_ACK, Established) => Closed,
        (sctp::SHUTDOWN_COMPLETE, CookieSent | CookieReplied | ShutdownReceived) => Closed,
        (sctp::ERROR, CookieEchoed) => CookieEchoed,
        _ => return None,
    })
}

/// What the destination sends.
fn from_destination(state: SctpState, chunk: u8) -> SctpState {
    match (chunk, state) {
        (sctp::INIT, Established) => Established,
        (sctp::INIT, _) => CookieWait,
        (sctp::INIT_ACK, New | Init1 | Init) => CookieSent,
        (sctp::COOKIE_ECHO, state) if state.opening() => CookieEchoed,
        (sctp::COOKIE_ACK, state) if state.opening() => Established,
        (sctp::SHUTDOWN, state) if state <= Established => ShutdownSent,
        (sctp::SHUTDOWN_ACK, New | Init1 | Init | CookieSent | CookieReplied) => ShutdownAckSent,
        (sctp::SHUTDOWN_ACK, ShutdownSent | ShutdownReceived) => ShutdownAckSent,
        (sctp::SHUTDOWN_COMPLETE, New) => Closed,
        (sctp::ERROR, New | Init1 | Init | CookieSent | CookieReplied) => Closed,
        (sctp::ABORT, Init1) => Rejected,
        (sctp::ABORT, _) => Closed,
        (_, New) => Established,
        (_, state) => state,
    }
}

/// Whether a connection in this state counts as active [ip_vs_proto_sctp].
pub fn is_active(state: SctpState) -> bool {
    state == Established
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded rows `TABLE state side:chunk : before seconds -> after seconds`; seconds are left over, rounded down.
    const RECORDED: [(&str, Direction, &str); 3] = [
        ("nat", Direction::Input, include_str!("testdata/sctp_states_nat.txt")),
        ("dr", Direction::InputOnly, include_str!("testdata/sctp_states_dr.txt")),
        ("tun", Direction::InputOnly, include_str!("testdata/sctp_states_tun.txt")),
    ];

    fn state(name: &str) -> SctpState {
        let number = SctpState::NAMES.iter().position(|&n| n == name);
        SctpState::ALL[number.unwrap_or_else(|| panic!("state {name}"))]
    }

    fn chunk(first: u8) -> Option<Lead> {
        Some(Lead { first, aborts: false })
    }

    #[test]
    fn every_recorded_transition_and_timeout() {
        for (name, from_client, text) in RECORDED {
            let mut rows = 0;
            for line in text.lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                let ["TABLE", _, packet, ":", before, _, "->", after, seconds] = words[..] else {
                    panic!("{name}: {line}")
                };
                let (side, number) = packet.split_once(':').expect("side:chunk");
                let direction = if side == "c" { from_client } else { Direction::Output };
                let got = transition(state(before), direction, chunk(number.parse().unwrap()));
                assert_eq!(got, state(after), "{name}: {line}");
                let left = TIMEOUTS_MS[got as usize] / 1000 - seconds.parse::<u64>().unwrap();
                assert!(left <= 3, "{name}: {line}: {left}");
                rows += 1;
            }
            assert!(rows >= 100, "{name}: only {rows} rows");
        }
    }

    #[test]
    fn a_packet_without_chunks_changes_nothing_and_an_abort_behind_a_cookie_ends() {
        for state in SctpState::ALL {
            for direction in [Direction::Input, Direction::Output, Direction::InputOnly] {
                assert_eq!(transition(state, direction, None), state);
                let abort = transition(state, direction, chunk(sctp::ABORT));
                let cookie = Some(Lead { first: sctp::COOKIE_ECHO, aborts: true });
                assert_eq!(transition(state, direction, cookie), abort);
                assert!([Closed, Rejected].contains(&abort));
            }
        }
    }

    #[test]
    fn numbers_are_the_kernels_and_unknown_ones_read_as_none() {
        for (number, state) in SctpState::ALL.into_iter().enumerate() {
            assert_eq!(State::from(state), State(number as u8));
            assert_eq!(SctpState::from(State(number as u8)), state);
        }
        assert_eq!(SctpState::from(State(14)), New);
        assert_eq!(u16::from(State::from(Closed).0), wire::sync::state::SCTP_CLOSED);
        assert_eq!(u16::from(State::from(CookieEchoed).0), wire::sync::state::SCTP_COOKIE_ECHOED);
    }
}
