//! Version 1: a line of text, for TCP.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::proxy::{Ends, Family, Header, ProxyError, Transport, starts};

/// The longest header, in bytes, with its line end.
pub const MAX_LEN: usize = 107;

const SIGNATURE: &[u8] = b"PROXY ";
const TCP4: &[u8] = b"TCP4";
const TCP6: &[u8] = b"TCP6";
const UNKNOWN: &[u8] = b"UNKNOWN";
const LINE_END: &[u8] = b"\r\n";

/// Writes a header to the start of `out` and returns its length. `None`: no room; [`MAX_LEN`] is always enough.
pub fn write(out: &mut [u8], ends: &Ends) -> Option<usize> {
    let mut line = Line { out, len: 0 };
    line.put(SIGNATURE)?;
    let ports = match ends.family() {
        Family::V4(client, service) => {
            line.put(TCP4)?;
            line.v4(*client.ip())?;
            line.v4(*service.ip())?;
            [client.port(), service.port()]
        }
        Family::V6(client, service) => {
            line.put(TCP6)?;
            line.v6(*client.ip())?;
            line.v6(*service.ip())?;
            [client.port(), service.port()]
        }
    };
    for port in ports {
        line.put(b" ")?;
        line.number(port, 10)?;
    }
    line.put(LINE_END)?;
    Some(line.len)
}

/// Writes the header of a connection whose ends are not told. `None`: no room.
pub fn write_unknown(out: &mut [u8]) -> Option<usize> {
    let mut line = Line { out, len: 0 };
    for part in [SIGNATURE, UNKNOWN, LINE_END] {
        line.put(part)?;
    }
    Some(line.len)
}

/// Text under construction. By hand, since the packet path does not use the formatting machinery.
struct Line<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Line<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// A number without leading zeros; `base` is 10 or 16.
    fn number(&mut self, value: u16, base: u16) -> Option<()> {
        if value >= base {
            self.number(value / base, base)?;
        }
        let digit = (value % base) as u8;
        self.put(&[if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }])
    }

    fn v4(&mut self, address: Ipv4Addr) -> Option<()> {
        for (number, octet) in address.octets().into_iter().enumerate() {
            self.put(if number == 0 { b" " } else { b"." })?;
            self.number(u16::from(octet), 10)?;
        }
        Some(())
    }

    /// All eight groups: the specification does not ask for the shortest form.
    fn v6(&mut self, address: Ipv6Addr) -> Option<()> {
        for (number, group) in address.segments().into_iter().enumerate() {
            self.put(if number == 0 { b" " } else { b":" })?;
            self.number(group, 16)?;
        }
        Some(())
    }
}

/// Reads the header at the start of `data`.
pub fn parse(data: &[u8]) -> Result<Header<'_>, ProxyError> {
    starts(data, SIGNATURE)?;
    let head = data.get(..MAX_LEN).unwrap_or(data);
    let Some(end) = head.windows(LINE_END.len()).position(|bytes| bytes == LINE_END) else {
        return Err(if data.len() < MAX_LEN { ProxyError::Incomplete } else { ProxyError::Malformed });
    };
    let line = head.get(SIGNATURE.len()..end).ok_or(ProxyError::Malformed)?;
    let ends = read(line).ok_or(ProxyError::Malformed)?;
    Ok(Header { ends: ends.map(|ends| (Transport::Stream, ends)), len: end + LINE_END.len(), fields: &[] })
}

/// What a line says behind the signature. Outer `None`: nothing that makes sense.
fn read(line: &[u8]) -> Option<Option<Ends>> {
    let mut words = line.split(|byte| *byte == b' ');
    let family = words.next()?;
    if family == UNKNOWN {
        return Some(None);
    }
    let mut address = || {
        let text = core::str::from_utf8(words.next()?).ok()?;
        match family {
            TCP4 => text.parse().map(IpAddr::V4).ok(),
            TCP6 => text.parse().map(IpAddr::V6).ok(),
            _ => None,
        }
    };
    let (client, service) = (address()?, address()?);
    let client = SocketAddr::new(client, port(words.next()?)?);
    let service = SocketAddr::new(service, port(words.next()?)?);
    words.next().is_none().then_some(Some(Ends { client, service }))
}

/// Digits only, no leading zero.
fn port(text: &[u8]) -> Option<u16> {
    let canonical = text == b"0" || !text.starts_with(b"0");
    if !canonical || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(client: &str, service: &str) -> Ends {
        Ends { client: client.parse().unwrap(), service: service.parse().unwrap() }
    }

    #[test]
    fn lines() {
        for (client, service, want) in [
            (
                "198.51.100.1:40000",
                "192.0.2.100:80",
                &b"PROXY TCP4 198.51.100.1 192.0.2.100 40000 80\r\n"[..],
            ),
            (
                "[2001:db8:c::1]:1",
                "[2001:db8:1::100]:443",
                b"PROXY TCP6 2001:db8:c:0:0:0:0:1 2001:db8:1:0:0:0:0:100 1 443\r\n",
            ),
            (
                "198.51.100.1:40000",
                "[2001:db8:1::100]:80",
                b"PROXY TCP6 0:0:0:0:0:ffff:c633:6401 2001:db8:1:0:0:0:0:100 40000 80\r\n",
            ),
            ("0.0.0.0:0", "255.255.255.255:65535", b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"),
        ] {
            let mut out = [0; MAX_LEN];
            let len = write(&mut out, &ends(client, service)).unwrap();
            assert_eq!(&out[..len], want);
            assert_eq!(write(&mut out[..len - 1], &ends(client, service)), None);
        }
        let mut out = [0; MAX_LEN];
        let len = write_unknown(&mut out).unwrap();
        assert_eq!(&out[..len], b"PROXY UNKNOWN\r\n");
        assert_eq!(write_unknown(&mut out[..len - 1]), None);
    }

    #[test]
    fn the_longest_line_fits() {
        let end = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert_eq!(write(&mut [0; MAX_LEN], &ends(end, end)), Some(104));
    }

    #[test]
    fn reads_what_others_write() {
        let told = |client, service, len| {
            Ok(Header { ends: Some((Transport::Stream, ends(client, service))), len, fields: &[] })
        };
        let untold = |len| Ok(Header { ends: None, len, fields: &[] });
        for (data, want) in [
            ("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET", told("10.0.0.1:1", "10.0.0.2:2", 34)),
            ("PROXY TCP6 ::1 2001:DB8::2 1 2\r\n", told("[::1]:1", "[2001:db8::2]:2", 32)),
            ("PROXY UNKNOWN\r\n", untold(15)),
            ("PROXY UNKNOWN ffff::1 whatever\r\n", untold(32)),
            ("", Err(ProxyError::Incomplete)),
            ("PRO", Err(ProxyError::Incomplete)),
            ("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r", Err(ProxyError::Incomplete)),
            ("GET / HTTP/1.1\r\n", Err(ProxyError::Absent)),
            ("PROXY\r\n", Err(ProxyError::Absent)),
            ("PROXY TCP5 10.0.0.1 10.0.0.2 1 2\r\n", Err(ProxyError::Malformed)),
            ("PROXY TCP4 10.0.0.1 ::2 1 2\r\n", Err(ProxyError::Malformed)),
            ("PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n", Err(ProxyError::Malformed)),
            ("PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n", Err(ProxyError::Malformed)),
            ("PROXY TCP4 10.0.0.1 10.0.0.2 01 2\r\n", Err(ProxyError::Malformed)),
            ("PROXY TCP4 10.0.0.1 10.0.0.2 +1 2\r\n", Err(ProxyError::Malformed)),
            ("PROXY TCP4 10.0.0.1 10.0.0.2 1 65536\r\n", Err(ProxyError::Malformed)),
            ("PROXY TCP4  10.0.0.1 10.0.0.2 1 2\r\n", Err(ProxyError::Malformed)),
        ] {
            assert_eq!(parse(data.as_bytes()), want, "{data:?}");
        }
        let endless = [b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat();
        assert_eq!(parse(&endless), Err(ProxyError::Malformed));
    }
}
