//! Persistence engines: what in a packet's content ties it to others, one file an engine [ip_vs_pe].

pub(crate) mod sip;
