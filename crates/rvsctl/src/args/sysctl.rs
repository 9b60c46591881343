//! `sysctl`.

use std::ffi::OsStr;

use api::{Request, Sysctl, SysctlSetting, SysctlValue};
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command, Subcommand};

use super::Action;
use crate::failure::Failure;
use crate::show::View;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl sysctl list
  rvsctl sysctl get expire_nodest_conn
  rvsctl sysctl set expire_nodest_conn=1 sync_threshold='3 100'")]
pub enum SysctlVerb {
    /// List every tunable: its value, default, range and meaning.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl sysctl list\n  rvsctl -j sysctl list")]
    List,
    /// Print the values of some.
    #[command(after_help = "Examples:\n  rvsctl sysctl get expire_nodest_conn pmtu_disc")]
    Get {
        /// The tunable; `net.ipv4.vs.` may stand before it.
        #[arg(value_name = "NAME", required = true, value_parser = Name, hide_possible_values = true)]
        names: Vec<Sysctl>,
    },
    /// Set some, all or none of them.
    #[command(after_help = "\
Examples:
  rvsctl sysctl set expire_nodest_conn=1
  rvsctl sysctl set secure_tcp=1 drop_entry=1 drop_packet=1
  rvsctl sysctl set net.ipv4.vs.sync_threshold='3 100'

`config show` prints them in [ipvs], where they last.")]
    Set {
        /// The tunable and its value; `net.ipv4.vs.` may stand before it.
        #[arg(value_name = "NAME=VALUE", required = true, value_parser = setting)]
        values: Vec<SysctlSetting>,
    },
}

impl SysctlVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            SysctlVerb::List => Action::ask(Request::SysctlList { names: Vec::new() }),
            SysctlVerb::Get { names } => Action::ask_for(Request::SysctlList { names }, View::Values),
            SysctlVerb::Set { values } => Action::ask(Request::SysctlSet { values }),
        }
    }
}

/// Reads a tunable's name as [`Sysctl`] does, and has shells complete the short ones.
#[derive(Clone)]
struct Name;

impl TypedValueParser for Name {
    type Value = Sysctl;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Sysctl, clap::Error> {
        let parser = |word: &str| word.parse::<Sysctl>().map_err(|_| unknown(word));
        TypedValueParser::parse_ref(&parser, command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |sysctl: &Sysctl| PossibleValue::new(sysctl.about().name).help(sysctl.about().help);
        Some(Box::new(Sysctl::ALL.iter().map(value)))
    }
}

fn unknown(name: &str) -> String {
    format!("there is no tunable `{name}`: `rvsctl sysctl list` has them")
}

fn setting(word: &str) -> Result<SysctlSetting, String> {
    let (name, value) = word.split_once('=').ok_or("expected NAME=VALUE, such as `expire_nodest_conn=1`")?;
    let name = name
        .trim()
        .parse::<Sysctl>()
        .map_err(|_| format!("there is no tunable `{}`: `rvsctl sysctl list` has them", name.trim()))?;
    let value = value.parse::<SysctlValue>().map_err(|e| format!("{name}: expected {}", e.expected))?;
    Ok(SysctlSetting { name, value })
}
