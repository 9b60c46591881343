//! What an operator sees of packets that are followed.

use inet::DropReason;
use ipvs::trace::{Buffer, Filter, Hook, Step};
use ipvs::{DestId, Verdict};
use wire::tcp;

use crate::{FAMILIES, packet, served};

/// The kinds of steps, in order.
fn stages(buffer: &Buffer) -> Vec<String> {
    let name = |step: &Step| match step {
        Step::Came { .. } => "came".to_owned(),
        Step::Marked(_) => "marked".to_owned(),
        Step::Steered(_) => "steered".to_owned(),
        Step::At(hook) => hook.name().to_owned(),
        Step::Connection { direction, .. } => format!("{direction:?}"),
        Step::Scheduled { dest, .. } => format!("scheduled {}", dest.is_some()),
        Step::State { protocol, from, to } => {
            format!("{}-{}", protocol.state_name(*from), protocol.state_name(*to))
        }
        Step::Decided(Verdict::Drop(reason)) => reason.name().to_owned(),
        Step::Decided(Verdict::Tx(_)) => "sent".to_owned(),
        Step::Decided(verdict) => format!("{verdict:?}"),
        Step::Leaves { .. } => "leaves".to_owned(),
    };
    buffer.steps().iter().map(name).collect()
}

#[test]
fn a_handshake_is_seen_whole_by_the_clients_address() {
    for hosts in &FAMILIES {
        for method in ["-m", "--fullnat"] {
            let mut lab = served(hosts, hosts.server, method);
            let client = hosts.client.parse().expect("an address");
            let len = if hosts.client.contains(':') { 128 } else { 32 };
            let filter = Filter { host: Some((client, len)), ..Filter::default() };
            assert!(lab.pipeline.trace(Some(Buffer::new(filter, 10))).is_none());
            let syn = packet(hosts.client, hosts.vip).tcp(4000, 80, tcp::SYN).build();
            let there = lab.send('c', &syn).out;
            let forwarded = wire::testing::info(&there[0].1);
            let (to, port) = (forwarded.src(&there[0].1), forwarded.sport);
            let reply = packet(hosts.server, &to.to_string()).tcp(8080, port, tcp::SYN | tcp::ACK).build();
            lab.send('s', &reply);
            let stranger = packet(hosts.server, hosts.vip).tcp(9, 9, tcp::SYN).build();
            lab.send('s', &stranger);
            let kept = lab.pipeline.trace(None).expect("a buffer");
            let reply_hook = if method == "-m" { "FORWARD" } else { "LOCAL_IN" };
            let want = [
                &["came", "LOCAL_IN", "scheduled true", "NONE-SYN_RECV", "sent", "leaves"][..],
                &["came", reply_hook, "Reply", "SYN_RECV-SYN_RECV", "sent", "leaves"],
            ];
            assert_eq!(stages(&kept), want.concat(), "{method}");
        }
    }
}

#[test]
fn drops_say_why_and_errors_name_their_connection() {
    let hosts = &FAMILIES[0];
    let mut lab = served(hosts, hosts.server, "-m -w 0");
    lab.pipeline.trace(Some(Buffer::new(Filter::default(), 10)));
    let syn = packet(hosts.client, hosts.vip).tcp(4000, 80, tcp::SYN).build();
    assert_eq!(lab.send('c', &syn).dropped, Some(DropReason::NoDestination));
    let forged = packet("127.0.0.1", hosts.vip).tcp(4000, 80, tcp::SYN).build();
    assert_eq!(lab.send('c', &forged).dropped, Some(DropReason::MartianSource));
    let kept = lab.pipeline.trace(None).expect("a buffer");
    let want = ["came", "LOCAL_IN", "scheduled false", "Answer(NoDestination)", "came", "martian_source"];
    assert_eq!(stages(&kept), want);

    let mut lab = served(hosts, hosts.server, "-m");
    let there = lab.send('c', &syn).out;
    lab.pipeline.trace(Some(Buffer::new(Filter::default(), 10)));
    let error = packet(hosts.server, hosts.client).icmp(3, 1, 0).quote(&there[0].1, 64).build();
    lab.send('s', &error);
    let kept = lab.pipeline.trace(None).expect("a buffer");
    assert_eq!(kept.steps()[1], Step::At(Hook::Forward));
    assert!(matches!(kept.steps()[2], Step::Connection { dest: DestId(0), .. }), "{:?}", kept.steps());
}
