//! Failover: two directors share all addresses, one waits; when the other dies its connections go on, by every method.
//!
//! Both are hosts on the switch, with one hardware address; the switch's port of the one that waits is down. Their daemons
//! speak on a link of their own, each as master and backup.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::address::{self, Family, Method};

use lab::topology::{WAN, hands_off};
use lab::{Error, Namespace, Plan, Result, Topology, Wiring, echo};
use rustix::process::Signal;

use super::longlived::Connection;
use crate::config::{Config, Service};
use crate::{Context, Director};

const SERVERS: u8 = 3;
/// The link between the two directors, named alike on both.
const HA: &str = "ha0";
/// The ports of the switch.
const PORTS: [&str; 2] = ["director", "standby"];
/// How long a message may take: it waits for two to three seconds.
const TOLD_LIMIT: Duration = Duration::from_secs(8);

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan =
        Plan { wiring: Wiring::OneArm, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    let standby = context.step("a second director", || second(&topology))?;
    for workers in [1, 2] {
        fail_over(context, &topology, &standby, workers)?;
        // The next pair begins as this one did.
        show_ports(&topology, PORTS[0], PORTS[1])?;
    }
    Ok(())
}

/// A namespace on the switch that looks like the director's, and a link between the two.
fn second(topology: &Topology) -> Result<Namespace> {
    let standby = topology.lab.namespace("standby")?;
    topology.plug(&standby, WAN, PORTS[1])?;
    topology.switch.ip([format!("link set {} down", PORTS[1])])?;
    hands_off(&standby, WAN)?;
    let mac = topology.director.output(&["cat", &format!("/sys/class/net/{WAN}/address")])?;
    standby.ip([format!("link set {WAN} address {}", mac.trim()), format!("link set {WAN} up")])?;
    topology.director.ip([format!("link add {HA} type veth peer name {HA} netns {}", standby.name())])?;
    for (n, namespace) in [&topology.director, &standby].into_iter().enumerate() {
        namespace.ip([format!("addr add 10.99.0.{}/24 dev {HA}", n + 1), format!("link set {HA} up")])?;
    }
    Ok(standby)
}

/// Which of the two is on the switch.
fn show_ports(topology: &Topology, up: &str, down: &str) -> Result<()> {
    topology.switch.ip([format!("link set {down} down"), format!("link set {up} up")])
}

fn config(workers: u16) -> Config {
    let mut config = Config::new(Wiring::OneArm, workers, 1);
    for method in Method::ALL {
        for family in Family::ALL {
            config = config.with(Service::new("tcp", method, family, echo::ECHO_PORT, SERVERS));
        }
    }
    for role in ["master", "backup"] {
        config.extra.push_str(&format!("[[sync]]\nrole = \"{role}\"\ninterface = \"{HA}\"\nid = 7\n"));
    }
    config
}

fn fail_over(context: &Context, topology: &Topology, standby: &Namespace, workers: u16) -> Result<()> {
    let name = |what: &str| format!("{what}, {workers} worker(s)");
    let config = config(workers);
    let (mut first, mut second) = context.step(name("both start"), || {
        let first = Director::start(topology, &context.binaries, &config)?;
        let second = Director::start_in(&topology.lab, standby, "standby", &context.binaries, &config)?;
        Ok((first, second))
    })?;
    let result = (|| {
        let connections = context.step(name("connections by every method"), || open(topology))?;
        context.step(name("the second hears of them"), || hears(&second, connections.len() as u64))?;
        context.step(name("the first dies, the second goes on with them"), || {
            first.process().signal(Signal::KILL)?;
            show_ports(topology, PORTS[1], PORTS[0])?;
            for (what, server, connection) in connections {
                let now = connection.round("after the failover").map_err(|error| error.context(&what))?;
                if now != server {
                    return Err(Error::new(format!("{what}: {now} answers, it was {server}")));
                }
                connection.close()?;
            }
            second.check_conservation()
        })
    })();
    result.map_err(|error| {
        let stats = second.ctl.run("sync stats").unwrap_or_else(|error| error.to_string());
        let list = second.ctl.run("conn list").unwrap_or_else(|error| error.to_string());
        context
            .explain(error, topology, &second)
            .context(format!("{stats}\n{list}\nthe first said:\n{}", first.log()))
    })
}

/// A connection through each service, with enough rounds to be told: what it is, its server, itself.
fn open(topology: &Topology) -> Result<Vec<(String, String, Connection)>> {
    let mut all = Vec::new();
    for method in Method::ALL {
        for family in Family::ALL {
            let what = format!("{} {}", method.name(), family.name());
            let target = SocketAddr::new(address::vip(method, family), echo::ECHO_PORT);
            let connection = Connection::open(topology, target);
            let server = connection.round("at first").map_err(|error| error.context(&what))?;
            all.push((what, server, connection));
        }
    }
    Ok(all)
}

fn hears(second: &Director, wanted: u64) -> Result<()> {
    let deadline = Instant::now() + TOLD_LIMIT;
    loop {
        let heard = second.ctl.connections()?;
        if heard >= wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::new(format!("it knows {heard} of {wanted} connections")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
