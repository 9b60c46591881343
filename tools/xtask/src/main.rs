//! `cargo xtask …`: what a person or CI does with this repository, one word each.
//!
//! Invariant: this program and what it depends on build with nothing installed but Rust, since it installs the
//! rest.

#![forbid(unsafe_code)]

mod bench;
mod conformance;
mod demo;
mod setup;
mod steps;
mod test;

use std::path::Path;
use std::process::ExitCode;

use e2e::Binaries;
use lab::{Error, Result};

const HELP: &str = "\
cargo xtask COMMAND

  demo [--keep] [--requests N]  real clients reach real servers through rvs: a table of what came of it
       --keep                   leaves it running and says what to try next
       --stop                   ends what --keep left running
       --requests N             HTTP requests in all (default 4000)
  test                          everything CI runs
  setup                         installs the packages that building and testing need (Debian 12)
  e2e [NAME…]                   end-to-end suites: those named, or all
       --list                   names them
       --programs FOLDER        tests rvsd, rvsctl and decap of that folder (and shared/rvsd) instead of building them
  conformance [DIR]             replays recordings of Linux (this repository's, or a folder's) and compares
       --verbose                shows what differs, too
  bench [--quick]               how fast the packet path is, case by case, and how that is to what testpmd's 5tswap does
       --json FILE              writes all runs, too
       --svg FILE               draws the ratios
  instructions [--bless]        instructions a packet, compared with those written down; or writes them down
  help                          this text

demo, test and e2e make network namespaces, and setup installs packages: they need root.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["setup"] => setup::run(),
        ["test"] => test::run(),
        ["demo", options @ ..] => demo::run(options),
        ["bench", options @ ..] => bench::run(options),
        ["instructions", options @ ..] => bench::instructions(options),
        ["conformance", args @ ..] => conformance::run(args),
        ["e2e", "--list"] => {
            list();
            Ok(())
        }
        ["e2e", "--programs", folder, names @ ..] => suites(names, &Binaries::in_folder(Path::new(folder))),
        ["e2e", names @ ..] => setup::run().and_then(|()| suites(names, &built_for(names)?)),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        [] => Err(Error::new(format!("a command is missing\n\n{HELP}"))),
        [other, ..] => Err(Error::new(format!("`{other}` is not understood\n\n{HELP}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for suite in e2e::suites() {
        println!("{:<12} {}", suite.name, suite.what);
    }
}

/// The programs that these suites need, built.
fn built_for(names: &[&str]) -> Result<Binaries> {
    if names.is_empty() || names.contains(&"shared") { steps::build_with_shared() } else { steps::build() }
}

fn suites(names: &[&str], binaries: &Binaries) -> Result<()> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    test::suites(&names, binaries)
}
