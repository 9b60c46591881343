//! An echo server for TCP and UDP and a sink for TCP, in one thread inside a namespace.
//!
//! Why not a program from the distribution: tests need to know which server answered, a UDP reply has to come
//! from the address that was asked (a virtual address on `lo`, too), and one server has to hold ten thousand
//! connections.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::error::{Context, Result};
use crate::netns::Namespace;

/// TCP: greets with `NAME\n`, then returns what it gets. UDP: returns `NAME ` and what it gets.
pub const ECHO_PORT: u16 = 7;

/// TCP: reads until the client shuts down its side, then answers `NAME BYTES\n`.
pub const SINK_PORT: u16 = 9;

/// How often the thread looks whether it should end.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A running echo server; ends when dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Echo {
    /// Starts a server called `name` that answers UDP on each of `addresses`, TCP on all. Returns once it listens.
    pub fn start(namespace: &Namespace, name: &str, addresses: &[IpAddr]) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (name, addresses) = (name.to_owned(), addresses.to_vec());
        let mut server = namespace.enter(move || Server::bind(name, &addresses))??;
        let stopped = Arc::clone(&stop);
        let thread = namespace.thread(move || server.run(&stopped));
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Source {
    EchoListener(TcpListener),
    SinkListener(TcpListener),
    Datagram(UdpSocket),
    EchoStream(TcpStream),
    SinkStream(TcpStream, u64),
}

struct Server {
    name: String,
    epoll: OwnedFd,
    sources: HashMap<u64, Source>,
    next: u64,
}

impl Server {
    fn bind(name: String, addresses: &[IpAddr]) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut server = Self { name, epoll, sources: HashMap::new(), next: 0 };
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        server.add(Source::EchoListener(listen(SocketAddr::new(any, ECHO_PORT))?))?;
        server.add(Source::SinkListener(listen(SocketAddr::new(any, SINK_PORT))?))?;
        for &address in addresses {
            let socket = UdpSocket::bind((address, ECHO_PORT)).context(format_args!("udp {address}"))?;
            socket.set_nonblocking(true)?;
            server.add(Source::Datagram(socket))?;
        }
        Ok(server)
    }

    fn add(&mut self, source: Source) -> Result<()> {
        let token = self.next;
        self.next += 1;
        let data = epoll::EventData::new_u64(token);
        let fd = match &source {
            Source::EchoListener(socket) | Source::SinkListener(socket) => socket.as_fd(),
            Source::Datagram(socket) => socket.as_fd(),
            Source::EchoStream(socket) | Source::SinkStream(socket, _) => socket.as_fd(),
        };
        epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?;
        self.sources.insert(token, source);
        Ok(())
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        while !stop.load(Ordering::Relaxed) {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&TURN)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.serve(event.data.u64())?;
            }
        }
        Ok(())
    }

    /// Handles one readable source; a stream that ends or fails is closed, which is all a server owes it.
    fn serve(&mut self, token: u64) -> Result<()> {
        let mut buffer = [0; 65536];
        let accepted = match self.sources.get_mut(&token) {
            None => return Ok(()),
            Some(Source::EchoListener(listener)) => accept(listener).map(|mut stream| {
                let greeted = stream.write_all(format!("{}\n", self.name).as_bytes());
                greeted.map(|()| Source::EchoStream(stream)).ok()
            }),
            Some(Source::SinkListener(listener)) => {
                accept(listener).map(|stream| Some(Source::SinkStream(stream, 0)))
            }
            Some(Source::Datagram(socket)) => {
                answer_datagrams(&self.name, socket, &mut buffer);
                None
            }
            Some(Source::EchoStream(stream)) => {
                if !echo(stream, &mut buffer) {
                    self.sources.remove(&token);
                }
                None
            }
            Some(Source::SinkStream(stream, bytes)) => {
                if !swallow(&self.name, stream, bytes, &mut buffer) {
                    self.sources.remove(&token);
                }
                None
            }
        };
        match accepted.flatten() {
            Some(source) => self.add(source),
            None => Ok(()),
        }
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).context(format_args!("tcp {address}"))?;
    // The standard library's backlog is short for ten thousand connections in a row; listening again widens it.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

fn answer_datagrams(name: &str, socket: &UdpSocket, buffer: &mut [u8]) {
    while let Ok((n, peer)) = socket.recv_from(buffer) {
        let reply = [name.as_bytes(), b" ", &buffer[..n]].concat();
        let _ = socket.send_to(&reply, peer);
    }
}

/// Whether the stream lives on.
fn echo(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => false,
        Ok(n) => stream.write_all(&buffer[..n]).is_ok(),
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Whether the stream lives on.
fn swallow(name: &str, stream: &mut TcpStream, bytes: &mut u64, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) => {
            let _ = stream.write_all(format!("{name} {bytes}\n").as_bytes());
            false
        }
        Ok(n) => {
            *bytes += n as u64;
            true
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
