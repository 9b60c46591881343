//! Workers and queues in every proportion: each flow is one connection at one worker, replies find it, nothing is
//! lost on the way.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::address::{self, CLIENTS, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo};

use crate::config::{Config, Service};
use crate::{Context, Director, exchange};

const SERVERS: u8 = 3;
/// Flows for each protocol, method and family.
const FLOWS: u16 = 96;
const FIRST_PORT: u16 = 20_000;
/// Both ways lead through the director, so that each flow's replies have to find its worker.
pub(crate) const METHODS: [Method; 2] = [Method::Fullnat, Method::Nat];

pub(crate) fn run(context: &Context) -> Result<()> {
    // (workers, receive queues of each port)
    for (workers, queues) in [(1, 1), (2, 1), (2, 2), (4, 1), (4, 4), (4, 2)] {
        let plan = Plan { nginx: false, queues, ..Plan::default() };
        let topology = Topology::build(plan)?;
        let mut config = Config::new(Wiring::TwoArm, workers, queues);
        for method in METHODS {
            for family in Family::ALL {
                for protocol in ["tcp", "udp"] {
                    config = config.with(Service::new(protocol, method, family, echo::ECHO_PORT, SERVERS));
                }
            }
        }
        context.with_director(&topology, &config, |director| {
            let name = format!("{workers} worker(s), {queues} queue(s) a port");
            context.step(name, || exercise(&topology, director, workers))
        })?;
    }
    Ok(())
}

pub(crate) fn exercise(topology: &Topology, director: &Director, workers: u16) -> Result<()> {
    let (lost, kept) = topology.client.enter(|| -> Result<_> {
        let before = exchange::lost()?;
        let mut kept = Vec::new();
        for method in METHODS {
            for family in Family::ALL {
                kept.extend(flows(SocketAddr::new(address::vip(method, family), echo::ECHO_PORT))?);
            }
        }
        Ok((lost_since(before)?, kept))
    })??;
    if lost > 0 {
        return Err(Error::new(format!("{lost} segments were lost")));
    }
    check_table(director, kept.len(), workers)?;
    drop(kept);
    let lost: u64 =
        director.ctl.ports()?.iter().map(|port| port.rx_missed + port.rx_no_buffers + port.tx_errors).sum();
    if lost > 0 {
        return Err(Error::new(format!("ports lost {lost} packets")));
    }
    Ok(())
}

/// A report of a duplicate may still be under way: what is missing is looked at for a second.
fn lost_since(before: i64) -> Result<i64> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        let lost = exchange::lost()? - before;
        if lost <= 0 || Instant::now() > deadline {
            return Ok(lost);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Opens all flows to one VIP, then uses each TCP connection once more, when every other exists.
fn flows(target: SocketAddr) -> Result<Vec<exchange::Conversation>> {
    let family = address::family(target.ip());
    let mut conversations = Vec::new();
    for n in 0..FLOWS {
        let source = address::client(family, (n % u16::from(CLIENTS)) as u8);
        conversations.push(exchange::Conversation::open(Some(source), target)?);
        let from = SocketAddr::new(source, FIRST_PORT + n);
        exchange::udp_from(from, target, &n.to_be_bytes(), Duration::from_secs(3))?;
    }
    for (n, conversation) in conversations.iter_mut().enumerate() {
        conversation.round(&vec![n as u8; 3000])?;
    }
    Ok(conversations)
}

fn check_table(director: &Director, tcp: usize, workers: u16) -> Result<()> {
    let connections = director.ctl.conn_list()?;
    let flows: HashSet<_> = connections.iter().map(|c| (c.protocol.as_str(), c.client, c.service)).collect();
    let expected = 2 * tcp;
    if connections.len() != expected || flows.len() != expected {
        let (listed, flows) = (connections.len(), flows.len());
        return Err(Error::new(format!("{expected} flows made {listed} connections of {flows} flows")));
    }
    if director.ctl.connections()? != expected as u64 {
        return Err(Error::new("conn count and conn list disagree"));
    }
    let busy: HashSet<u16> = connections.iter().map(|c| c.worker).collect();
    if busy.len() != usize::from(workers) {
        return Err(Error::new(format!("of {workers} workers only {busy:?} have connections")));
    }
    Ok(())
}
