//! One run of the laboratory: the owner of its namespaces, its processes and its folder.
//!
//! Invariant: what exists carries the run's name, so that it can be found and removed without its maker: by the
//! signal handler, by the next run when this one was killed, or by `demo --stop` when it was kept on purpose.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::error::{Context, Result};
use crate::netns::Namespace;
use crate::process;

const PREFIX: &str = "rvs-";
const NAMESPACES: &str = "/run/netns";
/// The file in a run's folder that says which process made it: its start time, in clock ticks since boot.
const OWNER: &str = "owner";
/// The file in a run's folder that says that it is to outlive its maker.
const KEEP: &str = "keep";

/// The runs of this process that are to be removed if a signal ends it.
static LIVE: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// The thread that removes everything because a signal said so; nobody else makes anything any more.
static ENDING: Mutex<Option<ThreadId>> = Mutex::new(None);
/// Files of the system that hold something else than before, with what they held.
static CHANGED: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());
/// Process groups that end with this process.
static FOREGROUND: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static NEXT: AtomicU32 = AtomicU32::new(0);
static SIGNALS: Once = Once::new();

/// A run. Dropping it removes everything that was made under its name.
#[derive(Debug)]
pub struct Lab {
    id: String,
    dir: PathBuf,
    kept: bool,
}

impl Lab {
    /// Starts a run; removes what dead runs left behind.
    pub fn new() -> Result<Self> {
        SIGNALS.call_once(clean_up_on_signals);
        remove_stale()?;
        let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = dir_of(&id);
        std::fs::create_dir_all(&dir).context(dir.display())?;
        std::fs::write(dir.join(OWNER), start_time(std::process::id()).unwrap_or_default())?;
        locked(&LIVE).push(id.clone());
        Ok(Self { id, dir, kept: false })
    }

    /// The run's own folder: configurations, logs, sockets. Goes with the run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes a namespace called `rvs-RUN-role`.
    pub fn namespace(&self, role: &str) -> Result<Namespace> {
        Namespace::create(&format!("{PREFIX}{}-{role}", self.id))
    }

    /// Leaves everything in place when this value is dropped; [`remove_kept`] removes it.
    pub fn keep(&mut self) -> Result<()> {
        std::fs::write(self.dir.join(KEEP), "")?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        locked(&LIVE).retain(|id| *id != self.id);
        if !self.kept {
            remove(&self.id);
        }
    }
}

/// A file of the system (`/proc/sys/…`) that holds something else while this lives, and its old content again when
/// it is dropped or a signal ends the process.
#[derive(Debug)]
pub struct Changed {
    path: PathBuf,
}

impl Changed {
    /// Writes `content` into `path`.
    pub fn new(path: impl Into<PathBuf>, content: &str) -> Result<Self> {
        let path = path.into();
        let before = std::fs::read_to_string(&path).context(path.display())?;
        locked(&CHANGED).push((path.clone(), before));
        // From here on dropping undoes it, also where writing fails halfway.
        let changed = Self { path };
        std::fs::write(&changed.path, content).context(changed.path.display())?;
        Ok(changed)
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let mut changed = locked(&CHANGED);
        if let Some(at) = changed.iter().rposition(|(path, _)| *path == self.path) {
            let (path, before) = changed.remove(at);
            let _ = std::fs::write(path, before);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever makes a namespace or starts a program holds this meanwhile. When a signal is ending this process it does
/// not return: what was made now would be left behind.
pub(crate) fn going_on() -> MutexGuard<'static, Option<ThreadId>> {
    loop {
        let ending = locked(&ENDING);
        if ending.is_none_or(|thread| thread == thread::current().id()) {
            return ending;
        }
        drop(ending);
        thread::park();
    }
}

/// Starts a leader of a process group that is to end with this process, unless that is ending: then this does not return.
pub(crate) fn in_foreground(start: impl FnOnce() -> Result<Child>) -> Result<Child> {
    SIGNALS.call_once(clean_up_on_signals);
    let _going_on = going_on();
    let child = start()?;
    locked(&FOREGROUND).push(child.id());
    Ok(child)
}

/// The leader has ended.
pub(crate) fn left_foreground(child: &Child) {
    locked(&FOREGROUND).retain(|pid| *pid != child.id());
}

fn end_foreground() {
    for &pid in locked(&FOREGROUND).iter() {
        // Somebody else's by now, if the leader ended a moment ago.
        if parent(pid) == Some(std::process::id())
            && let Some(group) = Pid::from_raw(pid as i32)
        {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

/// Removes the runs that were kept on purpose; returns how many there were.
pub fn remove_kept() -> Result<usize> {
    let kept: Vec<String> = runs()?.into_iter().filter(|id| dir_of(id).join(KEEP).exists()).collect();
    kept.iter().for_each(|id| remove(id));
    Ok(kept.len())
}

/// Removes the runs whose process is gone and that nobody asked to keep.
fn remove_stale() -> Result<()> {
    for id in runs()? {
        if !dir_of(&id).join(KEEP).exists() && !owner_lives(&id) {
            remove(&id);
        }
    }
    Ok(())
}

/// The ids of all runs that left a trace: a folder or a namespace.
fn runs() -> Result<Vec<String>> {
    let mut ids: Vec<String> = namespaces().iter().filter_map(|name| run_of(name)).collect();
    if let Ok(entries) = std::fs::read_dir(root()) {
        ids.extend(entries.flatten().filter_map(|entry| run_of(&entry.file_name().to_string_lossy())));
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

fn root() -> PathBuf {
    std::env::temp_dir().join("rvs-lab")
}

fn dir_of(id: &str) -> PathBuf {
    root().join(format!("{PREFIX}{id}"))
}

fn namespaces() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(NAMESPACES) else { return Vec::new() };
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The run `PID-N` of a name `rvs-PID-N` or `rvs-PID-N-role`.
fn run_of(name: &str) -> Option<String> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
    let pid: u32 = parts.next()?.parse().ok()?;
    let n: u32 = parts.next()?.parse().ok()?;
    Some(format!("{pid}-{n}"))
}

/// Whether the process that made the run still runs: same id and same start time.
fn owner_lives(id: &str) -> bool {
    let Some(pid) = id.split('-').next().and_then(|pid| pid.parse().ok()) else { return false };
    match (start_time(pid), std::fs::read_to_string(dir_of(id).join(OWNER))) {
        (None, _) => false,
        (Some(now), Ok(then)) => now == then,
        // The folder is made before the namespaces and removed after them: without it nobody lives there.
        (Some(_), Err(_)) => false,
    }
}

/// Field 22 of `/proc/PID/stat`: when the process started; `None` if it is gone, also if only its parent has not
/// noticed yet.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let state = after_name.next()?;
    if state == "Z" { None } else { after_name.nth(18).map(str::to_owned) }
}

/// Ends every process of a run, removes its namespaces, then its folder. Goes on past what fails: something is
/// better removed in part than not at all, and the next run tries again.
fn remove(id: &str) {
    let mine = format!("{PREFIX}{id}-");
    let names: Vec<String> = namespaces().into_iter().filter(|name| name.starts_with(&mine)).collect();
    end_processes(&names);
    for name in &names {
        let _ = process::output(Command::new("ip").args(["netns", "del", name]));
    }
    let _ = std::fs::remove_dir_all(dir_of(id));
}

fn end_processes(namespaces: &[String]) {
    let pids = || -> Vec<Pid> { namespaces.iter().flat_map(|name| pids_in(name)).collect() };
    for pid in pids() {
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    while !pids().is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    for pid in pids() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn pids_in(namespace: &str) -> Vec<Pid> {
    let listed = process::output(Command::new("ip").args(["netns", "pids", namespace])).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// Ends the programs that had not entered their namespace yet when its processes were ended.
fn end_children() {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if parent(pid) == Some(std::process::id())
            && let Some(pid) = Pid::from_raw(pid as i32)
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Field 4 of `/proc/PID/stat`.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// On SIGINT, SIGTERM and SIGHUP: end what runs in the foreground, remove this process's runs, then exit as the signal would have had it.
fn clean_up_on_signals() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            *locked(&ENDING) = Some(thread::current().id());
            end_foreground();
            // The main thread may be tidying up at this moment: then its run is removed twice, which does no harm.
            let live = locked(&LIVE).clone();
            live.iter().for_each(|id| remove(id));
            // Without a run of ours that is to go, our programs are those of one that is kept.
            if !live.is_empty() {
                end_children();
            }
            for (path, before) in locked(&CHANGED).drain(..).rev() {
                let _ = std::fs::write(path, before);
            }
            std::process::exit(128 + signal);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_recognised_by_name() {
        for (name, want) in [
            ("rvs-12-0-client", Some("12-0")),
            ("rvs-12-3", Some("12-3")),
            ("rvs-x-0-client", None),
            ("other-12-0", None),
        ] {
            assert_eq!(run_of(name).as_deref(), want, "{name}");
        }
    }

    #[test]
    fn a_changed_file_gets_its_content_back() {
        let path = std::env::temp_dir().join(format!("lab-changed-{}", std::process::id()));
        std::fs::write(&path, "before").unwrap();
        let changed = Changed::new(&path, "meanwhile").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "meanwhile");
        drop(changed);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before");
        std::fs::remove_file(&path).unwrap();
        assert!(Changed::new(&path, "").is_err());
    }

    #[test]
    fn a_process_knows_its_parent() {
        assert_eq!(parent(std::process::id()), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(u32::MAX), None);
    }

    #[test]
    fn a_process_is_known_by_its_start_time() {
        assert!(start_time(std::process::id()).is_some_and(|time| time.parse::<u64>().is_ok()));
        assert_eq!(start_time(u32::MAX), None);
    }
}
