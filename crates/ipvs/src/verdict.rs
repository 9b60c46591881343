//! What a hook says about a packet.

use inet::{DropReason, NextHop};

use crate::WorkerId;

/// The outcome of a hook. The caller owns the packet and acts; the hook has only read or rewritten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not ours, or not yet: the next step sees it [NF_ACCEPT].
    Accept,
    /// Go on, but no later function of this hook sees it [NF_STOP].
    Stop,
    /// Discard it, for this reason [NF_DROP].
    Drop(DropReason),
    /// Ours: everything above the link layer is done, send it to this next hop [NF_STOLEN].
    Tx(NextHop),
    /// The packet was turned into an ICMP error from this host: route and send it. What it was before counts as
    /// dropped for this reason.
    Answer(DropReason),
    /// Hand it to this worker, which has its connection, though not by the rule.
    Steer(WorkerId),
    /// Deliver it to the host's own network stack.
    ToHost,
}
