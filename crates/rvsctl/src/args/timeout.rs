//! `timeout`.

use api::{Protocol, Request, TimeoutSetting};
use clap::Subcommand;

use super::Action;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl timeout list
  rvsctl timeout set tcp=900 tcpfin=120 udp=300")]
pub enum TimeoutVerb {
    /// List every timeout: protocol, state, seconds.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rvsctl timeout list\n  rvsctl -j timeout list"
    )]
    List,
    /// Set some, all or none of them.
    #[command(after_help = "\
Examples:
  rvsctl timeout set tcp=900 tcpfin=120 udp=300     # as ipvsadm --set
  rvsctl timeout set tcp.syn_recv=30 sctp.established=600

A connection has the new timeout from its next packet on.")]
    Set {
        /// The timeout and its seconds: tcp, tcpfin or udp as of `ipvsadm --set`, or PROTO.STATE.
        #[arg(value_name = "NAME=SECONDS", required = true, value_parser = setting)]
        values: Vec<TimeoutSetting>,
    },
}

impl TimeoutVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            TimeoutVerb::List => Action::ask(Request::TimeoutList),
            TimeoutVerb::Set { values } => Action::ask(Request::TimeoutSet { values }),
        }
    }
}

fn setting(word: &str) -> Result<TimeoutSetting, String> {
    let expected = "expected NAME=SECONDS, such as `tcp=900`, `tcpfin=120`, `udp=300` or `tcp.syn_recv=30`";
    let (name, seconds) = word.split_once('=').ok_or(expected)?;
    let timeout_s = seconds.parse().map_err(|_| expected)?;
    let (protocol, state) = match name {
        "tcp" => (Protocol::Tcp, "ESTABLISHED"),
        "tcpfin" => (Protocol::Tcp, "FIN_WAIT"),
        "udp" => (Protocol::Udp, "UDP"),
        name => {
            let (protocol, state) = name.split_once('.').ok_or(expected)?;
            (protocol.parse().map_err(|_| expected)?, state)
        }
    };
    Ok(TimeoutSetting { protocol, state: state.to_uppercase(), timeout_s })
}
