//! Steps that take time: each says its name, how it ended and how long it took.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use e2e::Binaries;
use lab::error::Context;
use lab::{Error, Result};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// Runs cargo at the root, the one that runs us; a signal to us alone ends it, too.
pub(crate) fn cargo(words: &str) -> Result<()> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words.split_whitespace()).current_dir(root());
    let status = lab::process::foreground(&mut command)?;
    succeeded(&lab::process::show(&command), status)
}

/// Runs a command to its end, its output on ours; anything but success is an error. It can ask the terminal, and nothing but the
/// terminal ends it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = lab::process::show(command);
    let status = command.status().context(format_args!("`{shown}`"))?;
    succeeded(&shown, status)
}

fn succeeded(shown: &str, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(Error::new(format!("`{shown}`: {status}"))) }
}

/// Builds the programs, in the profile that tests use too, so that nothing is compiled twice; returns where they
/// are: beside the running xtask.
pub(crate) fn build() -> Result<Binaries> {
    // The path of the running program changes when cargo builds it anew: ask before.
    let binaries = Binaries::beside_us()?;
    cargo("build --workspace --bins")?;
    Ok(binaries)
}

/// The same with an rvsd beside them that is linked to DPDK's shared libraries. Only what depends on how DPDK is linked is
/// compiled a second time, since everything is built with the same features otherwise.
pub(crate) fn build_with_shared() -> Result<Binaries> {
    let binaries = Binaries::beside_us()?;
    cargo("build --workspace --bins --features rvsd/shared")?;
    let shared = &binaries.rvsd_shared;
    let folder = shared.parent().unwrap_or(shared);
    std::fs::create_dir_all(folder).context(folder.display())?;
    std::fs::copy(&binaries.rvsd, shared).context(shared.display())?;
    cargo("build --workspace --bins")?;
    Ok(binaries)
}

/// The steps that ran, for the summary.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one step; an error names it.
    pub(crate) fn step<T>(&mut self, name: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("==> {name}");
        let start = Instant::now();
        let result = body();
        let took = start.elapsed();
        match &result {
            Ok(_) => println!("==> {name}: ok in {:.1} s\n", took.as_secs_f64()),
            Err(_) => println!("==> {name}: FAILED in {:.1} s\n", took.as_secs_f64()),
        }
        self.done.push((name.to_owned(), took));
        result.map_err(|error| error.context(name))
    }

    /// Prints what ran and how long it took.
    pub(crate) fn summary(&self) {
        println!("{:<40} {:>9}", "step", "seconds");
        for (name, took) in &self.done {
            println!("{name:<40} {:>9.1}", took.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        println!("{:<40} {:>9.1}", "all", total.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.toml").is_file() && root().join("crates").is_dir());
    }

    #[test]
    fn a_failing_step_is_named() {
        let mut steps = Steps::default();
        steps.step("fine", || Ok(())).unwrap();
        let error = steps.step("bad", || -> Result<()> { Err(Error::new("why")) }).unwrap_err();
        assert_eq!(error.to_string(), "bad: why");
        assert_eq!(steps.done.len(), 2);
    }
}
