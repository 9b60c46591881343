//! Packets in several pieces, as drivers make them of what does not fit in one mbuf. net_pcap replays such a packet.

mod common;

use std::fs;

use dpdk::{Burst, Mempool, Port, PortConfig, thread};
use wire::{NoRoom, PacketBuf};

/// A capture file (pcap 2.4, Ethernet) with one frame.
fn capture(frame: &[u8]) -> Vec<u8> {
    let len = frame.len() as u32;
    let header = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1, 0, 0, len, len];
    let mut file: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    file.extend_from_slice(frame);
    file
}

#[test]
fn the_first_piece_shows_and_the_others_are_not_lost() {
    const ROOM: usize = 256;
    let frame: Vec<u8> = (0..700).map(|n| n as u8).collect();
    let path = std::env::temp_dir().join(format!("rvs-segments-{}.cap", std::process::id()));
    fs::write(&path, capture(&frame)).unwrap();
    let eal = common::eal(&[&format!("net_pcap0,rx_pcap={},infinite_rx=0", path.display())]);
    let _registered = thread::register(eal).unwrap();
    let pool = Mempool::new(eal, "pieces", 255, 16, ROOM as u16, None).unwrap();
    let config = PortConfig { mtu: 200, ..PortConfig::new("replay") };
    let port = Port::by_device_name(eal, "net_pcap0").unwrap().configure(&config, &pool).unwrap();
    let mut burst = Burst::<32>::new();
    assert_eq!(port.rx_queue(0).unwrap().burst(&mut burst), 1);
    fs::remove_file(&path).unwrap();
    let mut mbuf = burst.drain().next().unwrap();

    assert!(!mbuf.is_contiguous());
    assert_eq!((mbuf.packet_len(), pool.in_use()), (700, 3));
    assert_eq!(mbuf.bytes(), &frame[..ROOM]);
    assert_eq!(mbuf.append(1), Err(NoRoom));
    assert_eq!(mbuf.linearize(), Err(NoRoom));
    assert_eq!(mbuf.packet_len(), 700, "a refusal changes nothing");
    mbuf.adj(14);
    mbuf.prepend(4).unwrap();
    assert_eq!((mbuf.packet_len(), mbuf.bytes().len()), (690, ROOM - 10));

    mbuf.truncate(100);
    assert!(mbuf.is_contiguous());
    assert_eq!((mbuf.packet_len(), pool.in_use()), (100, 1), "the pieces behind the first are freed");
    assert_eq!(&mbuf.bytes()[4..], &frame[14..110]);
    drop(mbuf);
    assert_eq!(pool.in_use(), 0);
}
