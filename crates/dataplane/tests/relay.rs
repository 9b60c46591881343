//! A device with fewer transmit queues than there are workers: those without one hand their frames to one that has.
//!
//! net_pcap has as many queues as files. One test, since DPDK starts once per process.

#[path = "plane/rig.rs"]
#[allow(dead_code, reason = "this test has no wires")]
mod rig;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dataplane::{Plane, PlaneConfig, PortSetup};
use rig::{DEADLINE, Side, client, service};
use wire::parse::{Parsed, parse};
use wire::testing::{Frame, verify_checksums};
use wire::{MacAddr, protocol, tcp};

const FLOWS: u32 = 200;

/// A capture file (pcap 2.4, Ethernet).
fn capture<'a>(frames: impl Iterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1]);
    for frame in frames {
        file.extend(words(&[0, 0, frame.len() as u32, frame.len() as u32]));
        file.extend(frame);
    }
    file
}

/// The frames of a capture file.
fn frames(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).expect("the capture was written");
    let (mut frames, mut rest) = (Vec::new(), &bytes[24..]);
    while rest.len() >= 16 {
        let len = u32::from_le_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
        frames.push(rest[16..16 + len].to_vec());
        rest = &rest[16 + len..];
    }
    frames
}

fn port(name: &str, device: String, rx_queues: u16) -> PortSetup {
    PortSetup {
        name: name.to_owned(),
        device,
        mtu: 1500,
        mac: None,
        rx_queues: Some(rx_queues),
        rx_descriptors: None,
        tx_descriptors: None,
        promiscuous: true,
        exception: None,
    }
}

#[test]
fn frames_reach_the_worker_that_has_the_queue() {
    let file = |name: &str| -> PathBuf {
        std::env::temp_dir().join(format!("rvs-relay-{}-{name}.pcap", std::process::id()))
    };
    let files = ["in0", "in1", "none", "wan", "lan"].map(file);
    let [in0, in1, none, wan, lan] = &files;
    let syn = |flow| {
        Frame::new(client(flow).ip(), service(flow).ip())
            .mac(MacAddr([2, 0, 0, 0, 9, 0]), Side::Wan.mac())
            .tcp(client(flow).port(), service(flow).port(), tcp::SYN)
            .build()
    };
    let syns: Vec<_> = (0..FLOWS).map(syn).collect();
    fs::write(in0, capture(syns.iter().step_by(2))).expect("a writable folder");
    fs::write(in1, capture(syns.iter().skip(1).step_by(2))).expect("a writable folder");
    fs::write(none, capture([].iter())).expect("a writable folder");

    let wan_device =
        format!("net_pcap0,rx_pcap={},rx_pcap={},tx_pcap={}", in0.display(), in1.display(), wan.display());
    let lan_device = format!("net_pcap1,rx_pcap={},tx_pcap={}", none.display(), lan.display());
    let config = PlaneConfig {
        ports: vec![port("wan", wan_device, 2), port("lan", lan_device, 1)],
        ..rig::plane_config(2, 1024)
    };
    let mut plane = Plane::open(config).expect("the data plane opens");
    assert_eq!(plane.ports().iter().map(|port| port.tx_queues).collect::<Vec<_>>(), [1, 1]);
    let snapshot = rig::snapshot(1, 2);
    plane.start(&snapshot, || panic!("a thread of the data plane panicked")).expect("the workers start");
    let received = |plane: &Plane| -> u64 { plane.counters().iter().map(|worker| worker.rx.get()).sum() };
    let until = Instant::now() + DEADLINE;
    while received(&plane) < u64::from(FLOWS) {
        assert!(Instant::now() < until, "{} received", received(&plane));
        std::thread::sleep(Duration::from_millis(1));
    }
    plane.stop();

    let [first, second] = plane.counters() else { panic!("two workers") };
    for worker in [first, second] {
        let (came, went) = worker.balance();
        assert_eq!((came, worker.dropped()), (went, 0), "{worker:?}");
    }
    assert_eq!(second.tx.get(), 0, "the second worker has no transmit queue");
    assert_eq!(first.from_ring.get(), second.to_ring.get());
    assert_eq!(second.from_ring.get(), first.to_ring.get());
    assert!(plane.shared().iter().all(|worker| worker.connections() > 0), "both own connections");
    drop(plane);

    let sent = frames(lan);
    let sent: Vec<_> = sent
        .iter()
        .filter_map(|frame| match parse(frame) {
            Ok(Parsed::Ip(info)) if info.protocol == protocol::TCP => Some((frame, info)),
            _ => None,
        })
        .collect();
    files.iter().for_each(|file| fs::remove_file(file).expect("the file is there"));
    assert!(sent.iter().all(|(frame, _)| verify_checksums(frame) == Ok(())));
    let ends: HashSet<_> = sent.iter().map(|(frame, info)| (info.src(frame), info.sport)).collect();
    assert_eq!((sent.len(), ends.len()), (FLOWS as usize, FLOWS as usize), "each flow once");
}
