//! `service`.

use std::collections::BTreeSet;

use api::{Engine, Helper, Netmask, Request, Scheduler, SchedulerFlag, ServiceEdit, ServiceKey, ServiceSpec};
use clap::{Args, Subcommand};

use super::Action;
use super::words::{self, ServiceArgs, ServiceKind, ServiceRest};
use crate::failure::Failure;
use crate::show::View;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
#[command(after_help = "\
Examples:
  rvsctl service add tcp 192.0.2.100:80 -s wrr
  rvsctl service add fwmark 7 -s wlc -p 600
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
    #[command(
        after_help = "Examples:\n  rvsctl service show tcp 192.0.2.100:80\n  rvsctl service show fwmark 7 -6"
    )]
    Show(ServiceArgs),
    /// Add a service; destinations come with `dest add`.
    #[command(after_help = "\
Examples:
  rvsctl service add tcp 192.0.2.100:80 -s wrr
  rvsctl service add udp '[2001:db8::100]:53' -s rr --ops
  rvsctl service add tcp 192.0.2.100:443 -p 600 -M 255.255.255.0    # clients of a /24 share a destination
  rvsctl service add tcp 192.0.2.100:0 -p                          # every port of the address
  rvsctl service add udp 192.0.2.100:5060 -p 60 --pe sip
  rvsctl service add fwmark 7 -6 -s wlc                            # marked IPv6 packets

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
        #[command(flatten)]
        persistence: Persistence,
        /// One-packet scheduling: each UDP packet on its own.
        #[arg(short, long)]
        ops: bool,
        /// What expects the further connections that its connections lead to.
        #[arg(long, default_value = "auto", value_parser = words::helper())]
        helper: Helper,
    },
    /// Change a service; what is not given stays as it is.
    #[command(after_help = "\
Examples:
  rvsctl service edit tcp 192.0.2.100:80 -s wlc
  rvsctl service edit tcp 192.0.2.100:80 -p 600
  rvsctl service edit tcp 192.0.2.100:80 --no-persistent")]
    Edit {
        #[command(flatten)]
        service: ServiceArgs,
        #[command(flatten)]
        change: Box<ServiceChange>,
    },
    /// Delete a service with its destinations.
    #[command(visible_aliases = ["rm", "delete"])]
    #[command(
        after_help = "Examples:\n  rvsctl service del tcp 192.0.2.100:80\n  rvsctl service del fwmark 7"
    )]
    Del(ServiceArgs),
    /// Delete every service.
    #[command(after_help = "Examples:\n  rvsctl service flush")]
    Flush,
    /// Set the counters of one service, or of all, to zero.
    #[command(after_help = "Examples:\n  rvsctl service zero\n  rvsctl service zero tcp 192.0.2.100:80")]
    Zero {
        /// Transport, or fwmark.
        #[arg(value_name = "PROTO", value_parser = words::service_kind(), requires = "service")]
        kind: Option<ServiceKind>,
        /// The service's address and port, or its mark.
        #[arg(value_name = "ADDR:PORT", value_parser = words::service_rest)]
        service: Option<ServiceRest>,
        /// Of a mark: IPv6 packets.
        #[arg(short = '6', long, requires = "kind")]
        ipv6: bool,
    },
}

/// What ties clients to the destination that they were given once.
#[derive(Debug, Args)]
pub struct Persistence {
    /// A client stays with its destination, so many seconds after its last connection.
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "360")]
    #[arg(value_parser = words::persistence_timeout())]
    persistent: Option<u32>,
    /// Which clients are one: a mask or a prefix length; default: each on its own.
    #[arg(short = 'M', long, value_name = "MASK", value_parser = words::word::<Netmask>)]
    netmask: Option<Netmask>,
    /// Persistence engine: what in a packet clients are told apart by.
    #[arg(long, value_name = "ENGINE", value_parser = words::engine())]
    pe: Option<Engine>,
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
    /// A client stays with its destination, so many seconds after its last connection.
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "360")]
    #[arg(value_parser = words::persistence_timeout())]
    persistent: Option<u32>,
    /// Clients do not stay with their destination any more.
    #[arg(long, conflicts_with = "persistent")]
    no_persistent: bool,
    /// Which clients are one: a mask or a prefix length.
    #[arg(short = 'M', long, value_name = "MASK", value_parser = words::word::<Netmask>)]
    netmask: Option<Netmask>,
    /// Each client is on its own again.
    #[arg(long, conflicts_with = "netmask")]
    no_netmask: bool,
    /// Persistence engine: what in a packet clients are told apart by.
    #[arg(long, value_name = "ENGINE", value_parser = words::engine())]
    pe: Option<Engine>,
    /// No persistence engine any more.
    #[arg(long, conflicts_with = "pe")]
    no_pe: bool,
    /// One-packet scheduling: each UDP packet on its own.
    #[arg(short, long)]
    ops: bool,
    /// No one-packet scheduling any more.
    #[arg(long, conflicts_with = "ops")]
    no_ops: bool,
    /// What expects the further connections that its connections lead to.
    #[arg(long, value_parser = words::helper())]
    helper: Option<Helper>,
}

impl From<ServiceChange> for ServiceEdit {
    fn from(change: ServiceChange) -> ServiceEdit {
        ServiceEdit {
            scheduler: change.scheduler,
            scheduler_flags: change.sched_flags.map(|flags| flags.into_iter().collect()),
            maglev_table_size: setting(change.table_size, change.default_table_size),
            local_pool: setting(change.pool, change.default_pool),
            persistence_timeout_s: setting(change.persistent, change.no_persistent),
            persistence_netmask: setting(change.netmask, change.no_netmask),
            persistence_engine: setting(change.pe, change.no_pe),
            ops: change.ops.then_some(true).or(change.no_ops.then_some(false)),
            helper: change.helper,
        }
    }
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
                Action::ask_for(Request::ServiceShow { service: service.key()? }, View::Details)
            }
            ServiceVerb::Add {
                service,
                scheduler,
                sched_flags,
                table_size,
                pool,
                persistence,
                ops,
                helper,
            } => {
                let service = ServiceSpec {
                    scheduler_flags: sched_flags.into_iter().collect::<BTreeSet<_>>(),
                    maglev_table_size: table_size,
                    local_pool: pool,
                    persistence_timeout_s: persistence.persistent,
                    persistence_netmask: persistence.netmask,
                    persistence_engine: persistence.pe,
                    ops,
                    helper,
                    ..ServiceSpec::new(service.key()?, scheduler)
                };
                Action::ask(Request::ServiceAdd { service })
            }
            ServiceVerb::Edit { service, change } => {
                let edit = ServiceEdit::from(*change);
                Action::ask(Request::ServiceEdit { service: service.key()?, edit })
            }
            ServiceVerb::Del(service) => Action::ask(Request::ServiceDelete { service: service.key()? }),
            ServiceVerb::Flush => Action::ask(Request::ServiceFlush),
            ServiceVerb::Zero { kind, service, ipv6 } => {
                let named = kind.zip(service).map(|(kind, service)| ServiceArgs { kind, service, ipv6 });
                let service: Option<ServiceKey> = named.map(|named| named.key()).transpose()?;
                Action::ask_for(Request::ServiceZero { service }, View::Done("counters are zero"))
            }
        }
    }
}
