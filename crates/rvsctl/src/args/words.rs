//! How single words of the command line are read.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use api::{DestKey, Method, ParseError, Protocol, Scheduler, SchedulerFlag, ServiceKey};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// The two words that name a service.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// Transport.
    #[arg(value_name = "PROTO", value_parser = protocol())]
    pub protocol: Protocol,
    /// The service's address and port: 192.0.2.100:80 or [2001:db8::100]:80.
    #[arg(value_name = "ADDR:PORT", value_parser = endpoint)]
    pub service: SocketAddr,
}

impl ServiceArgs {
    pub fn key(&self) -> ServiceKey {
        service_key(self.protocol, self.service)
    }
}

pub fn service_key(protocol: Protocol, service: SocketAddr) -> ServiceKey {
    ServiceKey { protocol, address: service.ip(), port: service.port() }
}

/// A destination's address, and its port unless that is the service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestArg {
    address: IpAddr,
    port: Option<u16>,
}

impl DestArg {
    pub fn key(self, service: &ServiceKey) -> DestKey {
        DestKey { address: self.address, port: self.port.unwrap_or(service.port) }
    }
}

/// Reads `10.0.2.11:80`, `10.0.2.11`, `[2001:db8::11]:80`, `[2001:db8::11]` and `2001:db8::11`.
pub fn dest(word: &str) -> Result<DestArg, String> {
    if let Ok(endpoint) = word.parse::<SocketAddr>() {
        return Ok(DestArg { address: endpoint.ip(), port: Some(endpoint.port()) });
    }
    let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(word);
    match bare.parse() {
        Ok(address) => Ok(DestArg { address, port: None }),
        Err(_) => Err("expected ADDR:PORT or ADDR, such as `10.0.2.11:80` or `[2001:db8::11]:80`".into()),
    }
}

pub fn endpoint(word: &str) -> Result<SocketAddr, String> {
    let expected = "expected ADDR:PORT, such as `192.0.2.100:80` or `[2001:db8::100]:80`";
    word.parse().map_err(|_| expected.into())
}

pub fn address(word: &str) -> Result<IpAddr, String> {
    word.parse().map_err(|_| "expected an address such as `192.0.2.1` or `2001:db8::1`".into())
}

/// Reads one of the api's words; clap itself repeats what was found.
pub fn word<T: FromStr<Err = ParseError>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|e: ParseError| format!("expected {}", e.expected))
}

pub fn protocol() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::WORDS.iter().copied()).try_map(|word| word.parse::<Protocol>())
}

pub fn scheduler() -> impl TypedValueParser<Value = Scheduler> {
    let value = |scheduler: &Scheduler| {
        PossibleValue::new(scheduler.as_str()).help(match scheduler {
            Scheduler::Rr => "round robin",
            Scheduler::Wrr => "weighted round robin",
            Scheduler::Lc => "least connections",
            Scheduler::Wlc => "weighted least connections",
            Scheduler::Sed => "shortest expected delay",
            Scheduler::Nq => "never queue: an idle server, else sed",
            Scheduler::Fo => "failover: always the heaviest",
            Scheduler::Ovf => "overflow: the heaviest until it has more connections than weight",
            Scheduler::Twos => "the less loaded of two drawn by weight",
            Scheduler::Sh => "source hashing",
            Scheduler::Dh => "destination hashing",
            Scheduler::Mh => "source hashing with Maglev's table, as Linux has it",
            Scheduler::Lblc => "locality-based least connections",
            Scheduler::Lblcr => "lblc with a set of servers for each address",
            Scheduler::Maglev => "Maglev hashing in a table of a chosen size",
            Scheduler::Conhash => "consistent hashing on a ring",
        })
    };
    PossibleValuesParser::new(Scheduler::ALL.iter().map(value)).try_map(|word| word.parse::<Scheduler>())
}

pub fn scheduler_flag() -> impl TypedValueParser<Value = SchedulerFlag> {
    let value = |flag: &SchedulerFlag| {
        PossibleValue::new(flag.as_str()).help(match flag {
            SchedulerFlag::Fallback => "sh, mh: another server where the client's takes no connections",
            SchedulerFlag::Port => "sh, mh: hash the client's port too; maglev, conhash: the whole 5-tuple",
        })
    };
    PossibleValuesParser::new(SchedulerFlag::ALL.iter().map(value))
        .try_map(|word| word.parse::<SchedulerFlag>())
}

pub fn method() -> impl TypedValueParser<Value = Method> {
    let value = |method: &Method| {
        PossibleValue::new(method.as_str()).help(match method {
            Method::Fullnat => "both ends rewritten: the server sees an address of a local pool",
            Method::Nat => "masquerading: the server sees the client and answers through rvs",
            Method::Dr => {
                "direct routing: the server has the service's address and answers the client itself"
            }
            Method::Tunnel => "IP in IP: as dr, for a server that is routers away",
        })
    };
    PossibleValuesParser::new(Method::ALL.iter().map(value)).try_map(|word| word.parse::<Method>())
}
