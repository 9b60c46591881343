//! File transfer by stock programs: vsftpd behind the director; curl and lftp before it, active and passive, with the
//! commands of RFC 959 and those of RFC 2428.

use lab::address::{self, Family, Method};
use lab::error::Context as _;
use lab::{Error, Plan, Process, Result, Topology, Wiring};

use crate::config::{Config, Service, endpoint};
use crate::{Context, Director};

const SERVERS: u8 = 2;
const PORT: u16 = 21;
/// A second control port, rewritten to the servers' own.
const OTHER_PORT: u16 = 2121;
const METHODS: [Method; 2] = [Method::Nat, Method::Fullnat];
const LARGE_BYTES: usize = 3 << 20;

pub(crate) fn run(context: &Context) -> Result<()> {
    let plan = Plan { nginx: false, servers: SERVERS, ..Plan::default() };
    let topology = context.step("build", || Topology::build(plan))?;
    super::hide_servers(&topology)?;
    let _servers = context.step("FTP servers", || servers(&topology))?;
    for workers in [1, 2] {
        let mut config = Config::new(Wiring::TwoArm, workers, 1);
        for method in METHODS {
            for family in Family::ALL {
                let service = |port| Service::new("tcp", method, family, port, SERVERS).to_port(PORT);
                config = config.with(service(PORT)).with(service(OTHER_PORT).option("helper = \"ftp\""));
            }
        }
        context.with_director(&topology, &config, |director| {
            for method in METHODS {
                for family in Family::ALL {
                    for port in [PORT, OTHER_PORT] {
                        let name =
                            format!("{} {}, port {port}, {workers} worker(s)", method.name(), family.name());
                        let url = format!("ftp://{}", endpoint(address::vip(method, family), port));
                        context.step(format_args!("curl, {name}"), || curl(&topology, &url, family))?;
                        context.step(format_args!("lftp, {name}"), || lftp(&topology, &url))?;
                    }
                }
            }
            context.step("no connection of a transfer is left behind", || few_connections(director))
        })?;
    }
    Ok(())
}

fn servers(topology: &Topology) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    for server in &topology.servers {
        let (name, home) = (&server.name, topology.lab.dir().join(format!("ftp-{}", server.name)));
        let files = home.join("files");
        let uploads = files.join("up");
        std::fs::create_dir_all(&uploads).context(uploads.display())?;
        super::open_to_all(&uploads)?;
        std::fs::write(files.join("whoami"), format!("{name}\n"))?;
        std::fs::write(files.join("large"), vec![0x5a; LARGE_BYTES])?;
        let conf = home.join("vsftpd.conf");
        std::fs::write(&conf, configuration(&home.display().to_string()))?;
        let mut command = server.namespace.command("vsftpd");
        processes.push(Process::spawn(
            &format!("vsftpd {name}"),
            command.arg(&conf),
            &home.join("output.log"),
        )?);
    }
    for server in &topology.servers {
        let url = format!("ftp://{}/whoami", endpoint(address::server(Family::V4, server.number), PORT));
        super::until(|| server.namespace.output(&["curl", "-sS", "--max-time", "2", &url]).map(drop))?;
    }
    Ok(processes)
}

/// Both families on one socket; anonymous clients may write, for this is a laboratory.
fn configuration(home: &str) -> String {
    let options = [
        "listen=NO",
        "listen_ipv6=YES",
        "background=NO",
        "anonymous_enable=YES",
        "no_anon_password=YES",
        "local_enable=NO",
        "write_enable=YES",
        "anon_upload_enable=YES",
        "anon_umask=022",
        "anon_other_write_enable=YES",
        "allow_writeable_chroot=YES",
        "connect_from_port_20=YES",
        "seccomp_sandbox=NO",
        "xferlog_enable=NO",
    ];
    format!("{}\nanon_root={home}/files\nsecure_chroot_dir={home}\n", options.join("\n"))
}

/// How curl asks for its data connection.
fn ways(family: Family) -> Vec<(&'static str, &'static [&'static str])> {
    let mut ways: Vec<(_, &[&str])> = vec![("EPSV", &[]), ("EPRT", &["--ftp-port", "-"])];
    if family == Family::V4 {
        ways.push(("PASV", &["--disable-epsv", "--no-ftp-skip-pasv-ip"]));
        ways.push(("PORT", &["--ftp-port", "-", "--disable-eprt"]));
    }
    ways
}

fn curl(topology: &Topology, url: &str, family: Family) -> Result<()> {
    let upload = topology.lab.dir().join("upload");
    std::fs::write(&upload, vec![7; 100_000])?;
    let upload = upload.to_string_lossy();
    for (way, options) in ways(family) {
        let base = ["curl", "-sS", "--max-time", "15"];
        let (listing, large) = (format!("{url}/"), format!("{url}/large"));
        let list = topology.client.output(&[&base[..], options, &[&listing]].concat()).context(way)?;
        if !list.contains("large") {
            return Err(Error::new(format!("{way}: the listing is\n{list}")));
        }
        let got = [&base[..], options, &["-o", "/dev/null", "-w", "%{size_download}", &large]].concat();
        let got = topology.client.output(&got).context(way)?;
        if got != LARGE_BYTES.to_string() {
            return Err(Error::new(format!("{way}: {got} bytes of the large file arrived")));
        }
        let put = format!("{url}/up/{way}");
        topology.client.output(&[&base[..], options, &["-T", &upload, &put]].concat()).context(way)?;
    }
    Ok(())
}

/// One control connection with many transfers, so that rewritten commands of different lengths add up.
fn lftp(topology: &Topology, url: &str) -> Result<()> {
    for passive in ["on", "off"] {
        let script = format!(
            "set net:timeout 5; set net:max-retries 1; set ftp:passive-mode {passive}; set ssl:verify-certificate no; \
             set ftp:ssl-allow no; set ftp:fix-pasv-address no; open {url}; cat whoami; cat whoami; ls; cat whoami; get large -o /dev/null; cat whoami; bye"
        );
        let said =
            topology.client.output(&["lftp", "-c", &script]).context(format_args!("passive {passive}"))?;
        let names: Vec<&str> = said.lines().filter(|line| line.starts_with("rs")).collect();
        if names.len() != 4 || names.iter().any(|name| *name != names[0]) {
            return Err(Error::new(format!("passive {passive}: {said}")));
        }
    }
    Ok(())
}

/// Data connections are closed by now and wait for their end; none listens any more.
fn few_connections(director: &Director) -> Result<()> {
    let open =
        director.ctl.conn_list()?.into_iter().find(|c| c.state == "LISTEN" || c.state == "ESTABLISHED");
    open.map_or(Ok(()), |open| Err(Error::new(format!("{open:?}"))))
}
