//! Whole exchanges through a director whose services have helpers, in both families, under masquerade and FULLNAT.

use std::net::IpAddr;

use inet::{DropReason, IfaceId};
use wire::testing::{Frame, info, verify_checksums};
use wire::{PacketBuf, VecBuf, tcp, udp};

use crate::testing::{Hosts, director, families, services, snapshot};
use crate::{Cursor, Director, Helper, Helpers, Limits, Method, Protocol, Service, ServiceKey, Verdict};

const CLIENT_PORT: u16 = 40_000;

/// Whatever ports a session and what follows from it use, they have one worker, in both directions.
#[test]
fn a_client_and_its_data_connections_have_one_worker() {
    use crate::{NatSteering, Snapshot, Steering, owner};
    const WORKERS: u16 = 8;
    let rules = [NatSteering::Address { v4_prefix: 32, v6_prefix: 128 }, NatSteering::Endpoint];
    for (site, nat) in rules.into_iter().flat_map(|nat| sites(&BOTH).map(move |site| (site, nat))) {
        if (site.method, nat) == (Method::Masquerade, NatSteering::Endpoint) {
            // Replies name the client only: control refuses this with several workers.
            continue;
        }
        let helped = |service| Service { helpers: Helpers::NONE.with(Helper::Ftp, &[21]), ..service };
        let plain = snapshot(services(site.method).into_iter().map(helped).collect());
        let snapshot = Snapshot { steering: Steering::new(WORKERS, [5; 16], nat), ..plain };
        let Hosts { vip, server, local, .. } = site.hosts;
        let owner_of = |src: (IpAddr, u16), dst: (IpAddr, u16)| {
            let frame = Site::segment(src, dst, tcp::ACK, 1, 1, "").build();
            owner(&snapshot, &frame, &info(&frame)).expect("an owner")
        };
        let mut seen = std::collections::HashSet::new();
        for host in 0..64_u8 {
            let client: IpAddr = match vip {
                IpAddr::V4(_) => [198, 51, 100, host].into(),
                IpAddr::V6(_) => [0x2001, 0xdb8, 0xc, 0, 0, 0, 0, u16::from(host)].into(),
            };
            let want = owner_of((client, 40_000), (vip, 21));
            seen.insert(want);
            for (port, data) in [(41_000, 51_213), (51_214, 20), (1, 65_535)] {
                assert_eq!(owner_of((client, port), (vip, data)), want, "{client} {port} {data}");
                if site.method == Method::Masquerade {
                    assert_eq!(owner_of((server, data), (client, port)), want, "{client} {port} {data}");
                }
            }
            if site.method == Method::Fullnat {
                let frame = Site::segment((client, 1), (vip, 21), tcp::SYN, 1, 1, "").build();
                let slot = crate::steering::slot(&snapshot, &frame, &info(&frame)).expect("a slot");
                assert_eq!(owner_of((server, 20), (local, 1024 + u16::from(slot.0))), want);
            }
        }
        assert!(seen.len() > usize::from(WORKERS) / 2, "clients spread: {seen:?}");
    }
}

/// A packet as its receiver sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    src: (IpAddr, u16),
    dst: (IpAddr, u16),
    seq: u32,
    ack: u32,
    data: String,
}

/// A client, a server, and between them the director.
struct Site {
    director: Director,
    hosts: Hosts,
    method: Method,
}

fn sites(methods: &[Method]) -> impl Iterator<Item = Site> {
    methods.iter().flat_map(|&method| families().map(|hosts| Site::new(hosts, method, 16)))
}

const BOTH: [Method; 2] = [Method::Masquerade, Method::Fullnat];

impl Site {
    fn new(hosts: Hosts, method: Method, side_records: u32) -> Self {
        let helped = |service| Service { helpers: Helpers::NONE.with(Helper::Ftp, &[21]), ..service };
        let snapshot = snapshot(services(method).into_iter().map(helped).collect());
        let limits = Limits { connections: 16, side_records, services: 4, dests: 4, ..Limits::default() };
        Self { director: director(snapshot, &limits), hosts, method }
    }

    /// The same with TFTP services in place of those of FTP.
    fn of_tftp(self) -> Self {
        let udp = |service: Service| {
            let ServiceKey::Address { addr, .. } = service.key else { panic!("an address") };
            let key = ServiceKey::Address { protocol: Protocol::Udp, addr, port: 69 };
            let mut dests = service.dests.clone();
            dests.iter_mut().for_each(|dest| dest.port = 6969);
            Service { key, dests, helpers: Helpers::well_known(), ..service }
        };
        let snapshot = snapshot(services(self.method).into_iter().map(udp).collect());
        let limits = Limits { connections: 16, services: 4, dests: 4, ..Limits::default() };
        Self { director: director(snapshot, &limits), ..self }
    }

    fn pass(&mut self, frame: &[u8], to_director: bool) -> Result<Vec<u8>, Verdict> {
        let (mut packet, info) = (VecBuf::new(frame), info(frame));
        let iface = IfaceId(0);
        let verdict = match to_director {
            true => self.director.local_in(10, &mut packet, &info, iface),
            false => self.director.forward(10, &mut packet, &info, iface),
        };
        match verdict {
            Verdict::Tx(_) => Ok(packet.bytes().to_vec()),
            Verdict::Accept | Verdict::Stop if !to_director => Ok(packet.bytes().to_vec()),
            other => Err(other),
        }
    }

    fn seen(frame: &[u8]) -> Seen {
        assert_eq!(verify_checksums(frame), Ok(()));
        let info = info(frame);
        let upper = info.upper(frame);
        let (seq, ack, data) = match info.protocol {
            6 => (tcp::seq(upper), tcp::ack(upper), tcp::payload(upper)),
            _ => (0, 0, &upper[udp::HEADER_LEN..]),
        };
        let data = String::from_utf8_lossy(data).into_owned();
        Seen { src: (info.src(frame), info.sport), dst: (info.dst(frame), info.dport), seq, ack, data }
    }

    fn segment(src: (IpAddr, u16), dst: (IpAddr, u16), flags: u8, seq: u32, ack: u32, data: &str) -> Frame {
        let header = tcp::Header { sport: src.1, dport: dst.1, seq, ack, flags, window: 1000 };
        Frame::new(src.0, dst.0).tcp_header(header, &[]).payload(data.as_bytes())
    }

    /// From the client to the virtual address.
    fn client(&mut self, ports: (u16, u16), flags: u8, seq: u32, ack: u32, data: &str) -> Seen {
        let (src, dst) = ((self.hosts.client, ports.0), (self.hosts.vip, ports.1));
        let frame = Self::segment(src, dst, flags, seq, ack, data).build();
        Self::seen(&self.pass(&frame, true).expect("sent to the server"))
    }

    /// From the server to whom it takes for the client.
    fn server(&mut self, port: u16, to: (IpAddr, u16), flags: u8, seq: u32, ack: u32, data: &str) -> Seen {
        let frame = Self::segment((self.hosts.server, port), to, flags, seq, ack, data).build();
        let local = self.method == Method::Fullnat;
        Self::seen(&self.pass(&frame, local).expect("sent to the client"))
    }

    /// Opens a control connection; returns whom the server takes for the client.
    fn control(&mut self) -> (IpAddr, u16) {
        let client = self.client((CLIENT_PORT, 21), tcp::SYN, 1000, 0, "").src;
        self.server(21, client, tcp::SYN | tcp::ACK, 5000, 1001, "");
        self.client((CLIENT_PORT, 21), tcp::ACK, 1001, 5001, "");
        client
    }

    fn connections(&self) -> Vec<(&'static str, u16, u16)> {
        let mut rows = Vec::new();
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            cursor = self.director.list(10, at, 64, |view| {
                rows.push((view.state, view.client.port(), view.virtual_addr.port()))
            });
        }
        rows.sort_unstable();
        rows
    }

    /// What names an endpoint in `PORT` or `EPRT`.
    fn active(&self, addr: IpAddr, port: u16) -> String {
        match addr {
            IpAddr::V4(addr) => {
                let [a, b, c, d] = addr.octets();
                format!("PORT {a},{b},{c},{d},{},{}\r\n", port >> 8, port & 0xff)
            }
            IpAddr::V6(addr) => format!("EPRT |2|{addr}|{port}|\r\n"),
        }
    }
}

#[test]
fn the_server_connects_to_where_the_client_listens() {
    for mut site in sites(&BOTH) {
        let control = site.control();
        let said = site.active(site.hosts.client, 51_214);
        let heard = site.client((CLIENT_PORT, 21), tcp::ACK, 1001, 5001, &said);
        // Under FULLNAT the server hears an endpoint at the address that it knows; else the client's own.
        let digits = heard.data.trim_end().rsplit(['|', ',']).filter(|part| !part.is_empty());
        let numbers: Vec<u16> = digits.take(2).map_while(|part| part.parse().ok()).collect();
        let port = if site.hosts.client.is_ipv4() { numbers[1] * 256 + numbers[0] } else { numbers[0] };
        assert_eq!(heard.data, site.active(control.0, port));
        assert_eq!(port == 51_214, site.method == Method::Masquerade);
        assert_eq!(port & 0xff == control.1 & 0xff, site.method == Method::Fullnat, "the same worker's");
        assert_eq!(site.connections(), [("ESTABLISHED", CLIENT_PORT, 21), ("LISTEN", 51_214, 20)]);

        // Numbers follow: what the client sent, and what the server has of it.
        let (sent, got) = (1001 + said.len() as u32, 1001 + heard.data.len() as u32);
        assert_eq!(site.client((CLIENT_PORT, 21), tcp::ACK, 1001, 5001, &said), heard, "again");
        assert_eq!(site.client((CLIENT_PORT, 21), tcp::ACK, sent, 5001, "LIST\r\n").seq, got);
        assert_eq!(site.server(21, control, tcp::ACK, 5001, got, "200 ok\r\n").ack, sent);
        assert_eq!(site.server(21, control, tcp::ACK, 5009, 1001, "").ack, 1001);

        let data = (control.0, port);
        let syn = site.server(20, data, tcp::SYN, 7000, 0, "");
        assert_eq!((syn.src, syn.dst), ((site.hosts.vip, 20), (site.hosts.client, 51_214)));
        let answer = site.client((51_214, 20), tcp::SYN | tcp::ACK, 9000, 7001, "");
        assert_eq!((answer.src, answer.dst), (data, (site.hosts.server, 20)));
        assert_eq!(site.server(20, data, tcp::ACK, 7001, 9001, "file").data, "file");
        assert!(site.connections().contains(&("ESTABLISHED", 51_214, 20)));
    }
}

/// A client that names a port again soon after: the server still holds the first connection's endpoints.
#[test]
fn a_port_that_is_named_again_gets_another_local_one() {
    for mut site in sites(&BOTH) {
        let control = site.control();
        let said = site.active(site.hosts.client, 51_214);
        let named = |site: &mut Site, seq| {
            let heard = site.client((CLIENT_PORT, 21), tcp::ACK, seq, 5001, &said);
            (1024..=65_535).find(|&port| heard.data == site.active(control.0, port)).expect("a port")
        };
        let first = named(&mut site, 1001);
        let again = site.client((CLIENT_PORT, 21), tcp::ACK, 1001 + said.len() as u32, 5001, &said).data;
        assert_eq!(again, site.active(control.0, first), "still waiting: the same");

        let data = (control.0, first);
        site.server(20, data, tcp::SYN, 7000, 0, "");
        site.client((51_214, 20), tcp::SYN | tcp::ACK, 9000, 7001, "");
        site.server(20, data, tcp::FIN | tcp::ACK, 7001, 9001, "");
        site.client((51_214, 20), tcp::FIN | tcp::ACK, 9001, 7002, "");
        let second = named(&mut site, 1001 + 2 * said.len() as u32);
        assert_eq!(first == second, site.method == Method::Masquerade);
        // Both are known: what the server still sends on the first, and the second connection.
        if site.method == Method::Fullnat {
            site.server(20, data, tcp::ACK, 7002, 9002, "");
        }
        let syn = site.server(20, (control.0, second), tcp::SYN, 8000, 0, "");
        assert_eq!((syn.src, syn.dst), ((site.hosts.vip, 20), (site.hosts.client, 51_214)));
        let answer = site.client((51_214, 20), tcp::SYN | tcp::ACK, 9500, 8001, "");
        assert_eq!(answer.src, (control.0, second));
    }
}

#[test]
fn the_client_connects_to_where_the_server_listens() {
    for mut site in sites(&BOTH) {
        let control = site.control();
        let (command, reply, want) = match (site.hosts.server, site.hosts.vip) {
            (IpAddr::V4(_), _) => {
                ("PASV\r\n", "227 ok (10,0,2,11,200,13)\r\n", "227 ok (192,0,2,100,200,13)\r\n")
            }
            _ => ("EPSV\r\n", "229 (|2|2001:db8:2::b|51213|)\r\n", "229 (|||51213|)\r\n"),
        };
        site.client((CLIENT_PORT, 21), tcp::ACK, 1001, 5001, command);
        let asked = 1001 + command.len() as u32;
        let heard = site.server(21, control, tcp::ACK, 5001, asked, reply);
        assert_eq!((heard.seq, &*heard.data), (5001, want));
        assert_eq!(site.connections(), [("ESTABLISHED", CLIENT_PORT, 21), ("LISTEN", 0, 51_213)]);
        let (sent, got) = (5001 + reply.len() as u32, 5001 + want.len() as u32);
        assert_eq!(site.server(21, control, tcp::ACK, 5001, asked, reply), heard, "again");
        assert_eq!(site.server(21, control, tcp::ACK, sent, asked, "150 go\r\n").seq, got);
        assert_eq!(site.client((CLIENT_PORT, 21), tcp::ACK, asked, got, "").ack, sent);

        let syn = site.client((41_000, 51_213), tcp::SYN, 9000, 0, "");
        assert_eq!(syn.dst, (site.hosts.server, 51_213));
        assert_eq!(syn.src.0, control.0, "the server takes data connections from its client only");
        let answer = site.server(51_213, syn.src, tcp::SYN | tcp::ACK, 7000, 9001, "");
        assert_eq!((answer.src, answer.dst), ((site.hosts.vip, 51_213), (site.hosts.client, 41_000)));
        assert!(site.connections().contains(&("SYN_RECV", 41_000, 51_213)));
    }
}

#[test]
fn nobody_can_name_a_third_host() {
    for mut site in sites(&BOTH) {
        let control = site.control();
        let other = if site.hosts.client.is_ipv4() { [203, 0, 113, 77].into() } else { [0x20; 16].into() };
        let said = site.active(other, 80);
        assert_eq!(site.client((CLIENT_PORT, 21), tcp::ACK, 1001, 5001, &said).data, said);
        let asked = 1001 + said.len() as u32;
        site.client((CLIENT_PORT, 21), tcp::ACK, asked, 5001, "EPSV\r\n");
        let protocol = if other.is_ipv4() { 1 } else { 2 };
        let reply = format!("229 (|{protocol}|{other}|80|)\r\n");
        assert_eq!(site.server(21, control, tcp::ACK, 5001, asked + 6, &reply).data, reply);
        assert_eq!(site.connections(), [("ESTABLISHED", CLIENT_PORT, 21)], "nothing is expected");
        assert_eq!(site.director.core.own().third_hosts(), 2);
    }
}

#[test]
fn what_is_damaged_ends_here() {
    for mut site in sites(&BOTH) {
        let client = site.control();
        let (src, dst) = ((site.hosts.client, CLIENT_PORT), (site.hosts.vip, 21));
        let damaged = Site::segment(src, dst, tcp::ACK, 1001, 5001, "PASV\r\n").bad_checksum().build();
        let want = Err(Verdict::Drop(DropReason::TcpBadChecksum));
        assert_eq!(site.pass(&damaged, true), want);
        let damaged = Site::segment((site.hosts.server, 21), client, tcp::ACK, 5001, 1001, "").bad_checksum();
        assert_eq!(site.pass(&damaged.build(), site.method == Method::Fullnat), want);
    }
}

#[test]
fn a_packet_that_would_grow_over_the_mtu_is_told_of() {
    for method in BOTH {
        let [v4, _] = families();
        let mut site = Site::new(v4, method, 16);
        let control = site.control();
        site.client((CLIENT_PORT, 21), tcp::ACK, 1001, 5001, "PASV\r\n");
        let reply = |len: usize| format!("{:1$}\r\n", "227 ok (10,0,2,11,200,13)", len - 42);
        let frame = Site::segment((site.hosts.server, 21), control, tcp::ACK, 5001, 1007, &reply(1500));
        let verdict = site.pass(&frame.dont_fragment().build(), method == Method::Fullnat);
        assert_eq!(verdict, Err(Verdict::Answer(DropReason::MtuExceeded)));
        // The server sends less at a time, and is heard.
        let heard = site.server(21, control, tcp::ACK, 5001, 1007, &reply(1498));
        assert!(heard.data.starts_with("227 ok (192,0,2,100,200,13)"), "{heard:?}");
    }
}

#[test]
fn without_room_for_what_a_helper_remembers_there_is_no_connection() {
    for hosts in families() {
        let mut site = Site::new(hosts, Method::Masquerade, 0);
        let (src, dst) = ((site.hosts.client, CLIENT_PORT), (site.hosts.vip, 21));
        let syn = Site::segment(src, dst, tcp::SYN, 1000, 0, "").build();
        assert_eq!(site.pass(&syn, true), Err(Verdict::Drop(DropReason::SideTableFull)));
        assert_eq!((site.director.connections(), site.director.core.sessions.len()), (0, 0));
    }
}

#[test]
fn sessions_go_with_their_connections() {
    for mut site in sites(&BOTH) {
        site.control();
        assert_eq!((site.director.core.sessions.len(), site.director.core.side.len()), (1, 1));
        assert!(site.director.flush(Cursor::default(), 1000).is_none());
        assert_eq!((site.director.core.sessions.len(), site.director.core.side.len()), (0, 0));
    }
}

#[test]
fn a_transfer_comes_from_a_port_of_its_own() {
    for site in sites(&BOTH) {
        let mut site = site.of_tftp();
        let local = site.method == Method::Fullnat;
        let datagram = |src: (IpAddr, u16), dst: (IpAddr, u16), data: &[u8]| {
            Frame::new(src.0, dst.0).udp(src.1, dst.1).payload(data).build()
        };
        let (client, vip) = ((site.hosts.client, CLIENT_PORT), site.hosts.vip);
        let from = |port| (site.hosts.server, port);
        let (transfer, stray) = (from(3000), from(3001));
        let request = datagram(client, (vip, 69), b"\0\x01file\0octet\0");
        let asked = Site::seen(&site.pass(&request, true).expect("to the server"));
        assert_eq!(asked.dst, (site.hosts.server, 6969));

        let block = site.pass(&datagram(transfer, asked.src, b"\0\x03\0\x01"), local).expect("to the client");
        let block = Site::seen(&block);
        assert_eq!((block.src, block.dst), ((vip, 3000), client));
        let answer =
            Site::seen(&site.pass(&datagram(client, (vip, 3000), b"\0\x04\0\x01"), true).expect("back"));
        assert_eq!((answer.src, answer.dst), (asked.src, transfer));
        assert_eq!(site.connections(), [("UDP", CLIENT_PORT, 69), ("UDP", CLIENT_PORT, 3000)]);

        // One request, one transfer.
        let again = site.pass(&datagram(stray, asked.src, b"\0\x03\0\x01"), local);
        match local {
            true => assert_eq!(again, Err(Verdict::Accept)),
            false => assert_eq!(Site::seen(&again.expect("passes as it is")).src, stray),
        }
        assert_eq!(site.director.connections(), 2);
        site.pass(&request, true).expect("to the server");
        site.pass(&datagram(stray, asked.src, b"\0\x03\0\x01"), local).expect("to the client");
        assert_eq!(site.director.connections(), 3);
    }
}
