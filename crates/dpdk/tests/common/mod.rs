//! What the tests share: one environment a process, without huge pages, and packets to play with.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::sync::OnceLock;

use dpdk::{Eal, EalConfig, Hugepages, LogLevel, Mbuf, Mempool};
use wire::PacketBuf;

/// The configuration of a small environment with these devices.
pub fn config(devices: &[&str]) -> EalConfig {
    EalConfig {
        hugepages: Hugepages::Off,
        memory_mib: 64,
        devices: devices.iter().map(|&device| device.to_owned()).collect(),
        log_level: LogLevel::Error,
        ..EalConfig::default()
    }
}

/// The process's environment. Its main thread is none of the tests', so that each test can register itself.
pub fn eal(devices: &[&str]) -> &'static Eal {
    static EAL: OnceLock<&'static Eal> = OnceLock::new();
    EAL.get_or_init(|| {
        let config = config(devices);
        let main = std::thread::spawn(|| Eal::init(config).expect("DPDK starts"));
        main.join().expect("starting DPDK does not panic")
    })
}

/// A small pool.
pub fn pool(eal: &'static Eal, name: &str) -> Mempool {
    Mempool::new(eal, name, 1023, 32, Mempool::DATA_ROOM, None).expect("there is memory for a pool")
}

/// A packet with these bytes.
pub fn packet(pool: &Mempool, bytes: &[u8]) -> Mbuf {
    let mut mbuf = pool.alloc().expect("the pool has a packet");
    mbuf.append(bytes.len()).expect("the packet has room");
    mbuf.bytes_mut().copy_from_slice(bytes);
    mbuf
}
