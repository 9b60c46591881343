//! What no recording of Linux shows: FULLNAT, tunnels whose path narrows, limits, and packets that make no sense.

mod defence;
mod fullnat;

mod limits;
mod robust;
mod trace;
mod translate;
mod tunnel;

use conformance::{Lab, Outcome};
use wire::testing::{Frame, verify_checksums};
use wire::{PacketInfo, testing};

/// Names of one family's hosts.
pub struct Hosts {
    pub client: &'static str,
    pub vip: &'static str,
    pub server: &'static str,
    /// A router between the director and the servers.
    pub router: &'static str,
}

pub const FAMILIES: [Hosts; 2] = [
    Hosts { client: "198.51.100.1", vip: "192.0.2.100", server: "10.0.2.11", router: "10.0.2.254" },
    Hosts {
        client: "2001:db8:c::1",
        vip: "2001:db8:1::100",
        server: "2001:db8:2::b",
        router: "2001:db8:2::fe",
    },
];

/// Address and port as commands write them.
pub fn endpoint(addr: &str, port: u16) -> String {
    if addr.contains(':') { format!("[{addr}]:{port}") } else { format!("{addr}:{port}") }
}

/// A packet between two hosts of one family.
pub fn packet(src: &str, dst: &str) -> Frame {
    Frame::new(src.parse().expect("an address"), dst.parse().expect("an address"))
}

/// A laboratory with one service on the VIP's port 80, TCP and UDP, that has one destination.
pub fn served(hosts: &Hosts, server: &str, options: &str) -> Lab {
    let mut lab = Lab::new();
    serve(&mut lab, hosts, server, options);
    lab
}

/// Adds that service.
pub fn serve(lab: &mut Lab, hosts: &Hosts, server: &str, options: &str) {
    let (vip, server) = (endpoint(hosts.vip, 80), endpoint(server, 8080));
    for protocol in ["-t", "-u"] {
        lab.command(&format!("ipvsadm -A {protocol} {vip} -s rr"));
        lab.command(&format!("ipvsadm -a {protocol} {vip} -r {server} {options}"));
    }
}

/// The one packet that left, found whole.
pub fn only(outcome: &Outcome, side: char) -> (PacketInfo, &[u8]) {
    let [(at, frame)] = &outcome.out[..] else { panic!("one packet, not {outcome:?}") };
    assert_eq!(*at, side, "{outcome:?}");
    assert_eq!(verify_checksums(frame), Ok(()));
    (testing::info(frame), frame)
}

/// Source and destination of a packet: address and port.
pub fn ends(info: &PacketInfo, frame: &[u8]) -> [(String, u16); 2] {
    [(info.src(frame).to_string(), info.sport), (info.dst(frame).to_string(), info.dport)]
}

/// Two ends in text.
pub fn pair(src: &str, sport: u16, dst: &str, dport: u16) -> [(String, u16); 2] {
    [(src.into(), sport), (dst.into(), dport)]
}
