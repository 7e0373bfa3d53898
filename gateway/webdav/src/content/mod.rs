//! GET and HEAD of what has content: whole or in ranges by ourselves, conditional ones through `conditional` (D36).

pub(crate) mod conditional;
mod multipart;
mod range;
pub(crate) mod send;
mod zip;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use vfs::{Call, Data, Found, NodeKind, Reads, Vfs};

use crate::body::Body;
use crate::client::ClientClass;
use crate::dates::http_date;
use crate::entity;
use crate::exchange::Exchange;
use crate::link;
use crate::path::encode;
use crate::propfind::encode::content_type;
use crate::refusal::{Answer, Refusal};
use conditional::{Conditional, Target};
use multipart::Parts;
use range::Asked;
use send::{PIECE, Rest, read};

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Headers of an answer with content, with those that hyper adds.
const HEADERS: usize = 12;
/// Headers that make a request conditional.
const CONDITIONS: [HeaderName; 5] = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];

/// Answers GET or HEAD of a file, a link, or one of the gateway's own files.
pub(crate) async fn answer(vfs: &Vfs, conditional: &Conditional, exchange: &Exchange, found: Found) -> Answer {
    let refused = |error: vfs::Error| Refusal::from_error(&error, exchange.class);
    if CONDITIONS.iter().flat_map(|name| exchange.headers().get_all(name)).any(has_lone_quote) {
        return Err(Refusal::bad_request("a condition has an entity tag that does not end"));
    }
    let asked = range::parse(exchange.header(&RANGE));
    let is_conditional = CONDITIONS.iter().any(|name| exchange.headers().contains_key(name));
    let mut call = exchange.call();
    match found.node.kind {
        NodeKind::Link => {
            let target = link::raw_target(vfs, &found.node).await.map_err(refused)?;
            let attributes = link::described(&found.attributes, &target);
            let found = Found { attributes, ..found };
            Box::pin(link(conditional, exchange, found, target.into(), call, is_conditional, asked)).await
        }
        NodeKind::Special => {
            Err(Refusal::forbidden("this is neither a file nor a directory, so it has no content to serve"))
        }
        _ if exchange.method() == Method::HEAD && found.attributes.size.is_some() => {
            if is_conditional {
                let target = Target { node: found.node, attributes: found.attributes, link: None, call };
                return Ok(Box::pin(through_conditional(conditional, exchange, target)).await);
            }
            // HEAD never collects: the listing tells all it says.
            Ok(whole_head(exchange, &found, found.attributes.size.unwrap_or(0)))
        }
        _ => {
            let start = match &asked {
                _ if is_conditional => 0,
                Asked::Whole => 0,
                Asked::One(range::Range::From { first, .. }) => *first,
                Asked::One(range) => {
                    found.attributes.size.and_then(|size| range.within(size)).map_or(0, |(first, _)| first)
                }
                Asked::Several(ranges) => {
                    let parts = found.attributes.size.map(|size| range::together(ranges, size)).unwrap_or_default();
                    parts.first().map_or(0, |(first, _)| *first)
                }
            };
            call.reads = match &asked {
                // rclone asks for all and hangs up when it has enough.
                Asked::Whole if exchange.class != ClientClass::Rclone => Reads::Whole,
                Asked::One(range) => {
                    let part = found.attributes.size.and_then(|size| range.within(size));
                    part.map_or(Reads::Parts, |(first, count)| Reads::UpTo(first + count))
                }
                Asked::Whole | Asked::Several(_) => Reads::Parts,
            };
            let length = if is_conditional { 1 } else { PIECE };
            let first = read(vfs, &found.node, start, length, &call).await.map_err(refused)?;
            let found = Found { attributes: first.attributes, ..found };
            // Once the answer has begun, patience is what the client shows by not hanging up.
            call.hold = exchange.config().hold;
            if is_conditional {
                let target = Target { node: found.node, attributes: found.attributes, link: None, call };
                return Ok(Box::pin(through_conditional(conditional, exchange, target)).await);
            }
            file(vfs, exchange, found, call, asked, start, first).await
        }
    }
}

/// An entity tag that is nothing but its first quote: the library's parser panics at it.
fn has_lone_quote(value: &HeaderValue) -> bool {
    let text = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    text.into_iter().any(|tag| tag.strip_prefix(b"W/").unwrap_or(tag) == b"\"")
}

async fn file(
    vfs: &Vfs,
    exchange: &Exchange,
    found: Found,
    call: Call,
    asked: Asked,
    start: u64,
    first: Data,
) -> Answer {
    let length = match found.attributes.size {
        Some(size) => size,
        None if first.eof => start + first.len() as u64,
        None => {
            return Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                "the size of this file is not known even after reading it",
            ));
        }
    };
    let parts = match &asked {
        Asked::One(range) => range.within(length).into_iter().collect(),
        Asked::Several(ranges) => range::together(ranges, length),
        Asked::Whole => Vec::new(),
    };
    let (offset, count, status) = match parts.first() {
        Some((offset, count)) => (*offset, *count, StatusCode::PARTIAL_CONTENT),
        None if asked == Asked::Whole => (0, length, StatusCode::OK),
        None => return Ok(unsatisfiable(exchange, length)),
    };
    let first = if offset == start {
        first
    } else {
        let wanted = u32::try_from(count.min(u64::from(PIECE))).unwrap_or(PIECE);
        read(vfs, &found.node, offset, wanted, &call)
            .await
            .map_err(|error| Refusal::from_error(&error, exchange.class))?
    };
    let attributes = found.attributes;
    if first.attributes.size != attributes.size {
        return Err(Refusal::new(StatusCode::CONFLICT, "the file changed while it was being opened; ask again"));
    }
    let rest = Rest::new(vfs.clone(), found.node, call, &attributes, offset, count, first);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    describe(response.headers_mut(), exchange, &found);
    if parts.len() > 1 {
        let name = exchange.path.name().unwrap_or("content");
        let parts = Parts::new(content_type(&found.node, name), length, &parts, rest).map_err(no_randomness)?;
        if let Ok(media) = HeaderValue::try_from(parts.media()) {
            response.headers_mut().insert(CONTENT_TYPE, media);
        }
        *response.body_mut() = parts.body();
        return Ok(response);
    }
    *response.body_mut() = if exchange.method() == Method::HEAD { head_of(count) } else { rest.body() };
    if status == StatusCode::PARTIAL_CONTENT {
        content_range(response.headers_mut(), &format!("bytes {offset}-{}/{length}", offset + count - 1));
    }
    Ok(response)
}

/// The file in an encrypted archive, so that no virus scanner and no double click comes between (D25).
pub(crate) async fn zipped(vfs: &Vfs, exchange: &Exchange, found: Found) -> Answer {
    let refused = |error: vfs::Error| Refusal::from_error(&error, exchange.class);
    if !matches!(found.node.kind, NodeKind::File | NodeKind::Meta) {
        return Err(Refusal::bad_request("only a file can be packed (`?as=zip`)"));
    }
    let name = exchange.path.name().unwrap_or("content");
    let mut response = Response::new(Body::empty());
    let mut found = found;
    let body = match found.attributes.size {
        Some(size) if exchange.method() == Method::HEAD => head_of(zip::length(name, size)),
        _ => {
            let mut call = exchange.call();
            call.reads = Reads::Whole;
            let first = read(vfs, &found.node, 0, PIECE, &call).await.map_err(refused)?;
            call.hold = exchange.config().hold;
            found.attributes = first.attributes;
            let size = match first.attributes.size {
                Some(size) => size,
                None if first.eof => first.len() as u64,
                None => return Err(Refusal::new(StatusCode::BAD_GATEWAY, "the size of this file is not known")),
            };
            let rest = Rest::new(vfs.clone(), found.node, call, &found.attributes, 0, size, first);
            zip::body(name, found.attributes.modified, rest).map_err(no_randomness)?
        }
    };
    describe(response.headers_mut(), exchange, &found);
    let headers = response.headers_mut();
    for name in [ETAG, LAST_MODIFIED, ACCEPT_RANGES] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{}.zip", encode(name))) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    *response.body_mut() = body;
    Ok(response)
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn no_randomness(error: std::io::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("this machine has no random numbers: {error}"))
}

async fn link(
    conditional: &Conditional,
    exchange: &Exchange,
    found: Found,
    target: Bytes,
    call: Call,
    is_conditional: bool,
    asked: Asked,
) -> Answer {
    if is_conditional || matches!(asked, Asked::One(_)) {
        let target = Target { node: found.node, attributes: found.attributes, link: Some(target), call };
        return Ok(Box::pin(through_conditional(conditional, exchange, target)).await);
    }
    let body = if exchange.method() == Method::HEAD { head_of(target.len() as u64) } else { Body::Once(target) };
    let mut response = Response::new(body);
    describe(response.headers_mut(), exchange, &found);
    Ok(response)
}

/// The first bytes of a file, which collects it if need be.
pub(crate) async fn read_start(vfs: &Vfs, exchange: &Exchange, file: &vfs::Node) -> Result<Bytes, Refusal> {
    let mut call = exchange.call();
    if !exchange.headers().contains_key(RANGE) {
        call.reads = Reads::Whole;
    }
    let data = read(vfs, file, 0, PIECE, &call).await;
    let data = data.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    Ok(data.segments.into_iter().next().unwrap_or_default())
}

/// An empty file that is answered without the model (D37).
pub(crate) fn empty_file(exchange: &Exchange) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let (node, attributes) = crate::propfind::trickle::marker();
    describe(response.headers_mut(), exchange, &Found { node, attributes });
    response
}

fn whole_head(exchange: &Exchange, found: &Found, length: u64) -> Response<Body> {
    let mut response = Response::new(head_of(length));
    describe(response.headers_mut(), exchange, found);
    response
}

/// A body that hyper takes the length of and does not send.
fn head_of(length: u64) -> Body {
    Body::Exact { frames: Box::pin(futures_util::stream::pending()), remaining: length }
}

fn unsatisfiable(exchange: &Exchange, length: u64) -> Response<Body> {
    let mut response =
        Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "no byte of this range exists").into_response(exchange);
    content_range(response.headers_mut(), &format!("bytes */{length}"));
    response
}

/// `dav-server` is given no path but a neutral one: what is asked for was resolved already.
async fn through_conditional(conditional: &Conditional, exchange: &Exchange, target: Target) -> Response<Body> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = exchange.method().clone();
    *request.uri_mut() = http::Uri::from_static("/content");
    for name in &CONDITIONS {
        for value in exchange.headers().get_all(name) {
            request.headers_mut().append(name, value.clone());
        }
    }
    // Several ranges may be ignored (RFC 9110 §14.2); with a condition they are. One is written anew, within the content: `dav-server`
    // counts wrongly where a range ends at the last number that there is.
    if let Asked::One(range) = range::parse(exchange.header(&RANGE)) {
        let length = target.link.as_ref().map(|link| link.len() as u64).or(target.attributes.size).unwrap_or(0);
        let written = match range.within(length) {
            Some((offset, count)) => format!("bytes={offset}-{}", offset + count - 1),
            None => format!("bytes={length}-"),
        };
        if let Ok(value) = HeaderValue::try_from(written) {
            request.headers_mut().insert(RANGE, value);
        }
    }
    let found = Found { node: target.node, attributes: target.attributes };
    let principal = exchange.config().principal.name().to_owned();
    let mut response = conditional.answer(request, &principal, target).await;
    describe(response.headers_mut(), exchange, &found);
    response
}

/// Headers of every file.
fn describe(headers: &mut HeaderMap, exchange: &Exchange, found: &Found) {
    let name = exchange.path.name().unwrap_or("content");
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(&found.node, name)));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(tag) = entity::tag_text(&found.node, &found.attributes)
        && let Ok(value) = HeaderValue::try_from(format!("\"{tag}\""))
    {
        headers.insert(ETAG, value);
    }
    if let Some(modified) = found.attributes.modified
        && let Ok(value) = HeaderValue::try_from(http_date(modified))
    {
        headers.insert(LAST_MODIFIED, value);
    }
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{}", encode(name))) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    protect_evidence(headers);
}

/// Headers of every piece of evidence: it can never run in a browser.
pub(crate) fn protect_evidence(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
}

fn content_range(headers: &mut HeaderMap, text: &str) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(CONTENT_RANGE, value);
    }
}
