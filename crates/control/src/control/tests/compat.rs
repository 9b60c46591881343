//! What stock tools ask on their socket reaches the one state, and refusals have the kernel's errno.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use ipvs_genl::{FAMILY_ID, Header, Writer, errno};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::*;
use crate::compat;

const ACK: u16 = 4;
const DUMP: u16 = 0x300;

/// A message of a client: command, flags, attributes.
fn request(command: u8, flags: u16, fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new(Header { length: 0, kind: 0, flags: 0, sequence: 9, port: 1 });
    out.message(FAMILY_ID, command, 1, fill);
    let mut bytes = out.take();
    bytes[6..8].copy_from_slice(&(flags | 1).to_ne_bytes());
    bytes
}

fn service(out: &mut Writer, port: u16, scheduler: &str) {
    out.nested(1, |out| {
        out.u16(1, 2);
        out.u16(2, 6);
        out.bytes(3, &[192, 0, 2, 77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.be16(4, port);
        out.text(6, scheduler);
        out.bytes(7, &[1, 0, 0, 0, 255, 255, 255, 255]);
        out.u32(8, 360);
        out.bytes(9, &[255, 255, 255, 0]);
    });
}

fn dest(out: &mut Writer, weight: u32) {
    out.nested(2, |out| {
        out.bytes(1, &[10, 0, 2, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.be16(2, 80);
        for (kind, value) in [(3, 3), (4, weight), (5, 9), (6, 4)] {
            out.u32(kind, value);
        }
    });
}

/// The errno that a request is answered with.
fn outcome(client: &mut UnixStream, request: &[u8]) -> i32 {
    client.write_all(request).unwrap();
    let mut answer = [0; 8192];
    let length = client.read(&mut answer).unwrap();
    let header = Header::parse(&answer[..length]).unwrap();
    assert_eq!((header.kind, header.sequence), (2, 9), "an outcome of this request");
    -i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]])
}

#[test]
fn stock_tools_change_the_one_state() {
    let folder = std::env::temp_dir().join(format!("rvs-compat-{}", std::process::id()));
    let (control, _) = start();
    let control = Arc::new(control);
    let api = folder.join("rvsd.sock");
    let server = compat::start(&api, control.clone()).unwrap();
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(compat::socket_path(&api)).unwrap()).unwrap();
    let mut client = UnixStream::from(socket);
    let both = |out: &mut Writer, port, weight| {
        service(out, port, "wlc");
        dest(out, weight);
    };
    for (what, bytes, want) in [
        ("a service", request(1, ACK, |out| service(out, 80, "wlc")), 0),
        ("the same", request(1, ACK, |out| service(out, 80, "wlc")), errno::EEXIST),
        ("no such scheduler", request(1, ACK, |out| service(out, 81, "nosuch")), errno::ENOENT),
        ("a destination", request(5, ACK, |out| both(out, 80, 3)), 0),
        ("the same", request(5, ACK, |out| both(out, 80, 3)), errno::EEXIST),
        ("of no service", request(5, ACK, |out| both(out, 82, 3)), errno::ESRCH),
        ("too heavy", request(6, ACK, |out| both(out, 80, 1 << 31)), errno::ERANGE),
        ("another weight", request(6, ACK, |out| both(out, 80, 7)), 0),
        ("no such service", request(3, ACK, |out| service(out, 82, "wlc")), errno::ESRCH),
        ("nothing to read", vec![20, 0, 0, 0, 0x7e, 0, 5, 0, 9, 0, 0, 0, 1, 0, 0, 0], errno::EINVAL),
    ] {
        assert_eq!(outcome(&mut client, &bytes), want, "{what}");
    }
    let config = control.config();
    let made = config.services.iter().find(|s| s.spec.key().to_string() == "tcp 192.0.2.77:80").unwrap();
    assert_eq!(made.spec.persistence_timeout_s, Some(360));
    assert_eq!(made.spec.persistence_netmask.map(|mask| mask.to_string()).as_deref(), Some("255.255.255.0"));
    assert_eq!((made.dests.len(), made.dests[0].weight, made.dests[0].upper_threshold), (1, 7, 9));
    // A list is answered in parts, and has an end.
    client.write_all(&request(4, DUMP, |_| {})).unwrap();
    let (mut kinds, mut answer) = (Vec::new(), [0; 16384]);
    while kinds.last() != Some(&3) {
        let length = client.read(&mut answer).unwrap();
        kinds.push(Header::parse(&answer[..length]).unwrap().kind);
    }
    assert!(kinds.len() >= 2 && kinds[0] == FAMILY_ID, "{kinds:?}");
    server.stop();
    let _ = std::fs::remove_dir_all(&folder);
}
