//! The page of a file: what is known of it, and the button that collects it (D3: opening a page never does).

use std::fmt::Write;

use http::StatusCode;
use vfs::{Found, NodeKind};

use super::directory::progress;
use super::escape::text;
use super::html;
use super::layout::{Page, size};
use super::work::is_running;
use crate::exchange::Exchange;
use crate::propfind::encode::kind_word;
use crate::refusal::{Answer, Refusal};
use crate::service::Service;

/// The page. Without `?info` the status tells browsers that this is not the file, so that none saves the page under its name.
pub(crate) async fn page(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    let provenance =
        service.vfs.provenance(&found.node).await.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    let attributes = service.vfs.attributes(&found.node, &exchange.call()).await.unwrap_or(found.attributes);
    let work = service.pages.works.latest(found.node.own);
    let name = exchange.path.name().unwrap_or("/");
    let href = exchange.path.file_href();
    let mut page = Page::new(name, Some(&exchange.path));
    let mut body = format!("<h1>{}</h1><div class=\"bar\">", text(name));
    match found.node.kind {
        NodeKind::File if attributes.collected => {
            let _ = write!(
                body,
                "<span class=\"badge listed\">collected</span><a class=\"button\" href=\"{href}\">Download</a>"
            );
        }
        NodeKind::File => body.push_str("<span class=\"badge\">not collected</span>"),
        NodeKind::Link => {
            let target = service
                .vfs
                .read_link(&found.node)
                .await
                .map_err(|error| Refusal::from_error(&error, exchange.class))?;
            let _ = write!(
                body,
                "<span class=\"badge\">link</span><span>→ {}</span><a class=\"button\" href=\"{href}/\">Follow</a>",
                text(&target)
            );
        }
        NodeKind::Meta => {
            let _ = write!(body, "<span class=\"badge\">gateway</span><a class=\"button\" href=\"{href}\">Open</a>");
        }
        NodeKind::Special | NodeKind::Directory => {
            let _ =
                write!(body, "<span class=\"badge\">{}</span>", kind_word(attributes.file_type).unwrap_or("special"));
        }
    }
    if found.node.kind == NodeKind::File && !attributes.collected {
        let price = attributes.size.map(|bytes| format!(" {}", size(bytes))).unwrap_or_default();
        let _ = write!(body, "<form method=\"post\" action=\"{href}?collect\"><button>Collect{price}</button></form>");
    }
    body.push_str("</div>");
    if let Some(work) = &work {
        body.push_str(&progress(work));
        if is_running(work) {
            page.refresh_every(2);
        }
    }
    body.push_str("<table class=\"facts\"><tbody>");
    if let Some(bytes) = attributes.size.filter(|_| found.node.kind != NodeKind::Directory) {
        let _ = write!(body, "<tr><th scope=\"row\">Size</th><td>{} ({bytes} bytes)</td></tr>", size(bytes));
    }
    let times = [("Modified", attributes.modified), ("Accessed", attributes.accessed), ("Created", attributes.born)];
    for (title, known) in times {
        let exact = known.map_or_else(|| "not known".to_owned(), vfs::Timestamp::to_rfc3339);
        let _ = write!(body, "<tr><th scope=\"row\">{title}</th><td>{}</td></tr>", text(&exact));
    }
    body.push_str("</tbody></table><h2>Provenance</h2>");
    let pretty = serde_json::to_string_pretty(&provenance).unwrap_or_default();
    body.push_str("<pre>");
    for line in pretty.lines() {
        let indent = line.len() - line.trim_start().len();
        let _ = writeln!(body, "{}{}", &line[..indent], text(&line[indent..]));
    }
    body.push_str("</pre>");
    let status = if exchange.asks("info") { StatusCode::OK } else { StatusCode::FORBIDDEN };
    Ok(html(exchange, status, page.finish(&body)))
}
