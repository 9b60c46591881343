//! The synchronisation daemons: what is asked of them, and what they answer.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// Which of the two daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncRole {
    /// Tells backups of the connections here.
    Master,
    /// Takes in what a master tells.
    Backup,
}

impl SyncRole {
    pub const ALL: [SyncRole; 2] = [SyncRole::Master, SyncRole::Backup];

    /// Its name in files and commands.
    pub fn name(self) -> &'static str {
        match self {
            SyncRole::Master => "master",
            SyncRole::Backup => "backup",
        }
    }
}

/// A daemon as its owner wishes it. There is one of each role at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncSpec {
    pub role: SyncRole,
    /// What it speaks on: a port of rvs that has an exception interface, or an interface of the host's kernel.
    pub interface: String,
    /// Which masters belong to which backups, 0 to 255; a backup with 0 listens to all.
    #[serde(default)]
    pub id: u8,
    /// Multicast group, IPv4 or IPv6.
    #[serde(default = "SyncSpec::default_group")]
    pub group: IpAddr,
    /// UDP port of the first lane; further ones follow it.
    #[serde(default = "SyncSpec::default_port")]
    pub port: u16,
    /// Routers that a message may pass, and one.
    #[serde(default = "SyncSpec::default_ttl")]
    pub ttl: u8,
    /// Bytes of a message at most; 0: what fits into the interface's packets.
    #[serde(default)]
    pub max_bytes: u16,
}

impl SyncSpec {
    /// On an interface, everything else as Linux has it.
    pub fn new(role: SyncRole, interface: &str) -> SyncSpec {
        SyncSpec {
            role,
            interface: interface.to_owned(),
            id: 0,
            group: Self::default_group(),
            port: Self::default_port(),
            ttl: Self::default_ttl(),
            max_bytes: 0,
        }
    }

    pub fn default_group() -> IpAddr {
        Ipv4Addr::new(224, 0, 0, 81).into()
    }

    pub fn default_port() -> u16 {
        8848
    }

    pub fn default_ttl() -> u8 {
        1
    }
}

/// A daemon that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemonView {
    #[serde(flatten)]
    pub spec: SyncSpec,
    /// The kernel's interface.
    pub device: String,
    /// Bytes of a message at most.
    pub message_bytes: u16,
    /// Ports in use, from `spec.port` on.
    pub ports: u16,
    /// What it has counted since it was started.
    pub counters: Vec<SyncCounter>,
}

/// A number with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncCounter {
    pub name: String,
    pub value: u64,
}

impl SyncCounter {
    pub fn new(name: impl Into<String>, value: u64) -> SyncCounter {
        SyncCounter { name: name.into(), value }
    }
}

/// Both daemons, and what workers have counted for them since rvsd was started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncView {
    pub daemons: Vec<SyncDaemonView>,
    pub workers: Vec<SyncCounter>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_in_linux() {
        let spec: SyncSpec = serde_json::from_str(r#"{"role":"master","interface":"ha0"}"#).unwrap();
        assert_eq!(spec, SyncSpec::new(SyncRole::Master, "ha0"));
        assert_eq!(spec.group.to_string(), "224.0.0.81");
        assert!(serde_json::from_str::<SyncSpec>(r#"{"role":"both","interface":"ha0"}"#).is_err());
    }
}
