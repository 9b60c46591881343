use clap::CommandFactory;
use clap_complete::Shell;

use super::*;
use crate::failure::one_line;

/// What a command line asks, as the request that goes over the socket, and how the reply is shown.
fn asked(line: &str) -> (String, View) {
    let cli = parses(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    match cli.noun.action() {
        Ok(Action::Ask { request, view }) => (serde_json::to_string(&request).unwrap(), view),
        other => panic!("{line}: {other:?}"),
    }
}

/// The line on standard error about a command line that is wrong.
fn refused(line: &str) -> String {
    match parses(line) {
        Err(error) => one_line(&error.to_string()),
        Ok(cli) => match cli.noun.action() {
            Err(Failure::Usage(message)) => message,
            other => panic!("{line}: {other:?}"),
        },
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn services_and_destinations() {
    const WEB: &str = r#"{"protocol":"tcp","address":"192.0.2.100","port":80}"#;
    const DNS: &str = r#"{"protocol":"udp","address":"2001:db8::100","port":53}"#;
    let cases = [
        ("service list", r#"{"op":"service_list"}"#.to_owned()),
        ("svc ls", r#"{"op":"service_list"}"#.into()),
        ("service show udp [2001:db8::100]:53", format!(r#"{{"op":"service_show","service":{DNS}}}"#)),
        (
            "service add tcp 192.0.2.100:80",
            r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":80,"scheduler":"wlc"}}"#.into(),
        ),
        (
            "service add udp [2001:db8::100]:53 -s rr --pool lan",
            r#"{"op":"service_add","service":{"protocol":"udp","address":"2001:db8::100","port":53,"scheduler":"rr","local_pool":"lan"}}"#.into(),
        ),
        (
            "service add tcp 192.0.2.100:80 -s mh -b port,fallback",
            r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":80,"scheduler":"mh","scheduler_flags":["fallback","port"]}}"#.into(),
        ),
        (
            "service add tcp 192.0.2.100:80 -s maglev --table-size 1021",
            r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":80,"scheduler":"maglev","maglev_table_size":1021}}"#.into(),
        ),
        (
            "service edit tcp 192.0.2.100:80 -b port",
            format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"scheduler_flags":["port"]}}}}"#),
        ),
        (
            "service edit tcp 192.0.2.100:80 --scheduler lc",
            format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"scheduler":"lc"}}}}"#),
        ),
        (
            "service edit tcp 192.0.2.100:80 --pool b",
            format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"local_pool":"b"}}}}"#),
        ),
        (
            "service edit tcp 192.0.2.100:80 --default-pool --default-table-size",
            format!(
                r#"{{"op":"service_edit","service":{WEB},"edit":{{"maglev_table_size":null,"local_pool":null}}}}"#
            ),
        ),
        (
            "service add tcp 192.0.2.100:0 -s sh -p 600 -M 255.255.255.0",
            r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":0,"scheduler":"sh","persistence_timeout_s":600,"persistence_netmask":"255.255.255.0"}}"#.into(),
        ),
        (
            "service add udp 192.0.2.100:5060 --persistent --pe sip -o",
            r#"{"op":"service_add","service":{"protocol":"udp","address":"192.0.2.100","port":5060,"scheduler":"wlc","persistence_timeout_s":360,"persistence_engine":"sip","ops":true}}"#.into(),
        ),
        (
            "service add fwmark 7 -s rr",
            r#"{"op":"service_add","service":{"fwmark":7,"family":"ipv4","scheduler":"rr"}}"#.into(),
        ),
        (
            "service add fwmark 4294967295 -6 -p 60 -M 64",
            r#"{"op":"service_add","service":{"fwmark":4294967295,"family":"ipv6","scheduler":"wlc","persistence_timeout_s":60,"persistence_netmask":"64"}}"#.into(),
        ),
        (
            "service edit fwmark 7 --ops -p 60",
            r#"{"op":"service_edit","service":{"fwmark":7,"family":"ipv4"},"edit":{"persistence_timeout_s":60,"ops":true}}"#.into(),
        ),
        (
            "service edit fwmark 7 --no-persistent --no-netmask --no-pe --no-ops",
            r#"{"op":"service_edit","service":{"fwmark":7,"family":"ipv4"},"edit":{"persistence_timeout_s":null,"persistence_netmask":null,"persistence_engine":null,"ops":false}}"#.into(),
        ),
        ("service del fwmark 7 -6", r#"{"op":"service_delete","service":{"fwmark":7,"family":"ipv6"}}"#.into()),
        ("service zero fwmark 7", r#"{"op":"service_zero","service":{"fwmark":7,"family":"ipv4"}}"#.into()),
        (
            "dest add fwmark 7 10.0.2.11 -m nat",
            r#"{"op":"dest_add","service":{"fwmark":7,"family":"ipv4"},"dest":{"address":"10.0.2.11","port":0,"method":"nat","weight":1,"upper_threshold":0,"lower_threshold":0}}"#.into(),
        ),
        (
            "dest add tcp 192.0.2.100:80 10.0.2.11 -m tunnel --tun-type gue --tun-port 6080 --tun-remcsum",
            format!(
                r#"{{"op":"dest_add","service":{WEB},"dest":{{"address":"10.0.2.11","port":80,"method":"tunnel","weight":1,"upper_threshold":0,"lower_threshold":0,"tunnel_type":"gue","tunnel_port":6080,"tunnel_checksum":"remcsum"}}}}"#
            ),
        ),
        (
            "dest edit tcp 192.0.2.100:80 10.0.2.11 --tun-type gre --tun-csum --no-tun-port",
            format!(
                r#"{{"op":"dest_edit","service":{WEB},"dest":{{"address":"10.0.2.11","port":80}},"edit":{{"tunnel_type":"gre","tunnel_port":null,"tunnel_checksum":"csum"}}}}"#
            ),
        ),
        ("service del tcp 192.0.2.100:80", format!(r#"{{"op":"service_delete","service":{WEB}}}"#)),
        ("service rm tcp 192.0.2.100:80", format!(r#"{{"op":"service_delete","service":{WEB}}}"#)),
        ("service flush", r#"{"op":"service_flush"}"#.into()),
        ("service zero", r#"{"op":"service_zero","service":null}"#.into()),
        ("service zero tcp 192.0.2.100:80", format!(r#"{{"op":"service_zero","service":{WEB}}}"#)),
        ("dest ls tcp 192.0.2.100:80", format!(r#"{{"op":"dest_list","service":{WEB}}}"#)),
        (
            "dest add tcp 192.0.2.100:80 10.0.2.11:8080 -m nat",
            format!(
                r#"{{"op":"dest_add","service":{WEB},"dest":{{"address":"10.0.2.11","port":8080,"method":"nat","weight":1,"upper_threshold":0,"lower_threshold":0}}}}"#
            ),
        ),
        (
            "dest add udp [2001:db8::100]:53 2001:db8:2::11 -m tunnel -w 3 -x 1000 -y 800",
            format!(
                r#"{{"op":"dest_add","service":{DNS},"dest":{{"address":"2001:db8:2::11","port":53,"method":"tunnel","weight":3,"upper_threshold":1000,"lower_threshold":800}}}}"#
            ),
        ),
        (
            "dest add tcp 192.0.2.100:80 [2001:db8:2::11] -m fullnat --u-threshold 5 --l-threshold 4",
            format!(
                r#"{{"op":"dest_add","service":{WEB},"dest":{{"address":"2001:db8:2::11","port":80,"method":"fullnat","weight":1,"upper_threshold":5,"lower_threshold":4}}}}"#
            ),
        ),
        (
            "dest edit tcp 192.0.2.100:80 10.0.2.11 -w 0",
            format!(
                r#"{{"op":"dest_edit","service":{WEB},"dest":{{"address":"10.0.2.11","port":80}},"edit":{{"weight":0}}}}"#
            ),
        ),
        (
            "dest edit tcp 192.0.2.100:80 10.0.2.11:80 -m dr -x 9 -y 8",
            format!(
                r#"{{"op":"dest_edit","service":{WEB},"dest":{{"address":"10.0.2.11","port":80}},"edit":{{"method":"dr","upper_threshold":9,"lower_threshold":8}}}}"#
            ),
        ),
        (
            "dest del tcp 192.0.2.100:80 10.0.2.11:80",
            format!(
                r#"{{"op":"dest_delete","service":{WEB},"dest":{{"address":"10.0.2.11","port":80}}}}"#
            ),
        ),
    ];
    for (line, want) in cases {
        assert_eq!(asked(line).0, want, "{line}");
    }
    assert_eq!(asked("service show tcp 192.0.2.100:80").1, View::Details);
}

#[test]
fn the_network() {
    let cases = [
        ("laddr list", r#"{"op":"pool_list"}"#),
        (
            "laddr add lan 10.0.2.200-10.0.2.203 2001:db8:2::200 --interface lan --ports 1024-2047",
            r#"{"op":"pool_add","pool":{"name":"lan","addresses":["10.0.2.200-10.0.2.203","2001:db8:2::200"],"interface":"lan","ports":"1024-2047"}}"#,
        ),
        ("laddr add lan 10.0.2.204", r#"{"op":"pool_add","pool":{"name":"lan","addresses":["10.0.2.204"]}}"#),
        ("laddr rm lan 10.0.2.204", r#"{"op":"pool_delete","pool":"lan","addresses":["10.0.2.204"]}"#),
        ("addr list", r#"{"op":"address_list"}"#),
        (
            "addr add wan 192.0.2.100/32",
            r#"{"op":"address_add","address":{"interface":"wan","cidr":"192.0.2.100/32"}}"#,
        ),
        (
            "addr del wan.100 2001:db8::100/128",
            r#"{"op":"address_delete","address":{"interface":"wan.100","cidr":"2001:db8::100/128"}}"#,
        ),
        ("route ls", r#"{"op":"route_list"}"#),
        (
            "route add default --via 192.0.2.254",
            r#"{"op":"route_add","route":{"to":"default","via":"192.0.2.254"}}"#,
        ),
        (
            "route add 2001:db8:9::/48 --interface lan --source 2001:db8:2::1 --mtu 1400",
            r#"{"op":"route_add","route":{"to":"2001:db8:9::/48","interface":"lan","source":"2001:db8:2::1","mtu":1400}}"#,
        ),
        ("route del 198.51.100.0/24", r#"{"op":"route_delete","route":{"to":"198.51.100.0/24"}}"#),
        (
            "route del default --via 192.0.2.254",
            r#"{"op":"route_delete","route":{"to":"default","via":"192.0.2.254"}}"#,
        ),
        ("neigh list", r#"{"op":"neighbour_list"}"#),
        (
            "neigh add lan 10.0.2.11 02:00:00:00:02:0B",
            r#"{"op":"neighbour_add","neighbour":{"interface":"lan","address":"10.0.2.11","mac":"02:00:00:00:02:0b"}}"#,
        ),
        (
            "neigh del lan 10.0.2.11",
            r#"{"op":"neighbour_delete","neighbour":{"interface":"lan","address":"10.0.2.11"}}"#,
        ),
        ("neigh flush", r#"{"op":"neighbour_flush","interface":null}"#),
        ("neigh flush lan", r#"{"op":"neighbour_flush","interface":"lan"}"#),
    ];
    for (line, want) in cases {
        assert_eq!(asked(line).0, want, "{line}");
    }
}

#[test]
fn what_is_observed() {
    let one = r#""service":{"protocol":"tcp","address":"192.0.2.100","port":80}"#;
    let cases = [
        ("conn list", r#"{"op":"conn_list","service":null,"limit":null}"#.to_owned(), View::Usual),
        (
            "conn list --service tcp 192.0.2.100:80 --limit 10",
            format!(r#"{{"op":"conn_list",{one},"limit":10}}"#),
            View::Usual,
        ),
        (
            "conn list -c 198.51.100.0/24 --dest 2001:db8::b --protocol tcp --state established -m nat -w 1",
            r#"{"op":"conn_list","service":null,"limit":null,"filter":{"client":"198.51.100.0/24","destination":"2001:db8::b/128","protocol":"tcp","state":"established","method":"nat","worker":1}}"#.into(),
            View::Usual,
        ),
        (
            "conn list --protocol ip --templates",
            r#"{"op":"conn_list","service":null,"limit":null,"filter":{"protocol":"ip","template":true}}"#.into(),
            View::Usual,
        ),
        ("conn count", r#"{"op":"conn_count","service":null}"#.into(), View::Usual),
        (
            "conn flush --service tcp 192.0.2.100:80",
            format!(r#"{{"op":"conn_flush",{one}}}"#),
            View::Done("connections dropped"),
        ),
        ("stats", r#"{"op":"total_show"}"#.into(), View::Usual),
        ("stats total", r#"{"op":"total_show"}"#.into(), View::Usual),
        ("stats services", r#"{"op":"service_list"}"#.into(), View::Counters),
        ("stats services --rate", r#"{"op":"service_list"}"#.into(), View::Rates),
        ("stats workers", r#"{"op":"worker_list"}"#.into(), View::Counters),
        (
            "trace --host 198.51.100.7 --port 80 --proto tcp -n 5 -s 9",
            r#"{"op":"trace","filter":{"protocol":6,"host":"198.51.100.7/32","port":80},"packets":5,"seconds":9}"#.into(),
            View::Usual,
        ),
        (
            "trace --host 2001:db8::/32 --proto 89",
            r#"{"op":"trace","filter":{"protocol":89,"host":"2001:db8::/32"},"packets":20,"seconds":30}"#.into(),
            View::Usual,
        ),
        ("stats ports", r#"{"op":"port_list"}"#.into(), View::Counters),
        ("stats drops", r#"{"op":"drop_list"}"#.into(), View::NonZero),
        ("stats drops --all", r#"{"op":"drop_list"}"#.into(), View::Usual),
        ("worker list", r#"{"op":"worker_list"}"#.into(), View::Usual),
        ("port ls", r#"{"op":"port_list"}"#.into(), View::Usual),
        ("config show", r#"{"op":"config_show"}"#.into(), View::Usual),
        ("config reload", r#"{"op":"config_reload"}"#.into(), View::Usual),
        (
            "conn count --service fwmark 7 -6",
            r#"{"op":"conn_count","service":{"fwmark":7,"family":"ipv6"}}"#.into(),
            View::Usual,
        ),
        ("mark list", r#"{"op":"mark_list"}"#.into(), View::Usual),
        (
            "mark add 7 --dst 198.51.100.0/24 -p tcp --dports 80 --sports 1024-65535 --src-set office --in wan",
            r#"{"op":"mark_add","mark":{"fwmark":7,"protocol":"tcp","source_set":"office","destination":"198.51.100.0/24","source_ports":"1024-65535","destination_ports":"80","interface":"wan"}}"#.into(),
            View::Usual,
        ),
        ("mark del 8 --family ipv6", r#"{"op":"mark_delete","mark":{"fwmark":8,"family":"ipv6"}}"#.into(), View::Usual),
        ("mark flush", r#"{"op":"mark_flush"}"#.into(), View::Usual),
        ("ipset list", r#"{"op":"set_list","name":null}"#.into(), View::Usual),
        (
            "ipset add office 198.51.100.0/24 203.0.113.7",
            r#"{"op":"set_add","set":{"name":"office","members":["198.51.100.0/24","203.0.113.7/32"]}}"#.into(),
            View::Usual,
        ),
        (
            "ipset del office 203.0.113.7",
            r#"{"op":"set_delete","set":{"name":"office","members":["203.0.113.7/32"]}}"#.into(),
            View::Usual,
        ),
        (
            "ipset test office 198.51.100.9",
            r#"{"op":"set_list","name":"office"}"#.into(),
            View::Member("198.51.100.9".parse().unwrap()),
        ),
        ("ipset flush office", r#"{"op":"set_flush","name":"office"}"#.into(), View::Usual),
        ("timeout list", r#"{"op":"timeout_list"}"#.into(), View::Usual),
        (
            "timeout set tcp=900 tcpfin=120 udp=300 sctp.established=600",
            r#"{"op":"timeout_set","values":[{"protocol":"tcp","state":"ESTABLISHED","timeout_s":900},{"protocol":"tcp","state":"FIN_WAIT","timeout_s":120},{"protocol":"udp","state":"UDP","timeout_s":300},{"protocol":"sctp","state":"ESTABLISHED","timeout_s":600}]}"#.into(),
            View::Usual,
        ),
        ("sysctl list", r#"{"op":"sysctl_list"}"#.into(), View::Usual),
        (
            "sysctl get sloppy_tcp net.ipv4.vs.pmtu_disc",
            r#"{"op":"sysctl_list","names":["sloppy_tcp","pmtu_disc"]}"#.into(),
            View::Values,
        ),
        (
            "sysctl set sloppy_tcp=1 net.ipv4.vs.sync_threshold='3 100'",
            r#"{"op":"sysctl_set","values":[{"name":"sloppy_tcp","value":"1"},{"name":"sync_threshold","value":"3 100"}]}"#.into(),
            View::Usual,
        ),
    ];
    for (line, want, view) in cases {
        assert_eq!(asked(line), (want, view), "{line}");
    }
}

#[test]
fn global_options_stand_where_people_write_them() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap();
    assert_eq!(parse("rvsctl stats").socket, std::path::Path::new(api::DEFAULT_SOCKET));
    let cli = parse("rvsctl -s /x -j service add tcp 192.0.2.1:80 -s rr");
    assert!(cli.json && cli.socket == std::path::Path::new("/x"));
    assert!(parse("rvsctl service list --json").json);
}

#[test]
fn mistakes_are_one_line_that_says_what_was_expected() {
    let cases = [
        (
            "services list",
            "unrecognized subcommand 'services'; tip: some similar subcommands exist: 'svc', 'service'",
        ),
        (
            "service add icmp 192.0.2.1:80",
            "invalid value 'icmp' for '<PROTO>' [possible values: tcp, udp, sctp, fwmark]",
        ),
        ("service add fwmark 0", "invalid value '0' for '<ADDR:PORT>': expected ADDR:PORT"),
        ("service add fwmark 192.0.2.1:80", "expected a mark from 1 to 4294967295 after fwmark"),
        ("service add tcp 7", "tcp 7: expected ADDR:PORT after tcp"),
        ("service add tcp 192.0.2.1:80 -6", "-6 is for fwmark: an address has its family"),
        ("service add tcp 192.0.2.1:80 -p 0", "0 is not in 1..=2678400"),
        ("service add tcp 192.0.2.1:80 -p -M 129", "expected a mask such as"),
        ("service edit tcp 192.0.2.1:80 -p --no-persistent", "cannot be used with"),
        ("dest add tcp 192.0.2.1:80 10.0.0.1 -m tunnel --tun-port 0", "0 is not in 1..=65535"),
        ("dest add tcp 192.0.2.1:80 10.0.0.1 -m tunnel --tun-csum --tun-nocsum", "cannot be used with"),
        ("timeout set tcp", "expected NAME=SECONDS"),
        ("timeout set icmp.x=3", "expected NAME=SECONDS"),
        ("sysctl get sloppy", "invalid value 'sloppy' for '<NAME>...'"),
        ("sysctl set sloppy=1", "there is no tunable `sloppy`"),
        ("sysctl set sloppy_tcp", "expected NAME=VALUE"),
        ("sysctl set sloppy_tcp=on", "sloppy_tcp: expected one number"),
        (
            "service add tcp 192.0.2.1",
            "invalid value '192.0.2.1' for '<ADDR:PORT>': expected ADDR:PORT, such as",
        ),
        (
            "service add tcp 2001:db8::1:80",
            "invalid value '2001:db8::1:80' for '<ADDR:PORT>': expected ADDR:PORT",
        ),
        (
            "service add tcp 192.0.2.1:80 -s hm",
            "[possible values: rr, wrr, lc, wlc, sed, nq, fo, ovf, twos, sh, dh, mh, lblc, lblcr, maglev, conhash]",
        ),
        ("service add tcp 192.0.2.1:80 -s mh -b mh-port", "[possible values: fallback, port]"),
        ("service edit tcp 192.0.2.1:80", "the following required arguments were not provided: <--scheduler"),
        ("service zero tcp", "the following required arguments were not provided: <ADDR:PORT>"),
        (
            "dest add tcp 192.0.2.1:80 10.0.0.1",
            "the following required arguments were not provided: --method <METHOD>",
        ),
        (
            "dest add tcp 192.0.2.1:80 web1 -m nat",
            "invalid value 'web1' for '<DEST>': expected ADDR:PORT or ADDR",
        ),
        ("dest add tcp 192.0.2.1:80 10.0.0.1 -m nat -w 2147483648", "2147483648 is not in 0..=2147483647"),
        (
            "dest edit tcp 192.0.2.1:80 10.0.0.1",
            "the following required arguments were not provided: <--method",
        ),
        ("addr add wan 192.0.2.1/33", "for '<CIDR>': expected an address with its prefix length"),
        (
            "route add 192.0.2.1/24 --via 192.0.2.9",
            "for '<TO>': expected `default` or a prefix without host bits",
        ),
        ("route add default", "the following required arguments were not provided: --via <ADDR>"),
        ("laddr add lan", "the following required arguments were not provided: <ADDR>..."),
        ("laddr add lan 10.0.0.9-10.0.0.1", "expected an address or a range"),
        ("neigh add lan 10.0.2.11 02:00", "for '<MAC>': expected a MAC address such as"),
        ("conn list --service tcp 192.0.2.1", "--service: found `tcp 192.0.2.1`, expected a service such as"),
        ("conn list --client 192.0.2.0/33", "expected an address or a prefix"),
        ("config check /nonexistent.toml", "cannot read /nonexistent.toml: No such file or directory"),
    ];
    for (line, want) in cases {
        let got = refused(line);
        assert!(got.contains(want), "{line}:\n got {got}\nwant {want}");
        assert!(!got.contains('\n') && !got.contains("error:") && !got.contains("Usage"), "{line}: {got}");
    }
}

#[test]
fn a_file_is_sent_with_its_name() {
    let path = std::env::temp_dir().join(format!("rvsctl-{}.toml", std::process::id()));
    std::fs::write(&path, "[daemon]\n").unwrap();
    for (verb, op) in [("check", "config_check"), ("apply", "config_apply")] {
        let (request, _) = asked(&format!("config {verb} {}", path.display()));
        assert_eq!(request, format!(r#"{{"op":"{op}","name":"{}","text":"[daemon]\n"}}"#, path.display()));
    }
    std::fs::remove_file(&path).unwrap();
}

/// Every command below `command`, with the words that lead to it.
fn below(command: &clap::Command, path: &str, each: &mut impl FnMut(&str, &clap::Command)) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        let path = format!("{path} {}", inner.get_name());
        each(&path, inner);
        below(inner, &path, each);
    }
}

#[test]
fn every_level_has_examples_that_parse() {
    let mut command = Cli::command();
    command.build();
    let mut examples = 0;
    below(&command, "rvsctl", &mut |path, inner| {
        assert!(inner.get_about().is_some(), "{path}: no description");
        let help = inner.get_after_help().unwrap_or_else(|| panic!("{path}: no examples")).to_string();
        for line in help.lines().filter_map(|line| line.strip_prefix("  rvsctl ")) {
            parses(line).unwrap_or_else(|e| panic!("{path}: {line}: {e}"));
            examples += 1;
        }
        for argument in inner.get_arguments() {
            assert!(argument.get_help().is_some(), "{path} {}: no description", argument.get_id());
        }
    });
    assert!(examples > 50, "{examples}");
}

/// A shell's words: blanks part them but between single quotes, which do not stay.
fn parses(line: &str) -> Result<Cli, clap::Error> {
    let line = line.split(['#', '|', '>', '&']).next().unwrap_or_default();
    let mut words = vec![String::from("rvsctl")];
    let mut fresh = true;
    for (i, part) in line.split('\'').enumerate() {
        for c in part.chars() {
            let parts = i % 2 == 0 && c.is_whitespace();
            if !parts && fresh {
                words.push(String::new());
            }
            if !parts && let Some(word) = words.last_mut() {
                word.push(c);
            }
            fresh = parts;
        }
    }
    Cli::try_parse_from(words)
}

#[test]
fn the_guide_shows_every_command_and_no_other() {
    let guide = include_str!("../../../../docs/rvsctl.md");
    let lines: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("$ rvsctl ")).collect();
    for line in &lines {
        parses(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    below(&Cli::command(), "", &mut |path, inner| {
        let shown = lines.iter().any(|line| line.contains(path.trim_start()));
        assert!(shown || inner.has_subcommands(), "docs/rvsctl.md does not show {path}");
    });
}

#[test]
fn completions_know_every_command() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "rvsctl", &mut script);
        let script = String::from_utf8(script).unwrap();
        below(&Cli::command(), "", &mut |path, inner| {
            assert!(script.contains(inner.get_name()), "{shell}: {path}");
        });
        assert!(
            script.contains("fullnat") || shell == Shell::Elvish || shell == Shell::PowerShell,
            "{shell}"
        );
    }
}
