//! The addresses of the laboratory: documentation and private ranges only, alike in both families.
//!
//! | network | IPv4 | IPv6 |
//! | --- | --- | --- |
//! | wan: clients and VIPs | `192.0.2.0/24` | `2001:db8:1::/64` |
//! | lan: director and real servers | `10.0.2.0/24` | `2001:db8:2::/64` |
//! | router to client, the way of direct replies | `198.51.100.0/24` | `2001:db8:3::/64` |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address family of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which tests run.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// The prefix length of every network here.
    pub fn prefix_len(self) -> u8 {
        match self {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    /// The prefix length of a single address.
    pub fn host_len(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

/// How a virtual service's packets reach the real servers; each method has VIPs of its own, because the servers
/// of two of them carry the VIP themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Both addresses rewritten: servers need nothing.
    Fullnat,
    /// Destination rewritten: the director is the servers' default gateway.
    Nat,
    /// Only the MAC rewritten: servers carry the VIP and answer clients directly.
    Dr,
    /// Wrapped in IP: servers carry the VIP, unwrap, and answer clients directly.
    Tunnel,
}

impl Method {
    /// All, in the order in which tests run.
    pub const ALL: [Method; 4] = [Method::Fullnat, Method::Nat, Method::Dr, Method::Tunnel];

    /// The word of configuration and command line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Fullnat => "fullnat",
            Method::Nat => "nat",
            Method::Dr => "dr",
            Method::Tunnel => "tunnel",
        }
    }

    /// Whether real servers send replies past the director.
    pub fn replies_directly(self) -> bool {
        matches!(self, Method::Dr | Method::Tunnel)
    }
}

/// The virtual address of a method's services.
pub fn vip(method: Method, family: Family) -> IpAddr {
    match method {
        Method::Fullnat => wan(family, 100),
        Method::Nat => wan(family, 101),
        Method::Dr => wan(family, 102),
        Method::Tunnel => wan(family, 103),
    }
}

/// The director's address on the side of the clients.
pub fn director_wan(family: Family) -> IpAddr {
    wan(family, 1)
}

/// The director's address on the side of the servers.
pub fn director_lan(family: Family) -> IpAddr {
    lan(family, 1)
}

/// How many addresses the client has in each family.
pub const CLIENTS: u8 = 16;

/// Client address number `n`, `0..CLIENTS`. Which one a program uses that does not say is the kernel's choice.
pub fn client(family: Family, n: u8) -> IpAddr {
    wan(family, 10 + n)
}

/// The router through which servers answer clients directly.
pub fn router(family: Family) -> IpAddr {
    lan(family, 254)
}

/// Real server number `n`, from 1.
pub fn server(family: Family, n: u8) -> IpAddr {
    lan(family, 10 + n)
}

/// The local addresses that FULLNAT may use.
pub fn local_pool(family: Family) -> [IpAddr; 4] {
    [200, 201, 202, 203].map(|host| lan(family, host))
}

/// An address of the clients' network; its last byte (or group, in IPv6 written with the same digits) is `host`.
pub fn wan(family: Family, host: u8) -> IpAddr {
    in_network(family, Ipv4Addr::new(192, 0, 2, host), 1, host)
}

/// An address of the servers' network.
pub fn lan(family: Family, host: u8) -> IpAddr {
    in_network(family, Ipv4Addr::new(10, 0, 2, host), 2, host)
}

/// An address of the link between router and client.
pub fn back(family: Family, host: u8) -> IpAddr {
    in_network(family, Ipv4Addr::new(198, 51, 100, host), 3, host)
}

/// The network of `address`, as `prefix/len`.
pub fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(v6) => {
            let s = v6.segments();
            format!("{}/64", Ipv6Addr::new(s[0], s[1], s[2], s[3], 0, 0, 0, 0))
        }
    }
}

/// The family of `address`.
pub fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

fn in_network(family: Family, v4: Ipv4Addr, network: u16, host: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(v4),
        Family::V6 => {
            // The same digits are easier to recognise in both families: host 100 is ::100.
            let digits = u16::from(host / 100) << 8 | u16::from(host / 10 % 10) << 4 | u16::from(host % 10);
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, network, 0, 0, 0, 0, digits))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_show_the_same_digits() {
        for (address, want) in [
            (vip(Method::Fullnat, Family::V4), "192.0.2.100"),
            (vip(Method::Fullnat, Family::V6), "2001:db8:1::100"),
            (server(Family::V6, 3), "2001:db8:2::13"),
            (router(Family::V6), "2001:db8:2::254"),
            (client(Family::V4, 0), "192.0.2.10"),
        ] {
            assert_eq!(address.to_string(), want);
        }
    }

    #[test]
    fn networks_are_written_with_their_length() {
        assert_eq!(network(server(Family::V4, 1)), "10.0.2.0/24");
        assert_eq!(network(server(Family::V6, 1)), "2001:db8:2::/64");
    }
}
