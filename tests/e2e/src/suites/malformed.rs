//! Frames that no kernel would send, into a running rvsd: every truncation and many bit flips of valid ones. It
//! counts them, drops what has to be dropped, and serves on.

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::address::{self, Family, Method};
use lab::{Error, Plan, Result, Topology, Wiring, echo, nginx};
use wire::ether::MacAddr;
use wire::tcp;
use wire::testing::Frame;

use crate::config::{Config, Service};
use crate::load::{Load, curl, summarise};
use crate::{Context, Director, frame};

const SERVERS: u8 = 2;
/// Bit-flipped frames that are sent.
const FLIPPED: u32 = 20_000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Frames that go out before the receiver gets a moment to empty its ring.
const BURST: usize = 32;
/// Ethernet's header: nothing shorter is a frame.
const HEADER: usize = 14;
const SENDER: MacAddr = MacAddr([2, 0, 0, 0, 9, 9]);

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { wiring: Wiring::OneArm, servers: SERVERS, ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    let wire = context.step("a port of our own on the switch", || {
        let file = frame::tap(&topology.switch, "inject0")?;
        topology.switch.ip(["link set inject0 master br0"])?;
        Ok(file)
    })?;
    let mut config = Config::new(Wiring::OneArm, 2, 1);
    for method in [Method::Fullnat, Method::Nat] {
        for family in Family::ALL {
            config = config
                .with(Service::new("tcp", method, family, nginx::PORTS[0], SERVERS))
                .with(Service::new("udp", method, family, echo::ECHO_PORT, SERVERS));
        }
    }
    context.with_director(&topology, &config, |director| {
        let valid = frames(director_mac(director)?);
        context.step("every truncation", || {
            let cut = valid.iter().flat_map(|frame| (HEADER..frame.len()).map(|len| frame[..len].to_vec()));
            inject(director, &wire, cut.collect())
        })?;
        context.step("service unaffected", || serves(&topology))?;
        context.step(format_args!("{FLIPPED} bit-flipped frames"), || {
            inject(director, &wire, flipped(&valid))
        })?;
        context.step("service unaffected", || serves(&topology))?;
        context.step("drops are counted by reason", || {
            let drops = director.ctl.drops()?;
            if drops.len() < 3 { Err(Error::new(format!("only {drops:?}"))) } else { Ok(()) }
        })
    })
}

fn director_mac(director: &Director) -> Result<MacAddr> {
    let port = director.ctl.ports()?.into_iter().next().ok_or_else(|| Error::new("no port"))?;
    port.mac.to_string().parse().map_err(|_| Error::new(format!("the port's MAC is {}", port.mac)))
}

/// One valid frame of each kind that rvs reads.
fn frames(director: MacAddr) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for family in Family::ALL {
        // An address that nobody has: replies go nowhere.
        let client = address::wan(family, 77);
        let vip = address::vip(Method::Fullnat, family);
        let to_vip = || Frame::new(client, vip).mac(SENDER, director);
        let tcp = to_vip().tcp(4000, nginx::PORTS[0], tcp::SYN).build();
        let udp = to_vip().udp(4001, echo::ECHO_PORT).payload(&[1; 32]);
        frames.push(udp.clone().build());
        frames.push(udp.clone().fragment(0, true).build());
        frames.push(udp.fragment(64, false).build());
        frames.push(to_vip().echo_request(7, 1).payload(&[2; 16]).build());
        // Port unreachable, about a packet that the VIP would have sent.
        let (kind, code) = if family == Family::V4 { (3, 3) } else { (1, 4) };
        let quoted = Frame::new(vip, client).tcp(nginx::PORTS[0], 4000, tcp::ACK).build();
        frames.push(to_vip().icmp(kind, code, 0).quote(&quoted, 64).build());
        frames.push(Frame::new(client, address::server(family, 1)).mac(SENDER, director).udp(1, 2).build());
        frames.push(tcp);
    }
    let v4 = || Frame::v4("192.0.2.77", "192.0.2.100").mac(SENDER, director);
    frames.push(v4().ip_options(&[7, 7, 4, 0, 0, 0, 0, 0]).tcp(4002, 80, tcp::SYN).build());
    let v6 = || Frame::v6("2001:db8:1::77", "2001:db8:1::100").mac(SENDER, director);
    frames.push(v6().extension(0, &[1, 4, 0, 0, 0, 0]).tcp(4003, 80, tcp::SYN).build());
    frames.push(neighbour_solicitation(director));
    frames.push(arp_request());
    frames
}

fn neighbour_solicitation(director: MacAddr) -> Vec<u8> {
    let IpAddr::V6(target) = address::director_wan(Family::V6) else { return Vec::new() };
    let payload = [&target.octets()[..], &[1, 1], &SENDER.0].concat();
    let frame = Frame::new(address::wan(Family::V6, 77), target.into()).mac(SENDER, director);
    frame.ttl(255).icmp(135, 0, 0).payload(&payload).build()
}

/// RFC 826: who has the director's address?
fn arp_request() -> Vec<u8> {
    let header = [&[0xff; 6][..], &SENDER.0, &[0x08, 0x06]].concat();
    let fixed = [0, 1, 0x08, 0, 6, 4, 0, 1];
    let (sender, target) = ([192, 0, 2, 77], [192, 0, 2, 1]);
    [&header[..], &fixed, &SENDER.0, &sender, &[0; 6], &target].concat()
}

/// Frames with one to eight bits flipped behind the Ethernet addresses, always the same.
fn flipped(valid: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut state = SEED;
    let mut random = move |below: usize| {
        // xorshift64 (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let frames = (0..FLIPPED).map(|_| {
        let mut frame = valid[random(valid.len())].clone();
        for _ in 0..=random(8) {
            let at = 12 + random(frame.len() - 12);
            frame[at] ^= 1 << random(8);
        }
        frame
    });
    frames.collect()
}

/// Sends the frames, and waits until the director has received nearly all. Not all: af_packet lets the kernel gather
/// IPv4 fragments first (PACKET_FANOUT_FLAG_DEFRAG), which are two of the eighteen kinds.
fn inject(director: &mut Director, mut wire: &File, frames: Vec<Vec<u8>>) -> Result<()> {
    let before = director.ctl.packets()?.rx;
    for burst in frames.chunks(BURST) {
        for frame in burst {
            wire.write_all(frame)?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    director.check_conservation()?;
    let received = director.ctl.packets()?.rx - before;
    let wanted = frames.len() as u64 * 8 / 10;
    if received < wanted {
        return Err(Error::new(format!("{received} of {} frames received", frames.len())));
    }
    Ok(())
}

fn serves(topology: &Topology) -> Result<()> {
    for method in [Method::Fullnat, Method::Nat] {
        for family in Family::ALL {
            let target = (address::vip(method, family), nginx::PORTS[0]);
            let samples = curl(&topology.client, &Load { target, requests: 40, parallel: 4, source: None })?;
            summarise(&samples).check(SERVERS.into())?;
            let echo = SocketAddr::new(target.0, echo::ECHO_PORT);
            topology.client.enter(move || crate::exchange::udp(None, echo, b"served"))??;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_and_flipped_was_valid_before() {
        let frames = frames(MacAddr([2, 0, 0, 0, 1, 1]));
        assert_eq!(frames.len(), 18);
        for frame in &frames {
            wire::testing::verify_checksums(frame).unwrap_or_else(|wrong| panic!("{wrong}: {frame:02x?}"));
        }
    }

    #[test]
    fn flips_repeat_and_spare_the_ethernet_addresses() {
        let valid = frames(MacAddr([2, 0, 0, 0, 1, 1]));
        let frames = flipped(&valid);
        assert_eq!(frames, flipped(&valid));
        let addresses: Vec<&[u8]> = valid.iter().map(|frame| &frame[..12]).collect();
        assert!(frames.iter().all(|frame| addresses.contains(&&frame[..12])));
    }
}
