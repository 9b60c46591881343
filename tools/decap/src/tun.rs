//! Opens a TUN or TAP device by name (Linux `Documentation/networking/tuntap.rst`).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use rustix::ioctl::{Setter, ioctl, opcode};

/// What a device carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IP packets.
    Tun,
    /// Ethernet frames.
    Tap,
}

const IFNAMSIZ: usize = 16;
const IFF_TUN: u16 = 0x0001;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;

/// `struct ifreq` as `TUNSETIFF` reads it: the name, the flags, and the rest of the union.
#[repr(C)]
struct Request {
    name: [u8; IFNAMSIZ],
    flags: u16,
    rest: [u8; 22],
}

/// Attaches to the device `name`, which is made if there is none, in the network namespace of the caller. Each
/// read returns and each write takes one packet, bare. Reads do not block when `nonblocking`.
pub fn open(name: &str, kind: Kind, nonblocking: bool) -> io::Result<File> {
    if name.is_empty() || name.len() >= IFNAMSIZ {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a device name has 1 to 15 bytes"));
    }
    let flags = if nonblocking { rustix::fs::OFlags::NONBLOCK.bits() } else { 0 };
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags as i32).open("/dev/net/tun")?;
    let kind = if kind == Kind::Tun { IFF_TUN } else { IFF_TAP };
    let mut request = Request { name: [0; IFNAMSIZ], flags: kind | IFF_NO_PI, rest: [0; 22] };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    set_interface(&file, request)?;
    Ok(file)
}

#[allow(unsafe_code)]
fn set_interface(file: &File, request: Request) -> io::Result<()> {
    const TUNSETIFF: rustix::ioctl::Opcode = opcode::write::<i32>(b'T', 202);
    // SAFETY: TUNSETIFF reads (and for a name with %d writes) one `struct ifreq`, 40 bytes on every 64-bit Linux;
    // `Request` has that size and layout, and lives until the call returns.
    unsafe { ioctl(file, Setter::<TUNSETIFF, Request>::new(request)) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_size_of_ifreq() {
        assert_eq!(size_of::<Request>(), 40);
    }

    #[test]
    fn names_that_no_device_can_have_are_refused() {
        for name in ["", "a-name-of-16-byt"] {
            assert_eq!(open(name, Kind::Tun, false).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
