//! What clients ask for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::attr::{Attrs, Malformed};
use crate::errno::{EAFNOSUPPORT, EINVAL, EOPNOTSUPP};
use crate::family::{cmd, ctrl, daemon, dest, svc};
use crate::message::{GENERIC_HEADER, Header, NETLINK_HEADER};
use crate::{FAMILY_ID, FAMILY_NAME};

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;

/// One request, taken apart but not judged: what is missing is None.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub header: Header,
    pub command: Command,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The number of the family "IPVS".
    GetFamily,
    NewService(ServiceAttrs),
    SetService(ServiceAttrs),
    DelService(ServiceAttrs),
    GetService(ServiceAttrs),
    ListServices,
    NewDest(ServiceAttrs, DestAttrs),
    SetDest(ServiceAttrs, DestAttrs),
    DelDest(ServiceAttrs, DestAttrs),
    ListDests(ServiceAttrs),
    NewDaemon(DaemonAttrs),
    DelDaemon(DaemonAttrs),
    ListDaemons,
    SetConfig(Timeouts),
    GetConfig,
    GetInfo,
    /// Counters of one service, or all.
    Zero(Option<ServiceAttrs>),
    Flush,
}

/// A service; what names it is there, the rest if it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAttrs {
    pub ipv6: bool,
    pub name: ServiceName,
    pub scheduler: Option<String>,
    /// Flags and which of them are meant.
    pub flags: Option<(u32, u32)>,
    pub timeout_s: Option<u32>,
    /// As it lies in memory: an IPv4 mask in network order, or an IPv6 prefix length in the host's.
    pub netmask: Option<[u8; 4]>,
    pub engine: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceName {
    /// Protocol by its number, which may be one that no service can have.
    Address {
        protocol: u16,
        address: IpAddr,
        port: u16,
    },
    Mark(u32),
}

/// A destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestAttrs {
    pub address: IpAddr,
    pub port: u16,
    pub method: Option<u32>,
    pub weight: Option<u32>,
    pub upper_threshold: Option<u32>,
    pub lower_threshold: Option<u32>,
    pub tunnel_type: Option<u8>,
    pub tunnel_port: Option<u16>,
    pub tunnel_flags: Option<u16>,
}

/// A synchronisation daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonAttrs {
    /// 1: master, 2: backup.
    pub state: Option<u32>,
    pub interface: Option<String>,
    pub sync_id: Option<u32>,
    pub max_bytes: Option<u16>,
    pub group: Option<IpAddr>,
    pub port: Option<u16>,
    pub ttl: Option<u8>,
}

/// In seconds; what is absent or 0 stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub tcp_s: Option<u32>,
    pub tcp_fin_s: Option<u32>,
    pub udp_s: Option<u32>,
}

/// A request that is answered with an error at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// None: it has not even a header, and nobody can be told.
    pub header: Option<Header>,
    pub errno: i32,
}

impl Request {
    /// Takes a datagram apart. Of several messages in one only the first is looked at: clients send one at a time.
    pub fn parse(datagram: &[u8]) -> Result<Request, Refusal> {
        let header = Header::parse(datagram).ok_or(Refusal { header: None, errno: EINVAL })?;
        let refusal = |errno| Refusal { header: Some(header), errno };
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let body = datagram.get(NETLINK_HEADER..length).ok_or(refusal(EINVAL))?;
        let Some((&[number, _, _, _], attrs)) = body.split_first_chunk::<GENERIC_HEADER>() else {
            return Err(refusal(EINVAL));
        };
        let attrs = Attrs::parse(attrs).map_err(|Malformed| refusal(EINVAL))?;
        let command = match header.kind {
            ctrl::ID => family_command(number, &attrs),
            FAMILY_ID => command(number, header.is_dump(), &attrs),
            _ => Err(EOPNOTSUPP),
        };
        Ok(Request { header, command: command.map_err(refusal)? })
    }
}

impl From<Malformed> for i32 {
    fn from(_: Malformed) -> i32 {
        EINVAL
    }
}

fn family_command(number: u8, attrs: &Attrs) -> Result<Command, i32> {
    if number != ctrl::CMD_GETFAMILY {
        return Err(EOPNOTSUPP);
    }
    let by_name = attrs.text(ctrl::FAMILY_NAME)? == Some(FAMILY_NAME);
    let by_id = attrs.u16(ctrl::FAMILY_ID)? == Some(FAMILY_ID);
    if by_name || by_id { Ok(Command::GetFamily) } else { Err(crate::errno::ENOENT) }
}

fn command(number: u8, is_dump: bool, attrs: &Attrs) -> Result<Command, i32> {
    let service = || service_attrs(attrs)?.ok_or(EINVAL);
    Ok(match number {
        1 => Command::NewService(service()?),
        2 => Command::SetService(service()?),
        3 => Command::DelService(service()?),
        4 if is_dump => Command::ListServices,
        4 => Command::GetService(service()?),
        5 => with_dest(attrs, Command::NewDest)?,
        6 => with_dest(attrs, Command::SetDest)?,
        7 => with_dest(attrs, Command::DelDest)?,
        8 if is_dump => Command::ListDests(service()?),
        9 => Command::NewDaemon(daemon_attrs(attrs)?),
        10 => Command::DelDaemon(daemon_attrs(attrs)?),
        11 if is_dump => Command::ListDaemons,
        12 => Command::SetConfig(Timeouts {
            tcp_s: attrs.u32(cmd::TIMEOUT_TCP)?,
            tcp_fin_s: attrs.u32(cmd::TIMEOUT_TCP_FIN)?,
            udp_s: attrs.u32(cmd::TIMEOUT_UDP)?,
        }),
        13 => Command::GetConfig,
        15 => Command::GetInfo,
        16 => Command::Zero(service_attrs(attrs)?),
        17 => Command::Flush,
        _ => return Err(EOPNOTSUPP),
    })
}

fn with_dest(attrs: &Attrs, make: fn(ServiceAttrs, DestAttrs) -> Command) -> Result<Command, i32> {
    let service = service_attrs(attrs)?.ok_or(EINVAL)?;
    let dest = dest_attrs(attrs, service.ipv6)?;
    Ok(make(service, dest))
}

fn service_attrs(attrs: &Attrs) -> Result<Option<ServiceAttrs>, i32> {
    let Some(attrs) = attrs.nested(cmd::SERVICE)? else { return Ok(None) };
    let ipv6 = match attrs.u16(svc::AF)?.ok_or(EINVAL)? {
        AF_INET => false,
        AF_INET6 => true,
        _ => return Err(EAFNOSUPPORT),
    };
    let name = match attrs.u32(svc::FWMARK)? {
        Some(mark) if mark != 0 => ServiceName::Mark(mark),
        Some(_) => return Err(EINVAL),
        None => ServiceName::Address {
            protocol: attrs.u16(svc::PROTOCOL)?.ok_or(EINVAL)?,
            address: address(attrs.bytes(svc::ADDR), ipv6)?,
            port: attrs.be16(svc::PORT)?.ok_or(EINVAL)?,
        },
    };
    let word =
        |bits: [u8; 8], at: usize| u32::from_ne_bytes([bits[at], bits[at + 1], bits[at + 2], bits[at + 3]]);
    Ok(Some(ServiceAttrs {
        ipv6,
        name,
        scheduler: attrs.text(svc::SCHED_NAME)?.map(str::to_owned),
        flags: attrs.array::<8>(svc::FLAGS)?.map(|bits| (word(bits, 0), word(bits, 4))),
        timeout_s: attrs.u32(svc::TIMEOUT)?,
        netmask: attrs.array(svc::NETMASK)?,
        engine: attrs.text(svc::PE_NAME)?.filter(|name| !name.is_empty()).map(str::to_owned),
    }))
}

/// Clients that know nothing of families of their own for destinations mean the service's.
fn dest_attrs(attrs: &Attrs, service_is_ipv6: bool) -> Result<DestAttrs, i32> {
    let attrs = attrs.nested(cmd::DEST)?.ok_or(EINVAL)?;
    let ipv6 = match attrs.u16(dest::ADDR_FAMILY)? {
        None | Some(0) => service_is_ipv6,
        Some(AF_INET) => false,
        Some(AF_INET6) => true,
        Some(_) => return Err(EAFNOSUPPORT),
    };
    Ok(DestAttrs {
        address: address(attrs.bytes(dest::ADDR), ipv6)?,
        port: attrs.be16(dest::PORT)?.ok_or(EINVAL)?,
        method: attrs.u32(dest::FWD_METHOD)?,
        weight: attrs.u32(dest::WEIGHT)?,
        upper_threshold: attrs.u32(dest::U_THRESH)?,
        lower_threshold: attrs.u32(dest::L_THRESH)?,
        tunnel_type: attrs.u8(dest::TUN_TYPE)?,
        tunnel_port: attrs.be16(dest::TUN_PORT)?,
        tunnel_flags: attrs.u16(dest::TUN_FLAGS)?,
    })
}

fn daemon_attrs(attrs: &Attrs) -> Result<DaemonAttrs, i32> {
    let attrs = attrs.nested(cmd::DAEMON)?.ok_or(EINVAL)?;
    let v4 = attrs.array::<4>(daemon::MCAST_GROUP)?.map(|group| Ipv4Addr::from(group).into());
    let v6 = attrs.array::<16>(daemon::MCAST_GROUP6)?.map(|group| Ipv6Addr::from(group).into());
    Ok(DaemonAttrs {
        state: attrs.u32(daemon::STATE)?,
        interface: attrs.text(daemon::MCAST_IFN)?.map(str::to_owned),
        sync_id: attrs.u32(daemon::SYNC_ID)?,
        max_bytes: attrs.u16(daemon::SYNC_MAXLEN)?.filter(|bytes| *bytes != 0),
        group: v4.or(v6),
        port: attrs.u16(daemon::MCAST_PORT)?.filter(|port| *port != 0),
        ttl: attrs.u8(daemon::MCAST_TTL)?.filter(|ttl| *ttl != 0),
    })
}

/// Sixteen bytes, of which IPv4 fills four; four will do.
fn address(bytes: Option<&[u8]>, ipv6: bool) -> Result<IpAddr, i32> {
    let bytes = bytes.ok_or(EINVAL)?;
    if ipv6 {
        let octets: [u8; 16] = bytes.try_into().map_err(|_| EINVAL)?;
        return Ok(Ipv6Addr::from(octets).into());
    }
    let octets = bytes.first_chunk::<4>().filter(|_| bytes.len() <= 16).ok_or(EINVAL)?;
    Ok(Ipv4Addr::from(*octets).into())
}
