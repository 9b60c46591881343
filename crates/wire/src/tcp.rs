//! TCP headers and options (RFC 9293). Slices start at the header.

use crate::checksum::{self, Delta};
use crate::field::{get_u8, get_u16, get_u32, put_u8, put_u16, put_u32};
use crate::info::PacketInfo;

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;
/// Length of the longest header, in bytes.
pub const MAX_HEADER_LEN: usize = 60;

/// Flag: no more data from the sender.
pub const FIN: u8 = 0x01;
/// Flag: opens a connection.
pub const SYN: u8 = 0x02;
/// Flag: resets the connection.
pub const RST: u8 = 0x04;
/// Flag: push.
pub const PSH: u8 = 0x08;
/// Flag: the acknowledgement number counts.
pub const ACK: u8 = 0x10;
/// Flag: the urgent pointer counts.
pub const URG: u8 = 0x20;

/// Option: end of the list.
pub const OPTION_END: u8 = 0;
/// Option: padding.
pub const OPTION_NOP: u8 = 1;
/// Option: maximum segment size.
pub const OPTION_MSS: u8 = 2;

/// Option: selective acknowledgement.
pub const OPTION_SACK: u8 = 5;

/// Source port.
#[inline]
pub fn sport(tcp: &[u8]) -> u16 {
    get_u16(tcp, 0)
}

/// Destination port.
#[inline]
pub fn dport(tcp: &[u8]) -> u16 {
    get_u16(tcp, 2)
}

/// Sequence number.
#[inline]
pub fn seq(tcp: &[u8]) -> u32 {
    get_u32(tcp, 4)
}

/// Acknowledgement number.
#[inline]
pub fn ack(tcp: &[u8]) -> u32 {
    get_u32(tcp, 8)
}

/// Length of the header with its options, in bytes: 0..=60.
#[inline]
pub fn header_len(tcp: &[u8]) -> usize {
    usize::from(get_u8(tcp, 12) >> 4) * 4
}

/// Flags: the byte of [`FIN`] to [`URG`] and the two of ECN.
#[inline]
pub fn flags(tcp: &[u8]) -> u8 {
    get_u8(tcp, 13)
}

/// Window, unscaled.
#[inline]
pub fn window(tcp: &[u8]) -> u16 {
    get_u16(tcp, 14)
}

/// Checksum field.
#[inline]
pub fn checksum(tcp: &[u8]) -> u16 {
    get_u16(tcp, 16)
}

/// What follows the header.
#[inline]
pub fn payload(tcp: &[u8]) -> &[u8] {
    tcp.get(header_len(tcp)..).unwrap_or_default()
}

/// Changes the checksum by the difference that other changes made.
#[inline]
pub fn apply(tcp: &mut [u8], delta: Delta) {
    put_u16(tcp, 16, delta.apply(checksum(tcp)));
}

/// Sets the sequence number; the checksum follows.
#[inline]
pub fn set_seq(tcp: &mut [u8], new: u32) {
    let delta = Delta::default().u32(seq(tcp), new);
    put_u32(tcp, 4, new);
    apply(tcp, delta);
}

/// Sets the acknowledgement number; the checksum follows.
#[inline]
pub fn set_ack(tcp: &mut [u8], new: u32) {
    let delta = Delta::default().u32(ack(tcp), new);
    put_u32(tcp, 8, new);
    apply(tcp, delta);
}

/// Whether the checksum is right.
#[inline]
pub fn verify_checksum(frame: &[u8], info: &PacketInfo) -> bool {
    checksum::upper(frame, info) == 0
}

/// Computes the checksum afresh.
pub fn fill_checksum(frame: &mut [u8], info: &PacketInfo) {
    put_u16(info.upper_mut(frame), 16, 0);
    let check = checksum::upper(frame, info);
    put_u16(info.upper_mut(frame), 16, check);
}

/// Where an option lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption {
    /// Its number.
    pub kind: u8,
    /// Its start, in bytes from the TCP header.
    pub at: usize,
    /// Its length with kind and length byte; 1 for padding.
    pub len: usize,
}

/// The options in their order, padding left out; ends at the first one with a bad length.
pub fn options(tcp: &[u8]) -> impl Iterator<Item = TcpOption> {
    let end = header_len(tcp).min(tcp.len());
    let mut at = HEADER_LEN;
    core::iter::from_fn(move || {
        while at < end && get_u8(tcp, at) == OPTION_NOP {
            at += 1;
        }
        if at + 2 > end || get_u8(tcp, at) == OPTION_END {
            return None;
        }
        let option = TcpOption { kind: get_u8(tcp, at), at, len: usize::from(get_u8(tcp, at + 1)) };
        if option.len < 2 || at + option.len > end {
            return None;
        }
        at += option.len;
        Some(option)
    })
}

/// Where the maximum segment size stands, in bytes from the TCP header.
fn mss_at(tcp: &[u8]) -> Option<usize> {
    options(tcp).find(|option| option.kind == OPTION_MSS && option.len == 4).map(|option| option.at + 2)
}

/// The maximum segment size that a SYN offers.
pub fn mss(tcp: &[u8]) -> Option<u16> {
    mss_at(tcp).map(|at| get_u16(tcp, at))
}

/// Lowers the maximum segment size to `max`; the checksum follows. Does nothing without the option or if it is no larger.
pub fn clamp_mss(tcp: &mut [u8], max: u16) {
    let Some(at) = mss_at(tcp) else { return };
    let old = get_u16(tcp, at);
    if old <= max {
        return;
    }
    put_u16(tcp, at, max);
    // Behind an odd number of padding the value straddles two words of the sum, which swaps its bytes there.
    let swap = |value: u16| if at.is_multiple_of(2) { value } else { value.swap_bytes() };
    apply(tcp, Delta::default().u16(swap(old), swap(max)));
}

/// Changes both edges of every block of bytes that is selectively acknowledged (RFC 2018); the checksum follows.
pub fn map_sack(tcp: &mut [u8], edges: impl Fn(u32, u32) -> (u32, u32)) {
    let Some(sack) = options(tcp).find(|option| option.kind == OPTION_SACK) else { return };
    // A header has at most 60 bytes, so that four blocks fit. Compared as a whole, since options may stand at odd places.
    let mut before = [0; MAX_HEADER_LEN];
    let len = header_len(tcp).min(tcp.len());
    let Some(before) = before.get_mut(..len) else { return };
    before.copy_from_slice(&tcp[..len]);
    for at in (sack.at + 2..sack.at + sack.len).step_by(8) {
        if at + 8 <= sack.at + sack.len {
            let (from, to) = edges(get_u32(tcp, at), get_u32(tcp, at + 4));
            put_u32(tcp, at, from);
            put_u32(tcp, at + 4, to);
        }
    }
    let delta = Delta::default().bytes(before, &tcp[..len]);
    apply(tcp, delta);
}

/// What a new header without options says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
}

impl Header {
    /// Writes the header, [`HEADER_LEN`] bytes, with checksum 0. A shorter slice is left as it is.
    pub fn write(&self, tcp: &mut [u8]) {
        let Some(header) = tcp.first_chunk_mut::<HEADER_LEN>() else { return };
        put_u16(header, 0, self.sport);
        put_u16(header, 2, self.dport);
        put_u32(header, 4, self.seq);
        put_u32(header, 8, self.ack);
        put_u8(header, 12, 0x50);
        put_u8(header, 13, self.flags);
        put_u16(header, 14, self.window);
        put_u32(header, 16, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Frame, info, verify_checksums};

    fn syn(options: &[u8]) -> Vec<u8> {
        let header = Header { sport: 1, dport: 2, seq: 3, ack: 0, flags: SYN, window: 1000 };
        Frame::v4("10.0.0.1", "10.0.0.2").tcp_header(header, options).payload(b"odd").build()
    }

    #[test]
    fn header_round_trip() {
        let mut tcp = [0; HEADER_LEN];
        Header { sport: 40000, dport: 80, seq: 0xdead_beef, ack: 7, flags: SYN | ACK, window: 512 }
            .write(&mut tcp);
        assert_eq!((sport(&tcp), dport(&tcp), seq(&tcp), ack(&tcp)), (40000, 80, 0xdead_beef, 7));
        assert_eq!((header_len(&tcp), flags(&tcp), window(&tcp)), (20, 0x12, 512));
    }

    #[test]
    fn finds_options() {
        for (name, bytes, want) in [
            ("none", &[][..], vec![]),
            ("MSS", &[2, 4, 5, 0xb4], vec![(2, 20, 4)]),
            ("behind padding", &[1, 1, 1, 2, 4, 5, 0xb4, 0], vec![(2, 23, 4)]),
            (
                "SACK permitted and timestamps",
                &[4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0],
                vec![(4, 20, 2), (8, 22, 10)],
            ),
            ("end of list", &[0, 2, 4, 5, 0, 0, 0, 0], vec![]),
            ("length 0", &[2, 0, 2, 4], vec![]),
            ("length 1", &[2, 1, 2, 4], vec![]),
            ("behind the header", &[2, 5, 5, 0xb4], vec![]),
            ("kind at the very end", &[1, 1, 1, 2], vec![]),
        ] {
            let frame = syn(bytes);
            let got: Vec<_> = options(info(&frame).upper(&frame)).map(|o| (o.kind, o.at, o.len)).collect();
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn clamps_the_segment_size_wherever_it_stands() {
        for (name, bytes, max, want) in [
            ("even", &[2, 4, 5, 0xb4][..], 1400, Some(1400)),
            ("odd", &[1, 2, 4, 5, 0xb4, 0, 0, 0], 1400, Some(1400)),
            ("small enough", &[2, 4, 5, 0xb4], 1460, Some(1460)),
            ("smaller", &[2, 4, 2, 0], 1400, Some(512)),
            ("absent", &[1, 1, 1, 1], 1400, None),
            ("bad length", &[2, 3, 5, 0], 1400, None),
        ] {
            let mut frame = syn(bytes);
            let info = info(&frame);
            clamp_mss(info.upper_mut(&mut frame), max);
            assert_eq!(mss(info.upper(&frame)), want, "{name}");
            assert_eq!(verify_checksums(&frame), Ok(()), "{name}");
        }
    }

    #[test]
    fn blocks_are_changed_wherever_they_stand() {
        let block = |from: u32, to: u32| [from.to_be_bytes(), to.to_be_bytes()].concat();
        let blocks = |blocks: &[(u32, u32)], padding: &[u8], len: u8| {
            let blocks: Vec<u8> = blocks.iter().flat_map(|(from, to)| block(*from, *to)).collect();
            let mut option = [padding, &[OPTION_SACK, len], &blocks].concat();
            option.resize(option.len().next_multiple_of(4), 0);
            option
        };
        for (name, padding, len, before, after) in [
            ("one", &[1, 1][..], 10, &[(5102, 5112)][..], &[(5100, 5110)][..]),
            ("odd place", &[1], 10, &[(5102, 5112)], &[(5100, 5110)]),
            (
                "three",
                &[1, 1],
                26,
                &[(10, 20), (u32::MAX, 1), (0, 0)],
                &[(8, 18), (u32::MAX - 2, u32::MAX), (u32::MAX - 1, u32::MAX - 1)],
            ),
            ("cut off", &[1, 1], 9, &[(10, 20)], &[(10, 20)]),
            ("behind the header", &[1, 1], 40, &[(10, 20)], &[(10, 20)]),
        ] {
            let mut frame = syn(&blocks(before, padding, len));
            let info = info(&frame);
            map_sack(info.upper_mut(&mut frame), |from, to| (from.wrapping_sub(2), to.wrapping_sub(2)));
            assert_eq!(frame[..], syn(&blocks(after, padding, len))[..], "{name}");
        }
        let plain = syn(&[]);
        let mut frame = plain.clone();
        map_sack(info(&plain).upper_mut(&mut frame), |_, _| (0, 0));
        assert_eq!(frame, plain);
    }

    #[test]
    fn setters_keep_the_checksum_right() {
        let mut frame = syn(&[]);
        let info = info(&frame);
        set_seq(info.upper_mut(&mut frame), 0xffff_fffe);
        set_ack(info.upper_mut(&mut frame), 99);
        assert_eq!((seq(info.upper(&frame)), ack(info.upper(&frame))), (0xffff_fffe, 99));
        assert_eq!(payload(info.upper(&frame)), b"odd");
        assert_eq!(verify_checksums(&frame), Ok(()));
        frame[20 + 14] ^= 1;
        assert!(!verify_checksum(&frame, &info));
        fill_checksum(&mut frame, &info);
        assert!(verify_checksum(&frame, &info));
    }
}
