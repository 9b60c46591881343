//! Following packets: what to look for, and what was seen.

use serde::{Deserialize, Serialize};

use crate::names::Cidr;

/// Which packets a trace shows: those that match every part that is given, as they came or as they left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceFilter {
    /// IANA number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// Source or destination lies in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Cidr>,
    /// Source or destination port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A part of what a trace saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceView {
    pub packets: Vec<TracedPacket>,
    /// Packets that would have been shown, but came faster than they could be collected.
    pub lost: u64,
}

/// One packet's way through one worker. One that another worker owns is seen at both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedPacket {
    pub worker: u16,
    pub steps: Vec<TraceStep>,
}

/// One step of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// `came`, `mark`, `steered`, a hook by netfilter's name (`LOCAL_IN`), `connection`, `scheduled`, `state`, `verdict`,
    /// `leaves`.
    pub stage: String,
    /// What happened, in words; empty for hooks.
    pub text: String,
}
