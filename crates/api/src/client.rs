//! A blocking client of rvsd's unix socket.

use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::codec::{self, ReadError, ReplyBody, ReplyLine, RequestLine, VersionOnly};
use crate::{Error, Reply, Request, VERSION};

/// How long a client waits for the next line; a change of 100,000 destinations needs a few seconds at most.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {path}: {source}{hint}")]
    Connect { path: PathBuf, source: io::Error, hint: &'static str },
    #[error("lost the connection to rvsd: {0}")]
    Io(#[from] io::Error),
    #[error("rvsd closed the connection without an answer")]
    Closed,
    #[error("rvsd speaks version {theirs} of the protocol, this program version {VERSION}")]
    Version { theirs: u32 },
    #[error("rvsd sent what is no reply: {0}")]
    Protocol(String),
    /// rvsd refused the request.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// One connection to rvsd, for one request at a time.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Client {
    /// Connects to the socket at `path`.
    pub fn connect(path: impl AsRef<Path>) -> Result<Client, ClientError> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path).map_err(|source| {
            let hint = match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => " (is rvsd running?)",
                io::ErrorKind::PermissionDenied => " (are you root?)",
                _ => "",
            };
            ClientError::Connect { path: path.to_owned(), source, hint }
        })?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Client { stream: BufReader::new(stream), line: Vec::new() })
    }

    /// Asks, and returns the whole answer.
    pub fn call(&mut self, request: Request) -> Result<Reply, ClientError> {
        let mut whole: Option<Reply> = None;
        let mut mismatch = None;
        self.call_parts(request, |part| match &mut whole {
            None => whole = Some(part),
            Some(whole) => mismatch = whole.append(part).err().or(mismatch.take()),
        })?;
        match (whole, mismatch) {
            (Some(reply), None) => Ok(reply),
            (_, Some(mismatch)) => Err(ClientError::Protocol(mismatch.to_string())),
            (None, None) => Err(ClientError::Closed),
        }
    }

    /// Asks, and hands over each part as it comes: for lists that are too long to hold.
    /// `each` is called at least once when this returns `Ok`.
    pub fn call_parts(&mut self, request: Request, mut each: impl FnMut(Reply)) -> Result<(), ClientError> {
        let sent = codec::write_line(self.stream.get_mut(), &RequestLine { version: VERSION, request });
        if let Err(error) = sent {
            // A daemon that turns a client away says why before it closes.
            return Err(match self.read() {
                Ok(ReplyLine { body: ReplyBody::Error(refusal), .. }) => ClientError::Refused(refusal),
                _ => ClientError::Io(error),
            });
        }
        loop {
            match self.read()?.body {
                ReplyBody::Part(part) => each(part),
                ReplyBody::Done(last) => {
                    each(last);
                    return Ok(());
                }
                ReplyBody::Error(refusal) => return Err(ClientError::Refused(refusal)),
            }
        }
    }

    fn read(&mut self) -> Result<ReplyLine, ClientError> {
        let line = match codec::read_line(&mut self.stream, &mut self.line) {
            Ok(Some(line)) => line,
            Ok(None) => return Err(ClientError::Closed),
            Err(ReadError::Io(e)) => return Err(ClientError::Io(e)),
            Err(e) => return Err(ClientError::Protocol(e.to_string())),
        };
        let protocol = |e: serde_json::Error| ClientError::Protocol(e.to_string());
        let VersionOnly { version } = serde_json::from_slice(line).map_err(protocol)?;
        if version != VERSION {
            return Err(ClientError::Version { theirs: version });
        }
        serde_json::from_slice(line).map_err(protocol)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Write};
    use std::thread;

    use super::*;
    use crate::{ConnCount, ErrorCode};

    /// A client whose peer reads one line and answers with `lines`.
    fn against(lines: &'static [&'static str]) -> Client {
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut theirs = BufReader::new(theirs);
            let mut request = String::new();
            theirs.read_line(&mut request).unwrap();
            assert!(request.starts_with(r#"{"version":1,"request":{"op":"#), "{request}");
            for line in lines {
                theirs.get_mut().write_all(line.as_bytes()).unwrap();
            }
        });
        Client { stream: BufReader::new(ours), line: Vec::new() }
    }

    #[test]
    fn parts_become_one_reply() {
        let mut client = against(&[
            "{\"version\":1,\"part\":{\"config\":{\"text\":\"a\"}}}\n",
            "{\"version\":1,\"done\":{\"config\":{\"text\":\"b\"}}}\n",
        ]);
        let reply = client.call(Request::ConfigShow).unwrap();
        assert_eq!(reply, Reply::Config(crate::ConfigText { text: "ab".into() }));
    }

    #[test]
    fn every_bad_end_has_its_error() {
        let ask = |lines| against(lines).call(Request::ConnCount { service: None });
        assert_eq!(
            ask(&["{\"version\":1,\"done\":{\"conn_count\":{\"connections\":7}},\"later\":1}\n"]).unwrap(),
            Reply::ConnCount(ConnCount { connections: 7 })
        );
        assert!(matches!(ask(&[]), Err(ClientError::Closed)));
        assert!(matches!(ask(&["{\"version\":2,\"new\":0}\n"]), Err(ClientError::Version { theirs: 2 })));
        assert!(matches!(ask(&["hello\n"]), Err(ClientError::Protocol(_))));
        assert!(matches!(ask(&["{\"version\""]), Err(ClientError::Protocol(_))));
        let refused = ask(&["{\"version\":1,\"error\":{\"code\":\"not_found\",\"message\":\"no\"}}\n"]);
        assert!(matches!(refused, Err(ClientError::Refused(Error { code: ErrorCode::NotFound, .. }))));
        let parts = ask(&[
            "{\"version\":1,\"part\":{\"drops\":[]}}\n",
            "{\"version\":1,\"done\":{\"conn_count\":{\"connections\":7}}}\n",
        ]);
        assert!(matches!(parts, Err(ClientError::Protocol(_))));
    }

    #[test]
    fn a_missing_daemon_is_named() {
        let error = Client::connect("/nonexistent/rvsd.sock").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/rvsd.sock") && error.contains("is rvsd running?"), "{error}");
    }
}
