//! Datagrams of every size up to the MTU, by every method, and larger ones of IPv6, which come in fragments. Fragments of
//! IPv4 do not reach rvs through an af_packet port: the director's kernel gathers them before, into frames that are too
//! large for a buffer. They are dropped and counted, and none reaches the client with the server's own address. (The suite
//! `fragments` has those of IPv4.)

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Result, Topology, Wiring, echo};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use wire::ether;

use crate::config::{Config, Service};
use crate::{Context, Director, exchange};

const SERVERS: u8 = 2;
const MTU: usize = 1500;
/// The echo goes back with the server's name and a space before it.
const NAME: usize = "rs1 ".len();
/// How long to wait for an answer that must not come.
const SHORT: Duration = Duration::from_millis(300);
/// `ETH_P_ALL`: frames of every protocol.
const EVERYTHING: u16 = 3;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan {
        nginx: false,
        servers: SERVERS,
        decap: Some(context.binaries.decap.clone()),
        ..Plan::default()
    };
    let topology = context.step("build", || Topology::build(plan))?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for method in Method::ALL {
            for family in Family::ALL {
                config = config.with(Service::new("udp", method, family, echo::ECHO_PORT, SERVERS));
            }
        }
        context.with_director(&topology, &config, |director| {
            for method in Method::ALL {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    context
                        .step(format_args!("up to the MTU, {name}"), || fits(&topology, method, family))?;
                    context.step(format_args!("beyond the MTU, {name}"), || {
                        too_long(&topology, director, method, family)
                    })?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The payload of a datagram that fills the MTU.
fn full(family: Family) -> usize {
    let headers = match family {
        Family::V4 => 20 + 8,
        Family::V6 => 40 + 8,
    };
    MTU - headers
}

fn fits(topology: &Topology, method: Method, family: Family) -> Result<()> {
    let wrapped = match (method, family) {
        (Method::Tunnel, Family::V4) => 20,
        (Method::Tunnel, Family::V6) => 40,
        _ => 0,
    };
    // Where replies pass by, only requests have to fit; elsewhere the longer reply has to, too.
    let largest = full(family) - wrapped - if method.replies_directly() { 0 } else { NAME };
    let target = SocketAddr::new(address::vip(method, family), echo::ECHO_PORT);
    topology.client.enter(move || {
        for len in [0, 1, 7, 512, 1280, largest - 1, largest] {
            let payload: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            exchange::udp(None, target, &payload).context(format_args!("{len} bytes"))?;
        }
        Ok(())
    })?
}

fn too_long(topology: &Topology, director: &Director, method: Method, family: Family) -> Result<()> {
    let ears = topology.client.enter(Ears::open)??;
    // The client's kernel makes three fragments of this.
    match family {
        // DPDK's af_packet driver has the director's kernel gather them (PACKET_FANOUT_FLAG_DEFRAG).
        Family::V4 => {
            let before = director.ctl.dropped("bad_total_len")?;
            if let Ok(server) = ask(topology, method, family, 2 * MTU)? {
                return Err(Error::new(format!("{server} answered a request in fragments")));
            }
            counted(director, "bad_total_len", before, 1)?;
        }
        Family::V6 => {
            if method == Method::Tunnel {
                // The client hears of the tunnel's MTU by this one.
                drop(ask(topology, method, family, 2 * MTU)?);
            }
            ask(topology, method, family, 2 * MTU)?.context("a request in fragments")?;
        }
    }
    if method.replies_directly() {
        return Ok(());
    }
    // A request that just fits; the reply is longer by the server's name and comes in two fragments. Those of IPv4
    // arrive in one frame, which rvs itself then has to divide.
    ask(topology, method, family, full(family))?.context("a reply in fragments")?;
    ears.heard_nothing_from(|source| (1..=SERVERS).any(|n| source == address::server(family, n)))
}

fn counted(director: &Director, reason: &str, before: u64, least: u64) -> Result<()> {
    let dropped = director.ctl.dropped(reason)? - before;
    if dropped >= least {
        Ok(())
    } else {
        Err(Error::new(format!("{dropped} packets were dropped as {reason}, {least} expected")))
    }
}

/// What comes of a request of `len` bytes in a short time.
fn ask(topology: &Topology, method: Method, family: Family, len: usize) -> Result<Result<String>> {
    let target = SocketAddr::new(address::vip(method, family), echo::ECHO_PORT);
    let any: IpAddr = if family == Family::V4 { [0; 4].into() } else { [0; 16].into() };
    let source = SocketAddr::new(any, 0);
    topology.client.enter(move || exchange::udp_from(source, target, &vec![5; len], SHORT))
}

/// Everything that arrives at the client.
struct Ears {
    socket: OwnedFd,
}

impl Ears {
    /// Call it in a thread of the namespace that is to be listened to.
    fn open() -> Result<Self> {
        let everything = NonZeroU32::new(u32::from(EVERYTHING.to_be())).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(Self { socket: socket_with(AddressFamily::PACKET, SocketType::RAW, flags, everything)? })
    }

    /// An error if a packet came from a source that `private` knows, or if nothing at all was heard.
    fn heard_nothing_from(&self, private: impl Fn(IpAddr) -> bool) -> Result<()> {
        let mut frame = [0; 2048];
        let mut heard = 0;
        while let Ok((len, _)) = recv(&self.socket, &mut frame, RecvFlags::empty()) {
            heard += 1;
            if let Some(source) = source(&frame[..len.min(frame.len())])
                && private(source)
            {
                return Err(Error::new(format!("the client got a packet from {source}")));
            }
        }
        if heard > 0 { Ok(()) } else { Err(Error::new("the listener heard not even the client itself")) }
    }
}

/// The source address of a frame that carries IP.
fn source(frame: &[u8]) -> Option<IpAddr> {
    let (header, packet) = frame.split_at_checked(ether::HEADER_LEN)?;
    match (header[12], header[13]) {
        (0x08, 0x00) => Some(<[u8; 4]>::try_from(packet.get(12..16)?).ok()?.into()),
        (0x86, 0xdd) => Some(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?.into()),
        _ => None,
    }
}
