//! SCTP by a stack in user space, for kernels that have none: the programs of libusrsctp's examples. `tsctp` counts messages,
//! but knows IPv4 only; `client` and `echo_server` have what is said come back, by IPv6.

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::topology::{DECAP, Server};
use lab::{Error, Plan, Process, Result, Topology, Wiring};

use crate::config::{Config, Service};
use crate::{Context, Director};

const PROGRAMS: &str = "/usr/lib/usrsctp";
const SERVERS: u8 = 2;
/// Where `tsctp` is told to listen, and where `echo_server` always does.
const PORTS: [(Family, u16); 2] = [(Family::V4, 5001), (Family::V6, 7)];
/// Replies come back through the director, or go past it; servers are set up for one or the other.
const METHODS: [&[Method]; 2] = [&[Method::Nat], &[Method::Dr, Method::Tunnel]];
const MESSAGES: &str = "200";

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan {
        nginx: false,
        servers: SERVERS,
        decap: Some(context.binaries.decap.clone()),
        ..Plan::default()
    };
    let topology = context.step("build", || Topology::build(plan))?;
    for methods in METHODS {
        let _servers = context.step("SCTP servers", || servers(&topology, methods[0].replies_directly()))?;
        for workers in if methods.len() == 1 { 1..=2 } else { 2..=2 } {
            served(context, &topology, methods, workers)?;
        }
    }
    Ok(())
}

fn served(context: &Context, topology: &Topology, methods: &[Method], workers: u16) -> Result<()> {
    let mut config = Config::new(Wiring::TwoArm, workers, 1);
    for &method in methods {
        for (family, port) in PORTS {
            config = config.with(Service::new("sctp", method, family, port, SERVERS));
        }
    }
    context.with_director(topology, &config, |director| {
        for &method in methods {
            for (family, port) in PORTS {
                let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                context.step(name, || {
                    associations(topology, method, family, port)?;
                    counted(director, method, family, workers)
                })?;
            }
        }
        Ok(())
    })
}

/// `tsctp` once for each address: bound to all, it would offer its other addresses to clients, past the director.
fn servers(topology: &Topology, directly: bool) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for server in &topology.servers {
        if directly {
            reply_from_vips(server)?;
        }
        let mut start = |name: &str, words: &[&str]| -> Result<()> {
            let log = topology.lab.dir().join(format!("{name}-{}-{}.log", server.name, processes.len()));
            let mut command = server.namespace.command(format!("{PROGRAMS}/{name}"));
            processes.push(Process::spawn(name, command.args(words), &log)?);
            Ok(())
        };
        for address in server.own_addresses().iter().filter(|address| address.is_ipv4()) {
            start("tsctp", &["-p", &PORTS[0].1.to_string(), "-L", &address.to_string()])?;
        }
        start("echo_server", &["0", "0"])?;
    }
    Ok(processes)
}

/// The VIPs move from the loopback device, from which the stack answers nobody, to the decapsulator's. It writes IPv4 headers
/// itself, and the kernel does not look into them for the source when it chooses a route: it is told by the protocol that
/// such sockets have.
fn reply_from_vips(server: &Server) -> Result<()> {
    let own = Family::ALL.map(|family| server.address(family));
    for vip in server.own_addresses().into_iter().filter(|address| !own.contains(address)) {
        let (len, nodad) = if vip.is_ipv4() { (32, "") } else { (128, " nodad") };
        server.namespace.ip([
            format!("addr del {vip}/{len} dev lo"),
            format!("addr add {vip}/{len} dev {DECAP}{nodad}"),
        ])?;
    }
    server.namespace.ip_of(Family::V4, ["rule add ipproto 255 lookup 100 pref 99"])
}

/// As many associations as there are servers, one after another: each program of the stack gets every packet of its host, and
/// answers some that are not its own.
fn associations(topology: &Topology, method: Method, family: Family, port: u16) -> Result<()> {
    let vip = address::vip(method, family).to_string();
    (0..SERVERS).try_for_each(|n| {
        let done = match family {
            Family::V4 => send(topology, &address::client(family, n).to_string(), &vip, port),
            Family::V6 => echo(topology, &vip, port, &format!("association {n}")),
        };
        done.context(format_args!("association {n}"))
    })
}

/// `tsctp` comes to its end when all messages have arrived.
fn send(topology: &Topology, from: &str, vip: &str, port: u16) -> Result<()> {
    let program = format!("{PROGRAMS}/tsctp");
    let words =
        ["timeout", "15", &program, "-n", MESSAGES, "-l", "1200", "-p", &port.to_string(), "-L", from, vip];
    topology.client.output(&words).map(drop)
}

/// What is said comes back, on one association.
fn echo(topology: &Topology, vip: &str, port: u16, words: &str) -> Result<()> {
    let script = format!(
        "(sleep 0.2; echo '{words} 1'; sleep 0.2; echo '{words} 2'; sleep 0.2) | timeout 15 {PROGRAMS}/client {vip} {port} 0 0 0"
    );
    let said = topology.client.output(&["sh", "-c", &script])?;
    let heard = said.lines().filter(|line| line.starts_with(words)).count();
    if heard == 2 { Ok(()) } else { Err(Error::new(format!("{heard} of 2 lines came back: {said}"))) }
}

/// Every association was counted once; with one worker they are spread evenly.
fn counted(director: &Director, method: Method, family: Family, workers: u16) -> Result<()> {
    let vip = address::vip(method, family);
    let services = director.ctl.services()?;
    let service = services.iter().find(|service| service.spec.key.address() == Some(vip));
    let service = service.ok_or_else(|| Error::new("the service is gone"))?;
    let counted: Vec<u64> = service.destinations.iter().map(|dest| dest.traffic.connections).collect();
    if counted.iter().sum::<u64>() == u64::from(SERVERS) && (workers > 1 || counted.iter().all(|&n| n == 1)) {
        Ok(())
    } else {
        Err(Error::new(format!("associations by server: {counted:?}")))
    }
}
