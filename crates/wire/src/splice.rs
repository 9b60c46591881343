//! Other bytes, and perhaps more or fewer, in place of some of a packet's data.

use core::ops::Range;

use crate::buf::{NoRoom, PacketBuf};
use crate::info::{Family, Fragment, PacketInfo};
use crate::{ipv4, ipv6, protocol, tcp};

/// Replaces `range` of a TCP segment's data, in bytes from its start, by `new`. What follows moves, the length in the IP
/// header counts the difference, both checksums follow: the one of TCP is computed afresh, so a wrong one is to be found
/// before. Ethernet padding is cut off.
///
/// The returned info only differs in its end. Whether the route's MTU bears the packet is asked before.
///
/// `NoRoom`: neither head- nor tailroom, longer than an IP packet can be, a fragment, not TCP, or a range that is not inside
/// the data; the packet is as it was.
pub fn replace<B: PacketBuf>(
    packet: &mut B,
    info: &PacketInfo,
    range: Range<usize>,
    new: &[u8],
) -> Result<PacketInfo, NoRoom> {
    let data = usize::from(info.l4) + tcp::header_len(info.upper(packet.bytes()));
    let (start, end) = (data + range.start, data + range.end);
    let old_end = usize::from(info.end);
    let whole = info.protocol == protocol::TCP && info.fragment == Fragment::No;
    if !whole || start > end || end > old_end || old_end > packet.bytes().len() {
        return Err(NoRoom);
    }
    let new_end = old_end - (end - start) + new.len();
    let longer = PacketInfo { end: u16::try_from(new_end).map_err(|_| NoRoom)?, ..*info };
    packet.truncate(old_end);
    match new_end.checked_sub(old_end) {
        None => packet.bytes_mut().copy_within(end..old_end, start + new.len()),
        Some(more) => grow(packet, end, old_end, more)?,
    }
    packet.truncate(new_end);
    let frame = packet.bytes_mut();
    frame.get_mut(start..start + new.len()).unwrap_or_default().copy_from_slice(new);
    let ip = longer.ip_mut(frame);
    match info.family {
        Family::V4 => ipv4::set_total_len(ip, longer.ip_len() as u16),
        Family::V6 => ipv6::set_payload_len(ip, longer.ip_len().saturating_sub(ipv6::HEADER_LEN) as u16),
    }
    tcp::fill_checksum(frame, &longer);
    Ok(longer)
}

/// Makes room for `more` bytes in front of `at`: behind the packet if there is any, else before it.
fn grow<B: PacketBuf>(packet: &mut B, at: usize, end: usize, more: usize) -> Result<(), NoRoom> {
    if packet.append(more).is_ok() {
        packet.bytes_mut().copy_within(at..end, at + more);
    } else {
        packet.prepend(more)?;
        packet.bytes_mut().copy_within(more..more + at, 0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;
    use crate::testing::{Frame, info, verify_checksums};
    use proptest::prelude::*;

    fn segment(v6: bool, data: &[u8]) -> Vec<u8> {
        let frame = match v6 {
            true => Frame::v6("2001:db8::1", "2001:db8::2"),
            false => Frame::v4("10.0.2.11", "198.51.100.1"),
        };
        let header = tcp::Header { sport: 21, dport: 40_000, seq: 5, ack: 6, flags: tcp::ACK, window: 7 };
        frame.tcp_header(header, &[1, 1, 1, 1]).payload(data).build()
    }

    fn replaced(frame: &[u8], range: Range<usize>, new: &[u8]) -> Result<Vec<u8>, NoRoom> {
        let (mut packet, before) = (VecBuf::new(frame), info(frame));
        let after = replace(&mut packet, &before, range, new)?;
        assert_eq!(after, info(packet.bytes()));
        Ok(packet.bytes().to_vec())
    }

    #[test]
    fn what_the_kernel_does_to_a_227() {
        // Trace ftp_passive_v4, but for address and port, which are still those of the server.
        let text = b"227 Entering Passive Mode (10,0,2,11,200,13)\r\n";
        let frame = replaced(&segment(false, text), 27..43, b"192,0,2,100,200,13").unwrap();
        let after = info(&frame);
        assert_eq!(tcp::payload(after.upper(&frame)), b"227 Entering Passive Mode (192,0,2,100,200,13)\r\n");
        assert_eq!(verify_checksums(&frame), Ok(()));
    }

    #[test]
    fn padding_is_cut_off_and_what_does_not_fit_is_refused() {
        let mut padded = segment(false, b"abc");
        let whole = padded.len();
        padded.extend([0x55; 6]);
        let frame = replaced(&padded, 1..2, b"").unwrap();
        assert_eq!((tcp::payload(info(&frame).upper(&frame)), frame.len()), (&b"ac"[..], whole - 1));

        let plain = segment(true, b"abc");
        let huge = vec![b'x'; 70_000];
        for (name, range, new) in [
            ("outside", 1..4, &b"x"[..]),
            ("longer than IP", 1..2, &huge),
            ("no room", 1..2, &huge[..VecBuf::ROOM]),
        ] {
            assert_eq!(replaced(&plain, range, new), Err(NoRoom), "{name}");
        }
        let udp = Frame::v4("10.0.2.11", "198.51.100.1").udp(1, 2).payload(b"abc").build();
        assert_eq!(replaced(&udp, 1..2, b"x"), Err(NoRoom));
    }

    #[test]
    fn without_tailroom_the_headers_move() {
        let long = segment(false, &vec![b'd'; VecBuf::ROOM - 14 - 20 - 24]);
        let frame = replaced(&long, 0..1, b"0123456789").unwrap();
        let after = info(&frame);
        assert!(tcp::payload(after.upper(&frame)).starts_with(b"0123456789d"));
        assert_eq!((frame.len(), verify_checksums(&frame)), (VecBuf::ROOM + 9, Ok(())));
    }

    proptest! {
        #[test]
        fn the_data_is_what_it_should_be(
            v6: bool,
            data in prop::collection::vec(any::<u8>(), 0..80),
            new in prop::collection::vec(any::<u8>(), 0..80),
            at: (prop::sample::Index, prop::sample::Index),
        ) {
            let (a, b) = (at.0.index(data.len() + 1), at.1.index(data.len() + 1));
            let range = a.min(b)..a.max(b);
            let frame = replaced(&segment(v6, &data), range.clone(), &new).unwrap();
            let want = [&data[..range.start], &new[..], &data[range.end..]].concat();
            prop_assert_eq!(tcp::payload(info(&frame).upper(&frame)), &want[..]);
            prop_assert_eq!(verify_checksums(&frame), Ok(()));
        }
    }
}
