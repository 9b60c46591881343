//! Everything CI runs. Fails at the first step that fails, and names it.

use e2e::{Binaries, Outcome};
use lab::{Error, Result};

use crate::steps::{Steps, build_with_shared, cargo};
use crate::{bench, conformance, setup};

/// Runs all steps, says how long each took, and ends with `N passed, N failed` of the suites if they ran.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::default();
    let mut outcome = None;
    let result = all(&mut steps, &mut outcome);
    steps.summary();
    match &result {
        Ok(()) => println!("everything passed"),
        Err(error) => println!("FAILED: {error}"),
    }
    if let Some(outcome) = outcome {
        println!("{outcome}");
    }
    result
}

fn all(steps: &mut Steps, outcome: &mut Option<Outcome>) -> Result<()> {
    let binaries = before_suites(steps)?;
    steps.step("end-to-end suites", || verdict(*outcome.insert(e2e::run(&[], &binaries)?)))
}

fn before_suites(steps: &mut Steps) -> Result<Binaries> {
    steps.step("setup", setup::run)?;
    steps.step("setup once more changes nothing", setup::run_again)?;
    steps.step("format", || cargo("fmt --all --check"))?;
    steps.step("lint", || cargo("clippy --workspace --all-targets -- -D warnings"))?;
    steps.step("unit and property tests", || cargo("test --workspace --no-fail-fast"))?;
    steps.step("conformance", || conformance::run(&[]))?;
    steps.step("instructions a packet", || bench::instructions(&[]))?;
    steps.step("build", build_with_shared)
}

/// Runs suites and ends with `N passed, N failed`; a failed one is an error.
pub(crate) fn suites(names: &[String], binaries: &Binaries) -> Result<()> {
    let outcome = e2e::run(names, binaries)?;
    println!("{outcome}");
    verdict(outcome)
}

fn verdict(outcome: Outcome) -> Result<()> {
    if outcome.failed == 0 { Ok(()) } else { Err(Error::new(format!("{} failed", outcome.failed))) }
}
