//! TCP's states, as a director sees them that may know only one direction [ip_vs_proto_tcp].
//!
//! Three tables, one per [`Direction`]. A packet counts by the first of RST, SYN, FIN, ACK that it carries; one with
//! none of them closes the connection. The tables are those of recorded Linux connections (`testdata`); columns for
//! LAST_ACK and LISTEN, which need helpers to be reached, come from the kernel's documentation.
//!
//! Under `secure_tcp` a few cells are others ([`secured`]): a client alone can no more make a connection that lives
//! long, where the director sees the destination's answers.

use super::{Direction, State};

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A TCP connection's state; the numbers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Just made.
    None = 0,
    /// Data may flow.
    Established = 1,
    /// The destination opened it (active FTP).
    SynSent = 2,
    /// The client opened it.
    SynRecv = 3,
    /// The destination closes (seen from both sides), or the client does (seen from its side only).
    FinWait = 4,
    /// Both have closed.
    TimeWait = 5,
    /// Reset.
    Close = 6,
    /// The client closes.
    CloseWait = 7,
    /// Waiting for the last acknowledgement.
    LastAck = 8,
    /// Expected by a helper.
    Listen = 9,
    /// Half open under `secure_tcp`: the destination has answered the SYN, or its answers do not pass here.
    SynAck = 10,
}

impl TcpState {
    /// Every state, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::SynAck,
    ];

    /// Names in listings, by number.
    pub const NAMES: [&str; 11] = [
        "NONE",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "SYNACK",
    ];

    /// Name in listings.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl From<TcpState> for State {
    fn from(state: TcpState) -> Self {
        Self(state as u8)
    }
}

impl From<State> for TcpState {
    /// A number that is no TCP state reads as NONE.
    fn from(state: State) -> Self {
        Self::ALL.get(usize::from(state.0)).copied().unwrap_or(Self::None)
    }
}

/// One table: for SYN, FIN, ACK, RST the new state by old state.
type Table = [[TcpState; 11]; 4];

const SYN_ROW: usize = 0;
const FIN_ROW: usize = 1;
const ACK_ROW: usize = 2;
const RST_ROW: usize = 3;

use TcpState::{
    Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI,
    SynRecv as SR, SynSent as SS, TimeWait as TW,
};

#[rustfmt::skip]
const INPUT: Table = [
    // NONE ES  SS  SR  FW  TW  CL  CW  LA  LI  SYNACK
    [  SR,  ES, ES, SR, SR, SR, SR, SR, SR, SR, SR ], // SYN
    [  CL,  CW, SS, TW, TW, TW, CL, CW, LA, LI, TW ], // FIN
    [  ES,  ES, SS, ES, FW, TW, CL, CW, CL, LI, ES ], // ACK
    [  CL,  CL, CL, SR, CL, CL, CL, CL, LA, LI, SR ], // RST
];

#[rustfmt::skip]
const OUTPUT: Table = [
    // NONE ES  SS  SR  FW  TW  CL  CW  LA  LI  SYNACK
    [  SS,  ES, SS, SR, SS, SS, SS, SS, SS, LI, SR ], // SYN
    [  TW,  FW, SS, TW, FW, TW, CL, TW, LA, LI, TW ], // FIN
    [  ES,  ES, SS, ES, FW, TW, CL, CW, LA, ES, ES ], // ACK
    [  CL,  CL, SS, CL, CL, TW, CL, CL, CL, CL, CL ], // RST
];

#[rustfmt::skip]
const INPUT_ONLY: Table = [
    // NONE ES  SS  SR  FW  TW  CL  CW  LA  LI  SYNACK
    [  SR,  ES, ES, SR, SR, SR, SR, SR, SR, SR, SR ], // SYN
    [  CL,  FW, SS, TW, FW, TW, CL, CW, LA, LI, TW ], // FIN
    [  ES,  ES, SS, ES, FW, TW, CL, CW, CL, LI, ES ], // ACK
    [  CL,  CL, CL, SR, CL, CL, CL, CL, LA, LI, CL ], // RST
];

/// The state after a segment with these flags [set_tcp_state]; `secure` is whether `secure_tcp` is in force.
pub fn transition(state: TcpState, direction: Direction, flags: u8, secure: bool) -> TcpState {
    let row = match flags {
        f if f & RST != 0 => RST_ROW,
        f if f & SYN != 0 => SYN_ROW,
        f if f & FIN != 0 => FIN_ROW,
        f if f & ACK != 0 => ACK_ROW,
        _ => return TcpState::Close,
    };
    let table = match direction {
        Direction::Input => &INPUT,
        Direction::Output => &OUTPUT,
        Direction::InputOnly => &INPUT_ONLY,
    };
    let secured = if secure { secured(state, direction, row) } else { None };
    secured.unwrap_or(table[row][state as usize])
}

/// Where the table of `secure_tcp` has another state than the common one [tcp_states_dos].
fn secured(state: TcpState, direction: Direction, row: usize) -> Option<TcpState> {
    let half_open = TcpState::SynAck;
    match (direction, row, state) {
        // Only the destination's acknowledgement establishes a connection, not what the client says.
        (Direction::Input, ACK_ROW, TcpState::SynRecv) => Some(TcpState::SynRecv),
        (Direction::Input, SYN_ROW | FIN_ROW | ACK_ROW, TcpState::SynAck) => Some(half_open),
        (Direction::Input, RST_ROW, TcpState::SynAck) => Some(TcpState::Close),
        (Direction::Output, SYN_ROW, TcpState::SynRecv | TcpState::SynAck) => Some(half_open),
        (Direction::InputOnly, SYN_ROW, state) => match state {
            TcpState::Established | TcpState::SynSent | TcpState::SynRecv => None,
            _ => Some(half_open),
        },
        _ => None,
    }
}

/// Idle timeouts in milliseconds, by state [tcp_timeouts].
pub const TIMEOUTS_MS: [u64; 11] = {
    let mut timeouts = [0; 11];
    let mut at = 0;
    while at < timeouts.len() {
        timeouts[at] = match TcpState::ALL[at] {
            TcpState::None => 2_000,
            TcpState::Established => 900_000,
            TcpState::SynRecv | TcpState::CloseWait => 60_000,
            TcpState::SynSent
            | TcpState::FinWait
            | TcpState::TimeWait
            | TcpState::Listen
            | TcpState::SynAck => 120_000,
            TcpState::Close => 10_000,
            TcpState::LastAck => 30_000,
        };
        at += 1;
    }
    timeouts
};

/// Whether a connection in this state counts as active [tcp_state_active].
pub fn is_active(state: TcpState) -> bool {
    matches!(state, TcpState::Established | TcpState::SynSent | TcpState::SynRecv | TcpState::SynAck)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded rows `TABLE state side:flags : before seconds -> after seconds`; seconds are left over, rounded down.
    const RECORDED: [(&str, Direction, bool, &str); 5] = [
        ("nat", Direction::Input, false, include_str!("testdata/tcp_states_nat.txt")),
        ("dr", Direction::InputOnly, false, include_str!("testdata/tcp_states_dr.txt")),
        ("tun", Direction::InputOnly, false, include_str!("testdata/tcp_states_tun.txt")),
        ("secure nat", Direction::Input, true, include_str!("testdata/tcp_states_secure_nat.txt")),
        ("secure dr", Direction::InputOnly, true, include_str!("testdata/tcp_states_secure_dr.txt")),
    ];

    fn state(name: &str) -> TcpState {
        TcpState::ALL.into_iter().find(|s| s.name() == name).unwrap_or_else(|| panic!("state {name}"))
    }

    fn flags(letters: &str) -> u8 {
        letters.chars().fold(0, |flags, letter| {
            flags
                | match letter {
                    'S' => SYN,
                    'A' => ACK,
                    'F' => FIN,
                    'R' => RST,
                    'P' => 0x08,
                    'U' => 0x20,
                    '.' => 0,
                    other => panic!("flag {other}"),
                }
        })
    }

    #[test]
    fn every_recorded_transition_and_timeout() {
        for (name, from_client, secure, text) in RECORDED {
            let mut rows = 0;
            for line in text.lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                let ["TABLE", _, packet, ":", before, _, "->", after, seconds] = words[..] else {
                    panic!("{name}: {line}")
                };
                let (side, letters) = packet.split_once(':').expect("side:flags");
                let direction = if side == "c" { from_client } else { Direction::Output };
                let got = transition(state(before), direction, flags(letters), secure);
                assert_eq!(got, state(after), "{name}: {line}");
                let left = TIMEOUTS_MS[got as usize] / 1000 - seconds.parse::<u64>().unwrap();
                assert!(left <= 2, "{name}: {line}: {left}");
                rows += 1;
            }
            assert!(rows >= 36, "{name}: only {rows} rows");
        }
    }

    #[test]
    fn the_first_packet_decides() {
        for (name, direction, letters, want) in [
            ("client's SYN", Direction::Input, "S", TcpState::SynRecv),
            ("client's SYN+ACK", Direction::Input, "SA", TcpState::SynRecv),
            ("client's SYN+FIN", Direction::InputOnly, "SF", TcpState::SynRecv),
            ("client's ACK, sloppy", Direction::InputOnly, "A", TcpState::Established),
            ("client's RST, sloppy", Direction::Input, "R", TcpState::Close),
            ("server's SYN, active FTP", Direction::Output, "S", TcpState::SynSent),
        ] {
            assert_eq!(transition(TcpState::None, direction, flags(letters), false), want, "{name}");
        }
    }

    #[test]
    fn under_attack_a_client_alone_establishes_nothing_that_answers_could_disprove() {
        for state in TcpState::ALL {
            for letters in ["S", "A", "F", "SA", "FA"] {
                let got = transition(state, Direction::Input, flags(letters), true);
                let half_open = [TcpState::SynRecv, TcpState::SynAck].contains(&state);
                assert!(!half_open || got != TcpState::Established, "{} {letters}", state.name());
            }
            let syn = transition(state, Direction::InputOnly, SYN, true);
            assert_ne!(syn, TcpState::SynSent, "{}", state.name());
        }
    }

    #[test]
    fn half_open_and_established_connections_are_active() {
        let active: Vec<_> =
            TcpState::ALL.into_iter().filter(|&s| is_active(s)).map(TcpState::name).collect();
        assert_eq!(active, ["ESTABLISHED", "SYN_SENT", "SYN_RECV", "SYNACK"]);
    }

    #[test]
    fn numbers_are_the_kernels_and_unknown_ones_read_as_none() {
        for (number, state) in TcpState::ALL.into_iter().enumerate() {
            assert_eq!(State::from(state), State(number as u8));
            assert_eq!(TcpState::from(State(number as u8)), state);
        }
        assert_eq!(TcpState::from(State(11)), TcpState::None);
    }
}
