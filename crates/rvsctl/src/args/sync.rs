//! `sync`.

use std::net::IpAddr;

use api::{Request, SyncRole, SyncSpec};
use clap::{Args, Subcommand, ValueEnum};

use super::Action;
use crate::failure::Failure;
use crate::show::View;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl sync start master -i ha0 --id 7
  rvsctl sync start backup -i ha0 --id 7
  rvsctl sync show
  rvsctl sync stop master")]
pub enum SyncVerb {
    /// Show the daemons that run.
    #[command(visible_alias = "list", after_help = "Examples:\n  rvsctl sync show\n  rvsctl -j sync show")]
    Show,
    /// Start one; both may run at once.
    #[command(after_help = "\
Examples:
  rvsctl sync start master -i ha0
  rvsctl sync start backup -i wan --id 7 --group ff02::81

The interface is one of the host's kernel, or a port of rvs that has an exception interface.
`config show` prints the daemon as [[sync]], where it lasts.")]
    Start(StartArgs),
    /// Stop one.
    #[command(after_help = "Examples:\n  rvsctl sync stop master\n  rvsctl sync stop backup")]
    Stop {
        /// Which one.
        #[arg(value_name = "ROLE")]
        role: Role,
    },
    /// What they have sent, received, refused and lost.
    #[command(after_help = "Examples:\n  rvsctl sync stats\n  rvsctl sync stats --all")]
    Stats {
        /// Also what is zero.
        #[arg(short, long)]
        all: bool,
    },
}

/// A daemon's role on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Tells backups of the connections here.
    Master,
    /// Takes in what a master tells.
    Backup,
}

impl From<Role> for SyncRole {
    fn from(role: Role) -> SyncRole {
        match role {
            Role::Master => SyncRole::Master,
            Role::Backup => SyncRole::Backup,
        }
    }
}

#[derive(Debug, Args)]
pub struct StartArgs {
    /// Which one.
    #[arg(value_name = "ROLE")]
    role: Role,
    /// What it speaks on.
    #[arg(short, long, value_name = "IFACE", visible_alias = "mcast-interface")]
    interface: String,
    /// Which masters belong to which backups; a backup with 0 listens to all.
    #[arg(long, value_name = "0-255", default_value_t = 0, visible_alias = "syncid")]
    id: u8,
    /// Multicast group.
    #[arg(long, value_name = "ADDRESS", default_value_t = SyncSpec::default_group(), visible_alias = "mcast-group")]
    group: IpAddr,
    /// First UDP port.
    #[arg(long, default_value_t = SyncSpec::default_port(), visible_alias = "mcast-port")]
    port: u16,
    /// Routers that a message may pass, and one.
    #[arg(long, default_value_t = SyncSpec::default_ttl(), visible_alias = "mcast-ttl")]
    ttl: u8,
    /// Bytes of a message at most; 0: what fits into the interface's packets.
    #[arg(long, value_name = "BYTES", default_value_t = 0, visible_alias = "sync-maxlen")]
    max_bytes: u16,
}

impl SyncVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            SyncVerb::Show => Action::ask(Request::SyncShow),
            SyncVerb::Start(StartArgs { role, interface, id, group, port, ttl, max_bytes }) => {
                let role = role.into();
                let daemon = SyncSpec { role, interface, id, group, port, ttl, max_bytes };
                Action::ask(Request::SyncStart { daemon })
            }
            SyncVerb::Stop { role } => Action::ask(Request::SyncStop { role: role.into() }),
            SyncVerb::Stats { all: false } => Action::ask_for(Request::SyncShow, View::NonZero),
            SyncVerb::Stats { all: true } => Action::ask_for(Request::SyncShow, View::Counters),
        }
    }
}
