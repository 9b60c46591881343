//! Ports that are TAPs of several queues: DPDK's `net_tap`, the other end of which the kernel bridges to clients and
//! servers. The kernel spreads what it sends over the queues, and sends a flow to the queue that it last came from.
//!
//! The driver has as many queues one way as the other, and no more than four.

use lab::address::Family;
use lab::topology::{LAN, WAN};
use lab::{Error, Plan, Result, Topology, Wiring, echo};

use super::workers;
use crate::config::{Config, Port, Service};
use crate::{Context, Director};

const SERVERS: u8 = 3;
/// A port of the configuration, the interface that rvsd makes for it, and the device that leads on.
const PORTS: [(&str, &str, &str); 2] = [("wan", "tapwan", WAN), ("lan", "taplan", LAN)];

pub(crate) fn run(context: &Context) -> Result<()> {
    for (count, queues) in [(2, 2), (4, 4), (4, 2), (5, 4)] {
        let plan = Plan { nginx: false, servers: SERVERS, queues: count, ..Plan::default() };
        let topology = Topology::build(plan)?;
        bridges(&topology)?;
        let mut config = Config::new(Wiring::TwoArm, count, 1);
        // The default is as many queues as there are workers or the driver has.
        let asked = (queues < count.min(4)).then_some(queues);
        config.ports = ports(asked);
        for method in workers::METHODS {
            for family in Family::ALL {
                for protocol in ["tcp", "udp"] {
                    config = config.with(Service::new(protocol, method, family, echo::ECHO_PORT, SERVERS));
                }
            }
        }
        context.with_director(&topology, &config, |director| {
            join(&topology)?;
            let name = format!("{count} workers, {queues} queues a port");
            context.step(name, || {
                workers::exercise(&topology, director, count)?;
                every_queue_received(director, queues)
            })
        })?;
    }
    Ok(())
}

/// Both ports, with so many queues or as many as there are workers.
pub(crate) fn ports(rx_queues: Option<u16>) -> Vec<Port> {
    (0..).zip(PORTS).map(|(index, port)| tap(port, index, rx_queues)).collect()
}

/// Without exception TAP: the host has nothing to do here.
fn tap((name, interface, _): (&str, &str, &str), index: u32, rx_queues: Option<u16>) -> Port {
    Port {
        name: name.to_owned(),
        device: format!("net_tap{index},iface={interface}"),
        mtu: 1500,
        exception: None,
        rx_queues,
    }
}

/// A bridge for each port, with the device that leads on already in it.
pub(crate) fn bridges(topology: &Topology) -> Result<()> {
    let director = &topology.director;
    director.sysctl(&[("ipv6.conf.default.disable_ipv6", "1")])?;
    for (name, _, device) in PORTS {
        director.ip([
            format!("link add name br{name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
            format!("link set {device} master br{name}"),
            format!("link set br{name} arp off"),
            format!("link set br{name} up"),
        ])?;
    }
    Ok(())
}

/// Puts the interfaces that rvsd made into the bridges. Both ends of a TAP have the same hardware address; the kernel's
/// must get another one, or the bridge takes for itself what is rvsd's.
pub(crate) fn join(topology: &Topology) -> Result<()> {
    for (number, (name, interface, _)) in PORTS.into_iter().enumerate() {
        topology.director.ip([
            format!("link set {interface} address 02:00:00:00:03:{number:02x}"),
            format!("link set {interface} master br{name}"),
            format!("link set {interface} up"),
        ])?;
    }
    Ok(())
}

fn every_queue_received(director: &Director, queues: u16) -> Result<()> {
    for port in director.ctl.ports()? {
        if (port.rx_queues, port.tx_queues) != (queues, queues) {
            return Err(Error::new(format!("{queues} queues each way were expected: {port:?}")));
        }
    }
    // The first workers have one queue of each port, the others none.
    let workers = director.ctl.workers()?;
    match workers.iter().take(queues.into()).find(|worker| worker.packets.rx == 0) {
        None => Ok(()),
        Some(worker) => Err(Error::new(format!("worker {} received nothing from its queues", worker.id))),
    }
}
