//! A running rvsd and its `rvsctl`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use api::{PacketCounters, Reply};
use lab::error::Context;

use lab::{Error, Lab, Namespace, Process, Result, Topology, process};

use crate::config::Config;

/// How long rvsd may take until `rvsctl` gets an answer.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long counters may take to come to rest.
const REST_LIMIT: Duration = Duration::from_secs(5);

/// The programs under test.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The daemon.
    pub rvsd: PathBuf,
    /// The daemon once more, linked to DPDK's shared libraries; for one suite only.
    pub rvsd_shared: PathBuf,
    /// Its command line.
    pub rvsctl: PathBuf,
    /// The end of tunnels.
    pub decap: PathBuf,
}

impl Binaries {
    /// Those that cargo puts beside the running program.
    pub fn beside_us() -> Result<Self> {
        let us = std::env::current_exe()?;
        let folder = us.parent().ok_or_else(|| Error::new("our own path has no folder"))?;
        Ok(Self::in_folder(folder))
    }

    /// Those of a folder.
    pub fn in_folder(folder: &Path) -> Self {
        let program = |name| folder.join(name);
        Self {
            rvsd: program("rvsd"),
            rvsd_shared: program("shared/rvsd"),
            rvsctl: program("rvsctl"),
            decap: program("decap"),
        }
    }

    /// An error that names the first that is not there. [`Self::rvsd_shared`] is for the suite that wants it.
    pub fn check(&self) -> Result<()> {
        match [&self.rvsd, &self.rvsctl, &self.decap].into_iter().find(|path| !path.is_file()) {
            None => Ok(()),
            Some(path) => {
                Err(Error::new(format!("{} is missing: `cargo build --workspace` makes it", path.display())))
            }
        }
    }
}

/// `rvsctl`, bound to one daemon's socket.
#[derive(Debug, Clone)]
pub struct Ctl {
    program: PathBuf,
    socket: PathBuf,
}

impl Ctl {
    /// The command with its socket, ready for arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-s").arg(&self.socket);
        command
    }

    /// Runs `rvsctl WORDS…` and returns what it printed.
    pub fn run(&self, words: &str) -> Result<String> {
        process::output(self.command().args(words.split_whitespace()))
    }

    /// Runs it expecting failure; returns the exit code and what it printed to standard error.
    pub fn refused(&self, words: &str) -> Result<(i32, String)> {
        let mut command = self.command();
        let output = command.args(words.split_whitespace()).output().context(process::show(&command))?;
        match output.status.code() {
            Some(code) if code != 0 => Ok((code, String::from_utf8_lossy(&output.stderr).into_owned())),
            _ => Err(Error::new(format!("`rvsctl {words}` should have been refused"))),
        }
    }

    /// Runs `rvsctl -j WORDS…` and returns the reply.
    pub fn json(&self, words: &str) -> Result<Reply> {
        let text = process::output(self.command().arg("-j").args(words.split_whitespace()))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::new(format!("`rvsctl -j {words}`: {error}: {text}")))
    }

    /// Connections in the tables of all workers.
    pub fn connections(&self) -> Result<u64> {
        match self.json("conn count")? {
            Reply::ConnCount(count) => Ok(count.connections),
            other => Err(unexpected("conn count", &other)),
        }
    }

    /// Every connection.
    pub fn conn_list(&self) -> Result<Vec<api::ConnView>> {
        match self.json("conn list")? {
            Reply::Connections(connections) => Ok(connections),
            other => Err(unexpected("conn list", &other)),
        }
    }

    /// What each worker counted.
    pub fn workers(&self) -> Result<Vec<api::WorkerView>> {
        match self.json("stats workers")? {
            Reply::Workers(workers) => Ok(workers),
            other => Err(unexpected("stats workers", &other)),
        }
    }

    /// All workers' packets together.
    pub fn packets(&self) -> Result<PacketCounters> {
        Ok(self.workers()?.iter().fold(PacketCounters::default(), |sum, worker| sum.plus(worker.packets)))
    }

    /// Drop reasons that counted something.
    pub fn drops(&self) -> Result<Vec<(String, u64)>> {
        match self.json("stats drops")? {
            Reply::Drops(drops) => Ok(drops
                .into_iter()
                .filter(|drop| drop.count > 0)
                .map(|drop| (drop.reason, drop.count))
                .collect()),
            other => Err(unexpected("stats drops", &other)),
        }
    }

    /// How many packets were dropped for one reason.
    pub fn dropped(&self, reason: &str) -> Result<u64> {
        Ok(self.drops()?.iter().filter(|(name, _)| name == reason).map(|(_, count)| count).sum())
    }

    /// Every service with its destinations.
    pub fn services(&self) -> Result<Vec<api::ServiceView>> {
        match self.json("service list")? {
            Reply::Services(services) => Ok(services),
            other => Err(unexpected("service list", &other)),
        }
    }

    /// Every port.
    pub fn ports(&self) -> Result<Vec<api::PortView>> {
        match self.json("stats ports")? {
            Reply::Ports(ports) => Ok(ports),
            other => Err(unexpected("stats ports", &other)),
        }
    }
}

fn unexpected(words: &str, reply: &Reply) -> Error {
    Error::new(format!("`rvsctl -j {words}` answered something else: {reply:?}"))
}

/// A running daemon.
#[derive(Debug)]
pub struct Director {
    /// How to talk to it.
    pub ctl: Ctl,
    process: Process,
    config: PathBuf,
    socket: PathBuf,
}

impl Director {
    /// Starts rvsd in the topology's director; returns when it answers.
    pub fn start(topology: &Topology, binaries: &Binaries, config: &Config) -> Result<Self> {
        Self::start_in(&topology.lab, &topology.director, "rvsd", binaries, config)
    }

    /// Starts rvsd in a namespace, with files of this name; returns when it answers.
    pub fn start_in(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        binaries: &Binaries,
        config: &Config,
    ) -> Result<Self> {
        let dir = lab.dir();
        let socket = dir.join(format!("{name}.sock"));
        let path = dir.join(format!("{name}.toml"));
        std::fs::write(&path, config.to_toml(&socket.to_string_lossy()))?;
        let mut command = namespace.command(&binaries.rvsd);
        command.arg("--config").arg(&path);
        let process = Process::spawn(name, &mut command, &dir.join(format!("{name}.log")))?;
        let ctl = Ctl { program: binaries.rvsctl.clone(), socket: socket.clone() };
        let mut director = Self { ctl, process, config: path, socket };
        director.wait_until_it_answers()?;
        Ok(director)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.process.check_alive()?;
            let answer =
                if self.socket.exists() { self.ctl.workers() } else { Err(Error::new("no socket yet")) };
            match answer {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    let log = self.process.log();
                    return Err(error.context(format_args!(
                        "rvsd does not answer after {START_LIMIT:?}; it said:\n{log}"
                    )));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// The daemon's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its configuration file.
    pub fn config_path(&self) -> &Path {
        &self.config
    }

    /// Its control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Writes another configuration over its file; does not tell the daemon.
    pub fn rewrite(&self, config: &Config) -> Result<()> {
        std::fs::write(&self.config, config.to_toml(&self.socket.to_string_lossy()))
            .context(self.config.display())
    }

    /// The conservation law: every packet that came or was made has gone somewhere, in every worker. Read when
    /// traffic rests, since counters of a packet under way are not written at one instant.
    pub fn check_conservation(&mut self) -> Result<()> {
        self.process.check_alive()?;
        let deadline = Instant::now() + REST_LIMIT;
        loop {
            let workers = self.ctl.workers()?;
            let unbalanced = workers.iter().find(|worker| worker.packets.entered() != worker.packets.left());
            match unbalanced {
                None => return Ok(()),
                Some(worker) if Instant::now() > deadline => {
                    return Err(Error::new(format!(
                        "worker {} does not conserve packets: {} entered, {} left: {:?}",
                        worker.id,
                        worker.packets.entered(),
                        worker.packets.left(),
                        worker.packets
                    )));
                }
                Some(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// What rvsd has printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Lets it run on when this value goes.
    pub fn detach(self) {
        self.process.detach();
    }
}
