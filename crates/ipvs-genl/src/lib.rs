//! Linux's generic netlink family "IPVS", version 1, as bytes: what `ipvsadm` and keepalived send, and what they expect back.
//!
//! Pure: no socket, no clock. Numbers are in the host's order unless a field says otherwise, as netlink has them. What is
//! read comes from another process: no length in it is believed before it is checked.
//!
//! A request is one datagram with one message ([`Request::parse`]). Answers are written by [`Writer`]: a single reply and
//! then an acknowledgement, the parts of a list and then its end, or an error with an errno.

#![forbid(unsafe_code)]

mod attr;
mod family;
mod message;
mod reply;
mod request;
#[cfg(test)]
mod tests;

pub use attr::{Attrs, Malformed};
pub use message::{Header, Writer};
pub use reply::{Config, Daemon, Dest, Service, Stats, write_family};
pub use request::{Command, DaemonAttrs, DestAttrs, Refusal, Request, ServiceAttrs, ServiceName, Timeouts};

/// The family's number. Linux gives the next that is free; ours never changes, since keepalived asks for it only once.
pub const FAMILY_ID: u16 = 0x7e;
/// The family's name.
pub const FAMILY_NAME: &str = "IPVS";
/// What IPVS calls its version: 1.2.1.
pub const IPVS_VERSION: u32 = 0x0001_0201;
/// Bytes of a datagram of a list, about: a reader's first buffer has room for it.
pub const PART_BYTES: usize = 3584;

/// Errnos that the family answers with. [asm-generic/errno.h]
pub mod errno {
    pub const EPERM: i32 = 1;
    pub const ENOENT: i32 = 2;
    pub const ESRCH: i32 = 3;
    pub const EIO: i32 = 5;
    pub const EAGAIN: i32 = 11;
    pub const ENOMEM: i32 = 12;
    pub const EBUSY: i32 = 16;
    pub const EEXIST: i32 = 17;
    pub const ENODEV: i32 = 19;
    pub const EINVAL: i32 = 22;
    pub const ERANGE: i32 = 34;
    pub const EPROTONOSUPPORT: i32 = 93;
    pub const EOPNOTSUPP: i32 = 95;
    pub const EAFNOSUPPORT: i32 = 97;
}
