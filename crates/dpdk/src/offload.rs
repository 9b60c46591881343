//! Work that a NIC takes over, in its flags and in ours.

use dpdk_sys as sys;

/// Which fields of a packet choose its receiving queue, in hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rss {
    /// Whatever the driver does by itself.
    #[default]
    Off,
    /// IP addresses.
    Addresses,
    /// IP addresses, and ports where there are any.
    AddressesAndPorts,
}

/// Work that a NIC can take over: as a wish, as an ability, or as what was granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Check the IPv4 header's checksum on receipt.
    pub rx_ipv4_checksum: bool,
    /// Check TCP's and UDP's checksums on receipt.
    pub rx_l4_checksum: bool,
    /// Fill in the IPv4 header's checksum on sending.
    pub tx_ipv4_checksum: bool,
    /// Fill in TCP's and UDP's checksums on sending.
    pub tx_l4_checksum: bool,
    /// Move the VLAN tag from the packet to its metadata on receipt.
    pub vlan_strip: bool,
    /// Spread packets over the receiving queues; only with several of them.
    pub rss: Rss,
}

const RX_L4_CHECKSUM: u64 = sys::RVS_ETH_RX_OFFLOAD_TCP_CKSUM | sys::RVS_ETH_RX_OFFLOAD_UDP_CKSUM;
const TX_L4_CHECKSUM: u64 = sys::RVS_ETH_TX_OFFLOAD_TCP_CKSUM | sys::RVS_ETH_TX_OFFLOAD_UDP_CKSUM;

const RSS_ADDRESSES: u64 = sys::RVS_ETH_RSS_IPV4
    | sys::RVS_ETH_RSS_FRAG_IPV4
    | sys::RVS_ETH_RSS_NONFRAG_IPV4_OTHER
    | sys::RVS_ETH_RSS_IPV6
    | sys::RVS_ETH_RSS_FRAG_IPV6
    | sys::RVS_ETH_RSS_NONFRAG_IPV6_OTHER;
const RSS_PORTS: u64 = sys::RVS_ETH_RSS_NONFRAG_IPV4_TCP
    | sys::RVS_ETH_RSS_NONFRAG_IPV4_UDP
    | sys::RVS_ETH_RSS_NONFRAG_IPV6_TCP
    | sys::RVS_ETH_RSS_NONFRAG_IPV6_UDP;

pub(crate) fn abilities(raw: &sys::rte_eth_dev_info) -> Offloads {
    let all = |have: u64, need: u64| have & need == need;
    Offloads {
        rx_ipv4_checksum: all(raw.rx_offload_capa, sys::RVS_ETH_RX_OFFLOAD_IPV4_CKSUM),
        rx_l4_checksum: all(raw.rx_offload_capa, RX_L4_CHECKSUM),
        tx_ipv4_checksum: all(raw.tx_offload_capa, sys::RVS_ETH_TX_OFFLOAD_IPV4_CKSUM),
        tx_l4_checksum: all(raw.tx_offload_capa, TX_L4_CHECKSUM),
        vlan_strip: all(raw.rx_offload_capa, sys::RVS_ETH_RX_OFFLOAD_VLAN_STRIP),
        rss: match raw.flow_type_rss_offloads {
            fields if fields & RSS_PORTS != 0 => Rss::AddressesAndPorts,
            fields if fields & RSS_ADDRESSES != 0 => Rss::Addresses,
            _ => Rss::Off,
        },
    }
}

/// What a port with so many receiving queues gets of a wish.
pub(crate) fn grant(wish: Offloads, can: Offloads, rx_queues: u16) -> Offloads {
    Offloads {
        rx_ipv4_checksum: wish.rx_ipv4_checksum && can.rx_ipv4_checksum,
        rx_l4_checksum: wish.rx_l4_checksum && can.rx_l4_checksum,
        tx_ipv4_checksum: wish.tx_ipv4_checksum && can.tx_ipv4_checksum,
        tx_l4_checksum: wish.tx_l4_checksum && can.tx_l4_checksum,
        vlan_strip: wish.vlan_strip && can.vlan_strip,
        rss: match (wish.rss, can.rss) {
            _ if rx_queues == 1 => Rss::Off,
            (Rss::Off, _) | (_, Rss::Off) => Rss::Off,
            (Rss::AddressesAndPorts, Rss::AddressesAndPorts) => Rss::AddressesAndPorts,
            _ => Rss::Addresses,
        },
    }
}

pub(crate) fn rx_flags(granted: Offloads) -> u64 {
    let flags = [
        (granted.rx_ipv4_checksum, sys::RVS_ETH_RX_OFFLOAD_IPV4_CKSUM),
        (granted.rx_l4_checksum, RX_L4_CHECKSUM),
        (granted.vlan_strip, sys::RVS_ETH_RX_OFFLOAD_VLAN_STRIP),
    ];
    flags.into_iter().filter(|&(on, _)| on).fold(0, |all, (_, flag)| all | flag)
}

pub(crate) fn tx_flags(granted: Offloads) -> u64 {
    let flags = [
        (granted.tx_ipv4_checksum, sys::RVS_ETH_TX_OFFLOAD_IPV4_CKSUM),
        (granted.tx_l4_checksum, TX_L4_CHECKSUM),
    ];
    flags.into_iter().filter(|&(on, _)| on).fold(0, |all, (_, flag)| all | flag)
}

pub(crate) fn rss_fields(rss: Rss) -> u64 {
    match rss {
        Rss::Off => 0,
        Rss::Addresses => RSS_ADDRESSES,
        Rss::AddressesAndPorts => RSS_ADDRESSES | RSS_PORTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_granted_as_far_as_possible() {
        let all = Offloads {
            rx_ipv4_checksum: true,
            rx_l4_checksum: true,
            tx_ipv4_checksum: true,
            tx_l4_checksum: true,
            vlan_strip: true,
            rss: Rss::AddressesAndPorts,
        };
        let none = Offloads::default();
        let addresses = Offloads { rss: Rss::Addresses, ..none };
        let ports = Offloads { rss: Rss::AddressesAndPorts, ..none };
        let cases = [
            ("all of all", all, all, 2, all),
            ("nothing wished", none, all, 2, none),
            ("nothing possible", all, none, 2, none),
            ("one queue needs no spreading", ports, all, 1, none),
            ("less spreading than possible", addresses, ports, 2, addresses),
            ("less spreading than wished", ports, addresses, 2, addresses),
        ];
        for (name, wish, can, rx_queues, want) in cases {
            assert_eq!(grant(wish, can, rx_queues), want, "{name}");
        }
    }

    #[test]
    fn flags_are_those_of_what_was_granted() {
        let one = Offloads { rx_ipv4_checksum: true, tx_l4_checksum: true, ..Offloads::default() };
        assert_eq!((rx_flags(one), tx_flags(one)), (sys::RVS_ETH_RX_OFFLOAD_IPV4_CKSUM, TX_L4_CHECKSUM));
        let other = Offloads { vlan_strip: true, rx_l4_checksum: true, ..Offloads::default() };
        assert_eq!(
            (rx_flags(other), tx_flags(other)),
            (sys::RVS_ETH_RX_OFFLOAD_VLAN_STRIP | RX_L4_CHECKSUM, 0)
        );
    }
}
