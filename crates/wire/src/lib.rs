//! Byte formats of the network, without I/O.
//!
//! Everything here reads or writes byte slices: a format is checked once, then its accessors cannot fail.
//! [`PacketBuf`] is the seam between the director and what carries packets (`dpdk::Mbuf`, a test buffer).

#![forbid(unsafe_code)]

mod buf;
mod info;

pub use buf::{NoRoom, PacketBuf, VecBuf};
pub use info::{Family, Fragment, PacketInfo, Quoted};
