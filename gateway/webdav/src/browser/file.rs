//! The page of a file: what is known of it, the beginning of what was collected of it, and the button that collects it (D3: opening a page
//! never does).

use std::fmt::Write;

use http::StatusCode;
use serde_json::Value;
use vfs::{Attributes, Found, NodeKind, Standing};

use super::directory::progress;
use super::escape::{label, text};
use super::html;
use super::layout::{Page, count, exact_time, size, time};
use super::live::{self, Topic};
use super::preview::{self, Encoding, Form};
use super::rows::id;
use super::standing::Shown;
use super::work::is_running;
use crate::exchange::Exchange;
use crate::link;
use crate::propfind::encode::kind_word;
use crate::refusal::{Answer, Refusal};
use crate::service::Service;

/// The page. Without `?info` the status tells browsers that this is not the file, so that none saves the page under its name.
pub(crate) async fn page(service: &Service, exchange: &Exchange, found: Found) -> Answer {
    let refused = |error: vfs::Error| Refusal::from_error(&error, exchange.class);
    let seen = live::signature(&service.vfs, &service.pages.works, &Topic::File(found.node)).await;
    let provenance = service.vfs.provenance(&found.node).await.map_err(refused)?;
    let standing = service.vfs.standing(&found.node).await.unwrap_or(Standing::NoContent);
    // Nothing is asked for a size that only reading tells.
    let attributes = service.vfs.attributes_now(&found.node).and_then(Result::ok).unwrap_or(found.attributes);
    let work = service.pages.works.latest(found.node.own);
    let name = exchange.path.name().unwrap_or("/");
    let mut page = Page::new(name, Some(&exchange.path));
    if found.node.kind == NodeKind::File {
        page.live(live::address(&exchange.path, "", &seen));
    }
    let mut body = format!("<h1><bdi>{}</bdi></h1><div class=\"bar\">", text(name));
    heading(&mut body, service, exchange, &found, &attributes, &standing).await.map_err(refused)?;
    body.push_str("</div>");
    if let Some(work) = &work {
        body.push_str(&progress(work));
    }
    if work.as_ref().is_some_and(is_running) || matches!(standing, Standing::UnderWay { .. }) {
        page.refresh_every(2);
    }
    body.push_str("<div class=\"columns\"><section aria-label=\"Facts\">");
    facts(&mut body, &attributes, &provenance, found.node.kind);
    times(&mut body, &attributes, &provenance);
    body.push_str("</section><section aria-label=\"Where it comes from\">");
    hashes(&mut body, &provenance);
    origin(&mut body, &provenance);
    body.push_str("</section></div>");
    if found.node.kind == NodeKind::File {
        show_content(&mut body, service, exchange, &found, &standing).await;
    }
    everything(&mut body, &provenance);
    let status = if exchange.asks("info") { StatusCode::OK } else { StatusCode::FORBIDDEN };
    Ok(html(exchange, status, page.finish(&body)))
}

/// As it is, and as what no double click and no virus scanner touches (D25).
fn downloads(href: &str) -> String {
    format!(
        "<a class=\"button\" href=\"{href}\" download>Download</a>\
         <a href=\"{href}?as=zip\" download title=\"Encrypted; the password is: infected\">in an encrypted zip</a>"
    )
}

/// State and buttons.
async fn heading(
    body: &mut String,
    service: &Service,
    exchange: &Exchange,
    found: &Found,
    attributes: &Attributes,
    standing: &Standing,
) -> vfs::Result<()> {
    let href = exchange.path.file_href();
    match found.node.kind {
        NodeKind::File => {
            let work = service.pages.works.latest(found.node.own);
            let shown = Shown::of(standing, attributes.size, work.as_ref());
            let _ = write!(
                body,
                "<span id=\"s{}\" class=\"{}\" title=\"{}\">{}</span>",
                id(found.node.own),
                if shown.class == "quiet" { "badge" } else { shown.class },
                label(&shown.title),
                text(&shown.text)
            );
            match standing {
                Standing::Collected { changed_since, .. } => {
                    if *changed_since {
                        body.push_str("<span class=\"badge running\">endpoint has changed since</span>");
                    }
                    body.push_str(&downloads(&href));
                }
                Standing::Here => {
                    body.push_str(&downloads(&href));
                }
                Standing::Refused { message } => {
                    let _ = write!(body, "<span>{}</span>", text(message));
                }
                _ => {}
            }
            collect_button(body, service, exchange, found, attributes, standing).await;
        }
        NodeKind::Link => {
            let target = link::raw_target(&service.vfs, &found.node).await?;
            let _ = write!(
                body,
                "<span class=\"badge\">link</span><span>→ <bdi>{}</bdi></span><a class=\"button\" href=\"{href}/\">Follow</a>",
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
    let _ = write!(body, "<a href=\"{href}?json\">JSON</a>");
    Ok(())
}

/// The button that collects, with what it costs.
async fn collect_button(
    body: &mut String,
    service: &Service,
    exchange: &Exchange,
    found: &Found,
    attributes: &Attributes,
    standing: &Standing,
) {
    let again = matches!(standing, Standing::Collected { changed_since: true, .. });
    if !again && !matches!(standing, Standing::Uncollected | Standing::InRanges { .. } | Standing::Refused { .. }) {
        return;
    }
    let mut call = exchange.call();
    call.explicit = true;
    let bytes = attributes.size.unwrap_or(0);
    let price = service.vfs.would_collect(&[found.node], bytes, &call).await;
    let size = attributes.size.map_or_else(|| "size not known".to_owned(), size);
    let _ = write!(
        body,
        "<form method=\"post\" action=\"{}?collect\"><button class=\"primary\">Collect {size} · 1 flow</button></form>",
        exchange.path.file_href()
    );
    if let Ok(vfs::Price { refused: Some(why), .. }) = price {
        let _ = write!(body, "<span class=\"badge failed\">would be refused now</span><span>{}</span>", text(&why));
    }
}

fn row(body: &mut String, title: &str, value: &str) {
    let _ = write!(body, "<tr><th scope=\"row\">{title}</th><td>{value}</td></tr>");
}

fn facts(body: &mut String, attributes: &Attributes, provenance: &Value, kind: NodeKind) {
    body.push_str("<table class=\"facts\"><tbody>");
    match attributes.size {
        Some(bytes) if kind != NodeKind::Directory => {
            row(body, "Size", &format!("{} ({})", size(bytes), count(bytes, "byte", "bytes")));
        }
        None => row(body, "Size", "only reading tells"),
        Some(_) => {}
    }
    let words = |name: &str| provenance.get(name).and_then(Value::as_str);
    if let Some(listed) = provenance.get("size_listed").and_then(Value::as_u64)
        && attributes.size.is_some_and(|size| size != listed)
        && kind == NodeKind::File
    {
        row(body, "Size as listed", &format!("{} ({})", size(listed), count(listed, "byte", "bytes")));
    }
    if let Some(mode) = words("mode") {
        row(body, "Mode on the endpoint", &format!("<code>{}</code>", text(mode)));
    }
    if let (Some(name), Some(shown)) = (words("name"), words("shown_as"))
        && name != shown
    {
        row(body, "Raw name", &format!("<bdi>{}</bdi>", text(name)));
    }
    if let Some(target) = words("link") {
        row(body, "Link target, raw", &format!("<bdi>{}</bdi>", text(target)));
    }
    if let Some(record) = provenance.pointer("/details/mft").and_then(Value::as_str) {
        row(body, "MFT record", &format!("<code>{}</code>", text(record)));
    }
    body.push_str("</tbody></table>");
}

/// The four times of $SI, and those of $FN where the accessor tells them (D44).
fn times(body: &mut String, attributes: &Attributes, provenance: &Value) {
    let file_name = |name: &str| {
        let text = provenance.pointer(&format!("/details/{name}"))?.as_str()?;
        vfs::Timestamp::parse_rfc3339(text)
    };
    let listed = if provenance.pointer("/details/mft").is_some() { "$SI, as listed" } else { "As listed" };
    let _ = write!(
        body,
        "<table class=\"times\"><thead><tr><th scope=\"col\">Time (UTC)</th><th scope=\"col\">{listed}</th>\
         <th scope=\"col\">$FN</th></tr></thead><tbody>",
    );
    for (title, known, other) in [
        ("Modified", attributes.modified, file_name("fn_mtime")),
        ("Accessed", attributes.accessed, file_name("fn_atime")),
        ("Changed", attributes.changed, file_name("fn_ctime")),
        ("Created", attributes.born, file_name("fn_btime")),
    ] {
        let _ = write!(
            body,
            "<tr><th scope=\"row\">{title}</th><td class=\"when\">{}</td><td class=\"when\">{}</td></tr>",
            exact_time(known),
            exact_time(other)
        );
    }
    body.push_str("</tbody></table>");
}

/// What was hashed by whom: the endpoint's and the gateway's are never one (D8).
fn hashes(body: &mut String, provenance: &Value) {
    let copies = provenance.get("copies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(copy) = copies.last() else { return };
    body.push_str("<table class=\"facts\"><tbody>");
    let words = |pointer: &str| copy.pointer(pointer).and_then(Value::as_str);
    match words("/sha256_endpoint") {
        Some(hash) => row(body, "SHA-256 by the endpoint", &format!("<code>{}</code>", text(hash))),
        None => row(body, "SHA-256 by the endpoint", "<span class=\"dim\">not known: complete by length</span>"),
    }
    for (title, pointer) in [
        ("SHA-256 as received", "/digests/sha256"),
        ("SHA-1 as received", "/digests/sha1"),
        ("MD5 as received", "/digests/md5"),
    ] {
        match words(pointer) {
            Some(hash) => row(body, title, &format!("<code>{}</code>", text(hash))),
            None => row(body, title, "<span class=\"dim\">not computed yet</span>"),
        }
    }
    body.push_str("</tbody></table>");
}

/// Which flow brought it, for whom, when, and with what.
fn origin(body: &mut String, provenance: &Value) {
    body.push_str("<table class=\"facts\"><tbody>");
    let copies = provenance.get("copies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for copy in copies.iter().rev() {
        let words = |pointer: &str| copy.pointer(pointer).and_then(Value::as_str);
        let (Some(job), Some(by)) = (words("/observation/job"), words("/observation/by")) else { continue };
        let seen = words("/observation/seen").and_then(vfs::Timestamp::parse_rfc3339);
        let mut told = format!("{} UTC · by {} · flow <code>{}</code>", time(seen), text(by), text(job));
        if let Some(bytes) = copy.get("size").and_then(Value::as_u64) {
            let _ = write!(told, " · {}", size(bytes));
        }
        if let Some(set) = words("/set") {
            let _ = write!(told, " · with what belongs to it (set <code>{}</code>)", text(set));
        }
        row(body, "Collected", &told);
    }
    let words = |pointer: &str| provenance.pointer(pointer).and_then(Value::as_str);
    if let (Some(job), Some(by)) =
        (words("/directory/listing/observation/job"), words("/directory/listing/observation/by"))
    {
        let seen = words("/directory/listing/observation/seen").and_then(vfs::Timestamp::parse_rfc3339);
        let told = format!("{} UTC · by {} · flow <code>{}</code>", time(seen), text(by), text(job));
        row(body, "Listed", &told);
    }
    body.push_str("</tbody></table>");
}

/// The beginning of the content, if that is here.
async fn show_content(body: &mut String, service: &Service, exchange: &Exchange, found: &Found, standing: &Standing) {
    if !matches!(standing, Standing::Collected { .. } | Standing::Here) {
        return;
    }
    let data = match service.vfs.read_collected(&found.node, 0, preview::SHOWN, &exchange.call()).await {
        Ok(data) => data,
        Err(error) => {
            let _ = write!(body, "<h2>Content</h2><p class=\"notice failed\">{}</p>", text(error.message()));
            return;
        }
    };
    let bytes: Vec<u8> = data.segments.iter().flat_map(|segment| segment.iter().copied()).collect();
    let form = match exchange.query("view") {
        Some("hex") => Form::Hex,
        Some("text") => Form::Text(Encoding::guess(&bytes)),
        _ => Form::fitting(&bytes),
    };
    let href = exchange.path.file_href();
    let current = |is: bool| if is { " aria-current=\"true\"" } else { "" };
    let _ = write!(
        body,
        "<h2 id=\"content\">Content</h2><div class=\"bar tabs\"><a href=\"{href}?info=1&amp;view=text#content\"{}>Text</a>\
         <a href=\"{href}?info=1&amp;view=hex#content\"{}>Hex</a><span>{}{}</span></div>",
        current(form != Form::Hex),
        current(form == Form::Hex),
        if data.eof { "all of it: " } else { "the first " },
        count(bytes.len() as u64, "byte", "bytes"),
    );
    if let Form::Text(encoding) = form {
        let _ = write!(body, "<p class=\"dim\">{}</p>", encoding.name());
    }
    let _ = write!(
        body,
        "<pre class=\"content\" tabindex=\"0\" aria-label=\"Beginning of the content\">{}</pre>",
        preview::render(&bytes, form)
    );
}

/// All that is known, as it is.
fn everything(body: &mut String, provenance: &Value) {
    body.push_str("<details><summary>Everything that is known</summary><pre>");
    let pretty = serde_json::to_string_pretty(provenance).unwrap_or_default();
    for line in pretty.lines() {
        let indent = line.len() - line.trim_start().len();
        let _ = writeln!(body, "{}{}", &line[..indent], text(&line[indent..]));
    }
    body.push_str("</pre></details>");
}
