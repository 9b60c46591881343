//! `decap DEVICE`: ends IP-in-IP tunnels at a real server.
//!
//! Receives IPv4 and IPv6 packets that carry IPv4 (protocol 4) or IPv6 (protocol 41) for any address of this host,
//! strips the outer header, and hands the inner packet to the kernel through the TUN device DEVICE. For tests and
//! demonstrations on kernels without `ipip` and `ip6_tunnel` devices; the kernel's own are the better choice
//! where they exist.
//!
//! Bounded: one buffer per socket, one packet at a time; what cannot be delivered is dropped, as a wire would.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use decap::inner::{Outer, inner};
use decap::tun;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, ipproto, recv, socket_with, sockopt};

/// The largest IP packet, and the largest inner packet that fits in one.
const PACKET_MAX: usize = 65_535;

/// What may wait at each socket, in bytes of kernel memory. When it is full, recent kernels do not drop silently:
/// they tell the sender that nobody speaks the protocol.
const SOCKET_BUFFER: usize = 8 << 20;

/// How many packets one socket may have served before the next gets its turn.
const BURST: usize = 64;

struct Source {
    socket: OwnedFd,
    outer: Outer,
    inner_version: u8,
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
        source(AddressFamily::INET, Outer::V4, ipproto::IPIP, 4)?,
        source(AddressFamily::INET, Outer::V4, ipproto::IPV6, 6)?,
        source(AddressFamily::INET6, Outer::V6, ipproto::IPIP, 4)?,
        source(AddressFamily::INET6, Outer::V6, ipproto::IPV6, 6)?,
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

fn source(
    family: AddressFamily,
    outer: Outer,
    protocol: rustix::net::Protocol,
    inner_version: u8,
) -> std::io::Result<Source> {
    let socket =
        socket_with(family, SocketType::RAW, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, Some(protocol))?;
    sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)?;
    Ok(Source { socket, outer, inner_version })
}

/// Passes on what waits at one socket. Errors of a packet (the TUN device refuses it) are the packet's, not ours.
fn serve(source: &Source, mut device: &File, buffer: &mut [u8]) -> std::io::Result<()> {
    for _ in 0..BURST {
        match recv(&source.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((_, len)) => {
                if let Some(packet) = inner(source.outer, source.inner_version, &buffer[..len]) {
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
