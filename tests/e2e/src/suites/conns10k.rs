//! Ten thousand connections at the same time: 5,000 TCP connections held open, 5,000 UDP flows not yet expired.

use std::net::SocketAddr;
use std::time::Duration;

use lab::address::{self, CLIENTS, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo};

use crate::config::{Config, Service};
use crate::{Context, exchange};

const SERVERS: u8 = 3;
const EACH: u16 = 5_000;
const FIRST_PORT: u16 = 10_000;

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology = context.step("build", || Topology::build(Plan { nginx: false, ..Plan::default() }))?;
    for workers in [1, 2] {
        context.step(format_args!("{workers} worker(s)"), || fill(context, &topology, workers))?;
    }
    Ok(())
}

fn fill(context: &Context, topology: &Topology, workers: u16) -> Result<()> {
    let mut config = Config::new(Wiring::TwoArm, workers, 1);
    for family in Family::ALL {
        for protocol in ["tcp", "udp"] {
            config = config.with(Service::new(protocol, Method::Fullnat, family, echo::ECHO_PORT, SERVERS));
        }
    }
    context.with_director(topology, &config, |director| {
        let mut held = context.step("open 5,000 TCP connections", || topology.client.enter(open)?)?;
        context.step("send on 5,000 UDP flows", || topology.client.enter(send)?)?;
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
        context.step("flush", || {
            director.ctl.run("conn flush")?;
            match director.ctl.connections()? {
                0 => Ok(()),
                left => Err(Error::new(format!("{left} connections are left"))),
            }
        })?;
        drop(held);
        Ok(())
    })
}

fn target(n: u16) -> (Family, SocketAddr) {
    let family = Family::ALL[usize::from(n) % 2];
    (family, SocketAddr::new(address::vip(Method::Fullnat, family), echo::ECHO_PORT))
}

fn source(family: Family, n: u16) -> std::net::IpAddr {
    address::client(family, (n % u16::from(CLIENTS)) as u8)
}

fn open() -> Result<Vec<exchange::Conversation>> {
    let conversations = (0..EACH).map(|n| {
        let (family, target) = target(n);
        exchange::Conversation::open(Some(source(family, n)), target)
    });
    conversations.collect()
}

fn send() -> Result<()> {
    (0..EACH).try_for_each(|n| {
        let (family, target) = target(n);
        let from = SocketAddr::new(source(family, n), FIRST_PORT + n);
        exchange::udp_from(from, target, b"once", Duration::from_secs(3)).map(drop)
    })
}
