//! What lies below `/-/`: the gateway's own pages, the metrics, and the JSON API of the program's verbs and of the pages
//! (docs/openapi.yaml).

mod events;
mod progress;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use vfs::{Found, NodeKind, Profile};

use crate::body::Body;
use crate::browser;
use crate::browser::collect;
use crate::browser::order::Wanted;
use crate::exchange::{Audience, Exchange};
use crate::path::RequestPath;
use crate::refusal::{Answer, Refusal};
use crate::service::{Service, read_body, uncached};
use crate::{guard, kit};

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

/// What a price is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pick {
    /// The directory.
    path: String,
    /// Names in it, as a mount shows them; what is known below those that are directories counts too. `None`: all its files.
    names: Option<Vec<String>>,
    /// Only names that pass count, if there are no `names`.
    #[serde(default)]
    filter: String,
}

/// What can be asked below `/-/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Asset,
    Activity,
    CancelButton,
    Connect,
    Kit,
    Health,
    Metrics,
    Clients,
    Connections,
    Status,
    ActivityApi,
    Provenance,
    Events,
    Price,
    Refresh,
    Collect,
    Cancel,
}

/// Every operation; docs/openapi.yaml has exactly these.
const OPERATIONS: [(Method, &str, Operation); 20] = [
    (Method::GET, "style.css", Operation::Asset),
    (Method::GET, "view.js", Operation::Asset),
    (Method::GET, "icon.svg", Operation::Asset),
    (Method::GET, "activity", Operation::Activity),
    (Method::POST, "activity", Operation::CancelButton),
    (Method::GET, "connect", Operation::Connect),
    (Method::GET, "connect/windows.reg", Operation::Kit),
    (Method::GET, "connect/windows.ps1", Operation::Kit),
    (Method::GET, "health", Operation::Health),
    (Method::GET, "metrics", Operation::Metrics),
    (Method::GET, "api/v1/status", Operation::Status),
    (Method::GET, "api/v1/clients", Operation::Clients),
    (Method::GET, "api/v1/connections", Operation::Connections),
    (Method::GET, "api/v1/activity", Operation::ActivityApi),
    (Method::GET, "api/v1/provenance", Operation::Provenance),
    (Method::GET, "api/v1/events", Operation::Events),
    (Method::POST, "api/v1/price", Operation::Price),
    (Method::POST, "api/v1/refresh", Operation::Refresh),
    (Method::POST, "api/v1/collect", Operation::Collect),
    (Method::POST, "api/v1/cancel", Operation::Cancel),
];

/// What is to be taken back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    /// The flow id.
    job: String,
}

/// The operation that a request asks for.
fn operation(method: &Method, names: &[&str]) -> Result<Operation, Refusal> {
    let path = names.join("/");
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut known = OPERATIONS.iter().filter(|(_, known, _)| *known == path).peekable();
    if known.peek().is_none() {
        return Err(Refusal::absent("the gateway has nothing of this name"));
    }
    let (mut reads, mut posts) = (false, false);
    for (known, _, operation) in known {
        if known == method {
            return Ok(*operation);
        }
        reads |= known == Method::GET;
        posts |= known == Method::POST;
    }
    Err(not_allowed(match (reads, posts) {
        (true, true) => "GET, HEAD, POST",
        (true, false) => "GET, HEAD",
        _ => "POST",
    }))
}

/// Answers a request below `/-/`.
pub(crate) async fn answer(service: &Service, exchange: &Exchange, body: Incoming) -> Answer {
    let names = exchange.path.names();
    let names = names.get(1..).unwrap_or_default();
    let as_json = exchange.audience() == Audience::Json;
    match operation(exchange.method(), names)? {
        Operation::Asset => {
            let asset = names.first().and_then(|name| browser::asset(exchange, name));
            asset.ok_or_else(|| Refusal::absent("the gateway has nothing of this name"))
        }
        Operation::Activity if !as_json => Ok(browser::activity_page(service, exchange).await),
        Operation::Activity | Operation::ActivityApi => Ok(respond(exchange, &json!(service.vfs.activity()))),
        Operation::CancelButton => {
            guard::refuse_foreign_posts(exchange.headers())?;
            browser::cancel(service, exchange, &read_body(body, MAX_BODY).await?).await
        }
        Operation::Connect if as_json => Ok(respond(exchange, &connect(service))),
        Operation::Connect => Ok(browser::connect_page(service, exchange)),
        Operation::Kit => kit::answer(exchange, names.last().unwrap_or(&"")),
        Operation::Health if !as_json => Ok(browser::health_page(service, exchange)),
        Operation::Health | Operation::Status => Ok(respond(exchange, &status(service))),
        Operation::Metrics => Ok(send(exchange, (service.config.metrics)(), METRICS)),
        Operation::Clients => Ok(respond(exchange, &json!(service.vfs.endpoints()))),
        Operation::Connections => Ok(respond(exchange, &(service.config.connections)())),
        Operation::Provenance => {
            let path = exchange.query_text("path");
            let path = path
                .ok_or_else(|| Refusal::bad_request("the parameter `path` is missing or not percent-encoded UTF-8"))?;
            let found = resolve(service, exchange, &path).await?;
            provenance_of(service, exchange, &found).await
        }
        Operation::Events => events::answer(service, exchange).await,
        Operation::Price => price(service, exchange, body).await,
        Operation::Refresh => {
            let (found, wish) = wished(service, exchange, body).await?;
            if found.node.kind != NodeKind::Directory {
                return Err(Refusal::bad_request("only a directory can be refreshed"));
            }
            let call = explicit(exchange);
            Ok(progress::stream(service.vfs.refresh(&found.node, wish.depth, &call)))
        }
        Operation::Collect => {
            let (found, _) = wished(service, exchange, body).await?;
            if found.node.kind != NodeKind::File {
                return Err(Refusal::bad_request("only a file can be collected"));
            }
            let call = explicit(exchange);
            Ok(progress::stream(service.vfs.collect(&found.node, &call)))
        }
        Operation::Cancel => {
            guard::refuse_foreign_posts(exchange.headers())?;
            let body = read_body(body, MAX_BODY).await?;
            let wish: Cancel = serde_json::from_slice(&body)
                .map_err(|error| Refusal::bad_request(format!("the body must be a JSON object with `job`: {error}")))?;
            let cancelled = service.vfs.cancel(&wish.job, &explicit(exchange)).await;
            cancelled.map_err(|error| Refusal::from_error(&error, exchange.class))?;
            Ok(respond(exchange, &json!({ "cancelled": wish.job })))
        }
    }
}

/// Provenance as JSON.
pub(crate) async fn provenance_of(service: &Service, exchange: &Exchange, found: &Found) -> Answer {
    let provenance = service.vfs.provenance(&found.node).await;
    Ok(respond(exchange, &provenance.map_err(|error| Refusal::from_error(&error, exchange.class))?))
}

/// The commands that mount the gateway.
fn connect(service: &Service) -> Value {
    let commands = service.config.connect.iter();
    commands.map(|(title, command)| json!({ "title": title, "command": command })).collect()
}

/// What collecting would cost.
async fn price(service: &Service, exchange: &Exchange, body: Incoming) -> Answer {
    guard::refuse_foreign_posts(exchange.headers())?;
    let body = read_body(body, MAX_BODY).await?;
    let wish: Pick = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad_request(format!("the body must be a JSON object with `path`: {error}")))?;
    let found = resolve(service, exchange, &wish.path).await?;
    let refused = |error: vfs::Error| Refusal::from_error(&error, exchange.class);
    let call = explicit(exchange);
    let pick = match wish.names {
        None => collect::Pick::All(Wanted { sort: None, filter: wish.filter, page: 1 }),
        Some(names) => {
            let mut picked = Vec::with_capacity(names.len());
            for name in names {
                let mut call = exchange.call();
                call.profile = Profile::Posix;
                picked.push(service.vfs.lookup(&found.node, &name, &call).await.map_err(refused)?.node.own);
            }
            collect::Pick::Some(picked)
        }
    };
    let quote = collect::quote(service, &found.node, &pick, &call).await.map_err(refused)?;
    Ok(respond(exchange, &json!(quote)))
}

/// What the program says of itself, and how many endpoints and jobs there are.
pub(crate) fn status(service: &Service) -> Value {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_every_operation_and_no_other() {
        let document: Value = serde_yaml::from_str(include_str!("../../../../docs/openapi.yaml")).unwrap();
        let mut documented = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            let Some(path) = path.strip_prefix("/-/") else { continue };
            for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                documented.insert((method.to_uppercase(), path.to_owned()));
            }
        }
        let served: BTreeSet<_> =
            OPERATIONS.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
        assert_eq!(documented, served);
        assert_eq!(served.len(), OPERATIONS.len());
    }
}
