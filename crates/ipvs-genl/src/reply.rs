//! What clients are told.

use std::net::IpAddr;

use crate::family::{cmd, ctrl, daemon, dest, info, svc};
use crate::message::Writer;
use crate::request::{AF_INET, AF_INET6, ServiceName};
use crate::{FAMILY_ID, FAMILY_NAME, IPVS_VERSION};

const VERSION: u8 = 1;

/// Counters and rates. [ip_vs_kstats]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connections_per_s: u64,
    pub packets_in_per_s: u64,
    pub packets_out_per_s: u64,
    pub bytes_in_per_s: u64,
    pub bytes_out_per_s: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub ipv6: bool,
    pub name: ServiceName,
    pub scheduler: String,
    pub flags: u32,
    pub timeout_s: u32,
    /// As it lies in memory, see [`crate::ServiceAttrs::netmask`].
    pub netmask: [u8; 4],
    pub engine: Option<String>,
    pub stats: Stats,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dest {
    pub address: IpAddr,
    pub port: u16,
    pub method: u32,
    pub weight: u32,
    pub upper_threshold: u32,
    pub lower_threshold: u32,
    pub active: u32,
    pub inactive: u32,
    pub persistent: u32,
    pub tunnel_type: u8,
    pub tunnel_port: u16,
    pub tunnel_flags: u16,
    pub stats: Stats,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// 1: master, 2: backup.
    pub state: u32,
    pub interface: String,
    pub sync_id: u32,
    pub max_bytes: u16,
    pub group: IpAddr,
    pub port: u16,
    pub ttl: u8,
}

/// Timeouts in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub tcp_s: u32,
    pub tcp_fin_s: u32,
    pub udp_s: u32,
}

/// Says which number the family has. [ctrl_getfamily]
pub fn write_family(out: &mut Writer) {
    out.message(ctrl::ID, ctrl::CMD_NEWFAMILY, 2, |out| {
        out.text(ctrl::FAMILY_NAME, FAMILY_NAME);
        out.u16(ctrl::FAMILY_ID, FAMILY_ID);
        out.u32(ctrl::VERSION, u32::from(VERSION));
        out.u32(ctrl::HDRSIZE, 0);
        out.u32(ctrl::MAXATTR, cmd::TIMEOUT_UDP as u32);
    });
}

impl Writer {
    pub fn service(&mut self, service: &Service) {
        self.message(FAMILY_ID, 1, VERSION, |out| {
            out.nested(cmd::SERVICE, |out| {
                out.u16(svc::AF, if service.ipv6 { AF_INET6 } else { AF_INET });
                match service.name {
                    ServiceName::Mark(mark) => out.u32(svc::FWMARK, mark),
                    ServiceName::Address { protocol, address, port } => {
                        out.u16(svc::PROTOCOL, protocol);
                        out.bytes(svc::ADDR, &union_of(address));
                        out.be16(svc::PORT, port);
                    }
                }
                out.text(svc::SCHED_NAME, &service.scheduler);
                if let Some(engine) = &service.engine {
                    out.text(svc::PE_NAME, engine);
                }
                let mut flags = [0xff; 8];
                flags[..4].copy_from_slice(&service.flags.to_ne_bytes());
                out.bytes(svc::FLAGS, &flags);
                out.u32(svc::TIMEOUT, service.timeout_s);
                out.bytes(svc::NETMASK, &service.netmask);
                stats(out, svc::STATS, svc::STATS64, &service.stats);
            });
        });
    }

    pub fn dest(&mut self, one: &Dest) {
        self.message(FAMILY_ID, 5, VERSION, |out| {
            out.nested(cmd::DEST, |out| {
                out.bytes(dest::ADDR, &union_of(one.address));
                out.be16(dest::PORT, one.port);
                out.u32(dest::FWD_METHOD, one.method);
                out.u32(dest::WEIGHT, one.weight);
                out.u8(dest::TUN_TYPE, one.tunnel_type);
                out.be16(dest::TUN_PORT, one.tunnel_port);
                out.u16(dest::TUN_FLAGS, one.tunnel_flags);
                out.u32(dest::U_THRESH, one.upper_threshold);
                out.u32(dest::L_THRESH, one.lower_threshold);
                out.u32(dest::ACTIVE_CONNS, one.active);
                out.u32(dest::INACT_CONNS, one.inactive);
                out.u32(dest::PERSIST_CONNS, one.persistent);
                out.u16(dest::ADDR_FAMILY, if one.address.is_ipv6() { AF_INET6 } else { AF_INET });
                stats(out, dest::STATS, dest::STATS64, &one.stats);
            });
        });
    }

    pub fn daemon(&mut self, one: &Daemon) {
        self.message(FAMILY_ID, 9, VERSION, |out| {
            out.nested(cmd::DAEMON, |out| {
                out.u32(daemon::STATE, one.state);
                out.text(daemon::MCAST_IFN, &one.interface);
                out.u32(daemon::SYNC_ID, one.sync_id);
                out.u16(daemon::SYNC_MAXLEN, one.max_bytes);
                out.u16(daemon::MCAST_PORT, one.port);
                out.u8(daemon::MCAST_TTL, one.ttl);
                match one.group {
                    IpAddr::V4(group) => out.bytes(daemon::MCAST_GROUP, &group.octets()),
                    IpAddr::V6(group) => out.bytes(daemon::MCAST_GROUP6, &group.octets()),
                }
            });
        });
    }

    pub fn config(&mut self, config: &Config) {
        self.message(FAMILY_ID, 12, VERSION, |out| {
            out.u32(cmd::TIMEOUT_TCP, config.tcp_s);
            out.u32(cmd::TIMEOUT_TCP_FIN, config.tcp_fin_s);
            out.u32(cmd::TIMEOUT_UDP, config.udp_s);
        });
    }

    /// `size`: buckets of the connection table.
    pub fn info(&mut self, size: u32) {
        self.message(FAMILY_ID, 14, VERSION, |out| {
            out.u32(info::VERSION, IPVS_VERSION);
            out.u32(info::CONN_TAB_SIZE, size);
        });
    }
}

/// [nf_inet_addr]
fn union_of(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&address.octets());
            bytes
        }
    }
}

/// Twice: packets and connections in 32 bits for old clients, in 64 for others.
fn stats(out: &mut Writer, old: usize, new: usize, stats: &Stats) {
    let Stats { connections, packets_in, packets_out, bytes_in, bytes_out, .. } = *stats;
    let rates = [
        stats.connections_per_s,
        stats.packets_in_per_s,
        stats.packets_out_per_s,
        stats.bytes_in_per_s,
        stats.bytes_out_per_s,
    ];
    out.nested(old, |out| {
        for (kind, value) in [connections, packets_in, packets_out].into_iter().enumerate() {
            out.u32(1 + kind, value as u32);
        }
        out.u64(4, bytes_in);
        out.u64(5, bytes_out);
        for (kind, value) in rates.into_iter().enumerate() {
            out.u32(6 + kind, value as u32);
        }
    });
    out.nested(new, |out| {
        let counters = [connections, packets_in, packets_out, bytes_in, bytes_out];
        for (kind, value) in counters.into_iter().chain(rates).enumerate() {
            out.u64(1 + kind, value);
        }
    });
}
