//! The pieces of `decap`, the end of an IP-in-IP tunnel for kernels that have no `ipip` device; the TUN/TAP opener
//! also serves tests that need a wire of their own.
//!
//! Unsafe code is denied, except for the one system call without a safe wrapper, in [`tun`].

#![deny(unsafe_code)]

pub mod inner;
pub mod tun;
