//! Local pools, addresses, routes and neighbours.

use api::{
    AddrRange, AddressOrigin, AddressRole, AddressView, NeighbourState, NeighbourView, PoolView, RouteOrigin,
    RouteView,
};

use super::or_none;
use crate::table::Table;

/// `laddr list`.
pub fn pools(pools: &[PoolView]) -> String {
    let mut table = Table::new(["Pool", "Interface", "Ports", ">Services", "Addresses"]);
    for pool in pools {
        let addresses: Vec<String> = pool.addresses.iter().map(AddrRange::to_string).collect();
        table.row([
            pool.name.clone(),
            pool.interface.clone(),
            pool.ports.to_string(),
            pool.services.to_string(),
            addresses.join(" "),
        ]);
    }
    table.take()
}

/// `addr list`.
pub fn addresses(addresses: &[AddressView]) -> String {
    let mut table = Table::new(["Interface", "Address", "Role", "Origin"]);
    for address in addresses {
        let role = match (address.role, &address.pool) {
            (AddressRole::Host, _) => "host".to_owned(),
            (AddressRole::LocalPool, Some(pool)) => format!("local pool {pool}"),
            (AddressRole::LocalPool, None) => "local pool".to_owned(),
        };
        let origin = match address.origin {
            AddressOrigin::Configured => "configured",
            AddressOrigin::Host => "host",
            AddressOrigin::LinkLocal => "link-local",
        };
        table.row([address.interface.clone(), address.cidr.to_string(), role, origin.to_owned()]);
    }
    table.take()
}

/// `route list`.
pub fn routes(routes: &[RouteView]) -> String {
    let mut table = Table::new(["To", "Via", "Interface", "Source", ">MTU", "Origin"]);
    for route in routes {
        let origin = match route.origin {
            RouteOrigin::Connected => "connected",
            RouteOrigin::Static => "static",
        };
        table.row([
            route.to.to_string(),
            or_none(route.via),
            route.interface.clone(),
            or_none(route.source),
            or_none(route.mtu),
            origin.to_owned(),
        ]);
    }
    table.take()
}

/// `neigh list`.
pub fn neighbours(neighbours: &[NeighbourView]) -> String {
    let mut table = Table::new([">Worker", "Interface", "Address", "MAC", "State", ">Age s"]);
    for neighbour in neighbours {
        // A static neighbour is never confirmed.
        let learnt = neighbour.state != NeighbourState::Static;
        let age_s = learnt.then_some(neighbour.age_ms / 1000);
        table.row([
            neighbour.worker.to_string(),
            neighbour.interface.clone(),
            neighbour.address.to_string(),
            or_none(neighbour.mac),
            neighbour.state.as_str().to_owned(),
            or_none(age_s),
        ]);
    }
    table.take()
}
