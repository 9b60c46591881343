//! `rvsctl`: asks a running rvsd over its unix socket and shows the answer.
//!
//! [`args`] is the language of the command line and turns it into one request, [`run`] asks it, [`show`] makes
//! tables of the reply. With `-j` the reply itself is printed, in the names of [`api`].

#![forbid(unsafe_code)]

mod args;
mod failure;
mod man;
mod run;
mod show;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return failure::usage(&error),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = run::run(cli, &mut out).and_then(|()| out.flush().map_err(failure::Failure::Output));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(&mut io::stderr().lock()),
    }
}
