//! One command from its arguments to its output.

use std::io::{self, Write};
use std::path::Path;

use api::{Client, Diagnostic, Reply, Request, Severity};
use clap::CommandFactory;

use crate::args::{Action, Cli};
use crate::failure::Failure;
use crate::show::{self, Connections, View};

/// Does what the command line asks; the output goes to `out`, warnings to standard error.
pub fn run(cli: Cli, out: &mut impl Write) -> Result<(), Failure> {
    let (request, view) = match cli.noun.action()? {
        Action::Ask { request, view } => (request, view),
        Action::Completion(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rvsctl", &mut script);
            return out.write_all(&script).map_err(Failure::Output);
        }
        Action::Man(page) => {
            return page.text().and_then(|text| out.write_all(&text)).map_err(Failure::Output);
        }
    };
    match request {
        Request::ConnList { .. } => list_connections(&cli.socket, request, cli.json, out),
        Request::Trace { .. } => trace(&cli.socket, request, cli.json, out),
        _ => ask(&cli.socket, request, view, cli.json, out),
    }
}

/// Asks for what is answered at once, and shows it.
fn ask(socket: &Path, request: Request, view: View, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let checked = match &request {
        Request::ConfigCheck { name, .. } => Some(name.clone()),
        _ => None,
    };
    let reply = match Client::connect(socket).and_then(|mut client| client.call(request)) {
        Ok(reply) => view.select(reply),
        Err(error) => {
            let without = |name| format!("without a running rvsd, `rvsd --config {name} --check` does it");
            return refused(Failure::of_client(error, checked.map(without)), json, out);
        }
    };
    if json {
        print_json(&reply, out)?;
    }
    let diagnostics = match &reply {
        Reply::Applied(applied) => applied.warnings.clone(),
        Reply::Checked(diagnostics) => diagnostics.clone(),
        _ => Vec::new(),
    };
    if let Some(name) = checked
        && diagnostics.iter().any(|d| d.severity == Severity::Error)
    {
        out.flush().map_err(Failure::Output)?;
        return Err(Failure::BadConfig { name, diagnostics });
    }
    warn(&diagnostics);
    if json {
        return Ok(());
    }
    out.write_all(show::text(&reply, view).as_bytes()).map_err(Failure::Output)
}

/// Says on standard error what is legal but probably not meant. That somebody closed it undoes nothing.
fn warn(warnings: &[Diagnostic]) {
    let mut err = io::stderr().lock();
    for warning in warnings {
        let _ = writeln!(err, "{warning}");
    }
}

/// A refusal is a document too for who asked for documents.
fn refused(failure: Failure, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    if let (true, Failure::Refused(error)) = (json, &failure) {
        print_json(&serde_json::json!({ "error": error }), out)?;
        out.flush().map_err(Failure::Output)?;
    }
    Err(failure)
}

fn print_json(value: &impl serde::Serialize, out: &mut impl Write) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, value).map_err(|e| Failure::Output(e.into()))?;
    out.write_all(b"\n").map_err(Failure::Output)
}

/// Shows packets as they come; in JSON one document a line for each packet.
fn trace(socket: &Path, request: Request, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let mut client = Client::connect(socket).map_err(|e| Failure::of_client(e, None))?;
    let mut written = Ok(());
    let answer = client.call_parts(request, |part| {
        let Reply::Trace(view) = &part else { return };
        let lines = match json {
            true => view
                .packets
                .iter()
                .map(|packet| serde_json::json!({ "packet": packet }).to_string() + "\n")
                .collect(),
            false => show::text(&part, View::Usual),
        };
        if written.is_ok() {
            written = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        }
        if written.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
            // Nobody reads on; the daemon ends the trace when it notices.
            std::process::exit(0);
        }
    });
    match answer {
        Err(error) => refused(Failure::of_client(error, None), json, out),
        Ok(()) => written.map_err(Failure::Output),
    }
}

/// Shows connections as they come: there may be more than fit in memory.
fn list_connections(
    socket: &Path,
    request: Request,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut client = Client::connect(socket).map_err(|e| Failure::of_client(e, None))?;
    let mut list = Connections::new(json);
    let mut written = Ok(());
    let answer = client.call_parts(request, |part| {
        if let (Ok(()), Reply::Connections(connections)) = (&written, part) {
            written = out.write_all(list.part(&connections).as_bytes());
            if written.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe) {
                // Nobody reads on: a daemon with a million connections need not send them all.
                std::process::exit(0);
            }
        }
    });
    if let Err(error) = answer {
        out.write_all(list.broken().as_bytes()).map_err(Failure::Output)?;
        return refused(Failure::of_client(error, None), json && list.is_untouched(), out);
    }
    written.and_then(|()| out.write_all(list.end().as_bytes())).map_err(Failure::Output)
}
