//! What is expected of each scenario, and the verdict on what came of it.
//!
//! Two lists lie beside this crate. `not_yet.toml` names, by missing feature, the scenarios that rvs cannot do; they are
//! replayed all the same, and one that passes fails the suite until its name is gone, so that the list only shrinks.
//! `differs.toml` names the steps at which rvs differs on purpose, why, and what it does instead, which is checked;
//! `docs/conformance.md` tells readers of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use crate::{Difference, Feature, Replay};

/// The two lists.
#[derive(Debug)]
pub struct Expectations {
    not_yet: BTreeMap<String, BTreeSet<Feature>>,
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
    /// Not as Linux; the list says what is missing.
    NotYet(BTreeSet<Feature>),
    /// The list says that something is missing, but it passes.
    NotYetNoMore,
    /// Not as Linux, or not as the lists say.
    Failed(Vec<String>),
}

impl Verdict {
    /// Whether the scenario went as in Linux.
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::NotYetNoMore)
    }

    /// Whether it went as the lists say.
    pub fn expected(&self) -> bool {
        matches!(self, Self::Passed { .. } | Self::NotYet(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed { on_purpose: 0 } => f.write_str("passed"),
            Self::Passed { on_purpose } => write!(f, "passed, {on_purpose} steps differ on purpose"),
            Self::NotYet(features) => {
                let names: Vec<&str> = features.iter().map(|feature| feature.name()).collect();
                write!(f, "not yet: {}", names.join(", "))
            }
            Self::NotYetNoMore => f.write_str("passed, though not_yet.toml has it: take its name out"),
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
        let not_yet = toml::from_str(include_str!("../not_yet.toml")).expect("not_yet.toml is valid");
        let differs: DiffersFile =
            toml::from_str(include_str!("../differs.toml")).expect("differs.toml is valid");
        Self::new(not_yet, differs.difference)
    }

    fn new(by_feature: BTreeMap<Feature, Vec<String>>, differs: Vec<Differs>) -> Self {
        let mut not_yet: BTreeMap<String, BTreeSet<Feature>> = BTreeMap::new();
        for (feature, scenarios) in by_feature {
            for scenario in scenarios {
                not_yet.entry(scenario).or_default().insert(feature);
            }
        }
        Self { not_yet, differs }
    }

    /// Every scenario that the lists name.
    pub fn scenarios(&self) -> BTreeSet<&str> {
        let differs = self.differs.iter().map(|differs| differs.scenario.as_str());
        self.not_yet.keys().map(String::as_str).chain(differs).collect()
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
        match self.not_yet.get(&replay.scenario) {
            Some(_) if why.is_empty() => Verdict::NotYetNoMore,
            Some(features) if replay.needs.is_subset(features) => Verdict::NotYet(features.clone()),
            None if why.is_empty() => Verdict::Passed { on_purpose: listed.len() },
            _ => Verdict::Failed(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_are_judged_by_the_lists() {
        let lists = Expectations::new(
            BTreeMap::from([(Feature::Sctp, vec!["later".into()])]),
            vec![Differs { scenario: "odd".into(), step: 3, reason: "why".into(), instead: "x".into() }],
        );
        let found = |step, got: &str| Difference { step, want: "w".into(), got: got.into() };
        let not_yet = || Verdict::NotYet(BTreeSet::from([Feature::Sctp]));
        let failed = |why: &str| Verdict::Failed(vec![why.into()]);
        let table = [
            ("plain", vec![], None, Verdict::Passed { on_purpose: 0 }),
            ("plain", vec![], Some(Feature::Ftp), failed("needs ftp")),
            ("plain", vec![found(1, "y")], None, failed("[1] Linux: w\n      rvs: y")),
            ("odd", vec![found(3, "x")], None, Verdict::Passed { on_purpose: 1 }),
            ("odd", vec![found(3, "y")], None, failed("[3] Linux: w\n      rvs: y")),
            ("odd", vec![], None, failed("[3] differs no more, though differs.toml has it")),
            ("later", vec![found(1, "y")], None, not_yet()),
            ("later", vec![], Some(Feature::Sctp), not_yet()),
            ("later", vec![], Some(Feature::Ftp), failed("needs ftp")),
            ("later", vec![], None, Verdict::NotYetNoMore),
        ];
        for (scenario, differences, needs, want) in table {
            let needs = needs.into_iter().collect();
            let replay = Replay { scenario: scenario.into(), frames: 0, frames_same: 0, needs, differences };
            assert_eq!(lists.judge(&replay), want, "{replay:?}");
        }
    }
}
