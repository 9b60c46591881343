//! The rtnetlink socket: events of links and addresses, and dumps of what there was before.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NLMSG_ALIGNTO, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// Multicast groups of linux/rtnetlink.h.
const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
/// More than the kernel puts into one message of a dump (32 KiB) or of an event.
const BUFFER: usize = 64 << 10;
/// Bytes of events that wait in the kernel while we are busy: thousands of them.
const RECEIVE_BUFFER: i32 = 1 << 20;
/// Bytes of a message's header (netlink(7)).
const HEADER_LEN: usize = 16;

/// What can be asked for whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    Links,
    Addresses,
}

/// A subscribed socket.
pub struct Rtnetlink {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Rtnetlink {
    /// Subscribes to links and addresses of the namespace that this thread is in.
    pub fn open() -> io::Result<Rtnetlink> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        socket.set_rx_buf_sz(RECEIVE_BUFFER)?;
        for group in [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR] {
            socket.add_membership(group)?;
        }
        Ok(Rtnetlink { socket, buffer: Vec::with_capacity(BUFFER) })
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Asks for everything there is; the answer ends with [`NetlinkPayload::Done`].
    pub fn ask(&self, dump: Dump) -> io::Result<()> {
        let question = match dump {
            Dump::Links => RouteNetlinkMessage::GetLink(LinkMessage::default()),
            Dump::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).map(drop)
    }

    /// The messages of one datagram; none if nothing has come. After an error (ENOBUFS: events came faster than they were
    /// read) something is lost, and only a new socket and new dumps tell what.
    pub fn receive(&mut self) -> io::Result<Option<Vec<NetlinkMessage<RouteNetlinkMessage>>>> {
        self.buffer.clear();
        let (len, from) = match self.socket.recv_from(&mut self.buffer, 0) {
            Ok(received) => received,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(Some(Vec::new())),
            Err(e) => return Err(e),
        };
        if len >= self.buffer.capacity() {
            return Err(io::Error::other("a message is longer than the buffer"));
        }
        if from.port_number() != 0 {
            // Not the kernel.
            return Ok(Some(Vec::new()));
        }
        Ok(Some(messages(&self.buffer[..len])))
    }
}

/// Takes a datagram apart. A message that cannot be understood is skipped: it is about something of a kind that is newer
/// than this program.
fn messages(mut bytes: &[u8]) -> Vec<NetlinkMessage<RouteNetlinkMessage>> {
    let mut list = Vec::new();
    while let Some(&len) = bytes.first_chunk::<4>() {
        let len = u32::from_ne_bytes(len) as usize;
        if len < HEADER_LEN || len > bytes.len() {
            break;
        }
        match NetlinkMessage::deserialize(&bytes[..len]) {
            Ok(message) => list.push(message),
            Err(e) => tracing::debug!("a netlink message was not understood: {e}"),
        }
        bytes = &bytes[len.next_multiple_of(usize::from(NLMSG_ALIGNTO)).min(bytes.len())..];
    }
    list
}
