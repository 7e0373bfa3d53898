//! The first page: all endpoints.

use std::fmt::Write;

use http::{Response, StatusCode};
use vfs::{EndpointStatus, System};

use super::escape::{attribute, text};
use super::html;
use super::layout::{Page, time};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::path::{RequestPath, decode};
use crate::service::Service;

/// Rows of the page at most; a search finds the others.
const ROWS: usize = 1_000;

/// The page, filtered by `?q=`.
pub(crate) fn page(service: &Service, exchange: &Exchange) -> Response<Body> {
    let wanted =
        exchange.query("q").map(|query| query.replace('+', " ")).and_then(|query| decode(&query)).unwrap_or_default();
    let mut endpoints = service.vfs.endpoints();
    let total = endpoints.len();
    let online = endpoints.iter().filter(|status| status.online).count();
    endpoints.retain(|status| matches(status, &wanted.to_lowercase()));
    endpoints.sort_by(|left, right| {
        let key = |status: &EndpointStatus| (!status.online, status.endpoint.hostname.to_lowercase());
        key(left).cmp(&key(right)).then_with(|| left.endpoint.id.cmp(&right.endpoint.id))
    });
    let mut body = format!(
        "<h1>Endpoints</h1><div class=\"bar\"><span>{total} known · {online} online</span>\
         <form method=\"get\" action=\"/\" role=\"search\"><input type=\"search\" name=\"q\" value=\"{}\" \
         placeholder=\"Host, client id, label\" aria-label=\"Search endpoints\"><button>Search</button></form></div>",
        attribute(&wanted)
    );
    if endpoints.is_empty() {
        body.push_str(if total == 0 {
            "<p class=\"notice\">The server has not named any endpoint yet.</p>"
        } else {
            "<p class=\"notice\">No endpoint matches.</p>"
        });
    } else {
        body.push_str(
            "<table><thead><tr><th scope=\"col\">Host</th><th scope=\"col\">Client</th><th scope=\"col\">System</th>\
             <th scope=\"col\">State</th><th scope=\"col\">Last seen (UTC)</th><th scope=\"col\">Labels</th></tr></thead><tbody>",
        );
        endpoints.iter().take(ROWS).for_each(|status| row(&mut body, status));
        body.push_str("</tbody></table>");
        if endpoints.len() > ROWS {
            let _ = write!(body, "<p class=\"dim\">{} more: search for them.</p>", endpoints.len() - ROWS);
        }
    }
    html(exchange, StatusCode::OK, Page::new("Endpoints", None).finish(&body))
}

fn matches(status: &EndpointStatus, wanted: &str) -> bool {
    let endpoint = &status.endpoint;
    wanted.is_empty()
        || endpoint.hostname.to_lowercase().contains(wanted)
        || endpoint.id.client_id.to_lowercase().contains(wanted)
        || endpoint.labels.iter().any(|label| label.to_lowercase().contains(wanted))
}

fn row(body: &mut String, status: &EndpointStatus) {
    let endpoint = &status.endpoint;
    let href = RequestPath::default().child(&endpoint.id.client_id).directory_href();
    let system = match endpoint.system {
        System::Windows => "Windows",
        System::Linux => "Linux",
        System::Darwin => "macOS",
        System::Unknown => "not known",
    };
    let hostname = if endpoint.hostname.is_empty() { "(no name)" } else { &endpoint.hostname };
    let state = if status.online {
        "<span class=\"badge listed\">online</span>"
    } else {
        "<span class=\"badge\">offline</span>"
    };
    let _ = write!(
        body,
        "<tr><td class=\"name\"><a href=\"{href}\">{}</a></td><td><code>{}</code></td><td>{system}</td><td>{state}",
        text(hostname),
        text(&endpoint.id.client_id),
    );
    if status.jobs > 0 {
        let _ = write!(body, " <span class=\"badge running\">{} at work</span>", status.jobs);
    }
    let _ = write!(body, "</td><td class=\"when\">{}</td><td>", time(endpoint.last_seen));
    for label in &endpoint.labels {
        let _ = write!(body, "<span class=\"label\">{}</span> ", text(label));
    }
    body.push_str("</td></tr>");
}
