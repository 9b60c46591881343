//! Numbers of connection states, as sync entries carry them.

use crate::protocol;

/// Template: as it was made.
pub const TEMPLATE_NONE: u16 = 0;
/// Template: one of its connections was established.
pub const TEMPLATE_ASSURED: u16 = 1;

/// TCP: none yet.
pub const TCP_NONE: u16 = 0;
/// TCP: established.
pub const TCP_ESTABLISHED: u16 = 1;
/// TCP: SYN from the server.
pub const TCP_SYN_SENT: u16 = 2;
/// TCP: SYN from the client.
pub const TCP_SYN_RECV: u16 = 3;
/// TCP: one side has closed.
pub const TCP_FIN_WAIT: u16 = 4;
/// TCP: both sides have closed.
pub const TCP_TIME_WAIT: u16 = 5;
/// TCP: reset.
pub const TCP_CLOSE: u16 = 6;
/// TCP: the client has closed.
pub const TCP_CLOSE_WAIT: u16 = 7;
/// TCP: the server has closed too.
pub const TCP_LAST_ACK: u16 = 8;
/// TCP: expected by an application helper.
pub const TCP_LISTEN: u16 = 9;
/// TCP: SYN and ACK, under attack.
pub const TCP_SYNACK: u16 = 10;

/// UDP: its only state.
pub const UDP_NORMAL: u16 = 0;

/// SCTP: none yet.
pub const SCTP_NONE: u16 = 0;
/// SCTP: a first INIT.
pub const SCTP_INIT1: u16 = 1;
/// SCTP: a later INIT.
pub const SCTP_INIT: u16 = 2;
/// SCTP: INIT ACK from the server.
pub const SCTP_COOKIE_SENT: u16 = 3;
/// SCTP: COOKIE ECHO from the client.
pub const SCTP_COOKIE_REPLIED: u16 = 4;
/// SCTP: INIT from the server.
pub const SCTP_COOKIE_WAIT: u16 = 5;
/// SCTP: INIT ACK from the client.
pub const SCTP_COOKIE: u16 = 6;
/// SCTP: COOKIE ECHO from the server.
pub const SCTP_COOKIE_ECHOED: u16 = 7;
/// SCTP: established.
pub const SCTP_ESTABLISHED: u16 = 8;
/// SCTP: SHUTDOWN from the server.
pub const SCTP_SHUTDOWN_SENT: u16 = 9;
/// SCTP: SHUTDOWN from the client.
pub const SCTP_SHUTDOWN_RECEIVED: u16 = 10;
/// SCTP: SHUTDOWN ACK.
pub const SCTP_SHUTDOWN_ACK_SENT: u16 = 11;
/// SCTP: refused.
pub const SCTP_REJECTED: u16 = 12;
/// SCTP: closed.
pub const SCTP_CLOSED: u16 = 13;

/// How many states connections of a protocol have. `None`: IPVS does not know it.
pub const fn count(protocol: u8) -> Option<u16> {
    match protocol {
        protocol::TCP => Some(TCP_SYNACK + 1),
        protocol::UDP => Some(UDP_NORMAL + 1),
        protocol::SCTP => Some(SCTP_CLOSED + 1),
        protocol::AH | protocol::ESP => Some(1),
        _ => None,
    }
}
