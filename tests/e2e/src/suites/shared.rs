//! rvsd as a distribution would build it: linked to DPDK's shared libraries, whose drivers EAL loads at start.

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, nginx};

use super::ping::ping;
use crate::config::{Config, Service};
use crate::load::{Load, curl, summarise};
use crate::{Binaries, Context};

const SERVERS: u8 = 2;

pub(crate) fn run(context: &Context) -> Result<()> {
    let rvsd = &context.binaries.rvsd_shared;
    if !rvsd.is_file() {
        let message = format!("{} is missing: `cargo xtask e2e shared` builds it", rvsd.display());
        return Err(Error::new(message));
    }
    let binaries = Binaries { rvsd: rvsd.clone(), ..context.binaries.clone() };
    let shared = Context { binaries };
    let topology = context.step("build", || Topology::build(Plan { servers: SERVERS, ..Plan::default() }))?;
    let mut config = Config::new(Wiring::TwoArm, 2, 1);
    for family in Family::ALL {
        config = config.with(Service::new("tcp", Method::Fullnat, family, nginx::PORTS[0], SERVERS));
    }
    shared.with_director(&topology, &config, |director| {
        context.step("it is linked so", || is_shared(director.process().pid()))?;
        for family in Family::ALL {
            context.step(format_args!("ping and TCP, {}", family.name()), || {
                let vip = address::vip(Method::Fullnat, family);
                ping(&topology.client, &[&vip.to_string()])?;
                let load = Load { target: (vip, nginx::PORTS[0]), requests: 40, parallel: 4, source: None };
                summarise(&curl(&topology.client, &load)?).check(SERVERS.into())
            })?;
        }
        Ok(())
    })
}

/// Whether the process has DPDK's libraries and the driver of our ports in its memory as shared objects.
fn is_shared(pid: u32) -> Result<()> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    for library in ["librte_eal.so", "librte_net_af_packet.so"] {
        if !maps.contains(library) {
            return Err(Error::new(format!("{library} is not loaded")));
        }
    }
    Ok(())
}
