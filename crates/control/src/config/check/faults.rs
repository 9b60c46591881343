//! What is wrong with a service or a destination by itself: the key, and what was found and expected.

use std::net::Ipv4Addr;

use api::{
    DestSpec, Family, Helper, Method, Netmask, Protocol, ServiceKey, ServiceSpec, TunnelChecksum, TunnelType,
    WEIGHT_MAX,
};

use super::is_usable;
use crate::config::PERSISTENCE_MAX_S;
use crate::config::model::{Config, NatSteering, Service};

pub type Fault = (&'static str, String);

/// What cannot be about a service, however the network looks.
pub fn service_faults(config: &Config, service: &Service) -> Vec<Fault> {
    let spec = &service.spec;
    let mut faults = Vec::new();
    if spec.key.port() == 0 && spec.key.address().is_some() && spec.persistence_timeout_s.is_none() {
        let message = "found port 0, which stands for every port, without persistence_timeout_s: expected 1 to 65535, or a \
                       persistent service";
        faults.push(("port", message.to_owned()));
    }
    if let Some(timeout) = spec.persistence_timeout_s
        && !(1..=PERSISTENCE_MAX_S).contains(&timeout)
    {
        let message = format!("found {timeout}, expected an integer from 1 to {PERSISTENCE_MAX_S}");
        faults.push(("persistence_timeout_s", message));
    }
    if let Some(mask) = spec.persistence_netmask
        && mask.of_family(spec.key.family()).is_none()
    {
        let expected = match spec.key.family() {
            Family::Ipv4 => "a mask, or a prefix length from 0 to 32",
            Family::Ipv6 => "a prefix length from 1 to 128",
        };
        faults.push(("persistence_netmask", format!("found {mask}, expected {expected}")));
    }
    let is_udp = matches!(spec.key.protocol(), None | Some(Protocol::Udp));
    if spec.ops && !is_udp {
        let message = format!("found true, expected a service of udp: {} has connections", spec.key.kind());
        faults.push(("ops", message));
    }
    if let Some(engine) = spec.persistence_engine
        && !is_udp
    {
        let message = format!("found {engine}, which reads udp, expected a service of udp");
        faults.push(("persistence_engine", message));
    }
    let needed = match spec.helper {
        Helper::Ftp | Helper::Pptp => Some(Protocol::Tcp),
        Helper::Tftp => Some(Protocol::Udp),
        Helper::Auto | Helper::None => None,
    };
    if let (Some(needed), Some(found)) = (needed, spec.key.protocol())
        && needed != found
    {
        faults.push(("helper", format!("found {} in a service of {found}, expected {needed}", spec.helper)));
    }
    faults.extend(steering_fault(config, service));
    faults
}

/// With several workers, what belongs together must have one owner: replies of masquerade destinations name only the client, so
/// that their owner goes by `[steering]`, whatever the service's persistence says.
fn steering_fault(config: &Config, service: &Service) -> Option<Fault> {
    let spec = &service.spec;
    let masquerades = service.dests.iter().any(|dest| dest.method == Method::Nat);
    if !masquerades || config.workers.count() <= 1 {
        return None;
    }
    if config.steering.nat == NatSteering::Endpoint && crate::build::may_be_helped(spec) {
        let message = "found a service with a helper (ftp, tftp, pptp) and `nat` destinations under [steering] nat = \"endpoint\", \
                       which gives one client to several workers: expected nat = \"address\", one worker, or helper = \"none\"";
        return Some(("port", message.to_owned()));
    }
    spec.persistence_timeout_s?;
    if config.steering.nat == NatSteering::Endpoint {
        let message = "found a persistent service with `nat` destinations under [steering] nat = \"endpoint\", which gives one \
                       client to several workers: expected nat = \"address\", or one worker";
        return Some(("persistence_timeout_s", message.to_owned()));
    }
    let (prefix, setting) = match spec.key.family() {
        Family::Ipv4 => (config.steering.nat_prefix_v4, "nat_prefix_v4"),
        Family::Ipv6 => (config.steering.nat_prefix_v6, "nat_prefix_v6"),
    };
    let mask = spec.persistence_netmask?;
    let kept = leading_ones(mask);
    (kept < prefix).then(|| {
        let message = format!(
            "found {mask} with `nat` destinations, which takes clients together that [steering] {setting} = {prefix} gives to \
             several workers: expected {setting} = {kept} or less, or one worker"
        );
        ("persistence_netmask", message)
    })
}

/// So many leading bits are told apart.
fn leading_ones(mask: Netmask) -> u8 {
    match mask {
        Netmask::Mask(mask) => Ipv4Addr::to_bits(mask).leading_ones() as u8,
        Netmask::Prefix(len) => len,
    }
}

/// What cannot be about a destination of this service.
pub fn destination_faults(service: &ServiceSpec, dest: &DestSpec) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_usable(dest.address) && !dest.address.is_loopback() {
        faults.push(("address", format!("found {}, expected a unicast address", dest.address)));
    } else if Family::of(dest.address) != service.key.family() && dest.method != Method::Tunnel {
        let method = dest.method;
        let message =
            format!("found {} with {method}, expected the service's family: only tunnel mixes", dest.address);
        faults.push(("address", message));
    }
    if dest.weight > WEIGHT_MAX {
        faults.push(("weight", format!("found {}, expected an integer from 0 to {WEIGHT_MAX}", dest.weight)));
    }
    if dest.lower_threshold > dest.upper_threshold {
        let message = format!(
            "found {}, expected at most upper_threshold = {}",
            dest.lower_threshold, dest.upper_threshold
        );
        faults.push(("lower_threshold", message));
    }
    if service.ops && dest.method == Method::Fullnat {
        let message = "found fullnat in a service with ops: its replies would find no connection".to_owned();
        faults.push(("method", message));
    }
    if dest.method == Method::Fullnat && matches!(service.key, ServiceKey::Mark { .. }) {
        let message = "found fullnat in a service by fwmark, expected nat, dr or tunnel".to_owned();
        faults.push(("method", message));
    }
    faults.extend(tunnel_faults(dest));
    faults
}

/// Options of a tunnel that its type has no use for, or lacks.
fn tunnel_faults(dest: &DestSpec) -> Vec<Fault> {
    let (kind, checksum) = (dest.tunnel_type, dest.tunnel_checksum);
    if dest.method != Method::Tunnel {
        let asked = [
            ("tunnel_type", kind != TunnelType::default(), kind.to_string()),
            ("tunnel_port", dest.tunnel_port.is_some(), dest.tunnel_port.unwrap_or(0).to_string()),
            ("tunnel_checksum", checksum != TunnelChecksum::default(), checksum.to_string()),
        ];
        let fault = |(key, _, found)| (key, format!("found {found} with {}, expected tunnel", dest.method));
        return asked.into_iter().filter(|(_, asked, _)| *asked).map(fault).collect();
    }
    let mut faults = Vec::new();
    match (kind, dest.tunnel_port) {
        (TunnelType::Gue, None | Some(0)) => {
            faults.push(("tunnel_port", "found none, expected the UDP port of the gue tunnel".to_owned()));
        }
        (TunnelType::Ipip | TunnelType::Gre, Some(port)) => {
            faults.push(("tunnel_port", format!("found {port}, but {kind} has no port, only gue has")));
        }
        _ => {}
    }
    match (kind, checksum) {
        (TunnelType::Ipip, TunnelChecksum::Full | TunnelChecksum::Remote) => {
            faults.push(("tunnel_checksum", format!("found {checksum}, but ipip has no checksum")));
        }
        (TunnelType::Gre, TunnelChecksum::Remote) => {
            faults.push(("tunnel_checksum", format!("found {checksum}, expected nocsum or csum for gre")));
        }
        _ => {}
    }
    faults
}
