//! The view for people: endpoints, directories, files, activity, and how to connect. It works whole without scripts and is live with them:
//! one style sheet, one script, every character of evidence escaped. The same directories as text for curl and as JSON for programs.

mod activity;
mod archive;
pub(crate) mod collect;
mod connect;
mod directory;
mod endpoints;
mod escape;
mod file;
mod filter;
mod form;
mod health;
mod layout;
pub(crate) mod live;
mod machine;
pub(crate) mod order;
mod preview;
mod rows;
mod standing;
mod walk;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};
use tokio::sync::Semaphore;
use vfs::{Found, NodeKind};

use crate::body::{Body, Frames};
use crate::exchange::{Audience, Exchange};
use crate::path::RequestPath;
use crate::refusal::{Answer, Refusal};
use crate::service::{Service, uncached};
use archive::Format;
use escape::text;
use layout::Page;
use order::Orders;
use work::Works;

pub(crate) use activity::{cancel, page as activity_page};
pub(crate) use connect::page as connect_page;
pub(crate) use file::page as file;
pub(crate) use health::page as health_page;

/// Open pages that hear news at the same time.
const LISTENERS: usize = 512;
/// Levels of a recursive refresh.
const DEPTH: u32 = 1_000;

/// What the pages remember between requests.
#[derive(Clone)]
pub(crate) struct Pages {
    pub orders: Arc<Orders>,
    pub works: Works,
    /// One for each open page that may hear news.
    pub listeners: Arc<Semaphore>,
}

impl Pages {
    /// Nothing yet.
    pub(crate) fn new() -> Pages {
        Pages { orders: Arc::default(), works: Works::default(), listeners: Arc::new(Semaphore::new(LISTENERS)) }
    }
}

/// GET of a directory, for whoever asks.
pub(crate) async fn directory(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    if let Some(format) = Format::of(exchange) {
        return archive::answer(service, exchange, found, format).await;
    }
    match exchange.audience() {
        Audience::Browser if exchange.path.is_root() && !exchange.asks("list") => {
            Ok(endpoints::page(service, exchange))
        }
        Audience::Browser => directory::page(service, exchange, found).await,
        Audience::Json => machine::json(service, exchange, found).await,
        Audience::Plain => machine::plain(service, exchange, found).await,
    }
}

/// A button was pressed: shows the price, or starts the work and shows the page that tells how it goes.
pub(crate) async fn pressed(service: &Service, exchange: &Exchange, found: Found, body: &[u8]) -> Answer {
    let mut call = exchange.call_held(exchange.config().hold);
    call.explicit = true;
    let fields = form::fields(body).ok_or_else(|| Refusal::bad_request("this is no form of ours"))?;
    let href = href_of(&exchange.path, found.node.kind);
    match found.node.kind {
        NodeKind::Directory if exchange.asks("refresh") => {
            let depth = exchange.query("depth").or(form::field(&fields, "depth"));
            let depth = match depth {
                None => 0,
                Some(depth) => depth.parse().map_err(|_| Refusal::bad_request("the depth must be a number"))?,
            };
            let progress = service.vfs.refresh(&found.node, u32::min(depth, DEPTH), &call);
            service.pages.works.watch(found.node.own, progress);
            see_other(&href)
        }
        NodeKind::Directory if exchange.asks("price") => {
            collect::price_page(service, exchange, &found.node, &fields, &call).await
        }
        NodeKind::Directory if exchange.asks("collect") => {
            let pick = collect::Pick::from_form(&fields);
            let quote = collect::quote(service, &found.node, &pick, &call).await;
            let quote = quote.map_err(|error| Refusal::from_error(&error, exchange.class))?;
            let files = quote.wanted.iter().map(|wish| wish.node).collect();
            collect::start(&service.vfs, &service.pages.works, files, &call);
            see_other(&directory::location(&href, form::field(&fields, "view").unwrap_or_default()))
        }
        NodeKind::File if exchange.asks("collect") => {
            collect::start(&service.vfs, &service.pages.works, vec![found.node], &call);
            see_other(&format!("{href}?info=1"))
        }
        _ => Err(Refusal::bad_request(
            "POST refreshes a directory (`?refresh`), or collects a file or what is picked in a directory (`?collect`)",
        )),
    }
}

/// The answer to a form: look there.
fn see_other(location: &str) -> Answer {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::try_from(location).map_err(|_| Refusal::bad_request("the path cannot be shown"))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(uncached(response))
}

/// The page of a refusal.
pub(crate) fn refusal_page(refusal: &Refusal, exchange: &Exchange) -> String {
    let title = refusal.status.canonical_reason().unwrap_or("Refused");
    let mut page = Page::new(title, Some(&exchange.path));
    if refusal.retry_after.is_some() {
        page.refresh_always(2);
    }
    let mut body = format!("<h1>{title}</h1><p class=\"notice failed\">{}</p>", text(&refusal.message));
    if exchange.headers().contains_key("sec-fetch-site") && refusal.status == StatusCode::FORBIDDEN {
        let href = exchange.path.file_href();
        body.push_str(&format!("<p><a href=\"{href}\">Open {} from here</a></p>", text(&exchange.path.to_string())));
    }
    page.finish(&body)
}

/// A page as a response.
fn html(exchange: &Exchange, status: StatusCode, page: String) -> Response<Body> {
    page_response(status, if exchange.method() == Method::HEAD { Body::empty() } else { Body::from(page) })
}

/// A page that is made while it is sent.
fn streamed(exchange: &Exchange, status: StatusCode, frames: Frames) -> Response<Body> {
    page_response(status, if exchange.method() == Method::HEAD { Body::empty() } else { Body::Chunked(frames) })
}

fn page_response(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    protect(response.headers_mut());
    uncached(response)
}

/// Headers of everything that the gateway itself says: nothing runs in it but its own script, whatever a name contains.
pub(crate) fn protect(headers: &mut HeaderMap) {
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types raptorgate",
        ),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

/// What the pages are made with.
pub(crate) fn asset(exchange: &Exchange, name: &str) -> Option<Response<Body>> {
    let (text, media) = match name {
        "style.css" => (include_str!("style.css"), "text/css; charset=utf-8"),
        "view.js" => (include_str!("view.js"), "text/javascript; charset=utf-8"),
        "icon.svg" => (include_str!("icon.svg"), "image/svg+xml"),
        _ => return None,
    };
    let is_head = exchange.method() == Method::HEAD;
    let mut response =
        Response::new(if is_head { Body::empty() } else { Body::Once(Bytes::from_static(text.as_bytes())) });
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    // Pages of a newer program must not meet an older script for long.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    protect(response.headers_mut());
    Some(response)
}

/// A link to the page of something.
fn href_of(path: &RequestPath, kind: NodeKind) -> String {
    match kind {
        NodeKind::Directory => path.directory_href(),
        _ => path.file_href(),
    }
}
