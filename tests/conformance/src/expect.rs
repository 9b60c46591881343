//! What is expected of each scenario, and the verdict on what came of it.
//!
//! A list lies beside this crate: `differs.toml` names the steps at which rvs differs on purpose, why, and what it does
//! instead, which is checked;
//! `docs/conformance.md` tells readers of them.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use crate::{Difference, Replay};

/// The list.
#[derive(Debug)]
pub struct Expectations {
    differs: Vec<Differs>,
}

/// A step at which rvs differs on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Differs {
    scenario: String,
    step: usize,
    reason: String,
    instead: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffersFile {
    #[serde(default)]
    difference: Vec<Differs>,
}

/// What came of a scenario, against what was expected.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As Linux, but for so many steps that differ on purpose, as listed.
    Passed {
        /// Steps that differ on purpose.
        on_purpose: usize,
    },
    /// Not as Linux, or not as the list says.
    Failed(Vec<String>),
}

impl Verdict {
    /// Whether the scenario went as in Linux, but for what the list has.
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { on_purpose: 0 } => f.write_str("passed"),
            Self::Passed { on_purpose } => write!(f, "passed, {on_purpose} steps differ on purpose"),
            Self::Failed(why) => write!(f, "FAILED: {}", why.join("\n")),
        }
    }
}

impl Expectations {
    /// Those of this repository.
    ///
    /// # Panics
    ///
    /// If the lists are not as described, which the suite's own tests find.
    pub fn of_the_repository() -> Self {
        let differs: DiffersFile =
            toml::from_str(include_str!("../differs.toml")).expect("differs.toml is valid");
        Self { differs: differs.difference }
    }

    /// Every scenario that the lists name.
    pub fn scenarios(&self) -> BTreeSet<&str> {
        self.differs.iter().map(|differs| differs.scenario.as_str()).collect()
    }

    /// What differs on purpose: scenario, step, reason.
    pub fn on_purpose(&self) -> impl Iterator<Item = (&str, usize, &str)> {
        self.differs.iter().map(|differs| (&*differs.scenario, differs.step, &*differs.reason))
    }

    /// The verdict on a replay.
    pub fn judge(&self, replay: &Replay) -> Verdict {
        let listed: Vec<&Differs> =
            self.differs.iter().filter(|differs| differs.scenario == replay.scenario).collect();
        let as_listed = |difference: &Difference| {
            listed.iter().any(|differs| differs.step == difference.step && differs.instead == difference.got)
        };
        let mut why: Vec<String> = replay.needs.iter().map(|feature| format!("needs {feature}")).collect();
        for Difference { step, want, got } in replay.differences.iter().filter(|d| !as_listed(d)) {
            why.push(format!(
                "[{step}] Linux: {want}\n{:>w$} rvs: {got}",
                "",
                w = step.to_string().len() + 4
            ));
        }
        for differs in listed.iter().filter(|d| !replay.differences.iter().any(|found| found.step == d.step))
        {
            why.push(format!("[{}] differs no more, though differs.toml has it", differs.step));
        }
        if why.is_empty() { Verdict::Passed { on_purpose: listed.len() } } else { Verdict::Failed(why) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Feature;

    #[test]
    fn replays_are_judged_by_the_lists() {
        let odd = Differs { scenario: "odd".into(), step: 3, reason: "why".into(), instead: "x".into() };
        let lists = Expectations { differs: vec![odd] };
        let found = |step, got: &str| Difference { step, want: "w".into(), got: got.into() };
        let failed = |why: &str| Verdict::Failed(vec![why.into()]);
        let table = [
            ("plain", vec![], None, Verdict::Passed { on_purpose: 0 }),
            ("plain", vec![], Some(Feature::Ftp), failed("needs ftp")),
            ("plain", vec![found(1, "y")], None, failed("[1] Linux: w\n      rvs: y")),
            ("odd", vec![found(3, "x")], None, Verdict::Passed { on_purpose: 1 }),
            ("odd", vec![found(3, "y")], None, failed("[3] Linux: w\n      rvs: y")),
            ("odd", vec![], None, failed("[3] differs no more, though differs.toml has it")),
        ];
        for (scenario, differences, needs, want) in table {
            let needs = needs.into_iter().collect();
            let replay = Replay { scenario: scenario.into(), frames: 0, frames_same: 0, needs, differences };
            assert_eq!(lists.judge(&replay), want, "{replay:?}");
        }
    }
}
