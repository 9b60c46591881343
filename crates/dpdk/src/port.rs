//! A NIC, or what acts as one.
//!
//! An [`IdlePort`] is a device that EAL found; configuring makes it a started [`Port`], which gives each queue out once.
//!
//! Invariant: a port is stopped and closed when its handle and all its queues are gone, never before.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dpdk_sys as sys;

use crate::eal::{Hold, port_of};
use crate::error::Errno;
use crate::offload::{abilities, grant, rss_fields, rx_flags, tx_flags};
use crate::port_config::{check, check_mtu, descriptor_limits};
use crate::{Eal, EalError, Mempool, Offloads, PortConfig, PortInfo, Rss, RxQueue, TxQueue};

/// DPDK's number of a port: what [`crate::Mbuf::port`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u16);

/// Why a port cannot be had, set up or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error("no port has the device '{device}'")]
    NoDevice { device: String },
    #[error("the port of device '{device}' is in use already")]
    Taken { device: String },
    #[error("port '{port}': {option} = {value} is out of range {min}..={max}")]
    OutOfRange { port: String, option: &'static str, value: u32, min: u32, max: u32 },
    #[error(
        "port '{port}': rx_queues = {rx_queues} is out of range {all}..={all}: \
         {driver} spreads packets over all queues of the device, whether polled or not"
    )]
    UnpolledQueues { port: String, rx_queues: u16, all: u16, driver: String },
    #[error("port '{port}': {option} = {value} is not a multiple of {multiple}")]
    NotMultiple { port: String, option: &'static str, value: u32, multiple: u32 },
    #[error(
        "port '{port}': mtu = {mtu} is out of range {min}..={max}: mbufs of pool '{pool}' hold {data_room} bytes"
    )]
    MtuExceedsPool { port: String, mtu: u32, min: u32, max: u32, pool: String, data_room: u16 },
    #[error("port '{port}': it has no {direction} queue {queue}, only 0..={max}")]
    NoQueue { port: String, direction: &'static str, queue: u16, max: u16 },
    #[error("port '{port}': {direction} queue {queue} was taken already")]
    QueueTaken { port: String, direction: &'static str, queue: u16 },
    #[error("port '{port}': its driver could not {action}: {error}")]
    Driver { port: String, action: &'static str, error: Errno },
    #[error(transparent)]
    Eal(#[from] EalError),
}

/// The state of a port's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub up: bool,
    /// Megabits per second, if the driver knows.
    pub speed_mbps: Option<u32>,
    pub full_duplex: bool,
}

/// What a port's driver counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    /// Dropped by the NIC because its queue was full.
    pub rx_missed: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    /// Failures to get an mbuf for a packet.
    pub rx_no_mbuf: u64,
}

/// A port that does not run yet.
#[derive(Debug)]
pub struct IdlePort {
    claim: Claim,
    info: PortInfo,
    raw: sys::rte_eth_dev_info,
}

/// A started port. Dropping it stops and closes it, once its queues are gone, too.
#[derive(Debug)]
pub struct Port {
    started: Arc<Started>,
}

/// The exclusive right to a port.
#[derive(Debug)]
struct Claim {
    id: PortId,
    hold: Hold,
}

/// What a port's handle and its queues share.
#[derive(Debug)]
pub(crate) struct Started {
    name: String,
    info: PortInfo,
    rx_queues: u16,
    tx_queues: u16,
    granted: Offloads,
    /// Queues given out; also serialises what changes the port.
    taken: Mutex<Taken>,
    /// Declared before the pool: the port is closed first.
    running: Running,
    pool: Mempool,
}

#[derive(Debug, Default)]
struct Taken {
    rx: BTreeSet<u16>,
    tx: BTreeSet<u16>,
}

/// Stops and closes the port at the end.
#[derive(Debug)]
struct Running(Claim);

impl Port {
    /// Finds the port of a device that EAL was given, by the device's name without its options.
    pub fn by_device_name(eal: &'static Eal, device: &str) -> Result<IdlePort, PortError> {
        let hold = eal.hold()?;
        let Some(id) = port_of(device) else {
            return Err(PortError::NoDevice { device: device.to_owned() });
        };
        if !eal.claim_port(id) {
            return Err(PortError::Taken { device: device.to_owned() });
        }
        let claim = Claim { id: PortId(id), hold };
        let raw = claim.device_info().map_err(|error| driver_error(device, "describe itself", error))?;
        let info = claim.info(device, &raw)?;
        Ok(IdlePort { claim, info, raw })
    }

    pub fn id(&self) -> PortId {
        self.started.id()
    }

    /// What the user calls it.
    pub fn name(&self) -> &str {
        &self.started.name
    }

    pub fn info(&self) -> &PortInfo {
        &self.started.info
    }

    pub fn mac(&self) -> [u8; 6] {
        self.started.info.mac
    }

    pub fn rx_queues(&self) -> u16 {
        self.started.rx_queues
    }

    pub fn tx_queues(&self) -> u16 {
        self.started.tx_queues
    }

    /// The offloads that were both wished for and possible.
    pub fn offloads(&self) -> Offloads {
        self.started.granted
    }

    /// Gives out a receiving queue, once.
    pub fn rx_queue(&self, queue: u16) -> Result<RxQueue, PortError> {
        let started = &self.started;
        started.take("rx", queue, started.rx_queues, |taken| &mut taken.rx)?;
        Ok(RxQueue::new(Arc::clone(started), queue))
    }

    /// Gives out a sending queue, once.
    pub fn tx_queue(&self, queue: u16) -> Result<TxQueue, PortError> {
        let started = &self.started;
        started.take("tx", queue, started.tx_queues, |taken| &mut taken.tx)?;
        Ok(TxQueue::new(Arc::clone(started), queue))
    }

    pub fn stats(&self) -> Result<PortStats, PortError> {
        let _serial = self.started.serial();
        let mut raw = MaybeUninit::<sys::rte_eth_stats>::zeroed();
        // SAFETY: the port is started; the call writes the structure, for which zeroes are valid, too.
        let (code, raw) =
            unsafe { (sys::rte_eth_stats_get(self.id().0, raw.as_mut_ptr()), raw.assume_init()) };
        self.done("report its counters", code)?;
        Ok(PortStats {
            rx_packets: raw.ipackets,
            tx_packets: raw.opackets,
            rx_bytes: raw.ibytes,
            tx_bytes: raw.obytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            tx_errors: raw.oerrors,
            rx_no_mbuf: raw.rx_nombuf,
        })
    }

    /// The line's state as the driver knows it; does not wait for negotiation.
    pub fn link(&self) -> Result<Link, PortError> {
        let _serial = self.started.serial();
        let mut raw = MaybeUninit::<sys::rte_eth_link>::zeroed();
        // SAFETY: the port is started; the call writes the structure, for which zeroes are valid, too.
        let (code, raw) =
            unsafe { (sys::rte_eth_link_get_nowait(self.id().0, raw.as_mut_ptr()), raw.assume_init()) };
        self.done("report its link", code)?;
        Ok(Link {
            up: raw.link_status() != 0,
            // 0 and 2^32 - 1 stand for none and unknown.
            speed_mbps: (raw.link_speed != 0 && raw.link_speed != u32::MAX).then_some(raw.link_speed),
            full_duplex: raw.link_duplex() != 0,
        })
    }

    pub fn mtu(&self) -> Result<u16, PortError> {
        let _serial = self.started.serial();
        let mut mtu = 0;
        // SAFETY: the port is started; the call writes the number.
        let code = unsafe { sys::rte_eth_dev_get_mtu(self.id().0, &mut mtu) };
        self.done("report its MTU", code)?;
        Ok(mtu)
    }

    /// Changes the MTU while running, which some drivers refuse.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), PortError> {
        let started = &self.started;
        check_mtu(&started.name, &started.info, mtu, (started.pool.name(), started.pool.data_room()))?;
        let _serial = started.serial();
        // SAFETY: the port is started; drivers refuse what they cannot do while queues are polled.
        self.done("change its MTU", unsafe { sys::rte_eth_dev_set_mtu(self.id().0, mtu) })
    }

    pub fn set_promiscuous(&self, on: bool) -> Result<(), PortError> {
        let _serial = self.started.serial();
        self.done("change promiscuous mode", self.started.running.0.set_promiscuous(on))
    }

    /// Receive all multicast.
    pub fn set_all_multicast(&self, on: bool) -> Result<(), PortError> {
        let _serial = self.started.serial();
        let id = self.id().0;
        // SAFETY: the port is started.
        let code = unsafe {
            if on { sys::rte_eth_allmulticast_enable(id) } else { sys::rte_eth_allmulticast_disable(id) }
        };
        self.done("change all-multicast mode", code)
    }

    fn done(&self, action: &'static str, code: i32) -> Result<(), PortError> {
        done(&self.started.name, action, code)
    }
}

impl IdlePort {
    pub fn id(&self) -> PortId {
        self.claim.id
    }

    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// Sets the port up and starts it, with received packets in mbufs of `pool`. A nonsensical configuration leaves the
    /// port as it was, so that it can be had again by name; one that the driver refuses closes it.
    pub fn configure(self, config: &PortConfig, pool: &Mempool) -> Result<Port, PortError> {
        let Self { claim, mut info, raw } = self;
        let (rx_descriptors, tx_descriptors) = check(config, &info)?;
        check_mtu(&config.name, &info, config.mtu, (pool.name(), pool.data_room()))?;
        let granted = grant(config.offloads, info.offloads, config.rx_queues);
        // From here on a failure closes the port: a queue may refer to the pool.
        let running = Running(claim);
        running.0.configure(config, granted, &raw)?;
        for queue in 0..config.rx_queues {
            running.0.set_up_rx(&config.name, queue, rx_descriptors, &raw, pool)?;
        }
        for queue in 0..config.tx_queues {
            running.0.set_up_tx(&config.name, queue, tx_descriptors, &raw)?;
        }
        if let Some(mac) = config.mac {
            running.0.set_mac(&config.name, mac)?;
            info.mac = mac;
        }
        // SAFETY: the port is configured with all its queues.
        done(&config.name, "start", unsafe { sys::rte_eth_dev_start(running.0.id.0) })?;
        if config.promiscuous {
            done(&config.name, "become promiscuous", running.0.set_promiscuous(true))?;
        }
        let started = Started {
            name: config.name.clone(),
            info,
            rx_queues: config.rx_queues,
            tx_queues: config.tx_queues,
            granted,
            taken: Mutex::default(),
            running,
            pool: pool.clone(),
        };
        Ok(Port { started: Arc::new(started) })
    }
}

impl Claim {
    fn device_info(&self) -> Result<sys::rte_eth_dev_info, Errno> {
        let mut raw = MaybeUninit::zeroed();
        // SAFETY: the port exists as long as we have it; the call writes the structure, for which zeroes are valid, too.
        let (code, raw) =
            unsafe { (sys::rte_eth_dev_info_get(self.id.0, raw.as_mut_ptr()), raw.assume_init()) };
        if code == 0 { Ok(raw) } else { Err(Errno::of_return(code)) }
    }

    fn info(&self, device: &str, raw: &sys::rte_eth_dev_info) -> Result<PortInfo, PortError> {
        let mut mac = sys::rte_ether_addr { addr_bytes: [0; 6] };
        // SAFETY: the port exists as long as we have it; the call writes the address.
        done(device, "report its MAC address", unsafe { sys::rte_eth_macaddr_get(self.id.0, &mut mac) })?;
        let driver = match raw.driver_name.is_null() {
            true => String::new(),
            // SAFETY: a driver's name is a static C string.
            false => unsafe { CStr::from_ptr(raw.driver_name) }.to_string_lossy().into_owned(),
        };
        Ok(PortInfo {
            device: device.to_owned(),
            driver,
            mac: mac.addr_bytes,
            socket: u32::try_from(self.socket()).ok(),
            max_rx_queues: raw.max_rx_queues,
            max_tx_queues: raw.max_tx_queues,
            rx_descriptors: descriptor_limits(&raw.rx_desc_lim, raw.default_rxportconf.ring_size),
            tx_descriptors: descriptor_limits(&raw.tx_desc_lim, raw.default_txportconf.ring_size),
            min_mtu: raw.min_mtu,
            max_mtu: raw.max_mtu,
            offloads: abilities(raw),
        }
        .without_boasts())
    }

    /// Before the port starts: what the kernel makes of a TAP's address, it makes when the TAP comes up.
    fn set_mac(&self, port: &str, mac: [u8; 6]) -> Result<(), PortError> {
        let mut raw = sys::rte_ether_addr { addr_bytes: mac };
        // SAFETY: the port is ours and configured; the call copies the address.
        let code = unsafe { sys::rte_eth_dev_default_mac_addr_set(self.id.0, &mut raw) };
        done(port, "take another MAC address", code)
    }

    /// The NUMA node, or -1.
    fn socket(&self) -> i32 {
        // SAFETY: the port exists as long as we have it.
        unsafe { sys::rte_eth_dev_socket_id(self.id.0) }
    }

    fn configure(
        &self,
        config: &PortConfig,
        granted: Offloads,
        raw: &sys::rte_eth_dev_info,
    ) -> Result<(), PortError> {
        // SAFETY: the structure is integers and pointers, for which zeroes are valid and mean the driver's default.
        let mut conf: sys::rte_eth_conf = unsafe { std::mem::zeroed() };
        conf.rxmode.mtu = config.mtu.into();
        conf.rxmode.offloads = rx_flags(granted);
        conf.txmode.offloads = tx_flags(granted);
        if granted.rss != Rss::Off {
            conf.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
            conf.rxmode.offloads |= raw.rx_offload_capa & sys::RVS_ETH_RX_OFFLOAD_RSS_HASH;
            conf.rx_adv_conf.rss_conf.rss_hf = rss_fields(granted.rss) & raw.flow_type_rss_offloads;
        }
        // SAFETY: the port is ours and stopped; the call copies the structure.
        let code =
            unsafe { sys::rte_eth_dev_configure(self.id.0, config.rx_queues, config.tx_queues, &conf) };
        done(&config.name, "be configured", code)
    }

    fn set_up_rx(
        &self,
        port: &str,
        queue: u16,
        descriptors: u16,
        raw: &sys::rte_eth_dev_info,
        pool: &Mempool,
    ) -> Result<(), PortError> {
        // SAFETY: the port is ours and configured with more queues than this; the pool outlives it (see `Started`).
        let code = unsafe {
            let socket = self.socket() as u32;
            sys::rte_eth_rx_queue_setup(
                self.id.0,
                queue,
                descriptors,
                socket,
                &raw.default_rxconf,
                pool.raw(),
            )
        };
        done(port, "set up a receiving queue", code)
    }

    fn set_up_tx(
        &self,
        port: &str,
        queue: u16,
        descriptors: u16,
        raw: &sys::rte_eth_dev_info,
    ) -> Result<(), PortError> {
        // SAFETY: the port is ours and configured with more queues than this.
        let code = unsafe {
            let socket = self.socket() as u32;
            sys::rte_eth_tx_queue_setup(self.id.0, queue, descriptors, socket, &raw.default_txconf)
        };
        done(port, "set up a sending queue", code)
    }

    fn set_promiscuous(&self, on: bool) -> i32 {
        // SAFETY: the port is ours and started.
        unsafe {
            if on {
                sys::rte_eth_promiscuous_enable(self.id.0)
            } else {
                sys::rte_eth_promiscuous_disable(self.id.0)
            }
        }
    }
}

impl Started {
    pub(crate) fn id(&self) -> PortId {
        self.running.0.id
    }

    /// Whether packets may ask the port for checksums.
    pub(crate) fn fills_checksums(&self) -> bool {
        self.granted.tx_ipv4_checksum || self.granted.tx_l4_checksum
    }

    /// DPDK's functions that set up or question a port are not made for use by several threads at once.
    fn serial(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(
        &self,
        direction: &'static str,
        queue: u16,
        queues: u16,
        set: impl Fn(&mut Taken) -> &mut BTreeSet<u16>,
    ) -> Result<(), PortError> {
        let port = self.name.clone();
        if queue >= queues {
            return Err(PortError::NoQueue { port, direction, queue, max: queues - 1 });
        }
        if !set(&mut self.serial()).insert(queue) {
            return Err(PortError::QueueTaken { port, direction, queue });
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: the port is ours, and no queue's handle is left, since each holds `Started`. Stopping what is not
        // started does nothing. What the driver says at the end, nobody can act on.
        unsafe {
            // On a kernel's interface these modes would stay.
            if sys::rte_eth_promiscuous_get(self.0.id.0) == 1 {
                sys::rte_eth_promiscuous_disable(self.0.id.0);
            }
            if sys::rte_eth_allmulticast_get(self.0.id.0) == 1 {
                sys::rte_eth_allmulticast_disable(self.0.id.0);
            }
            sys::rte_eth_dev_stop(self.0.id.0);
            sys::rte_eth_dev_close(self.0.id.0);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.hold.eal().release_port(self.id.0);
    }
}

fn driver_error(port: &str, action: &'static str, error: Errno) -> PortError {
    PortError::Driver { port: port.to_owned(), action, error }
}

fn done(port: &str, action: &'static str, code: i32) -> Result<(), PortError> {
    if code == 0 { Ok(()) } else { Err(driver_error(port, action, Errno::of_return(code))) }
}
