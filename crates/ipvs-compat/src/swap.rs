//! A netlink socket that becomes one to rvsd, and stays one whatever becomes of rvsd.

use std::io::{self, Write};
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use libc::{c_int, c_void, iovec, msghdr, sockaddr_nl, sockaddr_un, ssize_t, timeval};

use crate::{errno, set_errno};

/// Where rvsd listens for stock tools, unless the environment names another place.
const SOCKET: &str = "/run/rvs/rvsd.ipvs";
const SOCKET_VARIABLE: &str = "RVS_IPVS_SOCKET";

/// rvsd that is silent for so long is taken for dead.
const PATIENCE_S: i64 = 10;

const FILES: usize = 4096;
const OURS: u64 = 1 << 32;

/// By file number: [`OURS`] if it leads to rvsd, and the last request's sequence number.
static SOCKETS: [AtomicU64; FILES] = [const { AtomicU64::new(0) }; FILES];

const HEADER_BYTES: usize = 16;
/// The family that names families, and its request to do so.
const CONTROLLER: u16 = 0x10;
const GET_FAMILY: u8 = 3;
/// What is in that request for IPVS: an attribute of nine bytes and type 2.
const IPVS_NAME: [u8; 9] = [9, 0, 2, 0, b'I', b'P', b'V', b'S', 0];
/// Longest request that is looked at.
const REQUEST_BYTES: usize = 16 << 10;

fn slot(fd: c_int) -> Option<&'static AtomicU64> {
    usize::try_from(fd).ok().and_then(|fd| SOCKETS.get(fd))
}

fn is_ours(fd: c_int) -> bool {
    slot(fd).is_some_and(|slot| slot.load(Relaxed) & OURS != 0)
}

/// The number will mean something else.
pub fn forget(fd: c_int) {
    if let Some(slot) = slot(fd) {
        slot.store(0, Relaxed);
    }
}

/// # Safety
/// As for sendmsg(2).
pub unsafe fn send(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's message can be read.
    let request = unsafe { gather(message) };
    let Some(slot) = slot(fd).filter(|_| is_ours(fd) || asks_for_ipvs(fd, &request)) else {
        // SAFETY: the arguments are the caller's.
        return unsafe { libc::syscall(libc::SYS_sendmsg, fd, message, flags) as ssize_t };
    };
    if request.len() < HEADER_BYTES {
        set_errno(libc::EINVAL);
        return -1;
    }
    let sequence = u32::from_ne_bytes([request[8], request[9], request[10], request[11]]);
    let was_ours = slot.swap(OURS | u64::from(sequence), Relaxed) & OURS != 0;
    if was_ours && write_packet(fd, &request).is_ok() {
        return request.len() as ssize_t;
    }
    // A packet that could not be sent has not been acted upon: it may be sent again.
    let sent = connect().and_then(|socket| {
        write_packet(socket.as_raw_fd(), &request)?;
        put_in_place(&socket, fd)
    });
    if let Err(error) = sent
        && let Err(error) = leave_error(fd, errno_for(&error))
    {
        set_errno(error.raw_os_error().unwrap_or(libc::EIO));
        return -1;
    }
    request.len() as ssize_t
}

/// # Safety
/// As for recvmsg(2).
pub unsafe fn receive(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the arguments are the caller's.
    let real =
        |message: *mut msghdr| unsafe { libc::syscall(libc::SYS_recvmsg, fd, message, flags) as ssize_t };
    if !is_ours(fd) || message.is_null() {
        return real(message);
    }
    // SAFETY: it is not null, and the caller's to be written.
    let message = unsafe { &mut *message };
    let (name, name_length) = (message.msg_name, message.msg_namelen);
    (message.msg_name, message.msg_namelen) = (std::ptr::null_mut(), 0);
    let mut length = real(message);
    let waits = flags & libc::MSG_DONTWAIT == 0;
    let lost = match length {
        0 => true,
        ..0 => match errno() {
            libc::EAGAIN => waits && !is_nonblocking(fd),
            libc::EINTR => false,
            _ => true,
        },
        _ => false,
    };
    if lost && leave_error(fd, libc::EAGAIN).is_ok() {
        length = real(message);
    }
    // A netlink socket says who has sent; libnl takes no message from nobody.
    message.msg_name = name;
    if !name.is_null() && name_length as usize >= size_of::<sockaddr_nl>() {
        // SAFETY: sockaddr_nl is a plain structure for which zeros are a value.
        let mut kernel: sockaddr_nl = unsafe { std::mem::zeroed() };
        kernel.nl_family = libc::AF_NETLINK as u16;
        // SAFETY: the caller gives so many bytes at `name`, and they are enough.
        unsafe { name.cast::<sockaddr_nl>().write_unaligned(kernel) };
        message.msg_namelen = size_of::<sockaddr_nl>() as u32;
    }
    length
}

/// The bytes of a message that is to be sent, so far as they are looked at.
///
/// # Safety
/// `message` is null or a message that can be read.
unsafe fn gather(message: *const msghdr) -> Vec<u8> {
    let mut bytes = Vec::new();
    // SAFETY: the caller says so.
    let Some(message) = (unsafe { message.as_ref() }) else { return bytes };
    if message.msg_iov.is_null() {
        return bytes;
    }
    // SAFETY: a message has so many parts there.
    let parts: &[iovec] = unsafe { std::slice::from_raw_parts(message.msg_iov, message.msg_iovlen) };
    for part in parts.iter().filter(|part| !part.iov_base.is_null()) {
        let length = part.iov_len.min(REQUEST_BYTES - bytes.len());
        // SAFETY: a part has at least so many bytes.
        bytes.extend(unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), length) });
    }
    bytes
}

/// Whether this is the question for the family "IPVS", asked of the kernel.
fn asks_for_ipvs(fd: c_int, request: &[u8]) -> bool {
    let is_question = request.get(4..6) == Some(&CONTROLLER.to_ne_bytes()[..])
        && request.get(HEADER_BYTES) == Some(&GET_FAMILY)
        && request.windows(IPVS_NAME.len()).any(|bytes| bytes == IPVS_NAME);
    is_question
        && option(fd, libc::SO_DOMAIN) == Some(libc::AF_NETLINK)
        && option(fd, libc::SO_PROTOCOL) == Some(libc::NETLINK_GENERIC)
}

fn option(fd: c_int, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as u32;
    // SAFETY: both point to variables of ours, of the size that is said.
    let failed = unsafe {
        libc::syscall(libc::SYS_getsockopt, fd, libc::SOL_SOCKET, name, &raw mut value, &raw mut length)
    };
    (failed == 0).then_some(value)
}

fn is_nonblocking(fd: c_int) -> bool {
    // SAFETY: numbers are all that this takes.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK != 0
}

fn packets() -> c_int {
    libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC
}

/// A socket to rvsd, which waits no longer than [`PATIENCE_S`] for anything.
fn connect() -> io::Result<OwnedFd> {
    // SAFETY: numbers are all that this takes.
    let fd = unsafe { libc::socket(libc::AF_UNIX, packets(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it has just been opened, and is nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let patience = timeval { tv_sec: PATIENCE_S, tv_usec: 0 };
    for name in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        let (value, length) = ((&raw const patience).cast::<c_void>(), size_of::<timeval>() as u32);
        // SAFETY: the value is a variable of ours, of the size that is said.
        unsafe { libc::syscall(libc::SYS_setsockopt, fd, libc::SOL_SOCKET, name, value, length) };
    }
    let path = std::env::var_os(SOCKET_VARIABLE).unwrap_or_else(|| SOCKET.into());
    // SAFETY: sockaddr_un is a plain structure for which zeros are a value.
    let mut address: sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    if path.len() >= size_of_val(&address.sun_path) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.as_bytes()) {
        *to = *from as _;
    }
    // SAFETY: the address is a variable of ours, of the size that is said.
    let failed = unsafe {
        libc::connect(fd, (&raw const address).cast::<libc::sockaddr>(), size_of::<sockaddr_un>() as u32)
    };
    if failed == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}

fn write_packet(fd: c_int, packet: &[u8]) -> io::Result<()> {
    // SAFETY: the bytes are there.
    let sent = unsafe { libc::send(fd, packet.as_ptr().cast(), packet.len(), libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes `fd` another name of `socket`; what it was before is closed.
fn put_in_place(socket: &OwnedFd, fd: c_int) -> io::Result<()> {
    // SAFETY: numbers are all that this takes; `fd` is the caller's socket, which is to be replaced.
    let done = unsafe { libc::dup3(socket.as_raw_fd(), fd, libc::O_CLOEXEC) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Replaces `fd` by a socket from which one error can be read, about the last request, and then its end.
fn leave_error(fd: c_int, errno: c_int) -> io::Result<()> {
    let mut pair: [c_int; 2] = [-1; 2];
    // SAFETY: there is room for two numbers.
    if unsafe { libc::socketpair(libc::AF_UNIX, packets(), 0, pair.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both have just been opened, and are nobody else's.
    let (near, far) = unsafe { (OwnedFd::from_raw_fd(pair[0]), UnixStream::from_raw_fd(pair[1])) };
    let sequence = slot(fd).map_or(0, |slot| slot.load(Relaxed) as u32);
    (&far).write_all(&error_message(sequence, errno))?;
    put_in_place(&near, fd)
}

/// [NLMSG_ERROR] with an empty header of the request but for its sequence number.
fn error_message(sequence: u32, errno: c_int) -> Vec<u8> {
    const LENGTH: u32 = 36;
    const TYPE_ERROR: u16 = 2;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(TYPE_ERROR.to_ne_bytes());
    bytes.extend(0u16.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend((-errno).to_ne_bytes());
    bytes.extend((HEADER_BYTES as u32).to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes
}

/// Who may not connect may not do it; everything else may pass.
fn errno_for(error: &io::Error) -> c_int {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => libc::EPERM,
        _ => libc::EAGAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_as_long_as_it_says() {
        let bytes = error_message(7, libc::EAGAIN);
        assert_eq!(bytes.len(), 36);
        assert_eq!(bytes[8..12], 7u32.to_ne_bytes());
        assert_eq!(bytes[16..20], (-libc::EAGAIN).to_ne_bytes());
    }

    #[test]
    fn only_the_question_for_ipvs_on_a_netlink_socket_is_meant() {
        let mut question = vec![0; 20];
        question[4..6].copy_from_slice(&CONTROLLER.to_ne_bytes());
        question[16] = GET_FAMILY;
        question.extend(IPVS_NAME);
        // SAFETY: numbers are all that this takes.
        let netlink = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_GENERIC) };
        assert!(netlink >= 0);
        assert!(asks_for_ipvs(netlink, &question));
        let (unix, _other) = UnixStream::pair().unwrap();
        assert!(!asks_for_ipvs(unix.as_raw_fd(), &question));
        question[24] = b'J';
        assert!(!asks_for_ipvs(netlink, &question));
        // SAFETY: it is the test's own.
        drop(unsafe { OwnedFd::from_raw_fd(netlink) });
    }
}
