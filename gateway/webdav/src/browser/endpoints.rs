//! The first page: all endpoints.

use std::fmt::Write;

use http::{Response, StatusCode};
use vfs::{EndpointStatus, System};

use super::escape::{attribute, text};
use super::html;
use super::layout::{Page, count, time};
use super::rows::ago;
use crate::body::Body;
use crate::exchange::Exchange;
use crate::path::{RequestPath, encode};
use crate::service::Service;

/// Rows of one page.
const ROWS: usize = 500;

/// The page, filtered by `?q=`, `?online` and `?page=`.
pub(crate) fn page(service: &Service, exchange: &Exchange) -> Response<Body> {
    let wanted = exchange.query_text("q").unwrap_or_default();
    let only_online = exchange.asks("online");
    let mut endpoints = service.vfs.endpoints();
    let total = endpoints.len();
    let online = endpoints.iter().filter(|status| status.online).count();
    let organisations = endpoints.iter().any(|status| &*status.endpoint.id.org != "root");
    let words: Vec<String> = wanted.to_lowercase().split_whitespace().map(str::to_owned).collect();
    endpoints.retain(|status| (status.online || !only_online) && words.iter().all(|word| matches(status, word)));
    endpoints.sort_by_cached_key(|status| {
        (!status.online, status.endpoint.hostname.to_lowercase(), status.endpoint.id.client_id.clone())
    });
    let mut body = format!(
        "<h1>Endpoints</h1><form method=\"get\" action=\"/\" role=\"search\" class=\"bar filter\">\
         <input type=\"search\" id=\"filter\" name=\"q\" value=\"{}\" placeholder=\"Host, client id, system, label\" \
         aria-label=\"Search endpoints\"><label><input type=\"checkbox\" name=\"online\"{}> online only</label>\
         <button>Search</button><span>{} · {online} online</span></form>",
        attribute(&wanted),
        if only_online { " checked" } else { "" },
        count(total as u64, "endpoint", "endpoints"),
    );
    if endpoints.is_empty() {
        body.push_str(if total == 0 {
            "<p class=\"notice\">The server has not named any endpoint yet.</p>"
        } else {
            "<p class=\"notice\">No endpoint matches.</p>"
        });
    } else {
        let pages = endpoints.len().div_ceil(ROWS);
        let number = exchange.query("page").and_then(|page| page.parse().ok()).unwrap_or(1).clamp(1, pages);
        table(&mut body, service, &endpoints[(number - 1) * ROWS..(number * ROWS).min(endpoints.len())], organisations);
        pager(&mut body, (&wanted, only_online), number, pages, endpoints.len());
    }
    html(exchange, StatusCode::OK, Page::new("Endpoints", None).at("/").finish(&body))
}

fn matches(status: &EndpointStatus, word: &str) -> bool {
    let endpoint = &status.endpoint;
    endpoint.hostname.to_lowercase().contains(word)
        || endpoint.id.client_id.to_lowercase().contains(word)
        || endpoint.id.org.to_lowercase() == word
        || system(endpoint.system).to_lowercase().starts_with(word)
        || endpoint.labels.iter().any(|label| label.to_lowercase().contains(word))
}

fn system(system: System) -> &'static str {
    match system {
        System::Windows => "Windows",
        System::Linux => "Linux",
        System::Darwin => "macOS",
        System::Unknown => "not known",
    }
}

fn table(body: &mut String, service: &Service, endpoints: &[EndpointStatus], organisations: bool) {
    body.push_str(
        "<table class=\"rows\"><thead><tr><th scope=\"col\">Host</th><th scope=\"col\">State</th><th scope=\"col\">System</th>\
         <th scope=\"col\">Last seen (UTC)</th><th scope=\"col\">Labels</th><th scope=\"col\" class=\"other\">Client</th>",
    );
    if organisations {
        body.push_str("<th scope=\"col\">Organisation</th>");
    }
    body.push_str("<th scope=\"col\" class=\"other\">Agent</th></tr></thead><tbody>");
    for status in endpoints {
        row(body, service, status, organisations);
    }
    body.push_str("</tbody></table>");
}

fn row(body: &mut String, service: &Service, status: &EndpointStatus, organisations: bool) {
    let endpoint = &status.endpoint;
    let href = RequestPath::default().child(&endpoint.id.client_id).directory_href();
    let hostname = if endpoint.hostname.is_empty() { "(no name)" } else { &endpoint.hostname };
    let state = if status.online {
        "<span class=\"badge listed\">online</span>"
    } else {
        "<span class=\"badge\">offline</span>"
    };
    let _ = write!(
        body,
        "<tr><td class=\"name\"><a href=\"{href}\"><bdi>{}</bdi></a></td><td class=\"state\">{state}",
        text(hostname)
    );
    if status.jobs > 0 {
        let _ = write!(body, " <span class=\"badge running\">{} at work</span>", status.jobs);
    }
    if let Some(due) = status.takes_work_at {
        let _ = write!(body, " <span class=\"dim\">takes work at {}</span>", time(Some(due)));
    }
    let _ = write!(body, "</td><td>{}</td><td class=\"when\">{}", system(endpoint.system), time(endpoint.last_seen),);
    if let Some(seen) = endpoint.last_seen.filter(|_| !status.online) {
        let _ = write!(body, " <span class=\"dim\">{}</span>", ago(seen, service.vfs.now()));
    }
    body.push_str("</td><td>");
    for label in &endpoint.labels {
        let _ = write!(body, "<a class=\"label\" href=\"/?q={}\">{}</a> ", encode(label), text(label));
    }
    let _ = write!(body, "</td><td class=\"other\"><code>{}</code></td>", text(&endpoint.id.client_id));
    if organisations {
        let _ = write!(body, "<td>{}</td>", text(&endpoint.id.org));
    }
    let _ = write!(body, "<td class=\"other\">{}</td></tr>", text(&endpoint.agent_version));
}

fn pager(body: &mut String, (wanted, only_online): (&str, bool), number: usize, pages: usize, total: usize) {
    if pages <= 1 {
        return;
    }
    body.push_str("<nav class=\"pager\" aria-label=\"Pages\">");
    for (target, title) in [(number.saturating_sub(1), "Previous"), (number + 1, "Next")] {
        if target == 0 || target > pages {
            let _ = write!(body, "<span class=\"dim\">{title}</span>");
        } else {
            let online = if only_online { "&amp;online" } else { "" };
            let _ = write!(body, "<a href=\"/?q={}{online}&amp;page={target}\">{title}</a>", encode(wanted));
        }
    }
    let _ = write!(body, "<span>{}–{} of {total}</span></nav>", (number - 1) * ROWS + 1, (number * ROWS).min(total));
}
