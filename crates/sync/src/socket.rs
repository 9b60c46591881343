//! Multicast sockets, as the kernel's daemons set theirs up [make_send_sock, make_receive_sock].

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};

use rustix::net::netdevice::name_to_index;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::config::{DaemonConfig, Tuning};

/// Why a socket is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    #[error("there is no network interface '{0}'")]
    NoInterface(String),
    #[error("{group} port {port} on {interface}: {error}")]
    Setup { interface: String, group: IpAddr, port: u16, error: io::Error },
}

/// The index of a kernel's interface.
pub(crate) fn index_of(interface: &str) -> Result<u32, SocketError> {
    let none = || SocketError::NoInterface(interface.to_owned());
    let any = Socket::new(Domain::IPV4, Type::DGRAM, None).map_err(|_| none())?;
    name_to_index(&any, interface).map_err(|_| none())
}

/// The largest IP packet of an interface, in bytes; that of ordinary Ethernet if the system does not tell.
pub(crate) fn mtu_of(interface: &str) -> u32 {
    let text = std::fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).unwrap_or_default();
    text.trim().parse().unwrap_or(1500)
}

/// A socket that sends to the group, one for each lane.
pub(crate) fn senders(config: &DaemonConfig, tuning: &Tuning) -> Result<Vec<UdpSocket>, SocketError> {
    lanes(config, tuning, |port| {
        let index = index_of(&config.interface).map_err(io::Error::other)?;
        let socket = open(config)?;
        match config.group {
            IpAddr::V4(_) => {
                socket.set_multicast_loop_v4(false)?;
                socket.set_multicast_ttl_v4(config.ttl.into())?;
            }
            IpAddr::V6(_) => {
                socket.set_multicast_loop_v6(false)?;
                socket.set_multicast_hops_v6(config.ttl.into())?;
                socket.set_multicast_if_v6(index)?;
            }
        }
        if tuning.socket_bytes > 0 {
            socket.set_send_buffer_size(tuning.socket_bytes as usize)?;
        }
        socket.connect(&endpoint(config.group, port, index).into())?;
        Ok(socket)
    })
}

/// A socket that hears what is sent to the group, and nothing that is sent to this host alone, one for each lane.
pub(crate) fn receivers(config: &DaemonConfig, tuning: &Tuning) -> Result<Vec<UdpSocket>, SocketError> {
    lanes(config, tuning, |port| {
        let index = index_of(&config.interface).map_err(io::Error::other)?;
        let socket = open(config)?;
        socket.set_reuse_address(true)?;
        if tuning.socket_bytes > 0 {
            socket.set_recv_buffer_size(tuning.socket_bytes as usize)?;
        }
        socket.bind(&endpoint(config.group, port, index).into())?;
        match config.group {
            IpAddr::V4(group) => {
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
            }
            IpAddr::V6(group) => socket.join_multicast_v6(&group, index)?,
        }
        Ok(socket)
    })
}

fn lanes(
    config: &DaemonConfig,
    tuning: &Tuning,
    make: impl Fn(u16) -> io::Result<Socket>,
) -> Result<Vec<UdpSocket>, SocketError> {
    index_of(&config.interface)?;
    let lane = |port| {
        let made = make(port).map(UdpSocket::from);
        made.map_err(|error| SocketError::Setup {
            interface: config.interface.clone(),
            group: config.group,
            port,
            error,
        })
    };
    (0..tuning.ports.max(1)).map(|number| lane(config.port.wrapping_add(number))).collect()
}

fn open(config: &DaemonConfig) -> io::Result<Socket> {
    let domain = if config.group.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(config.interface.as_bytes()))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn endpoint(group: IpAddr, port: u16, index: u32) -> SocketAddr {
    match group {
        IpAddr::V4(group) => SocketAddr::new(group.into(), port),
        IpAddr::V6(group) => SocketAddrV6::new(group, port, 0, index).into(),
    }
}
