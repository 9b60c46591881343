//! Commands turned into rvs's configuration: here is said what rvs can do and what it has yet to learn.

use std::net::{IpAddr, SocketAddr};

use inet::IfaceId;
use ipvs::marks::{Addresses, MarkRule};

use ipvs::{
    ClientMask, Defence, Dest, DestId, Engine, Helper, Helpers, Method, Persistence, PoolId, Protocol,
    SchedulerKind, SchedulerOptions, Service, ServiceId, ServiceKey,
};
use wire::Family;

use wire::sync::Version;

use super::{Lab, index};
use crate::Feature;
use crate::command::{Command, DestWords, Key, Listing, MarkWords, ServiceWords, Verb};

const NO_SERVICE: &str = "No such service";
const UNDEFINED: &str = "Service not defined";
const NO_DEST: &str = "No such destination";
const NOT_FOUND: &str = "Scheduler or persistence engine not found";

/// Why a command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// rvs lacks this for it; later commands on the same service are refused alike.
    Needs(Feature),
    /// It makes no sense, and the words of ipvsadm for why.
    Refused(String),
}

impl Refusal {
    pub(super) fn said(why: &str) -> Self {
        Self::Refused(why.into())
    }
}

impl From<Feature> for Refusal {
    fn from(feature: Feature) -> Self {
        Self::Needs(feature)
    }
}

impl Lab {
    /// Does what a command asks for.
    ///
    /// # Errors
    ///
    /// Why it cannot be done; nothing has changed then.
    pub(crate) fn run(&mut self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Show(Listing::One(key)) => return self.find(*key, "No such service").map(|_| ()),
            Command::Nothing | Command::Show(_) => return Ok(()),
            Command::Wrong(why) => return Err(Refusal::said(why)),
            Command::Needs(feature) => return Err(Refusal::Needs(*feature)),
            Command::Zero => self.zero(),
            Command::FtpPorts(ports) => self.helpers = Helpers::NONE.with(Helper::Ftp, ports),
            Command::StartDaemon { role, config } => self.start_daemon(*role, config)?,
            Command::StopDaemon(role) => self.stop_daemon(*role)?,
            Command::LinkLocal(addr) => self.daemons.link_local = Some(*addr),
            Command::Mark(words) => {
                self.marks.push(mark_rule(words).ok_or_else(|| Refusal::said("no such interface"))?)
            }
            Command::Mtu { side, mtu } => {
                self.mtu[index(*side).ok_or_else(|| Refusal::said("Cannot find device"))?] = *mtu
            }
            Command::Setting { name, value } => self.set(name, value)?,
            Command::Clear => {
                self.services.clear();
                self.refused.clear();
            }
            Command::Timeouts { tcp_s, tcp_fin_s, udp_s } => {
                self.timeouts.set_common(1000 * tcp_s, 1000 * tcp_fin_s, 1000 * udp_s);
            }
            Command::Service { verb, service } => self.service(*verb, service)?,
            Command::RemoveService(key) => {
                if self.refused.remove(key).is_none() {
                    let at = self.find(*key, NO_SERVICE)?;
                    self.services.remove(at);
                }
            }
            Command::Dest { verb, key, dest } => self.dest(*verb, *key, dest)?,
            Command::RemoveDest { key, addr, port } => {
                let at = self.find(*key, UNDEFINED)?;
                let addr = SocketAddr::new(*addr, port.unwrap_or(key.port()));
                if !self.services[at].1.dests.iter().any(|dest| SocketAddr::new(dest.addr, dest.port) == addr)
                {
                    return Err(Refusal::said(NO_DEST));
                }
                self.change_dests(at, |dests| {
                    dests.retain(|dest| SocketAddr::new(dest.addr, dest.port) != addr)
                });
            }
        }
        self.publish();
        Ok(())
    }

    /// Changes a setting of `net.ipv4.vs`.
    ///
    /// # Errors
    ///
    /// What rvs lacks for it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Feature> {
        let number = || value.parse::<u64>().map_err(|_| Feature::Sysctl);
        let settings = &mut self.settings;
        match name {
            "conn_reuse_mode" => settings.conn_reuse_mode = number()? as u8,
            "expire_nodest_conn" => settings.expire_nodest_conn = number()? != 0,
            "nat_icmp_send" => settings.nat_icmp_send = number()? != 0,
            "pmtu_disc" => settings.pmtu_disc = number()? != 0,
            "schedule_icmp" => settings.schedule_icmp = number()? != 0,
            "sloppy_sctp" => settings.sloppy_sctp = number()? != 0,
            "sloppy_tcp" => settings.sloppy_tcp = number()? != 0,
            "lblc_expiration" => settings.lblc_expiration_ms = 1000 * number()?,
            "lblcr_expiration" => settings.lblcr_expiration_ms = 1000 * number()?,
            "cache_bypass" => settings.cache_bypass = number()? != 0,
            "secure_tcp" => {
                settings.secure_tcp = match number()? {
                    0 => Defence::Off,
                    3 => Defence::Always,
                    _ => return Err(Feature::SecureTcp),
                }
            }
            // Whether netfilter tracks connections too: there is no netfilter.
            "conntrack" => settings.sync.conntrack = number()? != 0,
            "backup_only" => settings.backup_only = number()? != 0,
            "sync_persist_mode" => settings.sync.persist_mode = number()? != 0,
            "sync_ports" => self.daemons.tuning.ports = number()? as u16,
            "sync_qlen_max" => self.daemons.tuning.queue_max = number()? as u32,
            "sync_refresh_period" => settings.sync.refresh_ms = 1000 * number()?,
            "sync_retries" => settings.sync.retries = number()? as u8,
            "sync_sock_size" => {}
            "sync_threshold" => {
                let (threshold, period) = value.trim_matches('"').split_once(' ').ok_or(Feature::Sysctl)?;
                let number = |word: &str| word.parse().map_err(|_| Feature::Sysctl);
                (settings.sync.threshold, settings.sync.period) = (number(threshold)?, number(period)?);
            }
            "sync_version" => {
                settings.sync.version = if number()? == 0 { Version::V0 } else { Version::V1 };
            }
            "expire_quiescent_template" => settings.expire_quiescent_template = number()? != 0,
            _ => return Err(Feature::Sysctl),
        }
        self.publish();
        Ok(())
    }

    fn service(&mut self, verb: Verb, words: &ServiceWords) -> Result<(), Refusal> {
        let described = match described(words) {
            Ok(described) => described,
            Err(Refusal::Needs(feature)) => {
                self.refused.insert(words.key, feature);
                return Err(feature.into());
            }
            Err(refusal) => {
                let there = self.services.iter().any(|(there, _)| there.key == words.key);
                return Err(match verb {
                    Verb::Add if there => Refusal::said("Service already exists"),
                    Verb::Edit if !there => Refusal::said(NO_SERVICE),
                    _ => refusal,
                });
            }
        };
        if verb == Verb::Edit {
            let at = self.find(words.key, NO_SERVICE)?;
            let (said, service) = &mut self.services[at];
            *said = words.clone();
            let before = std::mem::replace(service, described);
            (service.id, service.dests, service.epoch) = (before.id, before.dests, before.epoch + 1);
            return Ok(());
        }
        if self.services.iter().any(|(_, service)| service.key == described.key) {
            return Err(Refusal::said("Service already exists"));
        }
        let next = ServiceId(self.service_ids.len() as u32);
        let id = *self.service_ids.entry(described.key).or_insert(next);
        self.services.push((words.clone(), Service { id, ..described }));
        self.zero_service(id);
        Ok(())
    }

    fn dest(&mut self, verb: Verb, key: Key, words: &DestWords) -> Result<(), Refusal> {
        let at = self.find(key, UNDEFINED)?;
        if words.addr.is_ipv4() != (self.services[at].1.key.family() == Family::V4)
            && words.method != Method::Tunnel
        {
            return Err(Refusal::said("Different address family is allowed only for tunneling servers"));
        }
        if words.lower > words.upper {
            return Err(Refusal::said("Numerical result out of range"));
        }
        let port = match words.port {
            // As the kernel: what is not rewritten keeps the service's port.
            Some(_) if words.method.input_only() && !matches!(key, Key::Mark { .. }) => key.port(),
            port => port.unwrap_or(key.port()),
        };
        let named = (self.services[at].1.key, SocketAddr::new(words.addr, port));
        let next = DestId(self.dest_ids.len() as u32);
        let id = *self.dest_ids.entry(named).or_insert(next);
        let DestWords { addr, method, weight, upper, lower, tunnel, .. } = *words;
        let there = self.services[at].1.dests.iter().position(|dest| dest.id == id);
        let made = Dest { weight, upper, lower, tunnel, ..Dest::new(id, addr, port, method) };
        match (verb, there) {
            (Verb::Add, None) => self.change_dests(at, |dests| dests.push(made)),
            (Verb::Edit, Some(index)) => self.change_dests(at, |dests| dests[index] = made),
            (Verb::Add, Some(_)) => return Err(Refusal::said("Destination already exists")),
            (Verb::Edit, None) => return Err(Refusal::said(NO_DEST)),
        }
        Ok(())
    }

    fn change_dests(&mut self, at: usize, change: impl FnOnce(&mut Vec<Dest>)) {
        let service = &mut self.services[at].1;
        let mut dests = std::mem::take(&mut service.dests).into_vec();
        change(&mut dests);
        service.dests = dests.into();
        service.epoch += 1;
    }

    fn find(&self, key: Key, none: &str) -> Result<usize, Refusal> {
        if let Some(feature) = self.refused.get(&key) {
            return Err(Refusal::Needs(*feature));
        }
        self.services.iter().position(|(words, _)| words.key == key).ok_or_else(|| Refusal::said(none))
    }
}

/// What rvs makes of a rule's words; none where they name no link.
fn mark_rule(words: &MarkWords) -> Option<MarkRule> {
    let addresses = |prefix: Option<(IpAddr, u8)>| {
        prefix.map(|(addr, len)| Addresses::Prefix(addr, len)).into_iter().collect()
    };
    let iface = match words.iface {
        Some(side) => Some(IfaceId(index(side)? as u16)),
        None => None,
    };
    Some(MarkRule {
        mark: words.mark,
        mask: words.mask,
        family: Some(if words.v6 { Family::V6 } else { Family::V4 }),
        protocol: words.protocol,
        src: addresses(words.src),
        dst: addresses(words.dst),
        sports: words.sports,
        dports: words.dports,
        iface,
    })
}

/// What rvs makes of a service's words, but for its id, or what it lacks for it.
fn described(words: &ServiceWords) -> Result<Service, Refusal> {
    let address = |protocol, at: SocketAddr| ServiceKey::Address { protocol, addr: at.ip(), port: at.port() };
    let key = match words.key {
        Key::Tcp(at) => address(Protocol::Tcp, at),
        Key::Udp(at) => address(Protocol::Udp, at),
        Key::Sctp(at) => address(Protocol::Sctp, at),
        Key::Mark { mark, v6 } => ServiceKey::Mark { mark, family: if v6 { Family::V6 } else { Family::V4 } },
    };
    let engine = match words.engine.as_deref() {
        Some(name) => Some(Engine::from_name(name).ok_or_else(|| Refusal::said(NOT_FOUND))?),
        None => None,
    };
    let scheduler = SchedulerKind::from_name(&words.scheduler).ok_or_else(|| Refusal::said(NOT_FOUND))?;
    let flag = |ending: &str| words.scheduler_flags.iter().any(|flag| flag.ends_with(ending));
    let scheduler_options =
        SchedulerOptions { fallback: flag("-fallback"), port: flag("-port"), ..SchedulerOptions::default() };
    let mask = match (&words.netmask, key.family()) {
        (None, family) => ClientMask::whole(family),
        (Some(mask), Family::V4) => ClientMask::V4(mask.parse().map_err(|_| Feature::Ipvsadm)?),
        (Some(prefix), Family::V6) => ClientMask::V6(prefix.parse().map_err(|_| Feature::Ipvsadm)?),
    };
    Ok(Service {
        scheduler_options,
        pool: Some(PoolId(0)),
        persistence: words
            .persistent_s
            .map(|seconds| Persistence { timeout_ms: 1000 * u64::from(seconds), mask }),
        one_packet: words.one_packet,
        engine,
        ..Service::new(ServiceId(0), key, scheduler)
    })
}
