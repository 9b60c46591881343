use std::fmt;
use std::str::FromStr;

use super::*;

fn round<T: FromStr<Err = ParseError> + fmt::Display>(text: &str) -> String {
    match text.parse::<T>() {
        Ok(value) => value.to_string(),
        Err(e) => format!("! {}", e.found),
    }
}

#[test]
fn every_word_is_written_as_it_is_read() {
    for word in ["tcp 192.0.2.100:80", "udp [2001:db8::1]:53", "fwmark 7", "fwmark 4294967295 -6"] {
        assert_eq!(round::<ServiceKey>(word), word);
    }
    for word in ["192.0.2.1/24", "0.0.0.0/0", "::/0", "2001:db8::1/128"] {
        assert_eq!(round::<Cidr>(word), word);
    }
    for word in ["10.0.0.1", "10.0.0.1-10.0.0.9", "2001:db8::1-2001:db8::ff"] {
        assert_eq!(round::<AddrRange>(word), word);
    }
    for word in ["default", "10.0.0.0/8", "2001:db8::/32"] {
        assert_eq!(round::<RouteTarget>(word), word);
    }
    assert_eq!(round::<Mac>("02:00:00:00:02:0B"), "02:00:00:00:02:0b");
    assert_eq!(round::<PortRange>("1024-65535"), "1024-65535");
    for word in Method::WORDS {
        assert_eq!(round::<Method>(word), *word);
    }
    for word in Scheduler::WORDS {
        assert_eq!(round::<Scheduler>(word), *word);
    }
    for word in SchedulerFlag::WORDS {
        assert_eq!(round::<SchedulerFlag>(word), *word);
    }
}

#[test]
fn nonsense_is_refused() {
    for text in ["", "192.0.2.1", "192.0.2.1/33", "::1/129", "192.0.2.1/+4", "192.0.2.1/"] {
        assert!(text.parse::<Cidr>().is_err(), "{text}");
    }
    for text in ["10.0.0.9-10.0.0.1", "10.0.0.1-::1", "-", "10.0.0.1-"] {
        assert!(text.parse::<AddrRange>().is_err(), "{text}");
    }
    for text in ["", "02:00", "02:00:00:00:00:00:00", "0200:00:00:00:00", "+2:00:00:00:00:00"] {
        assert!(text.parse::<Mac>().is_err(), "{text}");
    }
    for text in ["80", "0-1", "9-8", "1-65536"] {
        assert!(text.parse::<PortRange>().is_err(), "{text}");
    }
    for text in ["192.0.2.1/24", "defaults"] {
        assert!(text.parse::<RouteTarget>().is_err(), "{text}");
    }
    for text in [
        "tcp",
        "tcp 192.0.2.1",
        "icmp 192.0.2.1:80",
        "tcp 2001:db8::1:80:x",
        "fwmark",
        "fwmark 0",
        "fwmark 4294967296",
        "fwmark 7 -4",
    ] {
        assert!(text.parse::<ServiceKey>().is_err(), "{text}");
    }
}

#[test]
fn prefixes_and_ranges_know_their_members() {
    let prefix: Cidr = "10.1.0.0/16".parse().unwrap();
    assert!(prefix.contains("10.1.255.255".parse().unwrap()));
    assert!(!prefix.contains("10.2.0.0".parse().unwrap()));
    assert!(!prefix.contains("::".parse().unwrap()));
    assert!("::/0".parse::<Cidr>().unwrap().contains("2001:db8::1".parse().unwrap()));
    let range: AddrRange = "10.0.0.254-10.0.1.1".parse().unwrap();
    assert_eq!(range.count(), 4);
    assert_eq!(AddrRange::compress(range.iter()), [range]);
    let cut = |a: &str, b: &str| {
        let (a, b): (AddrRange, AddrRange) = (a.parse().unwrap(), b.parse().unwrap());
        a.minus(b).into_iter().flatten().map(|r| r.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(cut("10.0.0.1-10.0.0.9", "10.0.0.4"), "10.0.0.1-10.0.0.3 10.0.0.5-10.0.0.9");
    assert_eq!(cut("10.0.0.1-10.0.0.9", "10.0.0.0-10.0.0.8"), "10.0.0.9");
    assert_eq!(cut("10.0.0.1", "10.0.0.1"), "");
    assert_eq!(cut("10.0.0.1", "10.0.0.2"), "10.0.0.1");
    assert_eq!(cut("0.0.0.0-255.255.255.255", "0.0.0.0-255.255.255.255"), "");
    assert_eq!(cut("::1-::9", "10.0.0.1"), "::1-::9");
    let whole: AddrRange = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap();
    assert_eq!(whole.count(), u128::MAX);
}

#[test]
fn netmasks_are_written_in_one_way_for_a_family() {
    let cases = [
        ("255.255.255.0", Some("255.255.255.0"), None),
        ("255.0.255.0", Some("255.0.255.0"), None),
        ("24", Some("255.255.255.0"), Some("24")),
        ("/24", Some("255.255.255.0"), Some("24")),
        ("0", Some("0.0.0.0"), None),
        ("64", None, Some("64")),
        ("128", None, Some("128")),
    ];
    for (text, v4, v6) in cases {
        let mask: Netmask = text.parse().unwrap();
        let written = |family| mask.of_family(family).map(|mask| mask.to_string());
        assert_eq!(written(Family::Ipv4).as_deref(), v4, "{text}");
        assert_eq!(written(Family::Ipv6).as_deref(), v6, "{text}");
    }
    for text in ["", "129", "+4", "255.255.255", "::"] {
        assert!(text.parse::<Netmask>().is_err(), "{text}");
    }
    assert!(Netmask::Prefix(128).is_whole(Family::Ipv6) && !Netmask::Prefix(64).is_whole(Family::Ipv6));
}
