//! Conversations with the laboratory's echo servers. Call these in a thread of the client's namespace.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use lab::error::Context;
use lab::{Error, Result};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

/// How long a connection, an answer or a write may take. Longer than two retransmitted SYNs (1 s + 2 s).
const PATIENCE: Duration = Duration::from_secs(8);

/// A TCP connection to an echo server and the name of the server, from its greeting.
#[derive(Debug)]
pub struct Conversation {
    stream: TcpStream,
    /// Who greeted.
    pub server: String,
}

impl Conversation {
    /// Connects, from `source` if given, and reads the greeting.
    pub fn open(source: Option<IpAddr>, target: SocketAddr) -> Result<Self> {
        let mut stream = tcp(source, target)?;
        // The greeting is one short line; it is read byte by byte so that nothing of the echo is taken with it.
        let mut greeting = Vec::new();
        let mut byte = [0];
        while byte != *b"\n" && greeting.len() < 64 {
            stream.read_exact(&mut byte).context(format_args!("greeting from {target}"))?;
            greeting.push(byte[0]);
        }
        let server = String::from_utf8_lossy(&greeting).trim().to_owned();
        Ok(Self { stream, server })
    }

    /// Sends `payload` and expects it back.
    pub fn round(&mut self, payload: &[u8]) -> Result<()> {
        self.stream.write_all(payload).context("send")?;
        let mut back = vec![0; payload.len()];
        self.stream.read_exact(&mut back).context("echo")?;
        if back == payload { Ok(()) } else { Err(Error::new("the echo differs from what was sent")) }
    }

    /// How long an answer may take from now on.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }

    /// The client's end.
    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }
}

/// A TCP connection, from `source` if given.
pub fn tcp(source: Option<IpAddr>, target: SocketAddr) -> Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // On Linux the send timeout bounds connect(), too.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    if let Some(source) = source {
        bind(&socket, &SocketAddr::new(source, 0)).context(source)?;
    }
    connect(&socket, &target).context(format_args!("connect to {target}"))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `bytes` to a sink and returns the name of the server that counted them.
pub fn upload(target: SocketAddr, bytes: usize) -> Result<String> {
    let mut stream = tcp(None, target)?;
    let chunk = vec![0x5a; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let n = left.min(chunk.len());
        stream.write_all(&chunk[..n]).context("upload")?;
        left -= n;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).context("answer of the sink")?;
    match answer.trim().split_once(' ') {
        Some((server, count)) if count == bytes.to_string() => Ok(server.to_owned()),
        _ => Err(Error::new(format!("the sink answered `{}` to {bytes} bytes", answer.trim()))),
    }
}

/// One datagram there and back on a socket of its own; returns the name of the server.
pub fn udp(source: Option<IpAddr>, target: SocketAddr, payload: &[u8]) -> Result<String> {
    let any = if target.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    udp_from(SocketAddr::new(source.unwrap_or(any), 0), target, payload, PATIENCE)
}

/// The same from a given port, and with a given patience.
pub fn udp_from(
    source: SocketAddr,
    target: SocketAddr,
    payload: &[u8],
    patience: Duration,
) -> Result<String> {
    let socket = UdpSocket::bind(source).context(source)?;
    // Connected: an answer from another address than the one asked does not count.
    socket.connect(target)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(payload).context(format_args!("datagram to {target}"))?;
    let mut buffer = vec![0; payload.len() + 64];
    let n = socket.recv(&mut buffer).context(format_args!("datagram from {target}"))?;
    let space =
        buffer[..n].iter().position(|&byte| byte == b' ').ok_or_else(|| Error::new("no name in the echo"))?;
    if buffer[space + 1..n] != *payload {
        return Err(Error::new("the echo differs from what was sent"));
    }
    Ok(String::from_utf8_lossy(&buffer[..space]).into_owned())
}

/// Segments that were lost on the way from the calling thread's namespace, as far as TCP knows: those sent again,
/// without those whose first copy the peer reports to have had (DSACK, RFC 2883). On a busy machine TCP sends
/// again what is only late.
pub fn lost() -> Result<i64> {
    let number = |file: &str, label, name| -> Result<i64> {
        let path = format!("/proc/thread-self/net/{file}");
        let text = std::fs::read_to_string(&path).context(&path)?;
        field(&text, label, name).ok_or_else(|| Error::new(format!("{path} has no {name}")))
    };
    let again = number("snmp", "Tcp:", "RetransSegs")?;
    let duplicates =
        number("netstat", "TcpExt:", "TCPDSACKRecv")? + number("netstat", "TcpExt:", "TCPDSACKOfoRecv")?;
    Ok(again - duplicates)
}

/// A number of `/proc/net/snmp` or `netstat`: a line of names, then a line of values, both after the same label.
fn field(text: &str, label: &str, name: &str) -> Option<i64> {
    let mut lines = text.lines().filter(|line| line.starts_with(label));
    let at = lines.next()?.split_whitespace().position(|word| word == name)?;
    lines.next()?.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn snmp_numbers_are_found_by_name() {
        let text = "Ip: Forwarding TTL\nIp: 1 64\nTcp: RtoMin RetransSegs\nTcp: 200 17\n";
        assert_eq!(field(text, "Tcp:", "RetransSegs"), Some(17));
        assert_eq!(field(text, "Tcp:", "NoSuch"), None);
        assert_eq!(field(text, "Udp:", "RetransSegs"), None);
    }
}
