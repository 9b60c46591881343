//! Rules that mark packets before anything else is asked about them, for services by mark [xt_MARK in PREROUTING].
//!
//! As with iptables, where marking ends no chain, the last rule that matches decides; a rule with a mask decides its bits only.

use core::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashSet;
use inet::IfaceId;
use wire::{Family, PacketInfo};

use crate::model::family_of;

/// What packets must have to get a mark: all that is said.
#[derive(Clone, Debug)]
pub struct MarkRule {
    /// What they get, within the mask.
    pub mark: u32,
    /// Bits of the mark that the rule decides [--set-mark VALUE/MASK].
    pub mask: u32,
    /// Their family.
    pub family: Option<Family>,
    /// Upper-layer protocol, by its IANA number.
    pub protocol: Option<u8>,
    /// Where they come from.
    pub src: Vec<Addresses>,
    /// Where they go.
    pub dst: Vec<Addresses>,
    /// First and last source port.
    pub sports: Option<(u16, u16)>,
    /// First and last destination port.
    pub dports: Option<(u16, u16)>,
    /// The interface that they come in by.
    pub iface: Option<IfaceId>,
}

/// Some addresses.
#[derive(Clone, Debug)]
pub enum Addresses {
    /// Those of a prefix, given by its first address and its length.
    Prefix(IpAddr, u8),
    /// Those of a set, which several rules may share.
    Set(Arc<PrefixSet>),
}

impl Addresses {
    fn has(&self, addr: IpAddr) -> bool {
        match self {
            Self::Prefix(first, len) => network(addr, *len) == Some(*first),
            Self::Set(set) => set.has(addr),
        }
    }
}

/// A set of prefixes, as fast to ask as there are different lengths in it.
#[derive(Clone, Debug, Default)]
pub struct PrefixSet {
    members: HashSet<(IpAddr, u8)>,
    lengths_v4: Vec<u8>,
    lengths_v6: Vec<u8>,
}

impl PrefixSet {
    /// A set of prefixes, each given by its first address and its length.
    pub fn new(members: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let members: HashSet<(IpAddr, u8)> = members.into_iter().collect();
        let lengths = |family| {
            let of = members.iter().filter(|(first, _)| family_of(*first) == family);
            let mut lengths: Vec<u8> = of.map(|(_, len)| *len).collect();
            lengths.sort_unstable();
            lengths.dedup();
            lengths
        };
        Self { lengths_v4: lengths(Family::V4), lengths_v6: lengths(Family::V6), members }
    }

    /// Whether a prefix of it has the address.
    pub fn has(&self, addr: IpAddr) -> bool {
        let lengths = match family_of(addr) {
            Family::V4 => &self.lengths_v4,
            Family::V6 => &self.lengths_v6,
        };
        let member = |&len: &u8| network(addr, len).is_some_and(|first| self.members.contains(&(first, len)));
        lengths.iter().any(member)
    }
}

/// The first address of the prefix of this length that has `addr`; none if its family has no such length.
fn network(addr: IpAddr, len: u8) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(addr) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(len.into())?).unwrap_or(0);
            Some(IpAddr::V4((addr.to_bits() & mask).into()))
        }
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(len.into())?).unwrap_or(0);
            Some(IpAddr::V6((addr.to_bits() & mask).into()))
        }
    }
}

/// All rules, in their order.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    rules: Box<[MarkRule]>,
}

impl Marks {
    /// Rules in their order.
    pub fn new(rules: Vec<MarkRule>) -> Self {
        Self { rules: rules.into() }
    }

    /// The mark of a packet that came in by `iface`; 0 if no rule matches.
    pub fn mark_of(&self, frame: &[u8], info: &PacketInfo, iface: IfaceId) -> u32 {
        if self.rules.is_empty() {
            return 0;
        }
        let (src, dst) = (info.src(frame), info.dst(frame));
        let matches = |rule: &&MarkRule| {
            rule.family.is_none_or(|family| family == info.family)
                && rule.protocol.is_none_or(|protocol| protocol == info.protocol)
                && rule.iface.is_none_or(|of| of == iface)
                && within(rule.sports, info.sport)
                && within(rule.dports, info.dport)
                && rule.src.iter().all(|addresses| addresses.has(src))
                && rule.dst.iter().all(|addresses| addresses.has(dst))
        };
        let (mut mark, mut undecided) = (0, u32::MAX);
        for rule in self.rules.iter().rev().filter(matches) {
            mark |= rule.mark & rule.mask & undecided;
            undecided &= !rule.mask;
            if undecided == 0 {
                break;
            }
        }
        mark
    }
}

fn within(range: Option<(u16, u16)>, port: u16) -> bool {
    range.is_none_or(|(first, last)| (first..=last).contains(&port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::testing::Frame;

    fn rule(mark: u32) -> MarkRule {
        MarkRule {
            mark,
            mask: u32::MAX,
            family: None,
            protocol: None,
            src: Vec::new(),
            dst: Vec::new(),
            sports: None,
            dports: None,
            iface: None,
        }
    }

    fn prefix(text: &str, len: u8) -> Addresses {
        Addresses::Prefix(text.parse().unwrap(), len)
    }

    fn mark(rules: &[MarkRule], frame: &[u8], iface: u16) -> u32 {
        let wire::Parsed::Ip(info) = wire::parse(frame).unwrap() else { panic!("it is IP") };
        Marks::new(rules.to_vec()).mark_of(frame, &info, IfaceId(iface))
    }

    #[test]
    fn a_rule_matches_what_has_all_that_it_says() {
        let tcp = Frame::v4("198.51.100.7", "10.77.0.9").tcp(40_000, 80, wire::tcp::SYN).build();
        let udp = Frame::v6("2001:db8:c::7", "2001:db8:77::9").udp(40_000, 80).build();
        let set = Arc::new(PrefixSet::new([
            ("10.77.0.0".parse().unwrap(), 24),
            ("2001:db8:77::".parse().unwrap(), 64),
        ]));
        let table = [
            ("everything", rule(7), (7, 7)),
            ("family", MarkRule { family: Some(Family::V6), ..rule(7) }, (0, 7)),
            ("protocol", MarkRule { protocol: Some(6), ..rule(7) }, (7, 0)),
            ("source", MarkRule { src: vec![prefix("198.51.100.0", 24)], ..rule(7) }, (7, 0)),
            ("all of IPv4", MarkRule { src: vec![prefix("0.0.0.0", 0)], ..rule(7) }, (7, 0)),
            ("another destination", MarkRule { dst: vec![prefix("10.78.0.0", 24)], ..rule(7) }, (0, 0)),
            ("set", MarkRule { dst: vec![Addresses::Set(set.clone())], ..rule(7) }, (7, 7)),
            (
                "set and prefix",
                MarkRule { dst: vec![Addresses::Set(set), prefix("10.77.0.8", 31)], ..rule(7) },
                (7, 0),
            ),
            ("ports", MarkRule { dports: Some((80, 81)), sports: Some((1024, 65_535)), ..rule(7) }, (7, 7)),
            ("another port", MarkRule { dports: Some((81, 90)), ..rule(7) }, (0, 0)),
            ("interface", MarkRule { iface: Some(IfaceId(1)), ..rule(7) }, (7, 7)),
            ("another interface", MarkRule { iface: Some(IfaceId(2)), ..rule(7) }, (0, 0)),
        ];
        for (name, rule, want) in table {
            let rules = [rule];
            assert_eq!((mark(&rules, &tcp, 1), mark(&rules, &udp, 1)), want, "{name}");
        }
    }

    #[test]
    fn the_last_rule_that_matches_decides() {
        let frame = Frame::v4("198.51.100.7", "10.77.0.9").tcp(40_000, 80, wire::tcp::SYN).build();
        let udp_only = MarkRule { protocol: Some(17), ..rule(9) };
        assert_eq!(mark(&[rule(7), rule(8), udp_only], &frame, 0), 8);
        assert_eq!(mark(&[], &frame, 0), 0);
    }

    #[test]
    fn a_rule_with_a_mask_decides_its_bits_only() {
        let frame = Frame::v4("198.51.100.7", "10.77.0.9").tcp(40_000, 80, wire::tcp::SYN).build();
        let masked = |mark, mask| MarkRule { mask, ..rule(mark) };
        for (rules, want) in [
            (vec![rule(0x17), masked(0x20, 0xf0)], 0x27),
            (vec![masked(0x20, 0xf0), rule(0x17)], 0x17),
            (vec![masked(1, 0xf), masked(0x20, 0xf0), masked(0x300, 0xf00)], 0x321),
            (vec![rule(0x17), masked(0, 0xf)], 0x10),
            (vec![masked(7, u32::MAX), masked(0, u32::MAX)], 0),
        ] {
            assert_eq!(mark(&rules, &frame, 0), want, "{rules:x?}");
        }
    }
}
