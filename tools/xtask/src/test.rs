//! Everything CI runs. Fails at the first step that fails, and names it.

use e2e::Binaries;
use lab::{Error, Result};

use crate::setup;
use crate::steps::{Steps, build, cargo, run as run_command};

/// Runs all steps, then says how long each took.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    let result = all(&mut steps);
    steps.summary();
    match &result {
        Ok(()) => println!("everything passed"),
        Err(error) => println!("FAILED: {error}"),
    }
    result
}

fn all(steps: &mut Steps) -> Result<()> {
    // The path of the running program changes when cargo builds it anew: ask before.
    steps.step("setup", setup::run)?;
    steps.step("format", || run_command(&mut cargo("fmt --all --check")))?;
    let binaries = Binaries::beside_us()?;
    steps.step("lint", || run_command(&mut cargo("clippy --workspace --all-targets -- -D warnings")))?;
    steps.step("unit and property tests", || run_command(&mut cargo("test --workspace")))?;
    steps.step("build", || build().map(drop))?;
    steps.step("end-to-end suites", || suites(&[], &binaries))
}

/// Runs suites; a failed one is an error.
pub(crate) fn suites(names: &[String], binaries: &Binaries) -> Result<()> {
    let outcome = e2e::run(names, binaries)?;
    if outcome.failed == 0 { Ok(()) } else { Err(Error::new(format!("{} failed", outcome.failed))) }
}
