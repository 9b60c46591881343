//! Byte formats of the network, without I/O.
//!
//! [`parse::parse`] looks at a frame once and checks it; what it says holds, so the accessors need no errors.
//! [`PacketBuf`] is the seam between the director and what carries packets (`dpdk::Mbuf`, a test buffer).
//!
//! Conventions, the same in every module:
//! * `ether`, `arp` take a frame. `ipv4`, `ipv6`, `tcp`, `udp`, `icmp` and the other headers take a slice that starts at
//!   their header ([`PacketInfo::ip`], [`PacketInfo::upper`]). What needs the pseudo-header takes frame and [`PacketInfo`].
//! * Nothing panics, whatever the bytes: a field outside the slice reads as 0, writing one does nothing.
//! * Numbers are in host order; a checksum is the value of its field.

#![forbid(unsafe_code)]

mod buf;
mod client_option;
mod field;
mod info;
mod insert;

pub mod ah;
pub mod arp;
pub mod checksum;
pub mod crc32c;
pub mod esp;
pub mod ether;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
pub mod onward;
pub mod parse;
pub mod plain;
pub mod pptp;
pub mod protocol;
pub mod proxy;
pub mod rewrite;
pub mod sctp;
pub mod splice;
pub mod sync;
pub mod tcp;
pub mod testing;
pub mod toa;
pub mod tunnel;
pub mod udp;
pub mod uoa;
pub mod vlan;

pub use buf::{NoRoom, PacketBuf, VecBuf};
pub use ether::MacAddr;
pub use info::{Family, Fragment, PacketInfo, Quoted};
pub use parse::{ParseError, Parsed, parse, parse_quoted};
