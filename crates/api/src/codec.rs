//! Lines: how requests and replies are written to and read from a stream.
//!
//! A line is one JSON object and a newline, at most [`MAX_LINE_BYTES`]. A reader never buffers more than
//! that, so a stranger cannot make it grow.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorCode, Reply, Request, VERSION};

/// The longest line, newline included. A configuration of 100,000 destinations is about a third of it.
pub const MAX_LINE_BYTES: usize = 32 << 20;

/// How many elements of a list a server puts into one part; a service counts with its destinations.
pub const PART_ELEMENTS: usize = 256;

/// A client's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestLine {
    pub version: u32,
    pub request: Request,
}

/// A server's line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplyLine {
    pub version: u32,
    #[serde(flatten)]
    pub body: ReplyBody,
}

/// Any number of parts, then one of the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyBody {
    Part(Reply),
    Done(Reply),
    Error(Error),
}

/// Only what every version of a line has: enough to refuse another version in words.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct VersionOnly {
    pub version: u32,
}

/// A line that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("connection ended in the middle of a line")]
    Truncated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a line into `line` (cleared first), without its newline. `Ok(None)`: the peer has closed.
///
/// After [`ReadError::TooLong`] the rest of the line is still unread: close the connection.
pub fn read_line<'l>(from: &mut impl BufRead, line: &'l mut Vec<u8>) -> Result<Option<&'l [u8]>, ReadError> {
    line.clear();
    from.by_ref().take(MAX_LINE_BYTES as u64).read_until(b'\n', line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => {
            line.pop();
            Ok(Some(line))
        }
        Some(_) if line.len() >= MAX_LINE_BYTES => Err(ReadError::TooLong),
        Some(_) => Err(ReadError::Truncated),
    }
}

/// The request in a client's line, or what to answer to one that cannot be understood.
pub fn read_request(line: &[u8]) -> Result<Request, Error> {
    let bad = |e: serde_json::Error| Error::new(ErrorCode::BadRequest, format!("not a request: {e}"));
    let VersionOnly { version } = serde_json::from_slice(line).map_err(bad)?;
    if version != VERSION {
        let message = format!("rvsd speaks version {VERSION} of the protocol, this client version {version}");
        return Err(Error::new(ErrorCode::Version, message));
    }
    serde_json::from_slice::<RequestLine>(line).map(|line| line.request).map_err(bad)
}

/// Writes a value as one line and flushes.
pub fn write_line(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    if line.len() > MAX_LINE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, ReadError::TooLong));
    }
    to.write_all(&line)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_one_of_four_ways() {
        let mut line = Vec::new();
        let mut input: &[u8] = b"{}\n{\"a\":1}\nrest";
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(&b"{}"[..]));
        assert_eq!(read_line(&mut input, &mut line).unwrap(), Some(&b"{\"a\":1}"[..]));
        assert!(matches!(read_line(&mut input, &mut line), Err(ReadError::Truncated)));
        assert_eq!(read_line(&mut input, &mut line).unwrap(), None);
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert!(matches!(read_line(&mut endless, &mut line), Err(ReadError::TooLong)));
    }

    #[test]
    fn names_are_stable() {
        let cases: &[(&str, Request)] = &[
            (r#"{"op":"service_list"}"#, Request::ServiceList),
            (
                r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":80,"scheduler":"wrr"}}"#,
                Request::ServiceAdd {
                    service: crate::ServiceSpec::new(
                        "tcp 192.0.2.100:80".parse().unwrap(),
                        crate::Scheduler::Wrr,
                    ),
                },
            ),
            (
                r#"{"op":"dest_edit","service":{"protocol":"udp","address":"2001:db8::1","port":53},"dest":{"address":"10.0.0.1","port":53},"edit":{"weight":2}}"#,
                Request::DestEdit {
                    service: "udp [2001:db8::1]:53".parse().unwrap(),
                    dest: "10.0.0.1:53".parse().unwrap(),
                    edit: crate::DestEdit { weight: Some(2), ..Default::default() },
                },
            ),
            (
                r#"{"op":"conn_list","service":null,"limit":10}"#,
                Request::ConnList { service: None, limit: Some(10), filter: Default::default() },
            ),
        ];
        for (json, request) in cases {
            assert_eq!(serde_json::to_string(request).unwrap(), *json);
            assert_eq!(serde_json::from_str::<Request>(json).unwrap(), *request);
            assert!(json.contains(request.op()));
        }
        let view = r#"{"address":"10.0.0.1","port":80,"method":"nat","weight":1,"upper_threshold":0,"lower_threshold":0,"id":4,"traffic":{"connections":0,"packets_in":0,"packets_out":0,"bytes_in":0,"bytes_out":0},"rates":{"connections_per_s":0,"packets_in_per_s":0,"packets_out_per_s":0,"bytes_in_per_s":0,"bytes_out_per_s":0},"active_connections":2,"inactive_connections":0,"persistent_connections":0}"#;
        let newer = view.replace("{\"address", "{\"later\":1,\"address");
        let read: crate::DestView = serde_json::from_str(&newer).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), view);
        let done = ReplyLine {
            version: VERSION,
            body: ReplyBody::Done(Reply::ConnCount(crate::ConnCount { connections: 3 })),
        };
        let json = r#"{"version":1,"done":{"conn_count":{"connections":3}}}"#;
        assert_eq!(serde_json::to_string(&done).unwrap(), json);
        assert_eq!(serde_json::from_str::<ReplyLine>(json).unwrap(), done);
    }

    #[test]
    fn requests_that_make_no_sense_are_answered() {
        let code = |line: &str| read_request(line.as_bytes()).map_err(|e| e.code);
        assert_eq!(code(r#"{"version":1,"request":{"op":"drop_list"}}"#), Ok(Request::DropList));
        assert_eq!(code(r#"{"version":9,"question":0}"#), Err(ErrorCode::Version));
        for line in
            ["", "GET / HTTP/1.1", "[]", r#"{"request":{"op":"drop_list"}}"#, r#"{"version":1,"request":{}}"#]
        {
            assert_eq!(code(line), Err(ErrorCode::BadRequest), "{line}");
        }
    }

    #[test]
    fn unknown_fields_of_requests_are_refused() {
        for json in [
            r#"{"op":"service_flash"}"#,
            r#"{"op":"dest_list","service":{"protocol":"tcp","address":"192.0.2.1","port":80},"x":1}"#,
            r#"{"op":"conn_list","service":null,"limit":null,"wieght":1}"#,
            r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.1","port":80,"scheduler":"rr","x":1}}"#,
            r#"{"op":"service_edit","service":{"protocol":"tcp","address":"192.0.2.1","port":80},"edit":{"sheduler":"rr"}}"#,
        ] {
            assert!(serde_json::from_str::<Request>(json).is_err(), "{json}");
        }
    }
}
