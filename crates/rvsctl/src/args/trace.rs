//! `trace`.

use api::{Cidr, Request, TraceFilter};
use clap::Args;

use super::Action;
use crate::failure::Failure;

/// Protocols that a trace can be asked for by name.
const PROTOCOLS: [(&str, u8); 9] = [
    ("icmp", 1),
    ("ipip", 4),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", 58),
    ("sctp", 132),
];

#[derive(Debug, Args)]
#[command(after_help = "\
A packet is shown if it matches as it came or as it left, so that replies are shown too.

Examples:
  rvsctl trace --host 198.51.100.7
  rvsctl trace --proto tcp --port 80 -n 5
  rvsctl -j trace --host 2001:db8:c::/64 --seconds 60")]
pub struct TraceArgs {
    /// Only packets from or to this address or network.
    #[arg(long, value_name = "ADDR[/LEN]")]
    host: Option<String>,
    /// Only packets from or to this port.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Only packets of this protocol: tcp, udp, sctp, icmp, icmpv6, gre, ah, esp, ipip, or a number.
    #[arg(long, value_name = "PROTO")]
    proto: Option<String>,
    /// End after so many packets.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    packets: u32,
    /// End after so long; at most 3600.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 30)]
    seconds: u32,
}

impl TraceArgs {
    pub fn action(self) -> Result<Action, Failure> {
        let host = self.host.as_deref().map(network).transpose()?;
        let protocol = self.proto.as_deref().map(protocol).transpose()?;
        let filter = TraceFilter { protocol, host, port: self.port };
        Action::ask(Request::Trace { filter, packets: self.packets, seconds: self.seconds })
    }
}

/// An address alone is a network of its own.
fn network(text: &str) -> Result<Cidr, Failure> {
    let whole = text
        .parse()
        .ok()
        .and_then(|addr: std::net::IpAddr| Cidr::new(addr, if addr.is_ipv4() { 32 } else { 128 }));
    match whole {
        Some(cidr) => Ok(cidr),
        None => text.parse().map_err(|e| Failure::Usage(format!("--host: {e} (see --help)"))),
    }
}

fn protocol(text: &str) -> Result<u8, Failure> {
    let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|&(_, number)| number);
    named.or_else(|| text.parse().ok()).ok_or_else(|| {
        Failure::Usage(format!("--proto: found {text}, expected a protocol's name or number (see --help)"))
    })
}
