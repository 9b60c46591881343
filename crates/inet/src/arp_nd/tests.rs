use core::net::Ipv6Addr;

use proptest::prelude::*;
use wire::arp::{ArpPacket, Op};
use wire::ether::{self, MacAddr};
use wire::ndp::{Ends, Ndp, multicast_mac, solicited_node};
use wire::{PacketBuf, Parsed, VecBuf};

use super::*;
use crate::iface::IfaceId;
use crate::neighbour::{Confirm, NeighLimits, NeighState, Neighbours};
use crate::net::NetConfig;
use crate::testing::{C, MAC_C, MAC_S, S, address, config, frame, ip, net};

const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xaa]);

fn neighbours() -> Neighbours<VecBuf> {
    Neighbours::new(NeighLimits::default(), 1)
}

fn arp(op: Op, sender: (MacAddr, &str), target: &str, to: MacAddr) -> Vec<u8> {
    let v4 = |text: &str| text.parse().expect("an address");
    let (sender_mac, sender_ip, target_ip) = (sender.0, v4(sender.1), v4(target));
    let mut bytes = vec![0; 60];
    ArpPacket { op, sender_mac, sender_ip, target_mac: MacAddr([0; 6]), target_ip }.write(&mut bytes, &to);
    bytes
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn nd(message: Ndp, src: &str, src_mac: MacAddr, dst: Ipv6Addr) -> Vec<u8> {
    let dst_mac = if dst.is_multicast() { multicast_mac(&dst) } else { MAC_C };
    let mut bytes = vec![0; message.frame_len()];
    message.write(&mut bytes, &Ends { src_mac, dst_mac, src: v6(src), dst });
    bytes
}

fn solicitation(target: &str, source_mac: Option<MacAddr>) -> Ndp {
    Ndp::Solicitation { target: v6(target), source_mac }
}

fn advertisement(target: &str, target_mac: Option<MacAddr>, solicited: bool, overrides: bool) -> Ndp {
    Ndp::Advertisement { target: v6(target), target_mac, router: false, solicited, overrides }
}

/// Hands a frame to whom it concerns, as the pipeline does.
fn receive(net: &Net, table: &mut Neighbours<VecBuf>, iface: IfaceId, buf: &mut VecBuf) -> Option<Received> {
    match wire::parse(buf.bytes()) {
        Ok(Parsed::Arp) => Some(receive_arp(net, table, 0, iface, buf)),
        Ok(Parsed::Ip(info)) => Some(receive_nd(net, table, 0, iface, buf, &info)),
        _ => None,
    }
}

fn one(net: &Net, table: &mut Neighbours<VecBuf>, bytes: &[u8]) -> (Received, VecBuf) {
    let mut buf = VecBuf::new(bytes);
    let received = receive(net, table, C, &mut buf).expect("ARP or IP");
    (received, buf)
}

#[test]
fn answers_arp_for_its_own_only() {
    let net = net();
    // {name, interface, target, answered}
    for (name, iface, target, answered) in [
        ("interface address", C, "192.0.2.1", true),
        ("VIP", C, "192.0.2.100", true),
        ("local address", S, "10.0.2.200", true),
        ("bound elsewhere", S, "192.0.2.100", false),
        ("another host's", C, "192.0.2.9", false),
    ] {
        let sender = if iface == C { "192.0.2.254" } else { "10.0.2.11" };
        let mut buf = VecBuf::new(&arp(Op::Request, (PEER, sender), target, MacAddr::BROADCAST));
        let mut table = neighbours();
        let received = receive_arp(&net, &mut table, 0, iface, &mut buf);
        assert_eq!(received.action == Action::Reply, answered, "{name}");
        assert_eq!(table.known_mac(iface, ip(sender)), answered.then_some(PEER), "{name}");
        if answered {
            let reply = ArpPacket::parse(buf.bytes()).expect("a reply");
            let ours = net.iface(iface).mac;
            assert_eq!(
                (reply.op, reply.sender_mac, reply.sender_ip.to_string()),
                (Op::Reply, ours, target.into())
            );
            assert_eq!((reply.target_mac, reply.target_ip.to_string()), (PEER, sender.into()), "{name}");
            assert_eq!((ether::dst(buf.bytes()), ether::src(buf.bytes())), (PEER, ours), "{name}");
        }
    }
}

#[test]
fn the_arp_reply_byte_by_byte() {
    let request = frame(
        "ffffffffffff0200000000fe08060001080006040001\
         0200000000fec00002fe000000000000c0000264",
        (0, 18),
    );
    let (received, buf) = one(&net(), &mut neighbours(), &request);
    let want = frame(
        "0200000000fe02000000000108060001080006040002\
         020000000001c00002640200000000fec00002fe",
        (0, 0),
    );
    assert_eq!((received.action, buf.bytes()), (Action::Reply, &want[..]));
}

/// {name, frame, action, learned how, made an entry}
type Case = (&'static str, Vec<u8>, Action, Option<Confirm>, bool);

#[test]
fn learns_from_arp_with_care() {
    let net = net();
    let (request, reply) = (Op::Request, Op::Reply);
    let all = MacAddr::BROADCAST;
    let solicited = Some(Confirm::Solicited { overrides: true });
    let notice = Some(Confirm::Unsolicited { overrides: true });
    let drop = Action::Drop;
    let table: &[Case] = &[
        (
            "asks for us",
            arp(request, (PEER, "192.0.2.9"), "192.0.2.1", all),
            Action::Reply,
            Some(Confirm::Asked),
            true,
        ),
        (
            "replies to us",
            arp(reply, (PEER, "192.0.2.9"), "192.0.2.1", MAC_C),
            Action::Consume,
            solicited,
            true,
        ),
        ("replies to all", arp(reply, (PEER, "192.0.2.9"), "192.0.2.9", all), Action::Consume, notice, false),
        ("announces", arp(request, (PEER, "192.0.2.9"), "192.0.2.9", all), Action::Consume, notice, false),
        (
            "checks our address",
            arp(request, (PEER, "0.0.0.0"), "192.0.2.100", all),
            Action::Reply,
            None,
            false,
        ),
        ("is not on-link", arp(request, (PEER, "203.0.113.9"), "192.0.2.1", all), Action::Reply, None, false),
        (
            "belongs to the other side",
            arp(reply, (PEER, "10.0.2.11"), "192.0.2.1", MAC_C),
            Action::Consume,
            None,
            false,
        ),
        (
            "has our address",
            arp(request, (PEER, "192.0.2.100"), "192.0.2.100", all),
            drop(DropReason::DuplicateAddress),
            None,
            false,
        ),
        (
            "is us",
            arp(request, (MAC_C, "192.0.2.9"), "192.0.2.1", all),
            drop(DropReason::OwnFrame),
            None,
            false,
        ),
        (
            "is a group",
            arp(request, (all, "192.0.2.9"), "192.0.2.1", all),
            drop(DropReason::ArpInvalid),
            None,
            false,
        ),
        (
            "is nobody",
            arp(request, (MacAddr([0; 6]), "192.0.2.9"), "192.0.2.1", all),
            drop(DropReason::ArpInvalid),
            None,
            false,
        ),
        (
            "claims loopback",
            arp(request, (PEER, "127.0.0.1"), "192.0.2.1", all),
            drop(DropReason::ArpInvalid),
            None,
            false,
        ),
        (
            "claims a broadcast",
            arp(request, (PEER, "192.0.2.255"), "192.0.2.1", all),
            drop(DropReason::ArpInvalid),
            None,
            false,
        ),
    ];
    for (name, bytes, action, how, made) in table {
        let mut neighbours = neighbours();
        let (received, _) = one(&net, &mut neighbours, bytes);
        assert_eq!(received.action, *action, "one that {name}");
        assert_eq!(received.learned.map(|learned| learned.confirm), *how, "one that {name}");
        assert_eq!(neighbours.len(), usize::from(*made), "one that {name}");
    }
}

#[test]
fn our_address_on_another_interface_of_the_link_is_no_neighbour() {
    // One-armed by mistake: both interfaces hear each other.
    let mut both = config();
    both.addresses.push(address(S, "192.0.2.2/32"));
    both.addresses.push(address(S, "2001:db8:1::2/128"));
    let net = Net::build(both).expect("a network");
    let mut table = neighbours();
    one(&net, &mut table, &arp(Op::Request, (MAC_S, "192.0.2.2"), "192.0.2.1", MacAddr::BROADCAST));
    let asks = solicitation("2001:db8:1::1", Some(MAC_S));
    one(&net, &mut table, &nd(asks, "2001:db8:1::2", MAC_S, v6("2001:db8:1::1")));
    let answers = advertisement("2001:db8:1::2", Some(MAC_S), true, true);
    one(&net, &mut table, &nd(answers, "2001:db8:1::2", MAC_S, v6("2001:db8:1::1")));
    assert!(table.is_empty());
}

#[test]
fn a_changed_hardware_address_is_taken_and_told() {
    let net = net();
    let mut table = neighbours();
    one(&net, &mut table, &arp(Op::Reply, (PEER, "192.0.2.254"), "192.0.2.1", MAC_C));
    let (received, _) =
        one(&net, &mut table, &arp(Op::Request, (OTHER, "192.0.2.254"), "192.0.2.254", MacAddr::BROADCAST));
    assert!(received.changed && received.copy_to_host);
    assert_eq!(received.learned.map(|learned| learned.mac), Some(OTHER));
    assert_eq!(table.known_mac(C, ip("192.0.2.254")), Some(OTHER));

    let addr = "2001:db8:1::fe";
    one(&net, &mut table, &nd(advertisement(addr, Some(PEER), true, true), addr, PEER, v6("2001:db8:1::1")));
    for (overrides, known) in [(false, PEER), (true, OTHER)] {
        let notice = advertisement(addr, Some(OTHER), false, overrides);
        let (received, _) = one(&net, &mut table, &nd(notice, addr, OTHER, v6("ff02::1")));
        assert_eq!((received.changed, table.known_mac(C, ip(addr))), (overrides, Some(known)));
    }
}

#[test]
fn answers_solicitations_for_its_own_only() {
    let net = net();
    for (name, iface, target, answered) in [
        ("interface address", C, "2001:db8:1::1", true),
        ("VIP", C, "2001:db8:1::100", true),
        ("link-local", C, "fe80::ff:fe00:1", true),
        ("bound elsewhere", S, "2001:db8:1::100", false),
        ("another host's", C, "2001:db8:1::9", false),
    ] {
        for source_mac in [Some(PEER), None] {
            let group = solicited_node(&v6(target));
            let mut buf = VecBuf::new(&nd(solicitation(target, source_mac), "fe80::9", PEER, group));
            let mut table = neighbours();
            let received = receive(&net, &mut table, iface, &mut buf).expect("IP");
            assert_eq!(received.action == Action::Reply, answered, "{name}");
            let learned = source_mac.filter(|_| answered);
            assert_eq!(table.known_mac(iface, ip("fe80::9")), learned, "{name}");
            if answered {
                let info = wire::testing::info(buf.bytes());
                let ours = Some(net.iface(iface).mac);
                let want = Ndp::Advertisement {
                    target: v6(target),
                    target_mac: ours,
                    router: true,
                    solicited: true,
                    overrides: true,
                };
                assert_eq!(Ndp::parse(buf.bytes(), &info), Ok(want), "{name}");
                assert_eq!(
                    (info.src(buf.bytes()), info.dst(buf.bytes())),
                    (ip(target), ip("fe80::9")),
                    "{name}"
                );
                assert_eq!(
                    (ether::dst(buf.bytes()), ether::src(buf.bytes())),
                    (PEER, net.iface(iface).mac),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_server_that_asks_from_the_vip_is_answered_at_its_hardware_address() {
    let net = net();
    let (vip, ours) = ("2001:db8:1::100", "2001:db8:1::1");
    for source_mac in [Some(PEER), None] {
        let mut table = neighbours();
        let bytes = nd(solicitation(ours, source_mac), vip, PEER, solicited_node(&v6(ours)));
        let (received, buf) = one(&net, &mut table, &bytes);
        assert_eq!((received.action, received.learned, table.len()), (Action::Reply, None, 0));
        let info = wire::testing::info(buf.bytes());
        assert_eq!((info.src(buf.bytes()), info.dst(buf.bytes())), (ip(ours), ip(vip)));
        assert_eq!((ether::dst(buf.bytes()), ether::src(buf.bytes())), (PEER, MAC_C));
        let answer = Ndp::parse(buf.bytes(), &info);
        assert!(matches!(answer, Ok(Ndp::Advertisement { solicited: true, .. })), "{answer:?}");
        // What it asks for from there that is not ours is none of our business.
        let bytes = nd(solicitation("2001:db8:1::9", source_mac), vip, PEER, v6("ff02::1:ff00:9"));
        let (received, _) = one(&net, &mut table, &bytes);
        assert_eq!((received.action, received.copy_to_host), (Action::Consume, true));
    }
}

#[test]
fn questions_for_others_are_copied_to_the_host() {
    let net = net();
    let asks_arp = arp(Op::Request, (PEER, "192.0.2.254"), "192.0.2.9", MacAddr::BROADCAST);
    let target = "2001:db8:1::9";
    let asks_nd = nd(solicitation(target, Some(PEER)), "2001:db8:1::fe", PEER, solicited_node(&v6(target)));
    for bytes in [asks_arp, asks_nd] {
        let (received, buf) = one(&net, &mut neighbours(), &bytes);
        assert_eq!((received.action, received.copy_to_host), (Action::Consume, true));
        assert_eq!(buf.bytes(), bytes, "as it came");
    }
}

#[test]
fn who_checks_for_a_duplicate_of_ours_is_answered_before_all() {
    let net = net();
    let target = "2001:db8:1::100";
    let (received, buf) = one(
        &net,
        &mut neighbours(),
        &nd(solicitation(target, None), "::", PEER, solicited_node(&v6(target))),
    );
    assert_eq!((received.action, received.learned), (Action::Reply, None));
    let info = wire::testing::info(buf.bytes());
    assert_eq!(info.dst(buf.bytes()), ip("ff02::1"));
    assert_eq!(ether::dst(buf.bytes()), MacAddr([0x33, 0x33, 0, 0, 0, 1]));
    let solicited = match Ndp::parse(buf.bytes(), &info) {
        Ok(Ndp::Advertisement { solicited, .. }) => solicited,
        other => panic!("{other:?}"),
    };
    assert!(!solicited);
}

#[test]
fn learns_from_nd_with_care() {
    let net = net();
    let ours = v6("2001:db8:1::1");
    let peer = "2001:db8:1::fe";
    let nodes = v6("ff02::1");
    let mut far = nd(solicitation("2001:db8:1::1", Some(PEER)), peer, PEER, ours);
    far[21] = 64;
    let mut damaged = nd(solicitation("2001:db8:1::1", Some(PEER)), peer, PEER, ours);
    damaged[60] ^= 1;
    let solicited = Some(Confirm::Solicited { overrides: true });
    let notice = Some(Confirm::Unsolicited { overrides: false });
    let drop = Action::Drop;
    let table: &[Case] = &[
        (
            "asks for us",
            nd(solicitation("2001:db8:1::1", Some(PEER)), peer, PEER, ours),
            Action::Reply,
            Some(Confirm::Asked),
            true,
        ),
        (
            "answers us",
            nd(advertisement(peer, Some(PEER), true, true), peer, PEER, ours),
            Action::Consume,
            solicited,
            true,
        ),
        (
            "tells all",
            nd(advertisement(peer, Some(PEER), false, false), peer, PEER, nodes),
            Action::Consume,
            notice,
            false,
        ),
        (
            "answers without its address, unknown",
            nd(advertisement(peer, None, true, true), peer, PEER, ours),
            Action::Consume,
            None,
            false,
        ),
        (
            "is not on-link",
            nd(advertisement("2001:db8:9::9", Some(PEER), true, true), peer, PEER, ours),
            Action::Consume,
            None,
            false,
        ),
        (
            "has our address",
            nd(advertisement("2001:db8:1::100", Some(PEER), false, true), peer, PEER, nodes),
            drop(DropReason::DuplicateAddress),
            None,
            false,
        ),
        (
            "asks from our address",
            nd(solicitation("2001:db8:1::1", Some(PEER)), "2001:db8:1::100", PEER, ours),
            Action::Reply,
            None,
            false,
        ),
        (
            "is us",
            nd(solicitation("2001:db8:1::1", Some(MAC_C)), peer, MAC_C, ours),
            drop(DropReason::OwnFrame),
            None,
            false,
        ),
        (
            "claims a group",
            nd(advertisement(peer, Some(MacAddr::BROADCAST), true, true), peer, PEER, ours),
            drop(DropReason::NdInvalid),
            None,
            false,
        ),
        ("came through a router", far, drop(DropReason::NdInvalid), None, false),
        ("was damaged", damaged, drop(DropReason::NdInvalid), None, false),
    ];
    for (name, bytes, action, how, made) in table {
        let mut neighbours = neighbours();
        let (received, _) = one(&net, &mut neighbours, bytes);
        assert_eq!(received.action, *action, "one that {name}");
        assert_eq!(received.learned.map(|learned| learned.confirm), *how, "one that {name}");
        assert_eq!(neighbours.len(), usize::from(*made), "one that {name}");
    }
}

#[test]
fn an_answer_without_hardware_address_confirms_the_known_one() {
    let net = net();
    let mut table = neighbours();
    let peer = "2001:db8:1::fe";
    one(&net, &mut table, &nd(solicitation("2001:db8:1::1", Some(PEER)), peer, PEER, v6("2001:db8:1::1")));
    assert_eq!(table.iter(0).map(|view| view.state).next(), Some(NeighState::Stale));
    one(&net, &mut table, &nd(advertisement(peer, None, true, true), peer, PEER, v6("2001:db8:1::1")));
    assert_eq!(table.iter(0).map(|view| view.state).next(), Some(NeighState::Reachable));
}

#[test]
fn without_room_for_the_answer_the_question_is_dropped() {
    /// As full as a packet can be.
    struct Tight(VecBuf);
    impl PacketBuf for Tight {
        fn bytes(&self) -> &[u8] {
            self.0.bytes()
        }
        fn bytes_mut(&mut self) -> &mut [u8] {
            self.0.bytes_mut()
        }
        fn prepend(&mut self, _: usize) -> Result<(), wire::NoRoom> {
            Err(wire::NoRoom)
        }
        fn adj(&mut self, count: usize) {
            self.0.adj(count);
        }
        fn append(&mut self, count: usize) -> Result<(), wire::NoRoom> {
            if count == 0 { Ok(()) } else { Err(wire::NoRoom) }
        }
        fn truncate(&mut self, len: usize) {
            self.0.truncate(len);
        }
    }
    let target = "2001:db8:1::1";
    for (source_mac, action) in [(None, Action::Drop(DropReason::NoHeadroom)), (Some(PEER), Action::Reply)] {
        let bytes = nd(solicitation(target, source_mac), "fe80::9", PEER, v6(target));
        let info = wire::testing::info(&bytes);
        let mut buf = Tight(VecBuf::new(&bytes));
        assert_eq!(receive_nd(&net(), &mut neighbours(), 0, C, &mut buf, &info).action, action);
    }
}

#[test]
fn probes_byte_by_byte() {
    let net = net();
    // {target, asked alone, frame}
    for (iface, target, unicast, want) in [
        (
            S,
            "10.0.2.11",
            None,
            "ffffffffffff02000000000208060001080006040001020000000002\
             0a0002010000000000000a00020b",
        ),
        (
            S,
            "10.0.2.11",
            Some(PEER),
            "0200000000fe02000000000208060001080006040001020000000002\
             0a0002010000000000000a00020b",
        ),
        (
            S,
            "2001:db8:2::b",
            None,
            "3333ff00000b02000000000286dd6000000000203aff\
             20010db8000200000000000000000001ff0200000000000000000001ff00000b\
             8700----0000000020010db800020000000000000000000b0101020000000002",
        ),
        (
            S,
            "2001:db8:2::b",
            Some(PEER),
            "0200000000fe02000000000286dd6000000000203aff\
             20010db800020000000000000000000120010db800020000000000000000000b\
             8700----0000000020010db800020000000000000000000b0101020000000002",
        ),
    ] {
        let mut out = [0; FRAME_MAX];
        let len =
            write_probe(&net, &Probe { iface, target: ip(target), unicast }, &mut out).expect("a probe");
        let bytes = &out[..len];
        wire::testing::verify_checksums(bytes).expect("checksums");
        let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if want.contains("----") {
            text.replace_range(112..116, "----");
        }
        assert_eq!(text, want);
    }
}

#[test]
fn announcements_say_where_an_address_is() {
    let net = net();
    let mut out = [0; FRAME_MAX];
    let len = write_announcement(&net, &address(C, "192.0.2.100/32"), &mut out).expect("room");
    let arp = ArpPacket::parse(&out[..len]).expect("ARP");
    assert_eq!(
        (arp.op, arp.sender_mac, arp.sender_ip, arp.target_ip),
        (Op::Request, MAC_C, arp.target_ip, arp.sender_ip)
    );
    assert!(ether::dst(&out).is_broadcast());

    let len = write_announcement(&net, &address(C, "2001:db8:1::100/128"), &mut out).expect("room");
    let info = wire::testing::info(&out[..len]);
    let target = v6("2001:db8:1::100");
    let want = Ndp::Advertisement {
        target,
        target_mac: Some(MAC_C),
        router: true,
        solicited: false,
        overrides: true,
    };
    assert_eq!(Ndp::parse(&out[..len], &info), Ok(want));
    assert_eq!(info.dst(&out), ip("ff02::1"));

    assert_eq!(write_announcement(&net, &address(C, "192.0.2.100/32"), &mut [0; 41]), None);
}

#[test]
fn announces_what_is_new_or_has_moved() {
    let old = net();
    assert_eq!(to_announce(None, &old).count(), old.addresses().len());
    assert_eq!(to_announce(Some(&old), &old).count(), 0);
    let mut changed = config();
    changed.addresses.push(address(C, "192.0.2.101/32"));
    changed.ifaces[1].mac = OTHER;
    let new = Net::build(NetConfig { ..changed }).expect("a network");
    let moved = |addr: &Address| addr.iface == S || addr.addr == ip("192.0.2.101");
    assert!(to_announce(Some(&old), &new).all(moved));
    assert_eq!(to_announce(Some(&old), &new).count(), new.addresses().iter().filter(|a| moved(a)).count());
}

#[test]
fn nothing_to_ask_with_is_no_probe() {
    let bare = Net::build(NetConfig { addresses: vec![], routes: vec![], ..config() }).expect("a network");
    for target in ["10.0.2.11", "2001:db8:2::b"] {
        let probe = Probe { iface: S, target: ip(target), unicast: None };
        assert_eq!(write_probe(&bare, &probe, &mut [0; FRAME_MAX]), None);
    }
    let probe = Probe { iface: S, target: ip("10.0.2.11"), unicast: None };
    assert_eq!(write_probe(&net(), &probe, &mut [0; 20]), None);
}

/// Valid frames of every kind, to be damaged.
fn samples() -> Vec<Vec<u8>> {
    let peer = "2001:db8:1::fe";
    vec![
        arp(Op::Request, (PEER, "192.0.2.254"), "192.0.2.100", MacAddr::BROADCAST),
        arp(Op::Reply, (PEER, "192.0.2.254"), "192.0.2.1", MAC_C),
        nd(solicitation("2001:db8:1::100", Some(PEER)), peer, PEER, solicited_node(&v6("2001:db8:1::100"))),
        nd(solicitation("2001:db8:1::100", None), "::", PEER, solicited_node(&v6("2001:db8:1::100"))),
        nd(advertisement(peer, Some(PEER), true, true), peer, PEER, v6("2001:db8:1::1")),
        nd(advertisement(peer, None, true, false), peer, MAC_S, v6("2001:db8:1::1")),
    ]
}

/// Whatever a frame is like: no panic, and an answer is a valid frame from us.
fn survives(bytes: &[u8]) {
    let net = net();
    let mut table = neighbours();
    let mut buf = VecBuf::new(bytes);
    let Some(received) = receive(&net, &mut table, C, &mut buf) else { return };
    if received.action == Action::Reply {
        assert_eq!(ether::src(buf.bytes()), MAC_C);
        assert!(
            ArpPacket::parse(buf.bytes()).is_some() || wire::testing::verify_checksums(buf.bytes()).is_ok()
        );
    }
}

#[test]
fn survives_every_truncation_and_every_flipped_bit() {
    for sample in samples() {
        for len in 0..sample.len() {
            survives(&sample[..len]);
        }
        for bit in 0..sample.len() * 8 {
            let mut bytes = sample.clone();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            survives(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn survives_options_of_any_kind(options in prop::collection::vec(any::<u8>(), 0..64), advertises: bool) {
        let mut bytes = samples()[if advertises { 5 } else { 3 }].clone();
        bytes[22..38].copy_from_slice(&v6("2001:db8:1::fe").octets());
        bytes.extend_from_slice(&options);
        let len = (bytes.len() - 54) as u16;
        bytes[18..20].copy_from_slice(&len.to_be_bytes());
        let info = wire::testing::info(&bytes);
        wire::icmpv6::fill_checksum(&mut bytes, &info);
        survives(&bytes);
    }
}
