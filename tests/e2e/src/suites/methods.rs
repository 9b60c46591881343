//! Every method carries TCP (curl to nginx, another port, a large file) and UDP, in both families.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo, nginx};

use crate::config::{Config, Service};
use crate::load::{Load, curl, summarise};
use crate::{Context, exchange};

const SERVERS: u8 = 3;
/// The virtual port whose destinations listen on another port.
const OTHER_PORT: u16 = 8000;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { servers: SERVERS, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    for workers in [1, 2] {
        let config = services(Config::new(Wiring::TwoArm, workers, 1));
        context.with_director(&topology, &config, |director| {
            for method in Method::ALL {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    context.step(name, || exercise(&topology, method, family))?;
                }
            }
            context.step("counters", || check_counters(director))
        })?;
    }
    Ok(())
}

/// TCP 80, UDP echo, and where ports can be rewritten a virtual port of its own, for each method and family.
pub(crate) fn services(mut config: Config) -> Config {
    for method in Method::ALL {
        for family in Family::ALL {
            config = config
                .with(Service::new("tcp", method, family, nginx::PORTS[0], SERVERS))
                .with(Service::new("tcp", method, family, echo::ECHO_PORT, SERVERS))
                .with(Service::new("udp", method, family, echo::ECHO_PORT, SERVERS));
            if !method.replies_directly() {
                let service =
                    Service::new("tcp", method, family, OTHER_PORT, SERVERS).to_port(nginx::PORTS[1]);
                config = config.with(service);
            }
        }
    }
    config
}

pub(crate) fn exercise(topology: &Topology, method: Method, family: Family) -> Result<()> {
    let vip = address::vip(method, family);
    let ports: &[u16] =
        if method.replies_directly() { &[nginx::PORTS[0]] } else { &[nginx::PORTS[0], OTHER_PORT] };
    for &port in ports {
        let load = Load { target: (vip, port), requests: 60, parallel: 8, source: None };
        summarise(&curl(&topology.client, &load)?).check(SERVERS.into())?;
    }
    let url = format!("http://{}/files/large", crate::config::endpoint(vip, nginx::PORTS[0]));
    let got = topology.client.output(&[
        "curl",
        "-sS",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        "-w",
        "%{size_download}",
        &url,
    ])?;
    if got != nginx::LARGE_BYTES.to_string() {
        return Err(Error::new(format!("{got} bytes of the large file arrived")));
    }
    let target = SocketAddr::new(vip, echo::ECHO_PORT);
    let servers = topology.client.enter(move || -> Result<BTreeSet<String>> {
        let mut servers = BTreeSet::new();
        for n in 0..30_u8 {
            let source = address::client(family, n % address::CLIENTS);
            servers.insert(exchange::udp(Some(source), target, &vec![n; 1 + usize::from(n) * 40])?);
            let mut conversation = exchange::Conversation::open(Some(source), target)?;
            conversation.round(&vec![n; 4000])?;
        }
        Ok(servers)
    })??;
    if servers.len() != usize::from(SERVERS) {
        return Err(Error::new(format!("UDP reached only {servers:?}")));
    }
    Ok(())
}

/// Each service has counted connections and packets; replies exactly where they pass the director.
fn check_counters(director: &crate::Director) -> Result<()> {
    for service in director.ctl.services()? {
        let (spec, traffic) = (&service.spec, service.traffic);
        let name = spec.key.to_string();
        let replies_pass = service
            .destinations
            .iter()
            .all(|dest| matches!(dest.spec.method, api::Method::Fullnat | api::Method::Nat));
        let by_destination: u64 = service.destinations.iter().map(|dest| dest.traffic.connections).sum();
        if traffic.connections < 30 || traffic.packets_in < traffic.connections {
            return Err(Error::new(format!("{name} counted too little: {traffic:?}")));
        }
        if by_destination != traffic.connections {
            return Err(Error::new(format!(
                "{name}: {} connections, {by_destination} at destinations",
                traffic.connections
            )));
        }
        // Where replies go past the director, it still tells clients itself that a packet was too long.
        let few = traffic.packets_in / 10;
        if (traffic.packets_out > few) != replies_pass {
            return Err(Error::new(format!("{name} counted packets out: {traffic:?}")));
        }
    }
    Ok(())
}
