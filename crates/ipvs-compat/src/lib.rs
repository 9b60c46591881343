//! A library to preload into stock `ipvsadm` and keepalived, so that they drive rvs instead of the kernel.
//!
//! They speak generic netlink. Their socket stays what it is until they ask on it for the family "IPVS"; then a unix socket
//! that leads to rvsd takes its place, under the same number, and rvsd answers ([`swap`]). Nothing that is about IPVS reaches
//! the kernel: the old socket options are refused, and its files in /proc are absent.
//!
//! When rvsd cannot be reached, goes away or is silent, the tool reads an error, once for each request: it neither hangs nor
//! finds the end of its socket, at which libnl would spin.

mod proc_files;
mod swap;

use libc::{c_int, c_void, msghdr, socklen_t, ssize_t};

/// The socket options of IPVS, for programs older than its netlink family. [IP_VS_BASE_CTL]
const IPVS_OPTIONS: std::ops::RangeInclusive<c_int> = 1152..=1167;

/// Stands in for sendmsg(2).
///
/// # Safety
/// As for sendmsg(2): `message` and what it points to can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { swap::send(fd, message, flags) }
}

/// Stands in for recvmsg(2).
///
/// # Safety
/// As for recvmsg(2): `message` and what it points to can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { swap::receive(fd, message, flags) }
}

/// Stands in for close(2).
#[unsafe(no_mangle)]
pub extern "C" fn close(fd: c_int) -> c_int {
    swap::forget(fd);
    // SAFETY: a number is all that close(2) takes.
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}

/// Stands in for getsockopt(2).
///
/// # Safety
/// As for getsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    length: *mut socklen_t,
) -> c_int {
    if is_ipvs(level, name) {
        return refuse();
    }
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value, length) as c_int }
}

/// Stands in for setsockopt(2).
///
/// # Safety
/// As for setsockopt(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    length: socklen_t,
) -> c_int {
    if is_ipvs(level, name) {
        return refuse();
    }
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { libc::syscall(libc::SYS_setsockopt, fd, level, name, value, length) as c_int }
}

fn is_ipvs(level: c_int, name: c_int) -> bool {
    level == libc::IPPROTO_IP && IPVS_OPTIONS.contains(&name)
}

/// As a kernel without IPVS does.
fn refuse() -> c_int {
    set_errno(libc::ENOPROTOOPT);
    -1
}

fn errno() -> c_int {
    // SAFETY: the thread's own errno can always be read.
    unsafe { *libc::__errno_location() }
}

fn set_errno(errno: c_int) {
    // SAFETY: the thread's own errno can always be written.
    unsafe { *libc::__errno_location() = errno }
}
