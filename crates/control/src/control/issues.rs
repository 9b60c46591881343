//! What the checks found, as an answer to a request.

use api::{Diagnostic, Error, ErrorCode, Severity};

use crate::config::{Issue, IssueKind};

/// The first error refuses the request; otherwise its warnings. A request has no lines.
pub(super) fn request_issues(issues: Vec<Issue>) -> Result<Vec<Diagnostic>, Error> {
    if let Some(issue) = issues.iter().find(|issue| issue.severity == Severity::Error) {
        let code = match issue.kind {
            IssueKind::Invalid => ErrorCode::Invalid,
            IssueKind::Exists => ErrorCode::Exists,
            IssueKind::NotFound => ErrorCode::NotFound,
            IssueKind::Limit => ErrorCode::Limit,
        };
        let (about, key) = match issue.subject.as_str() {
            "" => (issue.place.to_string(), ""),
            subject => (subject.to_owned(), issue.place.key),
        };
        let message = match key {
            "" => format!("{about}: {}", issue.message),
            key => format!("{about}: {key}: {}", issue.message),
        };
        return Err(Error::new(code, message).about(about));
    }
    Ok(issues.into_iter().map(warning).collect())
}

fn warning(issue: Issue) -> Diagnostic {
    let Issue { severity, place, subject, message, .. } = issue;
    let path = match (subject.as_str(), place.key) {
        ("", _) => place.to_string(),
        (_, "") => subject,
        (_, key) => format!("{subject}: {key}"),
    };
    Diagnostic { severity, file: String::new(), line: 0, column: 0, path, message }
}
