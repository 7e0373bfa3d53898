//! The view for people: directories, files, endpoints, and how to connect. No script, one style sheet, every character of evidence
//! escaped. The same directories as text for curl and as JSON for programs.

mod activity;
mod connect;
mod directory;
mod endpoints;
mod escape;
mod file;
mod layout;
mod machine;
mod order;
mod work;

use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode};
use vfs::{Found, NodeKind};

use crate::body::Body;
use crate::exchange::{Audience, Exchange};
use crate::path::RequestPath;
use crate::refusal::{Answer, Refusal};
use crate::service::{Service, uncached};
use escape::text;
use layout::Page;
use order::Orders;
use work::Works;

pub(crate) use activity::page as activity_page;
pub(crate) use connect::page as connect_page;
pub(crate) use file::page as file;

/// What the pages remember between requests.
pub(crate) struct Pages {
    orders: Orders,
    works: Works,
}

impl Pages {
    /// Nothing yet.
    pub(crate) fn new() -> Pages {
        Pages { orders: Orders::default(), works: Works::default() }
    }
}

/// GET of a directory, for whoever asks.
pub(crate) async fn directory(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    match exchange.audience() {
        Audience::Browser if exchange.path.is_root() && !exchange.asks("list") => {
            Ok(endpoints::page(service, exchange))
        }
        Audience::Browser => directory::page(service, exchange, found).await,
        Audience::Json => machine::json(service, exchange, found).await,
        Audience::Plain => machine::plain(service, exchange, found).await,
    }
}

/// A button was pressed: starts the work and shows the page that tells how it goes.
pub(crate) async fn pressed(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    let mut call = exchange.call_held(exchange.config().hold);
    call.explicit = true;
    let location = match found.node.kind {
        NodeKind::Directory if exchange.asks("refresh") => {
            let depth = match exchange.query("depth") {
                None => 0,
                Some(depth) => depth.parse().map_err(|_| Refusal::bad_request("the depth must be a number"))?,
            };
            service.pages.works.watch(found.node.own, service.vfs.refresh(&found.node, depth, &call));
            exchange.path.directory_href()
        }
        NodeKind::File if exchange.asks("collect") => {
            service.pages.works.watch(found.node.own, service.vfs.collect(&found.node, &call));
            format!("{}?info=1", exchange.path.file_href())
        }
        _ => {
            return Err(Refusal::bad_request(
                "POST refreshes a directory (`?refresh`) or collects a file (`?collect`)",
            ));
        }
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::try_from(location).map_err(|_| Refusal::bad_request("the path cannot be shown"))?;
    response.headers_mut().insert(http::header::LOCATION, location);
    Ok(uncached(response))
}

/// The page of a refusal.
pub(crate) fn refusal_page(refusal: &Refusal, exchange: &Exchange) -> String {
    let mut page = Page::new(refusal.status.canonical_reason().unwrap_or("Refused"), Some(&exchange.path));
    if refusal.retry_after.is_some() {
        page.refresh_every(2);
    }
    let mut body = format!("<p class=\"notice failed\">{}</p>", text(&refusal.message));
    if exchange.headers().contains_key("sec-fetch-site") && refusal.status == StatusCode::FORBIDDEN {
        let href = exchange.path.file_href();
        body.push_str(&format!("<p><a href=\"{href}\">Open {} from here</a></p>", text(&exchange.path.to_string())));
    }
    page.finish(&body)
}

/// A page as a response.
fn html(exchange: &Exchange, status: StatusCode, page: String) -> Response<Body> {
    let mut response = Response::new(if exchange.method() == Method::HEAD { Body::empty() } else { Body::from(page) });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    protect(response.headers_mut());
    uncached(response)
}

/// Headers of everything that the gateway itself says: no script can run in it, whatever a name contains.
pub(crate) fn protect(headers: &mut HeaderMap) {
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

/// The style sheet.
pub(crate) fn style(exchange: &Exchange) -> Response<Body> {
    let body =
        if exchange.method() == Method::HEAD { Body::empty() } else { Body::Once(include_str!("style.css").into()) };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    protect(response.headers_mut());
    response
}

/// A link to the page of something.
fn href_of(path: &RequestPath, kind: NodeKind) -> String {
    match kind {
        NodeKind::Directory => path.directory_href(),
        _ => path.file_href(),
    }
}
