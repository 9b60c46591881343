//! No packet, however damaged, stops the director.

use wire::{ipv4, tcp};

use crate::{FAMILIES, ends, only, packet, serve};
use conformance::Lab;

/// Every kind of packet that the director looks into, for every forwarding method, with connections to match.
fn corpus(lab: &mut Lab) -> Vec<(char, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut client_port = 40_000;
    for (method, (hosts, other)) in ["-m", "--fullnat", "-i", "-g"]
        .into_iter()
        .flat_map(|method| FAMILIES.iter().zip(FAMILIES.iter().rev()).map(move |hosts| (method, hosts)))
    {
        client_port += 1;
        lab.command("ipvsadm -C");
        let server = if method == "-i" { other.server } else { hosts.server };
        serve(lab, hosts, server, method);
        let syn = packet(hosts.client, hosts.vip).tcp(client_port, 80, tcp::SYN).payload(b"payload").build();
        let datagram = packet(hosts.client, hosts.vip).udp(client_port, 80).payload(b"payload").build();
        let outcome = lab.send('c', &syn);
        let (info, sent) = only(&outcome, 's');
        let [(src, sport), (dst, dport)] = ends(&info, sent);
        let v6 = src.contains(':');
        let (kind, code) = if v6 { (1, 4) } else { (3, 3) };
        frames.push(('s', packet(&dst, &src).tcp(dport, sport, tcp::SYN | tcp::ACK).build()));
        frames.push(('s', packet(&dst, &src).icmp(kind, code, 0).quote(sent, 120).build()));
        let (kind, code) = if v6 { (2, 0) } else { (3, 4) };
        frames.push(('s', packet(&dst, &src).icmp(kind, code, 1400).quote(sent, 120).build()));
        let reply = packet(hosts.vip, hosts.client).tcp(80, client_port, tcp::ACK).build();
        let (kind, code) = if hosts.vip.contains(':') { (1, 4) } else { (3, 1) };
        frames.push(('c', packet(hosts.client, hosts.vip).icmp(kind, code, 0).quote(&reply, 80).build()));
        frames.extend([('c', syn), ('c', datagram)]);
    }
    frames
}

#[test]
fn truncated_and_damaged_frames_do_no_harm() {
    let mut lab = Lab::new();
    let corpus = corpus(&mut lab);
    for hosts in &FAMILIES {
        lab.command("ipvsadm -C");
        for other in &FAMILIES {
            serve(&mut lab, other, hosts.server, "-i");
        }
        let mut rng = ipvs::Rng::new(0x7275_7673);
        for (side, frame) in &corpus {
            for len in 0..frame.len() {
                lab.send(*side, &frame[..len]);
            }
            for _ in 0..400 {
                let mut damaged = frame.clone();
                for _ in 0..=rng.below(3) {
                    let at = 14 + rng.below(frame.len() as u32 - 14) as usize;
                    damaged[at] ^= 1 << rng.below(8);
                }
                // Or parsing would end most of them.
                if frame[12] == 0x08 && damaged[12..14] == [8, 0] {
                    ipv4::fill_checksum(&mut damaged[14..]);
                }
                lab.send(*side, &damaged);
            }
        }
    }
    let counted: u32 =
        (0..64).filter_map(|dest| lab.shared.dest(ipvs::DestId(dest))).map(|dest| dest.load().total()).sum();
    assert_eq!(counted as usize, lab.connection_count(), "every connection is counted once");
    assert_eq!(lab.shared.connections() as usize, lab.connection_count());
}
