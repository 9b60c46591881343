//! One test for each scenario that Linux was recorded in, and that the lists fit the recordings.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use conformance::{Dump, Expectations, Frame, Step, read_scenario, recorded_scenarios, replay};

include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));

fn check(scenario: &str) {
    let replay = replay(&read_scenario(scenario).expect("the trace"));
    let verdict = Expectations::of_the_repository().judge(&replay);
    assert!(verdict.passed(), "{scenario}: {verdict}");
    println!("{scenario}: {} of {} frames, {verdict}", replay.frames_same, replay.frames);
}

fn index() -> BTreeSet<String> {
    let index = fs::read_to_string(recorded_scenarios().join("INDEX.txt")).expect("the index");
    index.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_index_names_every_trace() {
    let entries = fs::read_dir(recorded_scenarios()).expect("the folder").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let traces: BTreeSet<String> =
        names.filter_map(|name| name.strip_suffix(".json.gz").map(str::to_owned)).collect();
    assert_eq!(traces, index());
}

#[test]
fn the_lists_name_scenarios_that_exist() {
    let index = index();
    let lists = Expectations::of_the_repository();
    let strange: Vec<&str> = lists.scenarios().into_iter().filter(|name| !index.contains(*name)).collect();
    assert_eq!(strange, [""; 0]);
}

#[test]
fn the_documentation_tells_of_every_deliberate_difference() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let text = fs::read_to_string(path).expect("docs/conformance.md");
    let lists = Expectations::of_the_repository();
    let untold: Vec<_> = lists
        .on_purpose()
        .filter(|(scenario, step, reason)| !text.contains(&format!("| `{scenario}` | {step} | {reason} |")))
        .collect();
    assert_eq!(untold, []);
}

/// What the first frame that passes in a recording becomes when the recording is changed.
#[test]
fn a_recording_that_says_otherwise_differs() {
    type Change = fn(&mut Vec<Frame>);
    let changes: [(&str, Change); 4] = [
        ("a bit", |out| out[0].bytes[40] ^= 1),
        ("another link", |out| out[0].side = 'c'),
        ("a frame less", Vec::clear),
        ("a frame more", |out| out.push(out[0].clone())),
    ];
    for (name, change) in changes {
        let mut trace = read_scenario("nat_tcp_v4").expect("the trace");
        let frames = trace.steps.iter_mut().enumerate().filter_map(|(number, step)| match step {
            Step::In { out, .. } if !out.is_empty() => Some((number, out)),
            _ => None,
        });
        let (number, out) = frames.into_iter().next().expect("a frame that passes");
        change(out);
        let steps: Vec<usize> = replay(&trace).differences.iter().map(|found| found.step).collect();
        assert_eq!(steps, [number], "{name}");
    }
}

/// The same for what listings show.
#[test]
fn listings_that_say_otherwise_differ() {
    type Rows = fn(&mut Dump) -> &mut Vec<String>;
    let cases: [(&str, Rows, &str, &str); 7] = [
        ("list", |dump| &mut dump.list, "Masq    1", "Masq    2"),
        ("proc_ip_vs", |dump| &mut dump.proc_ip_vs, "0A00020B:1F90", "0A00020C:1F90"),
        ("stats", |dump| &mut dump.stats, " 80 ", " 81 "),
        ("thresholds", |dump| &mut dump.thresholds, "8080               0 ", "8080               9 "),
        ("timeouts", |dump| &mut dump.timeouts, "900", "901"),
        ("state", |dump| &mut dump.proc_conn, "ESTABLISHED", "FIN_WAIT"),
        ("seconds", |dump| &mut dump.proc_conn, " 897", " 893"),
    ];
    for (name, rows, was, says) in cases {
        let mut trace = read_scenario("stats_v4").expect("the trace");
        let dump = trace.steps.iter_mut().enumerate().find_map(|(number, step)| match step {
            Step::Dump(dump) => Some((number, dump)),
            _ => None,
        });
        let (number, dump) = dump.expect("a dump");
        let rows = rows(dump);
        let row = rows.iter_mut().find(|row| row.contains(was)).unwrap_or_else(|| panic!("{name}"));
        *row = row.replacen(was, says, 1);
        let steps: Vec<usize> = replay(&trace).differences.iter().map(|found| found.step).collect();
        assert_eq!(steps, [number], "{name}");
    }
}
