//! Follows what addresses the host has on exception TAPs, if there are any.

use std::collections::HashSet;
use std::sync::Arc;

use control::config::Config;
use control::{Control, Follower};

/// Starts the thread. Without it rvsd serves as well, with the configured addresses only.
pub(crate) fn start(config: &Config, control: &Arc<Control>) -> Option<Follower> {
    let taps: HashSet<String> = config.ports.iter().filter_map(|port| port.exception.clone()).collect();
    if taps.is_empty() {
        return None;
    }
    let control = Arc::clone(control);
    Follower::start(taps, move |addresses| control.host_addresses(addresses))
        .inspect_err(|error| tracing::warn!(%error, "the host's addresses are not followed"))
        .ok()
}
