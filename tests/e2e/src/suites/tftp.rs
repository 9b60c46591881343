//! Trivial file transfer: in.tftpd answers from a port of its own for each transfer, which the helper has to expect.

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Process, Result, Topology, Wiring};

use crate::Context;
use crate::config::{Config, Service, endpoint};

const SERVERS: u8 = 2;
const PORT: u16 = 69;
const METHODS: [Method; 2] = [Method::Nat, Method::Fullnat];
/// Many blocks of 512 bytes, and a piece.
const BYTES: usize = 100_001;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { nginx: false, servers: SERVERS, ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    super::hide_servers(&topology)?;
    let _servers = context.step("TFTP servers", || servers(&topology))?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for method in METHODS {
            for family in Family::ALL {
                config = config.with(Service::new("udp", method, family, PORT, SERVERS));
            }
        }
        context.with_director(&topology, &config, |_| {
            for method in METHODS {
                for family in Family::ALL {
                    let name = format!("{} {} with {workers} worker(s)", method.name(), family.name());
                    context.step(name, || transfers(&topology, method, family))?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn servers(topology: &Topology) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for server in &topology.servers {
        let (name, files) = (&server.name, topology.lab.dir().join(format!("tftp-{}", server.name)));
        std::fs::create_dir_all(&files).context(files.display())?;
        super::open_to_all(&files)?;
        std::fs::write(files.join("large"), vec![0x5a; BYTES])?;
        for family in Family::ALL {
            let address = endpoint(address::server(family, server.number), PORT);
            let mut command = server.namespace.command("in.tftpd");
            command
                .args([
                    "--foreground",
                    "--secure",
                    "--create",
                    "--permissive",
                    "--user",
                    "root",
                    "--address",
                    &address,
                ])
                .arg(&files);
            let log = topology.lab.dir().join(format!("tftp-{name}-{}.log", family.name()));
            processes.push(Process::spawn(&format!("tftpd {name}"), &mut command, &log)?);
        }
    }
    for server in &topology.servers {
        let url = format!("tftp://{}/large", endpoint(address::server(Family::V6, server.number), PORT));
        super::until(|| {
            server.namespace.output(&["curl", "-sS", "--max-time", "2", "-o", "/dev/null", &url]).map(drop)
        })?;
    }
    Ok(processes)
}

/// Several transfers, so that each server has some.
fn transfers(topology: &Topology, method: Method, family: Family) -> Result<()> {
    let url = format!("tftp://{}", endpoint(address::vip(method, family), PORT));
    let upload = topology.lab.dir().join("upload");
    std::fs::write(&upload, vec![7; BYTES])?;
    let (get, upload) = (format!("{url}/large"), upload.to_string_lossy());
    for n in 0..2 * SERVERS {
        let base = ["curl", "-sS", "--max-time", "15"];
        let options = ["-o", "/dev/null", "-w", "%{size_download}", &get];
        let got = topology.client.output(&[&base[..], &options].concat()).context("read")?;
        if got != BYTES.to_string() {
            return Err(Error::new(format!("{got} bytes arrived")));
        }
        let put = format!("{url}/up-{n}");
        topology.client.output(&[&base[..], &["-T", &upload, &put]].concat()).context("write")?;
    }
    Ok(())
}
