//! VLAN tags (IEEE 802.1Q): taken off where a packet arrives, put on where it leaves.
//!
//! Invariant: between the two a frame is untagged. Only customer tags are handled; a service tag (802.1ad) names another
//! network than a customer tag with the same number, so such a frame keeps it and is of no EtherType that we know.

use crate::buf::{NoRoom, PacketBuf};
use crate::ether;
use crate::field::{get_u16, put_u16};

/// The 12 bits of a tag that name the VLAN; the others are priority.
const VID_MASK: u16 = 0x0fff;
/// Both addresses: what lies in front of a tag.
const ADDRESSES_LEN: usize = 12;

/// Takes the tag off and returns its VLAN. `None`: the frame had no tag, or only a priority (VLAN 0, also taken off),
/// and so belongs to the port itself.
pub fn pop<B: PacketBuf>(packet: &mut B) -> Option<u16> {
    let frame = packet.bytes_mut();
    if ether::ethertype(frame) != ether::VLAN || frame.len() < ether::HEADER_LEN + ether::VLAN_LEN {
        return None;
    }
    let vid = get_u16(frame, ether::HEADER_LEN) & VID_MASK;
    frame.copy_within(..ADDRESSES_LEN, ether::VLAN_LEN);
    packet.adj(ether::VLAN_LEN);
    (vid != 0).then_some(vid)
}

/// Puts a tag on, with priority 0. `vid` is 1..=4094.
pub fn push<B: PacketBuf>(packet: &mut B, vid: u16) -> Result<(), NoRoom> {
    if packet.bytes().len() < ether::HEADER_LEN {
        return Err(NoRoom);
    }
    packet.prepend(ether::VLAN_LEN)?;
    let frame = packet.bytes_mut();
    frame.copy_within(ether::VLAN_LEN..ether::VLAN_LEN + ADDRESSES_LEN, 0);
    put_u16(frame, ADDRESSES_LEN, ether::VLAN);
    put_u16(frame, ether::HEADER_LEN, vid & VID_MASK);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VecBuf;

    const UNTAGGED: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x08, 0x00, 0x45, 0x01];

    fn tagged(tpid: u16, tci: u16) -> Vec<u8> {
        let mut frame = UNTAGGED[..12].to_vec();
        frame.extend(tpid.to_be_bytes());
        frame.extend(tci.to_be_bytes());
        frame.extend(&UNTAGGED[12..]);
        frame
    }

    #[test]
    fn pops_customer_tags_only() {
        let service = tagged(ether::QINQ, 7);
        for (name, frame, vid, want) in [
            ("untagged", UNTAGGED.to_vec(), None, &UNTAGGED[..]),
            ("VLAN 7", tagged(ether::VLAN, 7), Some(7), &UNTAGGED[..]),
            ("VLAN 4094 with priority 5", tagged(ether::VLAN, 0xaffe), Some(4094), &UNTAGGED[..]),
            ("priority only", tagged(ether::VLAN, 0xe000), None, &UNTAGGED[..]),
            ("service tag", service.clone(), None, &service[..]),
            (
                "cut behind the tag protocol",
                tagged(ether::VLAN, 7)[..17].to_vec(),
                None,
                &tagged(ether::VLAN, 7)[..17],
            ),
        ] {
            let mut packet = VecBuf::new(&frame);
            assert_eq!(pop(&mut packet), vid, "{name}");
            assert_eq!(packet.bytes(), want, "{name}");
        }
    }

    #[test]
    fn push_is_the_inverse_of_pop() {
        let mut packet = VecBuf::new(&UNTAGGED);
        push(&mut packet, 123).unwrap();
        assert_eq!(packet.bytes(), tagged(ether::VLAN, 123));
        assert_eq!(pop(&mut packet), Some(123));
        assert_eq!(packet.bytes(), UNTAGGED);
    }

    #[test]
    fn push_needs_a_header_and_headroom() {
        assert_eq!(push(&mut VecBuf::new(&UNTAGGED[..13]), 1), Err(NoRoom));
        let mut packet = VecBuf::new(&UNTAGGED);
        packet.prepend(VecBuf::HEADROOM).unwrap();
        assert_eq!(push(&mut packet, 1), Err(NoRoom));
    }
}
