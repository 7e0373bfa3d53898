//! Failures of calls: which of the server's codes mean what (docs/velociraptor-api.md §1.8).

use std::error::Error as StdError;
use std::fmt::Write as _;

use tonic::{Code, Status};
use vfs::{Error, ErrorKind};

/// Why a call failed. Texts name no path of the server's own disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection, or it broke. The transport's own words.
    #[error("the Velociraptor server cannot be reached: {0}")]
    Unreachable(String),
    /// The deadline passed.
    #[error("the Velociraptor server did not answer in time")]
    TimedOut,
    /// Our user lacks a right.
    #[error("the Velociraptor server refuses: {0}")]
    Denied(String),
    /// No such object, or no such user: the server says the same of both.
    #[error("the Velociraptor server does not know it")]
    NotFound,
    /// The request makes no sense to the server.
    #[error("the Velociraptor server does not accept the request: {0}")]
    Invalid(String),
    /// The answer is longer than our limit.
    #[error("the answer of the Velociraptor server is too long")]
    TooLong,
    /// Our configuration does not fit the server: one sentence that says what to do.
    #[error("{0}")]
    Misconfigured(String),
    /// This transport has no such call.
    #[error("the Velociraptor server does not offer it this way")]
    Unsupported,
    /// Everything else: `UNAVAILABLE` is what the server says for most of its own errors.
    #[error("the Velociraptor server failed: {0}")]
    Failed(String),
}

impl CallError {
    /// Whether asking again may help without anybody doing anything.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, CallError::Unreachable(_) | CallError::TimedOut)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Error {
        if error.is_transient() {
            return Error::unreachable(error.to_string());
        }
        let kind = match error {
            CallError::Denied(_) => ErrorKind::Denied,
            CallError::NotFound => ErrorKind::Absent,
            CallError::Invalid(_) => ErrorKind::Invalid,
            _ => ErrorKind::Backend,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> CallError {
        // A status that the server sent has no source; one that the transport made has the transport's error. That, and not the
        // code, tells a broken connection from the server's own UNAVAILABLE.
        let transport = status.source().is_some();
        match status.code() {
            Code::PermissionDenied => CallError::Denied(without_paths(status.message())),
            Code::Unauthenticated => CallError::Denied(without_paths(status.message())),
            Code::NotFound => CallError::NotFound,
            Code::InvalidArgument => CallError::Invalid(without_paths(status.message())),
            Code::DeadlineExceeded => CallError::TimedOut,
            Code::Cancelled if status.message().to_ascii_lowercase().contains("timeout") => CallError::TimedOut,
            Code::ResourceExhausted | Code::OutOfRange => CallError::TooLong,
            _ if transport => CallError::Unreachable(chain(&status)),
            _ => CallError::Failed(without_paths(status.message())),
        }
    }
}

/// The innermost words of an error say most; the outer ones are "transport error".
fn chain(status: &Status) -> String {
    let mut text = String::new();
    let mut source = status.source();
    while let Some(error) = source {
        let words = error.to_string();
        if !words.is_empty() && !text.contains(&words) && words != "transport error" {
            let separator = if text.is_empty() { "" } else { ": " };
            let _ = write!(text, "{separator}{words}");
        }
        source = error.source();
    }
    if text.is_empty() { without_paths(status.message()) } else { text }
}

/// The longest text that is passed on.
const MAX_TEXT: usize = 300;

/// Takes out what looks like a path of the server's disk: a server with `-v` puts them into its texts.
pub(crate) fn without_paths(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MAX_TEXT));
    for word in text.split_whitespace() {
        if clean.len() + word.len() > MAX_TEXT {
            clean.push_str(" …");
            break;
        }
        if !clean.is_empty() {
            clean.push(' ');
        }
        let bare = word.trim_start_matches(['"', '\'', '(', '[', '<']);
        let drive = bare.get(1..3).is_some_and(|rest| rest == ":\\" || rest == ":/");
        if bare.starts_with('/') || bare.starts_with("\\\\") || bare.starts_with("fs:/") || drive {
            clean.push_str("[path]");
            if word.ends_with([':', ',']) {
                clean.push_str(&word[word.len() - 1..]);
            }
        } else {
            clean.push_str(word);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unavailable_from_the_server_is_no_broken_connection() {
        let error = CallError::from(Status::unavailable("Unknown artifact No.Such.Artifact"));
        assert_eq!(error, CallError::Failed("Unknown artifact No.Such.Artifact".into()));
        assert!(!error.is_transient());
    }

    #[test]
    fn codes_keep_their_meaning() {
        assert_eq!(CallError::from(Status::not_found("Not Found")), CallError::NotFound);
        assert_eq!(CallError::from(Status::deadline_exceeded("")), CallError::TimedOut);
        assert_eq!(CallError::from(Status::resource_exhausted("larger than max")), CallError::TooLong);
        assert_eq!(CallError::from(Status::out_of_range("message length too large")), CallError::TooLong);
        assert!(matches!(CallError::from(Status::permission_denied("x")), CallError::Denied(_)));
        assert_eq!(Error::from(CallError::Denied("x".into())).kind(), ErrorKind::Denied);
        assert_eq!(Error::from(CallError::Failed("x".into())).kind(), ErrorKind::Backend);
    }

    #[test]
    fn paths_of_the_servers_disk_are_not_passed_on() {
        let text = "open /var/lib/velociraptor/clients/C.1/x.db: no such file, not \"C:\\data\\x\" either";
        assert_eq!(without_paths(text), "open [path]: no such file, not [path] either");
        assert!(without_paths(&"long ".repeat(1000)).len() < 320);
    }
}
