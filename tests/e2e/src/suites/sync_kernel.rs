//! A Linux box and rvs take over each other's live connections, each speaking its own sync daemon.
//!
//! The Linux box is a virtual machine that a program outside of this repository boots: `oracle.py`, named by the environment
//! variable `RVS_ORACLE` or found in `../shared/oracle` beside the repository. It has its three links as TAPs in a namespace.
//! Where there is none, rvs hears the messages that Linux was recorded to send, over a real socket, and is heard by one; the
//! suite says so.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use conformance::Step;
use lab::address::{Family, Method};
use lab::echo::{self, Echo};
use lab::topology::hands_off;
use lab::{Error, Lab, Namespace, Process, Result, Wiring, process};
use wire::Parsed;
use wire::sync::Message;

use super::longlived::Connection;
use crate::config::{Config, Service, af_packet};
use crate::{Context, Director};

/// How long the other side may take to hear of a connection.
const TOLD_LIMIT: Duration = Duration::from_secs(8);
/// How long the machine may take to boot, and to be built the first time.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// The group, and the port of the first lane.
const GROUP: (&str, u16) = ("224.0.0.81", 8848);
const SYNC_ID: u8 = 7;
/// What both directors have alike.
const WAN_MAC: &str = "02:00:00:00:00:01";
const LAN_MAC: &str = "02:00:00:00:00:02";

/// A service of one family and method: virtual address, client, server.
struct Case {
    name: &'static str,
    method: Method,
    vip: &'static str,
    client: &'static str,
    server: &'static str,
}

const CASES: [Case; 4] = [
    Case { name: "nat, IPv4", method: Method::Nat, vip: "192.0.2.100", client: CLIENT4, server: SERVER4 },
    Case { name: "nat, IPv6", method: Method::Nat, vip: "2001:db8:1::100", client: CLIENT6, server: SERVER6 },
    Case { name: "dr, IPv4", method: Method::Dr, vip: "192.0.2.101", client: CLIENT4, server: SERVER4 },
    Case { name: "dr, IPv6", method: Method::Dr, vip: "2001:db8:1::101", client: CLIENT6, server: SERVER6 },
];
const CLIENT4: &str = "198.51.100.1";
const CLIENT6: &str = "2001:db8:c::1";
const SERVER4: &str = "10.0.2.11";
const SERVER6: &str = "2001:db8:2::b";

impl Case {
    fn target(&self) -> SocketAddr {
        SocketAddr::new(addr(self.vip), echo::ECHO_PORT)
    }

    fn family(&self) -> Family {
        if addr(self.vip).is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address of this file")
}

pub(crate) fn run(context: &Context) -> Result<()> {
    match oracle() {
        Some(program) => with_linux(context, &program),
        None => {
            println!("    no Linux machine here (RVS_ORACLE): recorded messages instead");
            with_recordings(context)
        }
    }
}

/// The program that boots the Linux box.
fn oracle() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracle/oracle.py");
    let program = std::env::var_os("RVS_ORACLE").map_or_else(beside, PathBuf::from);
    program.is_file().then_some(program)
}

/// The network: a bridge for each of the three links, and who hangs on them.
struct Site {
    /// Held while the site stands.
    _echo: Option<Echo>,
    client: Namespace,
    director: Namespace,
    bridges: Namespace,
    lab: Lab,
}

impl Site {
    fn build() -> Result<Self> {
        let lab = Lab::new()?;
        let [client, server, director, bridges] =
            ["client", "server", "director", "bridges"].map(|role| lab.namespace(role));
        let (client, server, director, bridges) = (client?, server?, director?, bridges?);
        for namespace in [&client, &server, &director, &bridges] {
            namespace.sysctl(&[
                ("ipv4.conf.all.rp_filter", "0"),
                ("ipv4.conf.default.rp_filter", "0"),
                ("ipv6.conf.default.accept_dad", "0"),
                ("ipv6.conf.default.accept_ra", "0"),
            ])?;
        }
        for link in ["c", "s", "m"] {
            bridges.ip([
                format!("link add name br-{link} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
                format!("link set br-{link} up"),
            ])?;
        }
        let site = Self { _echo: None, client, director, bridges, lab };
        site.plug(&site.client, "eth0", "client", "c", "02:00:00:00:00:fe")?;
        site.plug(&server, "eth0", "server", "s", "02:00:00:00:02:0b")?;
        site.plug(&site.director, "wan0", "rvs-c", "c", WAN_MAC)?;
        site.plug(&site.director, "lan0", "rvs-s", "s", LAN_MAC)?;
        site.plug(&site.director, "ha0", "rvs-m", "m", "02:00:00:00:03:02")?;
        hands_off(&site.director, "wan0")?;
        hands_off(&site.director, "lan0")?;
        site.director.ip(["addr add 10.0.3.2/24 dev ha0"])?;
        site.wire_client()?;
        site.wire_server(&server)?;
        let echo = Echo::start(&server, "rs1", &[])?;
        Ok(Self { _echo: Some(echo), ..site })
    }

    /// A namespace's device on a link.
    fn plug(&self, to: &Namespace, device: &str, port: &str, link: &str, mac: &str) -> Result<()> {
        to.ip([
            format!(
                "link add name {device} address {mac} type veth peer name {port} netns {}",
                self.bridges.name()
            ),
            format!("link set {device} up"),
        ])?;
        to.offloads_off(device)?;
        self.bridges.offloads_off(port)?;
        self.bridges.ip([format!("link set {port} master br-{link}"), format!("link set {port} up")])
    }

    fn wire_client(&self) -> Result<()> {
        let mut lines = vec![
            "addr add 192.0.2.254/24 dev eth0".to_owned(),
            "addr add 2001:db8:1::fe/64 dev eth0".to_owned(),
            format!("addr add {CLIENT4}/32 dev lo"),
            format!("addr add {CLIENT6}/128 dev lo"),
        ];
        lines.extend(CASES.map(|case| format!("neigh replace {} lladdr {WAN_MAC} dev eth0", case.vip)));
        self.client.ip(lines)
    }

    /// The server answers for the virtual addresses of direct routing by a way of its own.
    fn wire_server(&self, server: &Namespace) -> Result<()> {
        server.ip([
            format!("link add name back0 type veth peer name back0 netns {}", self.client.name()),
            format!("addr add {SERVER4}/24 dev eth0"),
            format!("addr add {SERVER6}/64 dev eth0"),
            format!("neigh replace 10.0.2.1 lladdr {LAN_MAC} dev eth0"),
            format!("neigh replace 2001:db8:2::1 lladdr {LAN_MAC} dev eth0"),
            "addr add 10.98.0.2/24 dev back0".to_owned(),
            "addr add 2001:db8:98::2/64 dev back0".to_owned(),
            "link set back0 up".to_owned(),
        ])?;
        self.client.ip([
            "addr add 10.98.0.1/24 dev back0",
            "addr add 2001:db8:98::1/64 dev back0",
            "link set back0 up",
        ])?;
        server.sysctl(&[("ipv4.conf.all.arp_ignore", "1"), ("ipv4.conf.all.arp_announce", "2")])?;
        let ways = [
            (Family::V4, "10.0.2.1", "192.0.2.101/32", "10.98.0.1"),
            (Family::V6, "2001:db8:2::1", "2001:db8:1::101/128", "2001:db8:98::1"),
        ];
        for (family, director, vip, back) in ways {
            server.ip([format!("addr add {vip} dev lo")])?;
            server.ip_of(
                family,
                [
                    format!("route add default via {director} dev eth0"),
                    format!("rule add from {vip} lookup 100 pref 100"),
                    format!("route add default via {back} dev back0 table 100"),
                ],
            )?;
        }
        Ok(())
    }

    /// Which director clients and servers reach: the links of the other are down.
    fn turn_to(&self, linux: bool) -> Result<()> {
        let (up, down) = if linux { ("orc", "rvs") } else { ("rvs", "orc") };
        let there = |who: &str| who != "orc" || self.has_linux();
        for link in ["c", "s"] {
            if there(down) {
                self.bridges.ip([format!("link set {down}-{link} down")])?;
            }
            if there(up) {
                self.bridges.ip([format!("link set {up}-{link} up")])?;
            }
        }
        Ok(())
    }

    fn has_linux(&self) -> bool {
        self.bridges.output(&["ip", "link", "show", "orc-c"]).is_ok()
    }

    /// Connections by every case, with enough rounds to be told.
    fn open(&self) -> Result<Vec<(&'static str, Connection)>> {
        let open = |case: &'static Case| {
            let connection = Connection::open_in(&self.client, Some(addr(case.client)), case.target());
            connection.round("at first").map_err(|error| error.context(case.name))?;
            Ok((case.name, connection))
        };
        CASES.iter().map(open).collect()
    }
}

fn config() -> Config {
    let mut config = Config::new(Wiring::TwoArm, 1, 1);
    config.ports = vec![af_packet("wan", "wan0", 0, 1), af_packet("lan", "lan0", 1, 1)];
    let wan = [("192.0.2.1", 24), ("2001:db8:1::1", 64)].into_iter();
    let wan = wan.chain(CASES.iter().map(|case| (case.vip, case.family().host_len())));
    let lan = [("10.0.2.1", 24), ("2001:db8:2::1", 64)].into_iter();
    config.addresses = wan
        .map(|(address, len)| ("wan".to_owned(), addr(address), len))
        .chain(lan.map(|(address, len)| ("lan".to_owned(), addr(address), len)))
        .collect();
    config.routes =
        ["192.0.2.254", "2001:db8:1::fe"].map(|via| ("default".to_owned(), addr(via), None)).into();
    config.services = CASES
        .iter()
        .map(|case| Service {
            address: addr(case.vip),
            destinations: vec![(addr(case.server), echo::ECHO_PORT)],
            ..Service::new("tcp", case.method, case.family(), echo::ECHO_PORT, 0)
        })
        .collect();
    for role in ["master", "backup"] {
        config.extra.push_str(&format!("[[sync]]\nrole = \"{role}\"\ninterface = \"ha0\"\nid = {SYNC_ID}\n"));
    }
    config
}

/// The Linux box.
struct Linux {
    process: Process,
    program: PathBuf,
    control: PathBuf,
}

impl Linux {
    fn boot(program: &Path, site: &Site) -> Result<Self> {
        let control = site.lab.dir().join("linux.ctl");
        let mut command = Command::new(program);
        command.args(["serve", "--netns", site.bridges.name(), "--ctl"]).arg(&control);
        let mut process = Process::spawn("linux", &mut command, &site.lab.dir().join("linux.log"))?;
        let deadline = Instant::now() + BOOT_LIMIT;
        while !(process.log().contains("guest up") && control.exists()) {
            process.check_alive()?;
            if Instant::now() > deadline {
                return Err(Error::new(format!("Linux is not up: {}", process.log())));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        for link in ["c", "s", "m"] {
            site.bridges.ip([format!("link set orc-{link} master br-{link}")])?;
        }
        let linux = Self { process, program: program.to_owned(), control };
        linux.run("ip addr add 192.0.2.101/32 dev c; ip -6 addr add 2001:db8:1::101/128 dev c nodad")?;
        for case in &CASES {
            let method = if case.method == Method::Nat { "-m" } else { "-g" };
            let server = SocketAddr::new(addr(case.server), echo::ECHO_PORT);
            let target = case.target();
            linux
                .run(&format!("ipvsadm -A -t {target} -s rr; ipvsadm -a -t {target} -r {server} {method}"))?;
        }
        for role in ["master", "backup"] {
            linux.run(&format!("ipvsadm --start-daemon {role} --mcast-interface m --syncid {SYNC_ID}"))?;
        }
        Ok(linux)
    }

    fn run(&self, command: &str) -> Result<String> {
        process::output(Command::new(&self.program).args(["ctl", command, "--ctl"]).arg(&self.control))
    }

    /// Connections that it heard of and that are established.
    fn heard(&self) -> Result<usize> {
        let rows = self.run("cat /proc/net/ip_vs_conn_sync")?;
        Ok(rows.lines().filter(|row| row.contains("ESTABLISHED") && row.contains("SYNC")).count())
    }
}

fn wait_for(what: &str, mut heard: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + TOLD_LIMIT;
    while !heard()? {
        if Instant::now() > deadline {
            return Err(Error::new(format!("{what} does not hear of the connections")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn go_on(connections: Vec<(&'static str, Connection)>) -> Result<()> {
    connections.into_iter().try_for_each(|(name, connection)| {
        connection.round("after the failover").map_err(|error| error.context(name))?;
        connection.close()
    })
}

fn with_linux(context: &Context, program: &Path) -> Result<()> {
    let site = context.step("build", Site::build)?;
    let mut linux = context.step("Linux boots", || Linux::boot(program, &site))?;
    site.turn_to(true)?;
    let mut rvs = context.step("rvs starts", || {
        Director::start_in(&site.lab, &site.director, "rvsd", &context.binaries, &config())
    })?;
    let result = (|| {
        let connections = context.step("connections by way of Linux", || site.open())?;
        context.step("rvs hears of them", || {
            wait_for("rvs", || Ok(rvs.ctl.connections()? >= connections.len() as u64))
        })?;
        context.step("rvs goes on with them", || {
            site.turn_to(false)?;
            go_on(connections)
        })?;
        let before = linux.heard()?;
        let connections = context.step("connections by way of rvs", || site.open())?;
        context.step("Linux hears of them", || {
            wait_for("Linux", || Ok(linux.heard()? >= before + connections.len()))
        })?;
        context.step("Linux goes on with them", || {
            site.turn_to(true)?;
            go_on(connections)
        })?;
        rvs.check_conservation()
    })();
    let result = result.map_err(|error: Error| explain(error, &rvs, Some(&linux)));
    let _ = linux.run("quit");
    linux.process.stop()?;
    result
}

fn explain(error: Error, rvs: &Director, linux: Option<&Linux>) -> Error {
    let or_why = |said: Result<String>| said.unwrap_or_else(|error| error.to_string());
    let linux = linux.map(|linux| or_why(linux.run("ipvsadm -Lnc; ipvsadm -L --daemon")));
    error.context(format!(
        "rvs has:\n{}\n{}\nLinux has:\n{}\nrvsd said:\n{}",
        or_why(rvs.ctl.run("conn list")),
        or_why(rvs.ctl.run("sync stats")),
        linux.unwrap_or_default(),
        rvs.log()
    ))
}

fn with_recordings(context: &Context) -> Result<()> {
    let site = context.step("build", Site::build)?;
    let peer = site.lab.namespace("peer")?;
    site.plug(&peer, "ha0", "peer-m", "m", "02:00:00:00:03:01")?;
    peer.ip(["addr add 10.0.3.1/24 dev ha0"])?;
    let rvs = context.step("rvs starts", || {
        Director::start_in(&site.lab, &site.director, "rvsd", &context.binaries, &config())
    })?;
    let result = (|| {
        let messages = recorded()?;
        let wanted: usize = messages.iter().map(|message| entries(message)).sum();
        context.step(format!("rvs hears what Linux said of {wanted} connections"), || {
            let sent = messages.clone();
            peer.enter(move || send(&sent))??;
            wait_for("rvs", || Ok(rvs.ctl.connections()? >= wanted as u64))
        })?;
        let hearer = peer.enter(hear)??;
        let connections = context.step("connections by way of rvs", || site.open())?;
        context.step("a socket hears of them", || {
            let mut buffer = [0; 2000];
            let mut heard = 0;
            while heard < connections.len() {
                let len = hearer.recv(&mut buffer)?;
                heard += entries(&buffer[..len]);
            }
            Ok(())
        })?;
        go_on(connections)
    })();
    result.map_err(|error: Error| explain(error, &rvs, None))
}

/// Connections that a message is about, all of which are good.
fn entries(message: &[u8]) -> usize {
    Message::parse(message, SYNC_ID)
        .map_or(0, |message| message.entries().filter(|entry| entry.is_ok()).count())
}

/// The messages about connections of each method that Linux was recorded to send.
fn recorded() -> Result<Vec<Vec<u8>>> {
    let mut messages = Vec::new();
    for scenario in ["sync_master_mix_v4", "sync_master_mix_v6"] {
        let trace = conformance::read_scenario(scenario).map_err(|error| Error::new(error.to_string()))?;
        for step in &trace.steps {
            let Step::Wait { out, .. } = step else { continue };
            for frame in out.iter().filter(|frame| frame.side == 'm') {
                if let Ok(Parsed::Ip(info)) = wire::parse(&frame.bytes) {
                    let payload = info.upper(&frame.bytes).get(wire::udp::HEADER_LEN..).unwrap_or_default();
                    messages.extend((entries(payload) > 0).then(|| payload.to_vec()));
                }
            }
        }
    }
    match messages.len() {
        0 => Err(Error::new("the recordings have no messages")),
        _ => Ok(messages),
    }
}

fn send(messages: &[Vec<u8>]) -> Result<()> {
    let socket = UdpSocket::bind("10.0.3.1:0")?;
    socket.set_multicast_loop_v4(false)?;
    socket.connect(GROUP)?;
    messages.iter().try_for_each(|message| Ok(socket.send(message).map(drop)?))
}

fn hear() -> Result<UdpSocket> {
    let socket = UdpSocket::bind(GROUP)?;
    socket.join_multicast_v4(&GROUP.0.parse().expect("a group"), &[10, 0, 3, 1].into())?;
    socket.set_read_timeout(Some(TOLD_LIMIT))?;
    Ok(socket)
}
