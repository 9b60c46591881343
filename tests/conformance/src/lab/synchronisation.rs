//! The sync daemons of the laboratory's host: they speak on link `m`, and time passes as it is told to.

use std::net::{IpAddr, Ipv4Addr};

use ipvs::sync::Record;
use sync::{Backup, DaemonConfig, Master, Role, Sent, Tuning};
use wire::testing::Frame as Packet;
use wire::{MacAddr, Parsed, ether, parse, protocol};

use super::{Lab, network};
use crate::{Frame, lab::Refusal};

/// The link that daemons speak on.
pub(super) const SIDE: char = 'm';
/// A step of time: what is due in between goes at its end.
const STEP_MS: u64 = 4;
/// The port that messages come from, which is not compared.
const SOURCE_PORT: u16 = 50_000;

/// Both daemons, and what they are told.
#[derive(Default)]
pub(super) struct Daemons {
    master: Option<(DaemonConfig, Master)>,
    backup: Option<(DaemonConfig, Backup)>,
    pub(super) tuning: Tuning,
    /// The host's link-local address on the link.
    pub(super) link_local: Option<IpAddr>,
}

impl Lab {
    pub(super) fn start_daemon(&mut self, role: Role, config: &DaemonConfig) -> Result<(), Refusal> {
        let daemons = &mut self.daemons;
        config.check(&daemons.tuning).map_err(|_| Refusal::said("Invalid argument"))?;
        // The laboratory's links.
        if !["c", "s", "m"].contains(&&*config.interface) {
            return Err(Refusal::said("No such device"));
        }
        let len = config.message_len(role, 1500);
        match role {
            Role::Master if daemons.master.is_none() => {
                let Tuning { ports, queue_max, .. } = daemons.tuning;
                let master = Master::new(config.syncid, len, ports, queue_max, self.now_ms);
                daemons.master = Some((config.clone(), master));
                self.settings.sync.master = true;
            }
            Role::Backup if daemons.backup.is_none() => {
                daemons.backup = Some((config.clone(), Backup::new(config.syncid)));
                self.settings.sync.backup = true;
            }
            _ => return Err(Refusal::said("Daemon has already run")),
        }
        Ok(())
    }

    pub(super) fn stop_daemon(&mut self, role: Role) -> Result<(), Refusal> {
        let (settings, daemons) = (&mut self.settings.sync, &mut self.daemons);
        let ran = match role {
            Role::Master => std::mem::take(&mut settings.master) && daemons.master.take().is_some(),
            Role::Backup => std::mem::take(&mut settings.backup) && daemons.backup.take().is_some(),
        };
        if ran { Ok(()) } else { Err(Refusal::said("No daemon is running")) }
    }

    /// What `ipvsadm -L --daemon` says.
    pub(crate) fn daemon_rows(&self) -> Vec<String> {
        let row = |role: Role, config: &DaemonConfig| {
            format!(
                "{} sync daemon (mcast={}, syncid={}, maxlen={}, group={}, port={}, ttl={})",
                role.name(),
                config.interface,
                config.syncid,
                config.message_len(role, 1500),
                config.group,
                config.port,
                config.ttl
            )
        };
        let master = self.daemons.master.as_ref().map(|(config, _)| row(Role::Master, config));
        let backup = self.daemons.backup.as_ref().map(|(config, _)| row(Role::Backup, config));
        master.into_iter().chain(backup).collect()
    }

    /// What the master has to say of a packet.
    pub(super) fn tell(&mut self, records: Vec<Record>) {
        if let Some((_, master)) = &mut self.daemons.master {
            let version = self.settings.sync.version;
            records.iter().for_each(|record| master.push(self.now_ms, version, record));
        }
    }

    /// Time passes for the daemons; what they send.
    pub(super) fn daemons_until(&mut self, from_ms: u64, until_ms: u64) -> Vec<Frame> {
        let mut out = Vec::new();
        let source = |group: IpAddr| match group {
            IpAddr::V4(_) => Some(Ipv4Addr::from([10, 0, 3, 1]).into()),
            IpAddr::V6(_) => self.daemons.link_local,
        };
        let Some((config, master)) = &mut self.daemons.master else { return out };
        let Some(source) = source(config.group) else { return out };
        let last = std::iter::once(until_ms);
        for now_ms in (from_ms..until_ms).step_by(STEP_MS as usize).chain(last) {
            master.poll(now_ms, |lane, message| {
                let bytes = Packet::new(source, config.group)
                    .mac(network::mac(2), group_mac(config.group))
                    .ttl(config.ttl)
                    .udp(SOURCE_PORT, config.port + lane as u16)
                    .payload(message)
                    .build();
                out.push(Frame { side: SIDE, bytes });
                Sent::Done
            });
        }
        out
    }

    /// A packet for the host: the backup may be listening to it.
    pub(super) fn host_receives(&mut self, side: char, frame: &[u8]) {
        let Some((config, backup)) = &mut self.daemons.backup else { return };
        let Ok(Parsed::Ip(info)) = parse(frame) else { return };
        let lanes = config.port..config.port + self.daemons.tuning.ports;
        let heard = side == SIDE
            && info.protocol == protocol::UDP
            && info.dst(frame) == config.group
            && lanes.contains(&info.dport)
            // As any host, this one takes in nothing from itself.
            && info.src(frame) != IpAddr::from([10, 0, 3, 1]);
        if !heard {
            return;
        }
        let payload = info.upper(frame).get(wire::udp::HEADER_LEN..).unwrap_or_default();
        let room = usize::from(config.message_len(Role::Backup, 1500));
        let mut records = Vec::new();
        backup.read(payload.get(..room).unwrap_or(payload), |record| records.push(record));
        records.iter().for_each(|record| self.pipeline.import(self.now_ms, record));
    }
}

fn group_mac(group: IpAddr) -> MacAddr {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            MacAddr([1, 0, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            MacAddr([0x33, 0x33, a, b, c, d])
        }
    }
}

/// Whether a frame is IGMP: groups are the host's own business.
pub(crate) fn is_igmp(frame: &[u8]) -> bool {
    const IGMP: u8 = 2;
    matches!(parse(frame), Ok(Parsed::Ip(info)) if info.protocol == IGMP) && ether::dst(frame).is_multicast()
}
