//! Rules that mark packets, and the sets that they name.

use std::collections::{HashMap, HashSet};

use api::{Family, MarkSpec, ServiceKey, Severity};

use super::Checker;
use crate::config::model::{MARKS_MAX, SET_MEMBERS_MAX};
use crate::config::place::{Issue, IssueKind, Place};

impl Checker<'_> {
    pub(super) fn marks(&mut self) {
        let config = self.config;
        let mut names: HashMap<&str, Place> = HashMap::new();
        let mut members = 0;
        for (i, set) in config.sets.iter().enumerate() {
            let place = Place::item("ipset", i);
            self.unique(&mut names, &set.name, place.key("name"));
            members += set.members.len();
            let mut seen = HashSet::with_capacity(set.members.len());
            for member in &set.members {
                if member.network() != *member {
                    let message = format!("found {member}, expected a prefix without host bits");
                    self.invalid(place.key("members"), message);
                } else if !seen.insert(member) {
                    self.duplicate(place.key("members"), format!("found {member} twice"));
                }
            }
        }
        let mut seen: HashMap<&MarkSpec, Place> = HashMap::new();
        for (i, mark) in config.marks.iter().enumerate() {
            let place = Place::item("mark", i);
            if let Some(first) = seen.insert(mark, place) {
                self.duplicate(place, format!("found the rule twice, first at {first}"));
            }
            self.mark(place, mark);
        }
        for (found, limit, table, what) in [
            (members, SET_MEMBERS_MAX, "ipset", "members of sets"),
            (config.marks.len(), MARKS_MAX, "mark", "rules"),
        ] {
            if found > limit {
                let message = format!("found {found} {what}, expected at most {limit}");
                self.error(IssueKind::Limit, Place::table(table), String::new(), message);
            }
        }
    }

    fn mark(&mut self, place: Place, mark: &MarkSpec) {
        let config = self.config;
        match (mark.fwmark, mark.mask) {
            (0, None) => {
                self.invalid(place.key("fwmark"), "found 0, expected a mark from 1 to 4294967295".to_owned());
            }
            (_, Some(0)) => {
                self.invalid(place.key("mask"), "found 0, expected a mask from 1 to 4294967295".to_owned());
            }
            (fwmark, Some(mask)) if fwmark & !mask != 0 => {
                let message = format!("found {fwmark}, which has bits beside mask = {mask}");
                self.invalid(place.key("fwmark"), message);
            }
            _ => {}
        }
        if let Some(name) = &mark.interface {
            self.interface_exists(place.key("interface"), name);
        }
        for (key, set) in [("source_set", &mark.source_set), ("destination_set", &mark.destination_set)] {
            let known = config.sets.iter().map(|set| set.name.as_str());
            if let Some(message) = set.as_ref().and_then(|name| self.unknown("ipset", name, known)) {
                self.error(IssueKind::NotFound, place.key(key), String::new(), message);
            }
        }
        let mut family = mark.family;
        for (key, prefix) in [("source", mark.source), ("destination", mark.destination)] {
            let Some(prefix) = prefix else { continue };
            let of = Family::of(prefix.address);
            if prefix.network() != prefix {
                self.invalid(place.key(key), format!("found {prefix}, expected a prefix without host bits"));
            } else if family.is_some_and(|family| family != of) {
                self.invalid(place.key(key), format!("found {prefix}, which no packet of the rule can have"));
            }
            family = family.or(Some(of));
        }
        let ports = [("source_ports", mark.source_ports), ("destination_ports", mark.destination_ports)];
        for (key, ports) in ports.into_iter().filter_map(|(key, ports)| Some((key, ports?))) {
            if mark.protocol.is_none() {
                self.invalid(place.key(key), format!("found {ports}, which needs a protocol"));
            }
        }
    }

    /// A service by mark gets no packet without a rule: legal, for the rule may come later.
    pub(super) fn service_without_rule(&mut self, index: usize, key: ServiceKey) {
        let ServiceKey::Mark { fwmark, family } = key else { return };
        let gives = |mark: &MarkSpec| {
            let mask = mark.mask.unwrap_or(u32::MAX);
            mark.fwmark == fwmark & mask
        };
        let marks = |mark: &MarkSpec| gives(mark) && mark.family.is_none_or(|of| of == family);
        if self.config.marks.iter().any(marks) {
            return;
        }
        self.issues.push(Issue {
            severity: Severity::Warning,
            place: Place::item("service", index).key("fwmark"),
            subject: format!("service {key}"),
            kind: IssueKind::NotFound,
            message: format!("found {fwmark}, which no [[mark]] gives: no packet is served until one does"),
        });
    }
}
