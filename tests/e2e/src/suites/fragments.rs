//! Datagrams larger than the MTU, by every method and of both families: the client's kernel cuts them, rvs gathers them, sends
//! them to their owner and cuts them again, the server's kernel gathers; and the same way back where replies pass.
//!
//! Over TAP ports: behind an af_packet port rvs never sees a fragment of IPv4, since DPDK's driver has the kernel gather them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Result, Topology, Wiring, echo};

use super::tap;
use crate::config::{Config, Service};
use crate::{Context, Director, exchange};

const SERVERS: u8 = 3;
/// Bytes of payload: just beyond the MTU, a few fragments, many, and nearly as many as a buffer holds.
const SIZES: [usize; 5] = [1473, 3000, 8192, 20_000, 60_000];
/// Datagrams of each size.
const ROUNDS: usize = 4;
/// How long to wait for an answer that may not come.
const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn run(context: &Context) -> Result<()> {
    for workers in [1, 2, 4] {
        let plan = Plan {
            nginx: false,
            servers: SERVERS,
            queues: workers,
            decap: Some(context.binaries.decap.clone()),
            ..Plan::default()
        };
        let topology = Topology::build(plan)?;
        tap::bridges(&topology)?;
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        config.ports = tap::ports(None);
        for method in Method::ALL {
            for family in Family::ALL {
                config = config.with(Service::new("udp", method, family, echo::ECHO_PORT, SERVERS));
            }
        }
        context.with_director(&topology, &config, |director| {
            tap::join(&topology)?;
            for method in Method::ALL {
                for family in Family::ALL {
                    let name = format!("{} {}, {workers} worker(s)", method.name(), family.name());
                    context.step(name, || datagrams(&topology, director, method, family))?;
                }
            }
            context
                .step(format_args!("nothing but what was meant, {workers} worker(s)"), || all_used(director))
        })?;
    }
    Ok(())
}

fn datagrams(topology: &Topology, director: &Director, method: Method, family: Family) -> Result<()> {
    let target = SocketAddr::new(address::vip(method, family), echo::ECHO_PORT);
    let before = director.ctl.packets()?;
    topology.client.enter(move || {
        if (method, family) == (Method::Tunnel, Family::V6) {
            // Its fragments fill the MTU, and the tunnel takes of that: the client hears so and makes smaller ones.
            let any = SocketAddr::new(IpAddr::from([0; 16]), 0);
            let _ = exchange::udp_from(any, target, &[5; 3000], SHORT);
        }
        for len in SIZES {
            let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            for _ in 0..ROUNDS {
                exchange::udp(None, target, &payload).context(format_args!("{len} bytes"))?;
            }
        }
        Ok::<(), Error>(())
    })??;
    let after = director.ctl.packets()?;
    let (merged, split) = (after.merged - before.merged, after.split - before.split);
    let least = (SIZES.len() * ROUNDS) as u64;
    if merged < least || split < least {
        return Err(Error::new(format!("{merged} fragments were merged, {split} made; {least} at least")));
    }
    Ok(())
}

/// No fragment waits, none was dropped.
fn all_used(director: &Director) -> Result<()> {
    for reason in [
        "fragment_invalid",
        "fragment_overlap",
        "fragment_table_full",
        "fragment_timeout",
        "datagram_too_long",
        "no_large_mbuf",
        "no_mbuf",
    ] {
        let dropped = director.ctl.dropped(reason)?;
        if dropped > 0 {
            return Err(Error::new(format!("{dropped} packets were dropped as {reason}")));
        }
    }
    Ok(())
}
