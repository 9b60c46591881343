//! Threads that work with packets, and the processors they run on.

use std::marker::PhantomData;

use dpdk_sys as sys;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::eal::Hold;
use crate::error::Errno;
use crate::{Eal, EalError};

/// Why a thread is not registered or not where it was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThreadError {
    #[error("this thread is registered already")]
    Registered,
    #[error("this thread could not be registered: {0}; there may be {max} of them", max = sys::RTE_MAX_LCORE)]
    Register(Errno),
    #[error("cpu {cpu} is not one that this process may use ({allowed:?})")]
    NoSuchCpu { cpu: usize, allowed: Vec<usize> },
    #[error("this thread could not be pinned to cpu {cpu}: {error}")]
    Pin { cpu: usize, error: Errno },
    #[error("this process's cpus could not be read: {0}")]
    Cpus(Errno),
    #[error(transparent)]
    Eal(#[from] EalError),
}

/// Says that this thread is known to DPDK. Stays on its thread; dropping it takes the thread out again.
#[derive(Debug)]
pub struct Registration {
    hold: Hold,
    not_send: PhantomData<*const ()>,
}

/// Makes this thread known to DPDK, which gives it caches of mbufs. Others work too, but slower. The thread that
/// started EAL is known from the start.
pub fn register(eal: &'static Eal) -> Result<Registration, ThreadError> {
    let hold = eal.hold()?;
    // SAFETY: reads a thread-local integer.
    if unsafe { sys::rvs_lcore_id() } != sys::RVS_LCORE_ID_ANY {
        return Err(ThreadError::Registered);
    }
    // SAFETY: EAL runs and is kept running by `hold`; this thread has no id yet.
    if unsafe { sys::rte_thread_register() } != 0 {
        return Err(ThreadError::Register(Errno::last()));
    }
    eal.thread_entered();
    Ok(Registration { hold, not_send: PhantomData })
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: this thread registered itself, and the registration cannot leave it.
        unsafe { sys::rte_thread_unregister() };
        self.hold.eal().thread_left();
    }
}

/// The processors that this thread may run on, ascending.
pub fn cpus() -> Result<Vec<usize>, ThreadError> {
    let set = sched_getaffinity(None).map_err(|error| ThreadError::Cpus(Errno(error.raw_os_error())))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Keeps this thread on one processor. Threads that it starts later inherit that.
pub fn pin_to_cpu(cpu: usize) -> Result<(), ThreadError> {
    let allowed = cpus()?;
    if !allowed.contains(&cpu) {
        return Err(ThreadError::NoSuchCpu { cpu, allowed });
    }
    // SAFETY: a set of processors is an array of integers, for which all zeroes is the empty set.
    let mut set: sys::rte_cpuset_t = unsafe { std::mem::zeroed() };
    let bits = u64::BITS as usize;
    set.__bits[cpu / bits] |= 1 << (cpu % bits);
    // SAFETY: the call reads the set.
    let code = unsafe { sys::rte_thread_set_affinity(&mut set) };
    if code == 0 { Ok(()) } else { Err(ThreadError::Pin { cpu, error: Errno(code.abs()) }) }
}
