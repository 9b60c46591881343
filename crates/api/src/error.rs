//! Why a request was refused.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A refused request. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub code: ErrorCode,
    /// One line for people.
    pub message: String,
    /// The item or setting that it is about: `service tcp 192.0.2.100:80`, `limits.services`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// For [`ErrorCode::InvalidConfig`]: everything that is wrong with the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<Diagnostic>,
}

impl Error {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Error {
        Error { code, message: message.into(), what: None, diagnostics: Vec::new() }
    }

    /// Says what it is about.
    pub fn about(mut self, what: impl Into<String>) -> Error {
        self.what = Some(what.into());
        self
    }
}

/// The kind of refusal; stable names for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not a line of this protocol.
    BadRequest,
    /// The peer speaks another version.
    Version,
    /// The line is longer than [`crate::codec::MAX_LINE_BYTES`].
    TooLarge,
    /// The peer may not use this socket.
    PermissionDenied,
    /// Too many clients at once.
    Busy,
    NotFound,
    /// It is there already.
    Exists,
    /// Well-formed, but it cannot be: a wrong family, a weight out of range, …
    Invalid,
    /// It is used by something else.
    InUse,
    /// A `[limits]` setting is reached.
    Limit,
    /// Takes effect only with a restart.
    RestartRequired,
    /// The configuration text has errors: see `diagnostics`.
    InvalidConfig,
    /// A worker did not answer in time.
    Timeout,
    /// The daemon could not do it; its log says more.
    Internal,
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadRequest => "bad_request",
            ErrorCode::Version => "version",
            ErrorCode::TooLarge => "too_large",
            ErrorCode::PermissionDenied => "permission_denied",
            ErrorCode::Busy => "busy",
            ErrorCode::NotFound => "not_found",
            ErrorCode::Exists => "exists",
            ErrorCode::Invalid => "invalid",
            ErrorCode::InUse => "in_use",
            ErrorCode::Limit => "limit",
            ErrorCode::RestartRequired => "restart_required",
            ErrorCode::InvalidConfig => "invalid_config",
            ErrorCode::Timeout => "timeout",
            ErrorCode::Internal => "internal",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Warning,
    Error,
}

/// One thing about a configuration, with its place.
///
/// Displays as `rvs.toml:12:10: error: service[0].port: found 99999, expected …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The file's name; empty for what came as a request.
    pub file: String,
    /// From 1; 0 when there is no file.
    pub line: u32,
    /// In characters, from 1; 0 when there is no file.
    pub column: u32,
    /// The key's path: `service[0].destination[1].weight`; empty for the file as a whole.
    pub path: String,
    /// What was found and what was expected.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        }
        match self.severity {
            Severity::Warning => f.write_str("warning: ")?,
            Severity::Error => f.write_str("error: ")?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
