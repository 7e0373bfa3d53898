//! The page of a directory: at once, whether its listing is there or not.

use std::fmt::Write;

use http::StatusCode;
use vfs::{Found, Freshness, Listing, Node, NodeKind, Progress};

use super::escape::{attribute, text};
use super::layout::{Page, count, size, time};
use super::live::{self, Topic};
use super::order::{COLUMNS, Column, Order, ROWS, Sort, View, Wanted};
use super::rows::{Rows, ago};
use super::work::is_running;
use super::{html, streamed};
use crate::exchange::Exchange;
use crate::refusal::{Answer, Refusal, status_of};
use crate::service::Service;

/// The page.
pub(crate) async fn page(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    let wanted = Wanted::of(exchange);
    let topic = Topic::Directory(found.node);
    let signature = || live::signature(&service.vfs, &service.pages.works, &topic);
    // What is rendered may be newer than this by the time that it is shown, never older.
    let before = signature().await;
    let listed = service.vfs.list(&found.node, &exchange.call()).await;
    // A visit that begins a listing is no reason to load its page again.
    let seen = if listed.is_ok() { before } else { signature().await };
    let state =
        service.vfs.freshness(&found.node).await.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    // It was listed just now, and the page does not have it.
    let seen = if listed.is_err() && matches!(state, Freshness::Listed { .. }) { "none".to_owned() } else { seen };
    let on_endpoint = service.vfs.is_on_endpoint(&found.node).await.unwrap_or(false);
    let name = exchange.path.name().unwrap_or("/");
    let mut page = Page::new(name, Some(&exchange.path));
    if !matches!(state, Freshness::Own) || on_endpoint {
        page.live(live::address(&exchange.path, &wanted.query(), &seen));
    }
    let mut body = String::with_capacity(64 * 1024);
    let _ = write!(body, "<h1><bdi>{}</bdi></h1><div class=\"bar\" id=\"badge\">", text(name));
    badge(&mut body, service, &found.node, &state);
    body.push_str("</div>");
    tools(&mut body, exchange, &state, on_endpoint);
    if let Some(work) = service.pages.works.latest(found.node.own) {
        body.push_str(&progress(&work));
        if is_running(&work) {
            page.refresh_every(2);
        }
    }
    match listed {
        Ok(listing) => listed_page(service, exchange, (page, body), listing, &wanted, on_endpoint).await,
        Err(error) => {
            let (status, retry_after) = status_of(error.kind(), exchange.class);
            if retry_after.is_some() {
                page.refresh_every(2);
                let so_far = service.vfs.being_listed(&found.node).map(|work| so_far(&work)).unwrap_or_default();
                let _ = write!(
                    body,
                    "<div class=\"notice running\" role=\"status\"><progress></progress> <span id=\"sofar\">{}</span></div>\
                     <p class=\"dim\">The rows appear here as soon as the listing is whole.</p>",
                    text(if so_far.is_empty() { error.message() } else { &so_far })
                );
            } else {
                let _ = write!(body, "<p class=\"notice failed\">{}</p>", text(error.message()));
            }
            Ok(html(exchange, status, page.finish(&body)))
        }
    }
}

/// How far a listing under way is, in words.
pub(crate) fn so_far(work: &vfs::Activity) -> String {
    let flow = work.job.as_ref().map(|job| format!(" (flow {job})")).unwrap_or_default();
    match (work.queued_until, work.waits_until, work.rows) {
        (Some(until), _, _) => {
            format!("The endpoint is away. The flow waits for its return, at most until {}{flow}.", until.to_rfc3339())
        }
        (_, Some(due), _) => {
            format!("The endpoint takes work at intervals; this is expected to leave at {}{flow}.", due.to_rfc3339())
        }
        (_, _, 0) => format!("The endpoint is being asked for this directory{flow}."),
        (_, _, rows) => format!("The endpoint is at work: {} so far{flow}.", count(rows, "entry", "entries")),
    }
}

/// What is known of the listing, in a few words.
fn badge(out: &mut String, service: &Service, node: &Node, state: &Freshness) {
    let now = service.vfs.now();
    match state {
        Freshness::Own => out.push_str("<span class=\"badge\">gateway</span><span>always up to date</span>"),
        Freshness::Unknown => out.push_str("<span class=\"badge\">never listed</span>"),
        Freshness::Failed(failed) => {
            let _ = write!(
                out,
                "<span class=\"badge failed\">failed</span><span>{}, {}</span>",
                text(&failed.message),
                ago(failed.at, now)
            );
        }
        Freshness::Listed { observation, entries, failed_since } => {
            let _ = write!(
                out,
                "<span class=\"badge listed\">listed</span><span>{} UTC, {} · {}",
                time(Some(observation.seen)),
                ago(observation.seen, now),
                count(u64::from(*entries), "entry", "entries"),
            );
            if observation.job.is_empty() {
                out.push_str(" · from the server</span>");
            } else {
                let _ = write!(
                    out,
                    " · by {} · flow <code>{}</code></span>",
                    text(&observation.by),
                    text(&observation.job)
                );
            }
            if let Some(failed) = failed_since {
                let _ = write!(
                    out,
                    "<span class=\"badge failed\">refresh failed</span><span>{}, {}</span>",
                    text(&failed.message),
                    ago(failed.at, now)
                );
            }
        }
    }
    if let Some(work) = service.vfs.being_listed(node) {
        let word = if matches!(state, Freshness::Listed { .. }) { "refreshing" } else { "being listed" };
        let _ = write!(
            out,
            "<span class=\"badge running\">{word} <span id=\"seconds\">{}</span> s</span>",
            now.since(work.started).as_secs()
        );
    }
}

/// Buttons and links about the whole directory.
fn tools(out: &mut String, exchange: &Exchange, state: &Freshness, on_endpoint: bool) {
    let href = exchange.path.directory_href();
    out.push_str("<div class=\"bar tools\">");
    if on_endpoint {
        let _ = write!(
            out,
            "<form method=\"post\" action=\"{href}?refresh\"><button accesskey=\"r\">Refresh</button></form>\
             <form method=\"post\" action=\"{href}?refresh\" class=\"join\">\
             <label for=\"depth\" class=\"hidden\">Levels below</label><select id=\"depth\" name=\"depth\">\
             <option value=\"1\">1 level</option><option value=\"2\">2 levels</option><option value=\"5\">5 levels</option>\
             <option value=\"100\">all levels</option></select><button>Refresh recursively</button></form>"
        );
    }
    if matches!(state, Freshness::Listed { .. }) {
        let _ = write!(
            out,
            "<span class=\"downloads\">Download what is collected: <a href=\"{href}?zip\" download>zip</a> \
             <a href=\"{href}?tar\" download>tar</a></span><a href=\"{href}?json\">JSON</a>"
        );
    }
    out.push_str("</div>");
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
        Progress::Running { rows: 0, bytes } => {
            format!("<p class=\"notice running\" role=\"status\">The endpoint is at work: {} so far.</p>", size(*bytes))
        }
        Progress::Running { rows, .. } => format!(
            "<p class=\"notice running\" role=\"status\">The endpoint is at work: {} so far.</p>",
            count(*rows, "entry", "entries")
        ),
        Progress::Done { message } => format!("<p class=\"notice done\">{}</p>", text(message)),
        Progress::Failed { message } => format!("<p class=\"notice failed\">{}</p>", text(message)),
    }
}

async fn listed_page(
    service: &Service,
    exchange: &Exchange,
    (mut page, mut body): (Page, String),
    listing: Listing,
    wanted: &Wanted,
    on_endpoint: bool,
) -> Answer {
    if listing.is_empty() {
        body.push_str("<p class=\"notice\">This directory is empty.</p>");
        return Ok(html(exchange, StatusCode::OK, page.finish(&body)));
    }
    let order = service.pages.orders.of(&listing, wanted).await;
    let View { number, pages, from, to } = order.page(wanted.page);
    let href = exchange.path.directory_href();
    filter(&mut body, exchange, &listing, wanted, &order);
    if order.len() == 0 {
        body.push_str("<p class=\"notice\">No name passes the filter.</p>");
        return Ok(html(exchange, StatusCode::OK, page.finish(&body)));
    }
    if under_way(service, &listing, &order, from, to) {
        page.refresh_every(5);
    }
    pager(&mut body, wanted, number, pages, order.len());
    let _ = write!(body, "<form method=\"post\" action=\"{href}?price\" id=\"pick\">");
    let _ = write!(body, "<input type=\"hidden\" name=\"view\" value=\"{}\">", attribute(&wanted.query()));
    body.push_str(
        "<table class=\"rows\"><thead><tr><th scope=\"col\" class=\"pick\"><span class=\"hidden\">Select</span></th>",
    );
    let sort = wanted.sort(listing.len());
    COLUMNS.into_iter().for_each(|column| heading(&mut body, wanted, sort, column));
    body.push_str("<th scope=\"col\">State</th></tr></thead><tbody>");
    let mut closing = "</tbody></table>".to_owned();
    if on_endpoint {
        closing.push_str("<div class=\"bar collect\"><button>Collect selected…</button>");
        let all = if wanted.filter.is_empty() {
            "Collect all of this directory…"
        } else {
            "Collect all that pass the filter…"
        };
        let _ = write!(
            closing,
            "<button name=\"all\" value=\"1\">{all}</button><span id=\"picked\" class=\"dim\" role=\"status\">What it costs is shown \
             before anything is asked of the endpoint.</span></div>"
        );
    }
    closing.push_str("</form>");
    if pages > 1 {
        pager(&mut closing, wanted, number, pages, order.len());
    }
    let (mut opening, end) = page.split();
    opening.push_str(&body);
    closing.push_str(end);
    let rows = Rows {
        listing,
        order,
        from,
        to,
        path: exchange.path.clone(),
        profile: exchange.class.profile(),
        works: service.pages.works.clone(),
    };
    Ok(streamed(exchange, StatusCode::OK, rows.into_frames(opening, closing)))
}

/// Whether something of this page changes by itself.
fn under_way(service: &Service, listing: &Listing, order: &Order, from: usize, to: usize) -> bool {
    if service.vfs.being_listed(&listing.directory()).is_some() {
        return true;
    }
    let places = (from..to).filter_map(|place| order.get(place));
    places.filter_map(|ordinal| listing.entry(ordinal).map(|(node, _)| (ordinal, node))).any(|(ordinal, node)| {
        node.kind == NodeKind::File && matches!(listing.standing(ordinal, &node), vfs::Standing::UnderWay { .. })
    })
}

/// The filter, and how many names pass it.
fn filter(out: &mut String, exchange: &Exchange, listing: &Listing, wanted: &Wanted, order: &Order) {
    let href = exchange.path.directory_href();
    let _ = write!(
        out,
        "<form method=\"get\" action=\"{href}\" role=\"search\" class=\"bar filter\"><input type=\"search\" id=\"filter\" name=\"q\" value=\"{}\" \
         placeholder=\"Part of a name, or *.pattern\" aria-label=\"Filter names\">",
        attribute(&wanted.filter)
    );
    if let Some(sort) = wanted.sort {
        let order = if sort.descending { "desc" } else { "asc" };
        let _ = write!(
            out,
            "<input type=\"hidden\" name=\"sort\" value=\"{}\"><input type=\"hidden\" name=\"order\" value=\"{order}\">",
            sort.column.word()
        );
    }
    out.push_str("<button>Filter</button>");
    if !wanted.filter.is_empty() {
        let clear = Wanted { filter: String::new(), page: 1, ..wanted.clone() }.query();
        let _ = write!(
            out,
            "<a href=\"{href}?{}\">Clear</a><span>{} of {}</span>",
            attribute(&clear),
            order.len(),
            count(u64::from(listing.len()), "entry", "entries")
        );
    } else if wanted.sort(listing.len()).column == Column::Listed {
        out.push_str("<span>in the endpoint's order</span>");
    }
    out.push_str("</form>");
}

fn heading(out: &mut String, wanted: &Wanted, sort: Sort, column: Column) {
    let is_current = sort.column == column;
    let descending = is_current && !sort.descending;
    let (aria, mark) = match (is_current, sort.descending) {
        (false, _) => ("none", ""),
        (true, false) => ("ascending", " ↑"),
        (true, true) => ("descending", " ↓"),
    };
    let (title, class) = match column {
        Column::Listed | Column::Name => ("Name", ""),
        Column::Size => ("Size", " class=\"number\""),
        Column::Modified => ("Modified (UTC)", ""),
        Column::Accessed => ("Accessed", " class=\"other\""),
        Column::Changed => ("Changed", " class=\"other\""),
        Column::Born => ("Created", " class=\"other\""),
    };
    let query = Wanted { sort: Some(Sort { column, descending }), page: 1, ..wanted.clone() }.query();
    let _ = write!(
        out,
        "<th scope=\"col\"{class} aria-sort=\"{aria}\"><a href=\"?{}\">{title}{mark}</a></th>",
        attribute(&query)
    );
}

fn pager(out: &mut String, wanted: &Wanted, number: usize, pages: usize, total: usize) {
    if pages <= 1 {
        return;
    }
    out.push_str("<nav class=\"pager\" aria-label=\"Pages\">");
    for (target, title, rel) in [
        (1, "First", ""),
        (number.saturating_sub(1), "Previous", " rel=\"prev\""),
        (number + 1, "Next", " rel=\"next\""),
        (pages, "Last", ""),
    ] {
        if target == number || target == 0 || target > pages {
            let _ = write!(out, "<span class=\"dim\">{title}</span>");
        } else {
            let query = Wanted { page: target, ..wanted.clone() }.query();
            let _ = write!(out, "<a href=\"?{}\"{rel}>{title}</a>", attribute(&query));
        }
    }
    let first = (number - 1) * ROWS + 1;
    let last = (number * ROWS).min(total);
    let _ = write!(out, "<span>{first}–{last} of {total}</span></nav>");
}

/// The address of a view of a directory.
pub(crate) fn location(href: &str, view: &str) -> String {
    // Only what a view is made of comes back into an address.
    let safe = view.split('&').filter(|part| {
        part.split_once('=').is_some_and(|(name, value)| {
            matches!(name, "sort" | "order" | "q" | "page")
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
        })
    });
    let safe: Vec<&str> = safe.collect();
    if safe.is_empty() { href.to_owned() } else { format!("{href}?{}", safe.join("&")) }
}
