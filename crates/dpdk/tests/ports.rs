//! Ports and queues on virtual devices: bytes through a loopback, handles given once, nonsense refused in words.

mod common;

use dpdk::{Burst, Eal, Mempool, Offloads, Port, PortConfig, PortError, Rss, thread};
use wire::PacketBuf;

/// Each test has a device of its own. Of net_ring, which numbers its rings by itself, there can be several.
fn eal() -> &'static Eal {
    common::eal(&["net_null0", "net_null1", "net_null2", "net_ring0", "net_ring1", "net_ring2"])
}

#[test]
fn null_receives_endlessly_and_swallows() {
    let eal = eal();
    let _registered = thread::register(eal).unwrap();
    let pool = common::pool(eal, "null");
    let port =
        Port::by_device_name(eal, "net_null0").unwrap().configure(&PortConfig::new("wan"), &pool).unwrap();
    assert_eq!(port.name(), "wan");
    assert_eq!(port.info().device, "net_null0");
    assert_eq!(port.info().driver, "net_null");
    let (mut rx, mut tx) = (port.rx_queue(0).unwrap(), port.tx_queue(0).unwrap());
    let mut burst = Burst::<32>::new();
    for _ in 0..10 {
        assert_eq!(rx.burst(&mut burst), 32);
        assert!(burst.is_full());
        assert!(burst.iter().all(|mbuf| mbuf.is_contiguous() && mbuf.bytes().len() == 64));
        assert!(burst.iter().all(|mbuf| mbuf.port() == port.id().0));
        assert_eq!(tx.send(&mut burst), 32);
        assert!(burst.is_empty());
    }
    assert_eq!(tx.send(&mut burst), 0, "nothing to send");
    let stats = port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets), (320, 320));
    assert_eq!((stats.rx_missed, stats.rx_errors, stats.tx_errors, stats.rx_no_mbuf), (0, 0, 0, 0));
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_full_burst_keeps_what_it_has() {
    let eal = eal();
    let _registered = thread::register(eal).unwrap();
    let pool = common::pool(eal, "append");
    let port =
        Port::by_device_name(eal, "net_null1").unwrap().configure(&PortConfig::new("p"), &pool).unwrap();
    let mut rx = port.rx_queue(0).unwrap();
    let mut burst = Burst::<64>::new();
    burst.push(common::packet(&pool, b"first")).unwrap();
    assert_eq!(rx.burst(&mut burst), 63);
    assert_eq!(rx.burst(&mut burst), 0);
    assert_eq!(burst.len(), 64);
    assert_eq!(burst.iter().next().unwrap().bytes(), b"first");
    drop(burst);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn bytes_go_round_in_order() {
    let eal = eal();
    let _registered = thread::register(eal).unwrap();
    let pool = common::pool(eal, "loop");
    let port =
        Port::by_device_name(eal, "net_ring0").unwrap().configure(&PortConfig::new("lo"), &pool).unwrap();
    let (mut rx, mut tx) = (port.rx_queue(0).unwrap(), port.tx_queue(0).unwrap());
    let frame = |n: u8| [n; 60];
    let mut burst = Burst::<32>::new();
    for n in 0..20 {
        burst.push(common::packet(&pool, &frame(n))).unwrap();
    }
    assert_eq!(tx.send(&mut burst), 20);
    let mut back = Burst::<32>::new();
    assert_eq!(rx.burst(&mut back), 20);
    for (n, mbuf) in back.iter().enumerate() {
        assert_eq!(mbuf.bytes(), frame(n as u8));
    }
    assert_eq!(pool.in_use(), 20);
    back.clear();
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn what_a_full_queue_refuses_stays_in_order() {
    let eal = eal();
    let _registered = thread::register(eal).unwrap();
    let pool = Mempool::new(eal, "full", 2047, 32, 256, None).unwrap();
    let config = PortConfig { mtu: 200, ..PortConfig::new("lo") };
    let port = Port::by_device_name(eal, "net_ring1").unwrap().configure(&config, &pool).unwrap();
    let (mut rx, mut tx) = (port.rx_queue(0).unwrap(), port.tx_queue(0).unwrap());
    let mut next = 0u32;
    let mut burst = Burst::<32>::new();
    // The driver's ring holds 1023 packets, so that the 32nd burst loses one.
    let (sent, unsent) = loop {
        for _ in 0..32 {
            burst.push(common::packet(&pool, &next.to_be_bytes())).unwrap();
            next += 1;
        }
        let sent = tx.send(&mut burst);
        if sent < 32 {
            break (next - 32 + sent as u32, burst.len());
        }
    };
    assert_eq!(sent as usize + unsent, next as usize);
    for (n, mbuf) in burst.iter().enumerate() {
        assert_eq!(mbuf.bytes(), (sent + n as u32).to_be_bytes());
    }
    burst.clear();
    let mut received = 0;
    while rx.burst(&mut burst) > 0 {
        for mbuf in burst.drain() {
            assert_eq!(mbuf.bytes(), u32::to_be_bytes(received));
            received += 1;
        }
    }
    assert_eq!(received, sent);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn handles_are_given_once_and_keep_the_port() {
    let eal = eal();
    let pool = common::pool(eal, "handles");
    let idle = Port::by_device_name(eal, "net_ring2").unwrap();
    let error = Port::by_device_name(eal, "net_ring2").unwrap_err();
    assert_eq!(error.to_string(), "the port of device 'net_ring2' is in use already");
    let port = idle.configure(&PortConfig::new("lan"), &pool).unwrap();
    let mut rx = port.rx_queue(0).unwrap();
    let tx = port.tx_queue(0).unwrap();
    assert_eq!(port.rx_queue(0).err().unwrap().to_string(), "port 'lan': rx queue 0 was taken already");
    assert_eq!(port.tx_queue(0).err().unwrap().to_string(), "port 'lan': tx queue 0 was taken already");
    assert_eq!(port.tx_queue(1).err().unwrap().to_string(), "port 'lan': it has no tx queue 1, only 0..=0");
    assert!(port.link().unwrap().up);
    drop((port, tx));
    assert_eq!(rx.burst(&mut Burst::<32>::new()), 0, "the queue keeps its port running");
    assert!(matches!(Port::by_device_name(eal, "net_ring2"), Err(PortError::Taken { .. })));
    drop(rx);
    let error = Port::by_device_name(eal, "net_ring2").unwrap_err();
    assert_eq!(error.to_string(), "no port has the device 'net_ring2'");
}

#[test]
fn nonsense_is_refused_in_words() {
    let eal = eal();
    let pool = common::pool(eal, "nonsense");
    let plain = PortConfig::new("wan");
    let info = Port::by_device_name(eal, "net_null2").unwrap().info().clone();
    let queues = info.max_rx_queues;
    let cases = [
        (PortConfig { rx_queues: 0, ..plain.clone() }, format!("rx_queues = 0 is out of range 1..={queues}")),
        (
            PortConfig { rx_queues: queues + 1, ..plain.clone() },
            format!("rx_queues = {} is out of range 1..={queues}", queues + 1),
        ),
        (
            PortConfig { tx_queues: u16::MAX, ..plain.clone() },
            format!("tx_queues = 65535 is out of range 1..={}", info.max_tx_queues),
        ),
        (
            PortConfig { rx_descriptors: Some(0), ..plain.clone() },
            format!("rx_descriptors = 0 is out of range 1..={}", info.rx_descriptors.max),
        ),
        (
            PortConfig { tx_descriptors: Some(0), ..plain.clone() },
            format!("tx_descriptors = 0 is out of range 1..={}", info.tx_descriptors.max),
        ),
        (
            PortConfig { mtu: 20, ..plain.clone() },
            format!("mtu = 20 is out of range {}..={}", info.min_mtu, info.max_mtu),
        ),
        (
            PortConfig { mtu: 9000, ..plain.clone() },
            format!(
                "mtu = 9000 is out of range {}..=2022: mbufs of pool 'nonsense' hold 2048 bytes",
                info.min_mtu
            ),
        ),
    ];
    for (config, want) in cases {
        let error = Port::by_device_name(eal, "net_null2").unwrap().configure(&config, &pool).unwrap_err();
        assert_eq!(error.to_string(), format!("port 'wan': {want}"));
    }
    // A refused configuration leaves the port to be had again; offloads are wishes.
    let wishes =
        Offloads { rx_l4_checksum: true, vlan_strip: true, rss: Rss::Addresses, ..Offloads::default() };
    let config = PortConfig { offloads: wishes, rx_queues: 2, tx_queues: 2, ..plain };
    let port = Port::by_device_name(eal, "net_null2").unwrap().configure(&config, &pool).unwrap();
    assert_eq!((port.rx_queues(), port.tx_queues()), (2, 2));
    let granted = port.offloads();
    assert!(!granted.rx_l4_checksum && !granted.vlan_strip, "net_null can neither");
    assert_eq!(granted.rss, Rss::Addresses);
    assert_eq!(port.mtu().unwrap(), 1500);
    let error = port.set_mtu(3000).unwrap_err();
    assert!(error.to_string().starts_with("port 'wan': mtu = 3000 is out of range"), "{error}");
    port.set_mtu(1400).unwrap();
    assert_eq!(port.mtu().unwrap(), 1400);
}

#[test]
fn an_unknown_device_is_refused() {
    let error = Port::by_device_name(eal(), "net_tap7").unwrap_err();
    assert_eq!(error.to_string(), "no port has the device 'net_tap7'");
}
