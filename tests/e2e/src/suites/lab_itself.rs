//! The laboratory without rvs: if this fails, what other suites say is not about rvs.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::topology::{LAN, WAN};
use lab::{Error, Plan, Result, Topology, nginx};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};
use wire::ether;
use wire::testing::Frame;

use crate::{Context, exchange, load};

/// Where the client waits for what came through a tunnel.
const CLIENT_PORT: u16 = 4007;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { kernel_director: true, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    topology.director.sysctl(&[("ipv4.ip_forward", "1"), ("ipv6.conf.all.forwarding", "1")])?;
    let (mut lines, mut client) = (Vec::new(), Vec::<String>::new());
    for family in Family::ALL {
        let (len, nodad) = (family.prefix_len(), if family == Family::V6 { " nodad" } else { "" });
        lines.push(format!("addr add {}/{len} dev {WAN}{nodad}", address::director_wan(family)));
        lines.push(format!("addr add {}/{len} dev {LAN}{nodad}", address::director_lan(family)));
        // A routed VIP: the first server receives, unwraps nothing, and answers through the router.
        let vip = address::vip(Method::Dr, family);
        lines.push(format!("route add {vip} via {}", address::server(family, 1)));
        client.push(format!("route add {vip} via {}", address::director_wan(family)));
    }
    topology.director.ip(lines)?;
    topology.client.ip(client)?;
    for family in Family::ALL {
        context.step(format_args!("curl and echo, {}", family.name()), || {
            let target = (address::server(family, 2), nginx::PORTS[0]);
            let samples = load::curl(
                &topology.client,
                &load::Load { target, requests: 50, parallel: 8, source: None },
            )?;
            load::summarise(&samples).check(1)?;
            let echo = SocketAddr::new(address::server(family, 3), lab::echo::ECHO_PORT);
            let sink = SocketAddr::new(address::server(family, 3), lab::echo::SINK_PORT);
            topology.client.enter(move || {
                exchange::Conversation::open(Some(address::client(family, 3)), echo)?.round(&[1; 1000])?;
                exchange::udp(None, echo, b"hello")?;
                exchange::upload(sink, 1 << 20).map(drop)
            })?
        })?;
        context.step(format_args!("a direct reply from a VIP on lo, {}", family.name()), || {
            let vip = SocketAddr::new(address::vip(Method::Dr, family), lab::echo::ECHO_PORT);
            topology.client.enter(move || {
                exchange::Conversation::open(None, vip)?.round(b"hello")?;
                exchange::udp(None, vip, b"hello").map(drop)
            })?
        })?;
    }
    for outer in Family::ALL {
        for inner in Family::ALL {
            let name = format!("{} in {} is unwrapped", inner.name(), outer.name());
            context.step(name, || tunnelled(&topology, outer, inner))?;
        }
    }
    Ok(())
}

/// The director wraps a datagram of the client for the first server, by hand; the answer reaches the client.
fn tunnelled(topology: &Topology, outer: Family, inner: Family) -> Result<()> {
    let (client, vip) = (address::client(inner, 1), address::vip(Method::Tunnel, inner));
    let waiting = topology.client.enter(move || UdpSocket::bind((client, CLIENT_PORT)))??;
    waiting.set_read_timeout(Some(Duration::from_secs(2)))?;
    let frame = Frame::new(client, vip).udp(CLIENT_PORT, lab::echo::ECHO_PORT).payload(b"wrapped").build();
    let server = SocketAddr::new(address::server(outer, 1), 0);
    topology.director.enter(move || -> Result<()> {
        let family = if outer == Family::V4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let protocol = if inner == Family::V4 { ipproto::IPIP } else { ipproto::IPV6 };
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
        sendto(&socket, &frame[ether::HEADER_LEN..], SendFlags::empty(), &server)?;
        Ok(())
    })??;
    let mut answer = [0; 64];
    let (n, from) = waiting.recv_from(&mut answer).context("the server's answer")?;
    if (from.ip(), &answer[..n]) == (vip, &b"rs1 wrapped"[..]) {
        Ok(())
    } else {
        Err(Error::new(format!("{from} answered {:?}", String::from_utf8_lossy(&answer[..n]))))
    }
}
