//! Programs: run to their end, or kept running with their output in a file.
//!
//! Invariant: a [`Process`] that goes out of scope is stopped and reaped, politely (SIGTERM) first.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Context, Error, Result};
use crate::run;

/// How long a program may take to follow SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `command` to its end and returns what it printed to standard output; a non-zero exit is an error that
/// carries the command and its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = start(command).and_then(|child| Ok(child.wait_with_output()?)).context(&shown)?;
    checked(&shown, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `command` to its end, its output on ours. It has a process group of its own, which a signal that ends this process
/// takes along: `cargo` with its compilers and tests does not go on alone.
pub fn foreground(command: &mut Command) -> Result<ExitStatus> {
    let shown = show(command);
    let mut child = run::in_foreground(|| Ok(command.process_group(0).spawn()?)).context(&shown)?;
    let status = child.wait();
    run::left_foreground(&child);
    status.context(shown)
}

/// Starts a program, unless everything is being removed: then this does not return.
fn start(command: &mut Command) -> Result<Child> {
    let _going_on = run::going_on();
    Ok(command.spawn()?)
}

/// The command line, as a person would type it.
pub fn show(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// Turns a non-zero exit into an error that quotes standard error.
pub(crate) fn checked(shown: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(format!("`{shown}`: {}: {}", output.status, stderr.trim())))
}

/// A program that runs in the background.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
    detached: bool,
}

impl Process {
    /// Starts `command`; both its outputs go to `log`. It gets a process group of its own, so that a Ctrl-C meant
    /// for us does not reach it before our clean-up does.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).context(log.display())?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = start(command).context(show(command))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned(), status: None, detached: false })
    }

    /// The process id (of the program itself: `ip netns exec` replaces itself by it).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that holds what it printed.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Lets it run on when this value is dropped (`demo --keep`).
    pub fn detach(mut self) {
        self.detached = true;
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid() as i32).ok_or_else(|| Error::new("no process id"))?;
        kill_process(pid, signal).context(format_args!("signal to {}", self.name))
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// An error that quotes the log, if the program has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => {
                Err(Error::new(format!("{} ended ({status}); it said:\n{}", self.name, self.log())))
            }
        }
    }

    /// Waits until the program ends by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Error::new(format!("{} still runs after {limit:?}", self.name)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks the program to end (SIGTERM), kills it if it does not, and returns its exit status.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        self.signal(Signal::TERM)?;
        if let Ok(status) = self.wait(GRACE) {
            return Ok(status);
        }
        self.child.kill()?;
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.detached && self.stop().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lab-process-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_failing_command_is_named_with_what_it_said() {
        let error =
            output(Command::new("sh").args(["-c", "echo no luck >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("no luck") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_process_is_stopped_and_its_output_kept() {
        let path = log("sleep");
        let mut process =
            Process::spawn("sleep", Command::new("sh").args(["-c", "echo up; exec sleep 60"]), &path)
                .unwrap();
        while !process.log().contains("up") {
            process.check_alive().unwrap();
        }
        let status = process.stop().unwrap();
        assert!(!status.success());
        assert!(process.check_alive().unwrap_err().to_string().contains("up"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_runs_in_the_foreground_is_waited_for() {
        assert_eq!(foreground(Command::new("sh").args(["-c", "exit 3"])).unwrap().code(), Some(3));
        assert!(foreground(&mut Command::new("/no/such/program")).is_err());
    }

    #[test]
    fn dropping_a_process_ends_it() {
        let path = log("drop");
        let process = Process::spawn("sleep", Command::new("sleep").arg("60"), &path).unwrap();
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        std::fs::remove_file(path).unwrap();
    }
}
