//! DPDK's life in a process: started once, ended when nothing stands on it. One test, since the end is the end.

mod common;

use dpdk::{Eal, EalConfig, EalError, MemoryMode, Mempool, MempoolError, Port, Ring, thread};

#[test]
fn the_environment_ends_only_when_nothing_stands_on_it() {
    let too_small = Eal::init(EalConfig { memory_mib: 1, ..common::config(&[]) }).unwrap_err();
    assert_eq!(too_small, EalError::Memory { value: 1, min: 16, max: 1 << 20 });

    let eal = Eal::init(common::config(&["net_null0,size=100"])).unwrap();
    assert_eq!(eal.memory_mode(), MemoryMode::OrdinaryPages);
    assert_eq!(eal.devices(), ["net_null0"]);
    assert!(Eal::version().starts_with("DPDK 22.11"), "{}", Eal::version());
    let second = Eal::init(common::config(&[])).unwrap_err();
    assert_eq!(second.to_string(), "DPDK was started in this process already; it can be started only once");
    assert_eq!(thread::register(eal).unwrap_err().to_string(), "this thread is registered already");

    let too_much = Mempool::new(eal, "huge", 1 << 20, 0, 2048, None).unwrap_err();
    assert!(too_much.to_string().contains("Cannot allocate memory"), "{too_much}");

    let pool = Mempool::new(eal, "life", 255, 16, 256, None).unwrap();
    let mbuf = pool.alloc().unwrap();
    let ends = Ring::spsc(eal, "life", 8).unwrap();
    let idle = Port::by_device_name(eal, "net_null0").unwrap();
    assert_eq!(eal.cleanup(), Err(EalError::Held { holders: 3 }));
    drop((ends, idle));
    let other = std::thread::spawn(move || {
        let registered = thread::register(eal).unwrap();
        let twice = thread::register(eal).unwrap_err();
        (eal.cleanup(), twice.to_string(), drop(registered))
    });
    let (cleanup, twice, ()) = other.join().unwrap();
    assert_eq!(cleanup, Err(EalError::NotMainThread));
    assert_eq!(twice, "this thread is registered already");
    drop(pool);
    assert_eq!(eal.cleanup(), Err(EalError::PacketsHeld { mbufs: 1 }));
    drop(mbuf);
    // The retired pool is given back at the next occasion, and with it its name.
    drop(Mempool::new(eal, "life", 255, 16, 256, None).unwrap());
    assert_eq!(eal.cleanup(), Ok(()));
    assert_eq!(eal.cleanup(), Err(EalError::ShutDown));
    let late = Mempool::new(eal, "late", 255, 16, 256, None).unwrap_err();
    assert_eq!(late, MempoolError::Eal(EalError::ShutDown));
}

#[test]
fn threads_stay_where_they_are_pinned() {
    let cpus = thread::cpus().unwrap();
    let last = *cpus.last().unwrap();
    let pinned = std::thread::spawn(move || {
        let wrong = thread::pin_to_cpu(1 << 20).unwrap_err();
        thread::pin_to_cpu(last).unwrap();
        (thread::cpus().unwrap(), wrong.to_string())
    });
    let (seen, wrong) = pinned.join().unwrap();
    assert_eq!(seen, [last]);
    assert!(wrong.starts_with("cpu 1048576 is not one that this process may use"), "{wrong}");
}
