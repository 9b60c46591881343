//! `dest`.

use api::{DestEdit, DestSpec, Method, Request, TunnelChecksum, TunnelType};
use clap::{Args, Subcommand};

use super::Action;
use super::words::{self, DestArg, ServiceArgs};
use crate::failure::Failure;

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
  rvsctl dest add udp '[2001:db8::100]:53' '[2001:db8:2::11]:53' -m tunnel
  rvsctl dest add tcp 192.0.2.100:80 10.0.2.13 -m tunnel --tun-type gue --tun-port 6080 --tun-csum
  rvsctl dest add fwmark 7 10.0.2.14 -m dr")]
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
        #[arg(value_parser = clap::value_parser!(u32).range(..=i64::from(api::WEIGHT_MAX)))]
        weight: u32,
        /// Connections at which it gets no new ones; 0: no limit.
        #[arg(short = 'x', long, visible_alias = "u-threshold", value_name = "N", default_value_t = 0)]
        upper: u32,
        /// Connections below which it gets new ones again; 0: three quarters of the upper threshold.
        #[arg(short = 'y', long, visible_alias = "l-threshold", value_name = "N", default_value_t = 0)]
        lower: u32,
        #[command(flatten)]
        tunnel: TunnelArgs,
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
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(api::WEIGHT_MAX)))]
    weight: Option<u32>,
    /// Connections at which it gets no new ones; 0: no limit.
    #[arg(short = 'x', long, visible_alias = "u-threshold", value_name = "N")]
    upper: Option<u32>,
    /// Connections below which it gets new ones again; 0: three quarters of the upper threshold.
    #[arg(short = 'y', long, visible_alias = "l-threshold", value_name = "N")]
    lower: Option<u32>,
    /// What is around a packet in a tunnel.
    #[arg(long, value_name = "TYPE", value_parser = words::tunnel_type())]
    tun_type: Option<TunnelType>,
    /// UDP port of a gue tunnel.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    tun_port: Option<u16>,
    /// No port for the tunnel any more.
    #[arg(long, conflicts_with = "tun_port")]
    no_tun_port: bool,
    /// gre, gue: without a checksum.
    #[arg(long)]
    tun_nocsum: bool,
    /// gre, gue: with a checksum.
    #[arg(long, conflicts_with = "tun_nocsum")]
    tun_csum: bool,
    /// gue: with remote checksum offload.
    #[arg(long, conflicts_with_all = ["tun_nocsum", "tun_csum"])]
    tun_remcsum: bool,
}

/// How packets are wrapped, with `-m tunnel`.
#[derive(Debug, Args)]
pub struct TunnelArgs {
    /// What is around a packet in a tunnel; default: ipip.
    #[arg(long, value_name = "TYPE", value_parser = words::tunnel_type())]
    tun_type: Option<TunnelType>,
    /// UDP port of a gue tunnel.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    tun_port: Option<u16>,
    /// gre, gue: without a checksum, as they are anyway.
    #[arg(long)]
    tun_nocsum: bool,
    /// gre, gue: with a checksum.
    #[arg(long, conflicts_with = "tun_nocsum")]
    tun_csum: bool,
    /// gue: with remote checksum offload.
    #[arg(long, conflicts_with_all = ["tun_nocsum", "tun_csum"])]
    tun_remcsum: bool,
}

/// The one that was asked for.
fn checksum(none: bool, full: bool, remote: bool) -> Option<TunnelChecksum> {
    let asked =
        [(none, TunnelChecksum::None), (full, TunnelChecksum::Full), (remote, TunnelChecksum::Remote)];
    asked.into_iter().find(|(asked, _)| *asked).map(|(_, checksum)| checksum)
}

impl DestChange {
    fn edit(self) -> DestEdit {
        DestEdit {
            method: self.method,
            weight: self.weight,
            upper_threshold: self.upper,
            lower_threshold: self.lower,
            tunnel_type: self.tun_type,
            tunnel_port: if self.no_tun_port { Some(None) } else { self.tun_port.map(Some) },
            tunnel_checksum: checksum(self.tun_nocsum, self.tun_csum, self.tun_remcsum),
        }
    }
}

impl DestVerb {
    pub fn action(self) -> Result<Action, Failure> {
        match self {
            DestVerb::List(service) => Action::ask(Request::DestList { service: service.key()? }),
            DestVerb::Add { service, dest, method, weight, upper, lower, tunnel } => {
                let service = service.key()?;
                let dest = DestSpec {
                    weight,
                    upper_threshold: upper,
                    lower_threshold: lower,
                    tunnel_type: tunnel.tun_type.unwrap_or_default(),
                    tunnel_port: tunnel.tun_port,
                    tunnel_checksum: checksum(tunnel.tun_nocsum, tunnel.tun_csum, tunnel.tun_remcsum)
                        .unwrap_or_default(),
                    ..DestSpec::new(dest.key(&service), method)
                };
                Action::ask(Request::DestAdd { service, dest })
            }
            DestVerb::Edit { service, dest, change } => {
                let service = service.key()?;
                Action::ask(Request::DestEdit { service, dest: dest.key(&service), edit: change.edit() })
            }
            DestVerb::Del { service, dest } => {
                let service = service.key()?;
                Action::ask(Request::DestDelete { service, dest: dest.key(&service) })
            }
        }
    }
}
