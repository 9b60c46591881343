//! Where in a configuration something is: a path that a person can follow, resolved to a line of the file
//! only when there is something to say about it.

use std::fmt;

use api::Severity;
use toml::de::{DeTable, DeValue};

/// A path such as `service[3].destination[1].weight`. Indices count from 0 in the order of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Empty: the file as a whole.
    pub table: &'static str,
    pub index: Option<usize>,
    /// Of a service.
    pub destination: Option<usize>,
    /// Empty: the table itself.
    pub key: &'static str,
}

impl Place {
    pub fn table(table: &'static str) -> Place {
        Place { table, ..Place::default() }
    }

    pub fn item(table: &'static str, index: usize) -> Place {
        Place { table, index: Some(index), ..Place::default() }
    }

    pub fn destination(service: usize, destination: usize) -> Place {
        Place { table: "service", index: Some(service), destination: Some(destination), key: "" }
    }

    pub fn key(self, key: &'static str) -> Place {
        Place { key, ..self }
    }

    /// Byte offset in the file: of the key's value if the key is there, else of the innermost table that is.
    pub fn offset(self, root: &DeTable<'_>) -> usize {
        let Some(mut found) = root.get(self.table) else { return 0 };
        for (list, index) in [("", self.index), ("destination", self.destination)] {
            let Some(index) = index else { continue };
            let inner = if list.is_empty() { Some(found) } else { found.get_ref().get(list) };
            match inner.and_then(|list| list.get_ref().as_array()?.get(index)) {
                Some(item) => found = item,
                None => return found.span().start,
            }
        }
        match found.get_ref() {
            DeValue::Table(table) if !self.key.is_empty() => {
                table.get(self.key).unwrap_or(found).span().start
            }
            _ => found.span().start,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        if let Some(index) = self.destination {
            write!(f, ".destination[{index}]")?;
        }
        if !self.key.is_empty() {
            write!(f, ".{}", self.key)?;
        }
        Ok(())
    }
}

/// Something about a configuration that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub severity: Severity,
    pub place: Place,
    /// What it is about in the owner's words: `service tcp 192.0.2.100:80`. Empty if the place says enough.
    pub subject: String,
    pub kind: IssueKind,
    /// What was found and what was expected.
    pub message: String,
}

/// The kind of refusal that an issue leads to when it came as a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueKind {
    Invalid,
    /// It is there already.
    Exists,
    /// It names something that is not there.
    NotFound,
    Limit,
}
