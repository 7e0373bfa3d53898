//! News for pages that are open, as server-sent events.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use vfs::NodeKind;

use super::resolve;
use crate::body::Body;
use crate::browser;
use crate::browser::live::{Listener, Topic};
use crate::browser::order::Wanted;
use crate::exchange::Exchange;
use crate::refusal::{Answer, Refusal};
use crate::service::{Service, uncached};

/// A signature has sixteen digits.
const SEEN: usize = 64;

/// `?path=` a directory or a file, `?seen=` what its page shows; without a path, all activity.
pub(super) async fn answer(service: &Service, exchange: &Exchange) -> Answer {
    let topic = match exchange.query_text("path") {
        None if exchange.asks("path") => return Err(Refusal::bad_request("the path is not percent-encoded UTF-8")),
        None => Topic::Activity,
        Some(path) => {
            let found = resolve(service, exchange, &path).await?;
            match found.node.kind {
                NodeKind::Directory => Topic::Directory(found.node),
                NodeKind::File => Topic::File(found.node),
                _ => return Err(Refusal::bad_request("only a directory or a file changes")),
            }
        }
    };
    let permit = service.pages.listeners.clone().try_acquire_owned().map_err(|_| Refusal {
        retry_after: Some(5),
        ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open that want to hear news")
    })?;
    let seen = match exchange.query("seen") {
        Some(seen) => seen.chars().take(SEEN).collect(),
        // Who has seen nothing hears of what changes from now on.
        None => browser::live::signature(&service.vfs, &service.pages.works, &topic).await,
    };
    let mut call = exchange.call();
    call.hold = std::time::Duration::ZERO;
    let listener = Listener {
        vfs: service.vfs.clone(),
        pages: service.pages.clone(),
        topic,
        wanted: Wanted::of(exchange),
        call,
        seen,
        _permit: permit,
    };
    let is_head = exchange.method() == Method::HEAD;
    let body = if is_head { Body::empty() } else { Body::Chunked(listener.into_frames()) };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    browser::protect(response.headers_mut());
    Ok(uncached(response))
}
