//! `service` and `dest`.

use std::net::SocketAddr;

use api::{
    DestEdit, DestSpec, Method, Protocol, Request, Scheduler, SchedulerFlag, ServiceEdit, ServiceSpec,
};
use clap::{Args, Subcommand};

use super::Action;
use super::words::{self, DestArg, ServiceArgs};
use crate::failure::Failure;
use crate::show::View;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl service add tcp 192.0.2.100:80 -s wrr
  rvsctl service list
  rvsctl service del tcp 192.0.2.100:80")]
pub enum ServiceVerb {
    /// List every service with its destinations.
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  rvsctl service list\n  rvsctl -j service list"
    )]
    List,
    /// Show everything about one service.
    #[command(after_help = "Examples:\n  rvsctl service show tcp 192.0.2.100:80")]
    Show(ServiceArgs),
    /// Add a service; destinations come with `dest add`.
    #[command(after_help = "\
Examples:
  rvsctl service add tcp 192.0.2.100:80 -s wrr
  rvsctl service add udp '[2001:db8::100]:53' -s rr --pool lan

The address need not be on an interface yet; until it is (`addr add`), clients do not find it.")]
    Add {
        #[command(flatten)]
        service: ServiceArgs,
        /// How it picks the destination of a new connection.
        #[arg(short, long, default_value = "wlc", value_parser = words::scheduler())]
        scheduler: Scheduler,
        /// What a scheduler that hashes is asked for, separated by commas.
        #[arg(short = 'b', long, value_name = "FLAGS", value_delimiter = ',', value_parser = words::scheduler_flag())]
        sched_flags: Vec<SchedulerFlag>,
        /// Places in the table of maglev: a prime; default: 65537.
        #[arg(long, value_name = "PRIME")]
        table_size: Option<u32>,
        /// Pool of local addresses for FULLNAT destinations; default: the only pool there is.
        #[arg(long, value_name = "POOL")]
        pool: Option<String>,
    },
    /// Change a service; what is not given stays as it is.
    #[command(after_help = "Examples:\n  rvsctl service edit tcp 192.0.2.100:80 -s wlc")]
    Edit {
        #[command(flatten)]
        service: ServiceArgs,
        #[command(flatten)]
        change: ServiceChange,
    },
    /// Delete a service with its destinations.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "Examples:\n  rvsctl service del tcp 192.0.2.100:80")]
    Del(ServiceArgs),
    /// Delete every service.
    #[command(after_help = "Examples:\n  rvsctl service flush")]
    Flush,
    /// Set the counters of one service, or of all, to zero.
    #[command(after_help = "Examples:\n  rvsctl service zero\n  rvsctl service zero tcp 192.0.2.100:80")]
    Zero {
        /// Transport.
        #[arg(value_name = "PROTO", value_parser = words::protocol(), requires = "service")]
        protocol: Option<Protocol>,
        /// The service's address and port.
        #[arg(value_name = "ADDR:PORT", value_parser = words::endpoint)]
        service: Option<SocketAddr>,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct ServiceChange {
    /// How it picks the destination of a new connection.
    #[arg(short, long, value_parser = words::scheduler())]
    scheduler: Option<Scheduler>,
    /// What a scheduler that hashes is asked for from now on, separated by commas.
    #[arg(short = 'b', long, value_name = "FLAGS", value_delimiter = ',', value_parser = words::scheduler_flag())]
    sched_flags: Option<Vec<SchedulerFlag>>,
    /// Places in the table of maglev: a prime.
    #[arg(long, value_name = "PRIME")]
    table_size: Option<u32>,
    /// Its default number of places again.
    #[arg(long, conflicts_with = "table_size")]
    default_table_size: bool,
    /// Pool of local addresses for FULLNAT destinations.
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// The only pool there is, again.
    #[arg(long, conflicts_with = "pool")]
    default_pool: bool,
}

/// What becomes of a setting that has a default: a value, the default, or nothing.
fn setting<T>(value: Option<T>, default: bool) -> Option<Option<T>> {
    if default { Some(None) } else { value.map(Some) }
}

impl ServiceVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            ServiceVerb::List => Action::ask(Request::ServiceList),
            ServiceVerb::Show(service) => {
                Action::ask_for(Request::ServiceShow { service: service.key() }, View::Details)
            }
            ServiceVerb::Add {
                service: ServiceArgs { protocol, service },
                scheduler,
                sched_flags,
                table_size,
                pool,
            } => {
                let (address, port) = (service.ip(), service.port());
                let service = ServiceSpec {
                    protocol,
                    address,
                    port,
                    scheduler,
                    scheduler_flags: sched_flags.into_iter().collect(),
                    maglev_table_size: table_size,
                    local_pool: pool,
                };
                Action::ask(Request::ServiceAdd { service })
            }
            ServiceVerb::Edit { service, change } => {
                let edit = ServiceEdit {
                    scheduler: change.scheduler,
                    scheduler_flags: change.sched_flags.map(|flags| flags.into_iter().collect()),
                    maglev_table_size: setting(change.table_size, change.default_table_size),
                    local_pool: setting(change.pool, change.default_pool),
                };
                Action::ask(Request::ServiceEdit { service: service.key(), edit })
            }
            ServiceVerb::Del(service) => Action::ask(Request::ServiceDelete { service: service.key() }),
            ServiceVerb::Flush => Action::ask(Request::ServiceFlush),
            ServiceVerb::Zero { protocol, service } => {
                let service = protocol.zip(service).map(|(protocol, at)| words::service_key(protocol, at));
                Action::ask_for(Request::ServiceZero { service }, View::Done("counters are zero"))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl dest add tcp 192.0.2.100:80 10.0.2.11:80 -m nat -w 1
  rvsctl dest edit tcp 192.0.2.100:80 10.0.2.11:80 -w 0
  rvsctl dest list tcp 192.0.2.100:80")]
pub enum DestVerb {
    /// List the destinations of a service.
    #[command(visible_alias = "ls", after_help = "Examples:\n  rvsctl dest list tcp 192.0.2.100:80")]
    List(ServiceArgs),
    /// Add a destination to a service.
    #[command(after_help = "\
Examples:
  rvsctl dest add tcp 192.0.2.100:80 10.0.2.11:80 -m nat
  rvsctl dest add tcp 192.0.2.100:80 10.0.2.12 -m fullnat -w 3 -x 10000 -y 8000
  rvsctl dest add udp '[2001:db8::100]:53' '[2001:db8:2::11]:53' -m tunnel")]
    Add {
        #[command(flatten)]
        service: ServiceArgs,
        /// The destination's address and port; without a port, the service's.
        #[arg(value_name = "DEST", value_parser = words::dest)]
        dest: DestArg,
        /// How packets reach it.
        #[arg(short, long, value_parser = words::method())]
        method: Method,
        /// Its share of new connections; 0: none, those that it has go on.
        #[arg(short, long, value_name = "N", default_value_t = 1)]
        #[arg(value_parser = clap::value_parser!(u32).range(0..=65_535))]
        weight: u32,
        /// Connections at which it gets no new ones; 0: no limit.
        #[arg(short = 'x', long, visible_alias = "u-threshold", value_name = "N", default_value_t = 0)]
        upper: u32,
        /// Connections below which it gets new ones again; 0: three quarters of the upper threshold.
        #[arg(short = 'y', long, visible_alias = "l-threshold", value_name = "N", default_value_t = 0)]
        lower: u32,
    },
    /// Change a destination; what is not given stays as it is.
    #[command(after_help = "\
Examples:
  rvsctl dest edit tcp 192.0.2.100:80 10.0.2.11:80 -w 0     # drain it
  rvsctl dest edit tcp 192.0.2.100:80 10.0.2.11:80 -w 1     # and back

Connections keep the method that they began with.")]
    Edit {
        #[command(flatten)]
        service: ServiceArgs,
        /// The destination's address and port; without a port, the service's.
        #[arg(value_name = "DEST", value_parser = words::dest)]
        dest: DestArg,
        #[command(flatten)]
        change: DestChange,
    },
    /// Delete a destination.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(after_help = "Examples:\n  rvsctl dest del tcp 192.0.2.100:80 10.0.2.11:80")]
    Del {
        #[command(flatten)]
        service: ServiceArgs,
        /// The destination's address and port; without a port, the service's.
        #[arg(value_name = "DEST", value_parser = words::dest)]
        dest: DestArg,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct DestChange {
    /// How packets reach it.
    #[arg(short, long, value_parser = words::method())]
    method: Option<Method>,
    /// Its share of new connections; 0: none, those that it has go on.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=65_535))]
    weight: Option<u32>,
    /// Connections at which it gets no new ones; 0: no limit.
    #[arg(short = 'x', long, visible_alias = "u-threshold", value_name = "N")]
    upper: Option<u32>,
    /// Connections below which it gets new ones again; 0: three quarters of the upper threshold.
    #[arg(short = 'y', long, visible_alias = "l-threshold", value_name = "N")]
    lower: Option<u32>,
}

impl DestVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            DestVerb::List(service) => Action::ask(Request::DestList { service: service.key() }),
            DestVerb::Add { service, dest, method, weight, upper, lower } => {
                let service = service.key();
                let key = dest.key(&service);
                let dest = DestSpec {
                    address: key.address,
                    port: key.port,
                    method,
                    weight,
                    upper_threshold: upper,
                    lower_threshold: lower,
                };
                Action::ask(Request::DestAdd { service, dest })
            }
            DestVerb::Edit { service, dest, change: DestChange { method, weight, upper, lower } } => {
                let service = service.key();
                let edit = DestEdit { method, weight, upper_threshold: upper, lower_threshold: lower };
                Action::ask(Request::DestEdit { service, dest: dest.key(&service), edit })
            }
            DestVerb::Del { service, dest } => {
                let service = service.key();
                Action::ask(Request::DestDelete { service, dest: dest.key(&service) })
            }
        }
    }
}
