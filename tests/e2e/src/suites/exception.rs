//! What is addressed to the host reaches its kernel, and comes back: daemons such as SSH keep working on a port that
//! DPDK owns.

use std::net::{IpAddr, SocketAddr};

use lab::address::{self, Family, Method};
use lab::echo::{ECHO_PORT, Echo, SINK_PORT};
use lab::{Plan, Result, Topology, Wiring};

use super::ping::ping;
use crate::config::{Config, Service};
use crate::{Context, exchange};

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology =
        context.step("build", || Topology::build(Plan { nginx: false, servers: 1, ..Plan::default() }))?;
    let mut config = Config::new(Wiring::TwoArm, 2, 1);
    for family in Family::ALL {
        config = config.with(Service::new("tcp", Method::Fullnat, family, SINK_PORT, 1));
    }
    context.with_director(&topology, &config, |_| {
        context
            .step("the host's addresses on its side of the ports", || host_addresses(&topology, &config))?;
        let addresses: Vec<IpAddr> = Family::ALL.map(address::director_wan).to_vec();
        let _host =
            context.step("a daemon on the host", || Echo::start(&topology.director, "host", &addresses))?;
        let _client =
            Echo::start(&topology.client, "client", &Family::ALL.map(|family| address::client(family, 0)))?;
        for family in Family::ALL {
            context.step(format_args!("client to host, {}", family.name()), || {
                let host = SocketAddr::new(address::director_wan(family), ECHO_PORT);
                let vip = SocketAddr::new(address::vip(Method::Fullnat, family), ECHO_PORT);
                topology.client.enter(move || {
                    exchange::Conversation::open(None, host)?.round(&[3; 5000])?;
                    exchange::udp(None, host, b"to the host")?;
                    // A VIP is the host's, too, except for the ports of its services.
                    exchange::Conversation::open(None, vip)?.round(b"to the host")
                })?
            })?;
            context.step(format_args!("host to client, {}", family.name()), || {
                let client = SocketAddr::new(address::client(family, 0), ECHO_PORT);
                ping(&topology.director, &[&client.ip().to_string()])?;
                topology
                    .director
                    .enter(move || exchange::Conversation::open(None, client)?.round(&[4; 5000]))?
            })?;
            context.step(format_args!("the service beside it, {}", family.name()), || {
                let vip = SocketAddr::new(address::vip(Method::Fullnat, family), SINK_PORT);
                topology.client.enter(move || exchange::upload(vip, 1 << 20).map(drop))?
            })?;
        }
        Ok(())
    })
}

/// What the host's administrator does with any interface: addresses on it, and up.
pub(crate) fn host_addresses(topology: &Topology, config: &Config) -> Result<()> {
    let mut lines = Vec::new();
    for (interface, address, len) in &config.addresses {
        let nodad = if address.is_ipv6() { " nodad" } else { "" };
        lines.push(format!("addr replace {address}/{len} dev {interface}.host{nodad}"));
    }
    lines.extend(config.ports.iter().map(|port| format!("link set {}.host up", port.name)));
    topology.director.ip(lines)
}
