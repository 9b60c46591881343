//! Neighbour discovery for IPv6 (RFC 4861): solicitations and advertisements of neighbours.

use core::net::{IpAddr, Ipv6Addr};

use crate::ether::{self, MacAddr};
use crate::field::{array, get_u8, put, put_u8, put_u32};
use crate::info::{Family, Fragment, PacketInfo};
use crate::{icmpv6, ipv6, protocol};

/// Length of the longest frame that [`Ndp::write`] makes: with a link-layer address option, in bytes.
pub const MAX_FRAME_LEN: usize = FRAME_LEN + OPTION_LEN;

/// Headers and target address.
const FRAME_LEN: usize = ether::HEADER_LEN + ipv6::HEADER_LEN + MESSAGE_LEN;
/// ICMPv6 header and target address.
const MESSAGE_LEN: usize = 24;
/// A link-layer address option for Ethernet.
const OPTION_LEN: usize = 8;
/// What shows that no router forwarded the packet.
const HOP_LIMIT: u8 = 255;

/// Option number: link-layer address of the source.
const SOURCE_LINK_LAYER: u8 = 1;
/// Option number: link-layer address of the target.
const TARGET_LINK_LAYER: u8 = 2;

/// Flag bits of an advertisement.
const ROUTER: u32 = 0x8000_0000;
const SOLICITED: u32 = 0x4000_0000;
const OVERRIDE: u32 = 0x2000_0000;

/// A packet about neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ndp {
    /// Who has the target address?
    Solicitation {
        /// The address asked for.
        target: Ipv6Addr,
        /// Link-layer address of the asker; none when it checks for duplicates.
        source_mac: Option<MacAddr>,
    },
    /// The sender has the target address.
    Advertisement {
        /// The address that is answered for.
        target: Ipv6Addr,
        /// Its link-layer address.
        target_mac: Option<MacAddr>,
        /// It is a router's.
        router: bool,
        /// It answers a solicitation: the neighbour is reachable.
        solicited: bool,
        /// It replaces what is known.
        overrides: bool,
    },
}

/// Why a packet is no valid solicitation or advertisement (RFC 4861, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NdpError {
    /// It is something else: not ICMPv6, another type, or a fragment (RFC 6980).
    NotNdp,
    /// Hop limit below 255: it came through a router.
    BadHopLimit,
    /// The checksum is wrong.
    BadChecksum,
    /// The code is not 0.
    BadCode,
    /// Too short for its target.
    TooShort,
    /// The target is a multicast address.
    MulticastTarget,
    /// An option has length 0 or reaches behind the end.
    BadOption,
    /// A source, destination or flag that the RFC excludes.
    BadAddress,
}

/// Both ends of a packet, on the link and in IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Ethernet source.
    pub src_mac: MacAddr,
    /// Ethernet destination.
    pub dst_mac: MacAddr,
    /// IPv6 source.
    pub src: Ipv6Addr,
    /// IPv6 destination.
    pub dst: Ipv6Addr,
}

/// Whether an ICMPv6 packet is a solicitation or advertisement of a neighbour, valid or not.
#[inline]
pub fn is_ndp(frame: &[u8], info: &PacketInfo) -> bool {
    info.family == Family::V6
        && info.protocol == protocol::ICMPV6
        && info.fragment == Fragment::No
        && matches!(
            icmpv6::kind(info.upper(frame)),
            icmpv6::NEIGHBOUR_SOLICITATION | icmpv6::NEIGHBOUR_ADVERTISEMENT
        )
}

impl Ndp {
    /// Reads and checks a packet.
    pub fn parse(frame: &[u8], info: &PacketInfo) -> Result<Self, NdpError> {
        if !is_ndp(frame, info) {
            return Err(NdpError::NotNdp);
        }
        let icmp = info.upper(frame);
        if info.ttl != HOP_LIMIT {
            return Err(NdpError::BadHopLimit);
        }
        if icmp.len() < MESSAGE_LEN {
            return Err(NdpError::TooShort);
        }
        if !icmpv6::verify_checksum(frame, info) {
            return Err(NdpError::BadChecksum);
        }
        if icmpv6::code(icmp) != 0 {
            return Err(NdpError::BadCode);
        }
        let target = Ipv6Addr::from(array::<16>(icmp, 8));
        if target.is_multicast() {
            return Err(NdpError::MulticastTarget);
        }
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (info.src(frame), info.dst(frame)) else {
            return Err(NdpError::NotNdp);
        };
        if icmpv6::kind(icmp) == icmpv6::NEIGHBOUR_SOLICITATION {
            let source_mac = link_layer_option(icmp, SOURCE_LINK_LAYER)?;
            let duplicate_check = src.is_unspecified();
            if duplicate_check && (source_mac.is_some() || dst != solicited_node(&target)) {
                return Err(NdpError::BadAddress);
            }
            return Ok(Self::Solicitation { target, source_mac });
        }
        let flags = icmpv6::rest(icmp);
        let solicited = flags & SOLICITED != 0;
        if solicited && dst.is_multicast() {
            return Err(NdpError::BadAddress);
        }
        Ok(Self::Advertisement {
            target,
            target_mac: link_layer_option(icmp, TARGET_LINK_LAYER)?,
            router: flags & ROUTER != 0,
            solicited,
            overrides: flags & OVERRIDE != 0,
        })
    }

    /// Length of the frame that [`Self::write`] makes, in bytes.
    pub fn frame_len(&self) -> usize {
        match self {
            Self::Solicitation { source_mac: None, .. } | Self::Advertisement { target_mac: None, .. } => {
                FRAME_LEN
            }
            _ => MAX_FRAME_LEN,
        }
    }

    /// Writes the whole frame, [`Self::frame_len`] bytes. A shorter slice is left as it is.
    pub fn write(&self, frame: &mut [u8], ends: &Ends) {
        let len = self.frame_len();
        let Some(frame) = frame.get_mut(..len) else { return };
        let (kind, flags, target, option, mac) = match *self {
            Self::Solicitation { target, source_mac } => {
                (icmpv6::NEIGHBOUR_SOLICITATION, 0, target, SOURCE_LINK_LAYER, source_mac)
            }
            Self::Advertisement { target, target_mac, router, solicited, overrides } => {
                let flag = |set: bool, bit: u32| if set { bit } else { 0 };
                let flags = flag(router, ROUTER) | flag(solicited, SOLICITED) | flag(overrides, OVERRIDE);
                (icmpv6::NEIGHBOUR_ADVERTISEMENT, flags, target, TARGET_LINK_LAYER, target_mac)
            }
        };
        let info = icmpv6::written_info(len, HOP_LIMIT);
        ether::write(frame, &ends.dst_mac, &ends.src_mac, ether::IPV6);
        ipv6::Header {
            src: ends.src,
            dst: ends.dst,
            next_header: protocol::ICMPV6,
            hop_limit: HOP_LIMIT,
            traffic_class: 0,
            flow_label: 0,
            payload_len: info.upper_len(),
        }
        .write(info.ip_mut(frame));
        let icmp = info.upper_mut(frame);
        icmpv6::write(icmp, kind, 0, 0);
        put_u32(icmp, 4, flags);
        put(icmp, 8, target.octets());
        if let Some(mac) = mac {
            put_u8(icmp, MESSAGE_LEN, option);
            put_u8(icmp, MESSAGE_LEN + 1, 1);
            put(icmp, MESSAGE_LEN + 2, mac.0);
        }
        icmpv6::fill_checksum(frame, &info);
    }
}

/// The Ethernet address in the first option `kind`; every option's length is checked. Options are at most 255 * 8 bytes and
/// at least 8, so the walk is bounded by the packet's length.
fn link_layer_option(icmp: &[u8], kind: u8) -> Result<Option<MacAddr>, NdpError> {
    let mut found = None;
    let mut at = MESSAGE_LEN;
    while at < icmp.len() {
        let len = usize::from(get_u8(icmp, at + 1)) * 8;
        if len == 0 || at + len > icmp.len() {
            return Err(NdpError::BadOption);
        }
        if get_u8(icmp, at) == kind && len == OPTION_LEN && found.is_none() {
            found = Some(MacAddr(array(icmp, at + 2)));
        }
        at += len;
    }
    Ok(found)
}

/// The multicast address that a node with this address listens on (RFC 4291, 2.7.1).
pub fn solicited_node(address: &Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The Ethernet address of a multicast address (RFC 2464, 7).
pub fn multicast_mac(group: &Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{info, verify_checksums};

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const TARGET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0x12, 0x3456);
    const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

    fn solicitation(source_mac: Option<MacAddr>) -> Ndp {
        Ndp::Solicitation { target: TARGET, source_mac }
    }

    fn advertisement(target_mac: Option<MacAddr>, solicited: bool) -> Ndp {
        Ndp::Advertisement { target: TARGET, target_mac, router: false, solicited, overrides: true }
    }

    fn written(ndp: &Ndp, src: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
        let mut frame = vec![0xaa; ndp.frame_len()];
        ndp.write(&mut frame, &Ends { src_mac: MAC, dst_mac: multicast_mac(&dst), src, dst });
        frame
    }

    fn read(frame: &[u8]) -> Result<Ndp, NdpError> {
        Ndp::parse(frame, &info(frame))
    }

    #[test]
    fn multicast_addresses() {
        let group = solicited_node(&TARGET);
        assert_eq!(group.to_string(), "ff02::1:ff12:3456");
        assert_eq!(multicast_mac(&group).to_string(), "33:33:ff:12:34:56");
    }

    #[test]
    fn round_trips() {
        let group = solicited_node(&TARGET);
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        for (name, ndp, src, dst, len) in [
            ("asks", solicitation(Some(MAC)), PEER, group, 86),
            ("asks one", solicitation(None), PEER, TARGET, 78),
            ("checks for duplicates", solicitation(None), Ipv6Addr::UNSPECIFIED, group, 78),
            ("answers", advertisement(Some(MAC), true), TARGET, PEER, 86),
            ("announces", advertisement(Some(MAC), false), TARGET, all_nodes, 86),
            ("answers without address", advertisement(None, true), TARGET, PEER, 78),
        ] {
            let frame = written(&ndp, src, dst);
            assert_eq!(frame.len(), len, "{name}");
            assert_eq!(verify_checksums(&frame), Ok(()), "{name}");
            assert_eq!(read(&frame), Ok(ndp), "{name}");
        }
    }

    #[test]
    fn refuses_what_the_rfc_excludes() {
        let group = solicited_node(&TARGET);
        let asked = written(&solicitation(Some(MAC)), PEER, group);
        // Changes a byte, with the ICMPv6 checksum redone or not.
        let changed = |at: usize, value: u8, redo: bool| {
            let mut frame = asked.clone();
            frame[at] = value;
            if redo {
                let info = info(&frame);
                icmpv6::fill_checksum(&mut frame, &info);
            }
            read(&frame)
        };
        for (name, got, want) in [
            ("hop limit", changed(21, 254, true), NdpError::BadHopLimit),
            ("checksum", changed(85, 9, false), NdpError::BadChecksum),
            ("code", changed(55, 1, true), NdpError::BadCode),
            ("echo", changed(54, 128, true), NdpError::NotNdp),
            ("multicast target", changed(62, 0xff, true), NdpError::MulticastTarget),
            ("option of length 0", changed(79, 0, true), NdpError::BadOption),
            ("option too long", changed(79, 2, true), NdpError::BadOption),
            (
                "duplicate check with address",
                read(&written(&solicitation(Some(MAC)), Ipv6Addr::UNSPECIFIED, group)),
                NdpError::BadAddress,
            ),
            (
                "duplicate check to one",
                read(&written(&solicitation(None), Ipv6Addr::UNSPECIFIED, TARGET)),
                NdpError::BadAddress,
            ),
            (
                "solicited to a group",
                read(&written(&advertisement(Some(MAC), true), TARGET, group)),
                NdpError::BadAddress,
            ),
        ] {
            assert_eq!(got, Err(want), "{name}");
        }
        assert_eq!(changed(78, 99, true), Ok(solicitation(None)), "an unknown option is passed over");
    }

    #[test]
    fn too_short_for_its_target() {
        let mut frame = written(&solicitation(None), PEER, TARGET);
        frame.truncate(70);
        ipv6::set_payload_len(&mut frame[14..], 16);
        assert_eq!(read(&frame), Err(NdpError::TooShort));
    }
}
