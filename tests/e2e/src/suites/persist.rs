//! Clients of a persistent service stay with their server, each on its own or all of a network together.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lab::address::{self, CLIENTS, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, nginx};

use crate::config::{Config, Service, endpoint};
use crate::load::{Load, curl, summarise};
use crate::{Context, Director};

const SERVERS: u8 = 3;
const REQUESTS: u32 = 6;
/// The virtual port whose clients are one when they are of one network.
const BY_NETWORK: u16 = 8080;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { servers: SERVERS, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    for workers in [1, 2] {
        context.with_director(&topology, &config(workers), |director| {
            for method in Method::ALL {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    context.step(format_args!("each client, {name}"), || {
                        stay(&topology, workers, method, family, nginx::PORTS[0], |client| client)
                    })?;
                    context.step(format_args!("each network, {name}"), || {
                        stay(&topology, workers, method, family, BY_NETWORK, network)
                    })?;
                }
            }
            for family in Family::ALL {
                context.step(format_args!("a server of weight 0, {}", family.name()), || {
                    quiesced(&topology, director, family)
                })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn config(workers: u16) -> Config {
    let mut config = Config::new(Wiring::TwoArm, workers, 1);
    for method in Method::ALL {
        for family in Family::ALL {
            let mask = if family == Family::V4 { "\"255.255.255.240\"" } else { "124" };
            let service = |port| {
                Service::new("tcp", method, family, port, SERVERS).option("persistence_timeout_s = 300")
            };
            config = config
                .with(service(nginx::PORTS[0]))
                .with(service(BY_NETWORK).option(&format!("persistence_netmask = {mask}")));
        }
    }
    // Replies name only the client: clients that are one must have one worker.
    config.extra = "[steering]\nnat_prefix_v4 = 28\nnat_prefix_v6 = 124\n".to_owned();
    config
}

/// What clients of 28 (in IPv6 124) equal bits have in common.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(v4) => (v4.to_bits() & !0xf).to_be_bytes().into(),
        IpAddr::V6(v6) => (v6.to_bits() & !0xf).to_be_bytes().into(),
    }
}

/// Several requests of some clients; those that are `one` have one server, and not all have the same.
fn stay(
    topology: &Topology,
    workers: u16,
    method: Method,
    family: Family,
    port: u16,
    one: impl Fn(IpAddr) -> IpAddr,
) -> Result<()> {
    let mut servers: BTreeMap<IpAddr, String> = BTreeMap::new();
    for n in (0..CLIENTS).step_by(3) {
        let client = address::client(family, n);
        let server = server_of(topology, method, family, port, client)?;
        let had = servers.entry(one(client)).or_insert_with(|| server.clone());
        if *had != server {
            return Err(Error::new(format!("{client} was led to {server}, before to {had}")));
        }
    }
    let mut different: Vec<&String> = servers.values().collect();
    different.sort();
    different.dedup();
    // Each worker begins its own round of the servers.
    let least = if workers == 1 { servers.len().min(SERVERS.into()) } else { 1 };
    if different.len() >= least {
        Ok(())
    } else {
        Err(Error::new(format!("{} clients or networks have only {different:?}", servers.len())))
    }
}

/// The one server that answers a client.
fn server_of(
    topology: &Topology,
    method: Method,
    family: Family,
    port: u16,
    client: IpAddr,
) -> Result<String> {
    let target = (address::vip(method, family), port);
    let load = Load { target, requests: REQUESTS, parallel: 2, source: Some(client) };
    let summary = summarise(&curl(&topology.client, &load)?);
    if let Some(error) = summary.first_error {
        return Err(Error::new(error));
    }
    let mut servers = summary.spread.into_keys();
    match (servers.next(), servers.next()) {
        (Some(server), None) => Ok(server),
        more => Err(Error::new(format!("{client} was led to several servers: {more:?}"))),
    }
}

/// A client stays even when its server gets no new ones, unless `expire_quiescent_template` says otherwise.
fn quiesced(topology: &Topology, director: &Director, family: Family) -> Result<()> {
    let (method, port, client) = (Method::Fullnat, nginx::PORTS[0], address::client(family, 3));
    let server = || server_of(topology, method, family, port, client);
    let first = server()?;
    let number = first.trim_start_matches("rs").parse().map_err(|_| Error::new(format!("server {first}")))?;
    let service = format!("tcp {}", endpoint(address::vip(method, family), port));
    let dest = endpoint(address::server(family, number), port);
    let edit = |weight: u8| director.ctl.run(&format!("dest edit {service} {dest} -w {weight}"));
    edit(0)?;
    let stayed = server()?;
    director.ctl.run("sysctl set expire_quiescent_template=1")?;
    let left = server()?;
    director.ctl.run("sysctl set expire_quiescent_template=0")?;
    edit(1)?;
    if stayed == first && left != first {
        Ok(())
    } else {
        Err(Error::new(format!("from {first} the client came to {stayed}, then to {left}")))
    }
}
