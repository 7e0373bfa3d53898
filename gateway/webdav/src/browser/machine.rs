//! A directory as text for terminals and as JSON for programs, streamed.

use std::fmt::Write;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use serde_json::{Value, json};
use vfs::{Attributes, Found, Listing, Node, NodeKind, Profile};

use super::escape::is_odd;
use super::order::{Column, Order, ROWS, Sort, Wanted};
use super::protect;
use crate::body::{Body, Frames};
use crate::exchange::Exchange;
use crate::link;
use crate::propfind::encode::kind_word;
use crate::refusal::{Answer, Refusal};
use crate::service::{Service, uncached};

/// Bytes after which a frame is sent.
const FRAME: usize = 48 * 1024;

type WriteRow = fn(&mut String, &Row<'_>);

/// One entry.
struct Row<'a> {
    listing: &'a Listing,
    ordinal: u32,
    is_first: bool,
    node: Node,
    attributes: Attributes,
    name: &'a str,
    link: Option<&'a str>,
}

/// One line for each entry: size, time, name. Control characters are shown as escapes, because this goes to terminals.
pub(crate) async fn plain(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    let listing = list(service, exchange, &found).await?;
    Ok(respond(
        exchange,
        "text/plain; charset=utf-8",
        rows(View::all(listing), exchange.class.profile(), String::new(), line, ""),
    ))
}

/// The listing with all that is known of each entry.
pub(crate) async fn json(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    let listing = list(service, exchange, &found).await?;
    let state =
        service.vfs.freshness(&found.node).await.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    let mut wanted = Wanted::of(exchange);
    // Programs get the endpoint's order unless they ask for another, and all of it unless they ask for a page.
    wanted.sort = wanted.sort.or(Some(Sort { column: Column::Listed, descending: false }));
    let order = service.pages.orders.of(&listing, &wanted).await;
    let (from, to) = match exchange.asks("page") {
        true => (wanted.page.saturating_sub(1).saturating_mul(ROWS), wanted.page.saturating_mul(ROWS)),
        false => (0, order.len()),
    };
    let mut opening = json!({
        "path": exchange.path.to_string(),
        "freshness": state,
        "generation": listing.generation(),
        "total": order.len(),
        "entries": [],
    })
    .to_string();
    // Keys are sorted, so the empty list is not at the end: it is cut out, and the rows are put at the end.
    opening = opening.replacen("\"entries\":[],", "", 1);
    opening.pop();
    opening.push_str(",\"entries\":[");
    let view = View { from, to: to.min(order.len()), begun: from, order, listing };
    Ok(respond(exchange, "application/json", rows(view, exchange.class.profile(), opening, object, "]}\n")))
}

async fn list(service: &Service, exchange: &Exchange, found: &Found) -> Result<Listing, Refusal> {
    service.vfs.list(&found.node, &exchange.call()).await.map_err(|error| Refusal::from_error(&error, exchange.class))
}

fn respond(exchange: &Exchange, content_type: &'static str, frames: Frames) -> Response<Body> {
    let body = if exchange.method() == Method::HEAD { Body::empty() } else { Body::Chunked(frames) };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    protect(response.headers_mut());
    uncached(response)
}

/// The rows of one answer.
struct View {
    listing: Listing,
    order: Order,
    begun: usize,
    from: usize,
    to: usize,
}

impl View {
    fn all(listing: Listing) -> View {
        let order = Order::Listed(listing.len());
        View { begun: 0, from: 0, to: order.len(), order, listing }
    }
}

fn rows(view: View, profile: Profile, opening: String, write: WriteRow, closing: &'static str) -> Frames {
    let state = (view, Some(opening));
    Box::pin(stream::unfold(state, move |(mut view, opening)| async move {
        let mut out = opening?;
        out.reserve(FRAME + FRAME / 8);
        while view.from < view.to && out.len() < FRAME {
            let View { listing, order, from, begun, .. } = &view;
            if let Some(ordinal) = order.get(*from)
                && let Some((node, attributes)) = listing.entry(ordinal)
            {
                let link = if node.kind == NodeKind::Link { listing.raw_link(ordinal) } else { None };
                let attributes = link.map_or(attributes, |link| link::described(&attributes, link));
                let (name, is_first) = (&*listing.name(ordinal, profile), from == begun);
                write(&mut out, &Row { listing, ordinal, is_first, node, attributes, name, link });
            }
            view.from += 1;
        }
        let is_last = view.from >= view.to;
        if is_last {
            out.push_str(closing);
        }
        Some((Ok(Bytes::from(out)), (view, (!is_last).then(String::new))))
    }))
}

fn line(out: &mut String, row: &Row<'_>) {
    let Row { node, attributes, name, .. } = row;
    let size = match (node.kind, attributes.size) {
        (NodeKind::Directory, _) => "-".to_owned(),
        (_, Some(size)) => size.to_string(),
        (_, None) => "?".to_owned(),
    };
    let modified = attributes.modified.map_or_else(|| "-".to_owned(), vfs::Timestamp::to_rfc3339);
    let _ = write!(out, "{size:>14}  {modified:<30}  ");
    for character in name.chars() {
        if is_odd(character) || character == '\\' {
            let _ = write!(out, "{}", character.escape_default());
        } else {
            out.push(character);
        }
    }
    out.push_str(match node.kind {
        NodeKind::Directory => "/\n",
        NodeKind::Link => "@\n",
        NodeKind::Special => "=\n",
        NodeKind::File | NodeKind::Meta => "\n",
    });
}

fn object(out: &mut String, row: &Row<'_>) {
    let Row { node, attributes, .. } = row;
    if !row.is_first {
        out.push(',');
    }
    let time = |time: Option<vfs::Timestamp>| time.map_or(Value::Null, |time| Value::String(time.to_rfc3339()));
    let kind = match node.kind {
        NodeKind::Directory => "directory",
        NodeKind::File | NodeKind::Meta => "file",
        NodeKind::Link => "link",
        NodeKind::Special => kind_word(attributes.file_type).unwrap_or("special"),
    };
    let listed = row.listing.row(row.ordinal);
    let row = json!({
        "name": row.name,
        "type": kind,
        "size": if node.kind == NodeKind::Directory { None } else { attributes.size },
        "modified": time(attributes.modified),
        "accessed": time(attributes.accessed),
        "changed": time(row.listing.changed(row.ordinal, attributes)),
        "mode": listed.map(|row| format!("{:04o}", row.mode())),
        "content": row.listing.standing(row.ordinal, node),
        "born": time(attributes.born),
        "collected": attributes.collected,
        "link": row.link,
    });
    let _ = write!(out, "{row}");
}
