//! The socket for stock tools: `ipvsadm` and keepalived, whose netlink socket a preloaded library leads here.
//!
//! It speaks Linux's generic netlink family "IPVS" ([`ipvs_genl`]), one message a packet of a SOCK_SEQPACKET socket beside the
//! API's. Each request becomes one or more requests of the API: there is one state, and one way in which it changes.

mod answer;
mod change;
mod words;

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipvs_genl::{Refusal, Request, Writer};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use crate::server::{Handler, Language, Server, ServerError, ServerLimits};

/// keepalived keeps its connection for as long as it runs, and may ask for nothing for days.
const LIMITS: ServerLimits =
    ServerLimits { clients: 64, idle: Duration::from_secs(7 * 86_400), write: Duration::from_secs(10) };

/// Longer requests there are not: a service and a destination are a few hundred bytes.
const REQUEST_BYTES: usize = 16 << 10;

/// Where stock tools are served, by where the API is: `/run/rvs/rvsd.ipvs`.
pub fn socket_path(api: &Path) -> PathBuf {
    api.with_extension("ipvs")
}

/// Opens the socket beside the API's and serves it.
pub fn start(api: &Path, handler: Arc<dyn Handler>) -> Result<Server, ServerError> {
    let turn_away = |_, _| Ok(());
    let language = Language { bind: bind_packets, serve, turn_away };
    Server::start_in(language, &socket_path(api), LIMITS, handler)
}

fn bind_packets(path: &Path) -> io::Result<UnixListener> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, 128)?;
    Ok(socket.into())
}

fn serve(stream: &UnixStream, handler: &dyn Handler, _: ServerLimits) -> io::Result<()> {
    let mut datagram = vec![0; REQUEST_BYTES];
    let mut socket = stream;
    loop {
        let length = socket.read(&mut datagram)?;
        if length == 0 {
            return Ok(());
        }
        let mut send = |part: &[u8]| socket.write(part).map(drop);
        match Request::parse(&datagram[..length]) {
            Ok(request) => answer::answer(&request, handler, &mut send)?,
            Err(Refusal { header: Some(header), errno }) => {
                let mut out = Writer::new(header);
                out.outcome(errno);
                send(&out.take())?;
            }
            // It cannot even be told: the library at its end makes an error of that.
            Err(Refusal { header: None, .. }) => return Ok(()),
        }
    }
}
