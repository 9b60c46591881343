//! Tunnels of every kind to servers that end them: with and without checksums, over both families and across them. (Plain
//! IP in IP is in every suite that has the method.)

use lab::address::{self, Family, Method};
use lab::{Plan, Result, Topology, Wiring, echo, nginx};

use super::{methods, pmtu};
use crate::Context;
use crate::config::{Config, Service};

const SERVERS: u8 = 3;

/// A kind of tunnel: its name, its lines in a destination's table, and the bytes that it takes of a packet beside the outer
/// IP header.
type Kind = (&'static str, &'static [&'static str], u16);

const KINDS: [Kind; 4] = [
    ("gre", &["tunnel_type = \"gre\""], 4),
    ("gre with checksum", &["tunnel_type = \"gre\"", "tunnel_checksum = \"csum\""], 8),
    ("gue", &["tunnel_type = \"gue\"", "tunnel_port = 6080"], 12),
    ("gue with checksum", &["tunnel_type = \"gue\"", "tunnel_port = 6080", "tunnel_checksum = \"csum\""], 12),
];

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { servers: SERVERS, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    for kind in KINDS {
        for across in [false, true] {
            let workers = if across { 1 } else { 2 };
            context.with_director(&topology, &config(kind, across, workers), |_| {
                for family in Family::ALL {
                    let (name, _, takes) = kind;
                    let outer = if across { other(family) } else { family };
                    let over = format!("{name}, {} over {}", family.name(), outer.name());
                    context.step(format_args!("{over}, {workers} worker(s)"), || {
                        methods::exercise(&topology, Method::Tunnel, family)
                    })?;
                    let header = if outer == Family::V4 { 20 } else { 40 };
                    context.step(format_args!("{over}: the path's MTU"), || {
                        pmtu::narrow(&topology, Method::Tunnel, family, 1500 - header - takes)
                    })?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn other(family: Family) -> Family {
    if family == Family::V4 { Family::V6 } else { Family::V4 }
}

fn config((_, options, _): Kind, across: bool, workers: u16) -> Config {
    let mut config = Config::new(Wiring::TwoArm, workers, 1);
    for family in Family::ALL {
        for (protocol, port) in [
            ("tcp", nginx::PORTS[0]),
            ("tcp", echo::ECHO_PORT),
            ("tcp", echo::SINK_PORT),
            ("udp", echo::ECHO_PORT),
        ] {
            let mut service = Service::new(protocol, Method::Tunnel, family, port, SERVERS);
            if across {
                let servers = (1..=SERVERS).map(|n| (address::server(other(family), n), port));
                service.destinations = servers.collect();
            }
            config =
                config.with(options.iter().fold(service, |service, line| service.destination_option(line)));
        }
    }
    config
}
