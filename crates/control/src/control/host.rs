//! The host's addresses on exception TAPs, as one more thing that changes what workers use, though not the desired state.

use std::sync::Arc;

use api::{Error, ErrorCode};
use ipvs::Snapshot;

use super::{Control, State, refused};
use crate::build::{BuildError, Built, Fixed, build};
use crate::config::Config;
use crate::overlay::{HostAddress, Overlay};

impl Control {
    /// Makes exactly these addresses rvs's own beside the configured ones. What cannot be taken is logged and left out. When
    /// workers cannot be told, everything stays as it was.
    pub fn host_addresses(&self, host: Vec<HostAddress>) -> Result<(), Error> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let before = std::mem::replace(&mut state.host, host);
        let generation = state.generation + 1;
        let (snapshot, built, overlay) = match build_over(state, &state.config, &self.fixed, generation) {
            Ok(built) => built,
            Err(e) => {
                state.host = before;
                return Err(Error::new(ErrorCode::Internal, e.to_string()));
            }
        };
        if overlay.is_same_for_workers(&state.overlay) {
            overlay.report(&state.overlay);
            state.overlay = overlay;
            return Ok(());
        }
        let snapshot = Arc::new(snapshot);
        state.generation = generation;
        if let Err(e) = self.dataplane.publish(snapshot.clone()) {
            state.host = before;
            self.restore(state);
            return Err(refused(&e));
        }
        overlay.report(&state.overlay);
        overlay.log_changes(&state.overlay);
        (state.built, state.snapshot, state.overlay) = (built, snapshot, overlay);
        Ok(())
    }
}

/// Builds a checked configuration with the host's addresses over it; without them, if they should stand in its way in a
/// manner that [`Overlay::new`] does not know: the configuration comes first.
pub(super) fn build_over(
    state: &State,
    config: &Config,
    fixed: &Fixed,
    generation: u64,
) -> Result<(Snapshot, Built, Overlay), BuildError> {
    let overlay = Overlay::new(config, &state.host, &fixed.macs);
    match build(&overlay.over(config), fixed, &state.ids, &state.built, generation) {
        Ok((snapshot, built)) => Ok((snapshot, built, overlay)),
        Err(e) if overlay.is_empty() => Err(e),
        Err(e) => {
            let (snapshot, built) = build(config, fixed, &state.ids, &state.built, generation)?;
            tracing::error!("no address of the host is taken: {e}");
            Ok((snapshot, built, Overlay::default()))
        }
    }
}
