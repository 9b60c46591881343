//! AH and ESP go where their key exchange goes, whichever worker receives them, and come back from there.

use std::net::{IpAddr, SocketAddr};

use inet::DropReason;
use ipvs::{Method, Protocol, Rng, Service, ServiceKey};
use wire::testing::{Frame, info};
use wire::{Family, MacAddr, ether, protocol};

use crate::cluster::Cluster;
use crate::frames::{from_client, inside, see};
use crate::site::{FAMILIES, LAN, LAN_MAC, METHODS, ROUTER_MAC, Site, WAN, WAN_MAC, client, vip};

const IKE: u16 = 500;
const WORKERS: u16 = 4;

/// A site with IKE behind this method.
fn cluster(family: Family, method: Method) -> Cluster {
    let mut site = Site::new(WORKERS);
    let service = site.service(family, Protocol::Udp, method);
    let key = ServiceKey::Address { protocol: Protocol::Udp, addr: vip(family), port: IKE };
    let dests = service.dests.iter().map(|dest| ipvs::Dest { port: IKE, ..dest.clone() }).collect();
    *service = Service { key, dests, ..service.clone() };
    Cluster::new(&site)
}

fn esp(src: IpAddr, dst: IpAddr, (from, to): (MacAddr, MacAddr)) -> Frame {
    Frame::new(src, dst).mac(from, to).raw(protocol::ESP).payload(&[0, 0, 1, 0, 0, 0, 0, 1, 0xee])
}

/// ESP alone, and what AH protects: alone over IPv4, ESP over IPv6.
fn packets(src: IpAddr, dst: IpAddr, macs: (MacAddr, MacAddr)) -> [Vec<u8>; 2] {
    let ah = match src {
        IpAddr::V4(_) => Frame::new(src, dst)
            .mac(macs.0, macs.1)
            .raw(protocol::AH)
            .payload(&[6, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]),
        IpAddr::V6(_) => esp(src, dst, macs).extension(protocol::AH, &[0; 14]),
    };
    [esp(src, dst, macs).build(), ah.build()]
}

/// Source and destination of what left for a server, and which server that is.
fn arrived(method: Method, frame: &[u8]) -> ((IpAddr, IpAddr), MacAddr) {
    let packet = if method == Method::Tunnel { inside(frame) } else { frame.to_vec() };
    let info = info(&packet);
    ((info.src(&packet), info.dst(&packet)), ether::dst(frame))
}

#[test]
fn they_follow_their_key_exchange_and_come_back_from_it() {
    let mut rng = Rng::new(3);
    let mut worker = || (rng.next_u64() % u64::from(WORKERS)) as usize;
    for (family, method) in FAMILIES.into_iter().flat_map(|family| METHODS.map(|method| (family, method))) {
        let mut cluster = cluster(family, method);
        let name = format!("{family:?} {method:?}");
        let vip = vip(family);
        for n in 1..=8 {
            let client = client(family, n);
            let from_wan = || packets(client, vip, (ROUTER_MAC, WAN_MAC));
            for packet in from_wan() {
                assert_eq!(cluster.receive(worker(), WAN, &packet).only_host(WAN), packet, "{name}: alone");
            }
            let endpoints = (SocketAddr::new(client, IKE), SocketAddr::new(vip, IKE));
            let ike = from_client(Protocol::Udp, endpoints.0, endpoints.1, 0, b"ike");
            let sent = cluster.receive(worker(), WAN, &ike);
            let want = arrived(method, sent.only(LAN));
            if method == Method::Fullnat {
                from_wan().iter().for_each(|packet| cluster.receive(worker(), WAN, packet).nothing());
                continue;
            }
            for packet in from_wan() {
                let sent = cluster.receive(worker(), WAN, &packet);
                assert_eq!(arrived(method, sent.only(LAN)), want, "{name}: beside IKE");
            }
            if method == Method::Masquerade {
                let (ends, server) = want;
                for reply in packets(ends.1, ends.0, (server, LAN_MAC)) {
                    let seen = see(cluster.receive(worker(), LAN, &reply).only(WAN));
                    assert_eq!((seen.src.ip(), seen.dst.ip()), (vip, client), "{name}: reply");
                }
            }
        }
        assert_eq!(cluster.connections().len(), 8, "{name}");
        let refused = if method == Method::Fullnat { 16 } else { 0 };
        assert_eq!(cluster.dropped(DropReason::FullnatWithoutPorts), refused, "{name}");
        assert_eq!(cluster.dropped_at_all(), refused, "{name}");
    }
}
