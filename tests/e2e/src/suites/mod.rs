//! The suites, one concept a file.

mod conformance;
mod conns10k;
mod control;
mod dns;
mod exception;
mod flush;
mod forward;
mod fragments;
mod ftp;
mod fwmark;
mod hostaddr;
mod hugepages;
mod idle;
mod iperf;
mod lab_itself;
mod localnode;
mod longlived;
mod malformed;
mod methods;
mod onearm;
mod persist;
mod ping;
mod pmtu;
mod sctp;
mod shared;
mod stop;
mod sync;
mod sync_kernel;
mod tap;
mod tftp;
mod tunnels;
mod udp;
mod vlan;
mod workers;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use lab::address::{self, Family};
use lab::error::Context;
use lab::{Result, Topology};

use crate::Suite;

/// Every suite, in the order in which they run.
pub(crate) const ALL: &[Suite] = &[
    Suite { name: "lab", what: "the laboratory itself, with the kernel as a router", run: lab_itself::run },
    Suite {
        name: "methods",
        what: "every method, both families, TCP and UDP, 1 and 2 workers",
        run: methods::run,
    },
    Suite { name: "onearm", what: "every method through a single port", run: onearm::run },
    Suite { name: "vlan", what: "every method between two VLANs on one port", run: vlan::run },
    Suite {
        name: "workers",
        what: "1, 2 and 4 workers, one queue and many: one connection a flow",
        run: workers::run,
    },
    Suite { name: "tap", what: "ports over TAPs of 2 and 4 queues, 2 to 5 workers", run: tap::run },
    Suite {
        name: "ping",
        what: "VIPs answer; a changed MAC and a forgotten neighbour go unnoticed",
        run: ping::run,
    },
    Suite {
        name: "forward",
        what: "what no service claims is routed, TTL and unknown hosts included",
        run: forward::run,
    },
    Suite {
        name: "exception",
        what: "the host's own daemons on a DPDK port, both ways",
        run: exception::run,
    },
    Suite { name: "hostaddr", what: "addresses that the host moves to and from a port", run: hostaddr::run },
    Suite { name: "longlived", what: "a connection outlives every change around it", run: longlived::run },
    Suite {
        name: "flush",
        what: "the connections of one service, or all, are dropped while others run on",
        run: flush::run,
    },
    Suite {
        name: "udp",
        what: "datagrams up to the MTU and beyond by every method; what af_packet spoils is not leaked",
        run: udp::run,
    },
    Suite {
        name: "fragments",
        what: "datagrams beyond the MTU by every method, over TAPs, 1, 2 and 4 workers",
        run: fragments::run,
    },
    Suite { name: "pmtu", what: "a path too narrow is reported, and the transfer completes", run: pmtu::run },
    Suite { name: "iperf", what: "iperf3, TCP both ways and UDP", run: iperf::run },
    Suite { name: "conns10k", what: "10,000 connections in the table", run: conns10k::run },
    Suite {
        name: "malformed",
        what: "truncated and bit-flipped frames into a serving rvsd",
        run: malformed::run,
    },
    Suite { name: "control", what: "socket, checks, all or nothing, reload", run: control::run },
    Suite {
        name: "idle",
        what: "hardly any CPU when idle; the first packet soon after the start",
        run: idle::run,
    },
    Suite { name: "hugepages", what: "with huge pages and, automatically, without", run: hugepages::run },
    Suite { name: "tunnels", what: "GRE and GUE, over both families and across them", run: tunnels::run },
    Suite { name: "sctp", what: "SCTP by a stack in user space", run: sctp::run },
    Suite {
        name: "dns",
        what: "a name server: one-packet scheduling and connections, dig and dnsperf",
        run: dns::run,
    },
    Suite {
        name: "persist",
        what: "clients, alone or by network, stay with their server",
        run: persist::run,
    },
    Suite {
        name: "fwmark",
        what: "rules mark packets, a service takes them, whatever their port",
        run: fwmark::run,
    },
    Suite { name: "ftp", what: "file transfer with curl and lftp, active and passive", run: ftp::run },
    Suite { name: "tftp", what: "trivial file transfer, both ways", run: tftp::run },
    Suite { name: "localnode", what: "the director as one of the real servers", run: localnode::run },
    Suite {
        name: "conformance",
        what: "recordings of Linux IPVS through a whole rvsd, frame by frame",
        run: conformance::run,
    },
    Suite { name: "shared", what: "rvsd linked to DPDK's shared libraries", run: shared::run },
    Suite {
        name: "sync",
        what: "two directors: when one dies the other goes on with its connections",
        run: sync::run,
    },
    Suite {
        name: "sync-kernel",
        what: "Linux and rvs go on with each other's connections",
        run: sync_kernel::run,
    },
    Suite { name: "stop", what: "SIGTERM leaves nothing behind", run: stop::run },
];

/// Tries again until it succeeds: for programs that take a moment to start.
fn until(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(8);
    loop {
        match attempt() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// For servers that give up their rights.
fn open_to_all(folder: &Path) -> Result<()> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).context(folder.display())
}

/// Leaves clients no way to real servers but their VIPs: where a server's own address leaks, nothing comes of it.
fn hide_servers(topology: &Topology) -> Result<()> {
    let network = |family| address::network(address::lan(family, 0));
    topology.client.ip(Family::ALL.map(|family| format!("route del {}", network(family))))
}
