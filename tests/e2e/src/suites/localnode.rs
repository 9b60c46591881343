//! The director as a real server of its own services: what is for it goes by the exception port.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use lab::address::{self, CLIENTS, Family, Method};
use lab::echo::{ECHO_PORT, Echo};
use lab::{Error, Plan, Result, Topology, Wiring};

use super::exception::host_addresses;
use crate::config::{Config, Service};
use crate::{Context, exchange};

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology =
        context.step("build", || Topology::build(Plan { nginx: false, servers: 1, ..Plan::default() }))?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for family in Family::ALL {
            for protocol in ["tcp", "udp"] {
                let mut service = Service::new(protocol, Method::Nat, family, ECHO_PORT, 1);
                service.destinations.push((address::director_lan(family), ECHO_PORT));
                config = config.with(service);
            }
        }
        context.with_director(&topology, &config, |_| {
            host_addresses(&topology, &config)?;
            let addresses: Vec<IpAddr> = Family::ALL.map(address::director_lan).to_vec();
            let _host = Echo::start(&topology.director, "host", &addresses)?;
            for family in Family::ALL {
                context.step(format_args!("{} with {workers} worker(s)", family.name()), || {
                    both_serve(&topology, family)
                })?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Clients are led to the real server and to the director's own, TCP and UDP.
fn both_serve(topology: &Topology, family: Family) -> Result<()> {
    let target = SocketAddr::new(address::vip(Method::Nat, family), ECHO_PORT);
    let (streams, datagrams) = topology.client.enter(move || -> Result<_> {
        let (mut streams, mut datagrams) = (BTreeSet::new(), BTreeSet::new());
        for n in 0..CLIENTS {
            let source = Some(address::client(family, n));
            let mut conversation = exchange::Conversation::open(source, target)?;
            conversation.round(&vec![n; 5000])?;
            streams.insert(conversation.server);
            datagrams.insert(exchange::udp(source, target, &[n; 500])?);
        }
        Ok((streams, datagrams))
    })??;
    let both = BTreeSet::from(["host".to_owned(), "rs1".to_owned()]);
    if streams == both && datagrams == both {
        Ok(())
    } else {
        Err(Error::new(format!("streams were served by {streams:?}, datagrams by {datagrams:?}")))
    }
}
