//! What a message about a neighbour does to its state: RFC 4861 section 7.2.3 to 7.2.5 and appendix C.
//!
//! ARP fits in: a reply to us is a solicited advertisement that overrides, a request is a solicitation with the sender's
//! hardware address, a gratuitous packet is an unsolicited advertisement that overrides.

/// How much is known about a neighbour (RFC 4861 section 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeighState {
    /// Asked for, no answer yet.
    Incomplete,
    /// Answered lately.
    Reachable,
    /// Was known; to be checked when used.
    Stale,
    /// Being checked; its last known hardware address is still used.
    Probe,
    /// Did not answer; packets are refused until another try.
    Failed,
    /// Given by the configuration.
    Permanent,
}

impl NeighState {
    /// Its name in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Permanent => "permanent",
        }
    }

    /// Whether a hardware address is known.
    pub const fn has_mac(self) -> bool {
        !matches!(self, Self::Incomplete | Self::Failed)
    }
}

/// How a neighbour's hardware address was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Confirm {
    /// It answered our question: it is reachable.
    Solicited {
        /// Whether it replaces another hardware address that we know.
        overrides: bool,
    },
    /// It announced itself: it exists, but may not hear us. Never makes an entry.
    Unsolicited {
        /// Whether it replaces another hardware address that we know.
        overrides: bool,
    },
    /// It asked for us and said its hardware address.
    Asked,
}

impl Confirm {
    /// Whether an entry is made for a neighbour that there is none for.
    pub(super) const fn creates(self) -> bool {
        !matches!(self, Self::Unsolicited { .. })
    }
}

/// The outcome of hearing about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) state: NeighState,
    pub(super) takes_mac: bool,
}

/// The state after hearing; none: nothing changes. `same` says that the hardware address is the known one.
pub(super) fn on_heard(state: NeighState, same: bool, confirm: Confirm) -> Option<Heard> {
    use NeighState::{Permanent, Reachable, Stale};
    let heard = |state, takes_mac| Some(Heard { state, takes_mac });
    if state == Permanent {
        return None;
    }
    match confirm {
        Confirm::Solicited { .. } if !state.has_mac() => heard(Reachable, true),
        Confirm::Unsolicited { .. } | Confirm::Asked if !state.has_mac() => heard(Stale, true),
        Confirm::Solicited { .. } if same => heard(Reachable, false),
        Confirm::Unsolicited { .. } | Confirm::Asked if same => None,
        Confirm::Solicited { overrides: true } => heard(Reachable, true),
        Confirm::Unsolicited { overrides: true } | Confirm::Asked => heard(Stale, true),
        // Another hardware address that must not override: doubt a reachable one, keep any other as it is.
        Confirm::Solicited { overrides: false } | Confirm::Unsolicited { overrides: false } => {
            (state == Reachable).then_some(Heard { state: Stale, takes_mac: false })
        }
    }
}
