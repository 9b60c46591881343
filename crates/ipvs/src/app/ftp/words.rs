//! What FTP says on its control channel about data connections (RFC 959, RFC 2428): read from single segments, as Linux reads
//! it [ip_vs_ftp_get_addrport], and written anew.
//!
//! Whatever the bytes, nothing here panics or allocates. What is cut off, or is not as it should be, is not read.

use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use wire::Family;

use crate::app::sequence::Text;

/// What a client asked for with `PASV` or `EPSV`: the form that the server's answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Six numbers: `PORT`, and `227` after `PASV`. IPv4 only.
    Numbers,
    /// Protocol, address and port between delimiters: `EPRT`, and `229` after `EPSV`.
    Delimited,
}

/// An endpoint that one end names to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// How it is written.
    pub(crate) form: Form,
    /// The address; `229` as a rule gives none and means its own.
    pub(crate) addr: Option<IpAddr>,
    /// The port.
    pub(crate) port: u16,
    /// Where it is written, in bytes from the start of the segment's data.
    pub(crate) range: Range<usize>,
}

/// The command with which a client asks the server to listen, anywhere in a segment.
pub(crate) fn passive_command(data: &[u8], family: Family) -> Option<Form> {
    (0..data.len()).find_map(|at| passive_at(data.get(at..)?, family))?
}

/// The command that begins here: `Some(None)` for one that ends the search and asks for nothing.
fn passive_at(data: &[u8], family: Family) -> Option<Option<Form>> {
    let (word, rest) = (data.get(..4)?, data.get(4..)?);
    // As in Linux, which wants six bytes of any of them.
    rest.get(1)?;
    if family == Family::V4 && word.eq_ignore_ascii_case(b"PASV") && rest.starts_with(b"\r\n") {
        return Some(Some(Form::Numbers));
    }
    if !word.eq_ignore_ascii_case(b"EPSV") {
        return None;
    }
    let own = if family == Family::V4 { b'1' } else { b'2' };
    match rest {
        [b'\r', ..] => Some(Some(Form::Delimited)),
        [b' ', protocol, b'\r', ..] if *protocol == own => Some(Some(Form::Delimited)),
        // `EPSV ALL` only promises that there will be no PORT.
        [b' ', ..] => Some(None),
        _ => None,
    }
}

/// Where a client wants to be connected to: `PORT` or `EPRT` at the start of a segment.
pub(crate) fn active_command(data: &[u8], family: Family) -> Option<Named> {
    if family == Family::V4
        && let Some(rest) = behind(data, b"PORT")
    {
        return numbers(data, skip_to_number(data, rest, b' ')?);
    }
    let start = skip(data, behind(data, b"EPRT")?, b' ')?;
    delimited(data, start, family).filter(|named| named.addr.is_some())
}

/// Where a server listens: `227` or `229` at the start of a segment.
pub(crate) fn passive_reply(data: &[u8], form: Form, family: Family) -> Option<Named> {
    match form {
        Form::Numbers => {
            let start = skip_to_number(data, behind(data, b"227 ")?, b'(')?;
            numbers(data, start).filter(|_| family == Family::V4)
        }
        Form::Delimited => delimited(data, skip(data, behind(data, b"229 ")?, b'(')?, family),
    }
}

/// An endpoint as `form` writes it; `None` if there is no such text.
pub(crate) fn written(form: Form, addr: Option<IpAddr>, port: u16) -> Option<Text> {
    let mut text = Text::EMPTY;
    let done = match (form, addr) {
        (Form::Numbers, Some(IpAddr::V4(addr))) => {
            let [a, b, c, d] = addr.octets();
            write!(text, "{a},{b},{c},{d},{},{}", port >> 8, port & 0xff)
        }
        (Form::Numbers, _) => return None,
        (Form::Delimited, None) => write!(text, "|||{port}|"),
        (Form::Delimited, Some(IpAddr::V4(addr))) => write!(text, "|1|{addr}|{port}|"),
        (Form::Delimited, Some(IpAddr::V6(addr))) => write!(text, "|2|{addr}|{port}|"),
    };
    done.ok().map(|()| text)
}

/// Where the data goes on behind a word that it begins with.
fn behind(data: &[u8], word: &[u8]) -> Option<usize> {
    data.get(..word.len())?.eq_ignore_ascii_case(word).then_some(word.len())
}

/// Behind the first run of a byte.
fn skip(data: &[u8], from: usize, byte: u8) -> Option<usize> {
    let first = from + data.get(from..)?.iter().position(|b| *b == byte)?;
    Some(first + data.get(first..)?.iter().position(|b| *b != byte)?)
}

/// The same, or the first digit if that comes before: the bracket around six numbers is optional.
fn skip_to_number(data: &[u8], from: usize, byte: u8) -> Option<usize> {
    let first = from + data.get(from..)?.iter().position(|b| *b == byte || b.is_ascii_digit())?;
    if data.get(first)?.is_ascii_digit() { Some(first) } else { skip(data, first, byte) }
}

/// `h1,h2,h3,h4,p1,p2` from `start` on, with something behind it: at the very end the last number could go on.
fn numbers(data: &[u8], start: usize) -> Option<Named> {
    let mut at = start;
    let mut values = [0_u8; 6];
    for (place, value) in values.iter_mut().enumerate() {
        if place > 0 {
            (*data.get(at)? == b',').then_some(())?;
            at += 1;
        }
        let (read, next) = number(data, at)?;
        *value = u8::try_from(read).ok()?;
        at = next;
    }
    let [a, b, c, d, high, low] = values;
    Some(Named {
        form: Form::Numbers,
        addr: Some(Ipv4Addr::new(a, b, c, d).into()),
        port: u16::from_be_bytes([high, low]),
        range: start..at,
    })
}

/// `<d><protocol><d><address><d><port><d>` from `start` on, protocol and address both or neither.
fn delimited(data: &[u8], start: usize, family: Family) -> Option<Named> {
    let delimiter = *data.get(start)?;
    if delimiter.is_ascii_digit() {
        return None;
    }
    let field = |from: usize| -> Option<Range<usize>> {
        Some(from..from + data.get(from..)?.iter().position(|b| *b == delimiter)?)
    };
    let protocol = field(start + 1)?;
    let addr = field(protocol.end + 1)?;
    let port = field(addr.end + 1)?;
    let known: &[u8] = if family == Family::V4 { b"1" } else { b"2" };
    let addr = match (data.get(protocol)?, data.get(addr)?) {
        (b"", b"") => None,
        (protocol, addr) if protocol == known => Some(address(addr, family)?),
        _ => return None,
    };
    let (value, end) = number(data, port.start)?;
    let port_value = u16::try_from(value).ok().filter(|_| end == port.end)?;
    Some(Named { form: Form::Delimited, addr, port: port_value, range: start..port.end + 1 })
}

/// An address in text, of one family.
fn address(text: &[u8], family: Family) -> Option<IpAddr> {
    let text = core::str::from_utf8(text).ok()?;
    match family {
        Family::V4 => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Family::V6 => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    }
}

/// A number of at least one digit with something behind it, and where it ends. Too large a one is not read.
fn number(data: &[u8], start: usize) -> Option<(u32, usize)> {
    let len = data.get(start..)?.iter().position(|b| !b.is_ascii_digit()).filter(|len| *len > 0)?;
    let mut value = 0_u32;
    for digit in data.get(start..start + len)? {
        value = value.checked_mul(10)?.checked_add(u32::from(digit - b'0'))?;
    }
    Some((value, start + len))
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
