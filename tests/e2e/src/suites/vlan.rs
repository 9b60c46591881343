//! Clients and servers on two VLANs of one port.
//!
//! The director's port is a TAP whose other end is our own VLAN switch; its access ports are bridged to the devices
//! that lead to clients and servers.

use lab::address::{Family, Method};
use lab::topology::{LAN, WAN};
use lab::{Plan, Result, Topology, Wiring};

use super::methods;
use crate::Context;
use crate::config::{Config, af_packet};
use crate::frame::{VlanSwitch, tap};

const TRUNK: &str = "trunk0";
const WAN_VLAN: u16 = 100;
const LAN_VLAN: u16 = 200;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    let _switch = context.step("VLAN switch", || switch(&topology))?;
    let mut config = Config::new(Wiring::OneArm, 2, 1);
    config.ports = vec![af_packet("trunk", TRUNK, 0, 1)];
    for (name, id) in [("wan", WAN_VLAN), ("lan", LAN_VLAN)] {
        config.vlans.push((name.to_owned(), "trunk".to_owned(), id));
    }
    config.pool_interface = "lan".to_owned();
    config.address_both("wan", "lan");
    context.with_director(&topology, &methods::services(config), |_| {
        for method in Method::ALL {
            for family in Family::ALL {
                let name = format!("{} {}", method.name(), family.name());
                context.step(name, || methods::exercise(&topology, method, family))?;
            }
        }
        Ok(())
    })
}

fn switch(topology: &Topology) -> Result<VlanSwitch> {
    let director = &topology.director;
    let trunk = tap(director, TRUNK)?;
    lab::topology::hands_off(director, TRUNK)?;
    let mut access = Vec::new();
    for (id, device) in [(WAN_VLAN, WAN), (LAN_VLAN, LAN)] {
        let (bridge, port) = (format!("br{id}"), format!("acc{id}"));
        let file = tap(director, &port)?;
        director.ip([
            format!("link add name {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
            format!("link set {port} master {bridge}"),
            format!("link set {device} master {bridge}"),
            format!("link set {bridge} arp off"),
            format!("link set {bridge} up"),
        ])?;
        access.push((id, file));
    }
    Ok(VlanSwitch::start(trunk, access))
}
