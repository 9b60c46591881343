//! DPDK's environment: memory, devices, the threads it knows.
//!
//! Invariant: whatever stands on the environment's memory (pools, rings, ports, registered threads) has a [`Hold`] on it,
//! and [`Eal::cleanup`] takes the memory away only when there is none.
//!
//! Pools are special: their mbufs know them, but do not keep them. A pool whose last handle is gone is therefore
//! *retired*, and freed by a sweep that finds all its mbufs home at a quiet moment: one when no other thread with a
//! cache of mbufs exists, since those count an mbuf as home an instant before they put it there.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char};
use std::fs;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use dpdk_sys as sys;

use crate::error::Errno;
use crate::thread::{self, ThreadError};

/// Where packets' memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// Huge pages when enough are free, else ordinary ones.
    #[default]
    Auto,
    /// Huge pages, or fail.
    On,
    Off,
}

/// What [`Hugepages`] led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    Hugepages,
    /// Ordinary pages: every machine has them, NICs need an IOMMU for them, and the TLB misses more often.
    OrdinaryPages,
}

/// How much DPDK tells on the standard error stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    #[default]
    Warning,
    Notice,
    Info,
    Debug,
}

/// How to start the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalConfig {
    pub hugepages: Hugepages,
    /// Memory for pools, rings and drivers, in MiB.
    pub memory_mib: u32,
    /// Keeps the files of instances apart that run side by side; `None` for DPDK's default.
    pub file_prefix: Option<String>,
    /// Virtual devices with their options (`net_af_packet0,iface=veth0,qpairs=2`), and PCI addresses with theirs
    /// (`0000:03:00.0`). Others are not touched.
    pub devices: Vec<String>,
    /// The processor to pin the calling thread to (threads that it starts later inherit that); `None` leaves it.
    pub main_cpu: Option<usize>,
    /// Further arguments for EAL, as `dpdk-testpmd` takes them.
    pub extra_args: Vec<String>,
    pub log_level: LogLevel,
}

impl Default for EalConfig {
    fn default() -> Self {
        Self {
            hugepages: Hugepages::default(),
            memory_mib: 512,
            file_prefix: None,
            devices: Vec::new(),
            main_cpu: None,
            extra_args: Vec::new(),
            log_level: LogLevel::default(),
        }
    }
}

/// Why the environment does not start, or not end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EalError {
    #[error("DPDK was started in this process already; it can be started only once")]
    AlreadyStarted,
    #[error("memory_mib = {value} is out of range {min}..={max}")]
    Memory { value: u32, min: u32, max: u32 },
    #[error(
        "hugepages = on, but only {free_mib} MiB of huge pages are free and {needed_mib} MiB are needed; \
         reserve more in /proc/sys/vm/nr_hugepages"
    )]
    TooFewHugepages { free_mib: u64, needed_mib: u64 },
    #[error("device '{device}' is named twice")]
    DeviceTwice { device: String },
    #[error("'{}' cannot be an argument for DPDK: it is empty or contains a NUL byte", argument.escape_default())]
    Argument { argument: String },
    #[error("main_cpu: {0}")]
    MainCpu(Box<ThreadError>),
    #[error("DPDK does not start: {error}; its own messages on the standard error stream say more")]
    Init { error: Errno },
    #[error(
        "device '{device}' has no port: its driver refused it (no such interface, too few rights, a wrong option) \
         or is not part of this build; DPDK's messages on the standard error stream say more"
    )]
    DeviceMissing { device: String },
    #[error("DPDK was shut down")]
    ShutDown,
    #[error("DPDK cannot be shut down while {holders} ports, pools, rings and threads stand on it")]
    Held { holders: usize },
    #[error("DPDK cannot be shut down while {mbufs} packets are held")]
    PacketsHeld { mbufs: usize },
    #[error("DPDK can be shut down only by the thread that started it")]
    NotMainThread,
    #[error("DPDK was not shut down: {error}")]
    Cleanup { error: Errno },
}

/// The running environment. There is one, and it stays for the process's life.
#[derive(Debug)]
pub struct Eal {
    memory_mode: MemoryMode,
    devices: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shut_down: bool,
    /// Live [`Hold`]s.
    holds: usize,
    /// Registered threads.
    threads: usize,
    /// Ports that somebody has.
    ports: BTreeSet<u16>,
    retired: Vec<Retired>,
}

/// A pool without handles, whose mbufs may still be out.
#[derive(Debug)]
struct Retired(NonNull<sys::rte_mempool>);

// SAFETY: a retired pool is touched only under the lock of `State`, and pools belong to no thread.
unsafe impl Send for Retired {}

static STARTED: AtomicBool = AtomicBool::new(false);
static EAL: OnceLock<Eal> = OnceLock::new();

/// The least memory that EAL and its drivers work with, in MiB.
const MIN_MEMORY_MIB: u32 = 16;
const MAX_MEMORY_MIB: u32 = 1 << 20;

impl Eal {
    /// Starts DPDK, with the calling thread as its main thread. Once per process: after a failure too, DPDK cannot be
    /// started again.
    pub fn init(config: EalConfig) -> Result<&'static Self, EalError> {
        config.validate()?;
        let cpus = config.main_cpus()?;
        let memory_mode = config.memory_mode(free_hugepages_mib(Path::new("/sys/kernel/mm/hugepages")))?;
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::AlreadyStarted);
        }
        start(&config.arguments(memory_mode, &cpus))?;
        for device in &config.devices {
            let name = device_name(device);
            if port_of(&name).is_none() {
                // SAFETY: EAL runs, nothing stands on it yet. Its own state is of no use any more if this fails too.
                unsafe { sys::rte_eal_cleanup() };
                return Err(EalError::DeviceMissing { device: name });
            }
        }
        let devices = config.devices.iter().map(|device| device_name(device)).collect();
        Ok(EAL.get_or_init(|| Self { memory_mode, devices, state: Mutex::default() }))
    }

    /// The kind of memory that was chosen.
    pub fn memory_mode(&self) -> MemoryMode {
        self.memory_mode
    }

    /// The names of the devices that were asked for, without their options: what [`crate::Port::by_device_name`] takes.
    pub fn devices(&self) -> &[String] {
        &self.devices
    }

    /// DPDK's version in words.
    pub fn version() -> String {
        // SAFETY: returns a static C string.
        unsafe { CStr::from_ptr(sys::rte_version()) }.to_string_lossy().into_owned()
    }

    /// Ends DPDK and gives its memory back; refuses while anything stands on it. Afterwards everything that needs it
    /// fails with [`EalError::ShutDown`]. A driver that keeps packets when its port is closed (DPDK 22.11's af_xdp does)
    /// makes it refuse for good, which does no harm at the end of a process.
    pub fn cleanup(&'static self) -> Result<(), EalError> {
        let mut state = self.lock();
        if state.shut_down {
            return Err(EalError::ShutDown);
        }
        if !on_main_thread() {
            return Err(EalError::NotMainThread);
        }
        if state.holds > 0 {
            return Err(EalError::Held { holders: state.holds });
        }
        state.sweep();
        let mbufs = state.retired.iter().map(Retired::in_use).sum();
        if mbufs > 0 {
            return Err(EalError::PacketsHeld { mbufs });
        }
        state.shut_down = true;
        // SAFETY: EAL runs; nothing stands on it, and nothing will, since `shut_down` is set under the lock.
        let code = unsafe { sys::rte_eal_cleanup() };
        if code == 0 { Ok(()) } else { Err(EalError::Cleanup { error: Errno::of_return(code) }) }
    }

    /// Keeps the environment running.
    pub(crate) fn hold(&'static self) -> Result<Hold, EalError> {
        let mut state = self.lock();
        if state.shut_down {
            return Err(EalError::ShutDown);
        }
        state.holds += 1;
        Ok(Hold(self))
    }

    /// Takes a pool whose last handle is gone.
    pub(crate) fn retire(&self, pool: NonNull<sys::rte_mempool>) {
        let mut state = self.lock();
        state.retired.push(Retired(pool));
        state.sweep();
    }

    /// Frees retired pools if this is a moment to do so.
    pub(crate) fn sweep(&self) {
        self.lock().sweep();
    }

    pub(crate) fn thread_entered(&self) {
        self.lock().threads += 1;
    }

    pub(crate) fn thread_left(&self) {
        self.lock().threads -= 1;
    }

    /// Gives a port to the caller, if nobody has it.
    pub(crate) fn claim_port(&self, port: u16) -> bool {
        self.lock().ports.insert(port)
    }

    pub(crate) fn release_port(&self, port: u16) {
        self.lock().ports.remove(&port);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics between two writes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sweep(&mut self) {
        if self.threads > 0 || !on_main_thread() {
            return;
        }
        self.retired.retain(|pool| {
            if pool.in_use() > 0 {
                return true;
            }
            // SAFETY: no handle is left, all mbufs are home, and no thread is on its way to put one there: only
            // threads with caches count mbufs early, and this is the last of them.
            unsafe { sys::rte_mempool_free(pool.0.as_ptr()) };
            false
        });
    }
}

impl Retired {
    fn in_use(&self) -> usize {
        // SAFETY: a retired pool is not freed yet.
        unsafe { sys::rte_mempool_in_use_count(self.0.as_ptr()) as usize }
    }
}

/// Something stands on the environment.
#[derive(Debug)]
pub(crate) struct Hold(&'static Eal);

impl Hold {
    pub(crate) fn eal(&self) -> &'static Eal {
        self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.lock().holds -= 1;
    }
}

fn on_main_thread() -> bool {
    // SAFETY: read a thread-local and a global integer.
    unsafe { sys::rvs_lcore_id() == sys::rte_get_main_lcore() }
}

/// The number of the port of a device.
pub(crate) fn port_of(device: &str) -> Option<u16> {
    let name = CString::new(device).ok()?;
    let mut port = 0;
    // SAFETY: EAL runs; the call reads the C string and writes the number.
    let code = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut port) };
    (code == 0).then_some(port)
}

fn start(arguments: &[String]) -> Result<(), EalError> {
    let mut argv = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let c =
            CString::new(argument.as_str()).map_err(|_| EalError::Argument { argument: argument.clone() })?;
        // EAL keeps pointers into its arguments, so that they stay.
        argv.push(c.into_raw());
    }
    let argv: &'static mut [*mut c_char] = argv.leak();
    // SAFETY: argv is an array of as many C strings, all of which stay; nobody else starts EAL, by STARTED.
    let code = unsafe { sys::rte_eal_init(argv.len() as i32, argv.as_mut_ptr()) };
    if code < 0 { Err(EalError::Init { error: Errno::last() }) } else { Ok(()) }
}

impl EalConfig {
    fn validate(&self) -> Result<(), EalError> {
        if !(MIN_MEMORY_MIB..=MAX_MEMORY_MIB).contains(&self.memory_mib) {
            return Err(EalError::Memory {
                value: self.memory_mib,
                min: MIN_MEMORY_MIB,
                max: MAX_MEMORY_MIB,
            });
        }
        for argument in self.devices.iter().chain(&self.extra_args).chain(&self.file_prefix) {
            if argument.is_empty() || argument.contains('\0') {
                return Err(EalError::Argument { argument: argument.clone() });
            }
        }
        let mut seen = BTreeSet::new();
        for device in &self.devices {
            let name = device_name(device);
            if !seen.insert(name.clone()) {
                return Err(EalError::DeviceTwice { device: name });
            }
        }
        Ok(())
    }

    /// The processors that the main thread may run on.
    fn main_cpus(&self) -> Result<Vec<usize>, EalError> {
        let wrong = |error| EalError::MainCpu(Box::new(error));
        let allowed = thread::cpus().map_err(wrong)?;
        match self.main_cpu {
            None => Ok(allowed),
            Some(cpu) if allowed.contains(&cpu) => Ok(vec![cpu]),
            Some(cpu) => Err(wrong(ThreadError::NoSuchCpu { cpu, allowed })),
        }
    }

    fn memory_mode(&self, free_mib: u64) -> Result<MemoryMode, EalError> {
        let needed_mib = u64::from(self.memory_mib);
        match self.hugepages {
            Hugepages::Off => Ok(MemoryMode::OrdinaryPages),
            _ if free_mib >= needed_mib => Ok(MemoryMode::Hugepages),
            Hugepages::Auto => Ok(MemoryMode::OrdinaryPages),
            Hugepages::On => Err(EalError::TooFewHugepages { free_mib, needed_mib }),
        }
    }

    fn arguments(&self, memory_mode: MemoryMode, main_cpus: &[usize]) -> Vec<String> {
        let cpus: Vec<_> = main_cpus.iter().map(usize::to_string).collect();
        let level = match self.log_level {
            LogLevel::Error => 4,
            LogLevel::Warning => 5,
            LogLevel::Notice => 6,
            LogLevel::Info => 7,
            LogLevel::Debug => 8,
        };
        let mut args = vec![
            "rvs".to_owned(),
            format!("--lcores=0@({})", cpus.join(",")),
            format!("--log-level={level}"),
            "--no-telemetry".to_owned(),
            "-m".to_owned(),
            self.memory_mib.to_string(),
        ];
        match memory_mode {
            MemoryMode::Hugepages => args.push("--in-memory".to_owned()),
            MemoryMode::OrdinaryPages => {
                args.extend(["--no-huge", "--no-shconf", "--iova-mode=va"].map(str::to_owned));
            }
        }
        if let Some(prefix) = &self.file_prefix {
            args.push(format!("--file-prefix={prefix}"));
        }
        if !self.devices.iter().any(|device| pci_address(device).is_some()) {
            args.push("--no-pci".to_owned());
        }
        for device in &self.devices {
            let option = if pci_address(device).is_some() { "--allow" } else { "--vdev" };
            args.push(format!("{option}={device}"));
        }
        args.extend(self.extra_args.iter().cloned());
        args
    }
}

/// A device without its options, in DPDK's spelling: the name that its port gets.
pub fn device_name(device: &str) -> String {
    pci_address(device).unwrap_or_else(|| device.split(',').next().unwrap_or_default().to_owned())
}

/// The full PCI address that a device begins with (`03:00.0` is short for `0000:03:00.0`), in DPDK's spelling.
pub fn pci_address(device: &str) -> Option<String> {
    let address = device.split(',').next()?;
    let (slot, function) = address.rsplit_once('.')?;
    let parts: Vec<_> = slot.split(':').collect();
    let (domain, bus, device) = match parts[..] {
        [domain, bus, device] => (domain, bus, device),
        [bus, device] => ("0000", bus, device),
        _ => return None,
    };
    let hex = |text: &str, max_digits: usize| {
        if text.is_empty() || text.len() > max_digits { None } else { u32::from_str_radix(text, 16).ok() }
    };
    let (domain, bus, device, function) = (hex(domain, 8)?, hex(bus, 2)?, hex(device, 2)?, hex(function, 1)?);
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{function:x}"))
}

/// The sum over all sizes of free huge pages, in MiB; 0 where the kernel has none.
fn free_hugepages_mib(folder: &Path) -> u64 {
    let Ok(sizes) = fs::read_dir(folder) else { return 0 };
    let free_kib = sizes.flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let size_kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free: u64 = fs::read_to_string(entry.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
        Some(size_kib * free)
    });
    free_kib.sum::<u64>() / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_configuration() {
        let plain = EalConfig::default();
        let cases = [
            (
                "ordinary pages, no devices",
                plain.clone(),
                MemoryMode::OrdinaryPages,
                "rvs --lcores=0@(0,1) --log-level=5 --no-telemetry -m 512 --no-huge --no-shconf --iova-mode=va --no-pci",
            ),
            (
                "huge pages, a virtual device",
                EalConfig { devices: vec!["net_null0,size=64".into()], memory_mib: 64, ..plain.clone() },
                MemoryMode::Hugepages,
                "rvs --lcores=0@(0,1) --log-level=5 --no-telemetry -m 64 --in-memory --no-pci --vdev=net_null0,size=64",
            ),
            (
                "a PCI device",
                EalConfig {
                    devices: vec!["03:00.0".into(), "net_null0".into()],
                    file_prefix: Some("a".into()),
                    extra_args: vec!["--huge-unlink".into()],
                    log_level: LogLevel::Debug,
                    ..plain
                },
                MemoryMode::Hugepages,
                "rvs --lcores=0@(0,1) --log-level=8 --no-telemetry -m 512 --in-memory --file-prefix=a \
                 --allow=03:00.0 --vdev=net_null0 --huge-unlink",
            ),
        ];
        for (name, config, mode, want) in cases {
            assert_eq!(config.arguments(mode, &[0, 1]).join(" "), want, "{name}");
        }
    }

    #[test]
    fn pci_addresses_are_told_from_virtual_devices() {
        let cases = [
            ("0000:03:00.0", Some("0000:03:00.0")),
            ("3:0.1,opt=1", Some("0000:03:00.1")),
            ("10000:AF:1f.7", Some("10000:af:1f.7")),
            ("net_tap0,iface=a.b", None),
            ("net_tap0", None),
            ("virtio_user0,path=/dev/x:y.0", None),
            ("::.0", None),
            ("0000:03:00.", None),
            ("", None),
        ];
        for (device, want) in cases {
            assert_eq!(pci_address(device).as_deref(), want, "{device}");
        }
    }

    #[test]
    fn memory_mode_follows_wish_and_supply() {
        let cases = [
            ("off", Hugepages::Off, 9999, Ok(MemoryMode::OrdinaryPages)),
            ("enough", Hugepages::Auto, 512, Ok(MemoryMode::Hugepages)),
            ("too few", Hugepages::Auto, 511, Ok(MemoryMode::OrdinaryPages)),
            ("on", Hugepages::On, 512, Ok(MemoryMode::Hugepages)),
            (
                "on, too few",
                Hugepages::On,
                0,
                Err(EalError::TooFewHugepages { free_mib: 0, needed_mib: 512 }),
            ),
        ];
        for (name, hugepages, free, want) in cases {
            assert_eq!(EalConfig { hugepages, ..EalConfig::default() }.memory_mode(free), want, "{name}");
        }
    }

    #[test]
    fn nonsense_is_refused_before_dpdk_sees_it() {
        let plain = EalConfig::default();
        let cases = [
            (EalConfig { memory_mib: 0, ..plain.clone() }, "memory_mib = 0 is out of range 16..=1048576"),
            (
                EalConfig { devices: vec!["03:00.0".into(), "0000:03:00.0,a=1".into()], ..plain.clone() },
                "device '0000:03:00.0' is named twice",
            ),
            (
                EalConfig { extra_args: vec!["a\0".into()], ..plain },
                "'a\\u{0}' cannot be an argument for DPDK: it is empty or contains a NUL byte",
            ),
        ];
        for (config, want) in cases {
            assert_eq!(config.validate().unwrap_err().to_string(), want);
        }
    }
}
