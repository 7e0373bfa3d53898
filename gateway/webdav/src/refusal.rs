//! Refusals, and the one table from the model's kinds of failure to HTTP statuses (D19).

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use vfs::ErrorKind;

use crate::body::Body;
use crate::browser;
use crate::client::ClientClass;
use crate::exchange::{Audience, Exchange};
use crate::path::PathError;

/// A request that is not fulfilled: status, sentence, and what the client may do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// The sentence for the person who reads it.
    pub message: Cow<'static, str>,
    /// Worth asking again after so many seconds.
    pub retry_after: Option<u64>,
    /// For 405.
    pub allow: Option<&'static str>,
    /// The body is this XML instead of the message.
    pub xml: Option<&'static str>,
}

/// Result of handling a request.
pub(crate) type Answer = std::result::Result<Response<Body>, Refusal>;

impl Refusal {
    /// A refusal with a sentence.
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, message: message.into(), retry_after: None, allow: None, xml: None }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    /// 403.
    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::FORBIDDEN, message)
    }

    /// 404.
    pub(crate) fn absent(message: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, message)
    }

    /// What the model said, for this class of client.
    pub(crate) fn from_error(error: &vfs::Error, class: ClientClass) -> Refusal {
        let (status, retry_after) = status_of(error.kind(), class);
        Refusal { retry_after, ..Refusal::new(status, error.message().to_owned()) }
    }

    /// The response, in the form that this client reads.
    pub(crate) fn into_response(self, exchange: &Exchange) -> Response<Body> {
        let (content_type, body) = match (self.xml, exchange.audience()) {
            (Some(xml), _) => ("application/xml; charset=utf-8", xml.to_owned()),
            (None, Audience::Browser) => ("text/html; charset=utf-8", browser::refusal_page(&self, exchange)),
            (None, Audience::Json) => ("application/json", self.json()),
            (None, Audience::Plain) => ("text/plain; charset=utf-8", format!("{}\n", self.message)),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        browser::protect(headers);
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    fn json(&self) -> String {
        let body = serde_json::json!({
            "status": self.status.as_u16(),
            "message": self.message,
            "retry_after": self.retry_after,
        });
        format!("{body}\n")
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Refusal {
        let status = match error {
            PathError::DotSegment => StatusCode::FORBIDDEN,
            PathError::Malformed => StatusCode::BAD_REQUEST,
            PathError::TooDeep => StatusCode::URI_TOO_LONG,
        };
        Refusal::new(status, error.to_string())
    }
}

/// Status and Retry-After of a kind of failure (D19).
///
/// macOS takes every 5xx, 404, 409 and 410 for "no such file" (docs/webdav-clients.md §2.2), which only `Absent` and `Stale` may say:
/// for it, whatever else would be one of those is 423, which it shows as busy.
pub(crate) fn status_of(kind: ErrorKind, class: ClientClass) -> (StatusCode, Option<u64>) {
    let status = match kind {
        ErrorKind::Absent | ErrorKind::NotDirectory => StatusCode::NOT_FOUND,
        ErrorKind::Stale => StatusCode::GONE,
        ErrorKind::Denied | ErrorKind::Uncollected | ErrorKind::Budget => StatusCode::FORBIDDEN,
        ErrorKind::Unsupported | ErrorKind::ReadOnly => StatusCode::FORBIDDEN,
        ErrorKind::Offline | ErrorKind::Later { .. } => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::TooBig => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Changed => StatusCode::CONFLICT,
        ErrorKind::Backend => StatusCode::BAD_GATEWAY,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::IsDirectory => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::NameTooLong => StatusCode::URI_TOO_LONG,
    };
    let retry_after = match kind {
        ErrorKind::Later { after } => Some(whole_seconds(after)),
        _ => None,
    };
    let reads_as_absent = status.is_server_error() || status == StatusCode::CONFLICT;
    if class == ClientClass::WebDavFs && reads_as_absent {
        return (StatusCode::LOCKED, retry_after);
    }
    (status, retry_after)
}

fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [ClientClass; 9] = [
        ClientClass::MiniRedir,
        ClientClass::WebDavFs,
        ClientClass::Davfs2,
        ClientClass::Gvfs,
        ClientClass::Rclone,
        ClientClass::Cadaver,
        ClientClass::Curl,
        ClientClass::Browser,
        ClientClass::Other,
    ];

    #[test]
    fn every_cell_of_the_error_table_is_as_decided() {
        let after = Duration::from_millis(2_500);
        // Kind, status for all, status for macOS, Retry-After.
        let table = [
            (ErrorKind::Absent, 404, 404, None),
            (ErrorKind::Denied, 403, 403, None),
            (ErrorKind::Offline, 503, 423, None),
            (ErrorKind::Uncollected, 403, 403, None),
            (ErrorKind::Later { after }, 503, 423, Some(3)),
            (ErrorKind::TooBig, 413, 413, None),
            (ErrorKind::Budget, 403, 403, None),
            (ErrorKind::Changed, 409, 423, None),
            (ErrorKind::Stale, 410, 410, None),
            (ErrorKind::Backend, 502, 423, None),
            (ErrorKind::Invalid, 400, 400, None),
            (ErrorKind::NotDirectory, 404, 404, None),
            (ErrorKind::IsDirectory, 405, 405, None),
            (ErrorKind::Unsupported, 403, 403, None),
            (ErrorKind::ReadOnly, 403, 403, None),
            (ErrorKind::NameTooLong, 414, 414, None),
        ];
        for (kind, all, mac, retry_after) in table {
            for class in CLASSES {
                let status = if class == ClientClass::WebDavFs { mac } else { all };
                let (found, retry) = status_of(kind, class);
                assert_eq!((found.as_u16(), retry), (status, retry_after), "{kind:?} for {class:?}");
            }
        }
    }

    #[test]
    fn only_what_is_proven_absent_looks_absent_and_nothing_looks_like_success() {
        let slow_or_refused = [
            ErrorKind::Denied,
            ErrorKind::Offline,
            ErrorKind::Uncollected,
            ErrorKind::Later { after: Duration::ZERO },
            ErrorKind::TooBig,
            ErrorKind::Budget,
            ErrorKind::Changed,
            ErrorKind::Backend,
        ];
        for kind in slow_or_refused {
            for class in CLASSES {
                let status = status_of(kind, class).0.as_u16();
                assert!(status >= 400 && status != 404 && status != 410, "{kind:?} for {class:?}: {status}");
            }
        }
    }
}
