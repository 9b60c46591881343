//! The control plane from outside: who may talk to it, what it refuses, and that a refusal changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lab::address::{Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Result, Topology, Wiring, nginx};
use rustix::process::Signal;

use crate::config::{Config, Service};
use crate::{Context, Director};

/// Three errors, on lines 3, 6 and 10.
const BAD: &str = "\
[workers]
count = 1
idle = \"snooze\"
[[port]]
name = \"wan\"
devise = \"net_null0\"
device = \"net_null0\"
[[address]]
interface = \"wan\"
cidr = \"192.0.2.300/24\"
";
const BAD_LINES: [u32; 3] = [3, 6, 10];

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology = context.step("build", || Topology::build(Plan { servers: 2, ..Plan::default() }))?;
    let bad = topology.lab.dir().join("bad.toml");
    std::fs::write(&bad, BAD)?;
    let bad = bad.to_string_lossy().into_owned();
    context.step("rvsd --check names every error at once", || {
        let output = Command::new(&context.binaries.rvsd).args(["--config", &bad, "--check"]).output()?;
        if output.status.success() {
            return Err(Error::new("a bad file passed"));
        }
        let said = [output.stdout, output.stderr].concat();
        all_lines_named(&String::from_utf8_lossy(&said), "bad.toml")
    })?;
    context.step("the examples pass the check", || {
        let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
        for name in ["rvsd.toml", "minimal.toml"] {
            let mut command = Command::new(&context.binaries.rvsd);
            lab::process::output(command.arg("--config").arg(conf.join(name)).arg("--check"))
                .context(name)?;
        }
        Ok(())
    })?;
    let config = Config::new(Wiring::TwoArm, 2, 1).with(Service::new(
        "tcp",
        Method::Fullnat,
        Family::V4,
        nginx::PORTS[0],
        2,
    ));
    context.with_director(&topology, &config, |director| {
        context.step("only the owner may", || only_the_owner(director))?;
        context.step("a bad file is refused whole", || refused_whole(director, &bad))?;
        context.step("a bad reload changes nothing", || bad_reload(director, &config))?;
        context.step("every noun and verb", || verbs(director))
    })
}

fn all_lines_named(said: &str, file: &str) -> Result<()> {
    match BAD_LINES.iter().find(|line| !said.contains(&format!("{file}:{line}"))) {
        None => Ok(()),
        Some(line) => Err(Error::new(format!("{file}:{line} is not named in:\n{said}"))),
    }
}

fn only_the_owner(director: &Director) -> Result<()> {
    let mode = std::fs::metadata(director.socket())?.permissions().mode() & 0o777;
    if mode != 0o600 {
        return Err(Error::new(format!("the socket's mode is {mode:o}")));
    }
    // Even where the mode were wider, the peer's credentials decide.
    std::fs::set_permissions(director.socket(), std::fs::Permissions::from_mode(0o666))?;
    let ctl = director.ctl.command();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--clear-groups", "--"]).arg(ctl.get_program()).args(ctl.get_args());
    let output = command.args(["service", "list"]).output().context("setpriv")?;
    std::fs::set_permissions(director.socket(), std::fs::Permissions::from_mode(0o600))?;
    if output.status.success() { Err(Error::new("a stranger was answered")) } else { Ok(()) }
}

fn refused_whole(director: &Director, bad: &str) -> Result<()> {
    let before = director.ctl.run("config show")?;
    let (_, said) = director.ctl.refused(&format!("config apply {bad}"))?;
    all_lines_named(&said, "bad.toml")?;
    director.ctl.refused(&format!("config check {bad}"))?;
    unchanged(director, &before)
}

fn bad_reload(director: &mut Director, good: &Config) -> Result<()> {
    let before = director.ctl.run("config show")?;
    std::fs::write(director.config_path(), BAD)?;
    director.ctl.refused("config reload")?;
    director.process().signal(Signal::HUP)?;
    // A signal has no answer: its effect would be there before that of a request made after it.
    std::thread::sleep(std::time::Duration::from_millis(300));
    unchanged(director, &before)?;
    director.rewrite(good)?;
    director.ctl.run("config reload")?;
    unchanged(director, &before)
}

fn unchanged(director: &Director, before: &str) -> Result<()> {
    let after = director.ctl.run("config show")?;
    if after == before { Ok(()) } else { Err(Error::new(format!("the configuration changed to\n{after}"))) }
}

fn verbs(director: &Director) -> Result<()> {
    for words in [
        "service add udp 192.0.2.100:53 -s rr",
        "dest add udp 192.0.2.100:53 10.0.2.11:53 -m nat -w 2",
        "dest edit udp 192.0.2.100:53 10.0.2.11:53 -w 3",
        "dest list udp 192.0.2.100:53",
        "service edit udp 192.0.2.100:53 -s wlc",
        "service zero udp 192.0.2.100:53",
        "service show udp 192.0.2.100:53",
        "dest del udp 192.0.2.100:53 10.0.2.11:53",
        "service del udp 192.0.2.100:53",
        "service add tcp [2001:db8:1::100]:443 -s wrr",
        "service del tcp [2001:db8:1::100]:443",
        "service list",
        "service zero",
        "laddr add pool 10.0.2.210",
        "laddr del pool 10.0.2.210",
        "laddr list",
        "addr add wan 192.0.2.110/32",
        "addr del wan 192.0.2.110/32",
        "addr list",
        "route add 203.0.113.0/24 --via 192.0.2.10",
        "route del 203.0.113.0/24",
        "route list",
        "neigh add lan 10.0.2.77 02:00:00:00:02:77",
        "neigh del lan 10.0.2.77",
        "neigh list",
        "neigh flush",
        "conn list --limit 5",
        "conn count",
        "conn flush",
        "stats services",
        "stats workers",
        "stats ports",
        "stats drops",
        "stats total",
        "worker list",
        "port list",
        "config show",
        "completion bash",
    ] {
        director.ctl.run(words)?;
    }
    for words in [
        "service add tcp 192.0.2.100:80 -s rr",
        "service del tcp 192.0.2.100:81",
        "service add tcp 192.0.2.100:82 -s best",
        "dest del tcp 192.0.2.100:80 10.0.2.99:80",
        "addr add nowhere 192.0.2.9/32",
    ] {
        director.ctl.refused(words)?;
    }
    Ok(())
}
