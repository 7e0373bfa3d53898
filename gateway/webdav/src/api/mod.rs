//! What lies below `/-/`: the style sheet, the connect page, the metrics, and the JSON API of the program's verbs (docs/openapi.yaml).

mod progress;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use vfs::{Found, NodeKind, Profile};

use crate::body::Body;
use crate::browser;
use crate::exchange::Exchange;
use crate::guard;
use crate::path::{RequestPath, decode};
use crate::refusal::{Answer, Refusal};
use crate::service::{Service, read_body, uncached};

/// The text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Bytes of a request body: a path may be long.
const MAX_BODY: usize = 128 * 1024;

/// What refresh and collect are asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Path as the mounts show it, not percent-encoded.
    path: String,
    /// Further levels of a refresh.
    #[serde(default)]
    depth: u32,
}

/// What is to be taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    /// The flow id.
    job: String,
}

/// Answers a request below `/-/`.
pub(crate) async fn answer(service: &Service, exchange: &Exchange, body: Incoming) -> Answer {
    let names = exchange.path.names();
    let is_read = matches!(*exchange.method(), Method::GET | Method::HEAD);
    let is_post = exchange.method() == Method::POST;
    match names.get(1..).unwrap_or_default() {
        ["style.css"] if is_read => Ok(browser::style(exchange)),
        ["activity"] if is_read => Ok(browser::activity_page(service, exchange)),
        ["metrics"] if is_read => Ok(send(exchange, (service.config.metrics)(), METRICS)),
        ["connect"] if is_read => Ok(browser::connect_page(exchange)),
        ["api", "v1", "status"] if is_read => Ok(respond(exchange, &status(service))),
        ["api", "v1", "clients"] if is_read => Ok(respond(exchange, &json!(service.vfs.endpoints()))),
        ["api", "v1", "connections"] if is_read => Ok(respond(exchange, &(service.config.connections)())),
        ["api", "v1", "activity"] if is_read => Ok(respond(exchange, &json!(service.vfs.activity()))),
        ["api", "v1", "provenance"] if is_read => {
            let path = exchange.query("path").map(|path| path.replace('+', " ")).and_then(|path| decode(&path));
            let path = path
                .ok_or_else(|| Refusal::bad_request("the parameter `path` is missing or not percent-encoded UTF-8"))?;
            let found = resolve(service, exchange, &path).await?;
            provenance_of(service, exchange, &found).await
        }
        ["api", "v1", "refresh"] if is_post => {
            let (found, wish) = wished(service, exchange, body).await?;
            if found.node.kind != NodeKind::Directory {
                return Err(Refusal::bad_request("only a directory can be refreshed"));
            }
            let call = explicit(exchange);
            Ok(progress::stream(service.vfs.refresh(&found.node, wish.depth, &call)))
        }
        ["api", "v1", "collect"] if is_post => {
            let (found, _) = wished(service, exchange, body).await?;
            if found.node.kind != NodeKind::File {
                return Err(Refusal::bad_request("only a file can be collected"));
            }
            let call = explicit(exchange);
            Ok(progress::stream(service.vfs.collect(&found.node, &call)))
        }
        ["api", "v1", "cancel"] if is_post => {
            guard::refuse_foreign_posts(exchange.headers())?;
            let body = read_body(body, MAX_BODY).await?;
            let wish: Cancel = serde_json::from_slice(&body)
                .map_err(|error| Refusal::bad_request(format!("the body must be a JSON object with `job`: {error}")))?;
            let cancelled = service.vfs.cancel(&wish.job, &explicit(exchange)).await;
            cancelled.map_err(|error| Refusal::from_error(&error, exchange.class))?;
            Ok(respond(exchange, &json!({ "cancelled": wish.job })))
        }
        ["style.css" | "activity" | "metrics" | "connect"]
        | ["api", "v1", "status" | "clients" | "connections" | "activity" | "provenance"] => {
            Err(not_allowed("GET, HEAD"))
        }
        ["api", "v1", "refresh" | "collect" | "cancel"] => Err(not_allowed("POST")),
        _ => Err(Refusal::absent("the gateway has nothing of this name")),
    }
}

/// Provenance as JSON.
pub(crate) async fn provenance_of(service: &Service, exchange: &Exchange, found: &Found) -> Answer {
    let provenance = service.vfs.provenance(&found.node).await;
    Ok(respond(exchange, &provenance.map_err(|error| Refusal::from_error(&error, exchange.class))?))
}

/// What the program says of itself, and how many endpoints and jobs there are.
fn status(service: &Service) -> Value {
    let endpoints = service.vfs.endpoints();
    let mut status = match (service.config.status)() {
        Value::Object(map) => map,
        other => serde_json::Map::from_iter([("program".to_owned(), other)]),
    };
    status.insert(
        "endpoints".into(),
        json!({
            "known": endpoints.len(),
            "online": endpoints.iter().filter(|endpoint| endpoint.online).count(),
            "waiting": endpoints.iter().filter(|endpoint| endpoint.takes_work_at.is_some()).count(),
            "jobs": endpoints.iter().map(|endpoint| endpoint.jobs).sum::<usize>(),
        }),
    );
    Value::Object(status)
}

async fn wished(service: &Service, exchange: &Exchange, body: Incoming) -> Result<(Found, Wish), Refusal> {
    guard::refuse_foreign_posts(exchange.headers())?;
    let body = read_body(body, MAX_BODY).await?;
    let wish: Wish = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("the body must be a JSON object with `path`: {error}")))?;
    let found = resolve(service, exchange, &wish.path).await?;
    Ok((found, wish))
}

async fn resolve(service: &Service, exchange: &Exchange, path: &str) -> Result<Found, Refusal> {
    let path = RequestPath::from_plain(path)?;
    let mut call = exchange.call();
    call.profile = Profile::Posix;
    let found = service.vfs.resolve(&path.names(), path.has_final_slash(), &call).await;
    found.map_err(|error| Refusal::from_error(&error, exchange.class))
}

fn explicit(exchange: &Exchange) -> vfs::Call {
    let mut call = exchange.call_held(exchange.config().hold);
    call.explicit = true;
    call
}

fn not_allowed(allow: &'static str) -> Refusal {
    Refusal { allow: Some(allow), ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here") }
}

fn respond(exchange: &Exchange, value: &Value) -> Response<Body> {
    send(exchange, format!("{value}\n"), "application/json")
}

fn send(exchange: &Exchange, text: String, media: &'static str) -> Response<Body> {
    let body = if exchange.method() == Method::HEAD { Body::empty() } else { Body::from(text) };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    browser::protect(response.headers_mut());
    uncached(response)
}
