//! Replays a trace and compares every frame, connection, gauge and counter.
//!
//! What Linux refused has to be refused, with the same words. Not compared: what tools print beside the listings of [`Listing`]. Statistics are compared where the recording had waited for Linux's timer,
//! which sums them every two seconds.

use std::collections::BTreeSet;

use ipvs::{Helper, Helpers};

use crate::command::{self, Command, Listing};
use crate::compare::{self, Pair};
use crate::lab::{Refusal, is_igmp};
use crate::messages::Messages;
use crate::trace::{Dump, Frame};
use crate::{Feature, Lab, Step, Trace, recorded};

/// How long Linux takes at most to sum its statistics.
const STATISTICS_MS: u64 = 2000;

/// How long it takes to record a dump, whose listings are taken one after another, and how late Linux's timers are: what
/// ends in this time may be there or not.
const TIMER_LATE_MS: u64 = 300;

/// How late a message of synchronisation may come behind the end of a recording.
const MESSAGE_LATE_MS: u64 = 1300;

/// What came of a trace.
#[derive(Debug)]
pub struct Replay {
    /// The scenario's name.
    pub scenario: String,
    /// Frames of the recording that were compared: those that arrived, and those that came of them.
    pub frames: usize,
    /// Those of them that belong to steps without a difference.
    pub frames_same: usize,
    /// What the scenario asked for that the laboratory has no way to give.
    pub needs: BTreeSet<Feature>,
    /// Steps that went otherwise.
    pub differences: Vec<Difference>,
}

/// A step that went otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its number in the recording, from 0.
    pub step: usize,
    /// What was recorded.
    pub want: String,
    /// What came instead.
    pub got: String,
}

/// Replays a trace, as bursts and as single packets.
///
/// # Panics
/// If the two go differently.
pub fn replay(trace: &Trace) -> Replay {
    let (singly, in_bursts) = (replayed(trace, false), replayed(trace, true));
    assert_eq!(singly.differences, in_bursts.differences, "{}: one at a time, in bursts", trace.scenario);
    in_bursts
}

fn replayed(trace: &Trace, in_bursts: bool) -> Replay {
    let mut run = Run {
        lab: Lab::with_connections(4000),
        needs: BTreeSet::new(),
        quiet_ms: 0,
        left: Vec::new(),
        messages: Messages::default(),
    };
    run.lab.host_answers = true;
    run.lab.in_bursts = in_bursts;
    if trace.extra_modules.split_whitespace().any(|module| module == "ip_vs_ftp") {
        run.lab.helpers = Helpers::NONE.with(Helper::Ftp, &[Helper::Ftp.well_known_port()]);
    }
    for (name, value) in &trace.sysctl_set {
        let set = run.lab.set(name.trim_start_matches("net.ipv4.vs."), value);
        run.needs.extend(set.err());
    }
    let (mut frames, mut frames_same) = (0, 0);
    let mut differences = Vec::new();
    for (number, step) in trace.steps.iter().enumerate() {
        let (of_step, difference) = run.step(number, step);
        frames += of_step;
        match difference {
            Some((want, got)) => differences.push(Difference { step: number, want, got }),
            None => frames_same += of_step,
        }
    }
    if run.messages.lacks() {
        run.advance_to(run.lab.now_ms + MESSAGE_LATE_MS);
        run.messages.came(trace.steps.len(), run.lab.now_ms..=run.lab.now_ms, &run.left);
    }
    differences.extend(run.messages.differences());
    differences.sort_by_key(|difference| difference.step);
    Replay { scenario: trace.scenario.clone(), frames, frames_same, needs: run.needs, differences }
}

struct Run {
    lab: Lab,
    needs: BTreeSet<Feature>,
    /// How long no frame has arrived.
    quiet_ms: u64,
    /// Frames that left by themselves, not compared yet.
    left: Vec<Frame>,
    messages: Messages,
}

impl Run {
    /// Does a step. Returns how many frames it has, and what differs.
    fn step(&mut self, number: usize, step: &Step) -> (usize, Option<Pair>) {
        let before_ms = self.lab.now_ms;
        match step {
            Step::Note {} => (0, None),
            Step::Cmd { cmd, rc, out, frames } => {
                let frames = without_igmp(frames);
                let difference = self.command(cmd, *rc, out);
                (frames.len(), difference.or_else(|| compare::frames(&frames, &[], false)))
            }
            Step::Wait { ms, out } => {
                self.quiet_ms += ms;
                self.advance_to(self.lab.now_ms + ms);
                let span = || before_ms..=self.lab.now_ms;
                let want = self.messages.recorded(number, span(), &without_igmp(out));
                let got = self.messages.came(number, span(), &std::mem::take(&mut self.left));
                (out.len(), compare::frames_of_timers(&want, &got))
            }
            Step::In { frame, t_ms, out } => {
                self.quiet_ms = 0;
                self.advance_to(*t_ms);
                let span = || before_ms..=self.lab.now_ms;
                let want = self.messages.recorded(number, span(), out);
                self.left = self.messages.came(number, span(), &self.left);
                (1 + out.len(), self.frame(frame, &want))
            }
            Step::Conns { t_ms, proc_conn } => {
                self.advance_to(*t_ms);
                (0, compare::connections(&recorded::connections(proc_conn), &self.lab.connections()))
            }
            Step::Dump(dump) => (0, self.dump(dump)),
        }
    }

    fn frame(&mut self, frame: &Frame, out: &[Frame]) -> Option<Pair> {
        let mut outcome = self.lab.receive(frame.side, &frame.bytes);
        if !self.left.is_empty() {
            outcome.made = true;
            outcome.out.splice(..0, self.left.drain(..).map(|frame| (frame.side, frame.bytes)));
        }
        compare::outcome(frame, out, &outcome)
    }

    fn advance_to(&mut self, now_ms: u64) {
        self.left.extend(self.lab.advance_to(now_ms));
    }

    /// Does the commands of a line and compares how they ended and what they printed. The last one's end is the line's.
    fn command(&mut self, line: &str, rc: i32, printed: &str) -> Option<Pair> {
        let mut lines: Vec<&str> = printed.lines().collect();
        let (mut difference, mut ended) = (None, 0);
        for command in command::parse(line) {
            let done = self.lab.run(&command);
            ended = exit_code(&command, &done);
            match (done, command) {
                (Err(Refusal::Needs(feature)), _) => {
                    self.needs.insert(feature);
                    return difference;
                }
                (Err(Refusal::Refused(why)), _) => {
                    let want = if lines.is_empty() { "nothing" } else { lines.remove(0) };
                    if want != why {
                        difference = difference.or(Some((want.to_owned(), why)));
                    }
                }
                (Ok(()), Command::Show(listing)) => {
                    let section = recorded::section(&mut lines, listing);
                    difference = difference.or(self.listing(listing, section.into_iter()));
                }
                (Ok(()), _) => {}
            }
        }
        difference.or_else(|| (rc != ended).then(|| (format!("exit code {rc}"), format!("{ended}"))))
    }

    fn dump(&mut self, dump: &Dump) -> Option<Pair> {
        self.advance_to(dump.t_ms.saturating_sub(TIMER_LATE_MS));
        let early = self.listings(dump);
        self.advance_to(dump.t_ms);
        let late = self.listings(dump);
        early.into_iter().zip(late).find_map(|(early, late)| early.and(late))
    }

    /// How each listing of a dump differs.
    fn listings(&self, dump: &Dump) -> [Option<Pair>; 7] {
        let listing = |kind, rows: &[String]| self.listing(kind, rows.iter().map(String::as_str));
        [
            listing(Listing::List, &dump.list),
            listing(Listing::Proc, &dump.proc_ip_vs),
            listing(Listing::Thresholds, &dump.thresholds),
            listing(Listing::Timeouts, &dump.timeouts),
            listing(Listing::Daemons, &dump.daemon),
            self.stats(dump),
            compare::connections(&recorded::connections(&dump.proc_conn), &self.lab.connections()),
        ]
    }

    fn listing<'a>(&self, listing: Listing, lines: impl Iterator<Item = &'a str>) -> Option<Pair> {
        let (want, got) = match listing {
            Listing::Timeouts => (lines.collect::<String>().trim().to_owned(), self.lab.timeouts()),
            Listing::Totals => (format!("{:?}", recorded::totals(lines)), format!("{:?}", self.lab.totals())),
            Listing::Daemons => {
                let rows: Vec<&str> = lines.filter(|row| !row.is_empty()).collect();
                (rows.join("; "), self.lab.daemon_rows().join("; "))
            }
            Listing::Origins(port) => {
                let mut got = self.lab.connections_with_origin();
                let of_port = |row: &str, port| row.contains(&format!(" {port:04X} "));
                got.retain(|(row, _)| port.is_none_or(|port| of_port(row, port)));
                return compare::connections(&recorded::connections_with_origin(lines), &got);
            }
            Listing::Proc | Listing::Unsorted => {
                let want = recorded::blocks(lines);
                if self.lab.list_by_salt(listing).any(|got| got == want) {
                    return None;
                }
                return compare::in_order(&want, &self.lab.list(listing));
            }
            Listing::Saved => return compare::blocks(recorded::saved(lines), self.lab.list(listing)),
            Listing::Stats => return compare::blocks(recorded::blocks(lines), self.lab.stats()),
            Listing::Rate => {
                let want = recorded::names(recorded::blocks(lines));
                return compare::blocks(want, recorded::names(self.lab.list(listing)));
            }
            Listing::List | Listing::One(_) | Listing::Persistent | Listing::Thresholds => {
                return compare::blocks(recorded::blocks(lines), self.lab.list(listing));
            }
        };
        (want != got).then_some((want, got))
    }

    fn stats(&self, dump: &Dump) -> Option<Pair> {
        if self.quiet_ms < STATISTICS_MS {
            return None;
        }
        let want = recorded::blocks(dump.stats.iter().map(String::as_str));
        compare::blocks(want, self.lab.stats())
    }
}

/// What ipvsadm ends with: it finds its words wrong, what it asked for is not there to be shown, or the kernel refuses.
fn exit_code(command: &Command, done: &Result<(), Refusal>) -> i32 {
    match (command, done) {
        (_, Ok(()) | Err(Refusal::Needs(_))) => 0,
        (Command::Wrong(_), _) => 2,
        (Command::Show(_), _) => 1,
        _ => 255,
    }
}

/// Frames but for those in which the host says which groups it listens to.
fn without_igmp(frames: &[Frame]) -> Vec<Frame> {
    frames.iter().filter(|frame| !is_igmp(&frame.bytes)).cloned().collect()
}
