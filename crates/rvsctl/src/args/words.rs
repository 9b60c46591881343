//! How single words of the command line are read.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use api::{
    Cidr, ConnMethod, ConnProtocol, DestKey, Engine, Family, Helper, Method, ParseError, Protocol, Scheduler,
    SchedulerFlag, ServiceKey, TunnelType,
};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::failure::Failure;

/// The words that name a service.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// Transport, or fwmark.
    #[arg(value_name = "PROTO", value_parser = service_kind())]
    pub kind: ServiceKind,
    /// The service's address and port: 192.0.2.100:80 or [2001:db8::100]:80; of fwmark, the mark.
    #[arg(value_name = "ADDR:PORT", value_parser = service_rest)]
    pub service: ServiceRest,
    /// Of a mark: IPv6 packets.
    #[arg(short = '6', long)]
    pub ipv6: bool,
}

impl ServiceArgs {
    pub fn key(&self) -> Result<ServiceKey, Failure> {
        let usage = |message: &str| Err(Failure::Usage(format!("{message} (see --help)")));
        match (self.kind, self.service) {
            (ServiceKind::Protocol(_), _) if self.ipv6 => {
                usage("-6 is for fwmark: an address has its family")
            }
            (ServiceKind::Protocol(protocol), ServiceRest::Endpoint(at)) => {
                Ok(ServiceKey::Address { protocol, address: at.ip(), port: at.port() })
            }
            (ServiceKind::Mark, ServiceRest::Mark(fwmark)) => {
                let family = if self.ipv6 { Family::Ipv6 } else { Family::Ipv4 };
                Ok(ServiceKey::Mark { fwmark, family })
            }
            (ServiceKind::Protocol(protocol), ServiceRest::Mark(mark)) => {
                usage(&format!("{protocol} {mark}: expected ADDR:PORT after {protocol}"))
            }
            (ServiceKind::Mark, ServiceRest::Endpoint(at)) => {
                usage(&format!("fwmark {at}: expected a mark from 1 to 4294967295 after fwmark"))
            }
        }
    }
}

/// What tells the packets of a service: addresses of a protocol, or a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    Protocol(Protocol),
    Mark,
}

pub fn service_kind() -> impl TypedValueParser<Value = ServiceKind> {
    let words = Protocol::WORDS.iter().copied().chain(["fwmark"]);
    PossibleValuesParser::new(words).try_map(|word| match word.as_str() {
        "fwmark" => Ok(ServiceKind::Mark),
        word => word.parse().map(ServiceKind::Protocol),
    })
}

/// What stands behind a [`ServiceKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceRest {
    Endpoint(SocketAddr),
    Mark(u32),
}

pub fn service_rest(word: &str) -> Result<ServiceRest, String> {
    if let Some(mark) = word.parse().ok().filter(|mark| *mark != 0) {
        return Ok(ServiceRest::Mark(mark));
    }
    let expected = "expected ADDR:PORT, such as `192.0.2.100:80` or `[2001:db8::100]:80`, or a mark";
    word.parse().map(ServiceRest::Endpoint).map_err(|_| expected.into())
}

/// A destination's address, and its port unless that is the service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestArg {
    address: IpAddr,
    port: Option<u16>,
}

impl DestArg {
    pub fn key(self, service: &ServiceKey) -> DestKey {
        DestKey { address: self.address, port: self.port.unwrap_or(service.port()) }
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

pub fn address(word: &str) -> Result<IpAddr, String> {
    word.parse().map_err(|_| "expected an address such as `192.0.2.1` or `2001:db8::1`".into())
}

/// Reads `192.0.2.0/24`, and an address as the prefix of it alone.
pub fn prefix(word: &str) -> Result<Cidr, String> {
    let prefix = word.parse().ok().or_else(|| Cidr::host(word.parse().ok()?));
    prefix.ok_or_else(|| "expected an address or a prefix, such as `192.0.2.1` or `2001:db8::/32`".into())
}

pub fn conn_method() -> impl TypedValueParser<Value = ConnMethod> {
    PossibleValuesParser::new(ConnMethod::WORDS.iter().copied()).try_map(|word| word.parse::<ConnMethod>())
}

pub fn conn_protocol() -> impl TypedValueParser<Value = ConnProtocol> {
    PossibleValuesParser::new(ConnProtocol::WORDS.iter().copied())
        .try_map(|word| word.parse::<ConnProtocol>())
}

/// Reads one of the api's words; clap itself repeats what was found.
pub fn word<T: FromStr<Err = ParseError>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|e: ParseError| format!("expected {}", e.expected))
}

pub fn protocol() -> impl TypedValueParser<Value = Protocol> {
    PossibleValuesParser::new(Protocol::WORDS.iter().copied()).try_map(|word| word.parse::<Protocol>())
}

/// As long as ipvsadm takes: 31 days.
pub fn persistence_timeout() -> impl TypedValueParser<Value = u32> {
    clap::value_parser!(u32).range(1..=31 * 86_400)
}

pub fn engine() -> impl TypedValueParser<Value = Engine> {
    let value = |engine: &Engine| {
        PossibleValue::new(engine.as_str()).help(match engine {
            Engine::Sip => "the Call-ID of SIP over UDP",
        })
    };
    PossibleValuesParser::new(Engine::ALL.iter().map(value)).try_map(|word| word.parse::<Engine>())
}

pub fn helper() -> impl TypedValueParser<Value = Helper> {
    let value = |helper: &Helper| {
        PossibleValue::new(helper.as_str()).help(match helper {
            Helper::Auto => "FTP's at port 21, TFTP's at port 69, PPTP's at port 1723",
            Helper::Ftp => "FTP's data connections",
            Helper::Tftp => "TFTP's transfers",
            Helper::Pptp => "PPTP's calls, in GRE",
            Helper::None => "no further connections are expected",
        })
    };
    PossibleValuesParser::new(Helper::ALL.iter().map(value)).try_map(|word| word.parse::<Helper>())
}

pub fn tunnel_type() -> impl TypedValueParser<Value = TunnelType> {
    let value = |kind: &TunnelType| {
        PossibleValue::new(kind.as_str()).help(match kind {
            TunnelType::Ipip => "an IP header",
            TunnelType::Gre => "IP and GRE",
            TunnelType::Gue => "IP, UDP and GUE",
        })
    };
    PossibleValuesParser::new(TunnelType::ALL.iter().map(value)).try_map(|word| word.parse::<TunnelType>())
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
            Method::Tunnel => "as dr, but wrapped in another packet, for a server that is routers away",
        })
    };
    PossibleValuesParser::new(Method::ALL.iter().map(value)).try_map(|word| word.parse::<Method>())
}
