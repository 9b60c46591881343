//! What of the services with helpers concerns packets that no service claims: data connections and transfers, which go to
//! other ports of the virtual address and come from other ports of the destinations.

use core::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::Helper;
use crate::{DestId, Method, Protocol, Service, ServiceKey};

/// Services that are remembered when they are gone; beyond that all of them are forgotten.
const REMOVED_MAX: usize = 4096;

/// The services with helpers, by what their further connections carry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    /// The services themselves: port 0 for any.
    endpoints: HashSet<(Protocol, IpAddr, u16)>,
    /// Virtual addresses, and whether a service there has a masquerade destination, or had one.
    addresses: HashMap<(Protocol, IpAddr), bool>,
    /// Ports at which a destination gets requests for transfers.
    transfer_ports: HashMap<IpAddr, Vec<u16>>,
    /// A service has PPTP's helper, or had it.
    calls: bool,
    /// Masquerade destinations of services whose engine knows what they begin on their own.
    callers: HashMap<(IpAddr, u16), DestId>,
}

impl Served {
    /// None yet; services that `previous` knew may have left connections behind.
    pub(crate) fn after(previous: &Self) -> Self {
        match previous.endpoints.len() {
            0..=REMOVED_MAX => {
                Self { transfer_ports: HashMap::new(), callers: HashMap::new(), ..previous.clone() }
            }
            _ => Self::default(),
        }
    }

    /// Takes in a service.
    pub(crate) fn add(&mut self, service: &Service, masquerades: bool) {
        if service.engine.is_some() && service.persistence.is_some() {
            for dest in service.dests.iter().filter(|dest| dest.method == Method::Masquerade) {
                let port = if dest.port == 0 { service.key.port() } else { dest.port };
                self.callers.entry((dest.addr, port)).or_insert(dest.id);
            }
        }
        let (protocol, port) = (service.key.protocol(), service.key.port());
        let helped = |method| matches!(method, Method::Masquerade | Method::Fullnat);
        if !is_helped(service) && !masquerades {
            return;
        }
        if service.helpers.concern(protocol, port)
            && let ServiceKey::Address { protocol, addr, port } = service.key
        {
            self.endpoints.insert((protocol, addr, port));
            *self.addresses.entry((protocol, addr)).or_default() |= masquerades;
        }
        let of_tcp = protocol.is_none_or(|protocol| protocol == Protocol::Tcp);
        let mut ports = service.helpers.ports(Helper::Pptp);
        self.calls |= of_tcp && service.uses(Method::Masquerade) && ports.any(|of| port == 0 || port == of);
        let requests = |port: u16| service.helpers.at(Protocol::Udp, port) == Some(Helper::Tftp);
        let of_udp = protocol.is_none_or(|protocol| protocol == Protocol::Udp);
        for dest in service.dests.iter().filter(|dest| of_udp && helped(dest.method)) {
            let known = self.transfer_ports.entry(dest.addr).or_default();
            match port {
                0 if dest.port == 0 => known.extend(service.helpers.ports(Helper::Tftp)),
                0 if service.helpers.ports(Helper::Tftp).next().is_some() => known.push(dest.port),
                port if requests(port) => known.push(if dest.port == 0 { port } else { dest.port }),
                _ => {}
            }
            known.sort_unstable();
            known.dedup();
        }
    }

    /// Whether packets of calls may come.
    pub(crate) fn expects_calls(&self) -> bool {
        self.calls
    }

    /// The ports at which a destination with this address gets requests for transfers.
    pub(crate) fn transfer_ports(&self, addr: IpAddr) -> &[u16] {
        self.transfer_ports.get(&addr).map_or(&[], |ports| ports)
    }

    /// The destination with this endpoint, if its service's engine knows what it begins on its own.
    pub(crate) fn caller(&self, addr: IpAddr, port: u16) -> Option<DestId> {
        self.callers.get(&(addr, port)).copied()
    }

    /// Whether a packet to this virtual endpoint is, or may be, of a service with a helper, as itself or as what the helper
    /// expects; if so, whether such a service has, or had, a masquerade destination. `other` says whether another service
    /// has the endpoint, or had it.
    pub(crate) fn masquerades(
        &self,
        protocol: Protocol,
        addr: IpAddr,
        port: u16,
        other: impl FnOnce() -> bool,
    ) -> Option<bool> {
        let masquerades = *self.addresses.get(&(protocol, addr))?;
        (self.endpoints.contains(&(protocol, addr, port)) || !other()).then_some(masquerades)
    }
}

/// Whether connections of a service can have a helper: all of a client's then go to one worker.
pub(crate) fn is_helped(service: &Service) -> bool {
    let passes = service.uses(Method::Masquerade) || service.uses(Method::Fullnat);
    passes && service.helpers.concern(service.key.protocol(), service.key.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dest, DestId, Helpers, SchedulerKind, ServiceId};

    fn service(protocol: Protocol, port: u16, method: Method, dest_port: u16) -> Service {
        let key = ServiceKey::Address { protocol, addr: [192, 0, 2, 100].into(), port };
        let dest = Dest::new(DestId(0), [10, 0, 2, 11].into(), dest_port, method);
        let helpers = Helpers::well_known();
        Service { dests: [dest].into(), helpers, ..Service::new(ServiceId(0), key, SchedulerKind::Rr) }
    }

    #[test]
    fn only_services_whose_packets_pass_in_both_directions_are_helped() {
        for (protocol, port, method, want) in [
            (Protocol::Tcp, 21, Method::Masquerade, true),
            (Protocol::Tcp, 21, Method::Fullnat, true),
            (Protocol::Tcp, 21, Method::DirectRouting, false),
            (Protocol::Tcp, 80, Method::Masquerade, false),
            (Protocol::Udp, 69, Method::Masquerade, true),
            (Protocol::Tcp, 1723, Method::Masquerade, true),
            (Protocol::Tcp, 0, Method::Masquerade, true),
        ] {
            let service = service(protocol, port, method, 0);
            assert_eq!(is_helped(&service), want, "{protocol:?} {port} {method:?}");
            let mut served = Served::default();
            served.add(&service, method == Method::Masquerade);
            let calls = method == Method::Masquerade && matches!(port, 0 | 1723);
            assert_eq!(served.expects_calls(), calls, "{protocol:?} {port} {method:?}");
            let vip = [192, 0, 2, 100].into();
            let want = want.then_some(method == Method::Masquerade);
            assert_eq!(
                served.masquerades(protocol, vip, port, || true),
                want,
                "itself: {protocol:?} {port} {method:?}"
            );
            assert_eq!(
                served.masquerades(protocol, vip, 51_213, || false),
                want,
                "data: {protocol:?} {port} {method:?}"
            );
            assert_eq!(served.masquerades(protocol, vip, 443, || true), None, "another service");
        }
    }

    #[test]
    fn transfers_answer_requests_at_the_ports_of_their_destinations() {
        for (protocol, port, method, dest_port, want) in [
            (Protocol::Udp, 69, Method::Masquerade, 69, &[69][..]),
            (Protocol::Udp, 69, Method::Fullnat, 6969, &[6969]),
            (Protocol::Udp, 69, Method::Masquerade, 0, &[69]),
            (Protocol::Udp, 0, Method::Masquerade, 0, &[69]),
            (Protocol::Udp, 0, Method::Masquerade, 6969, &[6969]),
            (Protocol::Udp, 53, Method::Masquerade, 53, &[]),
            (Protocol::Udp, 69, Method::Tunnel, 69, &[]),
            (Protocol::Tcp, 69, Method::Masquerade, 69, &[]),
        ] {
            let mut served = Served::default();
            served.add(&service(protocol, port, method, dest_port), false);
            assert_eq!(served.transfer_ports([10, 0, 2, 11].into()), want, "{protocol:?} {port} {dest_port}");
            assert!(served.transfer_ports([10, 0, 2, 12].into()).is_empty());
            let after = Served::after(&served);
            assert!(after.transfer_ports([10, 0, 2, 11].into()).is_empty());
            assert_eq!(
                (&after.addresses, &after.endpoints),
                (&served.addresses, &served.endpoints),
                "their connections may live on"
            );
        }
    }
}
