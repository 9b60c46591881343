//! A TCP connection that goes on through every change around it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::address::{self, Family, Method};
use lab::{Error, Namespace, Plan, Result, Topology, Wiring, echo, nginx};
use rustix::process::Signal;

use crate::config::{Config, Service, endpoint};
use crate::{Context, Director, exchange};

const SERVERS: u8 = 3;
/// How long a destination stays away: long enough for the client to send again (200 ms, then twice that).
const AWAY: Duration = Duration::from_millis(400);

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    let bad = topology.lab.dir().join("bad.toml");
    std::fs::write(&bad, "[workers]\ncount = \"many\"\n")?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for method in Method::ALL {
            for family in Family::ALL {
                config = config.with(Service::new("tcp", method, family, echo::ECHO_PORT, SERVERS));
            }
        }
        context.with_director(&topology, &config, |director| {
            for method in Method::ALL {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    let case = Case { config: &config, bad: &bad, method, family };
                    context.step(name, || case.outlive(&topology, director))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// A connection through one service.
struct Case<'a> {
    config: &'a Config,
    bad: &'a Path,
    method: Method,
    family: Family,
}

impl Case<'_> {
    fn outlive(&self, topology: &Topology, director: &mut Director) -> Result<()> {
        let target = SocketAddr::new(address::vip(self.method, self.family), echo::ECHO_PORT);
        let connection = Connection::open(topology, target);
        let server = connection.round("at first")?;
        let own: u8 =
            server.trim_start_matches("rs").parse().map_err(|_| Error::new(format!("server `{server}`")))?;
        let sibling = if own == 1 { 2 } else { 1 };
        let service = format!("tcp {target}");

        director.ctl.run(&format!("dest del {service} {}", self.destination(sibling)))?;
        connection.round("after a sibling was removed")?;
        self.without_destination(director, &connection, &service, own)?;
        director.ctl.refused(&format!("config apply {}", self.bad.display()))?;
        connection.round("after a broken configuration was refused")?;
        director.ctl.run(&format!("dest edit {service} {} -w 0", self.destination(own)))?;
        connection.round("after its destination was drained")?;
        director.ctl.run(&format!("service edit {service} -s wlc"))?;
        connection.round("after another scheduler")?;
        for (when, port) in [("after SIGHUP", nginx::PORTS[0]), ("after a reload", nginx::PORTS[1])] {
            let new = Service::new("tcp", self.method, self.family, port, SERVERS);
            let endpoint = new.endpoint();
            director.rewrite(&self.config.clone().with(new))?;
            if when == "after SIGHUP" {
                director.process().signal(Signal::HUP)?;
            } else {
                director.ctl.run("config reload")?;
            }
            wait_for_service(director, &endpoint)?;
            connection.round(when)?;
        }
        connection.close()
    }

    fn destination(&self, n: u8) -> String {
        endpoint(address::server(self.family, n), echo::ECHO_PORT)
    }

    /// As Linux does it: while its destination is removed, what the client sends is dropped and the connection stays;
    /// when the destination comes back, it goes on.
    fn without_destination(
        &self,
        director: &Director,
        connection: &Connection,
        service: &str,
        own: u8,
    ) -> Result<()> {
        let before = director.ctl.dropped("destination_gone")?;
        director.ctl.run(&format!("dest del {service} {}", self.destination(own)))?;
        connection.ask("after its destination had been away")?;
        connection.no_answer_for(AWAY)?;
        let dropped = director.ctl.dropped("destination_gone")? - before;
        if dropped == 0 {
            return Err(Error::new("no packet was dropped because the destination is gone"));
        }
        let method = self.method.name();
        director.ctl.run(&format!("dest add {service} {} -m {method}", self.destination(own)))?;
        connection.answer().map(drop)
    }
}

/// A connection in a thread of the client: ten rounds for each question.
pub(super) struct Connection {
    ask: mpsc::Sender<&'static str>,
    answers: mpsc::Receiver<Result<String>>,
    thread: JoinHandle<Result<()>>,
}

impl Connection {
    pub(super) fn open(topology: &Topology, target: SocketAddr) -> Self {
        Self::open_in(&topology.client, None, target)
    }

    /// From a client's namespace, and from one of its addresses if that matters.
    pub(super) fn open_in(client: &Namespace, source: Option<IpAddr>, target: SocketAddr) -> Self {
        let (ask, asked) = mpsc::channel::<&'static str>();
        let (answer, answers) = mpsc::channel::<Result<String>>();
        let thread = client.thread(move || {
            let mut conversation = match exchange::Conversation::open(source, target) {
                Ok(conversation) => conversation,
                Err(error) => return drop(answer.send(Err(error))),
            };
            for when in asked {
                let server = conversation.server.clone();
                let round = (0..10).try_for_each(|_| conversation.round(&[7; 2000]));
                if answer.send(round.map(|()| server).map_err(|error| error.context(when))).is_err() {
                    return;
                }
            }
        });
        Self { ask, answers, thread }
    }

    fn ask(&self, when: &'static str) -> Result<()> {
        self.ask.send(when).map_err(|_| Error::new("the connection has ended"))
    }

    /// The name of the server that answered.
    fn answer(&self) -> Result<String> {
        self.answers.recv().map_err(|_| Error::new("the connection has ended"))?
    }

    pub(super) fn round(&self, when: &'static str) -> Result<String> {
        self.ask(when)?;
        self.answer()
    }

    fn no_answer_for(&self, time: Duration) -> Result<()> {
        match self.answers.recv_timeout(time) {
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::new("the connection has ended")),
            Ok(Ok(server)) => Err(Error::new(format!("{server} answered, which was removed"))),
            Ok(Err(error)) => Err(error),
        }
    }

    pub(super) fn close(self) -> Result<()> {
        drop(self.ask);
        self.thread.join().map_err(|_| Error::new("the connection's thread panicked"))?
    }
}

fn wait_for_service(director: &Director, wanted: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let is_it = |service: &api::ServiceView| service.spec.key.rest() == wanted;
    while !director.ctl.services()?.iter().any(is_it) {
        if Instant::now() > deadline {
            return Err(Error::new(format!("the service {wanted} does not appear")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
