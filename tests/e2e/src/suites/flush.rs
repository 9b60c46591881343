//! `rvsctl conn flush`, of one service and of all, while traffic of another service runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo};

use crate::config::{Config, Service};
use crate::exchange::{self, Conversation};
use crate::{Context, Director};

const SERVERS: u8 = 2;
/// The flushed service's connections.
const CONNECTIONS: u64 = 20;
/// How long a connection may take that should not get an answer.
const SHORT: Duration = Duration::from_millis(300);
/// Between two rounds of the connection that runs on.
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology = context
        .step("build", || Topology::build(Plan { nginx: false, servers: SERVERS, ..Plan::default() }))?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for method in [Method::Fullnat, Method::Nat] {
            for family in Family::ALL {
                for protocol in ["tcp", "udp"] {
                    config = config.with(Service::new(protocol, method, family, echo::ECHO_PORT, SERVERS));
                }
            }
        }
        context.with_director(&topology, &config, |director| {
            for (flushed, kept) in [(Method::Fullnat, Method::Nat), (Method::Nat, Method::Fullnat)] {
                for family in Family::ALL {
                    let name = format!(
                        "{} flushed, {} kept, {} with {workers} worker(s)",
                        flushed.name(),
                        kept.name(),
                        family.name()
                    );
                    let [flushed, kept] = [flushed, kept].map(|method| target(method, family));
                    context.step(name, || flush(&topology, director, flushed, kept))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn target(method: Method, family: Family) -> SocketAddr {
    SocketAddr::new(address::vip(method, family), echo::ECHO_PORT)
}

fn flush(topology: &Topology, director: &Director, flushed: SocketAddr, kept: SocketAddr) -> Result<()> {
    let (flushed_before, kept_before) = (opened(director, flushed)?, opened(director, kept)?);
    let running = Running::start(topology, kept)?;
    let mut conversations = topology.client.enter(move || -> Result<Vec<Conversation>> {
        exchange::udp(None, flushed, b"a flow of the other protocol on the same port")?;
        (0..CONNECTIONS).map(|_| Conversation::open(None, flushed)).collect()
    })??;
    expect("connections before", of_service(director, "tcp", flushed)?, CONNECTIONS)?;

    director.ctl.run(&format!("conn flush --service tcp {flushed}"))?;
    expect("connections of the flushed service", of_service(director, "tcp", flushed)?, 0)?;
    expect("flows of the other protocol", of_service(director, "udp", flushed)?, 1)?;
    expect("connections of the other service", of_service(director, "tcp", kept)?, 1)?;
    expect("open connections at its destinations", open_now(director, flushed)?, 0)?;
    expect("open connections at the other's destinations", open_now(director, kept)?, 1)?;
    let forgotten = &mut conversations[0];
    forgotten.set_patience(SHORT)?;
    if forgotten.round(b"forgotten").is_ok() {
        return Err(Error::new("a flushed connection was answered"));
    }
    running.goes_on()?;

    // A new connection is scheduled; counters of connections ever opened do not go back.
    topology.client.enter(move || Conversation::open(None, flushed)?.round(b"anew"))??;
    expect("connections ever", opened(director, flushed)? - flushed_before, CONNECTIONS + 1)?;
    expect("connections ever of the other", opened(director, kept)? - kept_before, 1)?;

    director.ctl.run("conn flush")?;
    expect("connections after all were flushed", director.ctl.connections()?, 0)?;
    if running.stop()?.is_ok() {
        return Err(Error::new("the other connection outlived the flush of all"));
    }
    topology.client.enter(move || Conversation::open(None, kept)?.round(b"anew"))??;
    director.ctl.run("conn flush").map(drop)
}

fn expect(what: &str, got: u64, want: u64) -> Result<()> {
    if got == want { Ok(()) } else { Err(Error::new(format!("{what}: {got}, not {want}"))) }
}

fn of_service(director: &Director, protocol: &str, service: SocketAddr) -> Result<u64> {
    let all = director.ctl.conn_list()?;
    Ok(all.iter().filter(|c| c.protocol.as_str() == protocol && c.service == service).count() as u64)
}

fn tcp_service(director: &Director, target: SocketAddr) -> Result<api::ServiceView> {
    let wanted = |service: &api::ServiceView| {
        service.spec.key.kind() == "tcp" && service.spec.key.address() == Some(target.ip())
    };
    director
        .ctl
        .services()?
        .into_iter()
        .find(wanted)
        .ok_or_else(|| Error::new(format!("no service {target}")))
}

/// Connections ever opened.
fn opened(director: &Director, target: SocketAddr) -> Result<u64> {
    Ok(tcp_service(director, target)?.traffic.connections)
}

/// Connections that destinations have now, in whatever state.
fn open_now(director: &Director, target: SocketAddr) -> Result<u64> {
    let destinations = tcp_service(director, target)?.destinations;
    Ok(destinations.iter().map(|dest| dest.active_connections + dest.inactive_connections).sum())
}

/// A connection that never rests.
struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Result<()>>>,
}

impl Running {
    fn start(topology: &Topology, target: SocketAddr) -> Result<Self> {
        let mut conversation = topology.client.enter(move || Conversation::open(None, target))??;
        conversation.set_patience(2 * SHORT)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = topology.client.thread(move || {
            loop {
                conversation.round(&[3; 1000])?;
                if stopped.load(Ordering::Relaxed) {
                    return Ok(());
                }
                std::thread::sleep(PAUSE);
            }
        });
        Ok(Self { stop, thread })
    }

    fn goes_on(&self) -> Result<()> {
        if self.thread.is_finished() { Err(Error::new("the other connection has ended")) } else { Ok(()) }
    }

    /// Ends it with one more round; returns how that went.
    fn stop(self) -> Result<Result<()>> {
        // The round that began before the flush may still end well: the next one cannot.
        std::thread::sleep(10 * PAUSE);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Error::new("the connection's thread panicked"))?
    }
}
