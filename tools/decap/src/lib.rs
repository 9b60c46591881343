//! The pieces of `decap`, the end of tunnels for kernels that have no devices for them; the TUN/TAP opener
//! also serves tests that need a wire of their own.
//!
//! Unsafe code is denied, except for the one system call without a safe wrapper, in [`tun`].

#![deny(unsafe_code)]

pub mod inner;
pub mod tun;
