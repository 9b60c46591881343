//! Throughput by stock iperf3: not a benchmark, but a stream that keeps every queue filled.

use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Process, Result, Topology, Wiring};

use crate::Context;
use crate::config::{Config, Service};

const PORT: u16 = 5201;
const SECONDS: &str = "2";
/// What any machine manages.
const LEAST_BITS_PER_SECOND: f64 = 20e6;
const UDP_RATE: &str = "20M";
const UDP_LOSS_PERCENT_MAX: f64 = 2.0;

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology =
        context.step("build", || Topology::build(Plan { nginx: false, servers: 1, ..Plan::default() }))?;
    let log = topology.lab.dir().join("iperf3.log");
    let mut command = topology.servers[0].namespace.command("iperf3");
    let _server = Process::spawn("iperf3", command.args(["-s", "-p", &PORT.to_string()]), &log)?;
    let methods = [Method::Fullnat, Method::Nat];
    let mut config = Config::new(Wiring::TwoArm, 2, 1);
    for method in methods {
        for family in Family::ALL {
            for protocol in ["tcp", "udp"] {
                config = config.with(Service::new(protocol, method, family, PORT, 1));
            }
        }
    }
    context.with_director(&topology, &config, |_| {
        for method in methods {
            for family in Family::ALL {
                let vip = address::vip(method, family).to_string();
                for (name, options, check) in [
                    ("TCP up", &[][..], stream as fn(&serde_json::Value) -> Result<()>),
                    ("TCP down", &["-R"], stream),
                    ("TCP 8 streams", &["-P", "8"], stream),
                    ("UDP up", &["-u", "-b", UDP_RATE, "-l", "1200"], datagrams),
                    ("UDP down", &["-u", "-b", UDP_RATE, "-l", "1200", "-R"], datagrams),
                ] {
                    let name = format!("{name}, {} {}", method.name(), family.name());
                    context.step(name, || check(&iperf(&topology, &vip, options)?))?;
                }
            }
        }
        Ok(())
    })
}

fn iperf(topology: &Topology, vip: &str, options: &[&str]) -> Result<serde_json::Value> {
    let port = PORT.to_string();
    let mut words = vec!["iperf3", "-J", "-c", vip, "-p", &port, "-t", SECONDS, "--connect-timeout", "5000"];
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

fn stream(report: &serde_json::Value) -> Result<()> {
    let rate = number(report, "/end/sum_received/bits_per_second")?;
    if rate >= LEAST_BITS_PER_SECOND {
        Ok(())
    } else {
        Err(Error::new(format!("only {:.1} Mbit/s", rate / 1e6)))
    }
}

fn datagrams(report: &serde_json::Value) -> Result<()> {
    let (packets, lost) = (number(report, "/end/sum/packets")?, number(report, "/end/sum/lost_percent")?);
    if packets < 1000.0 || lost > UDP_LOSS_PERCENT_MAX {
        return Err(Error::new(format!("{lost:.2} % of {packets} datagrams lost")));
    }
    Ok(())
}
