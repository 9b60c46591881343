//! SIGTERM: a clean exit, also under traffic, with nothing left behind; and a second start finds nothing in its way.

use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, nginx};
use rustix::process::Signal;

use crate::config::{Config, Service};
use crate::load::{Load, curl, summarise};
use crate::{Context, Director};

const EXIT_MAX: Duration = Duration::from_secs(3);

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology = context.step("build", || Topology::build(Plan { servers: 1, ..Plan::default() }))?;
    let config = Config::new(Wiring::TwoArm, 2, 1).with(Service::new(
        "tcp",
        Method::Fullnat,
        Family::V4,
        nginx::PORTS[0],
        1,
    ));
    for turn in ["first", "second"] {
        let mut director = context
            .step(format_args!("{turn} start"), || Director::start(&topology, &context.binaries, &config))?;
        context.step("serve", || {
            let target = (address::vip(Method::Fullnat, Family::V4), nginx::PORTS[0]);
            let samples = curl(&topology.client, &Load { target, requests: 30, parallel: 4, source: None })?;
            summarise(&samples).check(1)?;
            director.check_conservation()
        })?;
        context.step("SIGTERM", || terminate(&topology, &mut director))?;
    }
    Ok(())
}

fn terminate(topology: &Topology, director: &mut Director) -> Result<()> {
    director.process().signal(Signal::TERM)?;
    let status = director.process().wait(EXIT_MAX)?;
    if status.code() != Some(0) {
        return Err(Error::new(format!("{status}; rvsd said:\n{}", director.log())));
    }
    if director.socket().exists() {
        return Err(Error::new("the control socket is still there"));
    }
    let links = topology.director.output(&["ip", "-o", "link"])?;
    if links.contains(".host") {
        Err(Error::new(format!("an exception TAP is still there:\n{links}")))
    } else {
        Ok(())
    }
}
