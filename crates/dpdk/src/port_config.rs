//! How a port is to be set up, what it can do, and whether these agree.

use dpdk_sys as sys;

use crate::{Offloads, PortError};

/// How to set a port up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// What the user calls the port: errors name it so.
    pub name: String,
    pub rx_queues: u16,
    pub tx_queues: u16,
    /// Packets that each receiving queue can hold; `None` for the driver's choice.
    pub rx_descriptors: Option<u16>,
    /// Packets that each sending queue can hold; `None` for the driver's choice.
    pub tx_descriptors: Option<u16>,
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// Hardware address to take; `None` for the device's own.
    pub mac: Option<[u8; 6]>,
    /// Receive what is addressed to others, too.
    pub promiscuous: bool,
    /// Granted as far as the NIC can; see [`crate::Port::offloads`].
    pub offloads: Offloads,
}

impl PortConfig {
    /// One queue each way, MTU 1500, no offloads.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: None,
            tx_descriptors: None,
            mtu: 1500,
            mac: None,
            promiscuous: false,
            offloads: Offloads::default(),
        }
    }
}

/// The sizes that a queue can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimits {
    pub min: u16,
    pub max: u16,
    pub multiple: u16,
    /// The driver's choice.
    pub default: u16,
}

/// What a port is and can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// Its device's name.
    pub device: String,
    pub driver: String,
    pub mac: [u8; 6],
    /// The NUMA node that it is attached to, if there is one.
    pub socket: Option<u32>,
    pub max_rx_queues: u16,
    pub max_tx_queues: u16,
    pub rx_descriptors: DescriptorLimits,
    pub tx_descriptors: DescriptorLimits,
    pub min_mtu: u16,
    pub max_mtu: u16,
    /// What it can; `rss` is the most that it can.
    pub offloads: Offloads,
}

impl PortInfo {
    /// Receive queues to have for so many workers: one each, as far as the device goes, or all of them where none may be
    /// left unpolled.
    pub fn rx_queues_for(&self, workers: u16) -> u16 {
        if SPREADS_OVER_ALL.contains(&self.driver.as_str()) {
            self.max_rx_queues
        } else {
            workers.min(self.max_rx_queues)
        }
    }

    /// Transmit queues to have for so many workers and receive queues: one each, as far as the device goes, or as many as
    /// receive queues where the driver has them in pairs.
    pub fn tx_queues_for(&self, workers: u16, rx_queues: u16) -> u16 {
        if IN_PAIRS.contains(&self.driver.as_str()) { rx_queues } else { workers.min(self.max_tx_queues) }
    }

    /// Corrects what a driver says of itself and cannot keep.
    pub(crate) fn without_boasts(mut self) -> Self {
        if let Some((_, most)) = QUEUES_AT_MOST.iter().find(|(driver, _)| *driver == self.driver) {
            self.max_rx_queues = self.max_rx_queues.min(*most);
            self.max_tx_queues = self.max_tx_queues.min(*most);
        }
        self
    }
}

/// Bytes that frames have beside the IP packet: Ethernet, two VLAN tags, checksum.
const FRAME_OVERHEAD: u16 = 14 + 2 * 4 + 4;

/// Descriptors of a queue where neither user nor driver has a wish.
const DESCRIPTORS: u16 = 1024;

pub(crate) fn descriptor_limits(raw: &sys::rte_eth_desc_lim, preferred: u16) -> DescriptorLimits {
    let multiple = raw.nb_align.max(1);
    // Some drivers leave their limits at 0.
    let (min, max) = (raw.nb_min.max(1), if raw.nb_max == 0 { u16::MAX } else { raw.nb_max });
    let default = if preferred > 0 { preferred } else { DESCRIPTORS };
    let default = default.clamp(min, max.max(min));
    DescriptorLimits { min, max, multiple, default: (default / multiple * multiple).max(min) }
}

/// Drivers that spread packets over all queues that their device has, whether set up or not: those that go to a queue
/// which nobody polls would be lost without a trace.
const SPREADS_OVER_ALL: &[&str] = &["net_af_packet"];

/// Drivers that want as many transmit queues as receive queues.
const IN_PAIRS: &[&str] = &["net_tap"];

/// Drivers that say that they have more queues each way than they can have. net_tap tells secondary processes the file
/// descriptors of all its queues in one message, which has room for 8 (RTE_MP_MAX_FD_NUM); with more it writes on behind
/// the message's end.
const QUEUES_AT_MOST: &[(&str, u16)] = &[("net_tap", 4)];

/// The numbers of descriptors, if the port can do what the configuration asks for.
pub(crate) fn check(config: &PortConfig, info: &PortInfo) -> Result<(u16, u16), PortError> {
    let port = &config.name;
    check_range(port, "rx_queues", config.rx_queues, 1, info.max_rx_queues)?;
    check_range(port, "tx_queues", config.tx_queues, 1, info.max_tx_queues)?;
    if SPREADS_OVER_ALL.contains(&info.driver.as_str()) && config.rx_queues != info.max_rx_queues {
        let (port, driver) = (port.clone(), info.driver.clone());
        return Err(PortError::UnpolledQueues {
            port,
            rx_queues: config.rx_queues,
            all: info.max_rx_queues,
            driver,
        });
    }
    if IN_PAIRS.contains(&info.driver.as_str()) && config.rx_queues != config.tx_queues {
        let (rx, port) = (config.rx_queues.into(), port.clone());
        let (option, value) = ("tx_queues", config.tx_queues.into());
        return Err(PortError::OutOfRange { port, option, value, min: rx, max: rx });
    }
    let rx = check_descriptors(port, "rx_descriptors", config.rx_descriptors, info.rx_descriptors)?;
    let tx = check_descriptors(port, "tx_descriptors", config.tx_descriptors, info.tx_descriptors)?;
    Ok((rx, tx))
}

fn check_range(port: &str, option: &'static str, value: u16, min: u16, max: u16) -> Result<(), PortError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (value, min, max) = (value.into(), min.into(), max.into());
    Err(PortError::OutOfRange { port: port.to_owned(), option, value, min, max })
}

fn check_descriptors(
    port: &str,
    option: &'static str,
    wish: Option<u16>,
    limits: DescriptorLimits,
) -> Result<u16, PortError> {
    let Some(value) = wish else { return Ok(limits.default) };
    check_range(port, option, value, limits.min, limits.max)?;
    if value % limits.multiple != 0 {
        let (port, value, multiple) = (port.to_owned(), value.into(), limits.multiple.into());
        return Err(PortError::NotMultiple { port, option, value, multiple });
    }
    Ok(value)
}

/// Whether port and pool (its name and room) can take frames of that size in one piece.
pub(crate) fn check_mtu(port: &str, info: &PortInfo, mtu: u16, pool: (&str, u16)) -> Result<(), PortError> {
    let (pool, data_room) = pool;
    check_range(port, "mtu", mtu, info.min_mtu, info.max_mtu)?;
    let max = data_room.saturating_sub(FRAME_OVERHEAD);
    if mtu <= max {
        return Ok(());
    }
    Err(PortError::MtuExceedsPool {
        port: port.to_owned(),
        mtu: mtu.into(),
        min: info.min_mtu.into(),
        max: max.into(),
        pool: pool.to_owned(),
        data_room,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> PortInfo {
        let descriptors = DescriptorLimits { min: 64, max: 4096, multiple: 32, default: 512 };
        PortInfo {
            device: "0000:03:00.0".into(),
            driver: "net_ice".into(),
            mac: [2, 0, 0, 0, 0, 1],
            socket: None,
            max_rx_queues: 4,
            max_tx_queues: 2,
            rx_descriptors: descriptors,
            tx_descriptors: descriptors,
            min_mtu: 68,
            max_mtu: 9702,
            offloads: Offloads::default(),
        }
    }

    #[test]
    fn a_configuration_fits_or_says_where_not() {
        let plain = PortConfig::new("wan");
        let cases = [
            ("defaults", plain.clone(), Ok((512, 512))),
            (
                "all it can",
                PortConfig { rx_queues: 4, tx_queues: 2, rx_descriptors: Some(4096), ..plain.clone() },
                Ok((4096, 512)),
            ),
            (
                "queues",
                PortConfig { rx_queues: 5, ..plain.clone() },
                Err("rx_queues = 5 is out of range 1..=4"),
            ),
            (
                "no queue",
                PortConfig { tx_queues: 0, ..plain.clone() },
                Err("tx_queues = 0 is out of range 1..=2"),
            ),
            (
                "too few descriptors",
                PortConfig { rx_descriptors: Some(32), ..plain.clone() },
                Err("rx_descriptors = 32 is out of range 64..=4096"),
            ),
            (
                "odd descriptors",
                PortConfig { tx_descriptors: Some(100), ..plain },
                Err("tx_descriptors = 100 is not a multiple of 32"),
            ),
        ];
        for (name, config, want) in cases {
            let got = check(&config, &info()).map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(|text| format!("port 'wan': {text}")), "{name}");
        }
    }

    #[test]
    fn no_queue_is_left_unpolled() {
        let info = PortInfo { driver: "net_af_packet".into(), ..info() };
        let three = PortConfig { rx_queues: 3, ..PortConfig::new("wan") };
        let want = "port 'wan': rx_queues = 3 is out of range 4..=4: net_af_packet spreads packets over all queues of \
                    the device, whether polled or not";
        assert_eq!(check(&three, &info).unwrap_err().to_string(), want);
        assert!(check(&PortConfig { rx_queues: 4, ..three }, &info).is_ok());
        assert_eq!([1, 4, 9].map(|workers| info.rx_queues_for(workers)), [4, 4, 4]);
    }

    #[test]
    fn a_queue_for_each_worker() {
        assert_eq!([1, 4, 9].map(|workers| info().rx_queues_for(workers)), [1, 4, 4]);
    }

    #[test]
    fn queues_of_a_tap_go_in_pairs_and_no_further_than_four() {
        let boasting = PortInfo { driver: "net_tap".into(), max_rx_queues: 16, max_tx_queues: 16, ..info() };
        let info = boasting.without_boasts();
        assert_eq!((info.max_rx_queues, info.max_tx_queues), (4, 4));
        for (workers, rx, tx) in [(1, 1, 1), (2, 2, 2), (9, 4, 4)] {
            assert_eq!((info.rx_queues_for(workers), info.tx_queues_for(workers, rx)), (rx, tx));
        }
        assert_eq!(info.tx_queues_for(4, 2), 2);
        let uneven = PortConfig { rx_queues: 2, tx_queues: 3, ..PortConfig::new("wan") };
        let want = "port 'wan': tx_queues = 3 is out of range 2..=2";
        assert_eq!(check(&uneven, &info).unwrap_err().to_string(), want);
        assert!(check(&PortConfig { tx_queues: 2, ..uneven }, &info).is_ok());
    }

    #[test]
    fn frames_fit_in_mbufs() {
        let cases = [
            (1500, 2048, Ok(())),
            (2022, 2048, Ok(())),
            (2023, 2048, Err("mtu = 2023 is out of range 68..=2022: mbufs of pool 'p' hold 2048 bytes")),
            (67, 2048, Err("mtu = 67 is out of range 68..=9702")),
            (9703, 65000, Err("mtu = 9703 is out of range 68..=9702")),
        ];
        for (mtu, room, want) in cases {
            let got = check_mtu("wan", &info(), mtu, ("p", room)).map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(|text| format!("port 'wan': {text}")), "{mtu}");
        }
    }

    #[test]
    fn the_default_number_of_descriptors_is_one_the_port_can_have() {
        let limits = |nb_min, nb_max, nb_align, preferred| {
            let raw = sys::rte_eth_desc_lim { nb_min, nb_max, nb_align, nb_seg_max: 0, nb_mtu_seg_max: 0 };
            descriptor_limits(&raw, preferred)
        };
        let cases = [
            ("driver's wish", limits(64, 4096, 32, 256), (64, 4096, 256)),
            ("no wish", limits(64, 4096, 32, 0), (64, 4096, 1024)),
            ("small queues only", limits(64, 512, 32, 0), (64, 512, 512)),
            ("no limits given", limits(0, 0, 0, 0), (1, 65535, 1024)),
            ("a wish between two sizes", limits(64, 4096, 100, 1024), (64, 4096, 1000)),
        ];
        for (name, got, want) in cases {
            assert_eq!((got.min, got.max, got.default), want, "{name}");
        }
    }
}
