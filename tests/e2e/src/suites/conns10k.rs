//! Ten thousand connections at the same time, by every method: 5,000 TCP connections held open, 5,000 UDP flows not yet
//! expired, half of each in either family.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::address::{self, CLIENTS, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo};

use crate::config::{Config, Service};
use crate::{Context, exchange};

const SERVERS: u8 = 3;
const EACH: u16 = 5_000;
const FIRST_PORT: u16 = 10_000;

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology = context.step("build", || {
        let decap = Some(context.binaries.decap.clone());
        Topology::build(Plan { nginx: false, decap, ..Plan::default() })
    })?;
    for workers in [1, 2] {
        for method in Method::ALL {
            let what = format_args!("{} with {workers} worker(s)", method.name());
            context.step(what, || fill(context, &topology, method, workers))?;
        }
    }
    Ok(())
}

fn fill(context: &Context, topology: &Topology, method: Method, workers: u16) -> Result<()> {
    let mut config = Config::new(Wiring::TwoArm, workers, 1);
    for family in Family::ALL {
        for protocol in ["tcp", "udp"] {
            config = config.with(Service::new(protocol, method, family, echo::ECHO_PORT, SERVERS));
        }
    }
    context.with_director(topology, &config, |director| {
        let mut held =
            context.step("open 5,000 TCP connections", || topology.client.enter(move || open(method))?)?;
        context.step("send on 5,000 UDP flows", || topology.client.enter(move || send(method))?)?;
        context.step("count", || {
            let (count, listed) = (director.ctl.connections()?, director.ctl.conn_list()?.len());
            let wanted = 2 * usize::from(EACH);
            if count != wanted as u64 || listed != wanted {
                return Err(Error::new(format!("{count} counted, {listed} listed, {wanted} wanted")));
            }
            Ok(())
        })?;
        held = context.step("every TCP connection still works", || {
            topology.client.enter(move || {
                held.iter_mut().try_for_each(|conversation| conversation.round(b"still there"))?;
                Ok(held)
            })?
        })?;
        // Before the flush, so that the servers hear of it and let go of their ends.
        context.step("close", || {
            drop(held);
            let until = Instant::now() + Duration::from_secs(10);
            while director.ctl.conn_list()?.iter().any(|conn| conn.state == "ESTABLISHED") {
                if Instant::now() > until {
                    return Err(Error::new("connections that were closed are still established after 10 s"));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        })?;
        context.step("flush", || {
            director.ctl.run("conn flush")?;
            match director.ctl.connections()? {
                0 => Ok(()),
                left => Err(Error::new(format!("{left} connections are left"))),
            }
        })
    })
}

fn target(method: Method, n: u16) -> (Family, SocketAddr) {
    let family = Family::ALL[usize::from(n) % 2];
    (family, SocketAddr::new(address::vip(method, family), echo::ECHO_PORT))
}

fn source(family: Family, n: u16) -> std::net::IpAddr {
    address::client(family, (n % u16::from(CLIENTS)) as u8)
}

fn open(method: Method) -> Result<Vec<exchange::Conversation>> {
    let conversations = (0..EACH).map(|n| {
        let (family, target) = target(method, n);
        exchange::Conversation::open(Some(source(family, n)), target)
    });
    conversations.collect()
}

fn send(method: Method) -> Result<()> {
    (0..EACH).try_for_each(|n| {
        let (family, target) = target(method, n);
        let from = SocketAddr::new(source(family, n), FIRST_PORT + n);
        exchange::udp_from(from, target, b"once", Duration::from_secs(3)).map(drop)
    })
}
