//! Progress as lines of JSON, each sent when it happens.

use std::io;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use vfs::Progress;

use crate::body::Body;
use crate::browser;
use crate::service::uncached;

/// The response that tells how a work goes. The work goes on if the client hangs up.
pub(crate) fn stream(progress: BoxStream<'static, Progress>) -> Response<Body> {
    let lines = progress.map(|news| {
        let mut line = serde_json::to_vec(&news).map_err(io::Error::other)?;
        line.push(b'\n');
        Ok(Bytes::from(line))
    });
    let mut response = Response::new(Body::Chunked(Box::pin(lines)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    browser::protect(response.headers_mut());
    uncached(response)
}
