//! Recordings of Linux IPVS through a whole rvsd: `rvsctl` says what `ipvsadm` was told, recorded frames arrive at its
//! ports, and what leaves has to be what left Linux. The suite `tests/conformance` has every recording, and looks closer;
//! here it is shown that configuration, drivers and workers around the pipeline change nothing.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use conformance::{Frame, Step, Trace};
use lab::error::Context as _;
use lab::{Error, Plan, Result, Topology, Wiring};
use wire::{Parsed, icmpv6};

use crate::config::{Config, af_packet};
use crate::{Context, Director, frame};

/// Those that show each method, family and protocol, and need neither fragments, which the driver has the kernel gather, nor
/// long waits.
const SCENARIOS: &[&str] = &[
    "nat_tcp_v4",
    "nat_tcp_v6",
    "nat_tcp_close_v4",
    "nat_udp_v4",
    "nat_udp_v6",
    "nat_ttl_v6",
    "nat_badck_v4",
    "dr_v4",
    "dr_v6",
    "tun_v4_in_v6",
    "tun_v6_in_v6",
    "icmp_related_nat_v4",
    "icmp_related_nat_v6",
    "icmp_related_dr_v4",
    "icmp_related_tun_v4",
    "nodest_v4",
    "nodest_v6",
    "svc_removed_v4",
    "over_edit",
    "sched_wrr_4_2_6_1",
    "sched_wlc_1_2_3_est",
    "sched_mh_v6_fallback_port",
    "sched_sh_v4",
];
/// The links of the recordings, with the director's hardware address there.
const LINKS: [(char, &str, &str); 2] = [('c', "c0", "02:00:00:00:00:01"), ('s', "s0", "02:00:00:00:00:02")];
/// How long the frames that have to come may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long what the host would answer in its place may take, if it comes after all.
const PATIENCE_FOR_HOST: Duration = Duration::from_millis(150);
/// The recordings wait so long before they look at statistics.
const STATISTICS_MS: u64 = 2300;
/// How long frames that must not come are waited for.
const GRACE: Duration = Duration::from_millis(8);

pub(crate) fn run(context: &Context) -> Result<()> {
    let topology =
        context.step("build", || Topology::build(Plan { nginx: false, servers: 0, ..Plan::default() }))?;
    let links = context.step("links", || links(&topology))?;
    for scenario in SCENARIOS {
        let trace = conformance::read_scenario(scenario).map_err(|error| Error::new(error.to_string()))?;
        context.with_director(&topology, &config(), |director| {
            context.step(scenario, || Run { links: &links, director, to_host: 0 }.replay(&trace))
        })?;
    }
    Ok(())
}

/// TAPs of which we hold the other end.
fn links(topology: &Topology) -> Result<Vec<(char, File)>> {
    let link = |(side, name, mac): (char, &str, &str)| {
        let file = frame::tap(&topology.director, name)?;
        topology.director.ip([format!("link set {name} address {mac}")])?;
        lab::topology::hands_off(&topology.director, name)?;
        Ok((side, file))
    };
    LINKS.into_iter().map(link).collect()
}

/// Addresses, routes and neighbours of the recordings.
fn config() -> Config {
    let mut config = Config::new(Wiring::OneArm, 1, 1);
    config.ports =
        (0..).zip(LINKS).map(|(n, (side, device, _))| af_packet(&side.to_string(), device, n, 1)).collect();
    // What is for the host is counted instead of answered.
    config.ports.iter_mut().for_each(|port| port.exception = None);
    let address = |interface: &str, address: &str, len| (interface.to_owned(), parse(address), len);
    config.addresses = vec![
        address("c", "192.0.2.1", 24),
        address("c", "192.0.2.100", 32),
        address("c", "2001:db8:1::1", 64),
        address("c", "2001:db8:1::100", 128),
        address("s", "10.0.2.1", 24),
        address("s", "2001:db8:2::1", 64),
    ];
    let mut neighbour = |interface: &str, address: String, mac: String| {
        config.extra += &format!(
            "[[neighbour]]\ninterface = \"{interface}\"\naddress = \"{address}\"\nmac = \"{mac}\"\n"
        );
    };
    for gateway in ["192.0.2.254", "2001:db8:1::fe"] {
        neighbour("c", gateway.to_owned(), "02:00:00:00:00:fe".to_owned());
    }
    for n in (11..=18).chain([254_u8]) {
        for address in [format!("10.0.2.{n}"), format!("2001:db8:2::{n:x}")] {
            neighbour("s", address, format!("02:00:00:00:02:{n:02x}"));
        }
    }
    for (to, via) in [("0.0.0.0/0", "192.0.2.254"), ("::/0", "2001:db8:1::fe")] {
        config.routes.push((to.to_owned(), parse(via), None));
    }
    config
}

fn parse(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

struct Run<'a> {
    links: &'a [(char, File)],
    director: &'a Director,
    /// Frames that Linux's own stack answered.
    to_host: u64,
}

impl Run<'_> {
    fn replay(mut self, trace: &Trace) -> Result<()> {
        for (name, value) in &trace.sysctl_set {
            self.director.ctl.run(&format!("sysctl set {name}={value}"))?;
        }
        // What is said about addresses when they come into use.
        self.collect(0, PATIENCE)?;
        for (number, step) in trace.steps.iter().enumerate() {
            self.step(step).context(format_args!("step {number}"))?;
        }
        let counted = self.director.ctl.dropped("host_port_absent")?;
        if counted < self.to_host {
            return Err(Error::new(format!(
                "{counted} packets were for the host, {} had to be",
                self.to_host
            )));
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Cmd { cmd, rc: 0, .. } => cmd.split("; ").try_for_each(|command| self.command(command)),
            Step::In { frame, out, .. } => self.frame(frame, out),
            // For statistics, which nobody waits for here.
            Step::Wait { ms: ..=STATISTICS_MS, out } if out.is_empty() => Ok(()),
            Step::Wait { ms, out } if out.is_empty() => {
                std::thread::sleep(Duration::from_millis(*ms));
                Ok(())
            }
            Step::Wait { .. } => Err(Error::new("frames without a cause are not for this suite")),
            Step::Conns { proc_conn, .. } => self.connections(proc_conn),
            Step::Dump(dump) => self.connections(&dump.proc_conn),
            Step::Cmd { .. } | Step::Note {} => Ok(()),
        }
    }

    fn command(&self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let words = match words.as_slice() {
            ["ip", "link", "set", "dev", ..] => {
                return Err(Error::new(format!("`{line}` is not for this suite")));
            }
            ["sysctl", .., setting] => format!("sysctl set {setting}"),
            ["ipvsadm", words @ ..] => match rvsctl(words) {
                Some(words) => words,
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.director.ctl.run(&words).map(drop)
    }

    fn frame(&mut self, frame: &Frame, want: &[Frame]) -> Result<()> {
        let link = self.links.iter().find(|(side, _)| *side == frame.side).map(|(_, link)| link);
        let mut link = link.ok_or_else(|| Error::new(format!("no link {}", frame.side)))?;
        link.write_all(&frame.bytes)?;
        let for_host = !want.is_empty() && conformance::is_hosts_answer(frame, want);
        let got = self.collect(want.len(), if for_host { PATIENCE_FOR_HOST } else { PATIENCE })?;
        if got.is_empty() && for_host {
            self.to_host += 1;
            return Ok(());
        }
        match conformance::difference(want, &got) {
            None => Ok(()),
            Some((want, got)) => Err(Error::new(format!("Linux: {want}\nrvs: {got}"))),
        }
    }

    /// Frames that left: waits for so many, as long as patience goes, and a little for more.
    fn collect(&self, count: usize, patience: Duration) -> Result<Vec<Frame>> {
        let (mut frames, start, mut last) = (Vec::new(), Instant::now(), Instant::now());
        loop {
            for (side, link) in self.links {
                while let Some(bytes) = frame::read(link) {
                    if !is_announcement(&bytes) {
                        frames.push(Frame { side: *side, bytes });
                        last = Instant::now();
                    }
                }
            }
            let waited =
                if frames.len() < count { start.elapsed() > patience } else { last.elapsed() > GRACE };
            if waited {
                return Ok(frames);
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Who is connected to whom, in which state.
    fn connections(&self, rows: &[String]) -> Result<()> {
        let mut want: Vec<String> = rows.iter().filter_map(|row| recorded(row)).collect();
        let listed = self.director.ctl.conn_list()?;
        let row = |c: &api::ConnView| {
            format!("{} {} {} {} {}", c.protocol, c.client, c.service, c.destination, c.state)
        };
        let mut got: Vec<String> = listed.iter().map(row).collect();
        want.sort();
        got.sort();
        if want == got {
            Ok(())
        } else {
            Err(Error::new(format!("connections of Linux: {want:#?}\nof rvs: {got:#?}")))
        }
    }
}

/// ARP, and what rvs says about its addresses by itself.
fn is_announcement(bytes: &[u8]) -> bool {
    match wire::parse(bytes) {
        Ok(Parsed::Ip(info)) => {
            info.protocol == wire::protocol::ICMPV6
                && icmpv6::kind(info.upper(bytes)) == icmpv6::NEIGHBOUR_ADVERTISEMENT
        }
        _ => true,
    }
}

/// A row of `/proc/net/ip_vs_conn`; none for its heading.
fn recorded(row: &str) -> Option<String> {
    let words: Vec<&str> = row.split_whitespace().collect();
    let [protocol, client, cport, service, vport, destination, dport, state, ..] = words[..] else {
        return None;
    };
    let at = |address: &str, port: &str| {
        let port = u16::from_str_radix(port, 16).ok()?;
        let address: IpAddr = match u32::from_str_radix(address, 16) {
            Ok(v4) => v4.to_be_bytes().into(),
            Err(_) => address.parse().ok()?,
        };
        Some(SocketAddr::new(address, port))
    };
    let (client, service) = (at(client, cport)?, at(service, vport)?);
    Some(format!("{} {client} {service} {} {state}", protocol.to_lowercase(), at(destination, dport)?))
}

/// What `ipvsadm`'s words are in `rvsctl`'s; none for what only shows.
fn rvsctl(words: &[&str]) -> Option<String> {
    let (verb, mut rest) = words.split_first()?;
    let command = match *verb {
        "-A" => "service add",
        "-E" => "service edit",
        "-D" => "service del",
        "-a" => "dest add",
        "-e" => "dest edit",
        "-d" => "dest del",
        "-C" => return Some("service flush".to_owned()),
        "-Z" => return Some("service zero".to_owned()),
        _ => return None,
    };
    let (mut service, mut dest, mut options) = (String::new(), String::new(), String::new());
    let mut method = None;
    while let Some((word, more)) = rest.split_first() {
        rest = more;
        let protocol = match *word {
            "-t" => Some("tcp"),
            "-u" => Some("udp"),
            "--sctp-service" => Some("sctp"),
            _ => None,
        };
        if let Some(protocol) = protocol {
            service = format!("{protocol} {}", value(&mut rest)?);
            continue;
        }
        match *word {
            "-r" => dest = value(&mut rest)?.to_owned(),
            "-m" => method = Some("nat"),
            "-g" => method = Some("dr"),
            "-i" => method = Some("tunnel"),
            "-b" => {
                let flags: Vec<&str> = value(&mut rest)?
                    .split(',')
                    .map(|flag| flag.split_once('-').map_or(flag, |(_, flag)| flag))
                    .collect();
                options += &format!(" -b {}", flags.join(","));
            }
            "-s" | "-w" | "-x" | "-y" => options += &format!(" {word} {}", value(&mut rest)?),
            other => options += &format!(" {other}"),
        }
    }
    // An edit says all anew, defaults included.
    if let "-a" | "-e" = *verb {
        options += &format!(" -m {}", method.unwrap_or("dr"));
        for (option, default) in [(" -w ", " -w 1"), (" -x ", " -x 0"), (" -y ", " -y 0")] {
            if *verb == "-e" && !options.contains(option) {
                options += default;
            }
        }
    }
    let dest = if dest.is_empty() { dest } else { format!(" {dest}") };
    Some(format!("{command} {service}{dest}{options}"))
}

fn value<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (value, more) = rest.split_first()?;
    *rest = more;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_said_in_rvsctls_words() {
        for (line, want) in [
            ("-A -t 192.0.2.100:80 -s rr", Some("service add tcp 192.0.2.100:80 -s rr")),
            (
                "-A -u [2001:db8::1]:53 -s sh -b sh-fallback,sh-port",
                Some("service add udp [2001:db8::1]:53 -s sh -b fallback,port"),
            ),
            (
                "-a -t 192.0.2.100:80 -r 10.0.2.11:8080 -m -w 3",
                Some("dest add tcp 192.0.2.100:80 10.0.2.11:8080 -w 3 -m nat"),
            ),
            (
                "-e -t 192.0.2.100:80 -r 10.0.2.11 -w 0",
                Some("dest edit tcp 192.0.2.100:80 10.0.2.11 -w 0 -m dr -x 0 -y 0"),
            ),
            ("-C", Some("service flush")),
            ("-Ln --stats", None),
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(rvsctl(&words).as_deref(), want, "{line}");
        }
    }

    #[test]
    fn rows_are_read_in_both_families() {
        for (row, want) in [
            (
                "TCP C6336401 9C40 C0000264 0050 0A00020B 1F90 ESTABLISHED     897",
                Some("tcp 198.51.100.1:40000 192.0.2.100:80 10.0.2.11:8080 ESTABLISHED"),
            ),
            ("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData", None),
            (
                "UDP 2001:0db8:000c:0000:0000:0000:0000:0001 9C40 2001:0db8:0001:0000:0000:0000:0000:0100 0035 2001:0db8:0002:0000:0000:0000:0000:000b 0035 UDP 299",
                Some("udp [2001:db8:c::1]:40000 [2001:db8:1::100]:53 [2001:db8:2::b]:53 UDP"),
            ),
        ] {
            assert_eq!(recorded(row).as_deref(), want, "{row}");
        }
    }
}
