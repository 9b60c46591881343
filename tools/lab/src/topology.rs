//! The network of a test: who is connected to whom.
//!
//! ```text
//!   client ── wan ── director ── lan ── switch ── rs1, rs2, rs3 …
//!      └────────────── router ─────────────┘        (the way of direct replies, DR and TUNNEL)
//! ```
//!
//! The director's interfaces carry no address and answer nothing: they belong to DPDK. Real servers carry the VIPs
//! of DR and TUNNEL on `lo` and send what leaves from these through the router; everything else goes through the
//! director, their default gateway. With one arm all hang on one switch; the director keeps a leg in each network.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::address::{self, Family, Method};
use crate::echo::Echo;
use crate::error::{Context, Error, Result};
use crate::netns::Namespace;
use crate::process::Process;
use crate::run::Lab;
use crate::{nginx, process};

/// The director's device towards the clients; with one arm the only one.
pub const WAN: &str = "wan0";
/// The director's device towards the servers.
pub const LAN: &str = "lan0";
/// The client's device towards the director.
pub const CLIENT: &str = "eth0";
/// A real server's device.
pub const SERVER: &str = "eth0";
/// The router's MAC address on the servers' network. Servers know it without asking: they would ask from a VIP,
/// which all of them have, and the router's answer to one could go to another, a second lost for both.
const ROUTER_MAC: &str = "02:00:00:00:02:fe";
/// The device into which a real server's decapsulator writes.
pub const DECAP: &str = "decap0";

/// How the director is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiring {
    /// One port to the clients, one to the servers.
    TwoArm,
    /// One port, on a switch that all share.
    OneArm,
}

/// What to build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How the director is connected.
    pub wiring: Wiring,
    /// How many real servers.
    pub servers: u8,
    /// Queues of each of the director's devices.
    pub queues: u16,
    /// The decapsulator's program, if tunnels are to end at the servers.
    pub decap: Option<PathBuf>,
    /// Whether the servers run nginx.
    pub nginx: bool,
    /// Whether the director's kernel keeps its hands off these devices (always, unless it is the director).
    pub kernel_director: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            wiring: Wiring::TwoArm,
            servers: 3,
            queues: 1,
            decap: None,
            nginx: true,
            kernel_director: false,
        }
    }
}

/// One real server.
#[derive(Debug)]
pub struct Server {
    /// `rs1`, `rs2`, …: what it answers.
    pub name: String,
    /// Its number, from 1.
    pub number: u8,
    /// Where it lives.
    pub namespace: Namespace,
    /// Its nginx and its decapsulator.
    pub processes: Vec<Process>,
    /// Its echo server.
    pub echo: Option<Echo>,
}

impl Server {
    /// Its address.
    pub fn address(&self, family: Family) -> IpAddr {
        address::server(family, self.number)
    }

    /// All addresses that it answers for: its own and the VIPs of direct replies, in both families.
    pub fn own_addresses(&self) -> Vec<IpAddr> {
        own_addresses(self.number)
    }
}

/// A network that stands. Fields are dropped in order: programs before the run that holds their namespaces.
#[derive(Debug)]
pub struct Topology {
    /// The real servers.
    pub servers: Vec<Server>,
    /// Where clients run.
    pub client: Namespace,
    /// Where the director runs.
    pub director: Namespace,
    /// The bridge between director and servers.
    pub switch: Namespace,
    /// Forwards direct replies.
    pub router: Namespace,
    /// What it was built from.
    pub plan: Plan,
    /// The run that owns it all.
    pub lab: Lab,
}

impl Topology {
    /// Builds the network and starts the servers; returns when they answer.
    pub fn build(plan: Plan) -> Result<Self> {
        raise_file_limit()?;
        let lab = Lab::new()?;
        let [client, director, switch, router] =
            ["client", "director", "switch", "router"].map(|role| lab.namespace(role));
        let (client, director, switch, router) = (client?, director?, switch?, router?);
        [&client, &director, &switch, &router].into_iter().try_for_each(quiet)?;
        let mut topology = Self { servers: Vec::new(), client, director, switch, router, plan, lab };
        topology.wire_switch()?;
        topology.wire_client().context("client")?;
        topology.wire_director().context("director")?;
        topology.wire_router().context("router")?;
        for number in 1..=topology.plan.servers {
            let server = topology.add_server(number).context(format_args!("rs{number}"))?;
            topology.servers.push(server);
        }
        topology.wait_for_links()?;
        topology.wait_for_servers()?;
        Ok(topology)
    }

    fn wire_switch(&self) -> Result<()> {
        // A bridge that runs the firewall's hooks would check (and drop) what tests send through it on purpose.
        for call in ["bridge.bridge-nf-call-iptables", "bridge.bridge-nf-call-ip6tables"] {
            // Absent where the kernel has no bridge firewall.
            let _ = self.switch.sysctl(&[(call, "0")]);
        }
        self.switch.ip([
            "link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
            "link set br0 up",
        ])
    }

    fn wire_client(&self) -> Result<()> {
        match self.plan.wiring {
            Wiring::TwoArm => self.pair(&self.client, CLIENT, &self.director, WAN)?,
            Wiring::OneArm => self.plug(&self.client, CLIENT, "client")?,
        }
        let mut lines = Vec::new();
        for family in Family::ALL {
            for n in 0..address::CLIENTS {
                lines.push(add_address(address::client(family, n), family.prefix_len(), CLIENT));
            }
        }
        lines.push(format!("link set {CLIENT} up"));
        for family in Family::ALL {
            let lan = address::network(address::lan(family, 0));
            lines.push(format!("route add {lan} via {}", address::director_wan(family)));
        }
        self.client.ip(lines)
    }

    fn wire_director(&self) -> Result<()> {
        match self.plan.wiring {
            Wiring::TwoArm => self.plug(&self.director, LAN, "director")?,
            Wiring::OneArm => self.plug(&self.director, WAN, "director")?,
        }
        let devices: &[&str] = if self.plan.wiring == Wiring::TwoArm { &[WAN, LAN] } else { &[WAN] };
        if !self.plan.kernel_director {
            devices.iter().try_for_each(|device| hands_off(&self.director, device))?;
        }
        self.director.ip(devices.iter().map(|device| format!("link set {device} up")))
    }

    fn wire_router(&self) -> Result<()> {
        self.plug(&self.router, "lan0", "router")?;
        self.pair(&self.router, "back0", &self.client, "back0")?;
        self.router.sysctl(&[("ipv4.ip_forward", "1"), ("ipv6.conf.all.forwarding", "1")])?;
        let mut router = Vec::new();
        let mut client = Vec::new();
        for family in Family::ALL {
            let len = family.prefix_len();
            router.push(add_address(address::router(family), len, "lan0"));
            router.push(add_address(address::back(family, 1), len, "back0"));
            client.push(add_address(address::back(family, 2), len, "back0"));
        }
        router.push(format!("link set lan0 address {ROUTER_MAC}"));
        router.extend(["link set lan0 up", "link set back0 up"].map(str::to_owned));
        client.push("link set back0 up".to_owned());
        for family in Family::ALL {
            let wan = address::network(address::wan(family, 0));
            router.push(format!("route add {wan} via {}", address::back(family, 2)));
        }
        self.client.ip(client)?;
        self.router.ip(router)
    }

    fn add_server(&self, number: u8) -> Result<Server> {
        let name = format!("rs{number}");
        let namespace = self.lab.namespace(&name)?;
        quiet(&namespace)?;
        self.plug(&namespace, SERVER, &name)?;
        // The VIPs on lo must not be answered for, nor be used to ask, on the servers' network.
        namespace.sysctl(&[("ipv4.conf.all.arp_ignore", "1"), ("ipv4.conf.all.arp_announce", "2")])?;
        namespace.ip(server_addresses(number))?;
        for family in Family::ALL {
            namespace.ip_of(family, server_routes(family))?;
        }
        let mut processes = Vec::new();
        if let Some(decap) = &self.plan.decap {
            namespace.ip([
                format!("tuntap add dev {DECAP} mode tun"),
                format!("link set {DECAP} mtu 65535"),
                format!("link set {DECAP} up"),
            ])?;
            namespace
                .sysctl(&[("ipv4.conf.decap0.rp_filter", "0"), ("ipv6.conf.decap0.disable_ipv6", "0")])?;
            let log = self.lab.dir().join(format!("decap-{name}.log"));
            let mut command = namespace.command(decap);
            processes.push(Process::spawn(&format!("decap {name}"), command.arg(DECAP), &log)?);
        }
        if self.plan.nginx {
            processes.push(nginx::start(&namespace, &name, self.lab.dir())?);
        }
        let echo = Some(Echo::start(&namespace, &name, &own_addresses(number))?);
        Ok(Server { name, number, namespace, processes, echo })
    }

    /// The kernel notices that a new link is up, and gives it the address that it asks for neighbours from, with a
    /// delay of up to a second; the first IPv6 packet would wait as long.
    fn wait_for_links(&self) -> Result<()> {
        let servers = self.servers.iter().map(|server| (&server.namespace, 1));
        for (namespace, links) in [(&self.client, 2), (&self.router, 2)].into_iter().chain(servers) {
            let deadline = Instant::now() + Duration::from_secs(5);
            while namespace.enter(link_local_addresses)?? < links {
                if Instant::now() > deadline {
                    return Err(Error::new(format!("the links of {} do not come up", namespace.name())));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    fn wait_for_servers(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        for server in &mut self.servers {
            if !self.plan.nginx {
                continue;
            }
            let address = SocketAddr::new(address::server(Family::V6, server.number), nginx::PORTS[0]);
            while !server.namespace.enter(move || TcpStream::connect(address).is_ok())? {
                for process in &mut server.processes {
                    process.check_alive()?;
                }
                if Instant::now() > deadline {
                    return Err(Error::new(format!("nginx of {} does not answer on {address}", server.name)));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// A veth pair from `device` in `namespace` to a port of the switch.
    pub fn plug(&self, namespace: &Namespace, device: &str, port: &str) -> Result<()> {
        self.pair(namespace, device, &self.switch, port)?;
        self.switch.ip([format!("link set {port} master br0"), format!("link set {port} up")])
    }

    /// A veth pair; both ends without offloads, because frames must be on it as they would be on a wire.
    fn pair(&self, a: &Namespace, a_device: &str, b: &Namespace, b_device: &str) -> Result<()> {
        let queues = self.plan.queues.max(1);
        a.ip([format!(
            "link add name {a_device} numtxqueues {queues} numrxqueues {queues} type veth \
             peer name {b_device} numtxqueues {queues} numrxqueues {queues} netns {}",
            b.name()
        )])?;
        a.offloads_off(a_device)?;
        b.offloads_off(b_device)
    }

    /// What the programs of the laboratory have said, for a report of a failure.
    pub fn logs(&self) -> String {
        let processes = self.servers.iter().flat_map(|server| &server.processes);
        processes
            .filter(|p| !p.log().is_empty())
            .map(|p| format!("{}:\n{}\n", p.log_path().display(), p.log()))
            .collect()
    }

    /// Leaves it all running when this value goes.
    pub fn keep(mut self) -> Result<()> {
        self.lab.keep()?;
        for server in self.servers {
            server.processes.into_iter().for_each(Process::detach);
        }
        Ok(())
    }
}

/// How many link-local addresses the calling thread's namespace has.
fn link_local_addresses() -> Result<usize> {
    let path = "/proc/thread-self/net/if_inet6";
    Ok(std::fs::read_to_string(path).context(path)?.lines().filter(|line| line.starts_with("fe80")).count())
}

fn own_addresses(number: u8) -> Vec<IpAddr> {
    let of = |family| [address::server(family, number)].into_iter().chain(direct_vips(family));
    Family::ALL.into_iter().flat_map(of).collect()
}

/// The VIPs that real servers carry themselves.
fn direct_vips(family: Family) -> impl Iterator<Item = IpAddr> {
    Method::ALL
        .into_iter()
        .filter(|method| method.replies_directly())
        .map(move |method| address::vip(method, family))
}

fn server_addresses(number: u8) -> Vec<String> {
    let mut lines = Vec::new();
    for family in Family::ALL {
        lines.push(add_address(address::server(family, number), family.prefix_len(), SERVER));
        lines.extend(direct_vips(family).map(|vip| add_address(vip, family.host_len(), "lo")));
    }
    lines.push(format!("link set {SERVER} up"));
    for family in Family::ALL {
        let router = address::router(family);
        lines.push(format!("neigh replace {router} lladdr {ROUTER_MAC} dev {SERVER} nud permanent"));
    }
    lines
}

fn server_routes(family: Family) -> Vec<String> {
    let mut lines = vec![
        format!("route add default via {}", address::director_lan(family)),
        format!("route add default via {} table 100", address::router(family)),
    ];
    lines.extend(direct_vips(family).map(|vip| format!("rule add from {vip} lookup 100 pref 100")));
    lines
}

fn add_address(address: IpAddr, len: u8, device: &str) -> String {
    // Without duplicate address detection an IPv6 address works at once.
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("addr add {address}/{len} dev {device}{nodad}")
}

/// No source validation and no router solicitations: replies may come by another way than requests went.
fn quiet(namespace: &Namespace) -> Result<()> {
    namespace.sysctl(&[
        ("ipv4.conf.all.rp_filter", "0"),
        ("ipv4.conf.default.rp_filter", "0"),
        ("ipv6.conf.all.accept_ra", "0"),
        ("ipv6.conf.default.accept_ra", "0"),
        ("ipv6.conf.all.router_solicitations", "0"),
        ("ipv6.conf.default.router_solicitations", "0"),
        ("ipv6.conf.default.accept_dad", "0"),
        ("ipv4.ping_group_range", "0 2147483647"),
    ])
}

/// Makes the kernel ignore what arrives on a device that DPDK reads too: no ARP, no IPv6, and (the kernel has the
/// host's addresses on the exception port) no IPv4, because the way back to no sender leads through this device.
pub fn hands_off(namespace: &Namespace, device: &str) -> Result<()> {
    namespace.ip([format!("link set {device} arp off")])?;
    namespace.sysctl(&[
        (&format!("ipv4.conf.{device}.rp_filter"), "1"),
        (&format!("ipv6.conf.{device}.disable_ipv6"), "1"),
    ])
}

/// Ten thousand connections have twenty thousand ends in this process; takes what the hard limit allows, because
/// not every root may raise that.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let limit = Rlimit { current: now.maximum, maximum: now.maximum };
    setrlimit(Resource::Nofile, limit).context("open files")
}

/// The version of a program, for the head of a report.
pub fn version(program: &str, flag: &str) -> String {
    let said = process::output(std::process::Command::new(program).arg(flag)).unwrap_or_default();
    said.lines().next().unwrap_or("not found").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_carry_only_the_vips_that_they_answer_for() {
        let lines = server_addresses(2);
        for want in ["addr add 10.0.2.12/24 dev eth0", "addr add 2001:db8:1::103/128 dev lo nodad"] {
            assert!(lines.iter().any(|line| line == want), "{want} in {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.contains("192.0.2.100")));
    }

    #[test]
    fn direct_replies_leave_through_the_router() {
        let lines = server_routes(Family::V6);
        for want in [
            "route add default via 2001:db8:2::254 table 100",
            "rule add from 2001:db8:1::102 lookup 100 pref 100",
        ] {
            assert!(lines.iter().any(|line| line == want), "{want} in {lines:#?}");
        }
    }
}
