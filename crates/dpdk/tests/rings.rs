//! Rings between threads: nothing lost, order kept, nothing leaked.

mod common;

use dpdk::{Burst, Eal, Ring, RingError, thread};
use wire::PacketBuf;

fn eal() -> &'static Eal {
    common::eal(&[])
}

#[test]
fn two_threads_keep_count_and_order() {
    const PACKETS: u32 = 200_000;
    let eal = eal();
    let pool = common::pool(eal, "spsc");
    let (mut producer, mut consumer) = Ring::spsc(eal, "spsc", 256).unwrap();
    let source = pool.clone();
    let sender = std::thread::spawn(move || {
        let _registered = thread::register(eal).unwrap();
        let mut burst = Burst::<32>::new();
        let mut next = 0u32;
        while next < PACKETS || !burst.is_empty() {
            while next < PACKETS && !burst.is_full() {
                let Some(mut mbuf) = source.alloc() else { break };
                mbuf.append(4).unwrap();
                mbuf.bytes_mut().copy_from_slice(&next.to_be_bytes());
                burst.push(mbuf).unwrap();
                next += 1;
            }
            if producer.push_burst(&mut burst) == 0 {
                std::thread::yield_now();
            }
        }
    });
    let receiver = std::thread::spawn(move || {
        let _registered = thread::register(eal).unwrap();
        let mut burst = Burst::<32>::new();
        let mut received = 0u32;
        while received < PACKETS {
            if consumer.pop_burst(&mut burst) == 0 {
                std::thread::yield_now();
            }
            for mbuf in burst.drain() {
                assert_eq!(mbuf.bytes(), received.to_be_bytes());
                received += 1;
            }
        }
        consumer.is_empty()
    });
    sender.join().unwrap();
    assert!(receiver.join().unwrap(), "no more than was sent");
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_full_ring_gives_back() {
    let eal = eal();
    let pool = common::pool(eal, "full");
    // No power of two: the capacity is still what was asked for.
    let (mut producer, mut consumer) = Ring::spsc(eal, "full", 5).unwrap();
    assert_eq!(producer.capacity(), 5);
    let mut burst = Burst::<8>::new();
    for n in 0..8 {
        burst.push(common::packet(&pool, &[n])).unwrap();
    }
    assert_eq!(producer.push_burst(&mut burst), 5);
    let left: Vec<_> = burst.iter().map(|mbuf| mbuf.bytes()[0]).collect();
    assert_eq!(left, [5, 6, 7]);
    let refused = producer.push(common::packet(&pool, &[9])).unwrap_err();
    assert_eq!(refused.bytes(), [9]);
    drop((burst, refused));
    assert_eq!((producer.len(), consumer.len(), pool.in_use()), (5, 5, 5));

    let mut out = Burst::<4>::new();
    assert_eq!(consumer.pop_burst(&mut out), 4, "no more than there is room for");
    assert_eq!(consumer.pop_burst(&mut out), 0);
    producer.push(out.drain().next().unwrap()).unwrap();
    assert_eq!((consumer.len(), pool.in_use()), (2, 2));
    drop(producer);
    assert_eq!(consumer.len(), 2, "what was sent can still be had");
    drop(consumer);
    assert_eq!(pool.in_use(), 0, "what nobody took is freed");
    assert!(Ring::spsc(eal, "full", 5).is_ok(), "the ring is gone, and with it its name");
}

#[test]
fn nonsense_is_refused_in_words() {
    let make = |name: &str, size| Ring::spsc(eal(), name, size).err();
    let too_long = "r".repeat(29);
    let cases = [
        (make("r", 0), "ring 'r': size = 0 is out of range 1..=1073741822".to_owned()),
        (make("r", u32::MAX), "ring 'r': size = 4294967295 is out of range 1..=1073741822".to_owned()),
        (make(&too_long, 8), format!("ring: '{too_long}' is longer than the 28 bytes that a name may have")),
    ];
    for (error, want) in cases {
        assert_eq!(error.expect(&want).to_string(), want);
    }
    let _first = Ring::spsc(eal(), "twice", 8).unwrap();
    assert!(matches!(make("twice", 8), Some(RingError::Create { .. })), "names are unique");
}
