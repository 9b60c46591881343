//! What rvsd costs when nobody asks for anything, and how soon it serves.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo, process};

use crate::config::{Config, Service};
use crate::{Context, exchange};

const START_MAX: Duration = Duration::from_secs(3);
/// How long it is watched at a time, and how often. The least counts: what else the machine does (compilers on the same
/// cores, that leave cold caches) only ever adds, and what rvsd does of its own it does in every window.
const WATCHED: Duration = Duration::from_secs(2);
const WINDOWS: usize = 5;
const CPU_PERCENT_MAX: f64 = 5.0;

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology =
        context.step("build", || Topology::build(Plan { nginx: false, servers: 1, ..Plan::default() }))?;
    let config = Config::new(Wiring::TwoArm, 1, 1).with(Service::new(
        "udp",
        Method::Fullnat,
        Family::V4,
        echo::ECHO_PORT,
        1,
    ));
    let start = Instant::now();
    let target = SocketAddr::new(address::vip(Method::Fullnat, Family::V4), echo::ECHO_PORT);
    let first = topology.client.thread(move || {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let patience = Duration::from_millis(50);
        while start.elapsed() < 2 * START_MAX {
            if exchange::udp_from(any, target, b"first", patience).is_ok() {
                return Some(start.elapsed());
            }
        }
        None
    });
    context.with_director(&topology, &config, |director| {
        context.step("from the start to the first packet there and back", || {
            let took = first.join().map_err(|_| Error::new("the client's thread panicked"))??;
            match took {
                Some(took) if took < START_MAX => {
                    println!("         {:.2} s", took.as_secs_f64());
                    Ok(())
                }
                Some(took) => Err(Error::new(format!("{:.2} s", took.as_secs_f64()))),
                None => Err(Error::new("no packet came back")),
            }
        })?;
        context.step("idle", || {
            let pid = director.process().pid();
            let mut percent = f64::INFINITY;
            for _ in 0..WINDOWS {
                let (before, begin) = (cpu_seconds(pid)?, Instant::now());
                std::thread::sleep(WATCHED);
                // A busy machine sleeps longer than it was asked to.
                percent = percent.min((cpu_seconds(pid)? - before) / begin.elapsed().as_secs_f64() * 100.0);
            }
            println!("         {percent:.1} % of a core");
            if percent < CPU_PERCENT_MAX {
                Ok(())
            } else {
                Err(Error::new(format!("{percent:.1} % of a core")))
            }
        })
    })
}

/// Fields 14 and 15 of `/proc/PID/stat`: CPU time of all threads, in clock ticks.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = process::output(std::process::Command::new("getconf").arg("CLK_TCK"))?;
    let per_second: f64 =
        per_second.trim().parse().map_err(|_| Error::new("getconf CLK_TCK gave no number"))?;
    Ok(ticks as f64 / per_second)
}
