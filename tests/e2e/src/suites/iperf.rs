//! Throughput by stock iperf3: not a benchmark, but streams and datagrams that keep every queue filled, both ways at
//! the same time.

use std::net::IpAddr;
use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Process, Result, Topology, Wiring};

use crate::Context;
use crate::config::{Config, Service};

const PORT: u16 = 5201;
const SECONDS: &str = "1";
/// What any machine manages.
const LEAST_BITS_PER_SECOND: f64 = 20e6;
const UDP_RATE: &str = "20M";
/// Fewer datagrams than half of that rate makes in a second.
const DATAGRAMS_MIN: f64 = 1000.0;
const UDP_LOSS_PERCENT_MAX: f64 = 2.0;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan =
        Plan { nginx: false, servers: 1, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    let _servers = servers(&topology)?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for method in Method::ALL {
            for family in Family::ALL {
                for protocol in ["tcp", "udp"] {
                    config = config.with(Service::new(protocol, method, family, PORT, 1));
                }
            }
        }
        context.with_director(&topology, &config, |_| {
            for method in Method::ALL {
                for family in Family::ALL {
                    let vip = address::vip(method, family).to_string();
                    let name = format!("{} {}, {workers} worker(s)", method.name(), family.name());
                    context.step(format_args!("TCP, {name}"), || {
                        streams(&iperf(&topology, &vip, &["-P", "4"])?)
                    })?;
                    context.step(format_args!("UDP, {name}"), || {
                        datagrams(&iperf(&topology, &vip, &["-u", "-b", UDP_RATE, "-l", "1200"])?)
                    })?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// One for each address of the real server: bound to all of them, it would answer datagrams to a VIP from another.
fn servers(topology: &Topology) -> Result<Vec<Process>> {
    let start = |(n, address): (usize, IpAddr)| {
        let mut command = topology.servers[0].namespace.command("iperf3");
        command.args(["-s", "-p", &PORT.to_string(), "-B", &address.to_string()]);
        Process::spawn("iperf3", &mut command, &topology.lab.dir().join(format!("iperf3-{n}.log")))
    };
    topology.servers[0].own_addresses().into_iter().enumerate().map(start).collect()
}

fn iperf(topology: &Topology, vip: &str, options: &[&str]) -> Result<serde_json::Value> {
    let port = PORT.to_string();
    let mut words = vec!["iperf3", "-J", "-c", vip, "-p", &port, "-t", SECONDS, "--bidir"];
    words.extend(["--connect-timeout", "5000"]);
    words.extend(options);
    // The server takes one test at a time, and may still be busy with the end of the one before.
    let mut last = Error::new("not tried");
    for _ in 0..5 {
        match topology.client.output(&words) {
            Ok(text) => match report(&text) {
                Ok(report) => return Ok(report),
                Err(error) => last = error,
            },
            Err(error) => last = error,
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    Err(last).context("iperf3")
}

/// With `-J` a failed test ends well, too; the report says so.
fn report(text: &str) -> Result<serde_json::Value> {
    let report: serde_json::Value =
        serde_json::from_str(text).map_err(|error| Error::new(error.to_string()))?;
    match report.get("error") {
        None => Ok(report),
        Some(error) => Err(Error::new(error.to_string())),
    }
}

fn number(report: &serde_json::Value, path: &str) -> Result<f64> {
    let value = report.pointer(path).and_then(serde_json::Value::as_f64);
    value.ok_or_else(|| Error::new(format!("no {path} in the report of iperf3: {report}")))
}

fn streams(report: &serde_json::Value) -> Result<()> {
    for (way, name) in [("sum_received", "up"), ("sum_received_bidir_reverse", "down")] {
        let rate = number(report, &format!("/end/{way}/bits_per_second"))?;
        if rate < LEAST_BITS_PER_SECOND {
            return Err(Error::new(format!("only {:.1} Mbit/s {name}", rate / 1e6)));
        }
    }
    Ok(())
}

fn datagrams(report: &serde_json::Value) -> Result<()> {
    for (way, name) in [("sum", "up"), ("sum_bidir_reverse", "down")] {
        let packets = number(report, &format!("/end/{way}/packets"))?;
        let lost = number(report, &format!("/end/{way}/lost_percent"))?;
        if packets < DATAGRAMS_MIN || lost > UDP_LOSS_PERCENT_MAX {
            return Err(Error::new(format!("{lost:.2} % of {packets} datagrams {name} lost")));
        }
    }
    Ok(())
}
