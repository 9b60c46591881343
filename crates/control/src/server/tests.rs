use std::io::{BufRead, Read};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use api::{Client, ClientError, ConnCount};

use super::*;

/// Answers `conn_count` with how often it was asked, refuses `drop_list`, sends `conn_list` without end.
#[derive(Default)]
struct Echo(AtomicU32);

impl Handler for Echo {
    fn handle(
        &self,
        request: Request,
        part: &mut dyn FnMut(Reply) -> io::Result<()>,
    ) -> Result<Reply, Error> {
        match request {
            Request::ConnCount { .. } => {
                let connections = u64::from(self.0.fetch_add(1, Ordering::Relaxed)) + 1;
                Ok(Reply::ConnCount(ConnCount { connections }))
            }
            Request::ConnList { .. } => loop {
                let text = "x".repeat(100_000);
                if part(Reply::Config(api::ConfigText { text })).is_err() {
                    return Err(Error::new(ErrorCode::Internal, "gone"));
                }
            },
            other => Err(Error::new(ErrorCode::NotFound, other.op()).about("drops")),
        }
    }
}

/// A folder of this test's own, removed afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rvs-server-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }
    fn socket(&self) -> PathBuf {
        self.0.join("rvsd.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SHORT: ServerLimits =
    ServerLimits { clients: 3, idle: Duration::from_millis(300), write: Duration::from_millis(300) };

fn start(folder: &Folder, limits: ServerLimits) -> Server {
    Server::start(&folder.socket(), limits, Arc::new(Echo::default())).unwrap()
}

fn count() -> Request {
    Request::ConnCount { service: None }
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let folder = Folder::new("mode");
    let server = start(&folder, ServerLimits::default());
    let meta = fs::symlink_metadata(folder.socket()).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing is left beside it");
    let mut client = Client::connect(folder.socket()).unwrap();
    assert_eq!(client.call(count()).unwrap(), Reply::ConnCount(ConnCount { connections: 1 }));
    let refused = client.call(Request::DropList).unwrap_err();
    assert!(
        matches!(refused, ClientError::Refused(Error { code: ErrorCode::NotFound, what: Some(what), .. }) if what == "drops")
    );
    assert_eq!(client.call(count()).unwrap(), Reply::ConnCount(ConnCount { connections: 2 }));
    server.stop();
    assert!(!folder.socket().exists());
    assert!(client.call(count()).is_err());
}

#[test]
fn only_root_and_the_daemons_own_user_may() {
    for (peer, own, want) in [(0, 0, true), (0, 33, true), (33, 33, true), (33, 0, false), (34, 33, false)] {
        assert_eq!(is_allowed(peer, own), want, "{peer} {own}");
    }
}

#[test]
fn a_dead_daemons_socket_is_replaced_and_nothing_else_is() {
    let folder = Folder::new("stale");
    fs::create_dir_all(&folder.0).unwrap();
    drop(UnixListener::bind(folder.socket()).unwrap());
    let server = start(&folder, ServerLimits::default());
    let second =
        Server::start(&folder.socket(), ServerLimits::default(), Arc::new(Echo::default())).unwrap_err();
    assert!(matches!(second, ServerError::InUse { .. }), "{second}");
    assert!(Client::connect(folder.socket()).unwrap().call(count()).is_ok(), "the first one is unharmed");
    server.stop();
    fs::write(folder.socket(), "precious").unwrap();
    let file =
        Server::start(&folder.socket(), ServerLimits::default(), Arc::new(Echo::default())).unwrap_err();
    assert!(matches!(file, ServerError::NotASocket { .. }), "{file}");
    assert_eq!(fs::read_to_string(folder.socket()).unwrap(), "precious");
}

#[test]
fn a_malformed_line_is_answered_and_the_next_one_served() {
    let folder = Folder::new("bad");
    let _server = start(&folder, ServerLimits::default());
    let mut stream = BufReader::new(UnixStream::connect(folder.socket()).unwrap());
    for (line, want) in [
        ("hello", r#""code":"bad_request""#),
        (r#"{"version":7}"#, r#""code":"version""#),
        (
            r#"{"version":1,"request":{"op":"conn_count","service":null}}"#,
            r#"{"version":1,"done":{"conn_count":{"connections":1}}}"#,
        ),
    ] {
        stream.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_line(&mut answer).unwrap();
        assert!(answer.contains(want), "{line}: {answer}");
    }
}

#[test]
fn an_endless_line_is_refused_in_words() {
    let folder = Folder::new("long");
    let _server = start(&folder, ServerLimits::default());
    let stream = UnixStream::connect(folder.socket()).unwrap();
    let (mut input, mut output) = (&stream, &stream);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..=(codec::MAX_LINE_BYTES >> 20) {
        output.write_all(&piece).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    input.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(r#""code":"too_large""#), "{answer}");
}

#[test]
fn clients_are_served_side_by_side_and_bounded() {
    let folder = Folder::new("many");
    let _server = start(&folder, ServerLimits { idle: Duration::from_secs(10), ..SHORT });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(folder.socket()).unwrap()).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| (0..50).for_each(|_| assert!(client.call(count()).is_ok())));
        }
    });
    let busy = Client::connect(folder.socket()).unwrap().call(count()).unwrap_err();
    assert!(matches!(busy, ClientError::Refused(Error { code: ErrorCode::Busy, .. })), "{busy}");
    clients.pop();
    let begin = Instant::now();
    while Client::connect(folder.socket()).unwrap().call(count()).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(5), "a place that is free again is given again");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_stuck_client_is_disconnected() {
    let folder = Folder::new("stuck");
    let _server = start(&folder, SHORT);
    let mut silent = UnixStream::connect(folder.socket()).unwrap();
    silent.write_all(b"{\"version\"").unwrap();
    let mut deaf = UnixStream::connect(folder.socket()).unwrap();
    deaf.write_all(b"{\"version\":1,\"request\":{\"op\":\"conn_list\",\"service\":null,\"limit\":null}}\n")
        .unwrap();
    let mut rest = Vec::new();
    assert_eq!(silent.read_to_end(&mut rest).unwrap(), 0);
    thread::sleep(SHORT.write * 2);
    deaf.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty());
}
