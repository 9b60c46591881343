//! PPTP's control connection (RFC 2637): what it says of the calls whose packets travel in GRE beside it.
//!
//! Each end of a call gives it a number, and the packets to that end carry it ([`crate::tunnel::gre::call_id`]). The
//! end that answers a call tells both numbers.

use crate::field::{get_u8, get_u16, get_u32};

/// TCP port of the control connection at the server.
pub const PORT: u16 = 1723;

/// Length of the fields that every message starts with, in bytes.
const HEADER_LEN: usize = 12;
/// Bytes of an answer that are read.
const ANSWER_LEN: usize = HEADER_LEN + 5;
/// What tells control messages from anything else.
const MAGIC_COOKIE: u32 = 0x1a2b_3c4d;
/// Message type: control.
const CONTROL: u16 = 1;
/// Result code: the call stands.
const CONNECTED: u8 = 1;

/// Control message: answer to an outgoing call.
const OUTGOING_CALL_REPLY: u16 = 8;
/// Control message: answer to an incoming call.
const INCOMING_CALL_REPLY: u16 = 10;
/// Control message: the call is over.
const CALL_DISCONNECT_NOTIFY: u16 = 13;

/// What a control message says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// It stands. Packets to the sender of the message carry `own`, those to its peer `peers`.
    Answered {
        /// Number that the sender gave.
        own: u16,
        /// Number that its peer gave.
        peers: u16,
    },
    /// It is over.
    Ended {
        /// Number that the sender gave.
        own: u16,
    },
}

/// What the messages say that start in this data of a TCP segment, of which the first starts with it. Ends at the first
/// that is cut off or no control message; others are passed over.
pub fn calls(mut data: &[u8]) -> impl Iterator<Item = Call> {
    core::iter::from_fn(move || {
        loop {
            let (message, rest) = split(data)?;
            data = rest;
            if let Some(call) = call(message) {
                return Some(call);
            }
        }
    })
}

/// The first message, and what follows it.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(get_u16(data, 0));
    let control = len >= HEADER_LEN && get_u16(data, 2) == CONTROL && get_u32(data, 4) == MAGIC_COOKIE;
    if control { data.split_at_checked(len) } else { None }
}

fn call(message: &[u8]) -> Option<Call> {
    let own = get_u16(message, HEADER_LEN);
    match get_u16(message, 8) {
        OUTGOING_CALL_REPLY | INCOMING_CALL_REPLY
            if message.len() >= ANSWER_LEN && get_u8(message, HEADER_LEN + 4) == CONNECTED =>
        {
            Some(Call::Answered { own, peers: get_u16(message, HEADER_LEN + 2) })
        }
        CALL_DISCONNECT_NOTIFY if message.len() >= HEADER_LEN + 2 => Some(Call::Ended { own }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;
    use proptest::prelude::*;

    /// Messages of a call as RFC 2637 lays them out.
    const ECHO_REQUEST: &str = "0010 0001 1a2b3c4d 0005 0000 00000001";
    const OUTGOING_REPLY: &str =
        "0020 0001 1a2b3c4d 0008 0000 0102 0304 01 00 0000 05f5e100 0040 0000 00000000";
    const OUTGOING_BUSY: &str =
        "0020 0001 1a2b3c4d 0008 0000 0102 0304 04 00 0000 05f5e100 0040 0000 00000000";
    const INCOMING_REPLY: &str = "0018 0001 1a2b3c4d 000a 0000 0005 0006 01 00 0040 0000 0000";
    const DISCONNECT: &str = "0094 0001 1a2b3c4d 000d 0000 0102 04 00 0000 0000";

    fn disconnect() -> Vec<u8> {
        let mut message = hex(DISCONNECT);
        message.resize(0x94, 0);
        message
    }

    #[test]
    fn calls_are_heard() {
        let (answered, own) = (Call::Answered { own: 0x102, peers: 0x304 }, 0x102);
        for (name, data, want) in [
            ("nothing", vec![], vec![]),
            ("answer", hex(OUTGOING_REPLY), vec![answered]),
            ("answer to an incoming call", hex(INCOMING_REPLY), vec![Call::Answered { own: 5, peers: 6 }]),
            ("refused", hex(OUTGOING_BUSY), vec![]),
            ("the end", disconnect(), vec![Call::Ended { own }]),
            ("other messages before", [hex(ECHO_REQUEST), hex(OUTGOING_REPLY)].concat(), vec![answered]),
            ("two", [hex(OUTGOING_REPLY), disconnect()].concat(), vec![answered, Call::Ended { own }]),
            ("cut off", hex(OUTGOING_REPLY)[..31].to_vec(), vec![]),
            ("no cookie", hex("0020 0001 1a2b3c4e 0008 0000 0102 0304 01"), vec![]),
            ("length 0", hex("0000 0001 1a2b3c4d 0008 0000 0102 0304 01"), vec![]),
            ("short answer", hex("0010 0001 1a2b3c4d 0008 0000 0102 0304"), vec![]),
        ] {
            assert_eq!(calls(&data).collect::<Vec<_>>(), want, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..64) {
            let _ = calls(&data).count();
            let mut message = [hex(OUTGOING_REPLY), data].concat();
            message.truncate(cut);
            prop_assert_eq!(calls(&message).next().is_some(), cut >= 32);
        }
    }
}
