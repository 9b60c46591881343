//! Translation is the same as sending from other ends, and coming back takes it back.

use proptest::prelude::*;
use wire::tcp;
use wire::testing::Frame;

use crate::{FAMILIES, Hosts, ends, only, packet, served};

/// A TCP segment or UDP datagram between these ends.
fn upper(frame: Frame, udp: bool, sport: u16, dport: u16, flags: u8) -> Frame {
    if udp { frame.udp(sport, dport) } else { frame.tcp(sport, dport, flags) }
}

fn round_trip(
    hosts: &Hosts,
    options: &str,
    udp: bool,
    port: u16,
    ttl: u8,
    payload: &[u8],
) -> Result<(), TestCaseError> {
    let mut lab = served(hosts, hosts.server, options);
    let sent =
        upper(packet(hosts.client, hosts.vip).ttl(ttl), udp, port, 80, tcp::SYN).payload(payload).build();
    let outcome = lab.send('c', &sent);
    let (info, got) = only(&outcome, 's');
    let [(src, sport), (dst, dport)] = ends(&info, got);
    let want = upper(packet(&src, &dst).ttl(ttl - 1), udp, sport, dport, tcp::SYN).payload(payload).build();
    prop_assert_eq!(&got[14..], &want[14..], "as if sent from {}:{}", src, sport);

    let answer = upper(packet(&dst, &src).ttl(ttl), udp, dport, sport, tcp::ACK).payload(payload).build();
    let outcome = lab.send('s', &answer);
    let (_, got) = only(&outcome, 'c');
    let want = packet(hosts.vip, hosts.client).ttl(ttl - 1);
    let want = upper(want, udp, 80, port, tcp::ACK).payload(payload).build();
    prop_assert_eq!(&got[14..], &want[14..]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn there_and_back(
        v6: bool,
        fullnat: bool,
        udp: bool,
        port in 21..=u16::MAX,
        ttl in 2..=255_u8,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let options = if fullnat { "--fullnat" } else { "-m" };
        round_trip(&FAMILIES[usize::from(v6)], options, udp, port, ttl, &payload)?;
    }
}
