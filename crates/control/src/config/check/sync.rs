//! Synchronisation daemons.

use super::Checker;
use crate::config::place::Place;
use crate::sync;

impl Checker<'_> {
    pub(super) fn sync(&mut self) {
        let config = self.config;
        for (index, spec) in config.sync.iter().enumerate() {
            let at = |key| Place::item("sync", index).key(key);
            if config.sync.iter().take(index).any(|other| other.role == spec.role) {
                let message =
                    format!("found a second {} daemon, expected one of each role", spec.role.name());
                self.duplicate(at("role"), message);
            }
            if let Err(message) = sync::device(config, &spec.interface) {
                self.invalid(at("interface"), message);
            }
            if spec.interface.is_empty() || spec.interface.len() > 63 {
                self.invalid(at("interface"), "expected the name of an interface".to_owned());
            }
            if !spec.group.is_multicast() {
                self.invalid(at("group"), format!("found {}, expected a multicast group", spec.group));
            }
            let lanes = sync::tuning(config).ports;
            if spec.port == 0 || u32::from(spec.port) + u32::from(lanes) > 1 << 16 {
                let message = format!("found {}, expected a port that has {lanes} from it on", spec.port);
                self.invalid(at("port"), message);
            }
            if spec.ttl == 0 {
                self.invalid(at("ttl"), "found 0, with which no message leaves this host".to_owned());
            }
        }
    }
}
