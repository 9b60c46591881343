//! A TCP connection that goes on through every change around it.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo, nginx};
use rustix::process::Signal;

use crate::config::{Config, Service, endpoint};
use crate::{Context, Director, exchange};

const SERVERS: u8 = 3;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    for method in Method::ALL {
        for family in Family::ALL {
            let config = Config::new(Wiring::TwoArm, 2, 1).with(Service::new(
                "tcp",
                method,
                family,
                echo::ECHO_PORT,
                SERVERS,
            ));
            context.with_director(&topology, &config, |director| {
                let name = format!("{} {}", method.name(), family.name());
                context.step(name, || outlive(&topology, director, config.clone(), method, family))
            })?;
        }
    }
    Ok(())
}

/// The connection runs in a thread of its own, one round for each message; each answer says that it went well.
fn outlive(
    topology: &Topology,
    director: &mut Director,
    config: Config,
    method: Method,
    family: Family,
) -> Result<()> {
    let target = SocketAddr::new(address::vip(method, family), echo::ECHO_PORT);
    let (ask, asked) = mpsc::channel::<&'static str>();
    let (answer, answers) = mpsc::channel::<Result<String>>();
    let thread = topology.client.thread(move || {
        let mut conversation = match exchange::Conversation::open(None, target) {
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
    let round = |when: &'static str| -> Result<String> {
        ask.send(when).map_err(|_| Error::new("the connection has ended"))?;
        answers.recv().map_err(|_| Error::new("the connection has ended"))?
    };
    let server = round("at first")?;
    let others: Vec<u8> = (1..=SERVERS).filter(|n| format!("rs{n}") != server).collect();
    let destination = |n: u8| endpoint(address::server(family, n), echo::ECHO_PORT);
    let service = format!("tcp {target}");

    director.ctl.run(&format!("dest del {service} {}", destination(others[0])))?;
    round("after a sibling was removed")?;
    let own: u8 =
        server.trim_start_matches("rs").parse().map_err(|_| Error::new(format!("server `{server}`")))?;
    director.ctl.run(&format!("dest edit {service} {} -w 0", destination(own)))?;
    round("after its destination was drained")?;
    director.ctl.run(&format!("service edit {service} -s wlc"))?;
    round("after another scheduler")?;
    for when in ["after SIGHUP", "after a reload"] {
        let port = if when == "after SIGHUP" { nginx::PORTS[0] } else { nginx::PORTS[1] };
        let changed = config.clone().with(Service::new("tcp", method, family, port, SERVERS));
        director.rewrite(&changed)?;
        if when == "after SIGHUP" {
            director.process().signal(Signal::HUP)?;
        } else {
            director.ctl.run("config reload")?;
        }
        wait_for_service(director, port)?;
        round(when)?;
    }
    drop(ask);
    thread.join().map_err(|_| Error::new("the connection's thread panicked"))?
}

fn wait_for_service(director: &Director, port: u16) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !director.ctl.services()?.iter().any(|service| service.spec.port == port) {
        if Instant::now() > deadline {
            return Err(Error::new(format!("the service on port {port} does not appear")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
