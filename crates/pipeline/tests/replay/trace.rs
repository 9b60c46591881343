//! Recorded traces: what was done to a Linux director, and what it did.
//!
//! One step a line, `[number] word …`, followed by indented lines that belong to it. Frames are hexadecimal, with
//! `[xx*n]` for a byte that repeats.

/// A step of a trace.
#[derive(Debug)]
pub struct Step {
    /// Its number in the recording.
    pub number: usize,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    /// A command, and whether it succeeded.
    Command { line: String, succeeded: bool },
    /// A frame arrives, and these leave because of it.
    Frame { at_ms: u64, side: char, frame: Vec<u8>, out: Vec<(char, Vec<u8>)> },
    /// Time passes.
    Wait { ms: u64 },
    /// `/proc/net/ip_vs_conn`.
    Connections { at_ms: u64, rows: Vec<String> },
    /// `ipvsadm -Ln` and `ipvsadm -Ln --stats`.
    Dump { list: Vec<String>, stats: Vec<String> },
}

/// A trace.
pub struct Trace {
    /// `vs/` settings that are not the default.
    pub sysctls: Vec<(String, u64)>,
    pub steps: Vec<Step>,
}

impl Trace {
    pub fn parse(text: &str) -> Trace {
        let mut trace = Trace { sysctls: Vec::new(), steps: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(row) = line.strip_prefix("    ") {
                trace.steps.last_mut().expect("a step before its rows").row(row);
            } else if let Some(setting) = line.strip_prefix("sysctl ") {
                let (name, value) = setting.split_once(' ').expect("name and value");
                trace.sysctls.push((name.into(), number(value)));
            } else {
                trace.steps.push(Step::parse(line));
            }
        }
        trace
    }
}

impl Step {
    fn parse(line: &str) -> Step {
        let (at, rest) = line.strip_prefix('[').and_then(|line| line.split_once("] ")).expect("[number]");
        let rest = rest.split("   # ").next().expect("what is before a note");
        let words: Vec<&str> = rest.split(' ').collect();
        let action = match words[0] {
            "cmd" => Action::Command { line: words[2..].join(" "), succeeded: words[1] == "0" },
            "in" => Action::Frame {
                at_ms: number(words[1]),
                side: side(words[2]),
                frame: hex(words[3]),
                out: vec![],
            },
            "wait" => Action::Wait { ms: number(words[1]) },
            "conns" => Action::Connections { at_ms: number(words[1]), rows: vec![] },
            "dump" => Action::Dump { list: vec![], stats: vec![] },
            other => panic!("unknown step {other}"),
        };
        Step { number: number(at) as usize, action }
    }

    fn row(&mut self, row: &str) {
        match &mut self.action {
            Action::Frame { out, .. } => {
                let words: Vec<&str> = row.split(' ').collect();
                out.push((side(words[1]), hex(words[2])));
            }
            Action::Connections { rows, .. } => rows.push(row.into()),
            Action::Dump { list, stats } => match row.split_once(' ').expect("which listing") {
                ("list", row) => list.push(row.into()),
                (_, row) => stats.push(row.into()),
            },
            // Neighbour solicitations that Linux repeats.
            Action::Wait { .. } => {}
            Action::Command { .. } => panic!("a command has no rows"),
        }
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("a number: {word}"))
}

fn side(word: &str) -> char {
    word.chars().next().expect("c or s")
}

fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(run) = rest.strip_prefix('[') {
            let (run, after) = run.split_once(']').expect("]");
            let (byte, count) = run.split_once('*').expect("*");
            let byte = u8::from_str_radix(byte, 16).expect("hexadecimal");
            bytes.extend(std::iter::repeat_n(byte, number(count) as usize));
            rest = after;
        } else {
            bytes.push(u8::from_str_radix(&rest[..2], 16).expect("hexadecimal"));
            rest = &rest[2..];
        }
    }
    bytes
}
