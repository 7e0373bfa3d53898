//! The page of a directory.

use std::fmt::Write;

use http::StatusCode;
use vfs::{Attributes, Found, Freshness, Listing, Node, NodeKind, Progress};

use super::escape::text;
use super::layout::{Page, size, time};
use super::order::{Column, Sort};
use super::work::is_running;
use super::{href_of, html};
use crate::exchange::Exchange;
use crate::link;
use crate::propfind::encode::kind_word;
use crate::refusal::{Answer, Refusal, status_of};
use crate::service::Service;

/// Rows of one page.
const ROWS: usize = 1_000;

/// The page: at once, whether the listing is there or not.
pub(crate) async fn page(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    let call = exchange.call();
    let listed = service.vfs.list(&found.node, &call).await;
    let state =
        service.vfs.freshness(&found.node).await.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    let work = service.pages.works.latest(found.node.own);
    let mut page = Page::new(exchange.path.name().unwrap_or("/"), Some(&exchange.path));
    let mut body = String::with_capacity(64 * 1024);
    let _ = write!(body, "<h1>{}</h1><div class=\"bar\">{}", text(exchange.path.name().unwrap_or("/")), badge(&state));
    if !matches!(state, Freshness::Own) {
        let href = exchange.path.directory_href();
        let _ = write!(body, "<form method=\"post\" action=\"{href}?refresh\"><button>Refresh</button></form>");
    }
    body.push_str("</div>");
    if let Some(work) = &work {
        body.push_str(&progress(work));
        if is_running(work) {
            page.refresh_every(2);
        }
    }
    let status = match listed {
        Ok(listing) => {
            rows(service, exchange, &listing, &mut body).await;
            StatusCode::OK
        }
        Err(error) => {
            let (status, retry_after) = status_of(error.kind(), exchange.class);
            if retry_after.is_some() {
                page.refresh_every(2);
                let _ = write!(
                    body,
                    "<p class=\"notice running\" role=\"status\">The endpoint is being asked for this directory. This page looks again every \
                     two seconds.</p><p class=\"dim\">{}</p>",
                    text(error.message())
                );
            } else {
                let _ = write!(body, "<p class=\"notice failed\">{}</p>", text(error.message()));
            }
            status
        }
    };
    Ok(html(exchange, status, page.finish(&body)))
}

/// What is known of the listing, in a few words.
fn badge(state: &Freshness) -> String {
    match state {
        Freshness::Own => "<span class=\"badge\">gateway</span>".to_owned(),
        Freshness::Unknown => "<span class=\"badge\">never listed</span>".to_owned(),
        Freshness::Failed(failed) => format!(
            "<span class=\"badge failed\">failed</span><span>{} at {}</span>",
            text(&failed.message),
            time(Some(failed.at))
        ),
        Freshness::Listed { observation, entries, failed_since } => {
            let source = if observation.job.is_empty() {
                "from the server".to_owned()
            } else {
                format!("by {} · flow <code>{}</code>", text(&observation.by), text(&observation.job))
            };
            let mut out = format!(
                "<span class=\"badge listed\">listed</span><span>{} · {entries} {} · {source}</span>",
                time(Some(observation.seen)),
                if *entries == 1 { "entry" } else { "entries" },
            );
            if let Some(failed) = failed_since {
                let _ = write!(
                    out,
                    "<span class=\"badge failed\">refresh failed</span><span>{} at {}</span>",
                    text(&failed.message),
                    time(Some(failed.at))
                );
            }
            out
        }
    }
}

/// How a work goes.
pub(crate) fn progress(work: &Progress) -> String {
    match work {
        Progress::Queued { job: Some(job) } => {
            format!(
                "<p class=\"notice running\" role=\"status\">Queued for the endpoint (flow <code>{}</code>).</p>",
                text(job)
            )
        }
        Progress::Queued { job: None } => {
            "<p class=\"notice running\" role=\"status\">Queued for the endpoint.</p>".to_owned()
        }
        Progress::Delivered => "<p class=\"notice running\" role=\"status\">The endpoint is at work.</p>".to_owned(),
        Progress::Running { rows, bytes } => format!(
            "<p class=\"notice running\" role=\"status\">The endpoint is at work: {rows} rows, {} so far.</p>",
            size(*bytes)
        ),
        Progress::Done { message } => format!("<p class=\"notice done\">{}</p>", text(message)),
        Progress::Failed { message } => format!("<p class=\"notice failed\">{}</p>", text(message)),
    }
}

async fn rows(service: &Service, exchange: &Exchange, listing: &Listing, body: &mut String) {
    if listing.is_empty() {
        body.push_str("<p class=\"notice\">This directory is empty.</p>");
        return;
    }
    let sort = Sort::of(exchange);
    let order = service.pages.orders.sorted(listing, sort).await;
    let pages = order.len().div_ceil(ROWS).max(1);
    let number = exchange.query("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).clamp(1, pages);
    let shown = order.iter().skip((number - 1) * ROWS).take(ROWS);
    pager(body, sort, number, pages, order.len());
    body.push_str("<table><thead><tr>");
    for (column, title) in [(Column::Name, "Name"), (Column::Size, "Size"), (Column::Modified, "Modified (UTC)")] {
        heading(body, sort, column, title);
    }
    body.push_str("<th scope=\"col\">State</th></tr></thead><tbody>");
    let profile = exchange.class.profile();
    for ordinal in shown {
        let Some((node, attributes)) = listing.entry(*ordinal) else { continue };
        let target = if node.kind == NodeKind::Link { listing.raw_link(*ordinal) } else { None };
        let attributes = target.map_or(attributes, |target| link::described(&attributes, target));
        row(body, exchange, &node, &attributes, &listing.name(*ordinal, profile), target);
    }
    body.push_str("</tbody></table>");
    if pages > 1 {
        pager(body, sort, number, pages, order.len());
    }
}

fn row(body: &mut String, exchange: &Exchange, node: &Node, attributes: &Attributes, name: &str, target: Option<&str>) {
    let path = exchange.path.child(name);
    let href = href_of(&path, node.kind);
    // A page must never be saved under the name of a file that was not collected.
    let query = if node.kind == NodeKind::Directory { "" } else { "?info=1" };
    let (class, slash) = match node.kind {
        NodeKind::Directory => ("directory", "/"),
        NodeKind::Link => ("link", ""),
        NodeKind::Special => ("special", ""),
        NodeKind::File | NodeKind::Meta => ("file", ""),
    };
    let _ = write!(body, "<tr><td class=\"name {class}\"><a href=\"{href}{query}\">{}{slash}</a>", text(name));
    if let Some(target) = target {
        let _ = write!(body, " <span class=\"dim\">→ {}</span>", text(target));
    }
    let shown_size = match (node.kind, attributes.size) {
        (NodeKind::Directory, _) => String::new(),
        (_, Some(bytes)) => size(bytes),
        (_, None) => "<span class=\"dim\" title=\"only reading tells\">not known</span>".to_owned(),
    };
    let state = match node.kind {
        NodeKind::File if attributes.collected => "<span class=\"badge listed\">collected</span>",
        NodeKind::Special => kind_word(attributes.file_type).unwrap_or("special"),
        NodeKind::Link => "link",
        _ => "",
    };
    let _ = write!(
        body,
        "</td><td class=\"number\">{shown_size}</td><td class=\"when\">{}</td><td>{state}</td></tr>",
        time(attributes.modified)
    );
}

fn heading(body: &mut String, sort: Sort, column: Column, title: &str) {
    let is_current = sort.column == column;
    let descending = is_current && !sort.descending;
    let (aria, mark) = match (is_current, sort.descending) {
        (false, _) => ("none", ""),
        (true, false) => ("ascending", " ↑"),
        (true, true) => ("descending", " ↓"),
    };
    let class = if column == Column::Size { " class=\"number\"" } else { "" };
    let query = Sort { column, descending }.query();
    let _ = write!(body, "<th scope=\"col\"{class} aria-sort=\"{aria}\"><a href=\"?{query}\">{title}{mark}</a></th>");
}

fn pager(body: &mut String, sort: Sort, number: usize, pages: usize, total: usize) {
    if pages <= 1 {
        return;
    }
    let query = sort.query();
    let _ = write!(body, "<nav class=\"pager\" aria-label=\"Pages\">");
    for (target, title) in [(1, "First"), (number.saturating_sub(1), "Previous"), (number + 1, "Next"), (pages, "Last")]
    {
        if target == number || target == 0 || target > pages {
            let _ = write!(body, "<span class=\"dim\">{title}</span>");
        } else {
            let _ = write!(body, "<a href=\"?{query}&amp;page={target}\">{title}</a>");
        }
    }
    let first = (number - 1) * ROWS + 1;
    let last = (number * ROWS).min(total);
    let _ = write!(body, "<span>{first}–{last} of {total}</span></nav>");
}
