//! Defence against floods: what is dropped, and what is left alone.

use conformance::Lab;
use inet::DropReason;
use ipvs::Defence;
use wire::tcp;

use crate::{FAMILIES, Hosts, packet, serve};

fn syn(hosts: &Hosts, port: u16) -> Vec<u8> {
    packet(hosts.client, hosts.vip).tcp(port, 80, tcp::SYN).build()
}

/// A client's whole handshake.
fn establish(lab: &mut Lab, hosts: &Hosts, port: u16) {
    lab.send('c', &syn(hosts, port));
    lab.send('s', &packet(hosts.server, hosts.client).tcp(8080, port, tcp::SYN | tcp::ACK).build());
    lab.send('c', &packet(hosts.client, hosts.vip).tcp(port, 80, tcp::ACK).build());
}

/// Second by second, with the turns that a worker would have.
fn pass_seconds(lab: &mut Lab, seconds: u64) {
    for _ in 0..seconds * 10 {
        lab.advance_to(lab.now_ms + 100);
    }
}

#[test]
fn half_open_connections_make_room_and_established_ones_stay() {
    for hosts in &FAMILIES {
        let mut lab = Lab::new();
        serve(&mut lab, hosts, hosts.server, "-m");
        establish(&mut lab, hosts, 1);
        (1000..1500).for_each(|port| drop(lab.send('c', &syn(hosts, port))));
        pass_seconds(&mut lab, 20);
        assert_eq!(lab.connection_count(), 501, "nothing is dropped before it is asked for");
        lab.settings.drop_entry = Defence::Always;
        lab.publish();
        pass_seconds(&mut lab, 35);
        let left = lab.connection_count();
        assert!(left < 400, "a thirty-second part a second, wherever: {left} are left");
        assert!(lab.shared.defence().drop_entry);
        let ack = packet(hosts.client, hosts.vip).tcp(1, 80, tcp::ACK).build();
        assert_eq!(lab.send('c', &ack).out.len(), 1, "who has a connection notices nothing");
        assert_eq!(lab.shared.connections() as usize, lab.connection_count());
    }
}

#[test]
fn one_new_connection_of_so_many_is_refused_and_old_ones_are_served() {
    let hosts = &FAMILIES[0];
    let mut lab = Lab::new();
    serve(&mut lab, hosts, hosts.server, "-m");
    establish(&mut lab, hosts, 1);
    (lab.settings.drop_packet, lab.settings.am_droprate) = (Defence::Always, 4);
    lab.publish();
    let dropped: Vec<bool> = (100..108)
        .map(|port| match lab.send('c', &syn(hosts, port)).dropped {
            None => false,
            Some(reason) => {
                assert_eq!(reason, DropReason::DefenceDrop);
                true
            }
        })
        .collect();
    assert_eq!(dropped, [false, false, false, true, false, false, false, true]);
    let ack = packet(hosts.client, hosts.vip).tcp(1, 80, tcp::ACK).build();
    assert!((0..8).all(|_| lab.send('c', &ack).dropped.is_none()), "connections that there are do not count");
}

#[test]
fn automatic_defence_waits_until_memory_is_short() {
    let hosts = &FAMILIES[0];
    let mut lab = Lab::with_connections(1000);
    serve(&mut lab, hosts, hosts.server, "-m");
    let settings = &mut lab.settings;
    (settings.drop_entry, settings.drop_packet) = (Defence::Automatic, Defence::Automatic);
    lab.publish();
    (0..850).for_each(|port| assert_eq!(lab.send('c', &syn(hosts, 1000 + port)).dropped, None, "{port}"));
    pass_seconds(&mut lab, 2);
    assert!(!lab.shared.defence().short && lab.connection_count() == 850);
    (850..980).for_each(|port| drop(lab.send('c', &syn(hosts, 1000 + port))));
    let full = lab.connection_count();
    pass_seconds(&mut lab, 2);
    assert!(full > 900 && lab.connection_count() < full, "room is made");
    pass_seconds(&mut lab, 20);
    let level = lab.shared.defence();
    assert!(!level.short && !level.drop_entry && level.drop_rate == 0, "and it ends by itself: {level:?}");
}
