//! `decap DEVICE`: ends tunnels at a real server: IP-in-IP, GRE, and GUE on UDP port 6080.
//!
//! Receives IPv4 and IPv6 packets that carry IPv4 or IPv6 for any address of this host, strips what is around the packet
//! inside, and hands that to the kernel through the TUN device DEVICE. For tests and demonstrations on kernels without
//! `ipip`, `ip6_tunnel`, `gre` and `fou`; the kernel's own are the better choice where they exist.
//!
//! GUE with a checksum comes by ordinary UDP sockets, whose kernel verifies it. Without one UDP over IPv6 is not to be
//! accepted (RFC 8200, 8.1), except by tunnels (RFC 6935), which is what the raw socket beside them is for.
//!
//! Bounded: one buffer per socket, one packet at a time; what cannot be delivered is dropped, as a wire would.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use decap::inner::{Outer, Shim, gue_payload, inner};
use decap::tun;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, ipproto, recv, socket_with, sockopt,
};

/// The largest IP packet, and the largest inner packet that fits in one.
const PACKET_MAX: usize = 65_535;

/// What may wait at each socket, in bytes of kernel memory. When it is full, recent kernels do not drop silently:
/// they tell the sender that nobody speaks the protocol.
const SOCKET_BUFFER: usize = 8 << 20;

/// How many packets one socket may have served before the next gets its turn.
const BURST: usize = 64;

/// UDP port of GUE (IANA).
const GUE_PORT: u16 = 6080;

struct Source {
    socket: OwnedFd,
    yields: Yields,
}

/// What a socket yields.
#[derive(Clone, Copy)]
enum Yields {
    /// Packets of a protocol.
    Raw(Outer, Shim),
    /// Datagrams to the port of GUE, whose checksum is right.
    Gue,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(device), None) = (args.next(), args.next()) else {
        eprintln!("usage: decap DEVICE");
        return ExitCode::from(2);
    };
    match run(&device) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("decap {device}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(device: &str) -> std::io::Result<std::convert::Infallible> {
    let device = tun::open(device, tun::Kind::Tun, false)?;
    let sources = [
        raw(Outer::V4, ipproto::IPIP, Shim::None(4))?,
        raw(Outer::V4, ipproto::IPV6, Shim::None(6))?,
        raw(Outer::V4, ipproto::GRE, Shim::Gre)?,
        raw(Outer::V6, ipproto::IPIP, Shim::None(4))?,
        raw(Outer::V6, ipproto::IPV6, Shim::None(6))?,
        raw(Outer::V6, ipproto::GRE, Shim::Gre)?,
        raw(Outer::V6, ipproto::UDP, Shim::BareGue(GUE_PORT))?,
        gue(SocketAddr::from((Ipv4Addr::UNSPECIFIED, GUE_PORT)))?,
        gue(SocketAddr::from((Ipv6Addr::UNSPECIFIED, GUE_PORT)))?,
    ];
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        let mut ready: Vec<PollFd> = sources.iter().map(|s| PollFd::new(&s.socket, PollFlags::IN)).collect();
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (source, ready) in sources.iter().zip(&ready) {
            if !ready.revents().is_empty() {
                serve(source, &device, &mut buffer)?;
            }
        }
    }
}

fn raw(outer: Outer, protocol: rustix::net::Protocol, shim: Shim) -> std::io::Result<Source> {
    let family = if outer == Outer::V4 { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = open(family, SocketType::RAW, protocol)?;
    Ok(Source { socket, yields: Yields::Raw(outer, shim) })
}

fn gue(at: SocketAddr) -> std::io::Result<Source> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = open(family, SocketType::DGRAM, ipproto::UDP)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &at)?;
    Ok(Source { socket, yields: Yields::Gue })
}

fn open(
    family: AddressFamily,
    kind: SocketType,
    protocol: rustix::net::Protocol,
) -> std::io::Result<OwnedFd> {
    let socket = socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, Some(protocol))?;
    sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)?;
    Ok(socket)
}

/// Passes on what waits at one socket. Errors of a packet (the TUN device refuses it) are the packet's, not ours.
fn serve(source: &Source, mut device: &File, buffer: &mut [u8]) -> std::io::Result<()> {
    for _ in 0..BURST {
        match recv(&source.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, len)) => {
                let packet = match source.yields {
                    Yields::Raw(outer, shim) => inner(outer, shim, &buffer[..len]),
                    Yields::Gue => gue_payload(&buffer[..len]),
                };
                if let Some(packet) = packet {
                    let _ = device.write(packet);
                }
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
