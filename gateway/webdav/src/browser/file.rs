//! The page of a file: what is known of it, and the button that collects it (D3: opening a page never does).

use std::fmt::Write;

use http::StatusCode;
use serde_json::Value;
use vfs::{Found, NodeKind};

use super::directory::progress;
use super::escape::text;
use super::html;
use super::layout::{Page, size, time};
use super::work::is_running;
use crate::exchange::Exchange;
use crate::link;
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
            let target = link::raw_target(&service.vfs, &found.node)
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
    copies(&mut body, &provenance);
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

/// What is known of each copy that was collected: hashes, flow, by whom, when.
fn copies(body: &mut String, provenance: &Value) {
    let copies = provenance.get("copies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for copy in copies {
        let words = |pointer: &str| copy.pointer(pointer).and_then(Value::as_str);
        for (title, pointer) in [
            ("SHA-256 (endpoint)", "/sha256_endpoint"),
            ("SHA-256 (as received)", "/digests/sha256"),
            ("SHA-1 (as received)", "/digests/sha1"),
            ("MD5 (as received)", "/digests/md5"),
        ] {
            if let Some(hash) = words(pointer) {
                let _ = write!(body, "<tr><th scope=\"row\">{title}</th><td><code>{}</code></td></tr>", text(hash));
            }
        }
        if let (Some(job), Some(by)) = (words("/observation/job"), words("/observation/by")) {
            let seen = copy.pointer("/observation/seen").cloned().and_then(|seen| serde_json::from_value(seen).ok());
            let _ = write!(
                body,
                "<tr><th scope=\"row\">Collected</th><td>{} · by {} · flow <code>{}</code></td></tr>",
                time(seen),
                text(by),
                text(job)
            );
        }
    }
}
