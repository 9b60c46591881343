//! Following packets: collecting what workers noted, and putting it into words.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use api::{Error, ErrorCode, Reply, TraceFilter, TraceStep, TraceView, TracedPacket};
use ipvs::trace::{Buffer, Filter, Headers, Origin, Step};
use ipvs::{DestId, ServiceKey, Snapshot, Verdict};

use crate::control::refused;
use crate::dataplane::Dataplane;

/// Between two collections.
const POLL: Duration = Duration::from_millis(50);
/// A client hears something at least so often, even if no packet comes.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// A trace ends by itself after so long.
pub const SECONDS_MAX: u32 = 3600;

/// Shows at most `packets` packets that come within `seconds`, in parts as they come; `snapshot` says what ids mean.
pub fn run(
    dataplane: &dyn Dataplane,
    snapshot: impl Fn() -> std::sync::Arc<Snapshot>,
    (filter, packets, seconds): (TraceFilter, u32, u32),
    part: &mut dyn FnMut(Reply) -> io::Result<()>,
) -> Result<Reply, Error> {
    let filter = Filter {
        protocol: filter.protocol,
        host: filter.host.map(|cidr| (cidr.address, cidr.prefix_len)),
        port: filter.port,
    };
    let until = Instant::now() + Duration::from_secs(seconds.min(SECONDS_MAX).into());
    let mut left = packets;
    let mut told = Instant::now();
    dataplane.trace(Some((filter, left))).map_err(|error| ended(dataplane, &error))?;
    while left > 0 && Instant::now() < until {
        std::thread::sleep(POLL);
        let kept = dataplane.trace(Some((filter, left))).map_err(|error| ended(dataplane, &error))?;
        let seen = view(&snapshot(), &kept, left);
        left -= seen.packets.len() as u32;
        let silent = seen.packets.is_empty() && seen.lost == 0;
        if (!silent || told.elapsed() > SIGN_OF_LIFE) && part(Reply::Trace(seen)).is_err() {
            // The client is gone.
            break;
        } else if !silent {
            told = Instant::now();
        }
    }
    let rest = dataplane.trace(None).map_err(|error| refused(&error))?;
    Ok(Reply::Trace(view(&snapshot(), &rest, left)))
}

/// What had begun is ended; that this may fail too changes nothing.
fn ended(dataplane: &dyn Dataplane, error: &crate::DataplaneError) -> Error {
    let _ = dataplane.trace(None);
    refused(error)
}

/// Refuses what no trace can be.
pub fn check(packets: u32, seconds: u32) -> Result<(), Error> {
    let wrong = |what, found, most| {
        Err(Error::new(ErrorCode::Invalid, format!("{what}: found {found}, expected 1 to {most}"))
            .about("trace"))
    };
    match (packets, seconds) {
        (0, _) => wrong("packets", packets, u32::MAX),
        (_, seconds) if !(1..=SECONDS_MAX).contains(&seconds) => wrong("seconds", seconds, SECONDS_MAX),
        _ => Ok(()),
    }
}

fn view(snapshot: &Snapshot, kept: &[Option<Box<Buffer>>], most: u32) -> TraceView {
    let mut view = TraceView::default();
    for (worker, buffer) in (0u16..).zip(kept) {
        let Some(buffer) = buffer else { continue };
        view.lost += buffer.lost();
        let steps = buffer.steps();
        let begins = |step: &Step| matches!(step, Step::Came { .. });
        for way in steps.chunk_by(|_, next| !begins(next)) {
            let steps = way.iter().map(|step| words(snapshot, step)).collect();
            view.packets.push(TracedPacket { worker, steps });
        }
    }
    view.packets.truncate(most as usize);
    view
}

/// A step as an operator reads it.
fn words(snapshot: &Snapshot, step: &Step) -> TraceStep {
    let iface = |id: inet::IfaceId| {
        let found = snapshot.net.ifaces().get(usize::from(id.0));
        found.map_or_else(|| "an interface that is gone".to_owned(), |iface| iface.name.to_string())
    };
    let (stage, text) = match *step {
        Step::Came { origin, iface: id, ref headers } => {
            let from = match origin {
                Origin::Link => format!("by {}", iface(id)),
                Origin::Worker => format!("by {}, from another worker", iface(id)),
                Origin::Host => format!("from the host, by {}", iface(id)),
            };
            ("came", format!("{from}: {}", packet(headers)))
        }
        Step::Marked(mark) => ("mark", format!("{mark:#x}")),
        Step::Steered(worker) => ("steered", format!("to worker {}, which owns the flow", worker.0)),
        Step::At(hook) => (hook.name(), String::new()),
        Step::Connection { direction, dest: id } => {
            let way = match direction {
                ipvs::trace::Direction::Original => "of the client",
                ipvs::trace::Direction::Reply => "of the destination",
            };
            ("connection", format!("{way}, bound to {}", dest(snapshot, id)))
        }
        Step::Scheduled { service: id, dest: chosen } => {
            let service =
                snapshot.services.service(id).map_or_else(|| "a service that is gone".to_owned(), key);
            let chosen = chosen.map_or_else(|| "no destination".to_owned(), |id| dest(snapshot, id));
            ("scheduled", format!("{service} gives {chosen}"))
        }
        Step::State { protocol, from, to } => {
            let name = |state| protocol.state_name(state);
            ("state", format!("{} {} → {}", protocol.name(), name(from), name(to)))
        }
        Step::Decided(verdict) => ("verdict", decision(verdict)),
        Step::Leaves { hop, ref headers } => {
            ("leaves", format!("by {}, to {}: {}", iface(hop.iface), hop.addr, packet(headers)))
        }
    };
    TraceStep { stage: stage.to_owned(), text }
}

fn decision(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accept | Verdict::Stop | Verdict::ToHost => "to the host".to_owned(),
        Verdict::Drop(reason) => format!("dropped: {}", reason.name()),
        Verdict::Tx(_) => "sent".to_owned(),
        Verdict::Answer(reason) => format!("answered with an ICMP error: {}", reason.name()),
        Verdict::Steer(worker) => format!("to worker {}, which has the connection", worker.0),
    }
}

fn dest(snapshot: &Snapshot, id: DestId) -> String {
    match snapshot.services.dest(id) {
        Some((_, dest)) => SocketAddr::new(dest.addr, dest.port).to_string(),
        None => "a destination that is not configured".to_owned(),
    }
}

fn key(service: &ipvs::Service) -> String {
    match service.key {
        ServiceKey::Address { protocol, addr, port } => {
            format!("{} {}", protocol.name().to_lowercase(), SocketAddr::new(addr, port))
        }
        ServiceKey::Mark { mark, .. } => format!("fwmark {mark}"),
    }
}

/// As tcpdump would show it, more or less.
fn packet(headers: &Headers) -> String {
    let Headers { src, dst, protocol, tcp_flags, ttl, bytes } = *headers;
    let name = match protocol {
        wire::protocol::TCP => "tcp".to_owned(),
        wire::protocol::UDP => "udp".to_owned(),
        wire::protocol::SCTP => "sctp".to_owned(),
        wire::protocol::ICMP => "icmp".to_owned(),
        wire::protocol::ICMPV6 => "icmpv6".to_owned(),
        number => format!("protocol {number}"),
    };
    let ports = (src.1, dst.1) != (0, 0);
    let end = |(addr, port): (IpAddr, u16)| match ports {
        true => SocketAddr::new(addr, port).to_string(),
        false => addr.to_string(),
    };
    let flags: String = [(0x02, 'S'), (0x10, 'A'), (0x08, 'P'), (0x01, 'F'), (0x04, 'R'), (0x20, 'U')]
        .iter()
        .filter(|(bit, _)| tcp_flags & bit != 0)
        .map(|(_, letter)| *letter)
        .collect();
    let flags = if flags.is_empty() { flags } else { format!(" [{flags}]") };
    format!("{name} {} > {}{flags}, {bytes} bytes, ttl {ttl}", end(src), end(dst))
}
