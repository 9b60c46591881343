//! The command line: nouns and verbs, and the one request that each of them makes.

mod dest;
mod mark;
mod network;
mod observe;
mod service;
mod sync;
mod sysctl;
mod timeout;
mod trace;
mod words;

use std::path::PathBuf;

use api::Request;
use clap::{Parser, Subcommand};

use crate::failure::{EXIT_CODES, Failure};
use crate::man::Page;
use crate::show::View;

/// Control of rvsd, the layer-4 load balancer.
///
/// Every command asks the running daemon over its unix socket. A change reaches all workers or none, and never
/// drops a packet of an unchanged service. It lasts until rvsd ends or reads its file again; `config show`
/// prints the file that keeps it.
#[derive(Debug, Parser)]
#[command(name = "rvsctl", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = format!("{EXAMPLES}\n\n{JSON}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// Unix socket of rvsd; stands before NOUN.
    #[arg(short, long, value_name = "SOCKET", default_value = api::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Print the reply as one line of JSON instead of tables.
    #[arg(short, long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub noun: Noun,
}

const EXAMPLES: &str = "\
Examples:
  rvsctl service add tcp 192.0.2.100:80 -s wrr
  rvsctl dest add tcp 192.0.2.100:80 10.0.2.11:80 -m nat -w 1
  rvsctl service list
  rvsctl -j stats workers
  rvsctl help dest add";

const JSON: &str = "\
With --json, a command prints one document of stable names: {\"services\":[…]}, {\"applied\":{…}}, …
A refusal is one too, beside its line on standard error: {\"error\":{\"code\":\"not_found\",…}}.";

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "NOUN", subcommand_help_heading = "Nouns")]
pub enum Noun {
    /// Virtual services: what clients connect to.
    #[command(subcommand, visible_alias = "svc", arg_required_else_help = true)]
    Service(service::ServiceVerb),
    /// Destinations: the real servers of a service.
    #[command(subcommand, visible_alias = "destination", arg_required_else_help = true)]
    Dest(dest::DestVerb),
    /// Local addresses: pools of source addresses for FULLNAT.
    #[command(subcommand, visible_alias = "pool", arg_required_else_help = true)]
    Laddr(network::LaddrVerb),
    /// Addresses of this host on its interfaces, virtual ones too.
    #[command(subcommand, visible_alias = "address", arg_required_else_help = true)]
    Addr(network::AddrVerb),
    /// Routes.
    #[command(subcommand, arg_required_else_help = true)]
    Route(network::RouteVerb),
    /// Neighbours: the MAC addresses of next hops.
    #[command(subcommand, visible_alias = "neighbour", arg_required_else_help = true)]
    Neigh(network::NeighVerb),
    /// Connections that rvsd forwards.
    #[command(subcommand, visible_alias = "connection", arg_required_else_help = true)]
    Conn(observe::ConnVerb),
    /// Counters: of services, workers, ports, drops, and all together.
    Stats(observe::StatsArgs),
    /// Follow packets through hooks, scheduling and forwarding.
    Trace(trace::TraceArgs),
    /// Worker threads.
    #[command(subcommand, arg_required_else_help = true)]
    Worker(observe::WorkerVerb),
    /// Ports: the network interfaces that rvsd drives.
    #[command(subcommand, arg_required_else_help = true)]
    Port(observe::PortVerb),
    /// Synchronisation daemons: connections outlive a failover.
    #[command(subcommand, arg_required_else_help = true)]
    Sync(sync::SyncVerb),
    /// Tunables, by the names that they have under net/ipv4/vs.
    #[command(subcommand, arg_required_else_help = true)]
    Sysctl(sysctl::SysctlVerb),
    /// Rules that mark packets, for services by fwmark.
    #[command(subcommand, arg_required_else_help = true)]
    Mark(mark::MarkVerb),
    /// Sets of addresses and prefixes that rules may name.
    #[command(subcommand, arg_required_else_help = true)]
    Ipset(mark::SetVerb),
    /// How long connections may be idle, by protocol and state.
    #[command(subcommand, arg_required_else_help = true)]
    Timeout(timeout::TimeoutVerb),
    /// The configuration as a file.
    #[command(subcommand, arg_required_else_help = true)]
    Config(observe::ConfigVerb),
    /// Print a manual page.
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The page.
        #[arg(value_enum, default_value = "rvsctl")]
        page: Page,
    },
    /// Print a script that completes rvsctl's words in a shell.
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const COMPLETION_EXAMPLES: &str = "\
Examples:
  rvsctl completion bash > /etc/bash_completion.d/rvsctl
  rvsctl completion zsh > /usr/local/share/zsh/site-functions/_rvsctl
  rvsctl completion fish > /etc/fish/completions/rvsctl.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  rvsctl man > /usr/local/share/man/man8/rvsctl.8
  rvsctl man rvsd > /usr/local/share/man/man8/rvsd.8
  rvsctl man rvsd.toml > /usr/local/share/man/man5/rvsd.toml.5
  rvsctl man rvsd.toml | man -l -";

/// What a command line asks for.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Ask rvsd and show its reply.
    Ask { request: Request, view: View },
    /// Print a shell's completion.
    Completion(clap_complete::Shell),
    /// Print a manual page.
    Man(Page),
}

impl Action {
    /// Asks, and shows the reply in its usual form.
    fn ask(request: Request) -> Result<Action, Failure> {
        Ok(Action::Ask { request, view: View::Usual })
    }

    fn ask_for(request: Request, view: View) -> Result<Action, Failure> {
        Ok(Action::Ask { request, view })
    }
}

impl Noun {
    /// What it asks for. Reads the file that a `config` verb names.
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            Noun::Service(verb) => verb.action(),
            Noun::Dest(verb) => verb.action(),
            Noun::Laddr(verb) => verb.action(),
            Noun::Addr(verb) => verb.action(),
            Noun::Route(verb) => verb.action(),
            Noun::Neigh(verb) => verb.action(),
            Noun::Conn(verb) => verb.action(),
            Noun::Stats(args) => args.action(),
            Noun::Trace(args) => args.action(),
            Noun::Worker(verb) => verb.action(),
            Noun::Port(verb) => verb.action(),
            Noun::Sync(verb) => verb.action(),
            Noun::Sysctl(verb) => verb.action(),
            Noun::Mark(verb) => verb.action(),
            Noun::Ipset(verb) => verb.action(),
            Noun::Timeout(verb) => verb.action(),
            Noun::Config(verb) => verb.action(),
            Noun::Man { page } => Ok(Action::Man(page)),
            Noun::Completion { shell } => Ok(Action::Completion(shell)),
        }
    }
}

#[cfg(test)]
mod tests;
