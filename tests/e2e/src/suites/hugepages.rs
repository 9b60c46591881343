//! DPDK's memory: huge pages where the kernel gives them, ordinary pages by itself where it does not.

use std::fs;

use lab::address::{self, Family, Method};
use lab::run::Changed;
use lab::{Error, Plan, Result, Topology, Wiring, nginx};

use crate::config::{Config, Service};
use crate::load::{Load, curl, summarise};
use crate::{Context, Director};

/// How many huge pages of the default size the kernel is to keep.
const RESERVED: &str = "/proc/sys/vm/nr_hugepages";
const SERVERS: u8 = 1;
/// More than rvsd asks for by itself with the laboratory's ports.
const MEMORY_MIB: u64 = 512;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { servers: SERVERS, ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    if free_mib()? < MEMORY_MIB {
        without(context, &topology)?;
    } else {
        println!("    note the machine has enough free huge pages: the way without is not shown");
    }
    let reserved = match reserve() {
        Ok(reserved) => reserved,
        Err(error) => {
            println!("    note no huge pages here, only the way without is shown: {error}");
            return Ok(());
        }
    };
    for hugepages in ["on", "auto"] {
        context.step(format_args!("hugepages = {hugepages}, with huge pages"), || {
            serves(context, &topology, hugepages, "Hugepages", true)
        })?;
    }
    drop(reserved);
    Ok(())
}

/// What happens where there are too few.
fn without(context: &Context, topology: &Topology) -> Result<()> {
    context.step("hugepages = on is refused where there are too few", || {
        match Director::start(topology, &context.binaries, &config("on")) {
            Ok(_) => Err(Error::new("rvsd started")),
            Err(error) if error.to_string().contains("huge pages are free") => Ok(()),
            Err(error) => Err(error),
        }
    })?;
    context.step("hugepages = auto takes ordinary pages", || {
        serves(context, topology, "auto", "OrdinaryPages", false)
    })
}

fn config(hugepages: &'static str) -> Config {
    let mut config = Config::new(Wiring::TwoArm, 1, 1);
    config.hugepages = hugepages;
    for family in Family::ALL {
        config = config.with(Service::new("tcp", Method::Fullnat, family, nginx::PORTS[0], SERVERS));
    }
    config
}

/// Starts, forwards, says in its log which memory it has, and takes huge pages exactly if it says so.
fn serves(
    context: &Context,
    topology: &Topology,
    hugepages: &'static str,
    memory: &str,
    takes: bool,
) -> Result<()> {
    let before = free_mib()?;
    context.with_director(topology, &config(hugepages), |director| {
        if !director.log().lines().any(|line| line.contains("memory=") && line.contains(memory)) {
            return Err(Error::new(format!("the log does not say {memory}")));
        }
        let taken = before.saturating_sub(free_mib()?);
        if (taken > 0) != takes {
            return Err(Error::new(format!("{taken} MiB of huge pages were taken")));
        }
        for family in Family::ALL {
            let target = (address::vip(Method::Fullnat, family), nginx::PORTS[0]);
            let load = Load { target, requests: 40, parallel: 4, source: None };
            summarise(&curl(&topology.client, &load)?).check(SERVERS.into())?;
        }
        Ok(())
    })?;
    let after = free_mib()?;
    if after == before { Ok(()) } else { Err(Error::new(format!("{after} MiB free again of {before}"))) }
}

/// Makes the kernel keep enough huge pages until the value is dropped.
fn reserve() -> Result<Option<Changed>> {
    let missing_mib = MEMORY_MIB.saturating_sub(free_mib()?);
    if missing_mib == 0 {
        return Ok(None);
    }
    let now: u64 = fs::read_to_string(RESERVED)?.trim().parse().map_err(|_| Error::new(RESERVED))?;
    let page_kib = meminfo("Hugepagesize:")?;
    if page_kib == 0 {
        return Err(Error::new("the kernel has no huge pages"));
    }
    let wanted = now + (missing_mib * 1024).div_ceil(page_kib);
    let changed = Changed::new(RESERVED, &wanted.to_string())?;
    let free = free_mib()?;
    if free >= MEMORY_MIB {
        Ok(Some(changed))
    } else {
        Err(Error::new(format!("asked for {wanted} pages, the kernel has {free} MiB free of {MEMORY_MIB}")))
    }
}

/// Free huge pages of the default size, in MiB.
fn free_mib() -> Result<u64> {
    Ok(meminfo("HugePages_Free:")? * meminfo("Hugepagesize:")? / 1024)
}

/// A number of `/proc/meminfo`; 0 if the kernel has no such line.
fn meminfo(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let Some(line) = line else { return Ok(0) };
    line.split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .ok_or_else(|| Error::new(format!("{name}{line}")))
}
