//! The program itself against a daemon that says what the test tells it to: output, exit codes, closed pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

/// A socket whose first client gets `lines` for its first request.
struct Daemon {
    socket: PathBuf,
    serving: JoinHandle<String>,
}

impl Daemon {
    fn start(lines: Vec<String>) -> Daemon {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rvsctl-{}-{}.sock", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&socket).unwrap();
        let serving = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = BufReader::new(stream);
            let mut request = String::new();
            stream.read_line(&mut request).unwrap();
            for line in lines {
                if writeln!(stream.get_mut(), "{line}").is_err() {
                    break;
                }
            }
            request
        });
        Daemon { socket, serving }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = rvsctl(&format!("-s {}", self.socket.display()));
        command.args(line.split_whitespace());
        command
    }

    /// The request that came.
    fn end(self) -> String {
        let request = self.serving.join().unwrap();
        std::fs::remove_file(&self.socket).unwrap();
        request
    }
}

fn rvsctl(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rvsctl"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    command
}

/// Exit code, standard output and standard error.
fn result(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What a command does when rvsd answers with `body`.
fn answered(line: &str, body: &str) -> (i32, String, String) {
    let daemon = Daemon::start(vec![format!(r#"{{"version":1,{body}}}"#)]);
    let output = daemon.command(line).output().unwrap();
    daemon.end();
    result(output)
}

const COUNT: &str = r#""done":{"conn_count":{"connections":7}}"#;
const REFUSAL: &str = r#""error":{"code":"not_found","message":"there is no service tcp 192.0.2.1:80","what":"service tcp 192.0.2.1:80"}"#;
const WRONG: &str = r#"{"severity":"error","file":"f.toml","line":3,"column":8,"path":"service[0].port","message":"found 0, expected 1 to 65535"}"#;
const DOUBTFUL: &str = r#"{"severity":"warning","file":"","line":0,"column":0,"path":"service[0]","message":"nobody can reach it"}"#;

#[test]
fn an_answer_is_text_or_one_line_of_json() {
    assert_eq!(answered("conn count", COUNT), (0, "7\n".into(), String::new()));
    let json = "{\"conn_count\":{\"connections\":7}}\n";
    assert_eq!(answered("-j conn count", COUNT), (0, json.into(), String::new()));
}

#[test]
fn a_refusal_is_one_line_and_in_json_a_document_too() {
    let line = "rvsctl: there is no service tcp 192.0.2.1:80\n";
    assert_eq!(answered("service del tcp 192.0.2.1:80", REFUSAL), (1, String::new(), line.into()));
    let document = format!("{{{REFUSAL}}}\n");
    assert_eq!(answered("-j service del tcp 192.0.2.1:80", REFUSAL), (1, document.clone(), line.into()));
    assert_eq!(answered("-j conn list --service tcp 192.0.2.1:80", REFUSAL), (1, document, line.into()));
    let limit = r#""error":{"code":"limit","message":"4096 are there already","what":"limits.services"}"#;
    let line = "rvsctl: limits.services: 4096 are there already\n";
    assert_eq!(answered("service add tcp 192.0.2.1:80", limit), (1, String::new(), line.into()));
}

#[test]
fn warnings_do_not_disturb_the_output() {
    let body = format!(
        r#""done":{{"applied":{{"generation":2,"changes":[{{"kind":"added","item":"service tcp 192.0.2.1:80"}}],"warnings":[{DOUBTFUL}]}}}}"#
    );
    let want =
        ("added service tcp 192.0.2.1:80\n".into(), "warning: service[0]: nobody can reach it\n".into());
    let (code, out, err) = answered("service add tcp 192.0.2.1:80", &body);
    assert_eq!((code, (out, err)), (0, want));
}

#[test]
fn a_checked_file_is_good_or_has_every_error_named() {
    let check = |body: &str, json: &str| {
        let daemon = Daemon::start(vec![format!(r#"{{"version":1,"done":{{"checked":[{body}]}}}}"#)]);
        let mut child = daemon.command(&format!("{json} config check -"));
        let mut child =
            child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"[x]").unwrap();
        let output = child.wait_with_output().unwrap();
        let request = daemon.end();
        assert!(request.contains(r#"{"op":"config_check","name":"<stdin>","text":"[x]"}"#), "{request}");
        result(output)
    };
    let good = "the configuration is good\n";
    assert_eq!(check("", ""), (0, good.into(), String::new()));
    assert_eq!(check(DOUBTFUL, ""), (0, good.into(), "warning: service[0]: nobody can reach it\n".into()));
    let errors =
        "f.toml:3:8: error: service[0].port: found 0, expected 1 to 65535\nrvsctl: <stdin> has 1 error\n";
    assert_eq!(check(WRONG, ""), (1, String::new(), errors.into()));
    assert_eq!(check(WRONG, "-j"), (1, format!("{{\"checked\":[{WRONG}]}}\n"), errors.into()));
}

#[test]
fn a_refused_file_has_every_error_named() {
    let body = format!(
        r#""error":{{"code":"invalid_config","message":"f.toml has 1 error","what":"f.toml","diagnostics":[{WRONG}]}}"#
    );
    let errors =
        "f.toml:3:8: error: service[0].port: found 0, expected 1 to 65535\nrvsctl: f.toml has 1 error\n";
    assert_eq!(answered("config reload", &body), (1, String::new(), errors.into()));
}

#[test]
fn without_a_daemon_there_is_advice() {
    let (code, out, err) = result(rvsctl("-s /nonexistent/s stats").output().unwrap());
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(
        err.starts_with("rvsctl: cannot connect to /nonexistent/s: ") && err.lines().count() == 1,
        "{err}"
    );
    let (code, _, err) = result(rvsctl("-s /nonexistent/s config check Cargo.toml").output().unwrap());
    assert_eq!(code, 3);
    assert!(err.contains("`rvsd --config Cargo.toml --check`") && err.lines().count() == 1, "{err}");
    let daemon = Daemon::start(Vec::new());
    let (code, _, err) = result(daemon.command("stats").output().unwrap());
    daemon.end();
    assert_eq!((code, err.as_str()), (3, "rvsctl: rvsd closed the connection without an answer\n"));
}

#[test]
fn wrong_words_are_one_line() {
    let (code, out, err) = result(rvsctl("service lst").output().unwrap());
    assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 1), "{err}");
    let (code, out, err) = result(rvsctl("service list --help").output().unwrap());
    assert!(code == 0 && out.contains("Examples:") && err.is_empty());
    let (code, out, err) = result(rvsctl("service").output().unwrap());
    assert!(code == 2 && out.is_empty() && err.contains("Verbs:"));
}

/// More connections than a pipe holds, in `parts` lines.
fn many_connections(parts: usize) -> Vec<String> {
    let one = r#"{"worker":0,"protocol":"tcp","client":"198.51.100.7:40000","service":"192.0.2.100:80","destination":"10.0.2.11:80","method":"nat","state":"ESTABLISHED","expires_in_ms":1000,"packets_in":1,"flags":{"inactive":false,"no_destination":false}}"#;
    let part = format!(r#"{{"version":1,"part":{{"connections":[{}]}}}}"#, vec![one; 256].join(","));
    let done = r#"{"version":1,"done":{"connections":[]}}"#.to_owned();
    std::iter::repeat_n(part, parts).chain([done]).collect()
}

#[test]
fn many_connections_are_one_table_or_document() {
    let list = |line: &str| {
        let daemon = Daemon::start(many_connections(8));
        let output = daemon.command(line).output().unwrap();
        daemon.end();
        result(output)
    };
    let (code, out, err) = list("conn list");
    assert_eq!((code, out.lines().count(), err.as_str()), (0, 8 * 256 + 1, ""));
    let (code, out, err) = list("-j conn list");
    let document: api::Reply = serde_json::from_str(&out).unwrap();
    let api::Reply::Connections(all) = document else { panic!("{document:?}") };
    assert_eq!((code, all.len(), out.lines().count(), err.as_str()), (0, 8 * 256, 1, ""));
}

#[test]
fn a_reader_may_stop() {
    for line in ["conn list", "-j conn list", "completion zsh"] {
        let daemon = Daemon::start(many_connections(64));
        let mut command = daemon.command(line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 100];
        let mut pipe = child.stdout.take().unwrap();
        pipe.read_exact(&mut first).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        if line.starts_with("completion") {
            // It asks no daemon.
            drop(std::os::unix::net::UnixStream::connect(&daemon.socket).unwrap());
        }
        daemon.end();
        let (code, _, err) = result(output);
        assert_eq!((code, err.as_str()), (0, ""), "{line}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (code, _, err) = result(rvsctl("completion bash").stdout(full).output().unwrap());
    assert_eq!(code, 4);
    assert!(err.starts_with("rvsctl: cannot write the output: "), "{err}");
}
