use proptest::prelude::*;
use wire::VecBuf;

use super::*;
use crate::testing::{frame, info};

const HEADER_1401: &str = "0200000000010200000000fe080045000579000a0000400688dcc6336401c00002649c400050000003e9000013895010ffff91e70000";

fn split(packet: &[u8], mtu: u16) -> Result<Vec<Vec<u8>>, DropReason> {
    let mut pieces = Vec::new();
    let alloc = || Some(VecBuf::new(&[]));
    fragment(VecBuf::new(packet), &info(packet), mtu, alloc, |piece| pieces.push(piece.bytes().to_vec()))
        .map_err(|(_, reason)| reason)?;
    Ok(pieces)
}

#[test]
fn splits_as_the_kernel_does() {
    // Trace mtu_dr_v4: 1401 bytes over an MTU of 1400, TTL taken off.
    let mut packet = frame(HEADER_1401, (b'x', 1361));
    packet[22] = 63;
    packet[24..26].copy_from_slice(&0x89dcu16.to_be_bytes());
    let pieces = split(&packet, 1400).expect("fragments");
    let macs = &packet[..12];
    let first = frame(
        "02000000020b020000000002080045000574000a20003f0669e1c6336401c00002649c400050000003e9000013895010ffff91e70000",
        (b'x', 1356),
    );
    let second =
        frame("02000000020b020000000002080045000019000a00ac3f068e90c6336401c00002647878787878", (0, 0));
    assert_eq!(pieces.len(), 2);
    for (piece, want) in pieces.iter().zip([first, second]) {
        assert_eq!((&piece[..12], &piece[12..]), (macs, &want[12..]));
    }
}

#[test]
fn refuses_what_must_not_be_fragmented() {
    let packet = frame(HEADER_1401, (b'x', 1361));
    let mut dont = packet.clone();
    dont[20] |= 0x40;
    assert_eq!(split(&dont, 1400), Err(DropReason::MtuExceeded));
    assert_eq!(split(&packet, 27), Err(DropReason::MtuExceeded));
    assert_eq!(split(&dont, 1401), Ok(vec![dont.clone()]), "what fits is sent as it is");
}

#[test]
fn says_when_buffers_run_out() {
    let packet = frame(HEADER_1401, (b'x', 1361));
    let mut left = 1;
    let mut emitted = 0;
    let alloc = || {
        left -= 1;
        (left >= 0).then(|| VecBuf::new(&[]))
    };
    let done = fragment(VecBuf::new(&packet), &info(&packet), 576, alloc, |_| emitted += 1);
    assert_eq!((done.map_err(|(_, reason)| reason), emitted), (Err(DropReason::NoMbuf), 1));
}

#[test]
fn options_without_the_copied_flag_stay_in_the_first_fragment() {
    let mut packet = frame(HEADER_1401, (b'x', 1361));
    // Record route (7, not copied), router alert (148, copied), one no-operation.
    let options = [7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 1];
    packet.splice(34..34, options);
    packet[14] = 0x48;
    packet[16..18].copy_from_slice(&1413u16.to_be_bytes());
    let pieces = split(&packet, 1400).expect("fragments");
    assert_eq!(pieces[0][34..46], options);
    assert_eq!(pieces[1][34..46], [1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 1]);
}

/// A packet with these options and payload, as a fragment itself if `offset` or `more` say so.
fn packet(options: &[u8], payload: &[u8], id: u16, offset: u16, more: bool) -> Vec<u8> {
    let mut packet = frame(&HEADER_1401[..68], (0, 0));
    packet.extend_from_slice(options);
    packet.extend_from_slice(payload);
    packet[14] = 0x45 + (options.len() / 4) as u8;
    let len = (packet.len() - 14) as u16;
    packet[16..18].copy_from_slice(&len.to_be_bytes());
    packet[18..20].copy_from_slice(&id.to_be_bytes());
    packet[20..22].copy_from_slice(&(offset | if more { 0x2000 } else { 0 }).to_be_bytes());
    packet
}

proptest! {
    #[test]
    fn gathering_gives_the_original(
        payload in prop::collection::vec(any::<u8>(), 1..4000),
        options in prop::collection::vec(any::<u8>(), 0..=10),
        id: u16,
        offset in 0..100u16,
        more: bool,
        mtu in 68..1500u16,
    ) {
        let options: Vec<u8> = options.iter().flat_map(|&byte| [byte; 4]).collect();
        // All but the last fragment have a multiple of eight bytes.
        let payload = if more { &payload[..payload.len() / 8 * 8] } else { &payload[..] };
        prop_assume!(!payload.is_empty());
        let original = packet(&options, payload, id, offset, more);
        let header = 20 + options.len();
        let pieces = split(&original, mtu).expect("fragments");
        let fits = pieces.len() == 1;
        let mut gathered = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let at = info(piece);
            prop_assert!(at.end - at.l3 <= mtu && usize::from(at.end) == piece.len());
            prop_assert_eq!(piece[14], original[14]);
            prop_assert_eq!(&piece[18..20], &original[18..20]);
            prop_assert!(fits || ipv4::verify_checksum(&piece[14..14 + header]));
            let word = flags(piece, 14);
            prop_assert_eq!(usize::from(word & OFFSET) * 8, usize::from(offset) * 8 + gathered.len());
            prop_assert_eq!(word & MORE_FRAGMENTS != 0, more || index + 1 < pieces.len());
            gathered.extend_from_slice(&piece[14 + header..]);
        }
        prop_assert_eq!(&gathered[..], payload);
    }
}
