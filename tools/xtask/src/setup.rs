//! Installs what building and testing need beside Rust, from Debian 12's own packages.
//!
//! A second run finds everything installed and changes nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use lab::{Error, Result};

use crate::steps;

/// Each package and what needs it.
const PACKAGES: &[(&str, &str)] = &[
    ("libdpdk-dev", "DPDK: headers and static libraries"),
    ("libclang-dev", "bindgen reads DPDK's headers with it"),
    ("pkg-config", "finds DPDK"),
    ("gcc", "compiles the shim for DPDK's inline functions"),
    ("libc6-dev", "C headers for both"),
    ("iproute2", "namespaces, devices, routes"),
    ("ethtool", "switches offloads of virtual devices off"),
    ("nginx-light", "the real servers"),
    ("curl", "the client"),
    ("iperf3", "throughput suites"),
    ("iputils-ping", "ping suites"),
    ("vsftpd", "suite ftp: the servers"),
    ("lftp", "suite ftp: a client beside curl"),
    ("tftpd-hpa", "suite tftp: the servers"),
    ("nsd", "suite dns: the servers"),
    ("bind9-dnsutils", "suite dns: dig"),
    ("dnsperf", "suite dns: a load of queries"),
    ("sip-tester", "suite sip: sipp, both ends"),
    ("libusrsctp-examples", "suite sctp: both ends, in user space"),
    ("valgrind", "counts the instructions of the packet path"),
    ("procps", "sysctl and ps, for people who look around"),
];

/// Packages that start a service, and its name.
const SERVICES: &[(&str, &str)] =
    &[("nginx-light", "nginx"), ("vsftpd", "vsftpd"), ("tftpd-hpa", "tftpd-hpa"), ("nsd", "nsd")];

/// What apt and dpkg write when they do anything: packages, lists, downloads; and our own policy file.
const RECORDS: &[&str] = &["/var/lib/dpkg/status", "/var/lib/apt/lists", "/var/cache/apt/archives", POLICY];
/// How long a run may take that finds everything installed.
const AGAIN_MAX: Duration = Duration::from_secs(2);

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing and says what.
pub(crate) fn run() -> Result<()> {
    let missing = missing(&installed()?);
    if missing.is_empty() {
        println!("setup: all {} packages are installed", PACKAGES.len());
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let install = format!("apt-get install -y --no-install-recommends {}", names.join(" "));
    if !are_root() {
        return Err(Error::new(format!(
            "packages are missing and only root can install them:\n  sudo {install}"
        )));
    }
    println!("setup: installing from Debian's archive");
    for (name, why) in &missing {
        println!("  {name:<20} {why}");
    }
    apt(&["update", "-q"])?;
    let services_stay_off = PolicyRc::forbid_starts()?;
    let mut words = vec!["install", "-q", "-y", "--no-install-recommends"];
    words.extend(&names);
    apt(&words)?;
    drop(services_stay_off);
    for (_, service) in SERVICES.iter().filter(|(package, _)| names.contains(package)) {
        // Where systemd runs, the package also arranges a start at boot. Without systemd there is nothing to undo.
        let _ = Command::new("systemctl").args(["disable", "--quiet", service]).output();
    }
    println!("setup: installed {}", names.join(" "));
    Ok(())
}

/// Runs once more, when all is installed: it must be quick and leave the package manager's records untouched.
pub(crate) fn run_again() -> Result<()> {
    let (before, start) = (records()?, Instant::now());
    run()?;
    let took = start.elapsed();
    if took > AGAIN_MAX {
        return Err(Error::new(format!("it took {took:?}, more than {AGAIN_MAX:?}")));
    }
    if records()? != before {
        return Err(Error::new(format!("it changed one of {}", RECORDS.join(", "))));
    }
    Ok(())
}

/// When each record was last written, if it is there.
fn records() -> Result<Vec<Option<SystemTime>>> {
    let written = |path: &&str| match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.modified()?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(format!("{path}: {error}"))),
    };
    RECORDS.iter().map(written).collect()
}

/// Whether we are root: the owner of our own `/proc` folder says so, whatever the environment claims.
fn are_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn installed() -> Result<BTreeSet<String>> {
    let mut command = Command::new("dpkg-query");
    command.args(["-W", "-f=${Package} ${db:Status-Status}\\n"]).args(PACKAGES.iter().map(|(name, _)| name));
    // A package that dpkg has never heard of makes the exit code non-zero; the rest is listed all the same.
    let output = command.env("LC_ALL", "C").output().map_err(|error| {
        Error::new(format!(
            "dpkg-query: {error}; setup knows Debian 12 only, elsewhere install by hand: {}",
            list()
        ))
    })?;
    Ok(parse_installed(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_installed(listing: &str) -> BTreeSet<String> {
    let lines = listing.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(_, status)| *status == "installed").map(|(name, _)| name.to_owned()).collect()
}

fn missing(installed: &BTreeSet<String>) -> Vec<(&'static str, &'static str)> {
    PACKAGES.iter().filter(|(name, _)| !installed.contains(*name)).copied().collect()
}

fn list() -> String {
    PACKAGES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

fn apt(words: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Another apt may be at work on a freshly started machine: wait for its lock.
    command.args(["-o", "DPkg::Lock::Timeout=300"]).args(words);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    steps::run(&mut command)
}

/// While it lives, packages do not start their services on installation (`invoke-rc.d(8)`).
struct PolicyRc {
    made: bool,
}

impl PolicyRc {
    fn forbid_starts() -> Result<Self> {
        use std::io::Write;
        if Path::new(POLICY).exists() {
            // The machine has a policy of its own.
            return Ok(Self { made: false });
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY)?;
        file.write_all(b"#!/bin/sh\nexit 101\n")?;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { made: true })
    }
}

impl Drop for PolicyRc {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_fully_installed_counts() {
        let installed = parse_installed("curl installed\nnginx-light config-files\niperf3 half-configured\n");
        assert_eq!(installed.into_iter().collect::<Vec<_>>(), ["curl"]);
    }

    #[test]
    fn what_is_missing_is_what_is_not_installed() {
        let all: BTreeSet<String> = PACKAGES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(missing(&all).is_empty());
        let mut less = all;
        less.remove("iperf3");
        assert_eq!(missing(&less).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["iperf3"]);
    }
}
