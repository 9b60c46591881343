//! What went wrong: its line on standard error and its exit code.
//!
//! A reader that closed the pipe (`rvsctl conn list | head`) is no failure.

use std::io::{self, Write};
use std::process::ExitCode;

use api::{ClientError, Diagnostic};
use clap::error::ErrorKind;

/// What the exit codes mean; the end of `rvsctl --help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  rvsd refused the request, or the checked file has errors; nothing has changed
  2  the command line is wrong, or a file that it names cannot be read
  3  rvsd cannot be reached, or the connection to it broke: what was asked may have been done
  4  the output cannot be written";

/// Why a command has not been done.
#[derive(Debug)]
pub enum Failure {
    /// Something on the command line that clap could not see.
    Usage(String),
    Refused(api::Error),
    /// The checked file's name and what is wrong with it.
    BadConfig {
        name: String,
        diagnostics: Vec<Diagnostic>,
    },
    Unreachable {
        error: ClientError,
        /// What to do without a daemon.
        hint: Option<String>,
    },
    Output(io::Error),
}

impl Failure {
    /// What a client's error is to the user.
    pub fn of_client(error: ClientError, hint: Option<String>) -> Failure {
        match error {
            ClientError::Refused(refusal) => Failure::Refused(refusal),
            error => Failure::Unreachable { error, hint },
        }
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Refused(_) | Failure::BadConfig { .. } => 1,
            Failure::Usage(_) => 2,
            Failure::Unreachable { .. } => 3,
            Failure::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => 0,
            Failure::Output(_) => 4,
        }
    }

    /// Everything to say about it: diagnostics a line each, then one line of its own. None: nothing.
    fn text(&self) -> Option<String> {
        let lines =
            |diagnostics: &[Diagnostic]| diagnostics.iter().map(|d| format!("{d}\n")).collect::<String>();
        let text = match self {
            Failure::Usage(message) => format!("rvsctl: {message}"),
            Failure::Refused(error) => format!("{}rvsctl: {}", lines(&error.diagnostics), refusal(error)),
            Failure::BadConfig { name, diagnostics } => {
                let errors = diagnostics.iter().filter(|d| d.severity == api::Severity::Error).count();
                let plural = if errors == 1 { "error" } else { "errors" };
                format!("{}rvsctl: {name} has {errors} {plural}", lines(diagnostics))
            }
            Failure::Unreachable { error, hint: None } => format!("rvsctl: {error}"),
            Failure::Unreachable { error, hint: Some(hint) } => format!("rvsctl: {error}; {hint}"),
            Failure::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => return None,
            Failure::Output(e) => format!("rvsctl: cannot write the output: {e}"),
        };
        Some(text)
    }

    /// Says it; the exit code. Nobody is left to hear that standard error is closed.
    pub fn report(&self, err: &mut impl Write) -> ExitCode {
        if let Some(text) = self.text() {
            let _ = writeln!(err, "{text}");
        }
        ExitCode::from(self.code())
    }
}

/// rvsd's words, which need not repeat what they are about.
fn refusal(error: &api::Error) -> String {
    match &error.what {
        Some(what) if !error.message.contains(what.as_str()) => format!("{what}: {}", error.message),
        _ => error.message.clone(),
    }
}

/// Help and version as clap writes them; anything else in one line.
pub fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Only a closed standard output can be the matter.
            let _ = error.print();
            ExitCode::from(if error.use_stderr() { 2 } else { 0 })
        }
        _ => Failure::Usage(one_line(&error.to_string())).report(&mut io::stderr().lock()),
    }
}

/// clap's message without its usage, and its tips behind it.
pub fn one_line(message: &str) -> String {
    let joined = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = message
        .split("\n\n")
        .map(joined)
        .filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"));
    let line = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    format!("{} (see --help)", line.strip_prefix("error: ").unwrap_or(&line))
}
