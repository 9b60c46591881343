//! A service by mark: rules mark what is for two ports of a VIP, and a client has one server for both.

use lab::address::{self, CLIENTS, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, nginx};

use crate::Context;
use crate::config::Config;
use crate::load::{Load, curl, summarise};

const SERVERS: u8 = 3;
const METHODS: [Method; 3] = [Method::Nat, Method::Dr, Method::Tunnel];

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { servers: SERVERS, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for (mark, method) in (1..).zip(METHODS) {
            for family in Family::ALL {
                config.extra += &service(mark, method, family);
            }
        }
        context.with_director(&topology, &config, |_| {
            for method in METHODS {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    context.step(name, || one_server_for_both(&topology, method, family))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The rules and the service; a destination's port 0 is the one that the client asked for.
fn service(mark: u32, method: Method, family: Family) -> String {
    let (vip, len) = (address::vip(method, family), family.host_len());
    let mut text = String::new();
    for port in nginx::PORTS {
        text += &format!(
            "[[mark]]\nfwmark = {mark}\ndestination = \"{vip}/{len}\"\nprotocol = \"tcp\"\ndestination_ports = \"{port}\"\n"
        );
    }
    text += &format!(
        "[[service]]\nfwmark = {mark}\nfamily = \"{}\"\nscheduler = \"rr\"\npersistence_timeout_s = 300\n",
        family.name().to_lowercase()
    );
    for n in 1..=SERVERS {
        let server = address::server(family, n);
        text += &format!(
            "[[service.destination]]\naddress = \"{server}\"\nport = 0\nmethod = \"{}\"\n",
            method.name()
        );
    }
    text
}

fn one_server_for_both(topology: &Topology, method: Method, family: Family) -> Result<()> {
    for n in (0..CLIENTS).step_by(4) {
        let client = address::client(family, n);
        let mut servers = Vec::new();
        for port in nginx::PORTS {
            let target = (address::vip(method, family), port);
            let load = Load { target, requests: 4, parallel: 2, source: Some(client) };
            let summary = summarise(&curl(&topology.client, &load)?);
            if let Some(error) = summary.first_error {
                return Err(Error::new(format!("{client}, port {port}: {error}")));
            }
            servers.extend(summary.spread.into_keys());
        }
        if servers.len() != 2 || servers[0] != servers[1] {
            return Err(Error::new(format!("{client} was served by {servers:?}")));
        }
    }
    Ok(())
}
