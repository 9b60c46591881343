//! Packets that no service claims go where a route says, as through any router.

use std::net::SocketAddr;

use lab::address::{self, Family};
use lab::{Error, Namespace, Plan, Result, Topology, Wiring, echo};

use super::ping::ping;
use crate::config::Config;
use crate::{Context, exchange};

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology =
        context.step("build", || Topology::build(Plan { nginx: false, servers: 1, ..Plan::default() }))?;
    context.with_director(&topology, &Config::new(Wiring::TwoArm, 2, 1), |director| {
        for family in Family::ALL {
            context.step(format_args!("through the director, {}", family.name()), || {
                let server = address::server(family, 1);
                ping(&topology.client, &[&server.to_string()])?;
                let target = SocketAddr::new(server, echo::ECHO_PORT);
                topology.client.enter(move || {
                    exchange::Conversation::open(None, target)?.round(&[1; 5000])?;
                    exchange::udp(None, target, &[2; 1000]).map(drop)
                })?
            })?;
            let director_address = address::director_wan(family).to_string();
            context.step(format_args!("TTL runs out, {}", family.name()), || {
                let said =
                    unanswered(&topology.client, &["-t", "1", &address::server(family, 1).to_string()])?;
                expect(&said, &["exceeded", &director_address])
            })?;
            context.step(format_args!("nobody there, {}", family.name()), || {
                let nobody = address::lan(family, 99).to_string();
                expect(&unanswered(&topology.client, &[&nobody])?, &["nreachable", &director_address])
            })?;
        }
        let connections = director.ctl.connections()?;
        if connections == 0 {
            Ok(())
        } else {
            Err(Error::new(format!("{connections} connections without a service")))
        }
    })
}

/// What ping says when no answer comes back.
fn unanswered(from: &Namespace, words: &[&str]) -> Result<String> {
    let output = from.command("ping").args(["-n", "-c", "3", "-i", "0.2", "-W", "4"]).args(words).output()?;
    if output.status.success() {
        return Err(Error::new("the ping was answered"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn expect(said: &str, words: &[&str]) -> Result<()> {
    match words.iter().find(|word| !said.contains(**word)) {
        None => Ok(()),
        Some(word) => Err(Error::new(format!("no `{word}` in: {said}"))),
    }
}
