//! `conn`, `stats`, `worker`, `port` and `config`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use api::{Cidr, ConnFilter, ConnMethod, ConnProtocol, Request, ServiceKey};
use clap::{Args, Subcommand};

use super::{Action, words};
use crate::failure::Failure;
use crate::show::View;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl conn list --limit 20
  rvsctl conn count --service tcp 192.0.2.100:80")]
pub enum ConnVerb {
    /// List connections.
    #[command(
        visible_alias = "ls",
        after_help = "\
Examples:
  rvsctl conn list --limit 20
  rvsctl conn list --service tcp 192.0.2.100:80 --state established
  rvsctl conn list --client 198.51.100.0/24 --dest 10.0.2.11
  rvsctl conn list --templates
  rvsctl -j conn list | jq -r '.connections[].client'"
    )]
    List {
        #[command(flatten)]
        of: OfService,
        #[command(flatten)]
        with: With,
        /// At most so many.
        #[arg(short = 'n', long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Count connections.
    #[command(
        after_help = "Examples:\n  rvsctl conn count\n  rvsctl conn count --service tcp 192.0.2.100:80"
    )]
    Count(OfService),
    /// Drop connections: without --service, all of them.
    #[command(
        after_help = "Examples:\n  rvsctl conn flush --service tcp 192.0.2.100:80\n  rvsctl conn flush"
    )]
    Flush(OfService),
}

#[derive(Debug, Args)]
pub struct OfService {
    /// Only those of one service.
    #[arg(long, num_args = 2, value_names = ["PROTO", "ADDR:PORT"])]
    service: Option<Vec<String>>,
    /// Of a service by fwmark: IPv6 packets.
    #[arg(short = '6', long, requires = "service")]
    ipv6: bool,
}

impl OfService {
    fn key(self) -> Result<Option<ServiceKey>, Failure> {
        let ipv6 = if self.ipv6 { " -6" } else { "" };
        let name = |words: Vec<String>| format!("{}{ipv6}", words.join(" "));
        let key = self.service.map(|words| name(words).parse::<ServiceKey>()).transpose();
        key.map_err(|e| Failure::Usage(format!("--service: {e} (see --help)")))
    }
}

/// What connections must have to be listed.
#[derive(Debug, Args)]
pub struct With {
    /// Only clients with this address or prefix.
    #[arg(short, long, value_name = "ADDR[/LEN]", value_parser = words::prefix)]
    client: Option<Cidr>,
    /// Only destinations with this address or prefix.
    #[arg(short, long, value_name = "ADDR[/LEN]", value_parser = words::prefix)]
    dest: Option<Cidr>,
    /// Only those of a protocol.
    #[arg(short, long, value_name = "PROTO", value_parser = words::conn_protocol())]
    protocol: Option<ConnProtocol>,
    /// Only those in a state, as the list names it.
    #[arg(long)]
    state: Option<String>,
    /// Only those that are forwarded in this way.
    #[arg(short, long, value_parser = words::conn_method())]
    method: Option<ConnMethod>,
    /// Only those of one worker.
    #[arg(short, long, value_name = "N")]
    worker: Option<u16>,
    /// Only templates: what ties a client of a persistent service to a destination.
    #[arg(short, long)]
    templates: bool,
    /// No templates.
    #[arg(long, conflicts_with = "templates")]
    no_templates: bool,
}

impl From<With> for ConnFilter {
    fn from(with: With) -> ConnFilter {
        let With { client, dest, protocol, state, method, worker, templates, no_templates } = with;
        let template = templates.then_some(true).or(no_templates.then_some(false));
        ConnFilter { client, destination: dest, protocol, state, method, worker, template }
    }
}

impl ConnVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            ConnVerb::List { of, with, limit } => {
                Action::ask(Request::ConnList { service: of.key()?, limit, filter: with.into() })
            }
            ConnVerb::Count(of) => Action::ask(Request::ConnCount { service: of.key()? }),
            ConnVerb::Flush(of) => {
                Action::ask_for(Request::ConnFlush { service: of.key()? }, View::Done("connections dropped"))
            }
        }
    }
}

#[derive(Debug, Args)]
#[command(subcommand_value_name = "WHAT", subcommand_help_heading = "What")]
#[command(after_help = "\
Examples:
  rvsctl stats
  rvsctl stats services
  rvsctl stats drops --all
  rvsctl -j stats workers")]
pub struct StatsArgs {
    #[command(subcommand)]
    what: Option<StatsWhat>,
}

#[derive(Debug, Subcommand)]
pub enum StatsWhat {
    /// Connections, packets and bytes of each service and destination.
    #[command(
        visible_alias = "service",
        after_help = "Examples:\n  rvsctl stats services\n  rvsctl stats services --rate"
    )]
    Services {
        /// How much of it in a second, smoothed over about ten.
        #[arg(short, long)]
        rate: bool,
    },
    /// Where the packets of each worker came from and went.
    #[command(
        visible_alias = "worker",
        after_help = "\
Each row is balanced when traffic rests:
  rx + from_host + from_ring + generated + cloned + split
  = tx + to_host + to_ring + dropped + consumed + merged + held

Examples:
  rvsctl stats workers
  rvsctl -j stats workers | jq '.workers[].packets'"
    )]
    Workers,
    /// Packets, bytes and errors of each port.
    #[command(visible_alias = "port", after_help = "Examples:\n  rvsctl stats ports")]
    Ports,
    /// Why packets were dropped: each reason that occurred and what it means.
    #[command(
        visible_alias = "drop",
        after_help = "Examples:\n  rvsctl stats drops\n  rvsctl stats drops --all"
    )]
    Drops {
        /// Reasons that did not occur, too.
        #[arg(short, long)]
        all: bool,
    },
    /// The daemon as a whole; so does `stats` alone.
    #[command(after_help = "Examples:\n  rvsctl stats total")]
    Total,
}

impl StatsArgs {
    pub fn action(self) -> Result<Action, Failure> {
        match self.what.unwrap_or(StatsWhat::Total) {
            StatsWhat::Services { rate: false } => Action::ask_for(Request::ServiceList, View::Counters),
            StatsWhat::Services { rate: true } => Action::ask_for(Request::ServiceList, View::Rates),
            StatsWhat::Workers => Action::ask_for(Request::WorkerList, View::Counters),
            StatsWhat::Ports => Action::ask_for(Request::PortList, View::Counters),
            StatsWhat::Drops { all: true } => Action::ask(Request::DropList),
            StatsWhat::Drops { all: false } => Action::ask_for(Request::DropList, View::NonZero),
            StatsWhat::Total => Action::ask(Request::TotalShow),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "Examples:\n  rvsctl worker list")]
pub enum WorkerVerb {
    /// List the workers: their CPU, load and tables.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl worker list\n  rvsctl stats workers")]
    List,
}

impl WorkerVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            WorkerVerb::List => Action::ask(Request::WorkerList),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "Examples:\n  rvsctl port list")]
pub enum PortVerb {
    /// List the ports: device, MAC address, link and queues.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl port list\n  rvsctl stats ports")]
    List,
}

impl PortVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            PortVerb::List => Action::ask(Request::PortList),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl config show > /etc/rvs/rvs.toml
  rvsctl config check new.toml && rvsctl config apply new.toml
  rvsctl config reload")]
pub enum ConfigVerb {
    /// Print the current state as a configuration file.
    #[command(after_help = "Examples:\n  rvsctl config show > /etc/rvs/rvs.toml")]
    Show,
    /// Check a file: every error at once; changes nothing.
    #[command(after_help = "\
Examples:
  rvsctl config check new.toml
  generate | rvsctl config check -

The running rvsd checks it. Without one, `rvsd --config FILE --check` does.")]
    Check {
        /// The file; `-`: standard input.
        file: PathBuf,
    },
    /// Make the state what a file says; only the difference is applied.
    #[command(after_help = "\
Examples:
  rvsctl config apply new.toml
  generate | rvsctl config apply -

rvsd's own configuration file stays as it is.")]
    Apply {
        /// The file; `-`: standard input.
        file: PathBuf,
    },
    /// Have rvsd read its own configuration file again; so does SIGHUP.
    #[command(after_help = "Examples:\n  rvsctl config reload")]
    Reload,
}

impl ConfigVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            ConfigVerb::Show => Action::ask(Request::ConfigShow),
            ConfigVerb::Check { file } => {
                let (name, text) = read(&file)?;
                Action::ask(Request::ConfigCheck { name, text })
            }
            ConfigVerb::Apply { file } => {
                let (name, text) = read(&file)?;
                Action::ask(Request::ConfigApply { name, text })
            }
            ConfigVerb::Reload => Action::ask(Request::ConfigReload),
        }
    }
}

/// A file's name for messages and its text.
fn read(file: &Path) -> Result<(String, String), Failure> {
    let (name, text) = if file == Path::new("-") {
        ("<stdin>".to_owned(), io::read_to_string(io::stdin()))
    } else {
        (file.display().to_string(), fs::read_to_string(file))
    };
    text.map(|text| (name.clone(), text)).map_err(|e| Failure::Usage(format!("cannot read {name}: {e}")))
}
