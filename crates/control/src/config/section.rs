//! Reading one TOML table key by key, noting everything that is wrong with it and going on.
//!
//! A reader asks for each key that it knows; [`Section::finish`] then reports the others. A value that cannot
//! be used is reported where it stands and reads as absent.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use api::{Diagnostic, ParseError, Severity};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::Place;
use super::suggest::nearest;

/// Where findings go; knows the lines of the file.
pub struct Report<'a> {
    file: &'a str,
    text: &'a str,
    /// Byte offset of the start of each line.
    lines: Vec<usize>,
    found: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Self {
        let starts = text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(i, _)| i + 1);
        Report { file, text, lines: std::iter::once(0).chain(starts).collect(), found: Vec::new() }
    }

    pub fn push(&mut self, severity: Severity, offset: usize, path: String, message: String) {
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = self.lines[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        self.found.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            line: line as u32,
            column: column as u32,
            path,
            message,
        });
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Everything found, in the order of the file.
    pub fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|d| (d.line, d.column));
        self.found
    }
}

/// One table being read.
pub struct Section<'s, 'r, 'a> {
    table: &'s DeTable<'s>,
    place: Place,
    span: Range<usize>,
    known: Vec<&'static str>,
    report: &'r mut Report<'a>,
    errors_before: usize,
}

impl<'s, 'r, 'a> Section<'s, 'r, 'a> {
    pub fn new(table: &'s DeTable<'s>, span: Range<usize>, place: Place, report: &'r mut Report<'a>) -> Self {
        let errors_before = report.len();
        Section { table, place, span, known: Vec::new(), report, errors_before }
    }

    /// The raw value of `key`, which thereby becomes a known one.
    pub fn raw(&mut self, key: &'static str) -> Option<&'s Spanned<DeValue<'s>>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// What is at `key` as `read` understands it; otherwise says what `expected`.
    pub fn value<T>(
        &mut self,
        key: &'static str,
        expected: impl fmt::Display,
        read: impl FnOnce(&'s DeValue<'s>) -> Option<T>,
    ) -> Option<T> {
        let value = self.raw(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            self.error(
                value.span().start,
                key,
                format!("found {}, expected {expected}", found(value.get_ref())),
            );
        }
        read
    }

    pub fn error(&mut self, offset: usize, key: &'static str, message: String) {
        let path = path_of(self.place, key);
        self.report.push(Severity::Error, offset, path, message);
    }

    /// An integer within `range`.
    pub fn int<T: TryFrom<i128> + fmt::Display + Copy + Into<i128>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let (low, high) = (*range.start(), *range.end());
        let read = move |value: &'s DeValue<'s>| {
            let value = integer(value)?;
            (low.into()..=high.into()).contains(&value).then(|| T::try_from(value).ok())?
        };
        self.value(key, format_args!("an integer from {low} to {high}"), read)
    }

    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.value(key, "`true` or `false`", DeValue::as_bool)
    }

    pub fn string(&mut self, key: &'static str, expected: &str) -> Option<&'s str> {
        self.value(key, expected, |value| value.as_str().filter(|s| !s.is_empty()))
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let list: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        self.value(key, format_args!("one of {}", list.join(", ")), |value| {
            let found = value.as_str()?;
            words.iter().find(|(word, _)| *word == found).map(|&(_, value)| value)
        })
    }

    /// A string that `T` understands; `expected` is for values that are no strings.
    pub fn parsed<T: FromStr>(&mut self, key: &'static str, expected: &str) -> Option<T> {
        self.value(key, expected, |value| value.as_str()?.parse().ok())
    }

    /// An array whose elements `read` understands; each bad one is reported. None if there is no array.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&'s DeValue<'s>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let array = self.value(key, format_args!("an array of {expected}s"), DeValue::as_array)?;
        let mut list = Vec::with_capacity(array.len());
        for element in array.iter() {
            match read(element.get_ref()) {
                Some(value) => list.push(value),
                None => {
                    let message = format!("found {}, expected {expected}", found(element.get_ref()));
                    self.error(element.span().start, key, message);
                }
            }
        }
        Some(list)
    }

    /// Reports that `key` is missing, unless it was there (and then was reported already).
    pub fn require<T>(&mut self, key: &'static str, value: Option<T>, expected: &str) -> Option<T> {
        if value.is_none() && !self.table.contains_key(key) {
            let message = format!("missing, expected {expected}");
            self.error(self.span.start, key, message);
        }
        value
    }

    /// The tables of the array of tables `key`, each with its index.
    pub fn tables(&mut self, key: &'static str, of: &str) -> Vec<(usize, &'s Spanned<DeValue<'s>>)> {
        let Some(value) = self.raw(key) else { return Vec::new() };
        let tables = value.get_ref().as_array().filter(|a| a.iter().all(|e| e.get_ref().is_table()));
        if tables.is_none() {
            let header = if of.is_empty() { key.to_owned() } else { format!("{of}.{key}") };
            let message =
                format!("found {}, expected tables written as [[{header}]]", found(value.get_ref()));
            self.error(value.span().start, key, message);
        }
        tables.map(|a| a.iter().enumerate().collect()).unwrap_or_default()
    }

    pub fn report(&mut self) -> &mut Report<'a> {
        self.report
    }

    /// The table `key` within this one as `read` understands it; None if there is none. `place` is its whole name.
    pub fn inner<T>(
        &mut self,
        key: &'static str,
        place: &'static str,
        read: impl FnOnce(&mut Section<'s, '_, '_>) -> Option<T>,
    ) -> Option<T> {
        let expected = format_args!("a table written as [{place}]");
        let value = self.value(key, expected, |value| value.is_table().then_some(()));
        value?;
        let value = self.table.get(key)?;
        let mut section =
            Section::new(value.get_ref().as_table()?, value.span(), Place::table(place), self.report);
        let read = read(&mut section);
        section.finish();
        read
    }

    /// Reports keys that nobody asked for. Whether the table was without error.
    pub fn finish(self) -> Verdict {
        for (key, _) in self.table.iter() {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let path = path_of(self.place, name);
            let hint = match nearest(name, self.known.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None if self.known.len() > KEYS_TOLD => {
                    format!("expected one of {}, …", self.known[..KEYS_TOLD].join(", "))
                }
                None => format!("expected one of {}", self.known.join(", ")),
            };
            self.report.push(
                Severity::Error,
                key.span().start,
                path,
                format!("found unknown key `{name}`, {hint}"),
            );
        }
        if self.report.len() == self.errors_before { Verdict::Good } else { Verdict::Bad }
    }
}

fn path_of(table: Place, key: &str) -> String {
    if table.table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// Known keys that are told to somebody who wrote an unknown one.
const KEYS_TOLD: usize = 16;

/// Whether a table could be read without error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
}

pub fn integer(value: &DeValue<'_>) -> Option<i128> {
    let integer = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A string that `T` understands.
pub fn parse_str<T: FromStr<Err = ParseError>>(value: &DeValue<'_>) -> Option<T> {
    value.as_str()?.parse().ok()
}

/// A value as an error text shows it.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) if s.chars().count() > 60 => {
            format!("{:?}…", s.chars().take(60).collect::<String>())
        }
        DeValue::String(s) => format!("{s:?}"),
        DeValue::Integer(i) => i.to_string(),
        DeValue::Float(x) => x.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(d) => d.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
