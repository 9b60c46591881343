//! The director's configuration file for a test, built up and then written as TOML.

use std::fmt::Write;
use std::net::IpAddr;

use lab::address::{self, Family, Method};
use lab::topology::{LAN, WAN, Wiring};

/// One `[[port]]`.
#[derive(Debug, Clone)]
pub struct Port {
    /// Its name in the configuration.
    pub name: String,
    /// The DPDK device.
    pub device: String,
    /// Its MTU in bytes.
    pub mtu: u16,
    /// The name of its exception TAP.
    pub exception: Option<String>,
    /// How many receive queues; the daemon's choice if none.
    pub rx_queues: Option<u16>,
}

/// One `[[service]]`.
#[derive(Debug, Clone)]
pub struct Service {
    /// `tcp`, `udp`, `sctp`.
    pub protocol: &'static str,
    /// The virtual address.
    pub address: IpAddr,
    /// The virtual port.
    pub port: u16,
    /// The scheduler's name.
    pub scheduler: &'static str,
    /// The forwarding method of all destinations.
    pub method: Method,
    /// Destinations: address and port.
    pub destinations: Vec<(IpAddr, u16)>,
    /// Further lines of its table.
    pub options: Vec<String>,
    /// Further lines of each destination's table.
    pub destination_options: Vec<String>,
}

impl Service {
    /// A service on its method's VIP whose destinations are servers `1..=servers` on `port`.
    pub fn new(protocol: &'static str, method: Method, family: Family, port: u16, servers: u8) -> Self {
        Self {
            protocol,
            address: address::vip(method, family),
            port,
            scheduler: "rr",
            method,
            destinations: (1..=servers).map(|n| (address::server(family, n), port)).collect(),
            options: Vec::new(),
            destination_options: Vec::new(),
        }
    }

    /// The same with one more line in its table.
    pub fn option(mut self, line: &str) -> Self {
        self.options.push(line.to_owned());
        self
    }

    /// The same with one more line in each destination's table.
    pub fn destination_option(mut self, line: &str) -> Self {
        self.destination_options.push(line.to_owned());
        self
    }

    /// The same with destinations on another port.
    pub fn to_port(mut self, port: u16) -> Self {
        self.destinations.iter_mut().for_each(|destination| destination.1 = port);
        self
    }

    /// `192.0.2.100:80`, as `rvsctl` takes it.
    pub fn endpoint(&self) -> String {
        endpoint(self.address, self.port)
    }
}

/// `address:port`, with brackets where IPv6 needs them.
pub fn endpoint(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

/// A configuration. Fields are public: a test changes what it is about.
#[derive(Debug, Clone)]
pub struct Config {
    /// Number of workers.
    pub workers: u16,
    /// `poll`, `yield` or `sleep`.
    pub idle: &'static str,
    /// `on`, `off` or `auto`.
    pub hugepages: &'static str,
    /// Largest number of connections.
    pub connections: u32,
    /// Ports.
    pub ports: Vec<Port>,
    /// VLAN sub-interfaces: name, port, id.
    pub vlans: Vec<(String, String, u16)>,
    /// Addresses: interface, address, prefix length.
    pub addresses: Vec<(String, IpAddr, u8)>,
    /// Routes: prefix, gateway, MTU.
    pub routes: Vec<(String, IpAddr, Option<u16>)>,
    /// The interface of the FULLNAT pool.
    pub pool_interface: String,
    /// Services.
    pub services: Vec<Service>,
    /// Added as it is.
    pub extra: String,
}

impl Config {
    /// Ports and addresses for a wiring; no service yet. `queues` receive queues per port.
    pub fn new(wiring: Wiring, workers: u16, queues: u16) -> Self {
        let mut config = Self {
            workers,
            idle: "sleep",
            hugepages: "off",
            connections: 65_536,
            ports: vec![af_packet("wan", WAN, 0, queues)],
            vlans: Vec::new(),
            addresses: Vec::new(),
            routes: Vec::new(),
            pool_interface: "wan".to_owned(),
            services: Vec::new(),
            extra: String::new(),
        };
        if wiring == Wiring::TwoArm {
            config.ports.push(af_packet("lan", LAN, 1, queues));
            config.pool_interface = "lan".to_owned();
        }
        let lan = config.pool_interface.clone();
        config.address_both("wan", &lan);
        config
    }

    /// The director's addresses and all VIPs, when `wan` and `lan` are the interfaces' names.
    pub fn address_both(&mut self, wan: &str, lan: &str) {
        self.addresses.clear();
        for family in Family::ALL {
            let len = family.prefix_len();
            self.addresses.push((wan.to_owned(), address::director_wan(family), len));
            self.addresses.push((lan.to_owned(), address::director_lan(family), len));
            for method in Method::ALL {
                self.addresses.push((wan.to_owned(), address::vip(method, family), family.host_len()));
            }
        }
    }

    /// With one more service.
    pub fn with(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// The file's text; `socket` is where the daemon listens for `rvsctl`.
    pub fn to_toml(&self, socket: &str) -> String {
        let mut text = String::new();
        self.write(&mut text, socket).expect("writing to a String cannot fail");
        text
    }

    fn write(&self, out: &mut String, socket: &str) -> std::fmt::Result {
        writeln!(out, "[daemon]\nsocket = \"{socket}\"\nlog = \"info\"\n")?;
        writeln!(out, "[dpdk]\nhugepages = \"{}\"\n", self.hugepages)?;
        writeln!(out, "[workers]\ncount = {}\nidle = \"{}\"", self.workers, self.idle)?;
        writeln!(out, "\n[limits]\nconnections = {}\n", self.connections)?;
        for port in &self.ports {
            writeln!(
                out,
                "[[port]]\nname = \"{}\"\ndevice = \"{}\"\nmtu = {}",
                port.name, port.device, port.mtu
            )?;
            if let Some(exception) = &port.exception {
                writeln!(out, "exception = \"{exception}\"")?;
            }
            if let Some(queues) = port.rx_queues {
                writeln!(out, "rx_queues = {queues}")?;
            }
        }
        for (name, port, id) in &self.vlans {
            writeln!(out, "[[vlan]]\nname = \"{name}\"\nport = \"{port}\"\nid = {id}")?;
        }
        for (interface, address, len) in &self.addresses {
            writeln!(out, "[[address]]\ninterface = \"{interface}\"\ncidr = \"{address}/{len}\"")?;
        }
        for (to, via, mtu) in &self.routes {
            writeln!(out, "[[route]]\nto = \"{to}\"\nvia = \"{via}\"")?;
            if let Some(mtu) = mtu {
                writeln!(out, "mtu = {mtu}")?;
            }
        }
        self.write_services(out)?;
        writeln!(out, "{}", self.extra)
    }

    fn write_services(&self, out: &mut String) -> std::fmt::Result {
        if self.services.iter().any(|service| service.method == Method::Fullnat) {
            let pool: Vec<String> = Family::ALL
                .into_iter()
                .flat_map(address::local_pool)
                .map(|address| format!("\"{address}\""))
                .collect();
            writeln!(out, "[[local_pool]]\nname = \"pool\"\ninterface = \"{}\"", self.pool_interface)?;
            writeln!(out, "addresses = [{}]", pool.join(", "))?;
        }
        for service in &self.services {
            writeln!(out, "[[service]]\nprotocol = \"{}\"", service.protocol)?;
            writeln!(out, "address = \"{}\"\nport = {}", service.address, service.port)?;
            writeln!(out, "scheduler = \"{}\"", service.scheduler)?;
            service.options.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            for (address, port) in &service.destinations {
                writeln!(out, "[[service.destination]]\naddress = \"{address}\"\nport = {port}")?;
                writeln!(out, "method = \"{}\"\nweight = 1", service.method.name())?;
                service.destination_options.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            }
        }
        Ok(())
    }
}

/// A port on a kernel device through an AF_PACKET socket per queue; `index` makes the DPDK name unique.
pub fn af_packet(name: &str, device: &str, index: u32, queues: u16) -> Port {
    Port {
        name: name.to_owned(),
        device: format!("net_af_packet{index},iface={device},qpairs={queues}"),
        mtu: 1500,
        exception: Some(format!("{name}.host")),
        rx_queues: (queues > 1).then_some(queues),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_each_thing_once() {
        let config = Config::new(Wiring::TwoArm, 2, 1)
            .with(Service::new("tcp", Method::Fullnat, Family::V4, 80, 2))
            .with(Service::new("udp", Method::Dr, Family::V6, 7, 3));
        let text = config.to_toml("/run/s");
        for (part, times) in [
            ("[[port]]", 2),
            ("[[local_pool]]", 1),
            ("[[service]]", 2),
            ("[[service.destination]]", 5),
            ("method = \"dr\"", 3),
            ("count = 2", 1),
            ("cidr = \"2001:db8:1::100/128\"", 1),
        ] {
            assert_eq!(text.matches(part).count(), times, "{part} in\n{text}");
        }
    }

    #[test]
    fn a_pool_is_written_only_where_it_is_used() {
        let config =
            Config::new(Wiring::OneArm, 1, 1).with(Service::new("tcp", Method::Nat, Family::V4, 80, 1));
        assert!(!config.to_toml("/run/s").contains("local_pool"));
        assert_eq!(config.services[0].endpoint(), "192.0.2.101:80");
    }
}
