//! Tells systemd how far the daemon is (sd_notify(3)); does nothing where nobody listens.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Started, or done with reloading.
pub(crate) fn ready() {
    send("READY=1");
}

/// The configuration is being read again.
pub(crate) fn reloading() {
    send("RELOADING=1");
}

/// On the way out.
pub(crate) fn stopping() {
    send("STOPPING=1");
}

fn send(state: &str) {
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, path, "systemd was not told {state}");
    }
}
