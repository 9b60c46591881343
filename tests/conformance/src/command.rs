//! The shell commands of a recording, read into what they ask for.
//!
//! [`parse`] knows the words; whether rvs can do it is the [`Lab`](crate::Lab)'s to say.

mod ipvsadm;

use std::net::{IpAddr, SocketAddr};

use ipvs::{Method, Tunnel};
use sync::{DaemonConfig, Role};

use crate::Feature;

/// One command of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Loads a module, prints the kernel's log: nothing that a director does.
    Nothing,
    /// `modprobe ip_vs_ftp ports=PORT,...`.
    FtpPorts(Vec<u16>),
    /// `ip link set dev SIDE mtu MTU`.
    Mtu { side: char, mtu: u16 },
    /// `iptables -t mangle -A PREROUTING ... -j MARK`.
    Mark(MarkWords),
    /// `sysctl -w net.ipv4.vs.NAME=VALUE`.
    Setting { name: String, value: String },
    /// `ipvsadm -C`.
    Clear,
    /// `ipvsadm -Z`.
    Zero,
    /// `ipvsadm --set`, in seconds; 0 keeps what is.
    Timeouts { tcp_s: u64, tcp_fin_s: u64, udp_s: u64 },
    /// `ipvsadm -A`, `-E`.
    Service { verb: Verb, service: ServiceWords },
    /// `ipvsadm -a`, `-e`.
    Dest { verb: Verb, key: Key, dest: DestWords },
    /// `ipvsadm -D`.
    RemoveService(Key),
    /// `ipvsadm -d`.
    RemoveDest { key: Key, addr: IpAddr, port: Option<u16> },
    /// `ipvsadm --start-daemon`.
    StartDaemon { role: Role, config: DaemonConfig },
    /// `ipvsadm --stop-daemon`.
    StopDaemon(Role),
    /// `ip addr add … dev m`: a link-local address for the daemons.
    LinkLocal(IpAddr),
    /// Prints something that the suite compares.
    Show(Listing),
    /// What ipvsadm refuses before it asks the kernel, and how it says so.
    Wrong(String),
    /// Something that has no words here yet.
    Needs(Feature),
}

/// Listings that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// `ipvsadm -Ln`: destinations sorted.
    List,
    /// `ipvsadm -Ln --nosort`: as the kernel tells them.
    Unsorted,
    /// `ipvsadm -Ln` of one service.
    One(Key),
    /// `ipvsadm -Ln --stats`.
    Stats,
    /// `ipvsadm -Ln --rate`: rates are the estimator's, only who has them is compared.
    Rate,
    /// `ipvsadm -Ln --persistent-conn`.
    Persistent,
    /// `ipvsadm -Sn`.
    Saved,
    /// `/proc/net/ip_vs`: destinations in the order that schedulers walk.
    Proc,
    /// `ipvsadm -Ln --thresholds`.
    Thresholds,
    /// `ipvsadm -L --timeout`.
    Timeouts,
    /// `/proc/net/ip_vs_stats`.
    Totals,
    /// `/proc/net/ip_vs_conn_sync`, only rows with this port if there is one.
    Origins(Option<u16>),
    /// `ipvsadm -L --daemon`.
    Daemons,
}

/// Whether something is made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Add,
    Edit,
}

/// What names a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Sctp(SocketAddr),
    Mark { mark: u32, v6: bool },
}

impl Key {
    /// The port that destinations have if they name none.
    pub fn port(self) -> u16 {
        match self {
            Self::Tcp(at) | Self::Udp(at) | Self::Sctp(at) => at.port(),
            Self::Mark { .. } => 0,
        }
    }
}

/// A service as ipvsadm's words describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceWords {
    pub key: Key,
    pub scheduler: String,
    /// `-b`.
    pub scheduler_flags: Vec<String>,
    /// `-p`: how long a template lives.
    pub persistent_s: Option<u32>,
    /// `-M`.
    pub netmask: Option<String>,
    /// `-o`.
    pub one_packet: bool,
    /// `--pe`.
    pub engine: Option<String>,
}

/// A destination as ipvsadm's words describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestWords {
    pub addr: IpAddr,
    pub port: Option<u16>,
    pub method: Method,
    pub weight: u32,
    pub upper: u32,
    pub lower: u32,
    pub tunnel: Tunnel,
}

/// A rule that marks packets, as iptables' words describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkWords {
    pub v6: bool,
    /// A link's name.
    pub iface: Option<char>,
    pub protocol: Option<u8>,
    pub src: Option<(IpAddr, u8)>,
    pub dst: Option<(IpAddr, u8)>,
    /// First and last.
    pub sports: Option<(u16, u16)>,
    pub dports: Option<(u16, u16)>,
    pub mark: u32,
    pub mask: u32,
}

/// Reads a line: commands separated by `;`.
pub fn parse(line: &str) -> Vec<Command> {
    if let Some(filter) = line.strip_prefix("sort /proc/net/ip_vs_conn_sync | grep -i \" ") {
        let port = filter.split(' ').next().and_then(|port| u16::from_str_radix(port, 16).ok());
        return vec![
            port.map_or(Command::Needs(Feature::Sync), |port| Command::Show(Listing::Origins(Some(port)))),
        ];
    }
    if let Some((said, rest)) = restored(line) {
        return said.into_iter().chain(rest.map_or(vec![], parse)).collect();
    }
    if line.contains('|') && !line.starts_with("dmesg") {
        return vec![Command::Needs(Feature::Ipvsadm)];
    }
    line.split("; ").map(|command| one(&command.split_whitespace().collect::<Vec<_>>())).collect()
}

fn one(words: &[&str]) -> Command {
    match *words {
        ["modprobe", "ip_vs_ftp", ref options @ ..] => Command::FtpPorts(ftp_ports(options)),
        ["modprobe" | "dmesg", ..] => Command::Nothing,
        ["ip", "link", "set", "dev", side, "mtu", mtu] => {
            let (Some(side), Ok(mtu)) = (side.chars().next(), mtu.parse()) else {
                return Command::Needs(Feature::Sysctl);
            };
            Command::Mtu { side, mtu }
        }
        ["echo", value, ">", file] => {
            let name = file.strip_prefix("/proc/sys/net/ipv4/vs/");
            name.map_or(Command::Needs(Feature::Sysctl), |name| Command::Setting {
                name: name.into(),
                value: value.into(),
            })
        }
        ["sysctl", .., setting] => {
            let said = setting.strip_prefix("net.ipv4.vs.").and_then(|setting| setting.split_once('='));
            said.map_or(Command::Needs(Feature::Sysctl), |(name, value)| Command::Setting {
                name: name.into(),
                value: value.into(),
            })
        }
        // Netfilter's connection tracking: there is none that could lose track of what rvs rewrites.
        ["iptables" | "ip6tables", ref rest @ ..] if rest.contains(&"conntrack") => Command::Nothing,
        ["ip", "-6", "addr", "add", addr, "dev", "m", "nodad"] => {
            let addr = addr.split('/').next().and_then(|addr| addr.parse().ok());
            addr.map_or(Command::Needs(Feature::Sync), Command::LinkLocal)
        }
        ["sort" | "cat", "/proc/net/ip_vs_conn_sync"] => Command::Show(Listing::Origins(None)),
        // What makes marked packets local in Linux; in rvs their service does.
        ["ip", .., "route", "add", "local", _, "dev", "lo"]
        | ["ip", .., "route", "add", "local", "default", "dev", "lo", "table", _]
        | ["ip", .., "rule", "add", "fwmark", _, "table", _] => Command::Nothing,
        ["ip", ..] => Command::Needs(Feature::Fwmark),
        [name @ ("iptables" | "ip6tables"), ref rest @ ..] => {
            mark_rule(name == "ip6tables", rest).map_or(Command::Needs(Feature::Fwmark), Command::Mark)
        }
        ["cat", "/proc/net/ip_vs"] => Command::Show(Listing::Proc),
        ["cat", "/proc/net/ip_vs_stats"] => Command::Show(Listing::Totals),
        // By processor of the recording machine.
        ["cat", "/proc/net/ip_vs_stats_percpu"] => Command::Nothing,
        ["ipvsadm", ref words @ ..] => ipvsadm::command(words).unwrap_or(Command::Needs(Feature::Ipvsadm)),
        _ => Command::Needs(Feature::Ipvsadm),
    }
}

/// A rule that appends to PREROUTING of the mangle table and sets a mark.
fn mark_rule(v6: bool, words: &[&str]) -> Option<MarkWords> {
    let mut words = words.iter().copied().filter(|word| *word != "-w");
    let mut rule = MarkWords { v6, ..MarkWords::default() };
    while let Some(name) = words.next() {
        let said = words.next()?;
        match name {
            "-t" if said == "mangle" => {}
            "-A" if said == "PREROUTING" => {}
            "-j" if said == "MARK" => {}
            "-m" if matches!(said, "tcp" | "udp" | "sctp") => {}
            "-i" => rule.iface = said.chars().next(),
            "-p" => {
                rule.protocol = Some(match said {
                    "tcp" => 6,
                    "udp" => 17,
                    "sctp" => 132,
                    "icmp" => 1,
                    number => number.parse().ok()?,
                });
            }
            "-s" => rule.src = Some(prefix(said)?),
            "-d" => rule.dst = Some(prefix(said)?),
            "--sport" => rule.sports = Some(ports(said)?),
            "--dport" => rule.dports = Some(ports(said)?),
            "--set-mark" => (rule.mark, rule.mask) = masked(said)?,
            _ => return None,
        }
    }
    (rule.mask != 0).then_some(rule)
}

fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (addr, len) = text.split_once('/').map_or((text, None), |(addr, len)| (addr, Some(len)));
    let addr: IpAddr = addr.parse().ok()?;
    let whole = if addr.is_ipv4() { 32 } else { 128 };
    Some((addr, len.map_or(Some(whole), |len| len.parse().ok())?))
}

fn ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(':').unwrap_or((text, text));
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// A mark and the bits that count, all if it does not say; those of the mark always do.
fn masked(text: &str) -> Option<(u32, u32)> {
    let (mark, mask) = text.split_once('/').map_or((text, None), |(mark, mask)| (mark, Some(mask)));
    let mark = number(mark)?;
    Some((mark, mask.map_or(Some(u32::MAX), number)? | mark))
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// `printf -- 'LINES' | ipvsadm -R`, and what follows it.
fn restored(line: &str) -> Option<(Vec<Command>, Option<&str>)> {
    let (lines, rest) = line.strip_prefix("printf -- '")?.split_once("' | ipvsadm -R")?;
    let commands = lines.split("\\n").filter(|line| !line.is_empty());
    Some((
        commands
            .map(|line| one(&["ipvsadm"].into_iter().chain(line.split_whitespace()).collect::<Vec<_>>()))
            .collect(),
        rest.strip_prefix("; "),
    ))
}

/// The ports that the FTP helper is loaded with.
fn ftp_ports(options: &[&str]) -> Vec<u16> {
    let ports = options.iter().find_map(|option| option.strip_prefix("ports=")).unwrap_or("21");
    ports.split(',').filter_map(|port| port.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let words = |text: &str| ServiceWords {
            key: Key::Tcp(text.parse().expect("address and port")),
            scheduler: "sh".into(),
            scheduler_flags: vec!["sh-fallback".into(), "sh-port".into()],
            persistent_s: Some(360),
            netmask: None,
            one_packet: false,
            engine: None,
        };
        let dest = DestWords {
            addr: "2001:db8::b".parse().expect("an address"),
            port: Some(80),
            method: Method::Tunnel,
            weight: 3,
            upper: 5,
            lower: 2,
            tunnel: Tunnel::Gre { checksum: false },
        };
        let mark = Key::Mark { mark: 7, v6: true };
        let table = [
            ("modprobe xt_mark; ipvsadm -C", vec![Command::Nothing, Command::Clear]),
            ("modprobe ip_vs_ftp ports=21,2121", vec![Command::FtpPorts(vec![21, 2121])]),
            ("modprobe ip_vs_ftp", vec![Command::FtpPorts(vec![21])]),
            (
                "sysctl -qw net.ipv4.vs.sloppy_tcp=1",
                vec![Command::Setting { name: "sloppy_tcp".into(), value: "1".into() }],
            ),
            (
                "iptables -w -t mangle -A PREROUTING -i c -p tcp -d 10.0.2.0/24 --dport 80:89 -j MARK --set-mark 0x10; \
                 ip rule add fwmark 16 table 100; ip -6 route add local 2001:db8::/64 dev lo",
                vec![
                    Command::Mark(MarkWords {
                        iface: Some('c'),
                        protocol: Some(6),
                        dst: Some(("10.0.2.0".parse().expect("an address"), 24)),
                        dports: Some((80, 89)),
                        mark: 0x10,
                        mask: u32::MAX,
                        ..MarkWords::default()
                    }),
                    Command::Nothing,
                    Command::Nothing,
                ],
            ),
            (
                "iptables -w -t mangle -A PREROUTING -j MARK --set-mark 1/0xf0",
                vec![Command::Mark(MarkWords { mark: 1, mask: 0xf1, ..MarkWords::default() })],
            ),
            ("ip link set dev s mtu 1400", vec![Command::Mtu { side: 's', mtu: 1400 }]),
            (
                "ipvsadm -A -t 192.0.2.100:80 -s sh -b sh-fallback,sh-port -p",
                vec![Command::Service { verb: Verb::Add, service: words("192.0.2.100:80") }],
            ),
            (
                "ipvsadm -e -f 7 -r [2001:db8::b]:80 -i --tun-type gre -w 3 -x 5 -y 2 -6",
                vec![Command::Dest { verb: Verb::Edit, key: mark, dest }],
            ),
            (
                "ipvsadm -d -u 192.0.2.100:53 -r 10.0.2.11",
                vec![Command::RemoveDest {
                    key: Key::Udp("192.0.2.100:53".parse().expect("address and port")),
                    addr: "10.0.2.11".parse().expect("an address"),
                    port: None,
                }],
            ),
            ("ipvsadm -Sn", vec![Command::Show(Listing::Saved)]),
            ("ipvsadm -A -f 0", vec![Command::Wrong("invalid fwmark value `0' specified".into())]),
            (
                "printf -- '-C\\n-Z\\n' | ipvsadm -R; ipvsadm -Sn",
                vec![Command::Clear, Command::Zero, Command::Show(Listing::Saved)],
            ),
            (
                "sort /proc/net/ip_vs_conn_sync | grep -i \" 0B \" || echo none",
                vec![Command::Show(Listing::Origins(Some(11)))],
            ),
            (
                "ipvsadm --start-daemon master --mcast-interface m --syncid 7 --mcast-group ff02::81",
                vec![Command::StartDaemon {
                    role: Role::Master,
                    config: DaemonConfig {
                        syncid: 7,
                        group: "ff02::81".parse().expect("a group"),
                        ..DaemonConfig::new("m")
                    },
                }],
            ),
        ];
        for (line, want) in table {
            assert_eq!(parse(line), want, "{line}");
        }
    }
}
