use proptest::prelude::*;
use wire::{MacAddr, VecBuf};

use super::*;
use crate::testing::{MAC_S, frame, info};

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

fn split_own(packet: &[u8], mtu: u16, id: u32) -> Result<Vec<Vec<u8>>, DropReason> {
    let mut pieces = Vec::new();
    let alloc = || Some(VecBuf::new(&[]));
    let emit = |piece: VecBuf| pieces.push(piece.bytes().to_vec());
    fragment_own(VecBuf::new(packet), &wire::testing::info(packet), mtu, id, alloc, emit)
        .map_err(|(_, reason)| reason)?;
    Ok(pieces)
}

/// A tunnel packet of ours: an IPv6 header, this payload, its protocol number.
fn tunnel_v6(payload: &[u8]) -> Vec<u8> {
    let macs = (MAC_S, MacAddr([2, 0, 0, 0, 2, 12]));
    let frame = wire::testing::Frame::v6("2001:db8:2::1", "2001:db8:2::c").mac(macs.0, macs.1);
    let mut frame = frame.ttl(63).raw(protocol::IPV6).payload(payload).build();
    // The whole may be shorter than what its number promises; only the outer header is looked at here.
    frame[20] = protocol::IPV6;
    frame
}

#[test]
fn splits_tunnel_packets_as_the_kernel_does() {
    // Trace frag_tun_v6: a UDP datagram of 2048 bytes in IPv6 in IPv6, split at 1280.
    let inside =
        "6000000008081 13f20010db8000c0000000000000000000120010db80001000000000000000001000bb8003508088573";
    let mut payload = frame(&inside.replace(' ', ""), (0, 0));
    payload.extend((0..2048u16).map(|byte| byte as u8));
    let pieces = split_own(&tunnel_v6(&payload), 1280, 0x771f_cc04).expect("fragments");
    let head = |len: &str, offset: &str| {
        let text = format!(
            "02000000020c02000000000286dd60000000{len}2c3f20010db800020000000000000000000120010db800020000000000000000000c\
             2900{offset}771fcc04"
        );
        frame(&text, (0, 0))
    };
    let want = [
        [&head("04d8", "0001")[..], &payload[..1232]].concat(),
        [&head("0368", "04d0")[..], &payload[1232..]].concat(),
    ];
    assert_eq!(pieces, want);
    // What fits is not touched.
    let fits = tunnel_v6(&payload[..1240]);
    assert_eq!(split_own(&fits, 1280, 1), Ok(vec![fits.clone()]));
}

#[test]
fn fragments_of_ours_are_plain_ipv6_only() {
    let later = wire::testing::Frame::v6("2001:db8:2::1", "2001:db8:2::c").fragment(64, false).raw(41);
    let extended = wire::testing::Frame::v6("2001:db8:2::1", "2001:db8:2::c").extension(60, &[0; 6]).raw(41);
    for (name, packet) in [
        ("a fragment", later.payload(&[0; 1400]).build()),
        ("with extension headers", extended.payload(&[0; 1400]).build()),
        ("IPv4", frame(HEADER_1401, (b'x', 1361))),
    ] {
        assert_eq!(split_own(&packet, 1280, 1), Err(DropReason::MtuExceeded), "{name}");
    }
    assert_eq!(split_own(&tunnel_v6(&[0; 100]), 55, 1), Err(DropReason::MtuExceeded), "no room for any data");
    assert_eq!(split(&tunnel_v6(&[0; 1400]), 1280), Err(DropReason::MtuExceeded), "not ours");
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

    #[test]
    fn gathering_ours_gives_the_original(
        payload in prop::collection::vec(any::<u8>(), 1..4000),
        id: u32,
        mtu in 56..1500u16,
    ) {
        let original = tunnel_v6(&payload);
        let pieces = split_own(&original, mtu, id).expect("fragments");
        if original.len() - ETHERNET <= usize::from(mtu) {
            prop_assert_eq!(pieces, vec![original]);
            return Ok(());
        }
        let mut gathered = Vec::new();
        let count = pieces.len();
        for (index, piece) in pieces.iter().enumerate() {
            let ip = &piece[ETHERNET..];
            prop_assert!(ip.len() <= usize::from(mtu));
            prop_assert_eq!(usize::from(ipv6::payload_len(ip)), ip.len() - ipv6::HEADER_LEN);
            let walked = ipv6::Extensions::walk(ip).expect("extension headers");
            let header = walked.fragment.expect("a fragment header");
            prop_assert_eq!((header.next_header, header.id), (protocol::IPV6, id));
            prop_assert_eq!((header.offset, header.more), (gathered.len(), index + 1 < count));
            // All but length and next header as in the original.
            let (mut got, mut want) = (piece[..54].to_vec(), original[..54].to_vec());
            for header in [&mut got, &mut want] {
                header[18..21].fill(0);
            }
            prop_assert_eq!(got, want);
            gathered.extend_from_slice(&ip[ipv6::HEADER_LEN + ipv6::FRAGMENT_LEN..]);
        }
        prop_assert_eq!(gathered, payload);
    }
}
