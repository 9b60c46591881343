//! End-to-end suites: real programs in network namespaces, rvs between them.
//!
//! `cargo xtask e2e [NAME…]` runs them; `--list` names them. Each suite builds its own network, prints its steps,
//! and ends with the conservation law checked on every worker. A suite that cannot run fails; none is skipped.

#![forbid(unsafe_code)]

pub mod config;
pub mod director;
pub mod exchange;
pub mod frame;
pub mod load;
mod suites;

use std::time::Instant;

use lab::{Error, Result, Topology};

pub use director::{Binaries, Ctl, Director};

/// One named suite.
pub struct Suite {
    /// What `--list` shows and the command line takes.
    pub name: &'static str,
    /// What it shows, in one line.
    pub what: &'static str,
    run: fn(&Context) -> Result<()>,
}

/// What a suite is given.
#[derive(Debug)]
pub struct Context {
    /// The programs under test.
    pub binaries: Binaries,
}

impl Context {
    /// Runs one step: prints its name, and how long it took or that it failed.
    pub fn step<T>(&self, name: impl std::fmt::Display, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = body();
        let seconds = start.elapsed().as_secs_f64();
        match &result {
            Ok(_) => println!("    ok   {name} ({seconds:.1} s)"),
            Err(_) => println!("    FAIL {name} ({seconds:.1} s)"),
        }
        result.map_err(|error| error.context(name))
    }

    /// Runs `body` against a running director; when it fails, the error carries what rvsd said. The conservation
    /// law is checked afterwards.
    pub fn with_director(
        &self,
        topology: &Topology,
        config: &config::Config,
        body: impl FnOnce(&mut Director) -> Result<()>,
    ) -> Result<()> {
        let mut director = Director::start(topology, &self.binaries, config)?;
        let result = body(&mut director).and_then(|()| director.check_conservation());
        result.map_err(|error| self.explain(error, topology, &director))
    }

    fn explain(&self, error: Error, topology: &Topology, director: &Director) -> Error {
        let drops = director.ctl.drops().map(|drops| format!("{drops:?}")).unwrap_or_else(|e| e.to_string());
        Error::new(format!(
            "{error}\ndrops: {drops}\nrvsd said:\n{}\n{}",
            tail(&director.log(), 40),
            topology.logs()
        ))
    }
}

/// The last `lines` lines.
fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Every suite, in the order in which they run.
pub fn suites() -> &'static [Suite] {
    suites::ALL
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Suites that passed.
    pub passed: usize,
    /// Suites that failed.
    pub failed: usize,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs the named suites, or all, and prints their steps; the outcome is for the caller to print, last. A name that no suite has
/// is an error before anything runs.
pub fn run(names: &[String], binaries: &Binaries) -> Result<Outcome> {
    let chosen = choose(names)?;
    binaries.check()?;
    let context = Context { binaries: binaries.clone() };
    let mut outcome = Outcome { passed: 0, failed: 0 };
    let start = Instant::now();
    for suite in chosen {
        println!("{}: {}", suite.name, suite.what);
        let start = Instant::now();
        let result = (suite.run)(&context);
        let seconds = start.elapsed().as_secs_f64();
        match result {
            Ok(()) => {
                outcome.passed += 1;
                println!("{}: passed in {seconds:.1} s", suite.name);
            }
            Err(error) => {
                outcome.failed += 1;
                println!("{}: FAILED in {seconds:.1} s: {error}", suite.name);
            }
        }
    }
    println!("suites took {:.1} s", start.elapsed().as_secs_f64());
    Ok(outcome)
}

fn choose(names: &[String]) -> Result<Vec<&'static Suite>> {
    if names.is_empty() {
        return Ok(suites::ALL.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            suites::ALL.iter().find(|suite| suite.name == name).ok_or_else(|| {
                Error::new(format!("no suite is called `{name}`; `cargo xtask e2e --list` names them"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_unknown_ones_refused() {
        let mut names: Vec<&str> = suites().iter().map(|suite| suite.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
        assert_eq!(choose(&[]).unwrap().len(), before);
        assert!(choose(&["no-such".to_owned()]).is_err());
        assert_eq!(choose(&[names[0].to_owned()]).unwrap().len(), 1);
    }

    #[test]
    fn a_tail_is_no_longer_than_asked() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}
