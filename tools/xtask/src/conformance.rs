//! Replays recordings of Linux through the director: a line for each scenario, then how many passed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use conformance::{Expectations, Replay, Verdict, read_folder, recorded_scenarios, replay};
use lab::{Error, Result};

/// How many went how.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
}

/// `cargo xtask conformance [--verbose] [DIR]`: an error if any scenario does not pass.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let (verbose, folder) = match args {
        [] => (false, recorded_scenarios()),
        ["--verbose"] => (true, recorded_scenarios()),
        ["--verbose", folder] => (true, PathBuf::from(folder)),
        [folder] if !folder.starts_with('-') => (false, PathBuf::from(folder)),
        _ => return Err(Error::new("conformance takes one folder of traces at most, --verbose before it")),
    };
    let tally = table(&folder, verbose)?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed == 0 { Ok(()) } else { Err(Error::new(format!("{} failed", tally.failed))) }
}

fn table(folder: &Path, verbose: bool) -> Result<Tally> {
    let traces = read_folder(folder).map_err(|error| Error::new(error.to_string()))?;
    let lists = Expectations::of_the_repository();
    let mut tally = Tally::default();
    println!("{:<32} {:>13}  result", "scenario", "frames");
    for trace in &traces {
        // One that breaks the director must not hide the others.
        let Ok(replay) = catch_unwind(AssertUnwindSafe(|| replay(trace))) else {
            println!("{:<32} {:>13}  FAILED: the replay panicked", trace.scenario, "");
            tally.failed += 1;
            continue;
        };
        let verdict = lists.judge(&replay);
        let frames = format!("{}/{}", replay.frames_same, replay.frames);
        println!("{:<32} {frames:>13}  {}", replay.scenario, result(&verdict, &replay, verbose));
        *if verdict.passed() { &mut tally.passed } else { &mut tally.failed } += 1;
    }
    Ok(tally)
}

/// The verdict in one line, and what differs below it if that is asked for.
fn result(verdict: &Verdict, replay: &Replay, verbose: bool) -> String {
    const STEPS_SHOWN: usize = 8;
    let steps: Vec<String> = replay.differences.iter().map(|found| found.step.to_string()).collect();
    let more = if steps.len() > STEPS_SHOWN { ", …" } else { "" };
    let steps = format!("differs at steps [{}{more}]", steps[..steps.len().min(STEPS_SHOWN)].join(", "));
    let mut text = match verdict {
        Verdict::Passed { .. } => return verdict.to_string(),
        Verdict::Failed(_) if replay.needs.is_empty() => format!("FAILED {steps}"),
        Verdict::Failed(_) => {
            let needs: Vec<&str> = replay.needs.iter().map(|feature| feature.name()).collect();
            format!("FAILED needs [{}], {steps}", needs.join(", "))
        }
    };
    if verbose {
        for found in &replay.differences {
            text += &format!("\n  [{}]\n    Linux: {}\n    rvs:   {}", found.step, found.want, found.got);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused() {
        for bad in [&["--fast"][..], &["a", "b"], &["no/such/folder"]] {
            assert!(run(bad).is_err(), "{bad:?}");
        }
    }
}
