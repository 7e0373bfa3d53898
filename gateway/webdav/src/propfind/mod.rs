//! PROPFIND: listings and properties, streamed. An answer begins only when its listing is there, so that no failure can look like an
//! empty directory; the one exception is davfs2 (`trickle`).

pub(crate) mod encode;
mod listing;
pub(crate) mod property;
mod request;
pub(crate) mod trickle;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use vfs::{Error, ErrorKind, Found, NodeKind, Vfs};

use crate::body::Body;
use crate::client::ClientClass;
use crate::exchange::Exchange;
use crate::link;
use crate::noise;
use crate::refusal::{Answer, Refusal};
use crate::xml::XmlError;
use encode::{Encoder, Resource};
use listing::Children;
use property::{CLOSING, Selection};
use request::Depth;
use trickle::Waiting;

/// What the kit (`deploy/clients/windows`) raises Windows' limit to.
const RAISED_LISTING_LIMIT: u64 = 0x0a00_0000;

/// Answers a PROPFIND whose body was read already.
pub(crate) async fn answer(vfs: &Vfs, exchange: &Exchange, body: &[u8]) -> Answer {
    let depth = request::depth(exchange.headers().get("depth"))?;
    let asked = request::parse(body).map_err(refused_body)?;
    let offline_attribute = exchange.config().offline_attribute;
    let selection = Selection::new(asked, exchange.class, offline_attribute);
    let encoder = Encoder::new(selection, offline_attribute);
    if noise::is_macos_marker(exchange) {
        let (node, attributes) = trickle::marker();
        let name = exchange.path.name().unwrap_or_default();
        let resource = Resource { node: &node, attributes: &attributes, name, link: None };
        return Ok(single(encoder, &exchange.path.file_href(), &resource));
    }
    if is_marker(exchange) {
        let (node, attributes) = trickle::marker();
        let href = exchange.path.file_href();
        return Ok(single(
            encoder,
            &href,
            &Resource { node: &node, attributes: &attributes, name: trickle::MARKER, link: None },
        ));
    }
    if noise::is_noise(vfs, exchange).await {
        return Err(Refusal::absent(
            "not there: the directory is not listed, and this name is only a probe of the client",
        ));
    }
    let found = resolve(vfs, exchange).await?;
    match (depth, found.node.kind) {
        (Depth::One, NodeKind::Directory) => children(vfs, exchange, found, encoder).await,
        _ => alone(vfs, exchange, &found, encoder).await,
    }
}

/// The entry that davfs2 sees in directories that could not be listed is answered here too (D37).
pub(crate) fn is_marker(exchange: &Exchange) -> bool {
    exchange.config().not_listed_marker
        && exchange.class == ClientClass::Davfs2
        && exchange.path.name() == Some(trickle::MARKER)
}

async fn resolve(vfs: &Vfs, exchange: &Exchange) -> Result<Found, Refusal> {
    let found = vfs.resolve(&exchange.path.names(), false, &exchange.call()).await;
    found.map_err(|error| Refusal::from_error(&error, exchange.class))
}

async fn alone(vfs: &Vfs, exchange: &Exchange, found: &Found, encoder: Encoder) -> Answer {
    let is_directory = found.node.kind == NodeKind::Directory;
    let href = if is_directory { exchange.path.directory_href() } else { exchange.path.file_href() };
    let link = match found.node.kind {
        NodeKind::Link => Some(
            link::raw_target(vfs, &found.node).await.map_err(|error| Refusal::from_error(&error, exchange.class))?,
        ),
        _ => None,
    };
    let attributes = link.as_ref().map_or(found.attributes, |link| link::described(&found.attributes, link));
    let resource = Resource {
        node: &found.node,
        attributes: &attributes,
        name: exchange.path.name().unwrap_or("/"),
        link: link.as_deref(),
    };
    Ok(single(encoder, &href, &resource))
}

fn single(mut encoder: Encoder, href: &str, resource: &Resource<'_>) -> Response<Body> {
    let mut out = encoder.selection().opening();
    encoder.write(&mut out, href.as_bytes(), true, resource);
    out.extend_from_slice(CLOSING);
    multi_status(Body::Once(out.into()))
}

async fn children(vfs: &Vfs, exchange: &Exchange, found: Found, encoder: Encoder) -> Answer {
    let call = exchange.call();
    let listed = match vfs.list_now(&found.node, &call) {
        Some(listed) => listed,
        None => vfs.list(&found.node, &call).await,
    };
    let href = exchange.path.directory_href();
    let name = exchange.path.name().unwrap_or("/").to_owned();
    match listed {
        Ok(listing) => {
            let mut children = Children::new(found, listing, encoder, href, name, call.profile);
            refuse_what_windows_cannot_take(exchange, &mut children)?;
            Ok(multi_status(Body::Chunked(children.frames(false))))
        }
        Err(error) if exchange.class == ClientClass::Davfs2 => davfs2(vfs, exchange, found, encoder, error),
        Err(error) => Err(Refusal::from_error(&error, exchange.class)),
    }
}

/// Over its limit Windows says "a device attached to the system is not functioning"; 507 at least has a text (D21).
fn refuse_what_windows_cannot_take(exchange: &Exchange, children: &mut Children) -> Result<(), Refusal> {
    if exchange.class != ClientClass::MiniRedir {
        return Ok(());
    }
    let raised = exchange.has_raised_limits();
    let limit = if raised { RAISED_LISTING_LIMIT } else { exchange.config().windows_listing_limit };
    if children.length_up_to(limit) <= limit {
        return Ok(());
    }
    let origin = exchange.origin();
    let advice = if raised {
        format!("it is raised already: look at the directory in a browser, {origin}")
    } else {
        format!("{origin}/-/connect has a script that raises that limit and maps the drive anew")
    };
    Err(Refusal::new(
        StatusCode::INSUFFICIENT_STORAGE,
        format!(
            "the listing of this directory is larger than the {limit} bytes that the Windows client takes; {advice}"
        ),
    ))
}

fn davfs2(vfs: &Vfs, exchange: &Exchange, found: Found, encoder: Encoder, error: Error) -> Answer {
    let marker = exchange.config().not_listed_marker;
    let href = exchange.path.directory_href();
    let name = exchange.path.name().unwrap_or("/").to_owned();
    match error.kind() {
        ErrorKind::Absent | ErrorKind::Stale | ErrorKind::NotDirectory => {
            Err(Refusal::from_error(&error, exchange.class))
        }
        ErrorKind::Later { .. } => {
            let opening = encoder.selection().opening();
            let profile = exchange.class.profile();
            let frames = Waiting::new(vfs.clone(), found.node, exchange.call()).frames(opening, move |end| match end {
                Ok(listing) => Children::new(found, listing, encoder, href, name, profile).frames(true),
                Err(_) if marker => {
                    trickle::once(trickle::not_listed(encoder, &found.node, &found.attributes, &href, &name))
                }
                Err(error) => trickle::broken(error),
            });
            Ok(multi_status(Body::Chunked(frames)))
        }
        _ if marker => {
            let mut out = encoder.selection().opening();
            out.extend_from_slice(&trickle::not_listed(encoder, &found.node, &found.attributes, &href, &name));
            Ok(multi_status(Body::Once(out.into())))
        }
        _ => Err(Refusal::from_error(&error, exchange.class)),
    }
}

fn multi_status(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::MULTI_STATUS;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("dav", HeaderValue::from_static("1"));
    response
}

/// A body that cannot be read.
pub(crate) fn refused_body(error: XmlError) -> Refusal {
    let status = match error {
        XmlError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        XmlError::DocumentType | XmlError::Malformed(_) => StatusCode::BAD_REQUEST,
    };
    Refusal::new(status, error.to_string())
}
