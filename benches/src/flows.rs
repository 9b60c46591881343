//! Flows in shuffled order, computed rather than stored, so that the source of packets misses no cache.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::Family;

/// Ports that each client uses, from [`FIRST_PORT`] on.
const PORTS: u32 = 4096;
const FIRST_PORT: u16 = 10_000;

/// The client of a flow: address and port.
pub fn client(family: Family, flow: u32) -> (IpAddr, u16) {
    let (host, port) = (flow / PORTS, FIRST_PORT + (flow % PORTS) as u16);
    let addr = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(0xc612_0001 + host)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8_000c << 80) + 1 + u128::from(host))),
    };
    (addr, port)
}

/// Every flow below a number, once in each round, in an order that no prefetcher knows.
#[derive(Clone, Debug)]
pub struct Shuffled {
    flows: u32,
    mask: u32,
    at: u32,
}

impl Shuffled {
    /// An order of `flows` flows, at least one.
    pub fn new(flows: u32) -> Self {
        Self { flows, mask: flows.max(2).next_power_of_two() - 1, at: 0 }
    }

    /// The next flow.
    #[inline]
    pub fn next_flow(&mut self) -> u32 {
        loop {
            // Full period for every power of two: odd increment, multiplier 1 modulo 4. The xor of a shifted copy is one to one.
            self.at = self.at.wrapping_mul(0x915f_77f5).wrapping_add(0x3504_f333) & self.mask;
            let half = (32 - self.mask.leading_zeros()).div_ceil(2);
            let flow = self.at ^ (self.at >> half);
            if flow < self.flows {
                return flow;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flow_comes_once_a_round() {
        for flows in [1, 2, 3, 1000, 1024, 100_000] {
            let mut order = Shuffled::new(flows);
            let mut seen = vec![0_u32; flows as usize];
            (0..3 * flows).for_each(|_| seen[order.next_flow() as usize] += 1);
            assert!(seen.iter().all(|&times| times == 3), "{flows}");
        }
    }

    #[test]
    fn flows_have_clients_of_their_own() {
        for family in [Family::V4, Family::V6] {
            let clients: std::collections::HashSet<_> =
                (0..20_000).map(|flow| client(family, flow)).collect();
            assert_eq!(clients.len(), 20_000);
        }
    }
}
