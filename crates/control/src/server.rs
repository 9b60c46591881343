//! The unix socket: who may connect, how many, and that none can hold up another or the daemon.
//!
//! The socket is made under a private name in its folder, gets mode 0600 and only then its real name, so that
//! there is no moment at which somebody else could connect. Peers are checked a second time by their credentials.
//! One thread accepts, one serves each client; [`Server::stop`] ends and joins them all.

use std::fs;
use std::io::{self, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use api::codec::{self, ReadError, ReplyBody, ReplyLine};
use api::{Error, ErrorCode, Reply, Request, VERSION};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::background::Background;

/// What answers requests. Called from several threads.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request; long lists go through `part` in pieces, of which the return value is the last.
    /// An error of `part` means that the client is gone.
    fn handle(&self, request: Request, part: &mut dyn FnMut(Reply) -> io::Result<()>)
    -> Result<Reply, Error>;
}

/// How much clients may ask of the server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// At once; more are turned away with [`ErrorCode::Busy`].
    pub clients: usize,
    /// A client that sends nothing for so long, or stops in the middle of a line, is disconnected.
    pub idle: Duration,
    /// A client that does not read its answer for so long is disconnected.
    pub write: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits { clients: 32, idle: Duration::from_secs(60), write: Duration::from_secs(10) }
    }
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("daemon.socket = {path:?}: another rvsd is listening there")]
    InUse { path: PathBuf },
    #[error("daemon.socket = {path:?}: there is something that is no socket")]
    NotASocket { path: PathBuf },
    #[error("daemon.socket = {path:?}: {doing}: {source}")]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
}

/// A listening server; stops when dropped.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    accepting: Option<Background<OwnedFd>>,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    next: u64,
    open: Vec<(u64, UnixStream, JoinHandle<()>)>,
    stopping: Option<Stopping>,
}

#[derive(Debug)]
struct Stopping;

/// How clients of a socket are spoken to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    /// Makes a listening socket.
    pub bind: fn(&Path) -> io::Result<UnixListener>,
    /// Answers one client until it goes.
    pub serve: fn(&UnixStream, &dyn Handler, ServerLimits) -> io::Result<()>,
    /// Tells a client that it may not enter; must not wait for it.
    pub turn_away: fn(UnixStream, Error) -> io::Result<()>,
}

impl Server {
    /// Opens the socket and serves it until [`Server::stop`].
    pub fn start(
        path: &Path,
        limits: ServerLimits,
        handler: Arc<dyn Handler>,
    ) -> Result<Server, ServerError> {
        remove_stale(path)?;
        let language = Language { bind: |path| UnixListener::bind(path), serve, turn_away };
        Server::start_in(language, path, limits, handler)
    }

    /// The same for clients that speak another language. Whatever socket was at `path` is replaced.
    pub(crate) fn start_in(
        language: Language,
        path: &Path,
        limits: ServerLimits,
        handler: Arc<dyn Handler>,
    ) -> Result<Server, ServerError> {
        let failed =
            |doing| move |source: io::Error| ServerError::Io { path: path.to_owned(), doing, source };
        let listener = listen(path, language.bind)?;
        listener.set_nonblocking(true).map_err(failed("listening"))?;
        let (woken, stop) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed("making a pipe")(e.into()))?;
        let clients = Arc::new(Mutex::new(Clients::default()));
        let shared = clients.clone();
        let work = move || accept(&listener, &woken, &shared, (language, limits), &handler);
        let accepting = Background::start("rvs-api", stop, work).map_err(failed("starting a thread"))?;
        Ok(Server { path: path.to_owned(), accepting: Some(accepting), clients })
    }

    /// Takes no more requests, lets those at work finish, and removes the socket.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        let _ = fs::remove_file(&self.path);
        drop(accepting);
        let open = {
            let mut clients = self.clients.lock();
            clients.stopping = Some(Stopping);
            std::mem::take(&mut clients.open)
        };
        for (_, stream, _) in &open {
            let _ = stream.shutdown(Shutdown::Read);
        }
        for (_, _, serving) in open {
            let _ = serving.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shut();
    }
}

/// A listener at `path` that nobody but the owner could ever connect to.
fn listen(path: &Path, bind: fn(&Path) -> io::Result<UnixListener>) -> Result<UnixListener, ServerError> {
    let failed = |doing| move |source| ServerError::Io { path: path.to_owned(), doing, source };
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        fs::create_dir_all(folder).map_err(failed("making its folder"))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
            .map_err(failed("making its folder"))?;
    }
    let private = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_dir_all(&private);
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&private).map_err(failed("making a private folder beside it"))?;
    let inside = private.join("s");
    let listener = bind(&inside).map_err(failed("binding")).and_then(|listener| {
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o600))
            .map_err(failed("setting its mode"))?;
        fs::rename(&inside, path).map_err(failed("giving it its name"))?;
        Ok(listener)
    });
    let _ = fs::remove_dir_all(&private);
    listener
}

/// Removes the socket of a daemon that is dead. One that answers is another daemon's.
fn remove_stale(path: &Path) -> Result<(), ServerError> {
    let failed = |doing| move |source| ServerError::Io { path: path.to_owned(), doing, source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed("looking at it")(e)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(ServerError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed("removing the socket of a dead rvsd"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(ServerError::InUse { path: path.to_owned() }),
        Err(e) => Err(failed("asking whether an rvsd is there")(e)),
    }
}

fn accept(
    listener: &UnixListener,
    woken: &OwnedFd,
    clients: &Arc<Mutex<Clients>>,
    how: (Language, ServerLimits),
    handler: &Arc<dyn Handler>,
) {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(woken, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return tracing::error!("the api socket failed: {e}"),
            Ok(_) => {}
        }
        if !fds[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => {
                if let Err(e) = admit(stream, clients, how, handler) {
                    tracing::warn!("an api client could not be served: {e}");
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => {
                // Out of file descriptors, most likely: they come back when clients go.
                tracing::warn!("accepting an api client: {e}");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Starts a thread for a client that may have one.
fn admit(
    stream: UnixStream,
    clients: &Arc<Mutex<Clients>>,
    (language, limits): (Language, ServerLimits),
    handler: &Arc<dyn Handler>,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(limits.idle))?;
    stream.set_write_timeout(Some(limits.write))?;
    let mut list = clients.lock();
    if let Err(refusal) = may_enter(&stream, list.open.len(), limits) {
        drop(list);
        return (language.turn_away)(stream, refusal);
    }
    let id = list.next;
    list.next += 1;
    let kept = stream.try_clone()?;
    let (handler, clients) = (handler.clone(), clients.clone());
    let serving = thread::Builder::new().name("rvs-api-client".into()).spawn(move || {
        if let Err(e) = (language.serve)(&stream, &*handler, limits) {
            tracing::debug!("an api client is gone: {e}");
        }
        let _ = stream.shutdown(Shutdown::Both);
        let mut list = clients.lock();
        if list.stopping.is_none() {
            list.open.retain(|(other, _, _)| *other != id);
        }
    })?;
    list.open.push((id, kept, serving));
    Ok(())
}

/// Root and the daemon's own user may.
fn may_enter(stream: &UnixStream, open: usize, limits: ServerLimits) -> Result<(), Error> {
    let peer = rustix::net::sockopt::socket_peercred(stream)
        .map_err(|e| Error::new(ErrorCode::Internal, format!("cannot tell who you are: {e}")))?;
    if !is_allowed(peer.uid.as_raw(), rustix::process::geteuid().as_raw()) {
        tracing::warn!("refused api client: pid {:?} of uid {}", peer.pid, peer.uid.as_raw());
        let message =
            format!("uid {} may not use this socket: only root and rvsd's own user may", peer.uid.as_raw());
        return Err(Error::new(ErrorCode::PermissionDenied, message));
    }
    if open >= limits.clients {
        return Err(Error::new(ErrorCode::Busy, format!("{open} clients are connected already")));
    }
    Ok(())
}

fn is_allowed(peer_uid: u32, own_uid: u32) -> bool {
    peer_uid == 0 || peer_uid == own_uid
}

fn turn_away(mut stream: UnixStream, refusal: Error) -> io::Result<()> {
    let line = ReplyLine { version: VERSION, body: ReplyBody::Error(refusal) };
    codec::write_line(&mut stream, &line)
}

/// Requests and answers until the client closes, stops sending, or sends what has no end.
fn serve(stream: &UnixStream, handler: &dyn Handler, limits: ServerLimits) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut output = stream;
    let mut line = Vec::new();
    loop {
        let body = match codec::read_line(&mut input, &mut line) {
            Ok(Some(line)) => answer(line, handler, &mut output),
            Ok(None) => return Ok(()),
            Err(ReadError::TooLong) => {
                let refusal = Error::new(ErrorCode::TooLarge, ReadError::TooLong.to_string());
                reply(&mut output, ReplyBody::Error(refusal))?;
                return linger(stream, limits);
            }
            Err(ReadError::Truncated) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(ReadError::Io(e)) => return Err(e),
        }?;
        reply(&mut output, body)?;
        // A line may have been long; an idle client should not hold on to that.
        line.shrink_to(64 << 10);
    }
}

fn answer(line: &[u8], handler: &dyn Handler, output: &mut impl Write) -> io::Result<ReplyBody> {
    let request = match codec::read_request(line) {
        Ok(request) => request,
        Err(refusal) => return Ok(ReplyBody::Error(refusal)),
    };
    let mut gone = None;
    let mut part = |part| reply(output, ReplyBody::Part(part)).inspect_err(|e| gone = Some(e.kind()));
    let answer = handler.handle(request, &mut part);
    match gone {
        Some(kind) => Err(kind.into()),
        None => Ok(answer.map_or_else(ReplyBody::Error, ReplyBody::Done)),
    }
}

fn reply(output: &mut impl Write, body: ReplyBody) -> io::Result<()> {
    codec::write_line(output, &ReplyLine { version: VERSION, body })
}

/// Reads what the client still sends, a bounded time, so that closing does not discard the error that it has yet to read.
fn linger(stream: &UnixStream, limits: ServerLimits) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(limits.write.min(Duration::from_secs(1))))?;
    let mut rest = [0; 4096];
    let mut input = stream;
    for _ in 0..16_384 {
        if io::Read::read(&mut input, &mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
