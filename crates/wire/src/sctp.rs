//! SCTP (RFC 9260): the common header, its checksum, and the walk over chunks. Slices start at the common header and end
//! with the packet.

use crate::crc32c::Crc;
use crate::field::{array, get_u8, get_u16, get_u32, put, put_u16, put_u32};

/// Length of the common header, in bytes.
pub const HEADER_LEN: usize = 12;
/// Length of a chunk's header, in bytes.
pub const CHUNK_HEADER_LEN: usize = 4;

/// Chunk: user data.
pub const DATA: u8 = 0;
/// Chunk: opens an association.
pub const INIT: u8 = 1;
/// Chunk: answers [`INIT`], with a cookie.
pub const INIT_ACK: u8 = 2;
/// Chunk: selective acknowledgement.
pub const SACK: u8 = 3;
/// Chunk: asks whether the peer lives.
pub const HEARTBEAT: u8 = 4;
/// Chunk: answers [`HEARTBEAT`].
pub const HEARTBEAT_ACK: u8 = 5;
/// Chunk: ends the association at once.
pub const ABORT: u8 = 6;
/// Chunk: no more data from the sender.
pub const SHUTDOWN: u8 = 7;
/// Chunk: answers [`SHUTDOWN`].
pub const SHUTDOWN_ACK: u8 = 8;
/// Chunk: error.
pub const ERROR: u8 = 9;
/// Chunk: brings the cookie back.
pub const COOKIE_ECHO: u8 = 10;
/// Chunk: the association stands.
pub const COOKIE_ACK: u8 = 11;
/// Chunk: the association is over.
pub const SHUTDOWN_COMPLETE: u8 = 14;

/// Source port.
#[inline]
pub fn sport(sctp: &[u8]) -> u16 {
    get_u16(sctp, 0)
}

/// Destination port.
#[inline]
pub fn dport(sctp: &[u8]) -> u16 {
    get_u16(sctp, 2)
}

/// Verification tag: which association of the receiver this is for; 0 with [`INIT`].
#[inline]
pub fn verification_tag(sctp: &[u8]) -> u32 {
    get_u32(sctp, 4)
}

/// Checksum field; its bytes are in the order of the CRC's, the lowest first (RFC 9260, appendix A).
#[inline]
pub fn checksum(sctp: &[u8]) -> u32 {
    u32::from_le_bytes(array(sctp, 8))
}

/// The checksum that the packet should have.
fn compute(sctp: &[u8]) -> u32 {
    let Some((header, chunks)) = sctp.split_first_chunk::<HEADER_LEN>() else { return 0 };
    Crc::default().bytes(&header[..8]).bytes(&[0; 4]).bytes(chunks).finish()
}

/// Whether the checksum is right.
pub fn verify_checksum(sctp: &[u8]) -> bool {
    sctp.len() >= HEADER_LEN && checksum(sctp) == compute(sctp)
}

/// Computes the checksum afresh.
pub fn fill_checksum(sctp: &mut [u8]) {
    let check = compute(sctp);
    put(sctp, 8, check.to_le_bytes());
}

/// Sets the ports. If one changes, the checksum is computed afresh, as the kernel does: right even if it was wrong before.
pub fn set_ports(sctp: &mut [u8], new_sport: u16, new_dport: u16) {
    if (sport(sctp), dport(sctp)) == (new_sport, new_dport) {
        return;
    }
    put_u16(sctp, 0, new_sport);
    put_u16(sctp, 2, new_dport);
    fill_checksum(sctp);
}

/// Writes a common header, [`HEADER_LEN`] bytes, with checksum 0: that is filled when the chunks stand behind it.
pub fn write(sctp: &mut [u8], sport: u16, dport: u16, verification_tag: u32) {
    put_u16(sctp, 0, sport);
    put_u16(sctp, 2, dport);
    put_u32(sctp, 4, verification_tag);
    put_u32(sctp, 8, 0);
}

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its type.
    pub kind: u8,
    /// Its flags, whose meaning the type decides.
    pub flags: u8,
    /// Its start, in bytes from the common header.
    pub at: usize,
    /// Its length with its header, without padding.
    pub len: usize,
}

/// The chunks in their order; ends at the first one with a bad length. Padding behind the last one may be missing.
pub fn chunks(sctp: &[u8]) -> impl Iterator<Item = Chunk> {
    let mut at = HEADER_LEN;
    core::iter::from_fn(move || {
        let chunk = chunk_at(sctp, at)?;
        at += chunk.len.next_multiple_of(4);
        Some(chunk)
    })
}

/// What a director learns from a packet's chunks: the type of the first one, and whether an ABORT overrules it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lead {
    /// Type of the first chunk.
    pub first: u8,
    /// It is a cookie's and an [`ABORT`] stands behind it: nothing else is looked at beside the first chunk.
    pub aborts: bool,
}

impl Lead {
    /// The type of the chunk that moves the association.
    #[inline]
    pub fn kind(self) -> u8 {
        if self.aborts { ABORT } else { self.first }
    }
}

/// The lead of a packet; `None` if it ends before its first chunk's header does. Chunk lengths are not believed beyond
/// that: one below [`CHUNK_HEADER_LEN`] or behind the packet only means that nothing follows [set_sctp_state].
pub fn lead(sctp: &[u8]) -> Option<Lead> {
    let header = |at: usize| sctp.get(at..)?.first_chunk::<CHUNK_HEADER_LEN>();
    let chunk = header(HEADER_LEN)?;
    let first = chunk[0];
    let len = usize::from(get_u16(chunk, 2));
    let cookie = matches!(first, COOKIE_ECHO | COOKIE_ACK) && len >= CHUNK_HEADER_LEN;
    let next = cookie.then(|| header(HEADER_LEN + len.next_multiple_of(4))).flatten();
    Some(Lead { first, aborts: next.is_some_and(|chunk| chunk[0] == ABORT) })
}

fn chunk_at(sctp: &[u8], at: usize) -> Option<Chunk> {
    let rest = sctp.get(at..).filter(|rest| rest.len() >= CHUNK_HEADER_LEN)?;
    let chunk =
        Chunk { kind: get_u8(rest, 0), flags: get_u8(rest, 1), at, len: usize::from(get_u16(rest, 2)) };
    (CHUNK_HEADER_LEN..=rest.len()).contains(&chunk.len).then_some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frame, hex, info, verify_checksums};
    use proptest::prelude::*;

    /// COOKIE ECHO and DATA in one packet, as recorded before and behind a real director (trace `sctp_nat_v4`).
    const BUNDLE: &str = "1388005000000001d92028710a000008636f6f6b0003001400000001000000000000000064617461";
    const BUNDLE_AT_SERVER: &str =
        "13881f9000000001df7091930a000008636f6f6b0003001400000001000000000000000064617461";

    #[test]
    fn reads_the_header() {
        let sctp = hex(BUNDLE);
        assert_eq!((sport(&sctp), dport(&sctp), verification_tag(&sctp)), (5000, 80, 1));
        assert_eq!(checksum(&sctp), 0x7128_20d9);
    }

    #[test]
    fn the_kernels_checksum_behind_a_port_translation() {
        let mut sctp = hex(BUNDLE);
        assert!(verify_checksum(&sctp));
        set_ports(&mut sctp, 5000, 8080);
        assert_eq!(sctp, hex(BUNDLE_AT_SERVER));
    }

    #[test]
    fn frames_of_tests_are_as_recorded() {
        let frame = |checksum: fn(Frame) -> Frame| {
            let frame =
                Frame::v4("198.51.100.1", "192.0.2.100").sctp(5000, 80, 1).payload(&hex(BUNDLE)[12..]);
            checksum(frame).build()
        };
        let right = frame(|frame| frame);
        assert_eq!(info(&right).upper(&right), hex(BUNDLE));
        assert_eq!(verify_checksums(&right), Ok(()));
        assert!(verify_checksums(&frame(Frame::bad_checksum)).is_err());
        let absent = frame(Frame::no_checksum);
        assert_eq!(checksum(info(&absent).upper(&absent)), 0);
    }

    #[test]
    fn a_wrong_checksum_stays_unless_a_port_changes() {
        let mut sctp = hex(BUNDLE);
        sctp[8] ^= 1;
        let wrong = sctp.clone();
        assert!(!verify_checksum(&sctp));
        set_ports(&mut sctp, 5000, 80);
        assert_eq!(sctp, wrong);
        set_ports(&mut sctp, 5000, 8080);
        assert_eq!(sctp, hex(BUNDLE_AT_SERVER));
    }

    #[test]
    fn walks_chunks() {
        let header = &hex(BUNDLE)[..HEADER_LEN];
        for (name, bytes, want) in [
            ("none", &[][..], vec![]),
            ("one", &[COOKIE_ACK, 0, 0, 4], vec![(11, 12, 4)]),
            ("bundle", &hex(BUNDLE)[12..], vec![(10, 12, 8), (0, 20, 20)]),
            ("padding between", &[4, 0, 0, 5, 9, 0, 0, 0, 6, 0, 0, 4], vec![(4, 12, 5), (6, 20, 4)]),
            ("padding missing at the end", &[4, 0, 0, 5, 9], vec![(4, 12, 5)]),
            ("length 3", &[4, 0, 0, 3, 6, 0, 0, 4], vec![]),
            ("behind the packet", &[11, 0, 0, 4, 4, 0, 0, 5], vec![(11, 12, 4)]),
            ("half a chunk header", &[11, 0, 0], vec![]),
        ] {
            let sctp = [header, bytes].concat();
            let got: Vec<_> = chunks(&sctp).map(|chunk| (chunk.kind, chunk.at, chunk.len)).collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn an_abort_behind_a_cookie_leads() {
        let header = &hex(BUNDLE)[..HEADER_LEN];
        let lead_of = |first, aborts| Some(Lead { first, aborts });
        for (name, bytes, want) in [
            ("none", &[][..], None),
            ("half a chunk header", &[COOKIE_ACK, 0, 0], None),
            ("one", &[ABORT, 0, 0, 4], lead_of(ABORT, false)),
            (
                "cookie, abort",
                &[COOKIE_ECHO, 0, 0, 5, 9, 0, 0, 0, ABORT, 0, 0, 4],
                lead_of(COOKIE_ECHO, true),
            ),
            ("cookie, abort of no length", &[COOKIE_ACK, 0, 0, 4, ABORT, 0, 0, 0], lead_of(COOKIE_ACK, true)),
            ("cookie, half of an abort", &[COOKIE_ACK, 0, 0, 4, ABORT, 0, 0], lead_of(COOKIE_ACK, false)),
            ("cookie of length 3", &[COOKIE_ACK, 0, 0, 3, ABORT, 0, 0, 4], lead_of(COOKIE_ACK, false)),
            (
                "cookie behind the packet",
                &[COOKIE_ECHO, 0, 255, 255, ABORT, 0, 0, 4],
                lead_of(COOKIE_ECHO, false),
            ),
            ("init, abort", &[INIT, 0, 0, 4, ABORT, 0, 0, 4], lead_of(INIT, false)),
        ] {
            assert_eq!(lead(&[header, bytes].concat()), want, "{name}");
        }
        assert_eq!(lead(&hex(BUNDLE)).map(Lead::kind), Some(COOKIE_ECHO));
        assert_eq!(Lead { first: COOKIE_ACK, aborts: true }.kind(), ABORT);
    }

    #[test]
    fn short_slices_are_left_alone() {
        for len in 0..HEADER_LEN {
            let mut bytes = vec![0x55; len];
            assert!(!verify_checksum(&bytes));
            assert_eq!(chunks(&bytes).count(), 0);
            assert_eq!(lead(&bytes), None);
            fill_checksum(&mut bytes);
            assert_eq!(bytes, vec![0x55; len]);
        }
    }

    proptest! {
        #[test]
        fn ports_there_and_back(mut sctp in prop::collection::vec(any::<u8>(), 12..100), ports: (u16, u16)) {
            fill_checksum(&mut sctp);
            let before = sctp.clone();
            set_ports(&mut sctp, ports.0, ports.1);
            prop_assert!(verify_checksum(&sctp));
            set_ports(&mut sctp, sport(&before), dport(&before));
            prop_assert_eq!(sctp, before);
        }

        #[test]
        fn the_walk_stays_inside(sctp in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(lead(&sctp).is_some(), sctp.len() >= HEADER_LEN + CHUNK_HEADER_LEN);
            for chunk in chunks(&sctp) {
                prop_assert!(chunk.len >= CHUNK_HEADER_LEN && chunk.at + chunk.len <= sctp.len());
            }
        }
    }
}
