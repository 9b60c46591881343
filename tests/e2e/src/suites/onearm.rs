//! One port for clients and servers: the director is a host on the switch that all share.

use lab::address::{Family, Method};
use lab::{Plan, Result, Topology, Wiring};

use super::methods;
use crate::Context;
use crate::config::Config;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan =
        Plan { wiring: Wiring::OneArm, decap: Some(context.binaries.decap.clone()), ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    for workers in [1, 2] {
        let config = methods::services(Config::new(Wiring::OneArm, workers, 1));
        context.with_director(&topology, &config, |_| {
            for method in Method::ALL {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    context.step(name, || methods::exercise(&topology, method, family))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}
