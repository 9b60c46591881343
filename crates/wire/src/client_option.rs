//! The option that tells a real server who the client is: kind, length, port, address. TOA and both forms of UOA have it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::field::{array, get_u8, get_u16, put, put_u8, put_u16};

/// Length with an IPv4 client, in bytes.
pub(crate) const V4_LEN: usize = 8;
/// Length with an IPv6 client, in bytes.
pub(crate) const V6_LEN: usize = 20;

/// The length of the option for this client, in bytes.
pub(crate) const fn len(client: &SocketAddr) -> usize {
    match client {
        SocketAddr::V4(_) => V4_LEN,
        SocketAddr::V6(_) => V6_LEN,
    }
}

/// Writes the option, [`len`] bytes, at the start of `out`.
pub(crate) fn write(out: &mut [u8], kind: u8, client: &SocketAddr) {
    put_u8(out, 0, kind);
    put_u8(out, 1, len(client) as u8);
    put_u16(out, 2, client.port());
    match client.ip() {
        IpAddr::V4(address) => put(out, 4, address.octets()),
        IpAddr::V6(address) => put(out, 4, address.octets()),
    }
}

/// Reads the option at the start of `option`. `None`: another kind, or a length that no client has.
pub(crate) fn read(option: &[u8], kind: u8) -> Option<SocketAddr> {
    let len = usize::from(get_u8(option, 1));
    let option = option.get(..len)?;
    let address = match len {
        _ if get_u8(option, 0) != kind => return None,
        V4_LEN => IpAddr::V4(Ipv4Addr::from(array::<4>(option, 4))),
        V6_LEN => IpAddr::V6(Ipv6Addr::from(array::<16>(option, 4))),
        _ => return None,
    };
    Some(SocketAddr::new(address, get_u16(option, 2)))
}
