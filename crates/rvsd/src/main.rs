//! rvsd: reads its configuration, starts the data plane, then the control core, and waits for signals.
//!
//! Wiring only. Start-up goes in the order of [`run`]; a step that fails names itself, and what came before is undone in
//! reverse by being dropped.

#![forbid(unsafe_code)]

mod follow;
mod notify;
mod plane;
mod preflight;
mod setup;
mod sync;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use clap::Parser;
use control::{Control, Follower, Prepared, Server, ServerLimits, Ticker};
use dataplane::Plane;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;
use tracing_subscriber::EnvFilter;

use crate::plane::WorkerPlane;

/// Layer-4 load balancer on DPDK with the semantics of Linux IPVS.
#[derive(Parser)]
#[command(
    name = "rvsd",
    version,
    after_help = "Signals: SIGHUP applies what changed in FILE; SIGTERM and SIGINT stop, a second one at once.\n\
Exit codes: 0 stopped as asked or the check found no error; 1 an error, which is named."
)]
struct Arguments {
    /// Configuration file (TOML); docs/configuration.md describes it.
    #[arg(short, long, value_name = "FILE", default_value = "/etc/rvs/rvsd.toml")]
    config: PathBuf,
    /// Say everything that is wrong with the configuration, and start nothing.
    #[arg(long)]
    check: bool,
}

/// Why rvsd does not start, or ends.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{errors} error(s) in {path}")]
    Config { path: PathBuf, errors: usize },
    #[error("log filter '{filter}': {error}")]
    Log { filter: String, error: String },
    #[error("cannot read random bytes: {0}")]
    Random(std::io::Error),
    #[error(transparent)]
    Obstacle(#[from] preflight::Obstacle),
    #[error("thread '{0}' of the data plane panicked; its message is above")]
    Panic(String),
    #[error("data plane: {0}")]
    Plane(#[from] dataplane::PlaneError),
    #[error("first snapshot: {0}")]
    Prepare(#[from] control::PrepareError),
    #[error("{0}")]
    Sync(api::Error),
    #[error("control socket: {0}")]
    Server(#[from] control::ServerError),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("signals: {0}")]
    Signals(std::io::Error),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rvsd: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = read_config(arguments)?;
    if arguments.check {
        println!("{}: no errors", arguments.config.display());
        return Ok(());
    }
    start_log(&config.daemon.log)?;
    // Before any thread is started, so that every one of them leaves these signals to us.
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(Failure::Signals)?;
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 1, Arc::clone(&stopping)).map_err(Failure::Signals)?;
    }

    preflight::check(&config)?;
    let mut plane = Plane::open(setup::plane_config(&config)?)?;
    let macs = plane.ports().iter().map(|port| api::Mac(port.mac.0)).collect();
    let prepared = Prepared::new(config.clone(), macs, setup::random_bytes()?)?;
    let signal_handle = signals.handle();
    let rings = plane.start(&prepared.snapshot(), move || signal_handle.close())?;
    tracing::info!(memory = plane.memory(), "data plane runs");

    let plane = Arc::new(WorkerPlane::new(plane, rings, &prepared.snapshot()));
    let control = Control::start(prepared, plane.clone(), &arguments.config, env!("CARGO_PKG_VERSION"));
    let control = Arc::new(control);
    control.start_sync().map_err(Failure::Sync)?;
    let follower = follow::start(&config, &control);
    let ticker = Ticker::start(control.clone()).map_err(Failure::Thread)?;
    let server = Server::start(&config.daemon.socket, ServerLimits::default(), control.clone())?;
    let compat = control::compat::start(&config.daemon.socket, control.clone())?;
    setup::announce(&config);
    notify::ready();

    for signal in signals.forever() {
        if signal != SIGHUP {
            break;
        }
        notify::reloading();
        reload(&control);
        notify::ready();
    }
    stopping.store(true, Relaxed);
    notify::stopping();
    tracing::info!("stopping");
    follower.into_iter().for_each(Follower::stop);
    compat.stop();
    server.stop();
    ticker.stop();
    let panicked = plane.stop();
    let eal = plane.eal();
    drop((control, plane));
    // Some drivers keep packets of a closed port (af_xdp): the process's end takes them.
    if let Err(error) = eal.cleanup() {
        tracing::debug!(%error, "DPDK was not shut down");
    }
    panicked.map_or(Ok(()), |thread| Err(Failure::Panic(thread)))
}

/// Reads and checks the configuration; everything that is wrong with it goes to the standard error stream.
fn read_config(arguments: &Arguments) -> Result<control::config::Config, Failure> {
    let path = &arguments.config;
    let text = std::fs::read_to_string(path).map_err(|error| Failure::Read { path: path.clone(), error })?;
    let parsed = control::config::parse(&path.display().to_string(), &text);
    for diagnostic in &parsed.diagnostics {
        eprintln!("{diagnostic}");
    }
    let errors = parsed.diagnostics.iter().filter(|d| d.severity == api::Severity::Error).count();
    parsed.config.ok_or(Failure::Config { path: path.clone(), errors })
}

fn start_log(filter: &str) -> Result<(), Failure> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|error| Failure::Log { filter: filter.to_owned(), error: error.to_string() })?;
    tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}

fn reload(control: &Control) {
    match control.reload() {
        Ok(applied) => tracing::info!(changes = applied.changes.len(), "configuration reloaded"),
        Err(error) => {
            tracing::error!(%error, "configuration not reloaded");
            for diagnostic in &error.diagnostics {
                tracing::error!("{diagnostic}");
            }
        }
    }
}
