//! Paths that are too narrow for what the client sends: it is told, and the transfer completes.

use std::net::SocketAddr;

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo};

use crate::config::{Config, Service};
use crate::{Context, exchange};

/// The MTU of the route to the servers where packets are not wrapped.
const NARROW: u16 = 1400;
const UPLOAD_BYTES: usize = 2 << 20;
/// Those whose packets go to the server as they are, or with other addresses, but no longer than they came.
const UNWRAPPED: [Method; 3] = [Method::Nat, Method::Fullnat, Method::Dr];

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan =
        Plan { nginx: false, servers: 1, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    for workers in [1, 2] {
        paths(context, &topology, workers)?;
    }
    Ok(())
}

fn paths(context: &Context, topology: &Topology, workers: u16) -> Result<()> {
    let services = |methods: &[Method]| {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for &method in methods {
            for family in Family::ALL {
                config = config.with(Service::new("tcp", method, family, echo::SINK_PORT, 1));
            }
        }
        config
    };
    context.with_director(topology, &services(&[Method::Tunnel]), |_| {
        // The outer header takes 20 or 40 bytes of 1500.
        for (family, mtu) in [(Family::V4, 1480), (Family::V6, 1460)] {
            let name = format!("tunnel {} with {workers} worker(s)", family.name());
            context.step(name, || narrow(topology, Method::Tunnel, family, mtu))?;
        }
        Ok(())
    })?;
    let mut config = services(&UNWRAPPED);
    for family in Family::ALL {
        let (server, len) = (address::server(family, 1), family.host_len());
        config.extra += &format!("[[route]]\nto = \"{server}/{len}\"\ninterface = \"lan\"\nmtu = {NARROW}\n");
    }
    context.with_director(topology, &config, |_| {
        for method in UNWRAPPED {
            for family in Family::ALL {
                let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                context.step(name, || narrow(topology, method, family, NARROW))?;
            }
        }
        Ok(())
    })
}

/// Lets the client forget what it knows, uploads in full-sized segments, then asks the client's kernel what it learnt about the path.
pub(crate) fn narrow(topology: &Topology, method: Method, family: Family, mtu: u16) -> Result<()> {
    let target = SocketAddr::new(address::vip(method, family), echo::SINK_PORT);
    for family in Family::ALL {
        topology.client.ip_of(family, ["route flush cache"])?;
    }
    topology.client.enter(move || exchange::upload(target, UPLOAD_BYTES))??;
    let route = topology.client.output(&["ip", "route", "get", &target.ip().to_string()])?;
    if route.contains(&format!("mtu {mtu} ")) {
        Ok(())
    } else {
        Err(Error::new(format!("the client should have learnt an MTU of {mtu}: {}", route.trim())))
    }
}
