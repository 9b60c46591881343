//! GRE as PPTP has it (RFC 2637): the packets of a call, told apart by the number that their receiver gave it. Linux's IPVS
//! does not know it.
//!
//! A call's connection is never scheduled: the helper of PPTP's control connection makes it (`app::pptp`), towards the same
//! destination. Its keys have the call's number as the port of the receiver, and [`SENDER`] as that of the sender, since a
//! packet does not say what number the sender gave. Other GRE is none of the director's.

use super::State;

/// Stands in keys for the port of the sender.
pub(crate) const SENDER: u16 = wire::pptp::PORT;

/// The state of every call.
pub const NORMAL: State = State(0);

/// Names of states in listings, by number.
pub const NAMES: [&str; 1] = ["GRE"];

/// Idle timeouts in milliseconds, by state: as long as established TCP, so that a call that is silent lives as long as its
/// control connection.
pub const TIMEOUTS_MS: [u64; 1] = [900_000];
