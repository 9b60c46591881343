//! Synchronisation daemons.

use api::{SyncRole, SyncSpec};

use super::ADDRESS;
use crate::config::section::Section;

const ROLE: &str = "\"master\" or \"backup\"";
const INTERFACE: &str =
    "the name of a [[port]] with an exception interface, or of an interface of the kernel";

pub(super) fn daemon(s: &mut Section<'_, '_, '_>) -> Option<SyncSpec> {
    let role = s.word("role", &[("master", SyncRole::Master), ("backup", SyncRole::Backup)]);
    let role = s.require("role", role, ROLE);
    let interface = s.string("interface", INTERFACE);
    let interface = s.require("interface", interface, INTERFACE);
    let id = s.int("id", 0..=255).unwrap_or(0);
    let group = s.parsed("group", ADDRESS).unwrap_or_else(SyncSpec::default_group);
    let port = s.int("port", 1..=65_535).unwrap_or_else(SyncSpec::default_port);
    let ttl = s.int("ttl", 1..=255).unwrap_or_else(SyncSpec::default_ttl);
    let max_bytes = s.int("max_bytes", 0..=65_535).unwrap_or(0);
    Some(SyncSpec { role: role?, interface: interface?.to_owned(), id, group, port, ttl, max_bytes })
}
