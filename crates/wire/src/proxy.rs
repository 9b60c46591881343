//! The PROXY protocol: a header in front of a connection's data (TCP) or of each datagram (UDP) that tells a real server who
//! the client is (HAProxy's `proxy-protocol.txt`). Version 1 is a line of text, version 2 binary.
//!
//! Client and service may be of different families; the header has one, so the IPv4 end is then written as IPv4-mapped IPv6.

use core::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

pub mod v1;
pub mod v2;

/// The transport of what the header stands in front of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A stream: TCP.
    Stream,
    /// Datagrams: UDP.
    Datagram,
}

/// The ends of a connection, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The client.
    pub client: SocketAddr,
    /// What it connected to: the virtual service.
    pub service: SocketAddr,
}

/// Both ends in one family.
enum Family {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
}

impl Ends {
    fn family(&self) -> Family {
        match (self.client, self.service) {
            (SocketAddr::V4(client), SocketAddr::V4(service)) => Family::V4(client, service),
            (client, service) => Family::V6(mapped(client), mapped(service)),
        }
    }
}

fn mapped(end: SocketAddr) -> SocketAddrV6 {
    let address = match end.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    SocketAddrV6::new(address, end.port(), 0, 0)
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The ends and their transport. `None`: the sender does not tell, or speaks for itself (a health check).
    pub ends: Option<(Transport, Ends)>,
    /// Length of the header, in bytes; the data follow.
    pub len: usize,
    /// Further fields of version 2 ([`v2::fields`]); empty in version 1.
    pub fields: &'a [u8],
}

/// Why there is no header to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyError {
    /// What is there is no such header.
    Absent,
    /// What is there may become one: more bytes are needed.
    Incomplete,
    /// It starts like one, but is wrong.
    Malformed,
}

/// Reads the header at the start of `data`, of either version.
pub fn parse(data: &[u8]) -> Result<Header<'_>, ProxyError> {
    match v2::parse(data) {
        Err(ProxyError::Absent) => v1::parse(data),
        other => other,
    }
}

/// Whether `data` starts with `signature`, as far as it goes.
fn starts(data: &[u8], signature: &[u8]) -> Result<(), ProxyError> {
    let common = data.len().min(signature.len());
    if data.get(..common) != signature.get(..common) {
        return Err(ProxyError::Absent);
    }
    if common < signature.len() { Err(ProxyError::Incomplete) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn either_version_is_read(client: SocketAddr, service: SocketAddr, data in prop::collection::vec(any::<u8>(), 0..20), text: bool) {
            let ends = Ends { client, service };
            let mut out = vec![0; 128];
            let len = if text { v1::write(&mut out, &ends) } else { v2::write(&mut out, Transport::Stream, &ends, &[]) }.unwrap();
            out.truncate(len);
            for cut in 0..len {
                prop_assert_eq!(parse(&out[..cut]), Err(ProxyError::Incomplete), "{}", cut);
            }
            out.extend(&data);
            let header = parse(&out).unwrap();
            let want = match ends.family() {
                Family::V4(client, service) => Ends { client: client.into(), service: service.into() },
                Family::V6(client, service) => Ends { client: client.into(), service: service.into() },
            };
            prop_assert_eq!((header.ends, header.len), (Some((Transport::Stream, want)), len));
        }

        #[test]
        fn random_bytes_do_no_harm(start in prop::sample::select(vec![&b""[..], b"PROXY TCP4 ", b"PROXY UNKNOWN", b"\r\n\r\n\0\r\nQUIT\n!"]), rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let data = [start, &rest].concat();
            if let Ok(header) = parse(&data) {
                prop_assert!(header.len <= data.len());
                prop_assert!(v2::fields(header.fields).count() <= header.fields.len());
            }
        }
    }
}
