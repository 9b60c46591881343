//! VIPs and interface addresses answer pings; neighbours that change or are forgotten are found again.

use std::net::SocketAddr;

use lab::address::{self, Family, Method};
use lab::topology::SERVER;
use lab::{Error, Namespace, Plan, Result, Topology, Wiring, echo};

use crate::config::{Config, Service};
use crate::{Context, exchange};

const ROUNDS: u8 = 20;

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology =
        context.step("build", || Topology::build(Plan { nginx: false, servers: 1, ..Plan::default() }))?;
    for workers in [1, 2] {
        context.step(format_args!("{workers} worker(s)"), || pings(context, &topology, workers))?;
    }
    Ok(())
}

fn pings(context: &Context, topology: &Topology, workers: u16) -> Result<()> {
    let mut config = Config::new(Wiring::TwoArm, workers, 1);
    for family in Family::ALL {
        config = config.with(Service::new("udp", Method::Fullnat, family, echo::ECHO_PORT, 1));
    }
    context.with_director(topology, &config, |director| {
        for family in Family::ALL {
            context.step(format_args!("ping, {}", family.name()), || {
                for method in Method::ALL {
                    ping(&topology.client, &[&address::vip(method, family).to_string()])?;
                }
                ping(&topology.client, &["-s", "1400", &address::director_wan(family).to_string()])?;
                ping(&topology.servers[0].namespace, &[&address::director_lan(family).to_string()])
            })?;
        }
        context.step("neighbours forgotten", || {
            director.ctl.run("neigh flush")?;
            echoes(topology)
        })?;
        context.step("a server with another MAC", || {
            let server = &topology.servers[0].namespace;
            server.ip([
                format!("link set {SERVER} address 02:00:00:00:02:9{workers}"),
                "neigh flush all".to_owned(),
            ])?;
            // The server asks for its gateway, from its new address, before it can answer anybody.
            for family in Family::ALL {
                ping(server, &[&address::director_lan(family).to_string()])?;
            }
            echoes(topology)
        })
    })
}

fn echoes(topology: &Topology) -> Result<()> {
    topology.client.enter(|| {
        for family in Family::ALL {
            let target = SocketAddr::new(address::vip(Method::Fullnat, family), echo::ECHO_PORT);
            for n in 0..ROUNDS {
                exchange::udp(None, target, &[n])?;
            }
        }
        Ok(())
    })?
}

/// Five pings; every one must be answered.
pub(crate) fn ping(from: &Namespace, words: &[&str]) -> Result<()> {
    let said = from.output(&[&["ping", "-n", "-c", "5", "-i", "0.1", "-W", "2"], words].concat())?;
    let wanted = "5 packets transmitted, 5 received";
    if said.contains(wanted) && !said.contains("duplicates") { Ok(()) } else { Err(Error::new(said)) }
}
