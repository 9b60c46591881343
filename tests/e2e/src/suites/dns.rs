//! A name server, nsd, asked by dig and dnsperf: datagrams one by one with one-packet scheduling, where replies do not
//! come back through the director, and as connections where they do.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Process, Result, Topology, Wiring};

use crate::config::{Config, Service};
use crate::{Context, Director};

const SERVERS: u8 = 3;
const PORT: u16 = 53;
/// A client port that asks again and again.
const SOURCE: u16 = 5353;
const QUERIES: usize = 2000;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan {
        nginx: false,
        servers: SERVERS,
        decap: Some(context.binaries.decap.clone()),
        ..Plan::default()
    };
    let topology = context.step("build", || Topology::build(plan))?;
    let _servers = context.step("name servers", || servers(&topology))?;
    let queries = topology.lab.dir().join("queries");
    std::fs::write(&queries, "www.example A\nwww.example AAAA\nwhoami.example TXT\nno.example A\n")?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for method in Method::ALL {
            for family in Family::ALL {
                let service = Service::new("udp", method, family, PORT, SERVERS);
                let ops = method.replies_directly();
                config = config
                    .with(if ops { service.option("ops = true") } else { service })
                    .with(Service::new("tcp", method, family, PORT, SERVERS));
            }
        }
        context.with_director(&topology, &config, |director| {
            for method in Method::ALL {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    context
                        .step(format_args!("dig, {name}"), || asked(&topology, director, method, family))?;
                    context.step(format_args!("dnsperf, {name}"), || {
                        load(&topology, address::vip(method, family), &queries.to_string_lossy())
                    })?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn servers(topology: &Topology) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for server in &topology.servers {
        let (name, home) = (&server.name, topology.lab.dir().join(format!("nsd-{}", server.name)));
        std::fs::create_dir_all(&home).context(home.display())?;
        let zone = format!(
            "$TTL 60\n@ SOA ns admin 1 60 60 60 60\n@ NS ns\nns A 192.0.2.1\nwww A 192.0.2.2\nwww AAAA 2001:db8::2\nwhoami TXT \"{name}\"\n"
        );
        std::fs::write(home.join("example.zone"), zone)?;
        std::fs::write(
            home.join("nsd.conf"),
            configuration(&server.own_addresses(), &home.display().to_string()),
        )?;
        let mut command = server.namespace.command("nsd");
        command.arg("-d").arg("-c").arg(home.join("nsd.conf"));
        processes.push(Process::spawn(&format!("nsd {name}"), &mut command, &home.join("output.log"))?);
    }
    for server in &topology.servers {
        let at = format!("@{}", address::server(Family::V4, server.number));
        super::until(|| {
            server.namespace.output(&["dig", &at, "+short", "+time=1", "+tries=1", "www.example"]).map(drop)
        })?;
    }
    Ok(processes)
}

/// One socket for each address, so that answers come from the one that was asked.
fn configuration(addresses: &[IpAddr], home: &str) -> String {
    let listen: String = addresses.iter().map(|address| format!("  ip-address: {address}\n")).collect();
    format!(
        "server:\n{listen}  username: \"\"\n  zonesdir: \"{home}\"\n  database: \"\"\n  pidfile: \"{home}/pid\"\n  \
         xfrdfile: \"{home}/xfrd\"\n  xfrdir: \"{home}\"\n  zonelistfile: \"{home}/zones\"\n  server-count: 1\n  rrl-ratelimit: 0\n\
         remote-control:\n  control-enable: no\n\
         zone:\n  name: example\n  zonefile: example.zone\n"
    )
}

/// Questions from one port: one connection leads all of them to the same server, one-packet scheduling to each in turn.
fn asked(topology: &Topology, director: &Director, method: Method, family: Family) -> Result<()> {
    let vip = address::vip(method, family);
    let (at, from) = (format!("@{vip}"), format!("{}#{SOURCE}", address::client(family, 1)));
    let before = director.ctl.connections()?;
    let mut names = BTreeSet::new();
    for _ in 0..2 * SERVERS {
        let said = topology.client.output(&[
            "dig",
            &at,
            "-b",
            &from,
            "+short",
            "+time=2",
            "+tries=1",
            "whoami.example",
            "TXT",
        ])?;
        names.insert(said.trim().to_owned());
    }
    let wanted = if method.replies_directly() { usize::from(SERVERS) } else { 1 };
    if names.len() != wanted || !names.iter().all(|name| name.starts_with("\"rs")) {
        return Err(Error::new(format!("{names:?} answered, {wanted} were expected")));
    }
    let more = director.ctl.connections()?.saturating_sub(before);
    if more as usize != usize::from(!method.replies_directly()) {
        return Err(Error::new(format!("{more} connections came of it")));
    }
    let over_tcp =
        topology.client.output(&["dig", &at, "+tcp", "+short", "+time=2", "+tries=1", "www.example"])?;
    if over_tcp.trim() == "192.0.2.2" { Ok(()) } else { Err(Error::new(format!("over TCP: {over_tcp}"))) }
}

fn load(topology: &Topology, vip: IpAddr, queries: &str) -> Result<()> {
    let port = PORT.to_string();
    let (vip, times) = (vip.to_string(), (QUERIES / 4).to_string());
    let said = topology.client.output(&[
        "dnsperf", "-s", &vip, "-p", &port, "-d", queries, "-n", &times, "-c", "8", "-q", "32", "-t", "2",
        "-W",
    ])?;
    let number = |label: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(label))?;
        line.split_once(':')?.1.split_whitespace().next()?.parse::<usize>().ok()
    };
    match (number("Queries completed"), number("Queries lost")) {
        (Some(QUERIES), Some(0)) => Ok(()),
        _ => Err(Error::new(said)),
    }
}
