//! `mark` and `ipset`.

use std::net::IpAddr;

use api::{Cidr, Family, MarkSpec, PortMatch, Protocol, Request, SetSpec};
use clap::{Args, Subcommand};

use super::Action;
use super::words;
use crate::failure::Failure;
use crate::show::View;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl mark add 7 --dst 198.51.100.0/24 --protocol tcp --dports 80
  rvsctl service add fwmark 7
  rvsctl mark list

As with iptables, the last rule that matches decides. A marked packet whose mark has a service is the director's, whatever its address.")]
pub enum MarkVerb {
    /// List the rules in their order.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl mark list")]
    List,
    /// Add a rule behind the others.
    #[command(after_help = "\
Examples:
  rvsctl mark add 7 --dst 198.51.100.0/24 --protocol tcp --dports 80
  rvsctl mark add 7 --src-set office --in wan
  rvsctl mark add 8 --family ipv6")]
    Add(Rule),
    /// Delete a rule, which is named by all that it says.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "Examples:\n  rvsctl mark del 7 --dst 198.51.100.0/24 --protocol tcp --dports 80")]
    Del(Rule),
    /// Delete every rule.
    #[command(after_help = "Examples:\n  rvsctl mark flush")]
    Flush,
}

/// A rule: the mark, and what packets must have.
#[derive(Debug, Args)]
pub struct Rule {
    /// The mark that matching packets get, 1 or more; with --mask from 0 on.
    #[arg(value_name = "MARK")]
    fwmark: u32,
    /// Bits of the mark that the rule decides, the others stay as they were.
    #[arg(long, value_name = "MASK", value_parser = clap::value_parser!(u32).range(1..))]
    mask: Option<u32>,
    /// Packets of one family: ipv4 or ipv6.
    #[arg(long, value_parser = words::word::<Family>)]
    family: Option<Family>,
    /// Packets of a protocol.
    #[arg(short, long, value_name = "PROTO", value_parser = words::protocol())]
    protocol: Option<Protocol>,
    /// Packets from this address or prefix.
    #[arg(long, value_name = "ADDR[/LEN]", value_parser = words::prefix)]
    src: Option<Cidr>,
    /// Packets from an address in this set.
    #[arg(long, value_name = "SET")]
    src_set: Option<String>,
    /// Packets to this address or prefix.
    #[arg(long, value_name = "ADDR[/LEN]", value_parser = words::prefix)]
    dst: Option<Cidr>,
    /// Packets to an address in this set.
    #[arg(long, value_name = "SET")]
    dst_set: Option<String>,
    /// Packets from this port, or range of ports, of the protocol.
    #[arg(long, value_name = "PORT[-PORT]", value_parser = words::word::<PortMatch>)]
    sports: Option<PortMatch>,
    /// Packets to this port, or range of ports, of the protocol.
    #[arg(long, value_name = "PORT[-PORT]", value_parser = words::word::<PortMatch>)]
    dports: Option<PortMatch>,
    /// Packets that come in here.
    #[arg(short, long = "in", value_name = "IFACE")]
    interface: Option<String>,
}

impl From<Rule> for MarkSpec {
    fn from(rule: Rule) -> MarkSpec {
        MarkSpec {
            fwmark: rule.fwmark,
            mask: rule.mask,
            family: rule.family,
            protocol: rule.protocol,
            source: rule.src,
            source_set: rule.src_set,
            destination: rule.dst,
            destination_set: rule.dst_set,
            source_ports: rule.sports,
            destination_ports: rule.dports,
            interface: rule.interface,
        }
    }
}

impl MarkVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            MarkVerb::List => Action::ask(Request::MarkList),
            MarkVerb::Add(rule) => Action::ask(Request::MarkAdd { mark: rule.into() }),
            MarkVerb::Del(rule) => Action::ask(Request::MarkDelete { mark: rule.into() }),
            MarkVerb::Flush => Action::ask(Request::MarkFlush),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl ipset add office 198.51.100.0/24 203.0.113.7
  rvsctl ipset list")]
pub enum SetVerb {
    /// List the sets with their members.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rvsctl ipset list\n  rvsctl ipset list office"
    )]
    List {
        /// Only this one.
        #[arg(value_name = "SET")]
        name: Option<String>,
    },
    /// Add members to a set; a set of a new name is made.
    #[command(after_help = "Examples:\n  rvsctl ipset add office 198.51.100.0/24 203.0.113.7 2001:db8::/32")]
    Add {
        /// The set's name.
        #[arg(value_name = "SET")]
        name: String,
        /// Addresses or prefixes; none: an empty set.
        #[arg(value_name = "ADDR[/LEN]", value_parser = words::prefix)]
        members: Vec<Cidr>,
    },
    /// Take members out of a set.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "Examples:\n  rvsctl ipset del office 203.0.113.7")]
    Del {
        /// The set's name.
        #[arg(value_name = "SET")]
        name: String,
        /// Addresses or prefixes, as they were added.
        #[arg(value_name = "ADDR[/LEN]", required = true, value_parser = words::prefix)]
        members: Vec<Cidr>,
    },
    /// Say whether a set has an address.
    #[command(after_help = "Examples:\n  rvsctl ipset test office 198.51.100.9")]
    Test {
        /// The set's name.
        #[arg(value_name = "SET")]
        name: String,
        /// The address.
        #[arg(value_name = "ADDR", value_parser = words::address)]
        address: IpAddr,
    },
    /// Delete a set with its members.
    #[command(after_help = "Examples:\n  rvsctl ipset flush office")]
    Flush {
        /// The set's name.
        #[arg(value_name = "SET")]
        name: String,
    },
}

impl SetVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            SetVerb::List { name } => Action::ask(Request::SetList { name }),
            SetVerb::Add { name, members } => Action::ask(Request::SetAdd { set: SetSpec { name, members } }),
            SetVerb::Del { name, members } => {
                Action::ask(Request::SetDelete { set: SetSpec { name, members } })
            }
            SetVerb::Test { name, address } => {
                Action::ask_for(Request::SetList { name: Some(name) }, View::Member(address))
            }
            SetVerb::Flush { name } => Action::ask(Request::SetFlush { name }),
        }
    }
}
