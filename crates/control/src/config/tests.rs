use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use api::{
    AddrRange, Cidr, DestKey, DestSpec, Engine, Family, Method, Netmask, Protocol, RouteSpec, RouteTarget,
    Scheduler, SchedulerFlag, ServiceKey, ServiceSpec, Severity, Sysctl, SysctlValue, Sysctls,
    TunnelChecksum, TunnelType,
};
use proptest::prelude::*;

use super::*;

const CONTRACT: &str = include_str!("../../fixtures/contract.toml");

/// What every table of the error cases starts with.
const BASE: &str = r#"[[port]]
name = "wan"
device = "net_tap0"
[[address]]
interface = "wan"
cidr = "192.0.2.1/24"
[[address]]
interface = "wan"
cidr = "2001:db8::1/64"
"#;

fn texts(text: &str) -> Vec<String> {
    parse("rvs.toml", text).diagnostics.iter().map(ToString::to_string).collect()
}

#[test]
fn the_documented_file_is_accepted() {
    let parsed = parse("contract.toml", CONTRACT);
    assert_eq!(parsed.diagnostics, []);
    let config = parsed.config.unwrap();
    assert_eq!(config.services.len(), 2);
    assert_eq!(config.services[1].dests[0].port, 53);
    assert_eq!(config.ports[0].exception.as_deref(), Some("wan.host"));
    assert_eq!(parse("again", &to_toml(&config)).config.unwrap(), config);
}

#[test]
fn an_absent_key_has_its_documented_default() {
    let config = parse("rvs.toml", BASE).config.unwrap();
    let defaults =
        Config { ports: config.ports.clone(), addresses: config.addresses.clone(), ..Config::default() };
    assert_eq!(config, defaults);
    let port = &config.ports[0];
    assert_eq!(
        (port.mtu, port.rx_descriptors, port.tx_descriptors, port.promiscuous),
        (1500, 1024, 1024, true)
    );
    let text = format!("{BASE}\n[[service]]\nprotocol='tcp'\naddress='192.0.2.1'\nport=80\n");
    assert_eq!(parse("", &text).config.unwrap().services[0].spec.scheduler, Scheduler::Wlc);
}

/// Each case is `BASE` with lines added; the first added line is line 10.
#[test]
fn every_error_says_what_was_found_and_what_was_expected() {
    let service = "[[service]]\nprotocol='tcp'\naddress='192.0.2.1'\nport=80\n";
    let pool = "[[local_pool]]\nname='p'\ninterface='wan'\naddresses=['192.0.2.200']\n";
    let cases: Vec<(String, &str)> = vec![
        (
            "[limits]\nservces = 1".into(),
            "11:1: error: limits.servces: found unknown key `servces`, did you mean `services`?",
        ),
        (
            "[limit]\nservices = 1".into(),
            "10:2: error: limit: found unknown key `limit`, did you mean `limits`?",
        ),
        (
            "[ipvs]\nlinger = 1".into(),
            "11:1: error: ipvs.linger: found unknown key `linger`, expected one of tcp_timeout_s, tcp_fin_timeout_s, udp_timeout_s, am_droprate, amemthresh, backup_only, cache_bypass, conn_reuse_mode, conntrack, debug_level, drop_entry, drop_packet, expire_nodest_conn, expire_quiescent_template, ignore_tunneled, lblc_expiration, …",
        ),
        (
            "[limits]\nservices = '1'".into(),
            "11:12: error: limits.services: found \"1\", expected an integer from 1 to 1000000",
        ),
        (
            "[limits]\nfragments = 128".into(),
            "11:13: error: limits.fragments: found 128, expected more than limits.fragments_per_datagram = 128",
        ),
        (
            "[limits]\nfragments_per_sender = 127".into(),
            "11:24: error: limits.fragments_per_sender: found 127, expected at least limits.fragments_per_datagram = 128",
        ),
        (
            "[limits]\nservices = 0x0".into(),
            "11:12: error: limits.services: found 0x0, expected an integer from 1 to 1000000",
        ),
        (
            "[limits]\nconnections = 99999999999999999999".into(),
            "11:15: error: limits.connections: found 99999999999999999999, expected an integer from 1024 to 1000000000",
        ),
        (
            "[ipvs]\nexpire_nodest_conn = 'on'".into(),
            "11:22: error: ipvs.expire_nodest_conn: found \"on\", expected `true` or `false`",
        ),
        (
            "[ipvs]\nsecure_tcp = 4".into(),
            "11:14: error: ipvs.secure_tcp: found 4, expected an integer from 0 to 3",
        ),
        ("[ipvs]\nsync_ports = 3".into(), "11:14: error: ipvs.sync_ports: found 3, expected a power of two"),
        (
            "[ipvs]\nsync_threshold = [50, 3]".into(),
            "11:18: error: ipvs.sync_threshold: found an array, expected an array of a threshold and a larger period: [3, 50]",
        ),
        (
            "[ipvs.timeouts]\ntcp_close_s = 0".into(),
            "11:15: error: ipvs.timeouts.tcp_close_s: found 0, expected an integer from 1 to 2678400",
        ),
        (
            "[ipvs.timeouts]\ntcp_closed_s = 9".into(),
            "11:1: error: ipvs.timeouts.tcp_closed_s: found unknown key `tcp_closed_s`, did you mean `tcp_close_s`?",
        ),
        (
            "[ipvs]\ntimeouts = 9".into(),
            "11:12: error: ipvs.timeouts: found 9, expected a table written as [ipvs.timeouts]",
        ),
        (
            "[ipvs]\nconntrack = true".into(),
            "11:13: warning: ipvs.conntrack: found 1, which has no effect: rvs has no connection tracking",
        ),
        (
            "ipvs = 3\n".into(),
            "10:1: error: address[1].ipvs: found unknown key `ipvs`, expected one of interface, cidr",
        ),
        (
            "[dpdk]\nhugepages = 'maybe'".into(),
            "11:13: error: dpdk.hugepages: found \"maybe\", expected one of \"auto\", \"on\", \"off\"",
        ),
        ("[dpdk]\neal_args = ['-n', 4]".into(), "11:19: error: dpdk.eal_args: found 4, expected string"),
        (
            "[daemon]\nsocket = 'rvsd.sock'".into(),
            "11:10: error: daemon.socket: found \"rvsd.sock\", expected an absolute path of at most 100 bytes",
        ),
        (
            "[workers]\ncount = 65".into(),
            "11:9: error: workers.count: found 65, expected an integer from 1 to 64",
        ),
        (
            "[workers]\ncount = 1\ncpus = [1]".into(),
            "12:8: error: workers.cpus: found both `count` and `cpus`, expected one of them",
        ),
        (
            "[workers]\ncpus = [1, 1]".into(),
            "11:8: error: workers.cpus: found [1, 1], expected 1 to 64 different CPU numbers",
        ),
        (
            "[[port]]\nname = 'a b'\ndevice = 'x'".into(),
            "11:8: error: port[1].name: found \"a b\", expected a name of 1 to 63 letters, digits, `.`, `_`, `-`",
        ),
        (
            "[[port]]\nname = 'x'".into(),
            "10:1: error: port[1].device: missing, expected a DPDK device such as \"net_af_packet0,iface=eth0\" or \"0000:03:00.0\"",
        ),
        (
            "[[port]]\nname = 'wan'\ndevice = 'x'".into(),
            "11:8: error: port[1].name: found \"wan\" twice, first at port[0].name",
        ),
        (
            "[[port]]\nname = 'x'\ndevice = 'net_tap0'".into(),
            "12:10: error: port[1].device: found \"net_tap0\" twice, first at port[0].device",
        ),
        (
            "[[port]]\nname = 'x'\ndevice = 'net_tap0,iface=b'".into(),
            "12:10: error: port[1].device: found \"net_tap0\" twice, first at port[0].device",
        ),
        (
            "[[port]]\nname = 'x'\ndevice = 'x'\nmac = '01:00:5e:00:00:01'".into(),
            "13:7: error: port[1].mac: found \"01:00:5e:00:00:01\", expected a unicast MAC address such as \"02:00:00:00:02:0b\"",
        ),
        (
            "[[port]]\nname = 'x'\ndevice = 'x'\nexception = 'a-name-that-is-long'".into(),
            "13:13: error: port[1].exception: found \"a-name-that-is-long\", expected an interface name of 1 to 15 letters, digits, `.`, `_`, `-`",
        ),
        (
            "[[vlan]]\nname = 'v'\nport = 'wam'\nid = 1".into(),
            "12:8: error: vlan[0].port: found unknown port \"wam\", did you mean \"wan\"?",
        ),
        (
            "[[vlan]]\nname = 'v'\nport = 'wan'\nid = 4095".into(),
            "13:6: error: vlan[0].id: found 4095, expected an integer from 1 to 4094",
        ),
        (
            "[[address]]\ninterface = 'eth7'\ncidr = '192.0.2.2/24'".into(),
            "11:13: error: address[2].interface: found unknown interface \"eth7\", expected one of: \"wan\"",
        ),
        (
            "[[address]]\ninterface = 'wan'\ncidr = '192.0.2.2'".into(),
            "12:8: error: address[2].cidr: found \"192.0.2.2\", expected an address with its prefix length such as \"192.0.2.1/24\" or \"2001:db8::1/64\"",
        ),
        (
            "[[address]]\ninterface = 'wan'\ncidr = '192.0.2.1/32'".into(),
            "12:8: error: address[2].cidr: found 192.0.2.1 twice, first on \"wan\"",
        ),
        (
            "[[address]]\ninterface = 'wan'\ncidr = '224.0.0.1/32'".into(),
            "12:8: error: address[2].cidr: found 224.0.0.1, expected a unicast address that is not loopback",
        ),
        (
            "[[route]]\nto = 'default'".into(),
            "11:6: error: route[0].to: found default without `via`, expected a gateway, or the prefix 0.0.0.0/0 or ::/0",
        ),
        (
            "[[route]]\nto = '10.0.0.0/8'".into(),
            "11:6: error: route[0].to: found neither `via` nor `interface`, expected at least one",
        ),
        (
            "[[route]]\nto = '10.0.0.1/8'\nvia='192.0.2.9'".into(),
            "11:6: error: route[0].to: found \"10.0.0.1/8\", expected \"default\" or a prefix without host bits such as \"198.51.100.0/24\"",
        ),
        (
            "[[route]]\nto = '10.0.0.0/8'\nvia = '2001:db8::9'".into(),
            "12:7: error: route[0].via: found 2001:db8::9, expected a unicast address of the family of 10.0.0.0/8",
        ),
        (
            "[[route]]\nto = 'default'\nvia = '198.51.100.1'".into(),
            "12:7: error: route[0].via: found 198.51.100.1, expected a gateway in the prefix of an [[address]]",
        ),
        (
            "[[route]]\nto = 'default'\nvia = '192.0.2.1'".into(),
            "12:7: error: route[0].via: found 192.0.2.1, which is an address of this host",
        ),
        (
            "[[route]]\nto = 'default'\nvia = '192.0.2.9'\n[[route]]\nto = '0.0.0.0/0'\nvia = '192.0.2.8'"
                .into(),
            "14:6: error: route[1].to: found a second route to 0.0.0.0/0, first at route[0]",
        ),
        (
            "[[neighbour]]\ninterface = 'wan'\naddress = '192.0.2.x'\nmac = '02:00:00:00:00:01'".into(),
            "12:11: error: neighbour[0].address: found \"192.0.2.x\", expected an address such as \"192.0.2.1\" or \"2001:db8::1\"",
        ),
        (
            "[[neighbour]]\ninterface = 'wan'\naddress = '192.0.2.9'\nmac = 'x'".into(),
            "13:7: error: neighbour[0].mac: found \"x\", expected a unicast MAC address such as \"02:00:00:00:02:0b\"",
        ),
        (
            "[[local_pool]]\nname='p'\ninterface='wan'\naddresses=[]".into(),
            "13:11: error: local_pool[0].addresses: found none, expected at least one address",
        ),
        (
            "[[local_pool]]\nname='p'\ninterface='wan'\naddresses=['192.0.2.0-192.0.2.9']".into(),
            "13:11: error: local_pool[0].addresses: found 192.0.2.0-192.0.2.9, which holds 192.0.2.1 of [[address]] on \"wan\"",
        ),
        (
            "[[local_pool]]\nname='p'\ninterface='wan'\naddresses=['192.0.2.9', 7]".into(),
            "13:25: error: local_pool[0].addresses: found 7, expected an address or a range such as \"10.0.2.200-10.0.2.203\"",
        ),
        (
            "[[local_pool]]\nname='p'\ninterface='wan'\naddresses=['10.0.0.0-10.9.0.0']".into(),
            "10:1: error: local_pool: found 589825 addresses in local pools, expected at most 4096",
        ),
        (
            format!("{pool}ports = '2000-2100'"),
            "14:9: error: local_pool[0].ports: found 2000-2100, expected at least 256 ports",
        ),
        (
            format!("{pool}[[local_pool]]\nname='q'\ninterface='wan'\naddresses=['192.0.2.199-192.0.2.201']"),
            "17:11: error: local_pool[1].addresses: found 192.0.2.200, which overlaps 192.0.2.199-192.0.2.201 of pool \"p\"",
        ),
        (
            format!("{service}scheduler = 'sad'"),
            "14:13: error: service[0].scheduler: found \"sad\", expected `rr`, `wrr`, `lc`, `wlc`, `sed`, `nq`, `fo`, `ovf`, `twos`, `sh`, `dh`, `mh`, `lblc`, `lblcr`, `maglev` or `conhash`",
        ),
        (
            format!("{service}scheduler = 'mh'\nscheduler_flags = ['port', 'mh-port']"),
            "15:28: error: service[0].scheduler_flags: found \"mh-port\", expected `fallback` or `port`",
        ),
        (
            format!("{service}scheduler_flags = ['port', 'fallback']"),
            "14:19: warning: service[0].scheduler_flags: service tcp 192.0.2.1:80: found fallback, port, which wlc ignores",
        ),
        (
            format!("{service}scheduler = 'conhash'\nscheduler_flags = ['port', 'fallback']"),
            "15:19: warning: service[0].scheduler_flags: service tcp 192.0.2.1:80: found fallback, which conhash ignores",
        ),
        (
            format!("{service}scheduler = 'maglev'\nmaglev_table_size = 65536"),
            "15:21: error: service[0].maglev_table_size: service tcp 192.0.2.1:80: found 65536, expected a prime from 251 to 5000011",
        ),
        (
            "[[service]]\nprotocol='tcp'\naddress='192.0.2.1'\nport=99999".into(),
            "13:6: error: service[0].port: found 99999, expected an integer from 0 to 65535",
        ),
        (
            "[[service]]\nprotocol='tcp'\naddress='192.0.2.1'".into(),
            "10:1: error: service[0].port: missing, expected a port from 1 to 65535, or 0 for every port",
        ),
        (
            "[[service]]\nprotocol='tcp'\naddress='192.0.2.77'\nport=80".into(),
            "12:9: warning: service[0].address: service tcp 192.0.2.77:80: found 192.0.2.77, which is no [[address]]: no packet is served until it is one",
        ),
        (
            format!("{pool}[[service]]\nprotocol='tcp'\naddress='192.0.2.200'\nport=80"),
            "16:9: error: service[0].address: service tcp 192.0.2.200:80: found 192.0.2.200, which is an address of local pool \"p\"",
        ),
        (
            "[[service]]\nprotocol='tcp'\naddress='192.0.2.1'\nport=0".into(),
            "13:6: error: service[0].port: service tcp 192.0.2.1:0: found port 0, which stands for every port, without persistence_timeout_s: expected 1 to 65535, or a persistent service",
        ),
        (
            "[[service]]\nfwmark=7".into(),
            "11:8: warning: service[0].fwmark: service fwmark 7: found 7, which no [[mark]] gives: no packet is served until one does",
        ),
        (
            "[[mark]]\nfwmark=7\nsource='198.51.100.1/24'".into(),
            "12:8: error: mark[0].source: found \"198.51.100.1/24\", expected an address or a prefix without host bits such as \"198.51.100.0/24\"",
        ),
        (
            "[[mark]]\nfwmark=7\nsource='198.51.100.1'\ndestination='2001:db8::/32'".into(),
            "13:13: error: mark[0].destination: found 2001:db8::/32, which no packet of the rule can have",
        ),
        (
            "[[mark]]\nfwmark=7\ndestination_ports=80".into(),
            "12:19: error: mark[0].destination_ports: found 80, which needs a protocol",
        ),
        (
            "[[mark]]\nfwmark=7\ninterface='lan'".into(),
            "12:11: error: mark[0].interface: found unknown interface \"lan\", did you mean \"wan\"?",
        ),
        (
            "[[mark]]\nfwmark=7\nsource_set='s'".into(),
            "12:12: error: mark[0].source_set: found unknown ipset \"s\", expected one of: none is configured",
        ),
        (
            "[[mark]]\nfwmark=7\n[[mark]]\nfwmark=7".into(),
            "12:1: error: mark[1]: found the rule twice, first at mark[0]",
        ),
        (
            "[[ipset]]\nname='s'\nmembers=['10.0.0.1', '10.0.0.1/32']".into(),
            "12:9: error: ipset[0].members: found 10.0.0.1/32 twice",
        ),
        (
            format!("{service}family = 'ipv6'"),
            "14:10: error: service[0].family: found without `fwmark`: an address has its family",
        ),
        (
            "[[service]]\nfwmark=0".into(),
            "11:8: error: service[0].fwmark: found 0, expected an integer from 1 to 4294967295",
        ),
        (
            "[[mark]]\nfwmark=7\n[[service]]\nfwmark=7\nport=80".into(),
            "14:6: error: service[0].port: found beside `fwmark`, expected one of them: a mark says it all",
        ),
        (
            "[[mark]]\nfwmark=7\n[[service]]\nfwmark=7\n[[service]]\nfwmark=7\nfamily='ipv4'".into(),
            "14:1: error: service[1]: found service fwmark 7 twice, first at service[0]",
        ),
        (
            format!("{service}persistence_timeout_s = 2678401"),
            "14:25: error: service[0].persistence_timeout_s: found 2678401, expected an integer from 1 to 2678400",
        ),
        (
            format!("{service}persistence_timeout_s = 60\npersistence_netmask = '255.255.255'"),
            "15:23: error: service[0].persistence_netmask: found \"255.255.255\", expected a mask such as `255.255.255.0` or a prefix length such as `24` or `64`",
        ),
        (
            format!("{service}persistence_timeout_s = 60\npersistence_netmask = 64"),
            "15:23: error: service[0].persistence_netmask: service tcp 192.0.2.1:80: found 64, expected a mask, or a prefix length from 0 to 32",
        ),
        (
            format!("{service}persistence_netmask = 24"),
            "14:23: warning: service[0].persistence_netmask: service tcp 192.0.2.1:80: found 255.255.255.0 without persistence_timeout_s: it has no effect",
        ),
        (
            format!(
                "[workers]\ncount=2\n{service}persistence_timeout_s = 60\npersistence_netmask = 24\n[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'"
            ),
            "17:23: error: service[0].persistence_netmask: service tcp 192.0.2.1:80: found 255.255.255.0 with `nat` destinations, which takes clients together that [steering] nat_prefix_v4 = 32 gives to several workers: expected nat_prefix_v4 = 24 or less, or one worker",
        ),
        (
            format!(
                "[workers]\ncount=2\n[steering]\nnat='endpoint'\n{service}persistence_timeout_s = 60\n[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'"
            ),
            "18:25: error: service[0].persistence_timeout_s: service tcp 192.0.2.1:80: found a persistent service with `nat` destinations under [steering] nat = \"endpoint\", which gives one client to several workers: expected nat = \"address\", or one worker",
        ),
        (
            "[workers]\ncount=2\n[steering]\nnat='endpoint'\n[[service]]\nprotocol='tcp'\naddress='192.0.2.1'\nport=21\n[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'"
                .into(),
            "17:6: error: service[0].port: service tcp 192.0.2.1:21: found a service with a helper (ftp, tftp, pptp) and `nat` destinations under [steering] nat = \"endpoint\", which gives one client to several workers: expected nat = \"address\", one worker, or helper = \"none\"",
        ),
        (
            format!("{service}helper = 'tftp'"),
            "14:10: error: service[0].helper: service tcp 192.0.2.1:80: found tftp in a service of tcp, expected udp",
        ),
        (
            format!("{service}helper = 'irc'"),
            "14:10: error: service[0].helper: found \"irc\", expected `auto`, `ftp`, `tftp`, `pptp` or `none`",
        ),
        (
            format!("{service}ops = true"),
            "14:7: error: service[0].ops: service tcp 192.0.2.1:80: found true, expected a service of udp: tcp has connections",
        ),
        (
            format!("{service}persistence_timeout_s = 60\npersistence_engine = 'sip'"),
            "15:22: error: service[0].persistence_engine: service tcp 192.0.2.1:80: found sip, which reads udp, expected a service of udp",
        ),
        (
            "[[service]]\nprotocol='udp'\naddress='192.0.2.1'\nport=5060\npersistence_engine='sip'".into(),
            "14:20: warning: service[0].persistence_engine: service udp 192.0.2.1:5060: found sip without persistence_timeout_s: it has no effect",
        ),
        (
            format!("{service}{service}"),
            "14:1: error: service[1]: found service tcp 192.0.2.1:80 twice, first at service[0]",
        ),
        (
            format!("{service}local_pool = 'q'"),
            "14:14: error: service[0].local_pool: service tcp 192.0.2.1:80: found unknown local pool \"q\", expected one of: none is configured",
        ),
        (
            format!("{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='fullnat'"),
            "16:8: error: service[0].destination[0].method: destination 10.0.0.1:80 of tcp 192.0.2.1:80: found fullnat, which needs a [[local_pool]], but there is none",
        ),
        (
            format!(
                "{pool}[[service]]\nprotocol='tcp'\naddress='2001:db8::1'\nport=80\n[[service.destination]]\naddress='2001:db8::2'\nmethod='fullnat'"
            ),
            "20:8: error: service[0].destination[0].method: destination [2001:db8::2]:80 of tcp [2001:db8::1]:80: found fullnat, but local pool \"p\" has no IPv6 address",
        ),
        (
            format!("{service}[[service.destination]]\naddress='2001:db8::2'\nmethod='nat'"),
            "15:9: error: service[0].destination[0].address: destination [2001:db8::2]:80 of tcp 192.0.2.1:80: found 2001:db8::2 with nat, expected the service's family: only tunnel mixes",
        ),
        (
            format!("{service}[[service.destination]]\naddress='127.0.0.1'\nmethod='nat'"),
            "15:9: warning: service[0].destination[0].address: destination 127.0.0.1:80 of tcp 192.0.2.1:80: found 127.0.0.1 with nat: nothing is rewritten to loopback, so its packets are dropped; dr reaches this host",
        ),
        (
            format!("{service}[[service.destination]]\naddress='255.0.0.1'\nmethod='dr'"),
            "15:9: error: service[0].destination[0].address: destination 255.0.0.1:80 of tcp 192.0.2.1:80: found 255.0.0.1, expected a unicast address",
        ),
        (
            format!("{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='dr'\nport=81"),
            "17:6: warning: service[0].destination[0].port: destination 10.0.0.1:81 of tcp 192.0.2.1:80: found 81, took the service's port 80: dr changes no port",
        ),
        (
            format!("{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'\nweight=-1"),
            "17:8: error: service[0].destination[0].weight: found -1, expected an integer from 0 to 2147483647",
        ),
        (
            format!("{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'\nlower_threshold=9"),
            "17:17: error: service[0].destination[0].lower_threshold: destination 10.0.0.1:80 of tcp 192.0.2.1:80: found 9, expected at most upper_threshold = 0",
        ),
        (
            format!(
                "{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'\n[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'"
            ),
            "17:1: error: service[0].destination[1]: service tcp 192.0.2.1:80: found destination 10.0.0.1:80 twice, first at service[0].destination[0]",
        ),
        (
            format!(
                "{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='tunnel'\ntunnel_type='gue'"
            ),
            "14:1: error: service[0].destination[0].tunnel_port: destination 10.0.0.1:80 of tcp 192.0.2.1:80: found none, expected the UDP port of the gue tunnel",
        ),
        (
            format!(
                "{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='tunnel'\ntunnel_port=6080"
            ),
            "17:13: error: service[0].destination[0].tunnel_port: destination 10.0.0.1:80 of tcp 192.0.2.1:80: found 6080, but ipip has no port, only gue has",
        ),
        (
            format!(
                "{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='tunnel'\ntunnel_checksum='csum'"
            ),
            "17:17: error: service[0].destination[0].tunnel_checksum: destination 10.0.0.1:80 of tcp 192.0.2.1:80: found csum, but ipip has no checksum",
        ),
        (
            format!(
                "{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='tunnel'\ntunnel_type='gre'\ntunnel_checksum='remcsum'"
            ),
            "18:17: error: service[0].destination[0].tunnel_checksum: destination 10.0.0.1:80 of tcp 192.0.2.1:80: found remcsum, expected nocsum or csum for gre",
        ),
        (
            format!("{service}[[service.destination]]\naddress='10.0.0.1'\nmethod='nat'\ntunnel_type='gre'"),
            "17:13: error: service[0].destination[0].tunnel_type: destination 10.0.0.1:80 of tcp 192.0.2.1:80: found gre with nat, expected tunnel",
        ),
        (
            format!("{service}destination = 3"),
            "14:15: error: service[0].destination: found 3, expected tables written as [[service.destination]]",
        ),
        (
            format!(
                "[limits]\nservices = 1\n{service}[[service]]\nprotocol='udp'\naddress='192.0.2.1'\nport=80"
            ),
            "11:12: error: limits.services: found 2 services, expected at most limits.services = 1",
        ),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(lines, want)| {
            let found = texts(&format!("{BASE}{lines}\n"));
            (found != [format!("rvs.toml:{want}")])
                .then(|| format!("{lines}\n  want rvs.toml:{want}\n  found {found:#?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let single = "[port]\nname = 'wan'\n";
    let want = "rvs.toml:1:1: error: port: found a table, expected tables written as [[port]]";
    assert_eq!(texts(single)[0], want);
    assert_eq!(texts(""), ["rvs.toml:1:1: error: port: found none, expected at least one [[port]]"]);
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    let text = format!(
        "{BASE}[[route]]\nto = 'x'\nvai = 'y'\n[[service]]\nprotocol = 'icmp'\nport = -1\n  [[service.destination]]\n  \
         weight = 2147483648\n[[service]]\nprotocol = 'tcp'\naddress = '192.0.2.1'\nport = 80\n  [[service.destination]]\n  \
         address = '::'\n  method = 'nat'\n[limits]\ndestinations = true\n"
    );
    let found: Vec<String> =
        (parse("f", &text).diagnostics.iter()).map(|d| format!("{} {}", d.line, d.path)).collect();
    let want = [
        "11 route[0].to",
        "12 route[0].vai",
        "13 service[0].address",
        "14 service[0].protocol",
        "15 service[0].port",
        "16 service[0].destination[0].address",
        "16 service[0].destination[0].method",
        "17 service[0].destination[0].weight",
        "23 service[1].destination[0].address",
        "26 limits.destinations",
    ];
    assert_eq!(found, want);
}

#[test]
fn what_is_no_toml_is_told_with_its_line_and_nothing_made_up() {
    let text = "[[port]\nname = \"wan\n[limits]\nservices = = 3\n";
    let found = parse("f", text);
    assert!(found.config.is_none());
    assert!(found.diagnostics.iter().any(|d| d.line == 1) && found.diagnostics.iter().any(|d| d.line == 4));
    assert!(
        found.diagnostics.iter().all(|d| !d.message.contains("at least one [[port]]")),
        "{:?}",
        found.diagnostics
    );
}

#[test]
fn what_refers_to_a_broken_table_is_not_at_fault() {
    let text = "[[port]]\nname = 'wan'\nmtu = 1\ndevice = 'x'\n[[address]]\ninterface = 'wan'\ncidr = '192.0.2.1/24'\n";
    assert_eq!(
        texts(text),
        ["rvs.toml:3:7: error: port[0].mtu: found 1, expected an integer from 576 to 9600"]
    );
}

#[test]
fn columns_count_characters() {
    let text = format!("{BASE}[[service]]\nprotocol='tcp' # ü\nlocal_pool = 'é' ; port=1\n");
    let found = parse("f", &text);
    assert!(found.config.is_none());
    let text = format!("{BASE}[daemon]\nlog = \"é\" # ü\nsocket = {{ a = 'é', b = 1 }}\n");
    assert_eq!(parse("f", &text).diagnostics[0].column, 10);
}

#[test]
fn loading_takes_as_long_as_there_is_to_load() {
    let took = |services| {
        let config = many_services(services, 10);
        let text = to_toml(&config);
        // The shortest of a few: what else the machine does only ever adds.
        let one = |_| {
            let begin = Instant::now();
            let read = parse("big.toml", &text).config.unwrap();
            let took = begin.elapsed();
            assert_eq!(read, config);
            took
        };
        (0..3).map(one).min().unwrap()
    };
    let (small, large) = (took(500), took(10_000));
    // Twenty times as much. What grows quadratically takes four hundred times as long.
    assert!(large < 120 * small, "{small:?} for 5,000 destinations, {large:?} for 100,000");
}

/// Services at own addresses, each with `dests` NAT destinations.
pub(crate) fn many_services(services: u32, dests: u32) -> Config {
    let mut config = parse("base", BASE).config.unwrap();
    config.limits =
        Limits { services: services.max(1), destinations: (services * dests).max(1), ..Limits::default() };
    let vip = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 + n / 100));
    for n in (0..services).step_by(100) {
        let cidr = Cidr::new(vip(n), 32).unwrap();
        config.addresses.push(api::AddressSpec { interface: "wan".into(), cidr });
    }
    let dest = |n: u32| {
        let address = Ipv4Addr::from_bits(0x0a00_0000 + n).into();
        DestSpec::new(DestKey { address, port: 8080 }, Method::Nat)
    };
    config.services = (0..services)
        .map(|n| {
            let port = (n % 100 + 1) as u16;
            let key = ServiceKey::Address { protocol: Protocol::Tcp, address: vip(n), port };
            let spec = ServiceSpec::new(key, Scheduler::Wlc);
            Arc::new(Service { spec, dests: (1..=dests).map(dest).collect() })
        })
        .collect();
    config
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9._-]{0,10}"
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0x0a00_0001..0x0aff_ffff_u32).prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u64>().prop_map(|low| IpAddr::V6(Ipv6Addr::from_bits(
            0x2001_0db8_u128 << 96 | u128::from(low) << 1 | 1
        ))),
    ]
}

prop_compose! {
    fn dest()(address in address(), port in any::<u16>(), weight in 0..=api::WEIGHT_MAX, upper in any::<u32>(), lower in any::<u32>(), method in 0..4_usize, tunnel in (0..3_usize, proptest::option::of(1..=u16::MAX), 0..3_usize)) -> DestSpec {
        let (kind, tunnel_port, checksum) = tunnel;
        DestSpec {
            weight,
            upper_threshold: upper.max(lower),
            lower_threshold: lower.min(upper),
            tunnel_type: TunnelType::ALL[kind],
            tunnel_port,
            tunnel_checksum: TunnelChecksum::ALL[checksum],
            ..DestSpec::new(DestKey { address, port }, Method::ALL[method])
        }
    }
}

fn key() -> impl Strategy<Value = ServiceKey> {
    let protocol = |tcp| if tcp { Protocol::Tcp } else { Protocol::Udp };
    let family = |v6| if v6 { Family::Ipv6 } else { Family::Ipv4 };
    prop_oneof![
        (any::<bool>(), address(), any::<u16>()).prop_map(move |(tcp, address, port)| {
            ServiceKey::Address { protocol: protocol(tcp), address, port }
        }),
        (1..=u32::MAX, any::<bool>())
            .prop_map(move |(fwmark, v6)| ServiceKey::Mark { fwmark, family: family(v6) }),
    ]
}

prop_compose! {
    fn service()(key in key(), scheduler in 0..Scheduler::ALL.len(), flags in proptest::collection::btree_set(prop_oneof![Just(SchedulerFlag::Fallback), Just(SchedulerFlag::Port)], 0..3), size in proptest::option::of(prop_oneof![Just(251_u32), Just(65_537)]), local_pool in proptest::option::of(word()), persistence in proptest::option::of(1..=2_678_400_u32), mask in proptest::option::of(prop_oneof![any::<[u8; 4]>().prop_map(|mask| Netmask::Mask(mask.into())), (0..=128_u8).prop_map(Netmask::Prefix)]), special in any::<(bool, bool)>(), dests in proptest::collection::vec(dest(), 0..4)) -> Service {
        let (ops, sip) = special;
        let spec = ServiceSpec {
            scheduler_flags: flags,
            maglev_table_size: size,
            local_pool,
            persistence_timeout_s: persistence,
            persistence_netmask: mask,
            persistence_engine: sip.then_some(Engine::Sip),
            ops,
            ..ServiceSpec::new(key, Scheduler::ALL[scheduler])
        };
        Service { spec, dests }
    }
}

prop_compose! {
    fn sysctls()(numbers in proptest::collection::vec((any::<i32>(), 0..4_i32), Sysctl::ALL.len())) -> Sysctls {
        let mut sysctls = Sysctls::default();
        for (&sysctl, (wild, tame)) in Sysctl::ALL.iter().zip(numbers) {
            // What is out of range leaves the default.
            let _ = [wild, tame].into_iter().find(|&number| sysctls.set(sysctl, SysctlValue::one(number)).is_ok());
        }
        sysctls
    }
}

prop_compose! {
    fn port()(name in word(), device in "[ -~é\\n\\t\"\\\\']{1,20}", mtu in 576..=9600_u16, exception in proptest::option::of("[a-z]{1,15}"), rx_queues in proptest::option::of(1..=64_u16), descriptors in 64..=32_768_u16, promiscuous in any::<bool>(), mac in proptest::option::of(any::<[u8; 5]>())) -> Port {
        let mac = mac.map(|[a, b, c, d, e]| api::Mac([2, a, b, c, d, e]));
        Port { name, device, mtu, exception, rx_queues, rx_descriptors: descriptors, tx_descriptors: 64, promiscuous, mac }
    }
}

prop_compose! {
    fn config()(
        ports in proptest::collection::vec(port(), 1..3),
        services in proptest::collection::vec(service(), 0..4),
        addresses in proptest::collection::vec((word(), address(), 0..=32_u8), 0..4),
        via in proptest::option::of(address()),
        interface in proptest::option::of(word()),
        ranges in proptest::collection::vec(address(), 1..4),
        cpus in proptest::option::of(proptest::collection::btree_set(0..1024_u16, 1..5)),
        numbers in (proptest::option::of(64..=4096_u32), 1..=1_000_000_u32, 1..=86_400_u32, 1..=32_u8),
        flag in any::<bool>(),
        sysctls in sysctls(),
    ) -> Config {
        let (memory_mib, count, seconds, prefix) = numbers;
        let mut timeouts = ipvs::Timeouts::default();
        for (n, key) in (0..).zip(timeout_keys().iter()) {
            key.set_s(&mut timeouts, seconds + n);
        }
        Config {
            daemon: Daemon { socket: "/run/x y.sock".into(), log: "warn,\"x\"=info".into() },
            dpdk: Dpdk { hugepages: if flag { Hugepages::On } else { Hugepages::Off }, memory_mib, eal_args: vec!["--a=\"b\"".into()] },
            workers: Workers { placement: cpus.map_or(Placement::Count(7), |c| Placement::Cpus(c.into_iter().collect())), idle: if flag { Idle::Poll } else { Idle::Yield } },
            limits: Limits { services: count, ..Limits::default() },
            vlans: vec![Vlan { name: "v".into(), port: ports[0].name.clone(), id: 9 }],
            addresses: addresses.into_iter().map(|(interface, a, len)| api::AddressSpec { interface, cidr: Cidr::new(a, len).unwrap() }).collect(),
            routes: vec![RouteSpec { to: RouteTarget::Default, via, interface, source: via, mtu: flag.then_some(1400) }],
            neighbours: vec![api::NeighbourSpec { interface: "n".into(), address: ranges[0], mac: api::Mac([2, 0, 0, 0, 0, 1]) }],
            pools: vec![Pool { name: "p".into(), interface: "v".into(), addresses: ranges.into_iter().map(AddrRange::one).collect(), ports: Pool::DEFAULT_PORTS }],
            sets: vec![api::SetSpec { name: "s".into(), members: vec!["10.0.0.0/8".parse().unwrap()] }],
            marks: vec![api::MarkSpec {
                protocol: flag.then_some(Protocol::Tcp),
                source_set: Some("s".into()),
                destination: Cidr::host("10.0.0.1".parse().unwrap()),
                source_ports: Some(api::PortMatch { first: 1, last: 2 }),
                interface: Some("v".into()),
                ..api::MarkSpec::new(7)
            }],
            ipvs: Ipvs { timeouts, sysctls },
            steering: Steering { nat: if flag { NatSteering::Endpoint } else { NatSteering::Address }, nat_prefix_v4: prefix, nat_prefix_v6: 64 },
            sync: vec![api::SyncSpec { id: prefix, port: 9000, ..api::SyncSpec::new(if flag { api::SyncRole::Master } else { api::SyncRole::Backup }, "x y") }],
            ports,
            services: services.into_iter().map(Arc::new).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Reading does not depend on checking, so that the property holds for configurations that make no sense too.
    #[test]
    fn what_is_written_reads_back_the_same(config in config()) {
        let text = to_toml(&config);
        prop_assert_eq!(super::parse::read_only(&text), Ok(config), "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[\\[\\]a-z=\"'0-9.\\n {},]{0,200}") {
        let parsed = parse("f", &text);
        prop_assert_eq!(parsed.config.is_none(), parsed.diagnostics.iter().any(|d| d.severity == Severity::Error));
    }

    #[test]
    fn a_damaged_file_never_makes_the_parser_panic(at in 0..CONTRACT.len(), byte in 32..127_u8) {
        let mut bytes = CONTRACT.as_bytes().to_vec();
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        let parsed = parse("f", &text);
        prop_assert_eq!(parsed.config.is_none(), parsed.diagnostics.iter().any(|d| d.severity == Severity::Error));
    }
}
