//! The words of ipvsadm, and what it refuses before it asks the kernel.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipvs::{GueChecksum, Method, Tunnel};
use sync::{DaemonConfig, Role};

use super::{Command, DestWords, Key, Listing, ServiceWords, Verb};

/// What ipvsadm is asked for; none if it has no words here.
pub(super) fn command(words: &[&str]) -> Option<Command> {
    wrong(words).map(Command::Wrong).or_else(|| understood(words))
}

/// What ipvsadm finds wrong with its words.
fn wrong(words: &[&str]) -> Option<String> {
    if let Some(mark) = value(words, "-f").filter(|mark| !mark.parse().is_ok_and(|mark: u32| mark > 0)) {
        return Some(format!("invalid fwmark value `{mark}' specified"));
    }
    if value(words, "-r").is_some_and(|dest| dest.starts_with('[') && dest.ends_with(']')) {
        return Some("illegal real server address[:port] specified".into());
    }
    if value(words, "-w").is_some_and(|weight| !weight.parse().is_ok_and(|weight: i32| weight >= 0)) {
        return Some("illegal weight specified".into());
    }
    if value(words, "--syncid").is_some_and(|id| id.parse::<u8>().is_err()) {
        return Some("illegal syncid specified".into());
    }
    let made = matches!(words.first(), Some(&("-A" | "-E"))).then(|| service(words)).flatten()?;
    if made.one_packet && matches!(made.key, Key::Tcp(_) | Key::Sctp(_)) {
        return Some("One-Packet Scheduling is only for UDP virtual services".into());
    }
    let no_port = !matches!(made.key, Key::Mark { .. }) && made.key.port() == 0;
    (no_port && made.persistent_s.is_none()).then(|| "Zero port specified for non-persistent service".into())
}

fn understood(words: &[&str]) -> Option<Command> {
    let verb = |edit| if edit { Verb::Edit } else { Verb::Add };
    Some(match *words {
        ["-C"] => Command::Clear,
        ["-Z"] => Command::Zero,
        ["--set", tcp, fin, udp] => Command::Timeouts {
            tcp_s: tcp.parse().ok()?,
            tcp_fin_s: fin.parse().ok()?,
            udp_s: udp.parse().ok()?,
        },
        ["-Ln"] | ["-Ln", "--sort"] => Command::Show(Listing::List),
        ["-Ln", "--nosort"] => Command::Show(Listing::Unsorted),
        ["-Ln", "--stats"] => Command::Show(Listing::Stats),
        ["-Ln", "--rate"] => Command::Show(Listing::Rate),
        ["-Ln", "--persistent-conn"] => Command::Show(Listing::Persistent),
        ["-Sn"] => Command::Show(Listing::Saved),
        ["-Ln", "-t" | "-u" | "-f" | "--sctp-service", ..] => Command::Show(Listing::One(key(words)?)),
        ["-Ln", "--thresholds"] => Command::Show(Listing::Thresholds),
        ["-L", "--timeout"] => Command::Show(Listing::Timeouts),
        ["-L", "--daemon"] => Command::Show(Listing::Daemons),
        ["--start-daemon", name, ref rest @ ..] => {
            Command::StartDaemon { role: role(name)?, config: daemon(rest)? }
        }
        ["--stop-daemon", name] => Command::StopDaemon(role(name)?),
        [name @ ("-A" | "-E"), ref rest @ ..] => {
            Command::Service { verb: verb(name == "-E"), service: service(rest)? }
        }
        ["-D", ref rest @ ..] => Command::RemoveService(key(rest)?),
        [name @ ("-a" | "-e"), ref rest @ ..] => {
            Command::Dest { verb: verb(name == "-e"), key: key(rest)?, dest: dest(rest)? }
        }
        ["-d", ref rest @ ..] => {
            let (addr, port) = endpoint(value(rest, "-r")?)?;
            Command::RemoveDest { key: key(rest)?, addr, port }
        }
        _ => return None,
    })
}

fn value<'a>(words: &[&'a str], name: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == name)?;
    words.get(at + 1).copied()
}

fn key(words: &[&str]) -> Option<Key> {
    let address = |name| value(words, name)?.parse::<SocketAddr>().ok();
    if let Some(mark) = value(words, "-f") {
        return Some(Key::Mark { mark: mark.parse().ok()?, v6: words.contains(&"-6") });
    }
    let tcp = address("-t").map(Key::Tcp);
    tcp.or_else(|| address("-u").map(Key::Udp)).or_else(|| address("--sctp-service").map(Key::Sctp))
}

fn service(words: &[&str]) -> Option<ServiceWords> {
    const PERSISTENT_S: u32 = 360;
    let given = value(words, "-p").and_then(|seconds| seconds.parse().ok());
    Some(ServiceWords {
        key: key(words)?,
        scheduler: value(words, "-s").unwrap_or("wlc").into(),
        // Listed in this order, whatever the order they are given in.
        scheduler_flags: value(words, "-b").map_or(vec![], |flags| {
            let mut flags: Vec<String> = flags.split(',').map(str::to_owned).collect();
            flags.sort();
            flags
        }),
        persistent_s: words.contains(&"-p").then_some(given.unwrap_or(PERSISTENT_S)),
        netmask: value(words, "-M").map(str::to_owned),
        one_packet: words.contains(&"-o"),
        engine: value(words, "--pe").map(str::to_owned),
    })
}

fn dest(words: &[&str]) -> Option<DestWords> {
    let number = |name, default| value(words, name).map_or(Some(default), |word| word.parse().ok());
    let (addr, port) = endpoint(value(words, "-r")?)?;
    Some(DestWords {
        addr,
        port,
        method: words.iter().find_map(|word| method(word)).unwrap_or(Method::DirectRouting),
        weight: number("-w", 1)?,
        upper: number("-x", 0)?,
        lower: number("-y", 0)?,
        tunnel: tunnel(words)?,
    })
}

/// Flags of a kind that has no use for them are let pass, as ipvsadm lets them.
fn tunnel(words: &[&str]) -> Option<Tunnel> {
    let given = |flag| words.contains(&flag);
    Some(match value(words, "--tun-type") {
        None | Some("ipip") => Tunnel::Ipip,
        Some("gre") => Tunnel::Gre { checksum: given("--tun-csum") },
        Some("gue") => Tunnel::Gue {
            port: value(words, "--tun-port")?.parse().ok()?,
            checksum: match () {
                () if given("--tun-remcsum") => GueChecksum::Remote,
                () if given("--tun-csum") => GueChecksum::Full,
                () => GueChecksum::None,
            },
        },
        Some(_) => return None,
    })
}

fn role(word: &str) -> Option<Role> {
    [Role::Master, Role::Backup].into_iter().find(|role| role.name() == word)
}

fn daemon(words: &[&str]) -> Option<DaemonConfig> {
    fn given<T: FromStr>(words: &[&str], name: &str, default: T) -> Option<T> {
        value(words, name).map_or(Some(default), |word| word.parse().ok())
    }
    let default = DaemonConfig::new(value(words, "--mcast-interface")?);
    Some(DaemonConfig {
        syncid: given(words, "--syncid", default.syncid)?,
        maxlen: given(words, "--sync-maxlen", default.maxlen)?,
        group: given(words, "--mcast-group", default.group)?,
        port: given(words, "--mcast-port", default.port)?,
        ttl: given(words, "--mcast-ttl", default.ttl)?,
        ..default
    })
}

fn method(word: &str) -> Option<Method> {
    match word {
        "-m" => Some(Method::Masquerade),
        "-i" => Some(Method::Tunnel),
        "-g" => Some(Method::DirectRouting),
        "--fullnat" => Some(Method::Fullnat),
        _ => None,
    }
}

fn endpoint(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(at) = text.parse::<SocketAddr>() {
        return Some((at.ip(), Some(at.port())));
    }
    text.trim_start_matches('[').trim_end_matches(']').parse().ok().map(|addr| (addr, None))
}
