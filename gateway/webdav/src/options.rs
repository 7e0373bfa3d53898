//! OPTIONS: class 1, which macOS mounts read-only and Windows accepts (docs/webdav-clients.md §2.1, §2.2).

use http::Response;
use http::header::{ALLOW, HeaderValue};

use crate::body::Body;

/// What may be done with anything here.
pub(crate) const ALLOWED: &str = "OPTIONS, GET, HEAD, POST, PROPFIND";

/// The answer for every path: Windows asks the root whatever is mapped.
pub(crate) fn answer() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert("dav", HeaderValue::from_static("1"));
    headers.insert("ms-author-via", HeaderValue::from_static("DAV"));
    headers.insert(ALLOW, HeaderValue::from_static(ALLOWED));
    response
}
