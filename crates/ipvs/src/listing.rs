//! The order in which Linux lists services: that of its hash table [ip_vs_svc_hashkey, ip_vs_svc_fwm_hashkey].
//!
//! Services by address come bucket by bucket, then those by mark; in a bucket the newest is first. Linux mixes the
//! address of a structure of its own into the hash, so that the order of buckets differs from boot to boot: here
//! that is the salt. Destinations are listed as schedulers walk them, the newest first.

use core::net::IpAddr;

use crate::ServiceKey;

/// The salt that rvs lists with; every Linux has its own.
pub const SALT: u8 = 0x10;

/// Puts services, given in the order in which they were added, into the order of listings.
pub fn order<T>(services: &mut [T], salt: u8, key: impl Fn(&T) -> ServiceKey) {
    services.reverse();
    services.sort_by_key(|service| bucket(&key(service), salt));
}

/// Whether a service is in the table of marks, and its bucket there.
fn bucket(key: &ServiceKey, salt: u8) -> (bool, u8) {
    match *key {
        ServiceKey::Address { protocol, addr, port } => {
            let [high, low] = port.to_be_bytes();
            (false, protocol.number() ^ last_octets(addr) ^ high ^ low ^ salt)
        }
        ServiceKey::Mark { mark, .. } => (true, mark as u8 ^ salt),
    }
}

/// The last octets of an address's 32-bit words, all of them together.
fn last_octets(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(addr) => addr.octets()[3],
        IpAddr::V6(addr) => addr.octets().iter().skip(3).step_by(4).fold(0, |sum, octet| sum ^ octet),
    }
}

#[cfg(test)]
mod tests {
    use wire::Family;

    use super::*;
    use crate::Protocol;

    #[test]
    fn services_are_listed_by_bucket_then_by_mark() {
        let service = |protocol, port| {
            let addr = "192.0.2.100".parse().expect("an address");
            ServiceKey::Address { protocol, addr, port }
        };
        let mark = ServiceKey::Mark { mark: 5, family: Family::V4 };
        let (tcp, udp) = (service(Protocol::Tcp, 80), service(Protocol::Udp, 80));
        let other = service(Protocol::Tcp, 8);
        let mut listed = vec![mark, tcp, other, udp];
        order(&mut listed, SALT, |key| *key);
        assert_eq!(listed, [tcp, udp, other, mark], "as Linux was seen to list them");
    }

    #[test]
    fn in_a_bucket_the_newest_is_first() {
        let service = |text: &str| ServiceKey::Address {
            protocol: Protocol::Tcp,
            addr: text.parse().expect("an address"),
            port: 80,
        };
        let mut listed = vec![service("192.0.2.1"), service("198.51.100.1")];
        order(&mut listed, SALT, |key| *key);
        assert_eq!(listed, [service("198.51.100.1"), service("192.0.2.1")]);
    }
}
