//! The demonstration: real clients reach real servers through rvs, by every method, over both families.

use std::time::Instant;

use e2e::config::{Config, Service, endpoint};
use e2e::load::{Load, Summary, curl, summarise};
use e2e::{Binaries, Director};
use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, nginx, run, topology};

use crate::{setup, steps};

const SERVERS: u8 = 3;
const DEFAULT_REQUESTS: u32 = 4000;
/// Requests that are under way at the same time.
const PARALLEL: u32 = 16;
const PORT: u16 = nginx::PORTS[0];

struct Options {
    keep: bool,
    requests: u32,
}

/// Runs the demonstration, or ends one that was kept.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    if args == ["--stop"] {
        let stopped = run::remove_kept()?;
        println!("{stopped} kept demonstration(s) removed");
        return Ok(());
    }
    let options = parse(args)?;
    setup::run()?;
    let binaries = steps::build()?;
    println!(
        "\nNamespaces: a client, a director, {SERVERS} real servers with nginx; rvsd on af_packet ports."
    );
    println!("{} · {} · {}\n", version("curl", "--version"), nginx_version(), version("uname", "-sr"));
    let topology =
        Topology::build(Plan { servers: SERVERS, decap: Some(binaries.decap.clone()), ..Plan::default() })?;
    let start = Instant::now();
    let mut director = Director::start(&topology, &binaries, &configuration())?;
    println!("rvsd answers {:.1} s after its start.\n", start.elapsed().as_secs_f64());
    let errors = traffic(&topology, options.requests)?;
    counters(&director)?;
    director.check_conservation()?;
    if options.keep {
        keep(topology, director, &binaries)?;
    }
    if errors > 0 { Err(Error::new(format!("{errors} requests failed"))) } else { Ok(()) }
}

fn parse(args: &[&str]) -> Result<Options> {
    let mut options = Options { keep: false, requests: DEFAULT_REQUESTS };
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match arg {
            "--keep" => options.keep = true,
            "--requests" => {
                let number = args.next().and_then(|word| word.parse().ok()).filter(|&n| n > 0);
                options.requests = number.ok_or_else(|| Error::new("--requests takes a number above 0"))?;
            }
            other => return Err(Error::new(format!("demo does not know `{other}`"))),
        }
    }
    Ok(options)
}

fn configuration() -> Config {
    let mut config = Config::new(Wiring::TwoArm, 1, 1);
    for method in Method::ALL {
        for family in Family::ALL {
            config = config.with(Service::new("tcp", method, family, PORT, SERVERS));
        }
    }
    config
}

/// Sends the requests, prints a line for each service, returns the number of errors.
fn traffic(topology: &Topology, requests: u32) -> Result<usize> {
    let services = (Method::ALL.len() * Family::ALL.len()) as u32;
    let each = requests.div_ceil(services);
    println!(
        "{:<8} {:<28} {:>8} {:>6}  {:<24} {:>8} {:>8}",
        "method", "service", "requests", "errors", "spread", "p50 ms", "p99 ms"
    );
    let start = Instant::now();
    let mut errors = 0;
    for method in Method::ALL {
        for family in Family::ALL {
            let target = (address::vip(method, family), PORT);
            let load = Load { target, requests: each, parallel: PARALLEL, source: None };
            let summary = summarise(&curl(&topology.client, &load)?);
            println!("{}", line(method, &endpoint(target.0, target.1), &summary));
            if let Some(error) = &summary.first_error {
                println!("         first error: {error}");
            }
            errors += summary.errors;
        }
    }
    println!("\n{} requests in {:.1} s, {errors} errors\n", each * services, start.elapsed().as_secs_f64());
    Ok(errors)
}

fn line(method: Method, service: &str, summary: &Summary) -> String {
    let spread: Vec<String> = summary.spread.iter().map(|(server, n)| format!("{server} {n}")).collect();
    format!(
        "{:<8} {service:<28} {:>8} {:>6}  {:<24} {:>8.2} {:>8.2}",
        method.name(),
        summary.requests,
        summary.errors,
        spread.join(" "),
        summary.p50_ms,
        summary.p99_ms
    )
}

/// The director's own view.
fn counters(director: &Director) -> Result<()> {
    for words in ["stats services", "stats total", "stats workers", "stats ports", "stats drops"] {
        println!("$ rvsctl {words}\n{}", director.ctl.run(words)?);
    }
    Ok(())
}

/// Leaves everything running and says how to go on.
fn keep(topology: Topology, director: Director, binaries: &Binaries) -> Result<()> {
    let rvsctl = format!("{} -s {}", binaries.rvsctl.display(), director.socket().display());
    let (client, server) = (topology.client.name(), topology.servers[0].namespace.name());
    let [v4, v6] = Family::ALL.map(|family| endpoint(address::vip(Method::Fullnat, family), PORT));
    println!(
        "It keeps running. Try:\n\
         \n  ip netns exec {client} curl -i http://{v4}/\n  ip netns exec {client} curl -gi 'http://{v6}/'\
         \n  ip netns exec {client} ping -c 3 {}\
         \n  {rvsctl} service list\
         \n  {rvsctl} conn list --limit 10\
         \n  {rvsctl} dest edit tcp {v4} {} -w 0\
         \n  ip netns exec {server} ip addr\
         \n  less {}\n\
         \nEnd it with: cargo xtask demo --stop",
        address::vip(Method::Fullnat, Family::V4),
        endpoint(address::server(Family::V4, 1), PORT),
        topology.lab.dir().join("rvsd.log").display(),
    );
    director.detach();
    topology.keep()
}

fn version(program: &str, flag: &str) -> String {
    topology::version(program, flag).split(" (").next().unwrap_or_default().to_owned()
}

/// nginx prints its version to standard error.
fn nginx_version() -> String {
    let output = std::process::Command::new("nginx").arg("-v").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
    said.trim().trim_start_matches("nginx version: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_nonsense_refused() {
        let options = parse(&["--requests", "10", "--keep"]).unwrap();
        assert!(options.keep && options.requests == 10);
        assert_eq!(parse(&[]).unwrap().requests, DEFAULT_REQUESTS);
        for bad in [&["--requests"][..], &["--requests", "0"], &["--requests", "x"], &["--fast"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_method_has_a_service_in_both_families() {
        assert_eq!(configuration().services.len(), 8);
    }
}
