//! One network namespace: commands, threads and settings inside it.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::address::Family;
use crate::error::{Context, Error, Result};
use crate::{process, run};

/// A named network namespace (`ip netns`). Whoever made it, [`crate::Lab`], removes it.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn create(name: &str) -> Result<Self> {
        // Held until it exists: what is removed on a signal is what exists then.
        let going_on = run::going_on();
        let output = Command::new("ip").args(["netns", "add", name]).output().context("ip")?;
        process::checked(&format!("ip netns add {name}"), &output)?;
        drop(going_on);
        let namespace = Self { name: name.to_owned() };
        namespace.ip(["link set lo up"])?;
        Ok(namespace)
    }

    /// The name that `ip netns exec` takes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program inside to its end and returns what it printed.
    pub fn output(&self, argv: &[&str]) -> Result<String> {
        let (program, args) = argv.split_first().ok_or_else(|| Error::new("empty command"))?;
        process::output(self.command(program).args(args))
    }

    /// Runs lines of `ip` commands (without the word `ip`) inside, as one batch; stops at the first that fails.
    pub fn ip<L: AsRef<str>>(&self, lines: impl IntoIterator<Item = L>) -> Result<()> {
        self.batch(&[], lines)
    }

    /// The same for commands whose family their arguments do not show (`route add default`, `rule add`).
    pub fn ip_of<L: AsRef<str>>(&self, family: Family, lines: impl IntoIterator<Item = L>) -> Result<()> {
        self.batch(&[if family == Family::V4 { "-4" } else { "-6" }], lines)
    }

    fn batch<L: AsRef<str>>(&self, options: &[&str], lines: impl IntoIterator<Item = L>) -> Result<()> {
        let script: String = lines.into_iter().map(|line| format!("{}\n", line.as_ref())).collect();
        let mut child = Command::new("ip")
            .args(options)
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("ip")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(script.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        process::checked(&format!("ip -n {} -batch -", self.name), &output).map_err(|error| {
            let numbered: String =
                script.lines().enumerate().map(|(i, l)| format!("\n  {}: {l}", i + 1)).collect();
            Error::new(format!("{error}{numbered}"))
        })
    }

    /// Starts a thread that lives inside: its sockets and its view of `/proc/thread-self/net` are the namespace's.
    pub fn thread<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let path = PathBuf::from("/run/netns").join(&self.name);
        std::thread::spawn(move || {
            let file = File::open(&path).context(path.display())?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .context(path.display())?;
            Ok(body())
        })
    }

    /// Runs `body` inside and waits for what it returns.
    pub fn enter<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        match self.thread(body).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Sets `net.…` sysctls of the namespace, given as `("ipv4.ip_forward", "1")`.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        let settings: Vec<(PathBuf, String)> = settings
            .iter()
            .map(|(key, value)| (PathBuf::from("/proc/sys/net").join(sysctl_path(key)), (*value).to_owned()))
            .collect();
        self.enter(move || {
            for (path, value) in settings {
                std::fs::write(&path, value).context(path.display())?;
            }
            Ok(())
        })?
    }

    /// Switches off what would let one end of a veth pair hand over packets that no wire could carry:
    /// unfinished checksums and segments larger than the MTU.
    pub fn offloads_off(&self, device: &str) -> Result<()> {
        self.output(&["ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
            .map(drop)
    }
}

/// `ipv4.conf.eth0.arp_ignore` as a path; a device name may itself hold a dot (`wan.host`), so only the first
/// two and the last dot of a `conf` key separate.
fn sysctl_path(key: &str) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    match parts.as_slice() {
        [family, "conf" | "neigh", device @ .., leaf] if !device.is_empty() => {
            format!("{family}/{}/{}/{leaf}", parts[1], device.join("."))
        }
        _ => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::sysctl_path;

    #[test]
    fn sysctl_names_become_paths() {
        for (key, want) in [
            ("ipv4.ip_forward", "ipv4/ip_forward"),
            ("ipv4.conf.all.rp_filter", "ipv4/conf/all/rp_filter"),
            ("ipv6.conf.wan.host.disable_ipv6", "ipv6/conf/wan.host/disable_ipv6"),
        ] {
            assert_eq!(sysctl_path(key), want);
        }
    }
}
