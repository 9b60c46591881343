//! Version 2: binary, for TCP and UDP, with room for further fields.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::field::{array, get_u8, get_u16, put, put_u8, put_u16};
use crate::proxy::{Ends, Family, Header, ProxyError, Transport, starts};

/// Length of a header without addresses, in bytes.
pub const FIXED_LEN: usize = 16;
/// Length of a header with IPv6 addresses and no further fields, in bytes: the longest that is written here.
pub const MAX_LEN: usize = FIXED_LEN + V6_LEN;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Version and command: the sender speaks for itself.
const LOCAL: u8 = 0x20;
/// Version and command: the addresses are those of the connection.
const PROXY: u8 = 0x21;
/// Family in the upper half of its byte: not told.
const UNSPECIFIED: u8 = 0;
/// Family: IPv4.
const INET: u8 = 1;
/// Family: IPv6.
const INET6: u8 = 2;
/// Family: Unix socket.
const UNIX: u8 = 3;
/// Length of two IPv4 addresses and ports, in bytes.
const V4_LEN: usize = 12;
/// Length of two IPv6 addresses and ports, in bytes.
const V6_LEN: usize = 36;
/// Length of two Unix socket paths, in bytes.
const UNIX_LEN: usize = 216;
/// Length of a field's type and length, in bytes.
const FIELD_HEADER_LEN: usize = 3;

/// Writes a header to the start of `out` and returns its length. `fields` are further fields, encoded ([`write_field`]).
/// `None`: no room ([`MAX_LEN`] and the fields), or more than 65535 bytes of addresses and fields.
pub fn write(out: &mut [u8], transport: Transport, ends: &Ends, fields: &[u8]) -> Option<usize> {
    let protocol = match transport {
        Transport::Stream => 1,
        Transport::Datagram => 2,
    };
    match ends.family() {
        Family::V4(client, service) => {
            let out = start(out, PROXY, INET << 4 | protocol, V4_LEN, fields)?;
            put(out, 16, client.ip().octets());
            put(out, 20, service.ip().octets());
            put_u16(out, 24, client.port());
            put_u16(out, 26, service.port());
            Some(out.len())
        }
        Family::V6(client, service) => {
            let out = start(out, PROXY, INET6 << 4 | protocol, V6_LEN, fields)?;
            put(out, 16, client.ip().octets());
            put(out, 32, service.ip().octets());
            put_u16(out, 48, client.port());
            put_u16(out, 50, service.port());
            Some(out.len())
        }
    }
}

/// Writes the header of a connection that the sender opened for itself, such as a health check. `None`: no room.
pub fn write_local(out: &mut [u8]) -> Option<usize> {
    start(out, LOCAL, 0, 0, &[]).map(|out| out.len())
}

/// Writes what stands around the addresses, and returns the whole header.
fn start<'a>(
    out: &'a mut [u8],
    command: u8,
    family: u8,
    addresses_len: usize,
    fields: &[u8],
) -> Option<&'a mut [u8]> {
    let len = u16::try_from(addresses_len + fields.len()).ok()?;
    let out = out.get_mut(..FIXED_LEN + usize::from(len))?;
    put(out, 0, *SIGNATURE);
    put_u8(out, 12, command);
    put_u8(out, 13, family);
    put_u16(out, 14, len);
    out.get_mut(FIXED_LEN + addresses_len..)?.copy_from_slice(fields);
    Some(out)
}

/// Writes a further field to the start of `out` and returns its length there. `None`: no room, or more than 65535 bytes.
pub fn write_field(out: &mut [u8], kind: u8, value: &[u8]) -> Option<usize> {
    let len = u16::try_from(value.len()).ok()?;
    let out = out.get_mut(..FIELD_HEADER_LEN + value.len())?;
    put_u8(out, 0, kind);
    put_u16(out, 1, len);
    out.get_mut(FIELD_HEADER_LEN..)?.copy_from_slice(value);
    Some(out.len())
}

/// Types and values of a header's further fields; ends at the first one with a bad length.
pub fn fields(mut fields: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let (head, rest) = fields.split_first_chunk::<FIELD_HEADER_LEN>()?;
        let (value, rest) = rest.split_at_checked(usize::from(get_u16(head, 1)))?;
        fields = rest;
        Some((get_u8(head, 0), value))
    })
}

/// Reads the header at the start of `data`.
pub fn parse(data: &[u8]) -> Result<Header<'_>, ProxyError> {
    starts(data, SIGNATURE)?;
    if data.len() < FIXED_LEN {
        return Err(ProxyError::Incomplete);
    }
    let (command, family) = (get_u8(data, 12), get_u8(data, 13));
    let len = FIXED_LEN + usize::from(get_u16(data, 14));
    if !matches!(command, LOCAL | PROXY) {
        return Err(ProxyError::Malformed);
    }
    let body = data.get(FIXED_LEN..len).ok_or(ProxyError::Incomplete)?;
    if command == LOCAL {
        // What stands there is not defined.
        return Ok(Header { ends: None, len, fields: &[] });
    }
    let transport = match family & 0xf {
        0 => None,
        1 => Some(Transport::Stream),
        2 => Some(Transport::Datagram),
        _ => return Err(ProxyError::Malformed),
    };
    let addresses_len = match family >> 4 {
        UNSPECIFIED => 0,
        INET => V4_LEN,
        INET6 => V6_LEN,
        UNIX => UNIX_LEN,
        _ => return Err(ProxyError::Malformed),
    };
    let (addresses, fields) = body.split_at_checked(addresses_len).ok_or(ProxyError::Malformed)?;
    let ends = transport.zip(read(addresses));
    Ok(Header { ends, len, fields: if family >> 4 == UNSPECIFIED { &[] } else { fields } })
}

/// The ends; their length tells the family. `None`: neither IPv4 nor IPv6.
fn read(addresses: &[u8]) -> Option<Ends> {
    let v4 = |at: usize| IpAddr::V4(Ipv4Addr::from(array::<4>(addresses, at)));
    let v6 = |at: usize| IpAddr::V6(Ipv6Addr::from(array::<16>(addresses, at)));
    let (client, service, ports) = match addresses.len() {
        V4_LEN => (v4(0), v4(4), 8),
        V6_LEN => (v6(0), v6(16), 32),
        _ => return None,
    };
    Some(Ends {
        client: SocketAddr::new(client, get_u16(addresses, ports)),
        service: SocketAddr::new(service, get_u16(addresses, ports + 2)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    const START: &str = "0d0a0d0a000d0a515549540a";

    fn ends(client: &str, service: &str) -> Ends {
        Ends { client: client.parse().unwrap(), service: service.parse().unwrap() }
    }

    #[test]
    fn headers() {
        let v4 = ends("198.51.100.1:40000", "192.0.2.100:80");
        let v6 = ends("[2001:db8:c::1]:40000", "[2001:db8:1::100]:80");
        let mixed = ends("198.51.100.1:40000", "[2001:db8:1::100]:80");
        let service6 = "20010db8000100000000000000000100";
        for (name, transport, ends, want) in [
            ("TCP", Transport::Stream, v4, "2111000c c6336401 c0000264 9c40 0050".to_owned()),
            ("UDP", Transport::Datagram, v4, "2112000c c6336401 c0000264 9c40 0050".to_owned()),
            (
                "TCP over IPv6",
                Transport::Stream,
                v6,
                format!("21210024 20010db8000c00000000000000000001 {service6} 9c40 0050"),
            ),
            (
                "UDP from IPv4 to IPv6",
                Transport::Datagram,
                mixed,
                format!("21220024 00000000000000000000ffffc6336401 {service6} 9c40 0050"),
            ),
        ] {
            let want = hex(&format!("{START} {want}"));
            let mut out = [0; MAX_LEN];
            assert_eq!(write(&mut out, transport, &ends, &[]), Some(want.len()), "{name}");
            assert_eq!(&out[..want.len()], want, "{name}");
            assert_eq!(write(&mut out[..want.len() - 1], transport, &ends, &[]), None, "{name}");
            assert_eq!(parse(&want).unwrap().ends.unwrap().0, transport, "{name}");
        }
        let mut out = [0; FIXED_LEN];
        assert_eq!(write_local(&mut out), Some(FIXED_LEN));
        assert_eq!(out[..], hex(&format!("{START} 20000000")));
        assert_eq!(parse(&out), Ok(Header { ends: None, len: FIXED_LEN, fields: &[] }));
    }

    #[test]
    fn further_fields() {
        let mut encoded = [0; 32];
        let first = write_field(&mut encoded, 0x05, b"id").unwrap();
        let both = first + write_field(&mut encoded[first..], 0xe0, b"").unwrap();
        let mut out = [0; 64];
        let ends = ends("10.0.0.1:1", "10.0.0.2:2");
        let len = write(&mut out, Transport::Stream, &ends, &encoded[..both]).unwrap();
        let header = parse(&out[..len]).unwrap();
        assert_eq!((header.len, header.ends), (len, Some((Transport::Stream, ends))));
        assert_eq!(fields(header.fields).collect::<Vec<_>>(), [(5, &b"id"[..]), (0xe0, b"")]);
        assert_eq!(fields(&encoded[..4]).count(), 0, "cut off");
        assert_eq!(write_field(&mut [0; 4], 5, b"id"), None);
        assert_eq!(write(&mut vec![0; 70_000], Transport::Stream, &ends, &[0; 65_530]), None);
    }

    #[test]
    fn reads_what_others_write() {
        let untold = |len| Ok(Header { ends: None, len, fields: &[] });
        for (name, data, want) in [
            ("unspecified", "21000000", untold(16)),
            ("unspecified, with addresses nevertheless", "21000004 00000000", untold(20)),
            ("local, with addresses", "2011000c c6336401 c0000264 9c40 0050", untold(28)),
            ("not all here", "2111000c c6336401", Err(ProxyError::Incomplete)),
            ("too short for its addresses", "2111000b c6336401 c0000264 9c40 00", Err(ProxyError::Malformed)),
            ("version 3", "31000000", Err(ProxyError::Malformed)),
            ("command 2", "22000000", Err(ProxyError::Malformed)),
            ("family 4", "21410000", Err(ProxyError::Malformed)),
            ("transport 3", "21130000", Err(ProxyError::Malformed)),
        ] {
            assert_eq!(parse(&hex(&format!("{START} {data}"))), want, "{name}");
        }
        let unix = [hex(&format!("{START} 213100d8")), vec![b'/'; 216]].concat();
        assert_eq!(parse(&unix), untold(232));
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIX"), Err(ProxyError::Absent));
    }
}
