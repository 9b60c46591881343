//! Tables of what recorded Linux reads and what it does not, and anything.

use super::*;
use proptest::prelude::*;
use wire::Family::{V4, V6};

fn text(data: &[u8], named: &Named) -> String {
    String::from_utf8_lossy(&data[named.range.clone()]).into_owned()
}

fn ip(addr: &str) -> IpAddr {
    addr.parse().expect("an address")
}

#[test]
fn commands_that_ask_the_server_to_listen() {
    let (numbers, delimited) = (Some(Form::Numbers), Some(Form::Delimited));
    for (family, data, want) in [
        (V4, "PASV\r\n", numbers),
        (V4, "pasv\r\n", numbers),
        (V4, "NOOP\r\nPASV\r\nLIST\r\n", numbers),
        (V4, "PASV\n", None),
        (V4, "PASV", None),
        (V4, "SV\r\n", None),
        (V6, "PASV\r\n", None),
        (V4, "EPSV\r\n", delimited),
        (V6, "EPSV\r\n", delimited),
        (V4, "EPSV 1\r\n", delimited),
        (V4, "EPSV 2\r\n", None),
        (V6, "EPSV 2\r\n", delimited),
        (V6, "EPSV 1\r\n", None),
        (V4, "EPSV ALL\r\n", None),
        (V4, "EPSV ALL\r\nPASV\r\n", None),
        (V4, "EPSV 1", None),
        (V4, "USER EPSVx\r\n", None),
        (V4, "", None),
    ] {
        assert_eq!(passive_command(data.as_bytes(), family), want, "{family:?} {data:?}");
    }
}

#[test]
fn commands_that_name_where_the_client_listens() {
    for (family, data, want) in [
        (V4, "PORT 198,51,100,1,200,14\r\n", Some(("198.51.100.1", 51214, "198,51,100,1,200,14"))),
        (V4, "port 198,51,100,1,0,80\r\n", Some(("198.51.100.1", 80, "198,51,100,1,0,80"))),
        (V4, "PORT198,51,100,1,0,80\r\n", Some(("198.51.100.1", 80, "198,51,100,1,0,80"))),
        (V4, "PORT   198,51,100,1,0,80\r\n", Some(("198.51.100.1", 80, "198,51,100,1,0,80"))),
        (V4, "PORT 198,51,100,1,0,80", None),
        (V4, "PORT 198,51,100,1,0\r\n", None),
        (V4, "PORT 198,51,100,256,0,80\r\n", None),
        (V4, "PORT 198,51,100,99999999999999,0,80\r\n", None),
        (V4, "PORT 198, 51,100,1,0,80\r\n", None),
        (V4, "NOOP\r\nPORT 198,51,100,1,0,80\r\n", None),
        (V6, "PORT 198,51,100,1,200,14\r\n", None),
        (V4, "EPRT |1|198.51.100.1|51300|\r\n", Some(("198.51.100.1", 51300, "|1|198.51.100.1|51300|"))),
        (V4, "eprt |1|198.51.100.1|51300|\r\n", Some(("198.51.100.1", 51300, "|1|198.51.100.1|51300|"))),
        (V4, "EPRT !1!198.51.100.1!51300!\r\n", Some(("198.51.100.1", 51300, "!1!198.51.100.1!51300!"))),
        (V4, "EPRT |2|2001:db8:c::1|51300|\r\n", None),
        (V4, "EPRT ||198.51.100.1|51300|\r\n", None),
        (V4, "EPRT |1||51300|\r\n", None),
        (V4, "EPRT |||51300|\r\n", None),
        (V4, "EPRT |1|198.51.100.1|51300", None),
        (V4, "EPRT |1|198.51.100.1|65536|\r\n", None),
        (V4, "EPRT 11119851\r\n", None),
        (V4, "NOOP\r\nEPRT |1|198.51.100.1|51300|\r\n", None),
        (V6, "EPRT |2|2001:db8:c::1|51300|\r\n", Some(("2001:db8:c::1", 51300, "|2|2001:db8:c::1|51300|"))),
        (V6, "EPRT |1|198.51.100.1|51300|\r\n", None),
    ] {
        let got = active_command(data.as_bytes(), family);
        let got = got.map(|named| (named.addr, named.port, text(data.as_bytes(), &named)));
        let want = want.map(|(addr, port, text)| (Some(ip(addr)), port, text.to_owned()));
        assert_eq!(got, want, "{family:?} {data:?}");
    }
}

#[test]
fn replies_that_name_where_the_server_listens() {
    const NUMBERS: &str = "10,0,2,11,200,13";
    for (name, data, want) in [
        ("as everybody", "227 Entering Passive Mode (10,0,2,11,200,13)\r\n", Some(NUMBERS)),
        ("with a stop", "227 Entering Passive Mode (10,0,2,11,200,13).\r\n", Some(NUMBERS)),
        ("without brackets", "227 entering passive 10,0,2,11,200,13.\r\n", Some(NUMBERS)),
        ("with =", "227 =10,0,2,11,200,13\r\n", Some(NUMBERS)),
        ("more behind", "227 ok (10,0,2,11,200,13)\r\n150 go\r\n", Some(NUMBERS)),
        ("leading zeros", "227 ok (010,000,002,011,200,013)\r\n", Some("010,000,002,011,200,013")),
        ("seven numbers", "227 ok (10,0,2,11,200,13,15)\r\n", Some(NUMBERS)),
        ("five numbers", "227 ok (10,0,2,11,200)\r\n", None),
        ("above 255", "227 ok (10,0,2,11,300,13)\r\n", None),
        ("spaces", "227 ok (10, 0, 2, 11, 200, 13)\r\n", None),
        ("another number before", "227 ok 2 (10,0,2,11,200,13)\r\n", None),
        ("not first", "200 ok\r\n227 ok (10,0,2,11,200,13)\r\n", None),
        ("cut in it", "227 ok (10,0,2,11,2", None),
        ("cut behind it", "227 ok (10,0,2,11,200,13", None),
        ("another reply", "229 ok (10,0,2,11,200,13)\r\n", None),
    ] {
        let got = passive_reply(data.as_bytes(), Form::Numbers, V4);
        assert_eq!(got.as_ref().map(|named| text(data.as_bytes(), named)).as_deref(), want, "{name}");
        if let Some(named) = got {
            assert_eq!((named.addr, named.port), (Some(ip("10.0.2.11")), 51213), "{name}");
        }
        assert_eq!(passive_reply(data.as_bytes(), Form::Numbers, V6), None, "{name}");
    }
    for (family, data, want) in [
        (V4, "229 Entering Extended Passive Mode (|||51213|)\r\n", Some((None, 51213, "|||51213|"))),
        (V6, "229 Entering Extended Passive Mode (|||51213|)\r\n", Some((None, 51213, "|||51213|"))),
        (V4, "229 (|1|10.0.2.11|51213|)\r\n", Some((Some("10.0.2.11"), 51213, "|1|10.0.2.11|51213|"))),
        (V6, "229 (|2|2001:db8:2::b|21|)\r\n", Some((Some("2001:db8:2::b"), 21, "|2|2001:db8:2::b|21|"))),
        (V4, "229 ok (!!!51213!)\r\n", Some((None, 51213, "!!!51213!"))),
        (V4, "229 ok (||10.0.2.11|51213|)\r\n", None),
        (V4, "229 ok (|1||51213|)\r\n", None),
        (V4, "229 ok (||||)\r\n", None),
        (V4, "229 ok (|||51213", None),
        (V4, "229 ok |||51213|\r\n", None),
        (V4, "227 ok (|||51213|)\r\n", None),
    ] {
        let got = passive_reply(data.as_bytes(), Form::Delimited, family);
        let got = got.map(|named| (named.addr, named.port, text(data.as_bytes(), &named)));
        let want = want.map(|(addr, port, text)| (addr.map(ip), port, text.to_owned()));
        assert_eq!(got, want, "{family:?} {data:?}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    for (form, addr, port, want) in [
        (Form::Numbers, Some("192.0.2.100"), 51213, Some("192,0,2,100,200,13")),
        (Form::Numbers, Some("2001:db8::1"), 1, None),
        (Form::Numbers, None, 1, None),
        (Form::Delimited, None, 51213, Some("|||51213|")),
        (Form::Delimited, Some("192.0.2.100"), 1, Some("|1|192.0.2.100|1|")),
        (
            Form::Delimited,
            Some("2001:db8:1111:2222:3333:4444:5555:6666"),
            65535,
            Some("|2|2001:db8:1111:2222:3333:4444:5555:6666|65535|"),
        ),
    ] {
        let got = written(form, addr.map(ip), port);
        assert_eq!(got.map(|text| text.as_bytes().to_vec()), want.map(|text| text.as_bytes().to_vec()));
    }
}

/// Bytes as they come on a control channel, and worse.
fn control_bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("PASV\r\n".as_bytes().to_vec()),
        Just(b"EPSV ".to_vec()),
        Just(b"PORT ".to_vec()),
        Just(b"EPRT |".to_vec()),
        Just(b"227 (".to_vec()),
        Just(b"229 (|".to_vec()),
        Just(b"198,51,100,1,".to_vec()),
        Just(b"|1|".to_vec()),
        "[0-9,|.: ()]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(word, 0..6).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_not(data in control_bytes(), v6: bool) {
        let family = if v6 { V6 } else { V4 };
        passive_command(&data, family);
        let replies = [Form::Numbers, Form::Delimited].map(|form| passive_reply(&data, form, family));
        for named in replies.into_iter().flatten().chain(active_command(&data, family)) {
            prop_assert!(named.range.start < named.range.end && named.range.end <= data.len());
            prop_assert!(named.addr.is_none_or(|addr| addr.is_ipv6() == v6));
        }
    }

    #[test]
    fn endpoints_are_read_as_they_were_written(addr: [u8; 16], v6: bool, port: u16) {
        let [a, b, c, d, ..] = addr;
        let (family, addr) = if v6 { (V6, IpAddr::from(addr)) } else { (V4, IpAddr::from([a, b, c, d])) };
        let command = |text: &Text| [b"EPRT ", text.as_bytes(), b"\r\n"].concat();
        let text = written(Form::Delimited, Some(addr), port).expect("any address");
        let named = active_command(&command(&text), family).expect("as written");
        prop_assert_eq!((named.addr, named.port), (Some(addr), port));
        if !v6 {
            let text = written(Form::Numbers, Some(addr), port).expect("an IPv4 address");
            let named = active_command(&[b"PORT ", text.as_bytes(), b"\r\n"].concat(), family).expect("as written");
            prop_assert_eq!((named.addr, named.port), (Some(addr), port));
            let reply = [b"227 Entering Passive Mode (", text.as_bytes(), b").\r\n"].concat();
            let named = passive_reply(&reply, Form::Numbers, family).expect("as written");
            prop_assert_eq!((named.addr, named.port), (Some(addr), port));
        }
    }
}
