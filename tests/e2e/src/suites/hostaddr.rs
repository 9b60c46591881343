//! Addresses that the host puts on an exception port become the director's own, and cease to be: what keepalived does
//! when it moves a VIP.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use api::{AddressOrigin, Reply};
use lab::address::{self, Family, Method};
use lab::echo::{ECHO_PORT, Echo, SINK_PORT};
use lab::topology::{CLIENT, SERVER};
use lab::{Error, Namespace, Plan, Result, Topology, Wiring};
use rustix::process::Signal;

use super::ping::ping;
use crate::config::{Config, Service};
use crate::{Context, Director, exchange};

const TAP: &str = "wan.host";
/// How long the director may take to follow. IPv6 addresses are checked for duplicates first, which takes a second or two.
const PATIENCE: Duration = Duration::from_secs(5);
/// For so long after learning a neighbour, Linux takes a second answer for a stray one (neigh/default/locktime).
const LOCK_TIME: Duration = Duration::from_millis(1100);

/// A VIP that no configuration has.
fn vip(family: Family) -> IpAddr {
    address::wan(family, 150)
}

/// An address of the host's own.
fn host(family: Family) -> IpAddr {
    address::wan(family, 151)
}

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { nginx: false, servers: 2, wiring: Wiring::OneArm, ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    let mut config = Config::new(Wiring::OneArm, 2, 1);
    for family in Family::ALL {
        for protocol in ["tcp", "udp"] {
            let service = Service::new(protocol, Method::Fullnat, family, ECHO_PORT, 1);
            config = config.with(Service { address: vip(family), ..service });
        }
    }
    context.with_director(&topology, &config, |director| {
        for family in Family::ALL {
            let name = family.name();
            context.step(format_args!("nobody answers, {name}"), || silent(&topology, family))?;
            context.step(format_args!("the VIP comes, {name}"), || {
                add(&topology.director, TAP, vip(family), family.host_len())?;
                wait(director, vip(family), Some(AddressOrigin::Host))?;
                serves(&topology, family, "rs1")
            })?;
            context.step(format_args!("the host's own address, {name}"), || {
                on_the_host(&topology, director, family)
            })?;
        }
        context.step("no part of the configuration, and a reload keeps it", || reload(director))?;
        for family in Family::ALL {
            let name = family.name();
            context.step(format_args!("another takes the VIP over, and gives it back, {name}"), || {
                moves(&topology, director, family)
            })?;
            context.step(format_args!("the VIP goes, {name}"), || {
                remove(&topology.director, TAP, vip(family), family.host_len())?;
                wait(director, vip(family), None)?;
                silent(&topology, family)
            })?;
        }
        context.step("a duplicate is not taken", || duplicate(&topology, director))?;
        context.step("many at once are one change", || many(&topology, director))?;
        context.step("after more events than the kernel keeps", || overrun(&topology, director))?;
        context.step("what cannot be is refused alone", || refused(&topology, director))
    })
}

fn add(namespace: &Namespace, device: &str, address: IpAddr, len: u8) -> Result<()> {
    namespace.ip([format!("addr add {address}/{len} dev {device}")])
}

fn remove(namespace: &Namespace, device: &str, address: IpAddr, len: u8) -> Result<()> {
    namespace.ip([format!("addr del {address}/{len} dev {device}")])
}

/// Where `address` is from, as the director says; none if it has none such.
fn origin(director: &Director, address: IpAddr) -> Result<Option<AddressOrigin>> {
    match director.ctl.json("addr list")? {
        Reply::Addresses(list) => {
            Ok(list.into_iter().find(|view| view.cidr.address == address).map(|view| view.origin))
        }
        other => Err(Error::new(format!("`addr list` answered something else: {other:?}"))),
    }
}

fn wait(director: &Director, address: IpAddr, wanted: Option<AddressOrigin>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = origin(director, address)?;
        if found == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!("{address} is {found:?} and not {wanted:?}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn silent(topology: &Topology, family: Family) -> Result<()> {
    let address = vip(family).to_string();
    match topology.client.output(&["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", &address]) {
        Ok(said) => Err(Error::new(format!("somebody answers: {said}"))),
        Err(_) => Ok(()),
    }
}

/// The VIP answers pings and its services lead to `server`.
fn serves(topology: &Topology, family: Family, server: &str) -> Result<()> {
    ping(&topology.client, &[&vip(family).to_string()])?;
    let target = SocketAddr::new(vip(family), ECHO_PORT);
    let (over_tcp, over_udp) = topology.client.enter(move || -> Result<_> {
        let mut conversation = exchange::Conversation::open(None, target)?;
        conversation.round(&[7; 5000])?;
        Ok((conversation.server, exchange::udp(None, target, b"datagram")?))
    })??;
    if over_tcp == server && over_udp == server {
        Ok(())
    } else {
        Err(Error::new(format!("{over_tcp} and {over_udp} answered instead of {server}")))
    }
}

/// What no service takes goes to the host, at its own address and at the VIP.
fn on_the_host(topology: &Topology, director: &Director, family: Family) -> Result<()> {
    add(&topology.director, TAP, host(family), family.prefix_len())?;
    wait(director, host(family), Some(AddressOrigin::Host))?;
    let _daemon = Echo::start(&topology.director, "host", &[])?;
    let (own, vip) = (SocketAddr::new(host(family), ECHO_PORT), SocketAddr::new(vip(family), SINK_PORT));
    let client = address::client(family, 0).to_string();
    let answered = topology.client.enter(move || -> Result<_> {
        let mut conversation = exchange::Conversation::open(None, own)?;
        conversation.round(&[8; 5000])?;
        Ok([conversation.server, exchange::upload(vip, 1 << 20)?])
    })??;
    ping(&topology.director, &[&client])?;
    remove(&topology.director, TAP, host(family), family.prefix_len())?;
    wait(director, host(family), None)?;
    if answered == ["host", "host"] {
        Ok(())
    } else {
        Err(Error::new(format!("{answered:?} answered instead of the host")))
    }
}

fn reload(director: &Director) -> Result<()> {
    let shown = director.ctl.run("config show")?;
    director.ctl.run("service add tcp 192.0.2.150:81 -s rr")?;
    director.ctl.run("config reload")?;
    for family in Family::ALL {
        if shown.contains(&format!("cidr = \"{}/", vip(family))) {
            return Err(Error::new(format!("{} became part of the configuration", vip(family))));
        }
        wait(director, vip(family), Some(AddressOrigin::Host))?;
    }
    if director.ctl.run("config show")? == shown {
        Ok(())
    } else {
        Err(Error::new("the configuration is another one after the reload"))
    }
}

/// The VIP moves to a real server, which answers for itself, and back. Each time the new owner's announcement is all that
/// tells the client.
fn moves(topology: &Topology, director: &Director, family: Family) -> Result<()> {
    let other = &topology.servers[1].namespace;
    serves(topology, family, "rs1")?;
    std::thread::sleep(LOCK_TIME);
    remove(&topology.director, TAP, vip(family), family.host_len())?;
    wait(director, vip(family), None)?;
    add(other, SERVER, vip(family), family.prefix_len())?;
    // Its questions announce it, as keepalived's gratuitous ones would.
    let (from, to) = (vip(family).to_string(), address::client(family, 0).to_string());
    ping(other, &["-I", &from, &to])?;
    let target = SocketAddr::new(vip(family), ECHO_PORT);
    let server = topology.client.enter(move || exchange::Conversation::open(None, target))??.server;
    if server != "rs2" {
        return Err(Error::new(format!("{server} answered instead of rs2")));
    }
    std::thread::sleep(LOCK_TIME);
    remove(other, SERVER, vip(family), family.prefix_len())?;
    add(&topology.director, TAP, vip(family), family.host_len())?;
    wait(director, vip(family), Some(AddressOrigin::Host))?;
    serves(topology, family, "rs1")?;
    let known = topology.client.output(&["ip", "neigh", "show", "dev", CLIENT, "to", &from])?;
    let mac = director.ctl.ports()?[0].mac.to_string();
    if known.contains(&mac) {
        Ok(())
    } else {
        Err(Error::new(format!("the client knows `{known}`, not {mac}")))
    }
}

/// The client's address on the host is found to be one by the kernel's check, which needs the client's answer; one that
/// nobody has passes the check.
fn duplicate(topology: &Topology, director: &Director) -> Result<()> {
    let checks = |count: &'static str| {
        topology
            .director
            .enter(move || std::fs::write(format!("/proc/sys/net/ipv6/conf/{TAP}/accept_dad"), count))
    };
    let (taken, free) = (address::client(Family::V6, 0), address::wan(Family::V6, 153));
    checks("1")??;
    add(&topology.director, TAP, taken, 128)?;
    add(&topology.director, TAP, free, 128)?;
    wait(director, free, Some(AddressOrigin::Host))?;
    let shown = topology.director.output(&["ip", "addr", "show", "dev", TAP, "dadfailed"])?;
    checks("0")??;
    if !shown.contains(&format!("{taken}/")) {
        return Err(Error::new(format!("the kernel found no duplicate: {shown}")));
    }
    wait(director, taken, None)?;
    remove(&topology.director, TAP, taken, 128)?;
    ping(&topology.client, &[&free.to_string()])
}

/// A hundred addresses come and go with few snapshots between them.
fn many(topology: &Topology, director: &Director) -> Result<()> {
    let generation = || -> Result<u64> {
        Ok(director.ctl.workers()?.iter().map(|worker| worker.generation).max().unwrap_or_default())
    };
    let before = generation()?;
    let lines = |verb: &str| -> Vec<String> {
        (0..100).map(|n| format!("addr {verb} 203.0.113.{n}/32 dev {TAP}")).collect()
    };
    let last = IpAddr::from([203, 0, 113, 99]);
    topology.director.ip(lines("add"))?;
    wait(director, last, Some(AddressOrigin::Host))?;
    topology.director.ip(lines("del"))?;
    wait(director, last, None)?;
    match generation()? - before {
        2..=6 => Ok(()),
        snapshots => Err(Error::new(format!("200 changes made {snapshots} snapshots"))),
    }
}

/// While the director stands still more happens than its socket can hold: the kernel throws the rest away, the last
/// address's coming included, and the director has to ask.
fn overrun(topology: &Topology, director: &mut Director) -> Result<()> {
    let (passing, last) = (IpAddr::from([198, 18, 7, 99]), address::wan(Family::V4, 154));
    let lines = |verb: &str| -> Vec<String> {
        let all = (0..8).flat_map(|a| (0..250).map(move |b| (a, b)));
        all.map(|(a, b)| format!("addr {verb} 198.18.{a}.{b}/32 dev {TAP}")).collect()
    };
    director.process().signal(Signal::STOP)?;
    let changed = topology
        .director
        .ip(lines("add"))
        .and_then(|()| topology.director.ip(lines("del")))
        .and_then(|()| add(&topology.director, TAP, last, 32));
    director.process().signal(Signal::CONT)?;
    changed?;
    wait(director, last, Some(AddressOrigin::Host))?;
    wait(director, passing, None)
}

/// An address of the local pool is not the host's to give; one beside it is taken.
fn refused(topology: &Topology, director: &Director) -> Result<()> {
    let pool = address::local_pool(Family::V4)[0];
    let other = address::wan(Family::V4, 152);
    add(&topology.director, TAP, pool, 32)?;
    add(&topology.director, TAP, other, 32)?;
    wait(director, other, Some(AddressOrigin::Host))?;
    if origin(director, pool)? != Some(AddressOrigin::Configured) {
        return Err(Error::new("the pool lost an address to the host"));
    }
    let warning = format!("host address {pool}/32 on {TAP} is not taken");
    if director.log().contains(&warning) {
        Ok(())
    } else {
        Err(Error::new(format!("no `{warning}` in the log")))
    }
}
