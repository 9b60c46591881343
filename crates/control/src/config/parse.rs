//! From the file's text to a [`Config`], with every error at once.

mod mark;
mod network;
mod service;
mod settings;
mod sync;

use std::collections::HashSet;
use std::sync::Arc;

use api::{Diagnostic, Severity};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use self::network::{address, neighbour, pool, port, route, vlan};
use self::settings::{daemon, dpdk, ipvs, limits, steering, workers};
use super::check::{self, Names};
use super::model::{Config, Service};
use super::place::{Issue, Place};
use super::section::{Report, Section, Verdict};
use super::settle::settle;

pub use self::network::{NAME, is_name};
pub use self::service::PERSISTENCE_MAX_S;

const ADDRESS: &str = "an address such as \"192.0.2.1\" or \"2001:db8::1\"";

/// What a text turned out to be.
#[derive(Debug)]
pub struct Parsed {
    /// Only if there is no error.
    pub config: Option<Config>,
    /// Errors and warnings in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and checks a configuration. `file` is its name for the diagnostics.
pub fn parse(file: &str, text: &str) -> Parsed {
    let mut report = Report::new(file, text);
    let (root, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let offset = error.span().map_or(0, |span| span.start);
        report.push(Severity::Error, offset, String::new(), one_line(error.message()));
    }
    let mut reader = Reader::default();
    let mut config = reader.config(root.get_ref(), &mut report);
    // A text that is no TOML has been read in part only: what seems to be missing may be there.
    if syntax.is_empty() {
        let mut issues = settle(&mut config);
        issues.extend(check::check(&config, &Names { unreadable: reader.unreadable.clone() }, None));
        for issue in issues {
            let place = reader.in_file(issue.place);
            let Issue { severity, subject, message, .. } = issue;
            let message = if subject.is_empty() { message } else { format!("{subject}: {message}") };
            report.push(severity, place.offset(root.get_ref()), place.to_string(), message);
        }
    }
    let diagnostics = report.into_diagnostics();
    let good = diagnostics.iter().all(|d| d.severity == Severity::Warning);
    Parsed { config: good.then_some(config), diagnostics }
}

/// A text as a configuration that nobody has checked, or what is wrong with its keys and values.
#[cfg(test)]
pub fn read_only(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let mut report = Report::new("", text);
    let (root, syntax) = DeTable::parse_recoverable(text);
    assert!(syntax.is_empty(), "{syntax:?}");
    let config = Reader::default().config(root.get_ref(), &mut report);
    let diagnostics = report.into_diagnostics();
    if diagnostics.is_empty() { Ok(config) } else { Err(diagnostics) }
}

fn one_line(message: &str) -> String {
    message.trim().replace('\n', ", ")
}

/// Remembers which tables could not be read: the others' indices in the file, and names that do exist.
#[derive(Default)]
struct Reader {
    /// Indices in the file of the good tables of each array of tables, if some were bad.
    kept: Vec<(&'static str, Vec<usize>)>,
    /// The same of each service's destinations.
    kept_dests: Vec<(usize, Vec<usize>)>,
    unreadable: HashSet<String>,
}

impl Reader {
    /// A place in the configuration as a place in the file.
    fn in_file(&self, place: Place) -> Place {
        let kept = self.kept.iter().find(|(table, _)| *table == place.table);
        let (Some((_, kept)), Some(index)) = (kept, place.index) else { return place };
        let Some(&in_file) = kept.get(index) else { return place };
        let dests = self.kept_dests.iter().find(|(service, _)| *service == in_file);
        let destination = match (place.destination, dests) {
            (Some(dest), Some((_, kept))) => kept.get(dest).copied(),
            (dest, _) => dest,
        };
        Place { index: Some(in_file), destination, ..place }
    }

    fn config<'s>(&mut self, root: &'s DeTable<'s>, report: &mut Report<'_>) -> Config {
        let mut top = Section::new(root, 0..0, Place::default(), report);
        let config = Config {
            daemon: single(&mut top, "daemon", daemon),
            dpdk: single(&mut top, "dpdk", dpdk),
            workers: single(&mut top, "workers", workers),
            limits: single(&mut top, "limits", limits),
            ports: self.items(&mut top, "port", |s| port(s)),
            vlans: self.items(&mut top, "vlan", |s| vlan(s)),
            addresses: self.items(&mut top, "address", |s| address(s)),
            routes: self.items(&mut top, "route", |s| route(s)),
            neighbours: self.items(&mut top, "neighbour", |s| neighbour(s)),
            pools: self.items(&mut top, "local_pool", |s| pool(s)),
            sets: self.items(&mut top, "ipset", |s| mark::set(s)),
            marks: self.items(&mut top, "mark", |s| mark::mark(s)),
            ipvs: single(&mut top, "ipvs", ipvs),
            steering: single(&mut top, "steering", steering),
            sync: self.items(&mut top, "sync", sync::daemon),
            services: self.services(&mut top),
        };
        top.finish();
        config
    }

    /// Every good table of `[[key]]`.
    fn items<'s, T>(
        &mut self,
        top: &mut Section<'s, '_, '_>,
        key: &'static str,
        read: impl Fn(&mut Section<'s, '_, '_>) -> Option<T>,
    ) -> Vec<T> {
        let tables = top.tables(key, "");
        let mut kept = Vec::with_capacity(tables.len());
        let mut items = Vec::with_capacity(tables.len());
        for (index, table) in tables {
            let Some(mut section) = section_of(table, Place::item(key, index), top.report()) else {
                continue;
            };
            let item = read(&mut section);
            match (section.finish(), item) {
                (Verdict::Good, Some(item)) => {
                    kept.push(index);
                    items.push(item);
                }
                _ => self
                    .unreadable
                    .extend(table.get_ref().get("name").and_then(|n| Some(n.get_ref().as_str()?.into()))),
            }
        }
        self.kept.push((key, kept));
        items
    }

    fn services<'s>(&mut self, top: &mut Section<'s, '_, '_>) -> Vec<Arc<Service>> {
        let tables = top.tables("service", "");
        let mut kept = Vec::with_capacity(tables.len());
        let mut services = Vec::with_capacity(tables.len());
        for (index, table) in tables {
            let Some(mut section) = section_of(table, Place::item("service", index), top.report()) else {
                continue;
            };
            let spec = service::service(&mut section);
            let port = spec.as_ref().map(|spec| spec.key.port());
            let dest_tables = section.tables("destination", "service");
            let total = dest_tables.len();
            let mut kept_dests = Vec::with_capacity(total);
            let mut dests = Vec::with_capacity(total);
            for (dest_index, table) in dest_tables {
                let place = Place::destination(index, dest_index);
                let Some(mut of_dest) = section_of(table, place, section.report()) else { continue };
                let dest = service::destination(&mut of_dest, port);
                if let (Verdict::Good, Some(dest)) = (of_dest.finish(), dest) {
                    kept_dests.push(dest_index);
                    dests.push(dest);
                }
            }
            if kept_dests.len() < total {
                self.kept_dests.push((index, kept_dests));
            }
            section.finish();
            if let Some(spec) = spec {
                kept.push(index);
                services.push(Arc::new(Service { spec, dests }));
            }
        }
        self.kept.push(("service", kept));
        services
    }
}

fn section_of<'s, 'r, 'a>(
    value: &'s Spanned<DeValue<'s>>,
    place: Place,
    report: &'r mut Report<'a>,
) -> Option<Section<'s, 'r, 'a>> {
    Some(Section::new(value.get_ref().as_table()?, value.span(), place, report))
}

/// The table `[key]`, or its defaults.
fn single<'s, T: Default>(
    top: &mut Section<'s, '_, '_>,
    key: &'static str,
    read: impl Fn(&mut Section<'s, '_, '_>) -> T,
) -> T {
    let Some(value) = top.raw(key) else { return T::default() };
    if value.get_ref().as_table().is_none() {
        let message = format!("found {}, expected a table written as [{key}]", value.get_ref().type_str());
        top.error(value.span().start, key, message);
    }
    let Some(mut section) = section_of(value, Place::table(key), top.report()) else { return T::default() };
    let value = read(&mut section);
    section.finish();
    value
}
