use std::net::IpAddr;

use proptest::prelude::*;

use crate::attr::Attrs;
use crate::family::{cmd, dest, svc};
use crate::message::{FLAG_ACK, FLAG_DUMP, TYPE_DONE, TYPE_ERROR};
use crate::request::ServiceName;
use crate::{Command, Dest, FAMILY_ID, Header, Request, Service, Stats, Writer, errno, write_family};

fn header(flags: u16) -> Header {
    Header { length: 0, kind: FAMILY_ID, flags, sequence: 7, port: 4242 }
}

/// A request of the family: what a client writes is framed as what we answer.
fn request(command: u8, flags: u16, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new(header(0));
    out.message(FAMILY_ID, command, 1, fill);
    let mut bytes = out.take();
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

fn web(out: &mut Writer) {
    out.nested(cmd::SERVICE, |out| {
        out.u16(svc::AF, 2);
        out.u16(svc::PROTOCOL, 6);
        out.bytes(svc::ADDR, &[192, 0, 2, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.be16(svc::PORT, 80);
        out.text(svc::SCHED_NAME, "wlc");
    });
}

#[test]
fn a_service_and_a_destination_are_read() {
    let bytes = request(5, FLAG_ACK, |out| {
        web(out);
        out.nested(cmd::DEST, |out| {
            out.bytes(dest::ADDR, &[10, 0, 2, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            out.be16(dest::PORT, 8080);
            out.u32(dest::FWD_METHOD, 3);
            out.u32(dest::WEIGHT, 5);
        });
    });
    let read = Request::parse(&bytes).unwrap();
    assert!(read.header.wants_ack());
    let Command::NewDest(service, one) = read.command else { panic!("{:?}", read.command) };
    let address: IpAddr = "192.0.2.100".parse().unwrap();
    assert_eq!(service.name, ServiceName::Address { protocol: 6, address, port: 80 });
    assert_eq!(service.scheduler.as_deref(), Some("wlc"));
    assert_eq!((one.address.to_string().as_str(), one.port), ("10.0.2.11", 8080));
    assert_eq!((one.method, one.weight, one.tunnel_type), (Some(3), Some(5), None));
}

#[test]
fn what_is_wrong_with_a_request_has_the_kernels_errno() {
    let no_service = request(1, 0, |_| {});
    let no_dest = request(5, 0, web);
    let family = request(1, 0, |out| out.nested(cmd::SERVICE, |out| out.u16(svc::AF, 99)));
    let command = request(99, 0, |_| {});
    let one_dest = request(8, 0, web);
    let mut long = request(17, 0, |_| {});
    long[0] = 200;
    let mut attribute = request(1, 0, web);
    attribute[20] = 255;
    for (bytes, errno) in [
        (no_service, errno::EINVAL),
        (no_dest, errno::EINVAL),
        (family, errno::EAFNOSUPPORT),
        (command, errno::EOPNOTSUPP),
        (one_dest, errno::EOPNOTSUPP),
        (long, errno::EINVAL),
        (attribute, errno::EINVAL),
    ] {
        assert_eq!(Request::parse(&bytes).unwrap_err().errno, errno, "{bytes:02x?}");
    }
    assert_eq!(Request::parse(&[0; 15]).unwrap_err().header, None);
}

#[test]
fn a_list_is_in_parts_and_has_an_end() {
    let asked = Request::parse(&request(4, FLAG_DUMP, |_| {})).unwrap();
    assert_eq!(asked.command, Command::ListServices);
    let mut out = Writer::new(asked.header);
    out.done();
    let end = Header::parse(&out.take()).unwrap();
    assert_eq!((end.kind, end.length, end.sequence), (TYPE_DONE, 20, 7));
}

#[test]
fn an_error_names_its_request() {
    let mut out = Writer::new(header(FLAG_ACK));
    out.outcome(errno::ESRCH);
    let bytes = out.take();
    let head = Header::parse(&bytes).unwrap();
    assert_eq!((head.kind, head.length, head.sequence, head.port), (TYPE_ERROR, 36, 7, 4242));
    assert_eq!(bytes[16..20], (-3i32).to_ne_bytes());
    assert_eq!(Header::parse(&bytes[20..]).unwrap().kind, FAMILY_ID);
}

#[test]
fn the_family_is_told_by_name() {
    let mut out = Writer::new(header(0));
    write_family(&mut out);
    let bytes = out.take();
    let attrs = Attrs::parse(&bytes[20..]).unwrap();
    assert_eq!(attrs.u16(1), Ok(Some(FAMILY_ID)));
    assert_eq!(attrs.text(2), Ok(Some("IPVS")));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Request::parse(&bytes);
    }

    /// Deeper than chance gets: a valid request with some bytes changed, cut or not.
    #[test]
    fn no_damage_makes_it_panic(
        command in 0u8..20,
        dump in any::<bool>(),
        damage in prop::collection::vec((0usize..120, any::<u8>()), 0..6),
        cut in 0usize..160,
    ) {
        let mut bytes = request(command, if dump { FLAG_DUMP } else { 0 }, |out| {
            web(out);
            out.nested(cmd::DEST, |out| {
                out.bytes(dest::ADDR, &[10; 16]);
                out.be16(dest::PORT, 80);
            });
            out.nested(cmd::DAEMON, |out| out.u32(1, 1));
        });
        for (at, value) in damage {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(cut.max(1));
        let _ = Request::parse(&bytes);
    }

    #[test]
    fn what_is_written_can_be_read(
        weight in any::<u32>(),
        port in any::<u16>(),
        octets in any::<[u8; 16]>(),
        packets in any::<u64>(),
    ) {
        let stats = Stats { packets_in: packets, ..Stats::default() };
        let address = IpAddr::from(octets);
        let name = ServiceName::Address { protocol: 17, address, port };
        let service = Service {
            ipv6: true,
            name,
            scheduler: "rr".into(),
            flags: 3,
            timeout_s: 300,
            netmask: 64u32.to_ne_bytes(),
            engine: Some("sip".into()),
            stats,
        };
        let mut out = Writer::new(header(FLAG_ACK));
        out.service(&service);
        let read = Request::parse(&out.take()).unwrap();
        let Command::NewService(read) = read.command else { panic!("another command") };
        prop_assert_eq!(read.name, name);
        prop_assert_eq!(read.flags, Some((3, u32::MAX)));
        prop_assert_eq!(read.netmask, Some(64u32.to_ne_bytes()));
        prop_assert_eq!(read.engine.as_deref(), Some("sip"));

        let one = Dest {
            address,
            port,
            method: 2,
            weight,
            upper_threshold: 9,
            lower_threshold: 8,
            active: 1,
            inactive: 2,
            persistent: 3,
            tunnel_type: 1,
            tunnel_port: 6080,
            tunnel_flags: 1,
            stats,
        };
        out.dest(&one);
        let bytes = out.take();
        let attrs = Attrs::parse(&bytes[20..]).unwrap().nested(cmd::DEST).unwrap().unwrap();
        prop_assert_eq!(attrs.u32(dest::WEIGHT), Ok(Some(weight)));
        prop_assert_eq!(attrs.be16(dest::TUN_PORT), Ok(Some(6080)));
        let wide = attrs.nested(dest::STATS64).unwrap().unwrap();
        prop_assert_eq!(wide.array(2), Ok(Some(packets.to_ne_bytes())));
    }
}
