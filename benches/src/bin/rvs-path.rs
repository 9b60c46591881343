//! Measures cases of the packet path, on one thread and without a device.
//!
//! `rvs-path CASE PACKETS` sends so many packets, for a profiler to count instructions of. `rvs-path --rate RUNS SECONDS CASE…` runs the
//! cases in turn, RUNS times, and prints a line `CASE ns ns ns…` each: nanoseconds a packet.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rvs_benches::{Bench, Case};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["--rate", runs, seconds, cases @ ..] => rates(runs, seconds, cases),
        [case, packets] => once(case, packets),
        _ => None,
    };
    if done.is_none() {
        eprintln!("rvs-path CASE PACKETS | rvs-path --rate RUNS SECONDS CASE…");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn once(case: &str, packets: &str) -> Option<()> {
    let (case, packets) = (Case::named(case)?, packets.parse().ok()?);
    let went = Bench::new(case).run(packets);
    println!("{went} packets");
    Some(())
}

fn rates(runs: &str, seconds: &str, names: &[&str]) -> Option<()> {
    let runs: usize = runs.parse().ok()?;
    let time = Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?;
    let cases = names.iter().map(|name| Case::named(name)).collect::<Option<Vec<_>>>()?;
    for case in cases {
        let name = case.name.clone();
        let opens = case.work == rvs_benches::case::Work::Opening;
        let mut bench = Bench::new(case.clone());
        let mut line = name;
        if !opens {
            bench.run(u64::from(case.flows).max(100_000));
        }
        for _ in 0..runs {
            if opens {
                // A table that holds half of them already.
                bench = Bench::new(case.clone());
                bench.run(u64::from(case.flows) / 2);
            }
            let ns = if opens {
                timed(&mut bench, u64::from(case.flows) / 2 - 32)
            } else {
                for_long(&mut bench, time)
            };
            line.push_str(&format!(" {ns:.2}"));
        }
        println!("{line}");
    }
    Some(())
}

/// Nanoseconds a packet.
fn timed(bench: &mut Bench, packets: u64) -> f64 {
    let start = Instant::now();
    let went = bench.run(packets);
    start.elapsed().as_secs_f64() * 1e9 / went as f64
}

fn for_long(bench: &mut Bench, time: Duration) -> f64 {
    let (start, mut went) = (Instant::now(), 0);
    while start.elapsed() < time {
        went += bench.run(65_536);
    }
    start.elapsed().as_secs_f64() * 1e9 / went as f64
}
