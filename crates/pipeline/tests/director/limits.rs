//! What happens when there is no more: connections, destinations, time; and fragments, which are not gathered.

use inet::DropReason;
use ipvs::{Cursor, DestId};
use wire::tcp;

use crate::{FAMILIES, ends, only, packet, pair, serve, served};
use conformance::Lab;

#[test]
fn a_full_table_refuses_new_connections_and_serves_old_ones() {
    for hosts in &FAMILIES {
        let mut lab = Lab::with_connections(3);
        serve(&mut lab, hosts, hosts.server, "-m");
        let syn = |port| packet(hosts.client, hosts.vip).tcp(port, 80, tcp::SYN).build();
        for port in 1..=3 {
            assert_eq!(lab.send('c', &syn(port)).dropped, None);
        }
        let outcome = lab.send('c', &syn(4));
        assert_eq!((outcome.out.len(), outcome.dropped), (0, Some(DropReason::ConnectionTableFull)));
        assert_eq!(lab.send('c', &syn(1)).dropped, None);
        assert_eq!(lab.shared.dest(DestId(0)).expect("counters").load().active, 3);
        assert_eq!(lab.shared.connections(), 3);

        lab.advance_to(60_500);
        assert_eq!((lab.connection_count(), lab.shared.connections()), (0, 0), "SYN_RECV lasts a minute");
        let counters = lab.shared.dest(DestId(0)).expect("counters");
        assert_eq!((counters.load().total(), counters.refs()), (0, 0));
        assert_eq!(lab.send('c', &syn(4)).dropped, None);
    }
}

#[test]
fn both_families_share_the_limit() {
    let mut lab = Lab::with_connections(1);
    for hosts in &FAMILIES {
        serve(&mut lab, hosts, hosts.server, "-m");
    }
    let syn = |at: usize| packet(FAMILIES[at].client, FAMILIES[at].vip).tcp(1, 80, tcp::SYN).build();
    assert_eq!(lab.send('c', &syn(0)).dropped, None);
    assert_eq!(lab.send('c', &syn(1)).dropped, Some(DropReason::ConnectionTableFull));
}

#[test]
fn an_overloaded_destination_is_told_apart_from_none() {
    for (options, want) in
        [("-m -x 1", DropReason::DestinationOverloaded), ("-m -x 1 -w 0", DropReason::NoDestination)]
    {
        let hosts = &FAMILIES[0];
        let mut lab = served(hosts, hosts.server, options);
        let syn = |port| packet(hosts.client, hosts.vip).tcp(port, 80, tcp::SYN).build();
        lab.send('c', &syn(1));
        let outcome = lab.send('c', &syn(2));
        assert_eq!((outcome.made, outcome.dropped), (true, Some(want)), "{options}");
    }
}

#[test]
fn a_flush_ends_all_connections() {
    let mut lab = Lab::new();
    for hosts in &FAMILIES {
        serve(&mut lab, hosts, hosts.server, "-m");
        for port in 101..=150 {
            lab.send('c', &packet(hosts.client, hosts.vip).tcp(port, 80, tcp::SYN).build());
        }
    }
    assert_eq!((lab.connections().len(), lab.connection_count()), (100, 100));
    let (mut cursor, mut flushed, mut pages) = (Some(Cursor::default()), 0, 0);
    while let Some(from) = cursor {
        let (count, next) = lab.pipeline.flush_connections(None, from, 8);
        assert!(count <= 8, "no more than were to be visited");
        assert_eq!(lab.connection_count(), 100 - flushed - count);
        (cursor, flushed, pages) = (next, flushed + count, pages + 1);
    }
    assert_eq!((lab.connection_count(), flushed), (0, 100));
    assert!(pages >= 2 * 1000 / 8, "both tables, a page at a time: {pages}");
    for dest in [0, 2] {
        assert_eq!(lab.shared.dest(DestId(dest)).expect("counters").refs(), 0);
    }
}

#[test]
fn replies_that_two_connections_could_have_go_to_the_newest() {
    let hosts = &FAMILIES[0];
    let mut lab = Lab::new();
    for vport in [80, 81] {
        lab.command(&format!("ipvsadm -A -t {}:{vport} -s rr", hosts.vip));
        lab.command(&format!("ipvsadm -a -t {}:{vport} -r {}:8080 -m", hosts.vip, hosts.server));
        lab.send('c', &packet(hosts.client, hosts.vip).tcp(40_000, vport, tcp::SYN).build());
    }
    let answer = packet(hosts.server, hosts.client).tcp(8080, 40_000, tcp::SYN | tcp::ACK).build();
    let came_from = |lab: &mut Lab| {
        let outcome = lab.send('s', &answer);
        let (info, frame) = only(&outcome, 'c');
        ends(&info, frame)
    };
    assert_eq!(came_from(&mut lab), pair(hosts.vip, 81, hosts.client, 40_000));
    // The newest ends; the older answers again.
    lab.send('c', &packet(hosts.client, hosts.vip).tcp(40_000, 80, tcp::ACK).build());
    lab.advance_to(61_000);
    assert_eq!(came_from(&mut lab), pair(hosts.vip, 80, hosts.client, 40_000));
}

#[test]
fn a_fragment_alone_leads_to_nothing_whoever_it_is_for() {
    for hosts in &FAMILIES {
        let mut lab = served(hosts, hosts.server, "-m");
        let own = if hosts.vip.contains(':') { "2001:db8:1::1" } else { "192.0.2.1" };
        let mut id = 0;
        for (name, side, from, to) in [
            ("to the service", 'c', hosts.client, hosts.vip),
            ("to the host", 'c', hosts.client, own),
            ("from the server", 's', hosts.server, hosts.client),
        ] {
            for (offset, more) in [(0, true), (64, false)] {
                id += 1;
                let frame = packet(from, to).id(id).fragment(offset, more).udp(7, 80).payload(&[0; 56]);
                let outcome = lab.send(side, &frame.build());
                assert_eq!((outcome.dropped, outcome.to_host), (None, false), "{name}");
                assert_eq!(outcome.out, [], "{name}");
            }
        }
        assert_eq!(lab.connection_count(), 0);
        lab.advance_to(61_000);
    }
}

#[test]
fn only_a_syn_opens_a_connection_unless_sloppy() {
    let hosts = &FAMILIES[0];
    let mut lab = served(hosts, hosts.server, "-m");
    let segment = |sport, flags| packet(hosts.client, hosts.vip).tcp(sport, 80, flags).build();
    for (name, sport, flags, sloppy, want) in [
        ("an acknowledgement", 1, tcp::ACK, false, 0),
        ("a reset", 2, tcp::SYN | tcp::RST, false, 0),
        ("data of active FTP, unexpected", 20, tcp::SYN, false, 0),
        ("a SYN", 3, tcp::SYN, false, 1),
        ("an acknowledgement, sloppy", 4, tcp::ACK, true, 2),
        ("a reset, sloppy", 5, tcp::RST, true, 2),
    ] {
        lab.settings.sloppy_tcp = sloppy;
        lab.publish();
        lab.send('c', &segment(sport, flags));
        assert_eq!(lab.connection_count(), want, "{name}");
    }
}
