//! `laddr`, `addr`, `route` and `neigh`.

use std::net::IpAddr;

use api::{
    AddrRange, AddressSpec, Cidr, Mac, NeighbourKey, NeighbourSpec, PoolSpec, PortRange, Request, RouteKey,
    RouteSpec, RouteTarget,
};
use clap::{Args, Subcommand};

use super::Action;
use super::words;
use crate::failure::Failure;
use crate::show::View;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl laddr add lan 10.0.2.200-10.0.2.203 --interface lan
  rvsctl laddr list")]
pub enum LaddrVerb {
    /// List the pools.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl laddr list")]
    List,
    /// Add addresses to a pool; a pool of a new name is made.
    #[command(after_help = "\
Examples:
  rvsctl laddr add lan 10.0.2.200-10.0.2.203 2001:db8:2::200 --interface lan   # a new pool
  rvsctl laddr add lan 10.0.2.204")]
    Add {
        /// The pool's name.
        pool: String,
        /// Addresses or ranges of them.
        #[arg(value_name = "ADDR", required = true, value_parser = words::word::<AddrRange>)]
        addresses: Vec<AddrRange>,
        /// Where the addresses are; a new pool needs it.
        #[arg(short, long, value_name = "IFACE")]
        interface: Option<String>,
        /// Ports that a new pool uses; default: 1024-65535.
        #[arg(short, long, value_name = "FIRST-LAST", value_parser = words::word::<PortRange>)]
        ports: Option<PortRange>,
    },
    /// Take addresses out of a pool; the pool goes with its last one.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "Examples:\n  rvsctl laddr del lan 10.0.2.203")]
    Del {
        /// The pool's name.
        pool: String,
        /// Addresses or ranges of them.
        #[arg(value_name = "ADDR", required = true, value_parser = words::word::<AddrRange>)]
        addresses: Vec<AddrRange>,
    },
}

impl LaddrVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            LaddrVerb::List => Action::ask(Request::PoolList),
            LaddrVerb::Add { pool: name, addresses, interface, ports } => {
                Action::ask(Request::PoolAdd { pool: PoolSpec { name, addresses, interface, ports } })
            }
            LaddrVerb::Del { pool, addresses } => Action::ask(Request::PoolDelete { pool, addresses }),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl addr add wan 192.0.2.100/32
  rvsctl addr list")]
pub enum AddrVerb {
    /// List the addresses, those of local pools too.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl addr list")]
    List,
    /// Add an address to an interface.
    #[command(after_help = "\
Examples:
  rvsctl addr add wan 192.0.2.1/24      # and the route to its network
  rvsctl addr add wan 192.0.2.100/32    # of a service
  rvsctl addr add wan 2001:db8::100/128")]
    Add(AddressArgs),
    /// Delete an address.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "Examples:\n  rvsctl addr del wan 192.0.2.100/32")]
    Del(AddressArgs),
}

#[derive(Debug, Args)]
pub struct AddressArgs {
    /// Name of a port or VLAN.
    #[arg(value_name = "IFACE")]
    interface: String,
    /// The address with its prefix length.
    #[arg(value_parser = words::word::<Cidr>)]
    cidr: Cidr,
}

impl AddressArgs {
    fn spec(self) -> AddressSpec {
        AddressSpec { interface: self.interface, cidr: self.cidr }
    }
}

impl AddrVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            AddrVerb::List => Action::ask(Request::AddressList),
            AddrVerb::Add(address) => Action::ask(Request::AddressAdd { address: address.spec() }),
            AddrVerb::Del(address) => Action::ask(Request::AddressDelete { address: address.spec() }),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl route add default --via 192.0.2.254
  rvsctl route list")]
pub enum RouteVerb {
    /// List the routes, those that follow from addresses too.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl route list")]
    List,
    /// Add a route.
    #[command(after_help = "\
Examples:
  rvsctl route add default --via 192.0.2.254
  rvsctl route add 198.51.100.0/24 --via 10.0.2.254 --mtu 1400
  rvsctl route add 2001:db8:9::/48 --interface lan")]
    Add(RouteArgs),
    /// Delete a static route.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "\
Examples:
  rvsctl route del 198.51.100.0/24
  rvsctl route del default --via 192.0.2.254")]
    Del {
        /// `default` or a prefix.
        #[arg(value_parser = words::word::<RouteTarget>)]
        to: RouteTarget,
        /// Its gateway; tells which `default` is meant when there are two.
        #[arg(long, value_name = "ADDR", value_parser = words::address)]
        via: Option<IpAddr>,
    },
}

#[derive(Debug, Args)]
pub struct RouteArgs {
    /// `default` or a prefix.
    #[arg(value_parser = words::word::<RouteTarget>)]
    to: RouteTarget,
    /// Gateway.
    #[arg(long, value_name = "ADDR", value_parser = words::address, required_unless_present = "interface")]
    via: Option<IpAddr>,
    /// Name of a port or VLAN; default: the one whose network holds the gateway.
    #[arg(short, long, value_name = "IFACE")]
    interface: Option<String>,
    /// Source address of packets that rvs itself makes.
    #[arg(long, value_name = "ADDR", value_parser = words::address)]
    source: Option<IpAddr>,
    /// Largest packet; default: the interface's.
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u16>,
}

impl RouteVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            RouteVerb::List => Action::ask(Request::RouteList),
            RouteVerb::Add(RouteArgs { to, via, interface, source, mtu }) => {
                Action::ask(Request::RouteAdd { route: RouteSpec { to, via, interface, source, mtu } })
            }
            RouteVerb::Del { to, via } => Action::ask(Request::RouteDelete { route: RouteKey { to, via } }),
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl neigh list
  rvsctl neigh add lan 10.0.2.11 02:00:00:00:02:0b")]
pub enum NeighVerb {
    /// List what each worker knows, learnt and static.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl neigh list")]
    List,
    /// Add a static neighbour.
    #[command(after_help = "Examples:\n  rvsctl neigh add lan 10.0.2.11 02:00:00:00:02:0b")]
    Add {
        /// Name of a port or VLAN.
        #[arg(value_name = "IFACE")]
        interface: String,
        /// Its address.
        #[arg(value_name = "ADDR", value_parser = words::address)]
        address: IpAddr,
        /// Its Ethernet address.
        #[arg(value_parser = words::word::<Mac>)]
        mac: Mac,
    },
    /// Delete a static neighbour.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "Examples:\n  rvsctl neigh del lan 10.0.2.11")]
    Del {
        /// Name of a port or VLAN.
        #[arg(value_name = "IFACE")]
        interface: String,
        /// Its address.
        #[arg(value_name = "ADDR", value_parser = words::address)]
        address: IpAddr,
    },
    /// Forget what was learnt, of one interface or of all; static neighbours stay.
    #[command(after_help = "Examples:\n  rvsctl neigh flush\n  rvsctl neigh flush lan")]
    Flush {
        /// Name of a port or VLAN.
        #[arg(value_name = "IFACE")]
        interface: Option<String>,
    },
}

impl NeighVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            NeighVerb::List => Action::ask(Request::NeighbourList),
            NeighVerb::Add { interface, address, mac } => {
                Action::ask(Request::NeighbourAdd { neighbour: NeighbourSpec { interface, address, mac } })
            }
            NeighVerb::Del { interface, address } => {
                Action::ask(Request::NeighbourDelete { neighbour: NeighbourKey { interface, address } })
            }
            NeighVerb::Flush { interface } => Action::ask_for(
                Request::NeighbourFlush { interface },
                View::Done("learnt neighbours are forgotten"),
            ),
        }
    }
}
