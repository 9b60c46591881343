//! Packets and their pools: room at both ends, exhaustion, nothing lost.

mod common;

use dpdk::{Burst, Eal, HEADROOM, L4Checksum, Mempool, MempoolError, RxChecksum, TxChecksum, thread};
use wire::{NoRoom, PacketBuf};

fn eal() -> &'static Eal {
    common::eal(&[])
}

#[test]
fn room_ends_where_dpdk_says() {
    let pool = common::pool(eal(), "room");
    let mut mbuf = common::packet(&pool, b"payload");
    assert_eq!((mbuf.headroom(), mbuf.tailroom()), (HEADROOM, 2048 - 7));

    assert_eq!(mbuf.prepend(HEADROOM + 1), Err(NoRoom));
    assert_eq!(mbuf.prepend(usize::MAX), Err(NoRoom));
    assert_eq!(mbuf.bytes(), b"payload", "a refusal changes nothing");
    mbuf.prepend(HEADROOM).unwrap();
    assert_eq!(mbuf.prepend(1), Err(NoRoom));
    assert_eq!((mbuf.headroom(), mbuf.packet_len()), (0, HEADROOM + 7));
    mbuf.bytes_mut()[..HEADROOM].fill(0xaa);
    assert_eq!(&mbuf.bytes()[HEADROOM..], b"payload");
    mbuf.adj(HEADROOM);
    assert_eq!((mbuf.bytes(), mbuf.headroom()), (&b"payload"[..], HEADROOM));

    assert_eq!(mbuf.append(2048 - 6), Err(NoRoom));
    assert_eq!(mbuf.append(usize::MAX), Err(NoRoom));
    mbuf.append(2048 - 7).unwrap();
    assert_eq!(mbuf.append(1), Err(NoRoom));
    assert_eq!((mbuf.tailroom(), mbuf.packet_len()), (0, 2048));
    mbuf.bytes_mut()[7..].fill(0xbb);
    mbuf.truncate(4096);
    assert_eq!(mbuf.packet_len(), 2048, "truncating does not lengthen");
    mbuf.truncate(3);
    assert_eq!((mbuf.bytes(), mbuf.tailroom()), (&b"pay"[..], 2045));
    mbuf.truncate(0);
    assert_eq!((mbuf.bytes(), mbuf.packet_len()), (&b""[..], 0));
}

#[test]
fn a_fresh_packet_says_nothing_of_its_receipt() {
    let pool = common::pool(eal(), "meta");
    let mut mbuf = common::packet(&pool, &[0; 64]);
    assert!(mbuf.is_contiguous());
    assert_eq!(mbuf.vlan_tci(), None);
    assert_eq!((mbuf.ip_checksum(), mbuf.l4_checksum()), (RxChecksum::Unknown, RxChecksum::Unknown));
    // Wishes for sending are no news of receiving.
    mbuf.set_tx_checksum(TxChecksum {
        l2_len: 14,
        l3_len: 20,
        ipv6: false,
        ipv4_header: true,
        l4: L4Checksum::Udp,
    });
    assert_eq!((mbuf.ip_checksum(), mbuf.l4_checksum()), (RxChecksum::Unknown, RxChecksum::Unknown));
    mbuf.linearize().unwrap();
    assert_eq!(mbuf.bytes(), [0; 64]);
}

#[test]
fn an_exhausted_pool_says_so_and_recovers() {
    let eal = eal();
    let _registered = thread::register(eal).unwrap();
    let pool = Mempool::new(eal, "exhausted", 100, 0, 128, None).unwrap();
    assert_eq!((pool.available(), pool.in_use()), (100, 0));
    let mut held: Vec<_> = (0..100).map(|_| pool.alloc().expect("100 packets")).collect();
    assert!(pool.alloc().is_none());
    let mut burst = Burst::<32>::new();
    assert!(!pool.alloc_burst(&mut burst, 1));
    assert_eq!((pool.available(), pool.in_use()), (0, 100));
    held.truncate(90);
    assert!(!pool.alloc_burst(&mut burst, 11), "all or none");
    assert!(burst.is_empty());
    assert!(pool.alloc_burst(&mut burst, 10));
    assert_eq!(burst.len(), 10);
    drop((held, burst));
    assert_eq!((pool.available(), pool.in_use()), (100, 0));
}

#[test]
fn bursts_free_what_is_left_in_them() {
    let eal = eal();
    let _registered = thread::register(eal).unwrap();
    let pool = common::pool(eal, "bursts");
    let mut burst = Burst::<8>::new();
    assert!(!pool.alloc_burst(&mut burst, 9), "more than it has room for");
    assert!(pool.alloc_burst(&mut burst, 8));
    let refused = burst.push(common::packet(&pool, b"ninth")).unwrap_err();
    assert_eq!(refused.bytes(), b"ninth");
    drop(refused);
    assert_eq!(pool.in_use(), 8);

    let mut drain = burst.drain();
    let kept = drain.next().unwrap();
    assert_eq!(drain.len(), 7);
    drop(drain);
    assert!(burst.is_empty());
    assert_eq!(pool.in_use(), 1, "what was not drained is freed");
    burst.push(kept).unwrap();
    drop(burst);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn packets_cross_threads_and_outlive_the_handle() {
    let eal = eal();
    let pool = common::pool(eal, "crossing");
    let watcher = pool.clone();
    let mbuf = common::packet(&pool, b"still here");
    drop(pool);
    let worker = std::thread::spawn(move || {
        let _registered = thread::register(eal).unwrap();
        mbuf.bytes().to_vec()
    });
    assert_eq!(worker.join().unwrap(), b"still here");
    assert_eq!(watcher.in_use(), 0);

    let mbuf = common::packet(&watcher, b"orphan");
    drop(watcher);
    assert_eq!(mbuf.bytes(), b"orphan");
}

#[test]
fn nonsense_is_refused_in_words() {
    let eal = eal();
    let make = |name: &str, count, cache, room| Mempool::new(eal, name, count, cache, room, None).err();
    let cases = [
        (make("p", 0, 0, 2048), "mempool 'p': count = 0 is out of range 1..=4294967294"),
        (make("p", 100, 67, 2048), "mempool 'p': cache = 67 is out of range 0..=66"),
        (make("p", 8191, 513, 2048), "mempool 'p': cache = 513 is out of range 0..=512"),
        (make("p", 100, 0, 10), "mempool 'p': data_room = 10 is out of range 64..=65407"),
        (make("", 100, 0, 2048), "mempool: a name must not be empty"),
        (
            make("a-name-that-is-much-too-long", 100, 0, 2048),
            "mempool: 'a-name-that-is-much-too-long' is longer than the 25 bytes that a name may have",
        ),
    ];
    for (error, want) in cases {
        assert_eq!(error.expect(want).to_string(), want);
    }
    let _first = common::pool(eal, "twice");
    assert!(matches!(make("twice", 100, 0, 2048), Some(MempoolError::Create { .. })), "names are unique");
}
