//! Each sample is a reply as rvsd writes it: that its names are what programs know is tested with its table.

use serde_json::Value;

use super::*;

/// The reply of a sample, which is written with every name and value of it. Replies may gain fields.
fn reply(json: &str) -> Reply {
    let reply: Reply = serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"));
    let written = serde_json::to_value(&reply).unwrap();
    assert!(holds(&written, &serde_json::from_str(json).unwrap()), "{written}\nlacks something of\n{json}");
    reply
}

fn holds(all: &Value, some: &Value) -> bool {
    match (all, some) {
        (Value::Object(all), Value::Object(some)) => {
            some.iter().all(|(name, value)| all.get(name).is_some_and(|of| holds(of, value)))
        }
        (Value::Array(all), Value::Array(some)) => {
            all.len() == some.len() && all.iter().zip(some).all(|(all, some)| holds(all, some))
        }
        (all, some) => all == some,
    }
}

/// The guide, whose tables are those of these tests.
const GUIDE: &str = include_str!("../../../../docs/rvsctl.md");

#[track_caller]
fn check(json: &str, view: View, want: &str) {
    let got = text(&view.select(reply(json)), view);
    assert_eq!(got, want, "\ngot:\n{got}\nwanted:\n{want}");
    assert!(GUIDE.contains(want), "not in docs/rvsctl.md:\n{want}");
}

const SERVICES: &str = concat!(
    r#"{"services":[{"protocol":"tcp","address":"192.0.2.100","port":80,"scheduler":"wrr","local_pool":"lan","id":0,"#,
    r#""traffic":{"connections":1500,"packets_in":9000,"packets_out":7000,"bytes_in":700000,"bytes_out":12000000},"rates":{"connections_per_s":25,"packets_in_per_s":150,"packets_out_per_s":116,"bytes_in_per_s":11666,"bytes_out_per_s":200000},"destinations":["#,
    r#"{"address":"10.0.2.11","port":80,"method":"fullnat","weight":1,"upper_threshold":0,"lower_threshold":0,"id":0,"#,
    r#""traffic":{"connections":500,"packets_in":3000,"packets_out":2500,"bytes_in":200000,"bytes_out":4000000},"rates":{"connections_per_s":8,"packets_in_per_s":50,"packets_out_per_s":41,"bytes_in_per_s":3333,"bytes_out_per_s":66666},"active_connections":3,"inactive_connections":12,"persistent_connections":5},"#,
    r#"{"address":"10.0.2.12","port":8080,"method":"nat","weight":10,"upper_threshold":1000,"lower_threshold":800,"id":1,"#,
    r#""traffic":{"connections":1000,"packets_in":6000,"packets_out":4500,"bytes_in":500000,"bytes_out":8000000},"rates":{"connections_per_s":17,"packets_in_per_s":100,"packets_out_per_s":75,"bytes_in_per_s":8333,"bytes_out_per_s":133333},"active_connections":120,"inactive_connections":0}]},"#,
    r#"{"protocol":"udp","address":"2001:db8::100","port":53,"scheduler":"rr","id":1,"#,
    r#""traffic":{"connections":0,"packets_in":0,"packets_out":0,"bytes_in":0,"bytes_out":0},"destinations":["#,
    r#"{"address":"2001:db8:2::11","port":53,"method":"tunnel","weight":0,"upper_threshold":0,"lower_threshold":0,"id":2,"#,
    r#""traffic":{"connections":0,"packets_in":0,"packets_out":0,"bytes_in":0,"bytes_out":0},"active_connections":0,"inactive_connections":0}]}]}"#
);

#[test]
fn services_are_listed_as_ipvsadm_does() {
    let want = "\
Prot  Service              Scheduler                            Pool  Flags
  ->  Destination          Forward    Weight  Active  Inactive
tcp   192.0.2.100:80       wrr                                  lan
  ->  10.0.2.11:80         fullnat         1       3        12
  ->  10.0.2.12:8080       nat            10     120         0
udp   [2001:db8::100]:53   rr
  ->  [2001:db8:2::11]:53  tunnel          0       0         0
";
    check(SERVICES, View::Usual, want);
}

const SPECIAL: &str = concat!(
    r#"{"services":[{"fwmark":7,"family":"ipv4","scheduler":"wlc","persistence_timeout_s":600,"persistence_netmask":"255.255.255.0","id":0,"#,
    r#""traffic":{"connections":0,"packets_in":0,"packets_out":0,"bytes_in":0,"bytes_out":0},"destinations":["#,
    r#"{"address":"10.0.2.11","port":0,"method":"dr","weight":1,"upper_threshold":0,"lower_threshold":0,"id":0,"#,
    r#""traffic":{"connections":0,"packets_in":0,"packets_out":0,"bytes_in":0,"bytes_out":0},"active_connections":0,"inactive_connections":0},"#,
    r#"{"address":"10.0.2.12","port":0,"method":"tunnel","weight":1,"upper_threshold":0,"lower_threshold":0,"tunnel_type":"gue","tunnel_port":6080,"tunnel_checksum":"csum","id":1,"#,
    r#""traffic":{"connections":0,"packets_in":0,"packets_out":0,"bytes_in":0,"bytes_out":0},"active_connections":0,"inactive_connections":0}]},"#,
    r#"{"protocol":"udp","address":"192.0.2.100","port":5060,"scheduler":"mh","scheduler_flags":["port"],"persistence_timeout_s":60,"persistence_engine":"sip","ops":true,"id":1,"#,
    r#""traffic":{"connections":0,"packets_in":0,"packets_out":0,"bytes_in":0,"bytes_out":0},"destinations":[]}]}"#
);

#[test]
fn what_is_special_about_a_service_is_in_its_line() {
    let want = "\
Prot    Service           Scheduler                                       Pool  Flags
  ->    Destination       Forward               Weight  Active  Inactive
fwmark  7                 wlc                                                   persistent 600 mask 255.255.255.0
  ->    10.0.2.11:0       dr                         1       0         0
  ->    10.0.2.12:0       tunnel gue 6080 csum       1       0         0
udp     192.0.2.100:5060  mh (port)                                             persistent 60 pe sip ops
";
    check(SPECIAL, View::Usual, want);
}

#[test]
fn services_show_what_they_counted() {
    let want = "\
Prot  Service              Connections  Packets in  Packets out  Bytes in  Bytes out
  ->  Destination
tcp   192.0.2.100:80              1500        9000         7000    700000   12000000
  ->  10.0.2.11:80                 500        3000         2500    200000    4000000
  ->  10.0.2.12:8080              1000        6000         4500    500000    8000000
udp   [2001:db8::100]:53             0           0            0         0          0
  ->  [2001:db8:2::11]:53            0           0            0         0          0
";
    check(SERVICES, View::Counters, want);
}

#[test]
fn one_service_is_shown_whole() {
    let Reply::Services(mut services) = reply(SERVICES) else { panic!("services") };
    services.truncate(1);
    let got = text(&Reply::Services(services.clone()), View::Details);
    let want = "\
Service      tcp 192.0.2.100:80
Id           0
Scheduler    wrr
Flags        -
Local pool   lan
Connections  1500
Packets in   9000
Packets out  7000
Bytes in     700000
Bytes out    12000000

Destination     Forward  Weight  Upper  Lower  Active  Inactive  Persistent  Connections  Packets in  Packets out  Bytes in  Bytes out
10.0.2.11:80    fullnat       1      0      0       3        12           5          500        3000         2500    200000    4000000
10.0.2.12:8080  nat          10   1000    800     120         0           0         1000        6000         4500    500000    8000000
";
    assert_eq!(got, want, "\ngot:\n{got}");
    assert!(GUIDE.contains(want), "not in docs/rvsctl.md:\n{want}");
    let dests = text(&Reply::Destinations(services.remove(0).destinations), View::Usual);
    assert!(got.ends_with(&dests));
}

#[test]
fn network() {
    check(
        r#"{"pools":[{"name":"lan","interface":"lan","addresses":["10.0.2.200-10.0.2.203","2001:db8:2::200"],"ports":"1024-65535","services":2}]}"#,
        View::Usual,
        "\
Pool  Interface  Ports       Services  Addresses
lan   lan        1024-65535         2  10.0.2.200-10.0.2.203 2001:db8:2::200
",
    );
    check(
        r#"{"addresses":[{"interface":"wan","cidr":"192.0.2.1/24","role":"host","origin":"configured"},{"interface":"wan","cidr":"192.0.2.101/32","role":"host","origin":"host"},{"interface":"wan","cidr":"fe80::a092:1ff:fef1:e4e2/64","role":"host","origin":"link_local"},{"interface":"lan","cidr":"10.0.2.200/32","role":"local_pool","pool":"lan"}]}"#,
        View::Usual,
        "\
Interface  Address                      Role            Origin
wan        192.0.2.1/24                 host            configured
wan        192.0.2.101/32               host            host
wan        fe80::a092:1ff:fef1:e4e2/64  host            link-local
lan        10.0.2.200/32                local pool lan  configured
",
    );
    check(
        r#"{"routes":[{"to":"192.0.2.0/24","via":null,"interface":"wan","source":null,"mtu":null,"origin":"connected"},{"to":"0.0.0.0/0","via":"192.0.2.254","interface":"wan","source":"192.0.2.1","mtu":1400,"origin":"static"}]}"#,
        View::Usual,
        "\
To            Via          Interface  Source      MTU  Origin
192.0.2.0/24  -            wan        -             -  connected
0.0.0.0/0     192.0.2.254  wan        192.0.2.1  1400  static
",
    );
    check(
        r#"{"neighbours":[{"worker":0,"interface":"lan","address":"10.0.2.11","mac":"02:00:00:00:02:0b","state":"reachable","age_ms":61500},{"worker":1,"interface":"lan","address":"10.0.2.12","mac":null,"state":"incomplete","age_ms":0},{"worker":0,"interface":"lan","address":"10.0.2.13","mac":"02:00:00:00:02:0d","state":"static","age_ms":9000}]}"#,
        View::Usual,
        "\
Worker  Interface  Address    MAC                State       Age s
     0  lan        10.0.2.11  02:00:00:00:02:0b  reachable      61
     1  lan        10.0.2.12  -                  incomplete      0
     0  lan        10.0.2.13  02:00:00:00:02:0d  static          -
",
    );
}

const CONNECTIONS: &str = concat!(
    r#"{"connections":[{"worker":0,"protocol":"tcp","client":"198.51.100.7:40000","service":"192.0.2.100:80","local":"10.0.2.200:1024","#,
    r#""destination":"10.0.2.11:80","method":"fullnat","state":"ESTABLISHED","expires_in_ms":899001,"packets_in":12,"flags":{"inactive":false,"no_destination":false}},"#,
    r#"{"worker":1,"protocol":"udp","client":"[2001:db8:1::7]:5353","service":"[2001:db8::100]:53","#,
    r#""destination":"[2001:db8:2::11]:53","method":"dr","state":"UDP","expires_in_ms":300000,"packets_in":1,"flags":{"inactive":true,"no_destination":true}},"#,
    r#"{"worker":0,"protocol":"ip","client":"198.51.100.0:0","service":"0.0.0.7:0","#,
    r#""destination":"10.0.2.11:0","method":"nat","state":"ASSURED","expires_in_ms":300000,"packets_in":0,"flags":{"inactive":true,"no_destination":false,"template":true},"fwmark":7,"controls":2}]}"#
);

#[test]
fn connections() {
    check(CONNECTIONS, View::Usual, "\
Prot  Expires  State        Client                 Service                Local                  Destination            Forward  Packets  Worker  Flags
tcp     15:00  ESTABLISHED  198.51.100.7:40000     192.0.2.100:80         10.0.2.200:1024        10.0.2.11:80           fullnat       12       0
udp     05:00  UDP          [2001:db8:1::7]:5353   [2001:db8::100]:53     -                      [2001:db8:2::11]:53    dr             1       1  inactive,no-destination
ip      05:00  ASSURED      198.51.100.0:0         0.0.0.7:0              -                      10.0.2.11:0            nat            0       0  template,fwmark=7,controls=2
");
    check(r#"{"conn_count":{"connections":10000}}"#, View::Usual, "10000\n");
    check(
        r#"{"conn_count":{"connections":3}}"#,
        View::Done("connections dropped"),
        "3 connections dropped\n",
    );
}

#[test]
fn connections_come_in_pieces() {
    let Reply::Connections(all) = reply(CONNECTIONS) else { panic!("connections") };
    let mut json = Connections::new(true);
    assert!(json.is_untouched());
    let pieces = [json.part(&all[..1]), json.part(&[]), json.part(&all[1..]), json.end()].concat();
    let whole = serde_json::to_string(&reply(CONNECTIONS)).unwrap();
    assert_eq!(pieces, format!("{whole}\n"));
    assert!(!json.is_untouched());
    assert_eq!(Connections::new(true).end(), "{\"connections\":[]}\n");

    let mut table = Connections::new(false);
    let pieces = [table.part(&all[..1]), table.part(&all[1..]), table.end()].concat();
    assert_eq!(pieces, text(&Reply::Connections(all), View::Usual));
}

const WORKERS: &str = concat!(
    r#"{"workers":[{"id":0,"cpu":2,"generation":7,"packets":{"rx":1000,"from_host":5,"from_ring":10,"generated":3,"cloned":1,"split":0,"#,
    r#""tx":990,"to_host":6,"to_ring":12,"dropped":4,"consumed":7,"merged":0,"held":0},"#,
    r#""busy_percent":12.5,"loop_turns":123456,"connections":50,"connections_limit":500000,"neighbours":4,"defence":{"short":false,"drop_entry":true,"drop_packet":10,"secure_tcp":false}},"#,
    r#"{"id":1,"cpu":null,"generation":7,"packets":{"rx":0,"from_host":0,"from_ring":12,"generated":0,"cloned":0,"split":0,"#,
    r#""tx":2,"to_host":0,"to_ring":10,"dropped":0,"consumed":0,"merged":0,"held":0},"#,
    r#""busy_percent":0.0,"loop_turns":99,"connections":0,"connections_limit":500000,"neighbours":4}]}"#
);

#[test]
fn workers() {
    check(
        WORKERS,
        View::Usual,
        "\
Worker  CPU  Busy %  Connections   Limit  Neighbours  Generation  Loop turns  Defence
     0    2    12.5           50  500000           4           7      123456  drop_entry, drop_packet 1/10
     1    -     0.0            0  500000           4           7          99  -
",
    );
    check(WORKERS, View::Counters, "\
worker    rx  from_host  from_ring  generated  cloned  split   tx  to_host  to_ring  dropped  consumed  merged  held
     0  1000          5         10          3       1      0  990        6       12        4         7       0     0
     1     0          0         12          0       0      0    2        0       10        0         0       0     0
 total  1000          5         22          3       1      0  992        6       22        4         7       0     0
");
}

#[test]
fn ports() {
    let json = concat!(
        r#"{"ports":[{"name":"wan","device":"net_af_packet0,iface=wan0","driver":"net_af_packet","mac":"02:00:00:00:00:01","mtu":1500,"#,
        r#""link":"up","speed_mbps":null,"rx_queues":2,"tx_queues":2,"exception":"wan.host","rx_packets":1000,"tx_packets":900,"#,
        r#""rx_bytes":64000,"tx_bytes":57600,"rx_missed":1,"rx_errors":0,"rx_no_buffers":0,"tx_errors":0},"#,
        r#"{"name":"lan","device":"0000:01:00.0","driver":"net_ixgbe","mac":"02:00:00:00:00:02","mtu":9000,"#,
        r#""link":"down","speed_mbps":10000,"rx_queues":4,"tx_queues":4,"exception":null,"rx_packets":0,"tx_packets":0,"#,
        r#""rx_bytes":0,"tx_bytes":0,"rx_missed":0,"rx_errors":0,"rx_no_buffers":0,"tx_errors":0}]}"#
    );
    check(json, View::Usual, "\
Port  MAC                 MTU  Link  Mbit/s  Rx queues  Tx queues  Exception  Driver         Device
wan   02:00:00:00:00:01  1500  up         -          2          2  wan.host   net_af_packet  net_af_packet0,iface=wan0
lan   02:00:00:00:00:02  9000  down   10000          4          4  -          net_ixgbe      0000:01:00.0
");
    check(
        json,
        View::Counters,
        "\
Port  Rx packets  Rx bytes  Rx missed  Rx errors  Rx no buffers  Tx packets  Tx bytes  Tx errors
wan         1000     64000          1          0              0         900     57600          0
lan            0         0          0          0              0           0         0          0
",
    );
}

#[test]
fn drops_are_those_that_occurred() {
    let json = concat!(
        r#"{"drops":[{"reason":"no_route","help":"No route has the destination.","count":12,"workers":[10,2]},"#,
        r#"{"reason":"connection_table_full","help":"No room for another connection.","count":0,"workers":[0,0]}]}"#
    );
    check(
        json,
        View::NonZero,
        "\
Packets  Reason    What it means
     12  no_route  No route has the destination.
",
    );
    check(
        json,
        View::Usual,
        "\
Packets  Reason                 What it means
     12  no_route               No route has the destination.
      0  connection_table_full  No room for another connection.
",
    );
    check(r#"{"drops":[]}"#, View::NonZero, "nothing was dropped\n");
}

#[test]
fn packets_are_shown_step_by_step() {
    let json = concat!(
        r#"{"trace":{"packets":[{"worker":0,"steps":["#,
        r#"{"stage":"came","text":"by wan: tcp 198.51.100.7:40000 > 192.0.2.100:80 [S], 60 bytes, ttl 63"},"#,
        r#"{"stage":"LOCAL_IN","text":""},"#,
        r#"{"stage":"scheduled","text":"tcp 192.0.2.100:80 gives 10.0.2.12:80"},"#,
        r#"{"stage":"state","text":"TCP NONE → SYN_RECV"},{"stage":"verdict","text":"sent"},"#,
        r#"{"stage":"leaves","text":"by lan, to 10.0.2.12: tcp 198.51.100.7:40000 > 10.0.2.12:80 [S], 60 bytes, ttl 62"}]}],"lost":0}}"#
    );
    let want = "\
worker 0
  came        by wan: tcp 198.51.100.7:40000 > 192.0.2.100:80 [S], 60 bytes, ttl 63
  LOCAL_IN
  scheduled   tcp 192.0.2.100:80 gives 10.0.2.12:80
  state       TCP NONE → SYN_RECV
  verdict     sent
  leaves      by lan, to 10.0.2.12: tcp 198.51.100.7:40000 > 10.0.2.12:80 [S], 60 bytes, ttl 62
";
    check(json, View::Usual, want);
    let lost = Reply::Trace(api::TraceView { packets: Vec::new(), lost: 3 });
    assert_eq!(text(&lost, View::Usual), "3 more came too fast to be shown\n");
}

#[test]
fn rates() {
    let want = "\
Prot  Service              Connections/s  Packets in/s  Packets out/s  Bytes in/s  Bytes out/s
  ->  Destination
tcp   192.0.2.100:80                  25           150            116       11666       200000
  ->  10.0.2.11:80                     8            50             41        3333        66666
  ->  10.0.2.12:8080                  17           100             75        8333       133333
udp   [2001:db8::100]:53               0             0              0           0            0
  ->  [2001:db8:2::11]:53              0             0              0           0            0
";
    check(SERVICES, View::Rates, want);
}

#[test]
fn total() {
    let json = concat!(
        r#"{"total":{"version":"0.1.0","uptime_ms":93784000,"generation":7,"services":2,"destinations":3,"connections":50,"connections_limit":1000000,"#,
        r#""traffic":{"connections":1500,"packets_in":9000,"packets_out":7000,"bytes_in":700000,"bytes_out":12000000},"#,
        r#""rates":{"connections_per_s":25,"packets_in_per_s":150,"packets_out_per_s":116,"bytes_in_per_s":11666,"bytes_out_per_s":200000},"#,
        r#""packets":{"rx":1000,"from_host":5,"from_ring":22,"generated":3,"cloned":1,"split":0,"#,
        r#""tx":992,"to_host":6,"to_ring":22,"dropped":4,"consumed":7,"merged":0,"held":0},"#,
        r#""host":{"to_host":4,"to_host_dropped":2,"from_host":6,"from_host_dropped":1},"third_hosts":8}}"#
    );
    check(
        json,
        View::Usual,
        "\
Version           0.1.0
Uptime            1d 02:03:04
Generation        7
Services          2
Destinations      3
Connections now   50 of 1000000
Connections made  1500
Packets in        9000
Packets out       7000
Bytes in          700000
Bytes out         12000000
Connections/s     25
Packets/s         150 in, 116 out
Bytes/s           11666 in, 200000 out
Received          1000
Sent              992
From host         5
To host           6
Between workers   22
Dropped           4
Lost to host      2
Lost from host    1
FTP third hosts   8
",
    );
}

#[test]
fn tunables() {
    let json = concat!(
        r#"{"sysctls":[{"name":"conntrack","value":"0","default":"0","range":"0 or 1","help":"Connection tracking of the host follows.","without_effect":"rvs has no connection tracking"},"#,
        r#"{"name":"secure_tcp","value":"1","default":"0","range":"0 to 3","help":"Stricter TCP states: 0 never, 1 or 2 when room is short, 3 always."},"#,
        r#"{"name":"sync_threshold","value":"3 50","default":"3 50","range":"a threshold and a larger period","help":"A connection is synchronised at so many packets, and again after each period of packets."}]}"#
    );
    check(
        json,
        View::Usual,
        "\
Name            Value  Default  Range                            What it does
conntrack           0        0  0 or 1                           Nothing: rvs has no connection tracking.
secure_tcp          1        0  0 to 3                           Stricter TCP states: 0 never, 1 or 2 when room is short, 3 always.
sync_threshold   3 50     3 50  a threshold and a larger period  A connection is synchronised at so many packets, and again after each period of packets.
",
    );
    let Reply::Sysctls(all) = reply(json) else { panic!("sysctls") };
    assert_eq!(
        text(&Reply::Sysctls(all), View::Values),
        "conntrack = 0\nsecure_tcp = 1\nsync_threshold = 3 50\n"
    );
}

#[test]
fn marks_and_sets() {
    check(
        r#"{"marks":[{"fwmark":7,"protocol":"tcp","source_set":"office","destination":"198.51.100.0/24","destination_ports":"80"},{"fwmark":16,"mask":240,"family":"ipv6","interface":"wan"}]}"#,
        View::Usual,
        "   Mark  Family  Prot  Interface  Source        Ports  Destination      Ports
      7  -       tcp   -          ipset office  -      198.51.100.0/24  80
16/0xf0  ipv6    -     wan        -             -      -                -
",
    );
    let json = r#"{"sets":[{"name":"office","members":["198.51.100.0/24","203.0.113.7/32"]}]}"#;
    check(json, View::Usual, "Set     Members\noffice  198.51.100.0/24 203.0.113.7/32\n");
    check(json, View::Member("198.51.100.9".parse().unwrap()), "198.51.100.9 is in set office\n");
    check(json, View::Member("192.0.2.1".parse().unwrap()), "192.0.2.1 is not in set office\n");
}

#[test]
fn timeouts() {
    check(
        r#"{"timeouts":[{"protocol":"tcp","state":"ESTABLISHED","timeout_s":900,"default_s":900},{"protocol":"udp","state":"UDP","timeout_s":60,"default_s":300}]}"#,
        View::Usual,
        "\
Prot  State        Seconds  Default
tcp   ESTABLISHED      900      900
udp   UDP               60      300
",
    );
}

#[test]
fn changes() {
    let json = concat!(
        r#"{"applied":{"generation":8,"changes":[{"kind":"added","item":"service tcp 192.0.2.100:443"},"#,
        r#"{"kind":"changed","item":"destination 10.0.2.11:80 of tcp 192.0.2.100:80","detail":"weight 1 → 0"},{"kind":"removed","item":"address 192.0.2.9/32 on wan"}],"warnings":[]}}"#
    );
    let want = "\
added service tcp 192.0.2.100:443
changed destination 10.0.2.11:80 of tcp 192.0.2.100:80: weight 1 → 0
removed address 192.0.2.9/32 on wan
";
    check(json, View::Usual, want);
    let nothing = r#"{"applied":{"generation":8,"changes":[],"warnings":[]}}"#;
    check(nothing, View::Usual, "nothing to change\n");
    check(nothing, View::Done("counters are zero"), "counters are zero\n");
}

#[test]
fn configuration() {
    check(r#"{"config":{"text":"[daemon]\n"}}"#, View::Usual, "[daemon]\n");
    check(r#"{"checked":[]}"#, View::Usual, "the configuration is good\n");
}
