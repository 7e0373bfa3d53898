//! Collecting what somebody picked: first the price, then the flows. Between the two nothing is asked of any endpoint.

use std::fmt::Write;

use futures_util::StreamExt;
use http::StatusCode;
use serde::Serialize;
use vfs::{Call, Listing, Node, NodeKind, Profile, Protocol, Standing, Vfs};

use super::escape::{attribute, text};
use super::form::field;
use super::html;
use super::layout::{Page, count, size};
use super::order::Wanted;
use super::rows::{from_id, id};
use super::walk::{Met, Walk};
use super::work::Works;
use crate::content::send::PIECE;
use crate::exchange::Exchange;
use crate::path::decode;
use crate::refusal::{Answer, Refusal};
use crate::service::Service;

/// Files of one wish.
const FILES: usize = 10_000;
/// Files that the page of the price names.
const NAMED: usize = 200;
/// Files that are asked for at the same time; the others wait here, so that one wish does not fill the queue of an endpoint.
const AT_ONCE: usize = 16;
/// Larger files are read from the server when somebody reads them.
const BROUGHT: u64 = 256 << 20;

/// What was picked, and what of it can be collected.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Quote {
    /// Files that would be collected.
    pub files: u64,
    /// Their bytes, as listed.
    pub bytes: u64,
    /// Flows that they take.
    pub flows: u64,
    /// Files that are here already.
    pub here: u64,
    /// Files that are on their way already.
    pub under_way: u64,
    /// Files whose size only reading tells.
    pub of_unknown_size: u64,
    /// Directories among what was picked that were never listed: what is in them is not part of the wish.
    pub never_listed: u64,
    /// There is more than one wish may have.
    pub cut: bool,
    /// What cannot be collected, and why.
    pub refused: Vec<RefusedFile>,
    /// Why a rule or a budget would refuse the wish as a whole now.
    pub refused_whole: Option<String>,
    #[serde(skip)]
    pub wanted: Vec<Wish>,
}

/// A file that cannot be collected.
#[derive(Debug, Serialize)]
pub(crate) struct RefusedFile {
    pub path: String,
    pub why: String,
}

/// A file that would be collected.
#[derive(Debug)]
pub(crate) struct Wish {
    pub node: Node,
    pub path: String,
    pub bytes: Option<u64>,
}

impl Quote {
    /// Looks at one file.
    fn look(&mut self, listing: &Listing, ordinal: u32, node: &Node, bytes: Option<u64>, path: String) {
        if node.kind != NodeKind::File {
            return;
        }
        match listing.standing(ordinal, node) {
            Standing::Collected { changed_since: false, .. } | Standing::Here => self.here += 1,
            Standing::UnderWay { .. } => self.under_way += 1,
            Standing::NoContent => {}
            Standing::Unfetchable => self.refused.push(RefusedFile {
                path,
                why: "the name was no valid UTF-8, so the endpoint cannot be asked for it".to_owned(),
            }),
            Standing::Collected { .. }
            | Standing::Uncollected
            | Standing::InRanges { .. }
            | Standing::Refused { .. } => {
                if self.wanted.len() >= FILES {
                    self.cut = true;
                    return;
                }
                self.files += 1;
                self.bytes += bytes.unwrap_or(0);
                self.of_unknown_size += u64::from(bytes.is_none());
                self.wanted.push(Wish { node: *node, path, bytes });
            }
        }
    }

    /// Adds what all of it costs.
    async fn price(&mut self, vfs: &Vfs, call: &Call) -> Result<(), vfs::Error> {
        let files: Vec<Node> = self.wanted.iter().map(|wish| wish.node).collect();
        let price = vfs.would_collect(&files, self.bytes, call).await?;
        self.flows = price.flows;
        self.refused_whole = price.refused;
        Ok(())
    }
}

/// What to collect of a directory.
pub(crate) enum Pick {
    /// These entries, and what is known below those that are directories.
    Some(Vec<vfs::node::Identity>),
    /// Every file of the view.
    All(Wanted),
}

impl Pick {
    /// From the fields of the page's form.
    pub(crate) fn from_form(fields: &[(String, String)]) -> Pick {
        if field(fields, "all").is_some() {
            let view = field(fields, "view").unwrap_or_default();
            let filter = view.split('&').find_map(|part| part.strip_prefix("q=")).and_then(decode).unwrap_or_default();
            return Pick::All(Wanted { sort: None, filter, page: 1 });
        }
        Pick::Some(fields.iter().filter(|(name, _)| name == "f").filter_map(|(_, value)| from_id(value)).collect())
    }
}

/// What a pick of a directory would cost.
///
/// # Errors
/// If the directory was never listed, or the server cannot be asked.
pub(crate) async fn quote(service: &Service, directory: &Node, pick: &Pick, call: &Call) -> Result<Quote, vfs::Error> {
    let listing = service.vfs.known_listing(directory).await?;
    let listing =
        listing.ok_or_else(|| vfs::Error::invalid("this directory was never listed: nothing in it can be picked"))?;
    let mut quote = Quote::default();
    let ordinals: Vec<u32> = match pick {
        Pick::Some(picked) => picked.iter().filter_map(|own| listing.find(*own)).collect(),
        Pick::All(wanted) => service.pages.orders.of(&listing, wanted).await.iter().collect(),
    };
    let deep = matches!(pick, Pick::Some(_));
    for ordinal in ordinals {
        let Some((node, attributes)) = listing.entry(ordinal) else { continue };
        let name = listing.name(ordinal, Profile::Posix);
        if node.kind != NodeKind::Directory {
            quote.look(&listing, ordinal, &node, attributes.size, name.into_owned());
        } else if deep {
            below(service, &node, &name, call, &mut quote).await;
        }
        if quote.cut {
            break;
        }
    }
    quote.price(&service.vfs, call).await?;
    Ok(quote)
}

/// What is known below a directory that was picked.
async fn below(service: &Service, directory: &Node, name: &str, call: &Call, quote: &mut Quote) {
    let mut walk = Walk::new(service.vfs.clone(), *directory, call.clone(), Profile::Posix);
    while let Some(met) = walk.next().await {
        match met {
            Met::Directory { unknown: Some(_), .. } => quote.never_listed += 1,
            Met::Directory { .. } => {}
            Met::Entry { path, listing, ordinal, node, attributes } => {
                quote.look(&listing, ordinal, &node, attributes.size, format!("{name}/{}", path.join("/")));
            }
        }
        if quote.cut {
            return;
        }
    }
}

/// Starts it. Each file's state shows on the page of its directory.
pub(crate) fn start(vfs: &Vfs, works: &Works, files: Vec<Node>, call: &Call) {
    files.iter().for_each(|file| works.expect(file.own));
    let (vfs, works, call) = (vfs.clone(), works.clone(), call.clone());
    tokio::spawn(async move {
        if let Err(error) = vfs.collect_together(&files, &call).await {
            tracing::warn!(%error, "files that were picked cannot leave together; each goes alone");
        }
        futures_util::stream::iter(files)
            .for_each_concurrent(AT_ONCE, |node| {
                let (vfs, works, call) = (vfs.clone(), works.clone(), call.clone());
                async move {
                    works.follow(node.own, vfs.collect(&node, &call)).await;
                    bring(&vfs, &node, &call).await;
                }
            })
            .await;
    });
}

/// Reads what was collected from the server once, so that it is here and hashed when somebody looks.
async fn bring(vfs: &Vfs, file: &Node, call: &Call) {
    let call = Call { protocol: Protocol::Gateway, ..call.clone() };
    let mut offset = 0;
    while let Ok(data) = vfs.read_collected(file, offset, PIECE, &call).await {
        offset += data.len() as u64;
        if data.eof || data.is_empty() || data.attributes.size.is_none_or(|size| size > BROUGHT) {
            return;
        }
    }
}

/// The page of the price, with the button that spends it.
pub(crate) async fn price_page(
    service: &Service,
    exchange: &Exchange,
    directory: &Node,
    fields: &[(String, String)],
    call: &Call,
) -> Answer {
    let quote = quote(service, directory, &Pick::from_form(fields), call).await;
    let quote = quote.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    let href = exchange.path.directory_href();
    let mut body = format!("<h1>Collect from <bdi>{}</bdi></h1>", text(exchange.path.name().unwrap_or("/")));
    facts(&mut body, &quote);
    if let Some(why) = &quote.refused_whole {
        let _ = write!(body, "<p class=\"notice failed\">{}</p>", text(why));
    }
    let _ = write!(body, "<form method=\"post\" action=\"{href}?collect\" class=\"bar\">");
    let view = field(fields, "view").unwrap_or_default();
    let _ = write!(body, "<input type=\"hidden\" name=\"view\" value=\"{}\">", attribute(view));
    if field(fields, "all").is_some() {
        body.push_str("<input type=\"hidden\" name=\"all\" value=\"1\">");
    } else {
        for own in fields.iter().filter(|(name, _)| name == "f").filter_map(|(_, value)| from_id(value)) {
            let _ = write!(body, "<input type=\"hidden\" name=\"f\" value=\"{}\">", id(own));
        }
    }
    if quote.files > 0 {
        let _ = write!(
            body,
            "<button class=\"primary\" autofocus>Collect {} · {} · {}</button>",
            count(quote.files, "file", "files"),
            size(quote.bytes),
            count(quote.flows, "flow", "flows")
        );
    } else {
        body.push_str("<span>Nothing of this has to be collected.</span>");
    }
    let _ = write!(
        body,
        "<a class=\"button\" href=\"{}\">Back</a></form>",
        attribute(&super::directory::location(&href, view))
    );
    lists(&mut body, &quote);
    Ok(html(exchange, StatusCode::OK, Page::new("Collect", Some(&exchange.path)).finish(&body)))
}

fn facts(body: &mut String, quote: &Quote) {
    body.push_str("<table class=\"facts\"><tbody>");
    let mut fact = |title: &str, value: String| {
        let _ = write!(body, "<tr><th scope=\"row\">{title}</th><td>{value}</td></tr>");
    };
    fact("To collect", count(quote.files, "file", "files"));
    fact("Bytes, as listed", format!("{} ({})", size(quote.bytes), count(quote.bytes, "byte", "bytes")));
    fact("Flows on the endpoint", format!("{}; what belongs together leaves together", quote.flows));
    for (number, title) in [
        (quote.here, "Here already"),
        (quote.under_way, "On their way already"),
        (quote.of_unknown_size, "Size known only by reading"),
        (quote.never_listed, "Directories never listed, left out"),
    ] {
        if number > 0 {
            fact(title, count(number, "", "").trim().to_owned());
        }
    }
    if quote.cut {
        fact("Left out", format!("everything past the first {FILES} files"));
    }
    if !quote.refused.is_empty() {
        fact("Cannot be collected", count(quote.refused.len() as u64, "file", "files"));
    }
    body.push_str("</tbody></table>");
}

fn lists(body: &mut String, quote: &Quote) {
    if !quote.refused.is_empty() {
        body.push_str(
            "<h2>Cannot be collected</h2><table><thead><tr><th scope=\"col\">File</th><th scope=\"col\">Why</th></tr></thead><tbody>",
        );
        for file in quote.refused.iter().take(NAMED) {
            let _ = write!(
                body,
                "<tr><td class=\"name\"><bdi>{}</bdi></td><td>{}</td></tr>",
                text(&file.path),
                text(&file.why)
            );
        }
        body.push_str("</tbody></table>");
    }
    if quote.wanted.is_empty() {
        return;
    }
    body.push_str(
        "<h2>To collect</h2><table><thead><tr><th scope=\"col\">File</th><th scope=\"col\" class=\"number\">Size</th></tr></thead><tbody>",
    );
    for wish in quote.wanted.iter().take(NAMED) {
        let bytes = wish.bytes.map_or_else(|| "not known".to_owned(), size);
        let _ = write!(
            body,
            "<tr><td class=\"name\"><bdi>{}</bdi></td><td class=\"number\">{bytes}</td></tr>",
            text(&wish.path)
        );
    }
    body.push_str("</tbody></table>");
    if quote.wanted.len() > NAMED {
        let _ = write!(body, "<p class=\"dim\">and {} more</p>", quote.wanted.len() - NAMED);
    }
}
