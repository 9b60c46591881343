//! The synchronisation daemons, as the running control core starts and shows them.

use api::Error;

use super::Control;
use crate::config::Config;
use crate::sync::Transition;

impl Control {
    /// Starts the synchronisation daemons that the configuration asks for: once, after [`Control::start`].
    pub fn start_sync(&self) -> Result<(), Error> {
        let config = self.config();
        let none = Config { sync: Vec::new(), ..config.clone() };
        Transition::begin(&*self.dataplane, &none, &config).map(Transition::finish)
    }

    /// The daemons that run, by the interface that they were asked for.
    pub(super) fn sync_view(&self) -> api::SyncView {
        let config = self.config();
        let mut view = self.dataplane.sync();
        for daemon in &mut view.daemons {
            if let Some(asked) = config.sync.iter().find(|asked| asked.role == daemon.spec.role) {
                daemon.spec.interface.clone_from(&asked.interface);
            }
        }
        view
    }
}
