//! What a daemon is told, and what the kernel makes of what is left out [start_sync_thread].

use core::net::IpAddr;

use wire::sync::{GROUP, PORT};

/// Which of the two daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Tells others of the connections here.
    Master,
    /// Takes in what others tell.
    Backup,
}

impl Role {
    /// Its name, as `ipvsadm` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }
}

/// One daemon, as an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The kernel's interface that it speaks on.
    pub interface: String,
    /// Which masters belong to which backups; a backup with 0 listens to all.
    pub syncid: u8,
    /// Bytes of a message at most; 0: what fits into the interface's packets.
    pub maxlen: u16,
    /// Multicast group.
    pub group: IpAddr,
    /// UDP port of the first lane; the others follow it.
    pub port: u16,
    /// How many routers a message may pass, and one.
    pub ttl: u8,
}

impl DaemonConfig {
    /// On an interface, everything else as the kernel has it.
    pub fn new(interface: &str) -> Self {
        let interface = interface.to_owned();
        Self { interface, syncid: 0, maxlen: 0, group: GROUP.into(), port: PORT, ttl: 1 }
    }

    /// What is wrong with it, if anything.
    pub fn check(&self, tuning: &Tuning) -> Result<(), ConfigError> {
        if !self.group.is_multicast() {
            return Err(ConfigError::NotMulticast(self.group));
        }
        if self.port == 0 || u32::from(self.port) + u32::from(tuning.ports) > 1 << 16 {
            return Err(ConfigError::Port(self.port));
        }
        match self.ttl {
            0 => Err(ConfigError::Ttl),
            _ => Ok(()),
        }
    }

    /// The length of messages that goes with an interface's MTU: a master's are of ordinary Ethernet, whatever the interface
    /// can, and a backup takes in at least those.
    pub fn message_len(&self, role: Role, mtu: u32) -> u16 {
        let headers = match self.group {
            IpAddr::V4(_) => 20 + 8,
            IpAddr::V6(_) => 40 + 8,
        };
        let most = u16::MAX - headers;
        let least = match role {
            Role::Master => 1,
            Role::Backup => 1024,
        };
        let mtu = match role {
            Role::Master => 1500,
            Role::Backup => mtu.clamp(1500, u32::from(u16::MAX)) as u16,
        };
        match self.maxlen {
            0 => mtu - headers,
            maxlen => maxlen.clamp(least, most),
        }
    }
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self::new("")
    }
}

/// What the settings of `net/ipv4/vs` say about both daemons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Lanes, each with a port of its own [sync_ports].
    pub ports: u16,
    /// Messages that may wait in a lane [sync_qlen_max].
    pub queue_max: u32,
    /// Bytes of the sockets' buffers, 0: as the kernel has them [sync_sock_size].
    pub socket_bytes: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { ports: 1, queue_max: 4096, socket_bytes: 0 }
    }
}

/// Why a daemon cannot be as described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The group's address is that of a host.
    #[error("{0} is no multicast group")]
    NotMulticast(IpAddr),
    /// Port 0, or lanes would go beyond port 65535.
    #[error("port {0} and those behind it do not exist")]
    Port(u16),
    /// No message could leave.
    #[error("a ttl of 0 lets no message leave this host")]
    Ttl,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_kernels() {
        let of = |group: &str, maxlen| DaemonConfig {
            group: group.parse().unwrap(),
            maxlen,
            ..DaemonConfig::new("m")
        };
        for (group, maxlen, role, mtu, want) in [
            ("224.0.0.81", 0, Role::Master, 1500, 1472),
            ("224.0.0.81", 0, Role::Master, 9000, 1472),
            ("ff02::81", 0, Role::Master, 1500, 1452),
            ("224.0.0.81", 0, Role::Backup, 9000, 8972),
            ("224.0.0.81", 0, Role::Backup, 1280, 1472),
            ("224.0.0.81", 100, Role::Master, 1500, 100),
            ("224.0.0.81", 100, Role::Backup, 1500, 1024),
            ("224.0.0.81", 65_535, Role::Master, 1500, 65_507),
            ("ff02::81", 65_535, Role::Backup, 1500, 65_487),
        ] {
            assert_eq!(of(group, maxlen).message_len(role, mtu), want, "{group} {maxlen} {role:?} {mtu}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let good = DaemonConfig::new("m");
        let tuning = Tuning { ports: 2, ..Tuning::default() };
        assert_eq!(good.check(&tuning), Ok(()));
        for (config, want) in [
            (
                DaemonConfig { group: "10.0.0.1".parse().unwrap(), ..good.clone() },
                ConfigError::NotMulticast("10.0.0.1".parse().unwrap()),
            ),
            (DaemonConfig { port: 0, ..good.clone() }, ConfigError::Port(0)),
            (DaemonConfig { port: 65_535, ..good.clone() }, ConfigError::Port(65_535)),
            (DaemonConfig { ttl: 0, ..good.clone() }, ConfigError::Ttl),
        ] {
            assert_eq!(config.check(&tuning), Err(want));
            assert!(!want.to_string().is_empty());
        }
        assert_eq!(DaemonConfig { port: 65_534, ..good }.check(&tuning), Ok(()));
    }
}
