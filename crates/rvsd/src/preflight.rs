//! What can be seen to stand in the way before DPDK is started. DPDK would say it less clearly, or (an exception
//! interface that another program has) not at all.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use control::config::{Config, Port};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{CapabilitySet, capabilities};

/// Kernel drivers under which DPDK can reach a PCI device.
const PCI_DRIVERS: &[&str] = &["vfio-pci", "uio_pci_generic", "igb_uio", "mlx5_core"];
/// Virtual devices that stand on a kernel's interface, which their option `iface` names.
const ON_INTERFACE: &[&str] = &["net_af_packet", "net_af_xdp"];

/// Why rvsd need not try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Obstacle {
    #[error("daemon.socket = {path:?}: another rvsd is listening there")]
    SocketInUse { path: PathBuf },
    #[error("port '{port}', device: there is no network interface '{iface}'")]
    NoInterface { port: String, iface: String },
    #[error("port '{port}', exception = '{iface}': there is a network interface of that name already")]
    ExceptionTaken { port: String, iface: String },
    #[error("port '{port}', exception: /dev/net/tun cannot be opened: {error}")]
    Tun { port: String, error: io::Error },
    #[error("port '{port}', device: there is no PCI device {address}")]
    NoPciDevice { port: String, address: String },
    #[error(
        "port '{port}', device: {address} belongs to the kernel's driver {driver}; bind it to vfio-pci \
         (dpdk-devbind.py -b vfio-pci {address})"
    )]
    PciDriver { port: String, address: String, driver: String },
    #[error(
        "port '{port}' needs the capability {missing}: run rvsd as root or grant it CAP_NET_ADMIN and CAP_NET_RAW"
    )]
    Rights { port: String, missing: &'static str },
    #[error("network interfaces cannot be looked up: {0}")]
    Lookup(io::Error),
}

/// Looks for obstacles; the first one is the answer.
pub(crate) fn check(config: &Config) -> Result<(), Obstacle> {
    if UnixStream::connect(&config.daemon.socket).is_ok() {
        return Err(Obstacle::SocketInUse { path: config.daemon.socket.clone() });
    }
    config.ports.iter().try_for_each(|port| {
        check_device(port)?;
        check_exception(port)
    })
}

fn check_device(port: &Port) -> Result<(), Obstacle> {
    if let Some(address) = dpdk::pci_address(&port.device) {
        return check_pci(port, &address, Path::new("/sys/bus/pci/devices"));
    }
    if let Some(iface) = interface(&port.device) {
        check_rights(port)?;
        if !exists(iface)? {
            return Err(Obstacle::NoInterface { port: port.name.clone(), iface: iface.to_owned() });
        }
    }
    Ok(())
}

fn check_exception(port: &Port) -> Result<(), Obstacle> {
    let Some(iface) = &port.exception else { return Ok(()) };
    check_rights(port)?;
    if exists(iface)? {
        return Err(Obstacle::ExceptionTaken { port: port.name.clone(), iface: iface.clone() });
    }
    match fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(error) => Err(Obstacle::Tun { port: port.name.clone(), error }),
    }
}

fn check_pci(port: &Port, address: &str, devices: &Path) -> Result<(), Obstacle> {
    let (port, address) = (port.name.clone(), address.to_owned());
    let device = devices.join(&address);
    if !device.exists() {
        return Err(Obstacle::NoPciDevice { port, address });
    }
    let driver = fs::read_link(device.join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match driver {
        Some(driver) if !PCI_DRIVERS.contains(&driver.as_str()) => {
            Err(Obstacle::PciDriver { port, address, driver })
        }
        _ => Ok(()),
    }
}

fn check_rights(port: &Port) -> Result<(), Obstacle> {
    // Who cannot read his own rights is told by what fails for want of them.
    let Ok(rights) = capabilities(None) else { return Ok(()) };
    let needed = [(CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"), (CapabilitySet::NET_RAW, "CAP_NET_RAW")];
    match needed.into_iter().find(|(right, _)| !rights.effective.contains(*right)) {
        Some((_, missing)) => Err(Obstacle::Rights { port: port.name.clone(), missing }),
        None => Ok(()),
    }
}

/// Whether this network namespace has an interface; `/sys` may show another's.
fn exists(iface: &str) -> Result<bool, Obstacle> {
    let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    let any = any.map_err(|error| Obstacle::Lookup(error.into()))?;
    Ok(name_to_index(&any, iface).is_ok())
}

/// The interface that a virtual device stands on.
fn interface(device: &str) -> Option<&str> {
    let mut parts = device.split(',');
    let name = parts.next()?.trim_end_matches(|c: char| c.is_ascii_digit());
    let iface = parts.find_map(|option| option.strip_prefix("iface="));
    iface.filter(|_| ON_INTERFACE.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_tell_what_they_stand_on() {
        for (device, iface) in [
            ("net_af_packet0,iface=wan0,qpairs=2", Some("wan0")),
            ("net_af_xdp1,start_queue=0,iface=lan0", Some("lan0")),
            ("net_tap0,iface=tap0", None),
            ("net_null0", None),
            ("0000:03:00.0", None),
            ("wan0", None),
        ] {
            assert_eq!(interface(device), iface, "{device}");
        }
    }

    #[test]
    fn a_pci_device_must_be_there_and_free() {
        let devices = std::env::temp_dir().join(format!("rvs-preflight-{}", std::process::id()));
        let port = Port {
            name: "wan".into(),
            device: String::new(),
            mtu: 1500,
            exception: None,
            rx_queues: None,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            promiscuous: false,
            mac: None,
        };
        for (address, driver) in [("0000:01:00.0", "e1000e"), ("0000:02:00.0", "vfio-pci")] {
            fs::create_dir_all(devices.join(address)).unwrap();
            let target = format!("../../../../bus/pci/drivers/{driver}");
            std::os::unix::fs::symlink(target, devices.join(address).join("driver")).unwrap();
        }
        let found = ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"]
            .map(|address| check_pci(&port, address, &devices).map_err(|error| error.to_string()));
        fs::remove_dir_all(&devices).unwrap();
        let [kernel, free, absent] = found;
        assert!(kernel.unwrap_err().contains("0000:01:00.0 belongs to the kernel's driver e1000e"));
        assert_eq!(free, Ok(()));
        assert_eq!(absent, Err("port 'wan', device: there is no PCI device 0000:03:00.0".into()));
    }

    #[test]
    fn interfaces_are_looked_up() {
        assert!(exists("lo").unwrap());
        assert!(!exists("no-such-iface").unwrap());
    }
}
