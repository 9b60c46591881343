//! UOA: the client's address and port in front of UDP, for real servers that see the director as their client. The formats are
//! those of DPVS, whose kernel module reads them there: an IPv4 option ([`ipo`]), or a protocol of its own ([`opp`]).

pub mod ipo;
pub mod opp;

/// Number of the option, in both forms.
pub const OPTION: u8 = 31;
