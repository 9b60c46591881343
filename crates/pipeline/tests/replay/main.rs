//! Replays recordings of Linux 6.1 IPVS and compares every frame, connection, gauge and counter.
//!
//! Masked, because Linux itself does not repeat them: the id and header checksum of IPv4 packets that the director makes
//! (ICMP, tunnel headers without DF), flow labels of IPv6 packets that it makes, seconds left within 2. What the
//! host's own stack would answer is only checked to be the host's.

#[path = "../lab/mod.rs"]
mod lab;
mod trace;

use std::collections::BTreeMap;
use std::path::Path;

use lab::{Lab, Outcome};
use trace::{Action, Trace};
use wire::{Family, Parsed, icmp, icmpv6, ipv4, parse, protocol, tcp};

/// Steps that differ from the recording, and why. A step that no longer differs fails the test.
const DIFFERS: &[(&str, usize, &str)] = &[
    (
        "dest_weight0_v4",
        12,
        "Linux sends by the route of the masqueraded past, and asks ARP for the virtual address",
    ),
    ("lookup_order_v4", 14, "the recorded service is persistent, which rvs has not got"),
    ("nat_ttl_v4", 18, "Linux writes its address into a record-route option"),
];

#[test]
fn recorded_traces_are_repeated() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the traces")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter_map(|name| name.strip_suffix(".trace").map(str::to_owned))
        .collect();
    names.sort();
    let mut report = String::new();
    let mut steps = 0;
    for name in &names {
        let text = std::fs::read_to_string(folder.join(format!("{name}.trace"))).expect("a trace");
        let trace = Trace::parse(&text);
        steps += trace.steps.len();
        let mut found = replay(&trace);
        for (_, step, why) in DIFFERS.iter().filter(|(of, ..)| of == name) {
            if found.remove(step).is_none() {
                report += &format!("{name} [{step}] does not differ, though it was expected to: {why}\n");
            }
        }
        for (step, difference) in found {
            report += &format!("{name} [{step}] {difference}\n");
        }
    }
    assert!(report.is_empty(), "{steps} steps of {} traces:\n{report}", names.len());
}

/// What differs, by step.
fn replay(trace: &Trace) -> BTreeMap<usize, String> {
    let mut lab = Lab::new(&trace.sysctls);
    let mut differences = BTreeMap::new();
    let mut waited = false;
    for step in &trace.steps {
        let difference = match &step.action {
            Action::Command { line, succeeded } => {
                assert!(succeeded, "recorded commands succeed: {line}");
                lab.command(line);
                None
            }
            Action::Wait { ms } => {
                lab.advance_to(lab.now_ms + ms);
                None
            }
            Action::Frame { at_ms, side, frame, out } => {
                lab.advance_to(*at_ms);
                let outcome = lab.receive(*side, frame);
                compare_frames(frame, *side, out, &outcome)
            }
            Action::Connections { at_ms, rows } => {
                lab.advance_to(*at_ms);
                compare_connections(rows, &lab.connections())
            }
            Action::Dump { list, stats } => {
                // Linux sums statistics every two seconds.
                let stats = if waited { compare_sorted(stats, lab.stats()) } else { None };
                compare_sorted(list, lab.list()).or(stats)
            }
        };
        waited = matches!(step.action, Action::Wait { .. });
        if let Some(difference) = difference {
            differences.insert(step.number, difference);
        }
    }
    differences
}

fn compare_frames(frame: &[u8], side: char, want: &[(char, Vec<u8>)], got: &Outcome) -> Option<String> {
    if got.to_host {
        let hosts = |(to, out): &(char, Vec<u8>)| *to == side && is_hosts_answer(frame, out);
        return (!want.iter().all(hosts)).then(|| format!("went to the host; want {}", show(want)));
    }
    let masked = |frames: &[(char, Vec<u8>)]| -> Vec<(char, Vec<u8>)> {
        frames.iter().map(|(side, frame)| (*side, mask(frame, got.made))).collect()
    };
    (masked(want) != masked(&got.out)).then(|| format!("\n  want {}\n  got  {}", show(want), show(&got.out)))
}

/// Whether a frame is what the recording machine's own TCP or UDP answers.
fn is_hosts_answer(frame: &[u8], answer: &[u8]) -> bool {
    let (Ok(Parsed::Ip(asked)), Ok(Parsed::Ip(info))) = (parse(frame), parse(answer)) else { return false };
    let swapped = info.src(answer) == asked.dst(frame) && info.dst(answer) == asked.src(frame);
    let upper = info.upper(answer);
    let reset = info.protocol == protocol::TCP && info.tcp_flags & tcp::RST != 0;
    let unreachable = match info.family {
        Family::V4 => info.protocol == protocol::ICMP && (icmp::kind(upper), icmp::code(upper)) == (3, 3),
        Family::V6 => info.protocol == protocol::ICMPV6 && (icmp::kind(upper), icmp::code(upper)) == (1, 4),
    };
    swapped && (reset || unreachable)
}

/// A frame without what Linux does not repeat. Ethernet padding is cut off.
fn mask(frame: &[u8], made: bool) -> Vec<u8> {
    let Ok(Parsed::Ip(info)) = parse(frame) else { return frame.to_vec() };
    let mut frame = frame[..usize::from(info.end)].to_vec();
    let echo = match info.family {
        Family::V4 => info.protocol == protocol::ICMP && icmp::kind(info.upper(&frame)) == icmp::ECHO_REPLY,
        Family::V6 => {
            info.protocol == protocol::ICMPV6 && icmp::kind(info.upper(&frame)) == icmpv6::ECHO_REPLY
        }
    };
    let made = made || echo;
    let ip = info.ip_mut(&mut frame);
    match info.family {
        Family::V4 => {
            let tunnel = ipv4::protocol(ip) == protocol::IPIP && !ipv4::dont_fragment(ip);
            if made || tunnel {
                ipv4::set_id(ip, 0);
            }
        }
        Family::V6 if made => {
            ip[1] &= 0xf0;
            ip[2..4].fill(0);
        }
        Family::V6 => {}
    }
    frame
}

fn compare_connections(want: &[String], got: &[(String, u64)]) -> Option<String> {
    let mut want: Vec<(String, u64)> = want
        .iter()
        .map(|row| {
            let (row, seconds) = row.rsplit_once(' ').expect("seconds left");
            (row.into(), seconds.parse().expect("a number"))
        })
        .collect();
    want.sort();
    let same = want.len() == got.len()
        && want.iter().zip(got).all(|(want, got)| want.0 == got.0 && want.1.abs_diff(got.1) <= 2);
    (!same).then(|| format!("\n  want {want:?}\n  got  {got:?}"))
}

fn compare_sorted(want: &[String], mut got: Vec<String>) -> Option<String> {
    let mut want = want.to_vec();
    want.sort();
    got.sort();
    (want != got).then(|| format!("\n  want {want:?}\n  got  {got:?}"))
}

fn show(frames: &[(char, Vec<u8>)]) -> String {
    let hex = |frame: &[u8]| frame.iter().take(120).map(|byte| format!("{byte:02x}")).collect::<String>();
    frames.iter().map(|(side, frame)| format!("{side} {} ({} bytes) ", hex(frame), frame.len())).collect()
}
