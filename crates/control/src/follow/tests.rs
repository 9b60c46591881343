use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use netlink_packet_core::{DoneMessage, ErrorMessage, NetlinkHeader};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::*;

fn message(payload: NetlinkPayload<RouteNetlinkMessage>) -> NetlinkMessage<RouteNetlinkMessage> {
    NetlinkMessage::new(NetlinkHeader::default(), payload)
}

fn done() -> NetlinkMessage<RouteNetlinkMessage> {
    message(NetlinkPayload::Done(DoneMessage::default()))
}

fn link() -> NetlinkMessage<RouteNetlinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = 5;
    link.attributes.push(LinkAttribute::IfName("wan.host".into()));
    message(NetlinkPayload::from(RouteNetlinkMessage::NewLink(link)))
}

fn address(last: u8) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut address = AddressMessage::default();
    address.header.index = 5;
    address.header.prefix_len = 32;
    address.attributes.push(AddressAttribute::Local([192, 0, 2, last].into()));
    message(NetlinkPayload::from(RouteNetlinkMessage::NewAddress(address)))
}

fn conversation() -> Conversation {
    Conversation::new(HashSet::from(["wan.host".to_owned()]))
}

#[test]
fn two_dumps_then_events() {
    let mut conversation = conversation();
    let (silent, changed) = (Next::Listen { changed: false }, Next::Listen { changed: true });
    for (what, message, want) in [
        ("a link", link(), &silent),
        ("an event during the dump", address(1), &silent),
        ("the end of links", done(), &Next::Ask(Dump::Addresses)),
        ("an address", address(2), &silent),
        ("the end of addresses", done(), &changed),
        ("an event", address(3), &changed),
        ("the same again", address(3), &silent),
        ("nothing", message(NetlinkPayload::Noop), &silent),
    ] {
        assert_eq!(conversation.take(message).unwrap(), *want, "{what}");
    }
    assert_eq!(conversation.kernel.addresses().len(), 3);
}

#[test]
fn what_was_lost_is_noticed() {
    let mut interrupted = link();
    interrupted.header.flags |= NLM_F_DUMP_INTR;
    assert!(matches!(conversation().take(interrupted), Err(Ended::Lost(_))));
    let overrun = message(NetlinkPayload::Overrun(Vec::new()));
    assert!(matches!(conversation().take(overrun), Err(Ended::Lost(_))));
    let mut refused = ErrorMessage::default();
    refused.code = std::num::NonZeroI32::new(-1);
    let refused = message(NetlinkPayload::Error(refused));
    let Err(Ended::Unable(e)) = conversation().take(refused) else { panic!("not refused") };
    assert_eq!(e.kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn it_stops_at_once_and_says_nothing_of_other_devices() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let sink = move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, String>(())
    };
    let follower = Follower::start(HashSet::from(["no-such-tap".to_owned()]), sink).unwrap();
    thread::sleep(MOST);
    let begin = Instant::now();
    follower.stop();
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}
